/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive_world.h"
#include "draft/archive.h"
#include "tree/name.h"

/* ---- the directories ---- */

static void test_makes_private_directories(void **unused)
{
	mode_t before = umask(0);

	snprintf(aw.state, sizeof(aw.state), "%s/a/b/state//", aw.top);
	struct archive *a = open_archive();
	assert_string_equal(archive_dir(a), path_of("a/b/state"));
	history(a, "billing", "{}\n");
	lost(a, "billing", "{\n");
	flush(a);
	archive_free(a);
	umask(before);
	assert_int_equal(mode_of(path_of("a")), 0700);
	assert_int_equal(mode_of(path_of("a/b/state")), 0700);
	assert_int_equal(mode_of(path_of("a/b/state/history")), 0700);
	assert_int_equal(mode_of(path_of("a/b/state/lost")), 0700);
	assert_int_equal(mode_of(path_of("a/b/state/history/billing")), 0700);
	assert_int_equal(mode_of(path_of("a/b/state/history/billing/" NOW ".json")), 0600);
	assert_int_equal(mode_of(path_of("a/b/state/lost/" NOW "-billing.json")), 0600);
}

static void test_umask_takes_nothing_away(void **unused)
{
	struct archive *a = open_archive();
	mode_t before = umask(0277);

	lost(a, "billing", "{");
	flush(a);
	umask(before);
	archive_free(a);
	assert_int_equal(mode_of(path_of("state/lost/" NOW "-billing.json")), 0600);
}

/* From a backup: readable by others is put right. */
static void test_tightens_its_own(void **unused)
{
	make_dir(aw.state, 0755);
	make_dir(path_of("state/history"), 0755);
	make_dir(path_of("state/history/billing"), 0755);
	struct archive *a = open_archive();
	assert_int_equal(put_history(a, "billing", "{}"), 0);
	archive_free(a);
	assert_int_equal(mode_of(aw.state), 0755);
	assert_int_equal(mode_of(path_of("state/history")), 0700);
	assert_int_equal(mode_of(path_of("state/history/billing")), 0700);
}

static void expect_refused(const char *dir, int err, const char *why_part)
{
	struct archive *a = NULL;
	char why[ARCHIVE_WHY_BYTES];

	assert_int_equal(archive_new(dir, &aw.clock.base, &a, why), err);
	assert_null(a);
	if (!strstr(why, why_part))
		fail_msg("%s: not in: %s", why_part, why);
	assert_int_equal(archive_new(dir, &aw.clock.base, &a, NULL), err);
}

static void test_refuses_what_others_can_write_to(void **unused)
{
	static const mode_t bad[] = { 0770, 0707, 0720, 0702, 01777 };

	make_dir(aw.state, 0700);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		make_dir(aw.state, bad[i]);
		expect_refused(aw.state, -EPERM, "others can write to it");
	}
	assert_int_equal(entries_in(aw.state), 0);
	make_dir(aw.state, 0700);
	make_dir(path_of("state/lost"), 0770);
	expect_refused(aw.state, -EPERM, "/state/lost: others can write to it");

	make_dir(path_of("state/lost"), 0700);
	struct archive *a = open_archive();
	make_dir(path_of("state/history/billing"), 0777);
	assert_int_equal(put_history(a, "billing", "{}"), -EPERM);
	assert_true(stats_are(a, 0, 0, 1, EPERM));
	assert_int_equal(entries_in(path_of("state/history/billing")), 0);
	archive_free(a);
}

static void test_refuses_other_places(void **unused)
{
	expect_refused("relative/state", -EINVAL, "relative/state: not an absolute path");
	expect_refused("", -EINVAL, "not an absolute path");
	make_file(path_of("file"), "x", 0);
	expect_refused(path_of("file"), -ENOTDIR, "/file: ");
	expect_refused(path_of("file/state"), -ENOTDIR, "/file/state: ");

	char deep[PATH_MAX + 16];
	memset(deep, 'd', sizeof(deep));
	deep[0] = '/';
	deep[sizeof(deep) - 1] = '\0';
	expect_refused(deep, -ENAMETOOLONG, "/ddd");
}

static void test_another_users(void **unused)
{
	if (geteuid() != 0)
		skip();
	make_dir(aw.state, 0700);
	assert_int_equal(chown(aw.state, 12345, 12345), 0);
	expect_refused(aw.state, -EPERM, "belongs to another user");

	make_dir(path_of("real"), 0700);
	make_link(path_of("real"), path_of("link"));
	assert_int_equal(lchown(path_of("link"), 12345, 12345), 0);
	expect_refused(path_of("link"), -EPERM, "a symbolic link of another user");
	expect_refused(path_of("link/"), -EPERM, "a symbolic link of another user");
	assert_int_equal(entries_in(path_of("real")), 0);
}

