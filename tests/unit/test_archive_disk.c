/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What is on disk, seen through the archive. */
#include "archive_world.h"
#include "draft/archive.h"
#include "draft/archive_name.h"

/* ---- pruning ---- */

static const char *name_at(int64_t ms, unsigned number)
{
	static char name[NAME_MAX_BYTES + 1];

	archive_name_history((struct archive_stamp){ ms, number }, name);
	return name;
}

static void make_history(const char *stack, int64_t ms, unsigned number, off_t size)
{
	make_file(path_of("state/history/%s/%s", stack, name_at(ms, number)), "old", size);
}

static bool has_history(const char *stack, int64_t ms, unsigned number)
{
	return exists(path_of("state/history/%s/%s", stack, name_at(ms, number)));
}

static void test_history_keeps_a_hundred(void **unused)
{
	static const char *const foreign[] = { "20200101T000000.000Z.json.bak", "notes.txt",
					       "20200101T000000.000Z-x.json", ".hidden" };
	make_state();
	for (unsigned i = 0; i < ARCHIVE_HISTORY_MAX_FILES; i++)
		make_history("billing", NOW_MS - 1000, i, 0);
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		make_file(path_of("state/history/billing/%s", foreign[i]), "mine", 0);
	make_link(path_of("victim"), path_of("state/history/billing/%s", name_at(1000, 0)));
	make_file(path_of("victim"), "safe", 0);
	make_dir(path_of("state/history/billing/%s", name_at(2000, 0)), 0700);

	struct archive *a = open_archive();
	assert_int_equal(put_history(a, "billing", "new"), 0);
	assert_false(has_history("billing", NOW_MS - 1000, 0));
	assert_true(has_history("billing", NOW_MS - 1000, 1));
	assert_true(has_history("billing", NOW_MS, 0));
	/* One that is there already changes nothing. */
	assert_int_equal(put_history(a, "billing", "new"), 0);
	assert_true(has_history("billing", NOW_MS - 1000, 1));
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		assert_true(has_content(path_of("state/history/billing/%s", foreign[i]), "mine"));
	assert_true(exists(path_of("state/history/billing/%s", name_at(1000, 0))));
	assert_true(exists(path_of("state/history/billing/%s", name_at(2000, 0))));
	assert_true(has_content(path_of("victim"), "safe"));
	assert_int_equal(entries_in(path_of("state/history/billing")), 100 + 4 + 2);
	archive_free(a);
}

static void test_ninety_days(void **unused)
{
	const int64_t limit = NOW_MS - ARCHIVE_MAX_DAYS * DAY_MS;

	make_state();
	make_dir(path_of("state/history/gone"), 0700);
	make_dir(path_of("state/history/kept"), 0700);
	make_history("gone", limit - 1, 0, 0);
	make_history("kept", limit - 1, 0, 0);
	make_history("kept", limit, 0, 0);
	make_history("billing", limit, 0, 0);
	make_file(path_of("state/lost/20200101T000000.000Z-x.json"), "old", 0);

	struct archive *a = open_archive();
	flush(a);
	assert_false(exists(path_of("state/history/gone")));
	assert_false(has_history("kept", limit - 1, 0));
	assert_true(has_history("kept", limit, 0));
	assert_int_equal(entries_in(path_of("state/lost")), 0);

	/* And later, in the directory that is written to. */
	fake_clock_advance(&aw.clock, 1);
	assert_int_equal(put_history(a, "billing", "new"), 0);
	assert_false(has_history("billing", limit, 0));
	assert_true(has_history("kept", limit, 0));
	archive_free(a);
}

/* However old it says it is; and what is ahead of a clock that was put right
 * does not outlive what comes after. */
