/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define LOG_MODULE "test"
#include "base/log.h"

static int saved_stderr, file;
static char got[1024 * 1024];

static void capture(void)
{
	file = memfd_create("stderr", MFD_CLOEXEC);
	assert_true(file >= 0);
	/* Without it the place that two threads write to at once is one and the same. */
	assert_int_equal(fcntl(file, F_SETFL, O_APPEND), 0);
	saved_stderr = dup(STDERR_FILENO);
	assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
}

/* What has been written since capture. */
static const char *captured(void)
{
	ssize_t n = pread(file, got, sizeof(got) - 1, 0);

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(file);
	assert_true(n >= 0);
	got[n] = '\0';
	return got;
}

static void test_levels(void **state)
{
	capture();
	log_setup(LOG_LEVEL_INFO, false);
	log_error("e %d", 1);
	log_warning("w %s", "2");
	log_info("i");
	log_debug("d");
	assert_string_equal(captured(), "stacksfs: error test: e 1\n"
					"stacksfs: warning test: w 2\n"
					"stacksfs: info test: i\n");
	assert_true(log_enabled(LOG_LEVEL_INFO));
	assert_false(log_enabled(LOG_LEVEL_DEBUG));

	capture();
	log_setup(LOG_LEVEL_DEBUG, false);
	log_debug("d");
	assert_string_equal(captured(), "stacksfs: debug test: d\n");
}

static void test_no_second_line(void **state)
{
	capture();
	log_error("a\nstacksfs: error test: b\r\t\x1b[2J\x7f|\xff|\xc2\x9b|\xc2\xa0|\xc3\xa9");
	assert_string_equal(captured(),
			    "stacksfs: error test: a\\x0astacksfs: error test: b\\x0d\\x09\\x1b[2J"
			    "\\x7f|\\xff|\\xc2\\x9b|\xc2\xa0|\xc3\xa9\n");
}

static void test_bounded(void **state)
{
	static const char *const units[] = { "x", "\xe2\x82\xac", "\n" };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		char text[9001] = "";
		size_t unit = strlen(units[i]);

		for (size_t at = 0; at + unit < sizeof(text); at += unit)
			memcpy(text + at, units[i], unit);
		capture();
		log_error("%s", text);
		const char *line = captured();
		size_t len = strlen(line);

		assert_in_range(len, 2048 - 8, 2048);
		assert_ptr_equal(strchr(line, '\n'), line + len - 1);
		if (unit == 3) /* no half of a character at the end */
			assert_memory_equal(line + len - 4, units[i], 3);
	}
}

static void test_errno_is_kept(void **state)
{
	capture();
	errno = ENOTTY;
	log_error("%s", strerror(EPERM));
	assert_int_equal(errno, ENOTTY);
	captured();
}

static void test_syslog_is_not_stderr(void **state)
{
	capture();
	log_setup(LOG_LEVEL_INFO, true);
	log_debug("nowhere");
	log_setup(LOG_LEVEL_INFO, false);
	assert_string_equal(captured(), "");
}

static void *write_lines(void *arg)
{
	for (int i = 0; i < 200; i++)
		log_info("%s%s%s", (char *)arg, (char *)arg, (char *)arg);
	return NULL;
}

/* Every line of several threads is whole. */
static void test_threads(void **state)
{
	static char letters[4][101];
	pthread_t threads[4];

	capture();
	for (int i = 0; i < 4; i++) {
		memset(letters[i], 'a' + i, 100);
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, letters[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);

	const char *head = "stacksfs: info test: ", *line = captured();
	for (int n = 0; n < 800; n++) {
		assert_memory_equal(line, head, strlen(head));
		line += strlen(head);
		assert_int_equal(strspn(line, (char[]){ *line, '\0' }), 300);
		line += 300;
		assert_int_equal(*line++, '\n');
	}
	assert_int_equal(*line, '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_no_second_line),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_errno_is_kept),
		cmocka_unit_test(test_syslog_is_not_stderr),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