static void test_a_link_of_ours(void **unused)
{
	make_dir(path_of("real"), 0700);
	make_link("real", aw.state);
	struct archive *a = open_archive();
	assert_string_equal(archive_dir(a), aw.state);
	history(a, "billing", "{}");
	archive_free(a);
	assert_true(has_content(path_of("real/history/billing/" NOW ".json"), "{}"));
}

static void test_nowhere(void **unused)
{
	struct archive *a;
	struct outcome o = OUTCOME_INIT;
	char path[ARCHIVE_PATH_BYTES] = "x";

	assert_int_equal(archive_new(NULL, &aw.clock.base, &a, NULL), 0);
	assert_null(archive_dir(a));
	assert_int_equal(archive_history(a, "billing", "{}", 2, note, &o), 0);
	assert_int_equal(archive_lost(a, "billing", "{}", 2, note, &o, path), 0);
	assert_int_equal(archive_history(a, "..", "{}", 2, note, &o), -EINVAL);
	flush(a);
	assert_int_equal(o.calls, 2);
	assert_int_equal(o.err, 0);
	assert_string_equal(path, "");
	assert_true(stats_are(a, 0, 0, 0, 0));
	archive_free(a);
	archive_free(NULL);
}

static void expect_default(const char *xdg, const char *home, int err, const char *dir)
{
	char out[PATH_MAX] = "";

	if (xdg)
		setenv("XDG_STATE_HOME", xdg, 1);
	else
		unsetenv("XDG_STATE_HOME");
	if (home)
		setenv("HOME", home, 1);
	else
		unsetenv("HOME");
	assert_int_equal(archive_default_dir(out), err);
	if (dir)
		assert_string_equal(out, dir);
}

static void test_default_dir(void **unused)
{
	char longest[PATH_MAX + 1];

	expect_default("/x/state", "/h", 0, "/x/state/stacksfs");
	expect_default(NULL, "/h", 0, "/h/.local/state/stacksfs");
	expect_default("", "/h", 0, "/h/.local/state/stacksfs");
	expect_default("not/absolute", "/h", 0, "/h/.local/state/stacksfs");
	memset(longest, 'd', sizeof(longest));
	longest[0] = '/';
	longest[PATH_MAX] = '\0';
	expect_default(longest, "/h", -ENAMETOOLONG, "");
	expect_default(NULL, longest, -ENAMETOOLONG, "");

	/* The user's entry in passwd, if there is one. */
	char out[PATH_MAX];
	unsetenv("HOME");
	int r = archive_default_dir(out);
	assert_true(r == -ENOENT || (r == 0 && out[0] == '/' && strstr(out, "/.local/state/")));
	setenv("HOME", aw.top, 1);
}

/* ---- history ---- */

static void test_history(void **unused)
{
	struct archive *a = open_archive();

	assert_int_equal(put_history(a, "billing", "one\n"), 0);
	fake_clock_advance(&aw.clock, 1);
	assert_int_equal(put_history(a, "billing", "two\n"), 0);
	assert_int_equal(put_history(a, "other", ""), 0);
	assert_true(has_content(path_of("state/history/billing/" NOW ".json"), "one\n"));
	assert_true(
		has_content(path_of("state/history/billing/20260131T235959.124Z.json"), "two\n"));
	assert_true(has_content(path_of("state/history/other/20260131T235959.124Z.json"), ""));
	assert_true(stats_are(a, 3, 0, 0, 0));
	archive_free(a);
}

static void test_equal_versions_are_written_once(void **unused)
{
	struct archive *a = open_archive();
	char big[20000];

	assert_int_equal(put_history(a, "billing", "A"), 0);
	assert_int_equal(put_history(a, "billing", "A"), 0);
	assert_int_equal(put_history(a, "other", "A"), 0);
	assert_true(stats_are(a, 2, 0, 0, 0));
	assert_int_equal(put_history(a, "billing", "B"), 0);
	assert_int_equal(put_history(a, "billing", "A"), 0);
	assert_true(stats_are(a, 4, 0, 0, 0));

	/* Of more than one block; the last byte counts. */
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	history(a, "billing", big);
	history(a, "billing", big);
	big[sizeof(big) - 2] = 'y';
	history(a, "billing", big);
	archive_free(a);

	/* Across a restart too, and never in lost. */
	a = open_archive();
	history(a, "billing", big);
	lost(a, "billing", big);
	lost(a, "billing", big);
	flush(a);
	assert_true(stats_are(a, 0, 2, 0, 0));
	assert_int_equal(entries_in(path_of("state/history/billing")), 5);
	archive_free(a);
}

