/* SPDX-License-Identifier: MIT */
/* Opens that need nothing, and the pages of a token. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fs/private.h"
#include "fs_world.h"

#define ONE_ID    "600000000000000000000001"
#define GET_ONE   "GET /v1/stacks/" ONE_ID
#define GET_TOKEN GET_ONE "/systemToken"

static uint64_t one, config;

static int setup(void **state)
{
	fw_make(NULL);
	fw_first_list(fake_list(1, fake_record(1, "one", "")));
	one = fw_lookup(FS_ROOT, "one");
	config = fw_lookup(one, "config.json");
	return 0;
}

struct answer {
	uint64_t handle; /* 0: none was given */
	bool keep_cache;
};

static bool take_answer(void *arg, uint64_t handle, bool keep_cache)
{
	*(struct answer *)arg = (struct answer){ handle, keep_cache };
	return true;
}

static struct answer open_fresh(uint64_t node, int flags)
{
	struct answer answer = { 0 };
	bool opened = fs_open_fresh(fw.fs, node, flags, fw.tid, take_answer, &answer);

	assert_int_equal(opened, answer.handle != 0);
	return answer;
}

/* Whether it needs nothing; the kernel may keep what it has. */
static bool is_fresh_to(uint64_t node, int flags)
{
	struct answer answer = open_fresh(node, flags);

	if (!answer.handle)
		return false;
	assert_true(answer.keep_cache);
	fw_close(answer.handle);
	return true;
}

static bool is_fresh(uint64_t node)
{
	return is_fresh_to(node, O_RDONLY);
}

static void open_once(uint64_t node)
{
	fw_close(fw_open(node, O_RDONLY));
}

static bool skip_entry(struct fs_op *op, const struct fs_dirent *entry)
{
	return true;
}

/* As the kernel lists, which wants the attributes, too. */
static void list(uint64_t dir)
{
	struct call open = { .op = { .call = FS_OPENDIR, .node = dir } };

	assert_int_equal(fw_run(&open), 0);
	struct call list = { .op = { .call = FS_READDIR, .handle = open.op.handle, .plus = true,
				     .emit = skip_entry } };
	assert_int_equal(fw_run(&list), 0);
	fw_close(open.op.handle);
}

static void test_a_file_that_was_opened(void **state)
{
	assert_false(is_fresh(config));
	open_once(config);
	assert_true(is_fresh(config));
	assert_false(is_fresh_to(config, O_WRONLY));
	assert_false(is_fresh_to(config, O_RDWR));
	assert_false(is_fresh_to(config, O_RDONLY | O_TRUNC));
	assert_false(is_fresh(4711));
}

static void test_a_directory_that_was_listed(void **state)
{
	assert_false(is_fresh(one));
	list(one);
	assert_true(is_fresh(one));
	list(FS_ROOT);
	assert_false(is_fresh(FS_ROOT)); /* whose age is the list's, not the records' */
}

static void test_for_half_a_ttl(void **state)
{
	open_once(config);
	list(one);
	fake_account_advance(&fw.a, FW_TTL_MS / 2 - 1);
	assert_true(is_fresh(config));
	assert_true(is_fresh(one));
	fake_account_advance(&fw.a, 1);
	assert_false(is_fresh(config));
	assert_false(is_fresh(one));
	fw_expect_no_request();
}

static void test_it_counts_as_a_hit(void **state)
{
	struct store_stats before, after;

	open_once(config);
	store_get_stats(fw.fs->store, &before);
	assert_true(is_fresh(config));
	store_get_stats(fw.fs->store, &after);
	assert_int_equal(after.hits, before.hits + 1);
}

static void test_not_while_it_is_written(void **state)
{
	open_once(config);
	uint64_t writer = fw_open(config, O_WRONLY);

	assert_true(is_fresh(config)); /* nothing was written yet */
	assert_int_equal(fw_truncate(config, writer, 0), 0);
	assert_false(is_fresh(config));
	fw_close(writer);
	assert_false(is_fresh(config)); /* its pages are the draft's */
}

/* A version that is replaced, and one of which nobody knows whether it is. */
static void test_not_another_version(void **state)
{
	open_once(config);
	fake_account_advance(&fw.a, FW_TTL_MS);
	struct call c = { .op = { .call = FS_OPEN, .node = config, .flags = O_RDONLY } };
	fw_submit(&c);
	fw_answer(200, fake_list(1, fake_record(1, "one", ",\"new\":true")));
	assert_true(c.done && !c.op.keep_cache);
	fw_close(c.op.handle);
	assert_true(is_fresh(config));

	struct stack_id id;
	assert_int_equal(stack_id_parse(ONE_ID, strlen(ONE_ID), &id), 0);
	monitor_enter(fw.a.monitor);
	store_expire_record(fw.fs->store, store_find(fw.fs->store, &id));
	monitor_leave(fw.a.monitor);
	assert_false(is_fresh(config));
}

static void test_not_after_a_refresh(void **state)
{
	uint64_t users = 0;
	struct call c = { .op = { .call = FS_LOOKUP, .node = one, .name = "dependencies" } };

	fw_submit(&c);
	fw_expect(GET_ONE "/dependencies", 200, "{}");
	users = c.op.entry.node;
	open_once(users);
	assert_true(is_fresh(users));
	fs_refresh(fw.fs);
	fw_expect("GET /v1/stacks", 200, fake_list(1, fake_record(1, "one", "")));
	assert_false(is_fresh(users));
}

