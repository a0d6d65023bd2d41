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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

/* Who logs may hold what all others wait for. */
static void test_nobody_reads_stderr(void **state)
{
	static char first[1024 * 128];
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	saved_stderr = dup(STDERR_FILENO);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	for (unsigned i = 0; i < 3000; i++)
		log_error("line %u: %060d", i, 0);
	ssize_t n = read(ends[0], first, sizeof(first));
	log_error("the last one");
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(ends[1]);
	assert_in_range(n, 32 * 1024, 64 * 1024);
	n = read(ends[0], got, sizeof(got) - 1);
	close(ends[0]);
	assert_true(n > 0);
	got[n] = '\0';
	assert_non_null(strstr(got, " lines were not taken\nstacksfs: error test: the last one\n"));
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

/* ---- the journal ---- */

static int journal; /* its end */
static char journal_dir[] = "test-log-XXXXXX";
static char journal_path[64];

static int start_journal(void **state)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	snprintf(journal_dir, sizeof(journal_dir), "test-log-XXXXXX");
	assert_non_null(mkdtemp(journal_dir));
	snprintf(journal_path, sizeof(journal_path), "%s/socket", journal_dir);
	snprintf(to.sun_path, sizeof(to.sun_path), "%s", journal_path);
	journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return bind(journal, (const struct sockaddr *)&to, sizeof(to));
}

static int end_journal(void **state)
{
	log_setup(LOG_LEVEL_INFO, false);
	if (journal >= 0)
		close(journal);
	unlink(journal_path);
	return rmdir(journal_dir);
}

static const char *journal_entry(void)
{
	ssize_t n = recv(journal, got, sizeof(got) - 1, MSG_DONTWAIT);

	assert_true(n >= 0);
	got[n] = '\0';
	return got;
}

static void test_journal(void **state)
{
	const struct log_fields all = { "open", "/a\nb", -EIO, 7 }, none = { 0 };

	assert_int_equal(log_setup_journal(LOG_LEVEL_INFO, journal_path), 0);
	log_warning("one\n%s", "two");
	assert_string_equal(journal_entry(), "SYSLOG_IDENTIFIER=stacksfs\nPRIORITY=4\n"
					     "STACKSFS_MODULE=test\nMESSAGE=one\\x0atwo\n");
	log_write_fields(LOG_LEVEL_ERROR, "m", &all, "text");
	assert_string_equal(journal_entry(),
			    "SYSLOG_IDENTIFIER=stacksfs\nPRIORITY=3\nSTACKSFS_MODULE=m\n"
			    "STACKSFS_OP=open\nSTACKSFS_PATH=/a\\x0ab\nERRNO=5\n"
			    "STACKSFS_REQUEST=7\nMESSAGE=text\n");
	log_write_fields(LOG_LEVEL_INFO, "m", &none, "t");
	assert_string_equal(journal_entry(), "SYSLOG_IDENTIFIER=stacksfs\nPRIORITY=6\n"
					     "STACKSFS_MODULE=m\nMESSAGE=t\n");
	log_debug("not asked for");
	assert_int_equal(recv(journal, got, sizeof(got), MSG_DONTWAIT), -1);
}

/* The longest of all: the newline after each field stays. */
static void test_journal_long(void **state)
{
	static char text[10000];
	const struct log_fields fields = { text, text, -EIO, ~0ull };

	memset(text, 1, sizeof(text) - 1);
	assert_int_equal(log_setup_journal(LOG_LEVEL_INFO, journal_path), 0);
	log_write_fields(LOG_LEVEL_INFO, text, &fields, "%s", text);
	const char *entry = journal_entry();
	assert_true(strlen(entry) < 4096);
	assert_int_equal(entry[strlen(entry) - 1], '\n');
	for (const char *line = entry; *line; line = strchr(line, '\n') + 1)
		assert_true(strcspn(line, "=") < strcspn(line, "\n"));
}

/* A journal that has gone, or does not read: nothing is lost, nobody waits. */
static void test_journal_gone(void **state)
{
	unsigned n = 0;

	assert_int_equal(log_setup_journal(LOG_LEVEL_INFO, journal_path), 0);
	capture();
	for (; n < 100000 && lseek(file, 0, SEEK_END) == 0; n++)
		log_info("line");
	assert_in_range(n, 2, 99999);
	close(journal);
	journal = -1;
	log_info("after");
	assert_non_null(
		strstr(captured(), "stacksfs: info test: line\nstacksfs: info test: after\n"));
	assert_int_equal(log_setup_journal(LOG_LEVEL_INFO, journal_path), -ECONNREFUSED);
}

static void test_no_journal(void **state)
{
	char path[200];

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(log_setup_journal(LOG_LEVEL_INFO, path), -ENAMETOOLONG);
	assert_int_equal(log_setup_journal(LOG_LEVEL_INFO, "test-no-socket"), -ENOENT);
}

static void test_is_journal(void **state)
{
	char text[64];
	struct stat st;

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	const struct {
		const char *fmt;
		bool is;
	} rows[] = {
		{ "%llu:%llu", true }, { "1%llu:%llu", false }, { "%llu:%llu0", false },
		{ "%llu%llu", false }, { "x%llu:%llu", false }, { "%llu:%llux", false },
		{ "", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof(text), rows[i].fmt, (unsigned long long)st.st_dev,
			 (unsigned long long)st.st_ino);
#pragma GCC diagnostic pop
		setenv("JOURNAL_STREAM", text, 1);
		assert_int_equal(log_stderr_is_journal(), rows[i].is);
	}
	unsetenv("JOURNAL_STREAM");
	assert_false(log_stderr_is_journal());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_no_second_line),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_errno_is_kept),
		cmocka_unit_test(test_nobody_reads_stderr),
		cmocka_unit_test(test_syslog_is_not_stderr),
		cmocka_unit_test(test_threads),
		cmocka_unit_test_setup_teardown(test_journal, start_journal, end_journal),
		cmocka_unit_test_setup_teardown(test_journal_long, start_journal, end_journal),
		cmocka_unit_test_setup_teardown(test_journal_gone, start_journal, end_journal),
		cmocka_unit_test(test_no_journal),
		cmocka_unit_test(test_is_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