/* The clock stands still; "_10" follows "_9". */
static void test_one_millisecond(void **unused)
{
	struct archive *a = open_archive();

	for (unsigned i = 0; i < 12; i++) {
		char text[8], path[ARCHIVE_PATH_BYTES], expected[ARCHIVE_PATH_BYTES];

		snprintf(text, sizeof(text), "%u", i);
		history(a, "billing", text);
		assert_int_equal(archive_lost(a, i % 2 ? "odd" : "even", text, strlen(text), NULL,
					      NULL, path),
				 0);
		if (i == 0)
			snprintf(expected, sizeof(expected), "lost/" NOW "-even.json");
		else
			snprintf(expected, sizeof(expected), "lost/" NOW "_%u-%s.json", i,
				 i % 2 ? "odd" : "even");
		assert_string_equal(path, expected);
	}
	flush(a);
	assert_true(has_content(path_of("state/history/billing/" NOW ".json"), "0"));
	assert_true(has_content(path_of("state/history/billing/" NOW "_1.json"), "1"));
	assert_true(has_content(path_of("state/history/billing/" NOW "_11.json"), "11"));
	assert_true(has_content(path_of("state/lost/" NOW "-even.json"), "0"));
	assert_true(has_content(path_of("state/lost/" NOW "_11-odd.json"), "11"));
	/* The newest is _11, not _9. */
	assert_int_equal(put_history(a, "billing", "11"), 0);
	assert_true(stats_are(a, 12, 12, 0, 0));
	archive_free(a);
}

/* ---- names ---- */

static void test_strange_stacks(void **unused)
{
	static const char *const good[] = { "a",         "%2E.",
					    "~",         "-",
					    "x~y",       "caf\xc3\xa9 (new)",
					    "*",         "-rf",
					    NOW ".json", "\xf0\x9f\x9a\x80" };
	static const char *const bad[] = { "", ".", "..", ".x", "a/b", "/", "../x", "x/..", "x/" };
	struct archive *a = open_archive();
	char longest[NAME_MAX_BYTES + 2];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(put_history(a, good[i], "{}"), 0);
		assert_true(has_content(path_of("state/history/%s/" NOW ".json", good[i]), "{}"));
		const char *path = lost(a, good[i], "{");
		flush(a);
		assert_true(has_content(path_of("state/%s", path), "{"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct outcome o = OUTCOME_INIT;

		assert_int_equal(archive_history(a, bad[i], "", 0, note, &o), -EINVAL);
		assert_int_equal(archive_lost(a, bad[i], "", 0, note, &o, NULL), -EINVAL);
		assert_int_equal(o.calls, 0);
	}
	memset(longest, 'x', sizeof(longest));
	longest[NAME_MAX_BYTES + 1] = '\0';
	assert_int_equal(archive_history(a, longest, "", 0, NULL, NULL), -EINVAL);
	longest[NAME_MAX_BYTES] = '\0';
	assert_int_equal(put_history(a, longest, "{}"), 0);
	assert_true(has_content(path_of("state/history/%s/" NOW ".json", longest), "{}"));
	assert_true(stats_are(a, ARRAY_SIZE(good) + 1, ARRAY_SIZE(good), 0, 0));
	archive_free(a);
}

#define SUFFIX "~5f00000000000000000000a1"

static void test_long_names_keep_their_id(void **unused)
{
	struct archive *a = open_archive();
	char stack[NAME_MAX_BYTES + 1];

	memset(stack, 'x', NAME_MAX_BYTES - strlen(SUFFIX));
	memcpy(stack + NAME_MAX_BYTES - strlen(SUFFIX), SUFFIX, sizeof(SUFFIX));
	for (unsigned i = 0; i < 3; i++) {
		const char *path = lost(a, stack, "{");

		flush(a);
		assert_non_null(strstr(path, "x" SUFFIX ".json"));
		assert_true(has_content(path_of("state/%s", path), "{"));
	}
	assert_int_equal(entries_in(path_of("state/lost")), 3);
	archive_free(a);
}

/* A clock that is out of its mind still gives names, and files. */
static void test_wrong_clocks(void **unused)
{
	static const int64_t times[] = { INT64_MIN, -1, 0, INT64_MAX };
	struct archive *a = open_archive();

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		char text[8];

		snprintf(text, sizeof(text), "%zu", i);
		aw.clock.wall_ms = times[i];
		assert_int_equal(put_history(a, "billing", text), 0);
	}
	aw.clock.wall_ms = 0;
	archive_free(a);
	assert_true(has_content(path_of("state/history/billing/99991231T235959.999Z.json"), "3"));
}

/* ---- lost ---- */