static void test_not_after_a_sleep(void **state)
{
	open_once(config);
	list(one);
	fs_woke(fw.fs);
	assert_false(is_fresh(config));
	assert_false(is_fresh(one));
}

/* Whoever has hidden something may be the one who opens: it stays so for longer. */
static void test_not_while_something_is_hidden(void **state)
{
	struct fw_child rm = fw_child("rm");

	open_once(config);
	list(one);
	fw.tid = rm.pid;
	assert_int_equal(fw_unlink(one, "dependencies"), 0);
	assert_false(is_fresh(config));
	fake_account_advance(&fw.a, FW_GRACE_MS);
	assert_true(is_fresh(config));
	fw_child_end(rm);
}

/* The guard of rmdir asks who has listed the directory. */
static void test_an_opener_is_remembered(void **state)
{
	struct fw_child rm = fw_child("rm");

	list(one); /* by another process */
	fw.tid = rm.pid;
	assert_true(is_fresh(one));
	assert_int_equal(fw_unlink(one, "config.json"), 0);
	assert_int_equal(fw_unlink(one, "dependencies"), 0);
	assert_int_equal(fw_unlink(one, "systemToken"), 0);
	struct call c = { .op = { .call = FS_RMDIR, .node = FS_ROOT, .name = "one" } };
	fw_submit(&c);
	assert_false(c.done); /* asks the API, and is not refused */
	fw_end_http();
	assert_true(c.done);
	fw_child_end(rm);
}

/* ---- tokens ---- */

static uint64_t token_node(void)
{
	struct call c = { .op = { .call = FS_LOOKUP, .node = one, .name = "systemToken" } };

	fw_submit(&c);
	fw_expect(GET_TOKEN, 200, "{\"systemToken\":\"secret\"}");
	assert_true(c.done);
	return c.op.entry.node;
}

static bool page_is_blank(void)
{
	static const char zeros[sizeof(fw.page)];

	return fw.page_len == strlen("secret\n") && memcmp(fw.page, zeros, fw.page_len) == 0;
}

static void test_a_token_is_filled_in_and_wiped(void **state)
{
	uint64_t token = token_node();

	fw_forget_drops();
	open_once(token); /* what size the kernel thinks it has is not known */
	assert_int_equal(fw.fills, 1);
	assert_true(page_is_blank());
	struct answer answer = open_fresh(token, O_RDONLY);
	assert_true(answer.keep_cache);
	assert_memory_equal(fw.page, "secret\n", fw.page_len);
	fw_close(answer.handle);
	assert_true(page_is_blank());
	assert_string_equal(fw.dropped, "");
}

static bool refuse_answer(void *arg, uint64_t handle, bool keep_cache)
{
	return false;
}

/* Who asked has gone meanwhile. */
static void test_what_nobody_took_is_closed(void **state)
{
	uint64_t token = token_node();

	open_once(token);
	assert_true(fs_open_fresh(fw.fs, token, O_RDONLY, fw.tid, refuse_answer, NULL));
	assert_int_equal(fw.fills, 3);
	assert_true(page_is_blank());
}

/* While somebody else has it open, a page may be locked by a READ that waits for us. */
static void test_a_token_is_filled_in_for_the_first(void **state)
{
	uint64_t token = token_node();

	open_once(token);
	uint64_t first = fw_open(token, O_RDONLY);
	unsigned fills = fw.fills;
	struct answer second = open_fresh(token, O_RDONLY);
	assert_int_not_equal(second.handle, 0);
	assert_false(second.keep_cache);
	fw_close(first);
	assert_int_equal(fw.fills, fills);
	fw_close(second.handle);
	assert_true(page_is_blank());
}

static void test_a_token_that_cannot_be_wiped_is_dropped(void **state)
{
	uint64_t token = token_node();
	char dropped[30];

	open_once(token);
	uint64_t handle = fw_open(token, O_RDONLY);
	fw_forget_drops();
	fw.no_fill = true;
	fw_close(handle);
	snprintf(dropped, sizeof(dropped), " %llu", (unsigned long long)token);
	assert_string_equal(fw.dropped, dropped);

	struct call c = { .op = { .call = FS_OPEN, .node = token, .flags = O_RDONLY } };
	assert_int_equal(fw_run(&c), 0);
	assert_false(c.op.keep_cache);
	fw_close(c.op.handle);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, fw_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_file_that_was_opened),
		TEST(test_a_directory_that_was_listed),
		TEST(test_for_half_a_ttl),
		TEST(test_it_counts_as_a_hit),
		TEST(test_not_while_it_is_written),
		TEST(test_not_another_version),
		TEST(test_not_after_a_refresh),
		TEST(test_not_after_a_sleep),
		TEST(test_not_while_something_is_hidden),
		TEST(test_an_opener_is_remembered),
		TEST(test_a_token_is_filled_in_and_wiped),
		TEST(test_a_token_is_filled_in_for_the_first),
		TEST(test_what_nobody_took_is_closed),
		TEST(test_a_token_that_cannot_be_wiped_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