static void test_what_was_just_written_stays(void **unused)
{
	make_state();
	for (unsigned i = 0; i < ARCHIVE_HISTORY_MAX_FILES; i++)
		make_history("billing", NOW_MS, i, 0);
	struct archive *a = open_archive();
	flush(a);
	aw.clock.wall_ms = 1000;
	assert_int_equal(put_history(a, "billing", "new"), 0);
	assert_true(has_history("billing", 1000, 0));
	assert_false(has_history("billing", NOW_MS, 0));
	assert_int_equal(put_history(a, "billing", "new"), 0);
	assert_int_equal(put_history(a, "billing", "newer"), 0);
	assert_true(has_history("billing", 1000, 0));
	assert_true(has_history("billing", 1000, 1));
	assert_false(has_history("billing", NOW_MS, 1));
	assert_true(has_history("billing", NOW_MS, 2));
	archive_free(a);
}

static void test_lost_keeps_a_thousand(void **unused)
{
	make_state();
	for (unsigned i = 0; i < ARCHIVE_LOST_MAX_FILES + 5; i++) {
		char name[NAME_MAX_BYTES + 1];

		archive_name_lost((struct archive_stamp){ NOW_MS - 1, i }, "x", name);
		make_file(path_of("state/lost/%s", name), "old", 0);
	}
	make_file(path_of("state/lost/20200101T000000.000Z.json"), "mine", 0);
	struct archive *a = open_archive();
	const char *path = lost(a, "billing", "{");
	flush(a);
	assert_true(has_content(path_of("state/%s", path), "{"));
	assert_int_equal(entries_in(path_of("state/lost")), ARCHIVE_LOST_MAX_FILES + 1);
	assert_false(exists(path_of("state/lost/20260131T235959.122Z_5-x.json")));
	assert_true(exists(path_of("state/lost/20260131T235959.122Z_6-x.json")));
	archive_free(a);
}

/* Files with holes: as large as they say. */
static void test_the_total(void **unused)
{
	const off_t quarter = ARCHIVE_MAX_BYTES / 4;

	make_state();
	make_dir(path_of("state/history/other"), 0700);
	make_history("billing", NOW_MS - 5000, 0, quarter);
	make_history("other", NOW_MS - 4000, 0, quarter);
	make_file(path_of("state/lost/20260131T235956.123Z-x.json"), "old", quarter);
	make_history("billing", NOW_MS - 2000, 0, quarter);
	struct archive *a = open_archive();
	flush(a);
	assert_true(has_history("billing", NOW_MS - 5000, 0)); /* just full */

	/* One byte more, which is a whole block: seen after so many writes. */
	for (unsigned i = 0; i < ARCHIVE_TOTAL_EVERY; i++) {
		assert_true(has_history("billing", NOW_MS - 5000, 0));
		lost(a, "more", "x");
		flush(a);
	}
	assert_false(has_history("billing", NOW_MS - 5000, 0));
	assert_true(has_history("other", NOW_MS - 4000, 0));
	archive_free(a);

	/* A mount begins with it; the oldest go, wherever they are. */
	make_history("billing", NOW_MS - 1000, 0, 3 * quarter);
	a = open_archive();
	flush(a);
	assert_false(exists(path_of("state/history/other")));
	assert_false(exists(path_of("state/lost/20260131T235956.123Z-x.json")));
	assert_false(has_history("billing", NOW_MS - 2000, 0));
	assert_true(has_history("billing", NOW_MS - 1000, 0));
	assert_int_equal(entries_in(path_of("state/lost")), ARCHIVE_TOTAL_EVERY);
	archive_free(a);
}

static void test_what_a_crash_leaves(void **unused)
{
	make_state();
	make_file(path_of("state/history/billing/.20260131T225959.122Z.tmp"), "half", 0);
	make_file(path_of("state/history/billing/.20260131T225959.123Z.tmp"), "half", 0);
	make_file(path_of("state/history/billing/." NOW ".tmp"), "another mount's", 0);
	make_file(path_of("state/lost/.20200101T000000.000Z_3.tmp"), "half", 0);
	struct archive *a = open_archive();
	assert_int_equal(put_history(a, "billing", "new"), 0);
	archive_free(a);
	assert_int_equal(entries_in(path_of("state/lost")), 0);
	assert_false(exists(path_of("state/history/billing/.20260131T225959.122Z.tmp")));
	assert_true(exists(path_of("state/history/billing/.20260131T225959.123Z.tmp")));
	assert_true(has_content(path_of("state/history/billing/." NOW ".tmp"), "another mount's"));
	assert_true(has_content(path_of("state/history/billing/" NOW ".json"), "new"));
}