static void test_lost(void **unused)
{
	struct archive *a = open_archive();
	struct outcome o = OUTCOME_INIT;

	assert_string_equal(lost(a, "billing", "{ \"name\": "), "lost/" NOW "-billing.json");
	assert_int_equal(archive_lost(a, "x", "y", 1, note, &o, NULL), 0);
	flush(a);
	assert_int_equal(o.calls, 1);
	assert_int_equal(o.err, 0);
	assert_true(has_content(path_of("state/lost/" NOW "-billing.json"), "{ \"name\": "));
	assert_true(has_content(path_of("state/lost/" NOW "_1-x.json"), "y"));
	assert_true(stats_are(a, 0, 2, 0, 0));
	archive_free(a);
}

/* ---- the queue ---- */

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool reached, open;
};

#define GATE_INIT                                                                                  \
	{                                                                                          \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false                  \
	}

static void stop_at_gate(void *arg, int err)
{
	struct gate *g = arg;

	pthread_mutex_lock(&g->lock);
	g->reached = true;
	pthread_cond_broadcast(&g->changed);
	while (!g->open)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

/* The archive's thread is held in a done. */
static void hold(struct archive *a, struct gate *g)
{
	assert_int_equal(archive_history(a, "held", "", 0, stop_at_gate, g), 0);
	pthread_mutex_lock(&g->lock);
	while (!g->reached)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static void let_go(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->open = true;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

static void test_the_queue_is_bounded(void **unused)
{
	struct archive *a = open_archive();
	struct gate g = GATE_INIT;
	size_t len = 8u << 20;
	char *text = calloc(1, ARCHIVE_QUEUE_MAX_BYTES);
	struct outcome o = OUTCOME_INIT;
	unsigned taken = 0;

	hold(a, &g);
	while (archive_history(a, "big", text, len, note, &o) == 0)
		text[0] = (char)++taken;
	assert_int_equal(taken, ARCHIVE_QUEUE_MAX_BYTES / len - 1); /* the items count too */
	assert_int_equal(archive_lost(a, "big", text, len, note, &o, NULL), -ENOSPC);
	assert_int_equal(archive_history(a, "big", text, SIZE_MAX, note, &o), -ENOSPC);
	assert_int_equal(archive_history(a, "small", text, 1, note, &o), 0);
	assert_true(stats_are(a, 1, 0, 3, ENOSPC));
	assert_int_equal(archive_flush(a, 0), -ETIMEDOUT);
	assert_int_equal(archive_flush(a, 10), -ETIMEDOUT);
	let_go(&g);
	flush(a);
	assert_int_equal(o.calls, taken + 1);
	/* There is room again. */
	assert_int_equal(archive_history(a, "big", text, len, note, &o), 0);
	archive_free(a);
	assert_int_equal(o.calls, taken + 2);
	free(text);
}

static void test_free_writes_what_is_queued(void **unused)
{
	struct archive *a = open_archive();
	struct gate g = GATE_INIT;
	struct outcome o = OUTCOME_INIT;

	hold(a, &g);
	for (unsigned i = 0; i < 50; i++) {
		char text[8];

		snprintf(text, sizeof(text), "%u", i);
		assert_int_equal(archive_history(a, "billing", text, strlen(text), note, &o), 0);
	}
	let_go(&g);
	archive_free(a);
	assert_int_equal(o.calls, 50);
	assert_int_equal(o.err, 0);
	assert_int_equal(entries_in(path_of("state/history/billing")), 50);
	assert_true(has_content(path_of("state/history/billing/" NOW "_49.json"), "49"));
}

static void archive_more(void *arg, int err)
{
	history(arg, "second", "from done");
}

static void test_done_may_archive(void **unused)
{
	struct archive *a = open_archive();

	assert_int_equal(archive_history(a, "first", "", 0, archive_more, a), 0);
	flush(a);
	assert_true(has_content(path_of("state/history/second/" NOW ".json"), "from done"));
	archive_free(a);
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, archive_world_setup, archive_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_makes_private_directories),
		TEST(test_umask_takes_nothing_away),
		TEST(test_tightens_its_own),
		TEST(test_refuses_what_others_can_write_to),
		TEST(test_refuses_other_places),
		TEST(test_another_users),
		TEST(test_a_link_of_ours),
		TEST(test_nowhere),
		TEST(test_default_dir),
		TEST(test_history),
		TEST(test_equal_versions_are_written_once),
		TEST(test_one_millisecond),
		TEST(test_strange_stacks),
		TEST(test_long_names_keep_their_id),
		TEST(test_wrong_clocks),
		TEST(test_lost),
		TEST(test_the_queue_is_bounded),
		TEST(test_free_writes_what_is_queued),
		TEST(test_done_may_archive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
