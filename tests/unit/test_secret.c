/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/secret.h"

#define CANARY "canary-7f3a-canary-7f3a"

static struct secret *make(const char *bytes, size_t len)
{
	struct secret *s = NULL;

	assert_int_equal(secret_new(bytes, len, &s), 0);
	assert_non_null(s);
	return s;
}

static void test_sizes(void **state)
{
	static char bytes[SECRET_MAX_BYTES + 1];
	static const size_t lens[] = {
		0, 1, 47, 48, 49, 111, 112, 113, 4096, 32768, SECRET_MAX_BYTES - 1, SECRET_MAX_BYTES
	};
	struct secret *all[sizeof(lens) / sizeof(lens[0])];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + 1);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		all[i] = make(bytes, lens[i]);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		assert_int_equal(secret_len(all[i]), lens[i]);
		assert_int_equal(secret_bytes(all[i])[lens[i]], '\0');
		assert_int_equal(memcmp(secret_bytes(all[i]), bytes, lens[i]), 0);
		secret_unref(all[i]);
	}
	struct secret *too_large = NULL;
	assert_int_equal(secret_new(bytes, SECRET_MAX_BYTES + 1, &too_large), -EMSGSIZE);
	assert_null(too_large);
	secret_unref(NULL);
	assert_null(secret_ref(NULL));
}

static void test_wiped_with_the_last_reference(void **state)
{
	struct secret *s = make(CANARY, strlen(CANARY));
	const char *bytes = secret_bytes(s); /* slots are never unmapped */

	assert_ptr_equal(secret_ref(s), s);
	secret_unref(s);
	assert_string_equal(bytes, CANARY);
	secret_unref(s);
	assert_int_not_equal(memcmp(bytes, CANARY, 4), 0);
	assert_null(memmem(bytes, strlen(CANARY), "canary", 6));
}

static void test_slots_are_used_again(void **state)
{
	struct secret *a = make("a", 1);
	const char *place = secret_bytes(a);

	secret_unref(a);
	for (int i = 0; i < 100000; i++) {
		struct secret *b = make("b", 1);

		assert_ptr_equal(secret_bytes(b), place);
		secret_unref(b);
	}
}

static void test_many_at_once(void **state)
{
	enum { N = 5000 };
	static struct secret *all[N];
	char text[32];

	for (int i = 0; i < N; i++) {
		int n = snprintf(text, sizeof(text), "secret %d", i);

		all[i] = make(text, (size_t)n);
	}
	for (int i = 0; i < N; i++) {
		snprintf(text, sizeof(text), "secret %d", i);
		assert_string_equal(secret_bytes(all[i]), text);
		secret_unref(all[i]);
	}
}

/* The lines of the mapping that address lies in, up to its VmFlags. */
static void mapping_flags(const void *address, char *out, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	int inside = 0;

	out[0] = '\0';
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (uintptr_t)address >= from && (uintptr_t)address < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(out, size, "%s", line);
	}
	fclose(f);
}

/* Whether this process may lock memory at all; a sanitizer makes mlock do nothing. */
static int may_lock(void)
{
	size_t size = 256 * 1024;
	void *trial = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char flags[512];

	int r = mlock(trial, size);
	mapping_flags(trial, flags, sizeof(flags));
	munmap(trial, size);
	return r == 0 && strstr(flags, " lo") != NULL;
}

static void test_mapping(void **state)
{
	struct secret *s = make(CANARY, strlen(CANARY));
	char flags[512];

	mapping_flags(secret_bytes(s), flags, sizeof(flags));
	if (!flags[0])
		skip(); /* a kernel without smaps */
	assert_non_null(strstr(flags, " dd"));
	if (may_lock())
		assert_non_null(strstr(flags, " lo"));
	secret_unref(s);
}

/* The daemon is a child of the process that read the token. */
static void test_a_child_keeps_and_locks(void **state)
{
	struct secret *s = make(CANARY, strlen(CANARY));
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		char flags[512];
		struct secret *another;

		mapping_flags(secret_bytes(s), flags, sizeof(flags));
		int ok = strcmp(secret_bytes(s), CANARY) == 0 &&
			 (!flags[0] || !may_lock() || strstr(flags, " lo")) &&
			 secret_new("x", 1, &another) == 0;
		_exit(ok ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	secret_unref(s);
}

static void *churn(void *arg)
{
	struct secret *shared = arg;

	for (int i = 0; i < 2000; i++) {
		char text[40];
		int n = snprintf(text, sizeof(text), "%d %p", i, (void *)&n);
		struct secret *own;

		if (secret_new(text, (size_t)n, &own) < 0 || strcmp(secret_bytes(own), text) != 0)
			return arg;
		secret_unref(secret_ref(shared));
		secret_unref(own);
	}
	secret_unref(shared);
	return NULL;
}

static void test_threads(void **state)
{
	struct secret *shared = make(CANARY, strlen(CANARY));
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, secret_ref(shared)), 0);
	for (int i = 0; i < 4; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_string_equal(secret_bytes(shared), CANARY);
	secret_unref(shared);
}

static void check_hidden(const char *secret, const char *text, const char *hidden)
{
	struct secret *s = make(secret, strlen(secret));
	char room[100];

	snprintf(room, sizeof(room), "%s", text);
	secret_hide(s, room, strlen(room));
	assert_string_equal(room, hidden);
	secret_unref(s);
}

static void test_hide(void **state)
{
	check_hidden("abc", "abc", "***");
	check_hidden("abc", "xabcabcab", "x******ab");
	check_hidden("aab", "aaab", "a***");
	check_hidden("a/b", "1 a/b 2 a\\/b 3", "1 *** 2 **** 3");
	check_hidden("a/", "a\\", "a\\");
	check_hidden("", "abc", "abc");
	check_hidden("abcd", "abc", "abc");
	check_hidden("abc", "", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_wiped_with_the_last_reference),
		cmocka_unit_test(test_slots_are_used_again),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_mapping),
		cmocka_unit_test(test_a_child_keeps_and_locks),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_hide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