/* ---- two mounts ---- */

#define EACH 45 /* of two: what one stack may have */

static void *write_many(void *arg)
{
	struct archive *a = arg;

	for (unsigned i = 0; i < EACH; i++) {
		char text[64];

		snprintf(text, sizeof(text), "%p %u", arg, i);
		history(a, "billing", text);
		assert_int_equal(archive_lost(a, "billing", text, strlen(text), NULL, NULL, NULL),
				 0);
	}
	return NULL;
}

/* All within one millisecond: every text has a file of its own. */
static void test_two_mounts(void **unused)
{
	struct archive *a = open_archive(), *b = open_archive();
	pthread_t threads[2];

	assert_int_equal(pthread_create(&threads[0], NULL, write_many, a), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, write_many, b), 0);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	flush(a);
	flush(b);
	assert_true(stats_are(a, EACH, EACH, 0, 0));
	assert_true(stats_are(b, EACH, EACH, 0, 0));
	assert_int_equal(entries_in(path_of("state/history/billing")), 2 * EACH);
	assert_int_equal(entries_in(path_of("state/lost")), 2 * EACH);

	/* Both prune the same directory. */
	write_many(a);
	write_many(b);
	archive_free(a);
	archive_free(b);
	a = open_archive();
	assert_int_equal(put_history(a, "billing", "the last"), 0);
	assert_int_equal(entries_in(path_of("state/history/billing")), ARCHIVE_HISTORY_MAX_FILES);
	archive_free(a);
}

static void test_directories_that_go(void **unused)
{
	struct archive *a = open_archive();

	assert_int_equal(put_history(a, "billing", "one"), 0);
	remove_tree(path_of("state/history"));
	assert_int_equal(put_history(a, "billing", "two"), 0);
	assert_true(has_content(path_of("state/history/billing/" NOW ".json"), "two"));
	remove_tree(aw.state);
	const char *path = lost(a, "billing", "three");
	flush(a);
	assert_true(has_content(path_of("state/%s", path), "three"));
	assert_true(stats_are(a, 2, 1, 0, 0));
	archive_free(a);
}

/* ---- a hostile directory ---- */

static void test_links_are_not_followed(void **unused)
{
	struct stat st;

	make_state();
	make_dir(path_of("outside"), 0700);
	make_link(path_of("outside"), path_of("state/history/link"));
	make_file(path_of("outside/%s", name_at(1000, 0)), "theirs", 0);
	make_file(path_of("secret"), "same", 0);
	make_link(path_of("secret"), path_of("state/history/billing/%s", name_at(NOW_MS, 0)));
	make_link(path_of("created"), path_of("state/history/billing/." NOW ".tmp"));
	assert_int_equal(mkfifo(path_of("state/history/billing/%s", name_at(NOW_MS, 9)), 0600), 0);

	struct archive *a = open_archive();
	assert_int_equal(put_history(a, "link", "x"), -ENOTDIR);
	assert_true(stats_are(a, 0, 0, 1, ENOTDIR));
	assert_int_equal(entries_in(path_of("outside")), 1);
	/* Neither compared with, nor written through, nor replaced. */
	assert_int_equal(put_history(a, "billing", "same"), 0);
	assert_true(stats_are(a, 1, 0, 1, ENOTDIR));
	assert_true(has_content(path_of("secret"), "same"));
	assert_false(exists(path_of("created")));
	assert_true(has_content(path_of("state/history/billing/" NOW "_1.json"), "same"));
	assert_int_equal(lstat(path_of("state/history/billing/" NOW ".json"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	archive_free(a);

	assert_int_equal(rename(path_of("state/lost"), path_of("moved")), 0);
	make_link(path_of("outside"), path_of("state/lost"));
	a = NULL;
	assert_int_equal(archive_new(aw.state, &aw.clock.base, &a, NULL), -ENOTDIR);
	assert_null(a);
}

/* ---- a disk in trouble ---- */

static void test_a_limit_on_files(void **unused)
{
	struct archive *a = open_archive();
	struct rlimit before, small;
	char *text = calloc(1, 100001);

	flush(a);
	memset(text, 'x', 100000);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 50000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(put_history(a, "billing", text), -EFBIG);
	assert_int_equal(put_history(a, "billing", "small"), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(stats_are(a, 1, 0, 1, EFBIG));
	assert_int_equal(entries_in(path_of("state/history/billing")), 1);
	assert_int_equal(put_history(a, "billing", text), 0);
	archive_free(a);
	free(text);
}

/* In a process of its own, which may do to itself what it likes. */
static void in_child(int (*run)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int err_of(struct archive *a, bool to_lost, size_t len)
{
	struct outcome o = OUTCOME_INIT;
	char *text = calloc(1, len);
	int r = to_lost ? archive_lost(a, "billing", text, len, note, &o, NULL)
			: archive_history(a, "billing", text, len, note, &o);

	free(text);
	return r < 0 || archive_flush(a, WAIT) < 0 || o.calls != 1 ? 1 : o.err;
}

static int full_disk(void)
{
	struct archive *a;
	struct archive_stats s;

	if (mkdir(aw.state, 0700) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", aw.state, "tmpfs", 0, "size=1m,mode=0700") < 0)
		return 77;
	if (archive_new(aw.state, &aw.clock.base, &a, NULL) < 0)
		return 1;
	if (err_of(a, true, 2u << 20) != -ENOSPC || err_of(a, true, 100) != 0)
		return 2;
	if (entries_in(path_of("state/lost")) != 1)
		return 3; /* nothing half is left */
	if (mount("none", aw.state, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=1m") < 0 ||
	    err_of(a, false, 100) != -EROFS || err_of(a, true, 100) != -EROFS)
		return 4;
	char why[ARCHIVE_WHY_BYTES];
	struct archive *none;
	if (archive_check(aw.state, why) != -EROFS || !strstr(why, aw.state) ||
	    archive_new(aw.state, &aw.clock.base, &none, NULL) != -EROFS)
		return 7; /* whoever mounts now is told at once */
	if (mount("none", aw.state, "tmpfs", MS_REMOUNT, "size=1m") < 0 ||
	    err_of(a, false, 100) != 0)
		return 5;
	archive_get_stats(a, &s);
	archive_free(a);
	return s.failures == 3 && s.last_errno == EROFS && s.history_files_written == 1 &&
			       s.lost_files_written == 1
		       ? 0
		       : 6;
}

static void test_a_full_disk(void **unused)
{
	in_child(full_disk);
}

/* renameat2(2) as on NFS. */
static int no_renameat2(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { ARRAY_SIZE(code), code };
	struct archive *a;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		return 77;
	if (archive_new(aw.state, &aw.clock.base, &a, NULL) < 0)
		return 1;
	for (unsigned i = 0; i < 3; i++)
		if (err_of(a, false, 100 + i) != 0)
			return 2;
	archive_free(a);
	return entries_in(path_of("state/history/billing")) == 3 &&
			       exists(path_of("state/history/billing/" NOW "_2.json"))
		       ? 0
		       : 3;
}

static void test_without_renameat2(void **unused)
{
	in_child(no_renameat2);
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, archive_world_setup, archive_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_history_keeps_a_hundred),
		TEST(test_ninety_days),
		TEST(test_what_was_just_written_stays),
		TEST(test_lost_keeps_a_thousand),
		TEST(test_the_total),
		TEST(test_what_a_crash_leaves),
		TEST(test_two_mounts),
		TEST(test_directories_that_go),
		TEST(test_links_are_not_followed),
		TEST(test_a_limit_on_files),
		TEST(test_a_full_disk),
		TEST(test_without_renameat2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
