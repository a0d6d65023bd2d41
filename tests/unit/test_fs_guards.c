/* SPDX-License-Identifier: MIT */
/* What is hidden, deleted and rotated, and what only looks as if it should be. */
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

#define ONE_ID       "600000000000000000000001"
#define DELETE_ONE   "DELETE /v1/stacks/" ONE_ID
#define DELETE_TOKEN DELETE_ONE "/systemToken"
#define GET_USERS    "GET /v1/stacks/" ONE_ID "/dependencies"
#define ALL          " config.json dependencies systemToken"

static uint64_t one;
static struct fw_child rm, editor;

static void begin(void (*change)(struct fs_options *options))
{
	fw_make(change);
	fw_first_list(fake_list(2, fake_record(1, "one", ""), fake_record(2, "two", "")));
	one = fw_lookup(FS_ROOT, "one");
	rm = fw_child("rm");
	editor = fw_child("vim");
	fw.tid = rm.pid;
}

static int setup(void **state)
{
	begin(NULL);
	return 0;
}

static int teardown(void **state)
{
	fw_child_end(rm);
	fw_child_end(editor);
	return fw_teardown(state);
}

static void as(struct fw_child child)
{
	fw.tid = child.pid;
}

/* What rm -r does before it removes the directory. */
static void empty(void)
{
	(void)fw_list(one);
	assert_int_equal(fw_unlink(one, "config.json"), 0);
	assert_int_equal(fw_unlink(one, "dependencies"), 0);
	assert_int_equal(fw_unlink(one, "systemToken"), 0);
}

static void begin_rmdir(struct call *c)
{
	*c = (struct call){ .op = { .call = FS_RMDIR, .node = FS_ROOT, .name = "one" } };
	fw_submit(c);
}

static void begin_rotation(struct call *c)
{
	*c = (struct call){ .op = { .call = FS_UNLINK, .node = one, .name = "systemToken" } };
	fw_submit(c);
}

/* ---- deleting ---- */

static void test_rm_r_deletes(void **state)
{
	struct call c;

	empty();
	assert_string_equal(fw_list(one), "");
	begin_rmdir(&c);
	assert_true(c.parked);
	fw_expect(GET_USERS, 200, "{}");
	fw_expect(DELETE_ONE, 204, "");
	assert_true(c.done);
	assert_int_equal(c.op.err, 0);
	assert_int_equal(fw_lookup(FS_ROOT, "one"), 0);
	assert_string_equal(fw_list(FS_ROOT), " two");
	fw_expect_no_request();
}

static void is_kept(int err)
{
	assert_int_equal(err, -ENOTEMPTY);
	assert_string_equal(fw_list(one), ALL);
	fw_expect_no_request();
}

static void test_a_plain_rmdir_has_no_reason_to_tell(void **state)
{
	(void)fw_list(one);
	is_kept(fw_rmdir("one"));
	assert_string_equal(fw_errors(), "");
}

static void test_config_json_has_to_be_the_first(void **state)
{
	(void)fw_list(one);
	assert_int_equal(fw_unlink(one, "dependencies"), 0);
	assert_int_equal(fw_unlink(one, "config.json"), 0);
	assert_int_equal(fw_unlink(one, "systemToken"), 0);
	is_kept(fw_rmdir("one"));
	assert_non_null(strstr(fw_errors(), "config.json first"));
}

static void test_all_has_to_be_removed(void **state)
{
	(void)fw_list(one);
	assert_int_equal(fw_unlink(one, "config.json"), 0);
	assert_int_equal(fw_unlink(one, "dependencies"), 0);
	is_kept(fw_rmdir("one"));
}

static void test_the_directory_has_to_be_listed(void **state)
{
	assert_int_equal(fw_unlink(one, "config.json"), 0);
	assert_int_equal(fw_unlink(one, "dependencies"), 0);
	assert_int_equal(fw_unlink(one, "systemToken"), 0);
	assert_int_equal(fw_rmdir("one"), -ENOTEMPTY);
	is_kept(-ENOTEMPTY);
}

static void test_one_process_has_to_remove_all(void **state)
{
	as(editor);
	(void)fw_list(one);
	assert_int_equal(fw_unlink(one, "config.json"), 0);
	as(rm);
	(void)fw_list(one);
	assert_int_equal(fw_unlink(one, "dependencies"), 0);
	as(editor);
	assert_int_equal(fw_unlink(one, "systemToken"), 0);
	is_kept(fw_rmdir("one"));
	empty();
	as(rm);
	is_kept(fw_rmdir("one")); /* what another has emptied */
}

static void test_scratch_stands_in_the_way(void **state)
{
	assert_int_equal(fw_put_file(one, "x", "y"), 0);
	empty();
	assert_int_equal(fw_rmdir("one"), -ENOTEMPTY);
	assert_string_equal(fw_list(one), ALL " x");
	fw_expect_no_request();
}

static void test_a_new_config_json_ends_it(void **state)
{
	empty();
	fw_close(fw_create(one, "config.json", NULL));
	assert_int_equal(fw_rmdir("one"), -ENOTEMPTY);
	assert_string_equal(fw_list(one), ALL);
	fw_expect_no_request();
}

static void test_a_stack_in_use(void **state)
{
	struct call c;

	empty();
	begin_rmdir(&c);
	fw_expect(GET_USERS, 200, "{\"hooks\":[{\"id\":\"1\",\"name\":\"nightly\"}]}");
	assert_int_equal(c.op.err, -EBUSY);
	assert_string_equal(fw_list(one), ALL);
	assert_non_null(strstr(fw_errors(), "nightly"));
	fw_expect_no_request();
}

static void test_a_refused_deletion_shows_all_again(void **state)
{
	struct call c;

	empty();
	begin_rmdir(&c);
	fw_expect(GET_USERS, 200, "{}");
	fw_expect(DELETE_ONE, 403, "");
	assert_int_equal(c.op.err, -EPERM);
	assert_string_equal(fw_list(one), ALL);
	assert_non_null(strstr(fw_errors(), "\"path\":\"/one\",\"op\":\"rmdir\",\"errno\":\"EPERM\""));
}

static void one_a_minute(struct fs_options *o)
{
	o->max_delete = o->max_rotate = 1;
}

static int setup_limits(void **state)
{
	begin(one_a_minute);
	return 0;
}

static void test_a_limit_counts_what_was_sent(void **state)
{
	struct call c;

	empty();
	begin_rmdir(&c);
	fw_expect(GET_USERS, 403, "");
	assert_int_equal(c.op.err, -EPERM);
	empty(); /* that was none */
	begin_rmdir(&c);
	fw_expect(GET_USERS, 200, "{}");
	fw_expect(DELETE_ONE, 403, "");
	empty();
	assert_int_equal(fw_rmdir("one"), -EPERM);
	assert_non_null(strstr(fw_errors(), "max_delete"));
	assert_string_equal(fw_list(one), ALL);
	fw_expect_no_request();
}

static void dry(struct fs_options *o)
{
	o->dry_run = true;
}

static int setup_dry(void **state)
{
	begin(dry);
	return 0;
}

static void test_a_dry_run(void **state)
{
	struct call c;

	begin_rotation(&c);
	assert_int_equal(c.op.err, -EROFS);
	assert_non_null(strstr(fw_errors(), "\"would_send\":\"" DELETE_TOKEN "\""));
	empty();
	begin_rmdir(&c);
	fw_expect(GET_USERS, 200, "{}");
	assert_int_equal(c.op.err, -EROFS);
	assert_non_null(strstr(fw_errors(), "\"would_send\":\"" DELETE_ONE "\""));
	assert_string_equal(fw_list(one), ALL);
	fw_expect_no_request();
}

/* The mount ends while the answer is waited for. */
static void test_an_end_in_the_middle(void **state)
{
	struct call c;

	empty();
	begin_rmdir(&c);
	fw_expect(GET_USERS, 200, "{}");
	(void)fw_next_request();
	assert_int_equal(fs_n_changes(fw.fs), 1);
	fs_interrupt(fw.fs, c.op.serial); /* a change is never abandoned */
	assert_false(c.done);
	fs_end_parked(fw.fs, -ENOTCONN);
	assert_int_equal(c.op.err, -ENOTCONN);
	fw_end_http();
	assert_int_equal(fs_n_changes(fw.fs), 0);
}

/* ---- rotating ---- */

static void test_rm_rotates(void **state)
{
	struct call c;

	begin_rotation(&c);
	assert_true(c.parked);
	fs_interrupt(fw.fs, c.op.serial);
	assert_false(c.done);
	fw_expect(DELETE_TOKEN, 204, "");
	assert_int_equal(c.op.err, 0);
	assert_string_equal(fw_list(one), ALL);
	fw_expect_no_request();
}

static void test_nothing_else_rotates(void **state)
{
	static const char *const names[] = { "vim", "r", "rmm", "", "rm:unlink", "unlin" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct fw_child child = fw_child(names[i]);

		as(child);
		assert_int_equal(fw_unlink(one, "systemToken"), -EPERM);
		fw_child_end(child);
	}
	fw.tid = 0; /* nobody that can be seen */
	assert_int_equal(fw_unlink(one, "systemToken"), -EPERM);
	fw_expect_no_request();
	assert_non_null(strstr(fw_errors(), "only rm rotates"));
}

static void test_rotations_are_limited(void **state)
{
	struct call c;

	begin_rotation(&c);
	fw_expect(DELETE_TOKEN, 204, "");
	assert_int_equal(fw_unlink(one, "systemToken"), -EPERM);
	fake_account_advance(&fw.a, LIMIT_WINDOW_MS - 1);
	assert_int_equal(fw_unlink(one, "systemToken"), -EPERM);
	fake_account_advance(&fw.a, 1);
	begin_rotation(&c);
	fw_expect(DELETE_TOKEN, 403, "");
	assert_int_equal(c.op.err, -EPERM);
}

/* ---- hiding ---- */

static void test_what_is_hidden_comes_back(void **state)
{
	fw_forget_drops();
	assert_int_equal(fw_unlink(one, "config.json"), 0);
	assert_int_equal(fw_unlink(one, "config.json"), -ENOENT);
	assert_int_equal(fw_lookup(one, "config.json"), 0);
	as(editor);
	assert_string_equal(fw_list(one), " dependencies systemToken"); /* for everybody */
	fake_account_advance(&fw.a, FW_GRACE_MS - 1);
	assert_int_equal(fw_lookup(one, "config.json"), 0);
	assert_string_equal(fw.dropped, "");
	fake_account_advance(&fw.a, 1);
	assert_int_not_equal(fw_lookup(one, "config.json"), 0);
	assert_string_not_equal(fw.dropped, ""); /* the kernel lists anew */
	assert_string_equal(fw_list(one), ALL);
	fw_expect_no_request();
}

static void test_it_stays_hidden_while_its_hider_works_there(void **state)
{
	assert_int_equal(fw_unlink(one, "config.json"), 0);
	for (unsigned i = 0; i < 2; i++) {
		fake_account_advance(&fw.a, FW_GRACE_MS - 1);
		as(rm);
		assert_int_equal(fw_lookup(one, "config.json"), 0);
	}
	as(editor);
	fake_account_advance(&fw.a, FW_GRACE_MS - 1);
	assert_string_equal(fw_list(one), " dependencies systemToken"); /* that does not count */
	fake_account_advance(&fw.a, 1);
	assert_int_not_equal(fw_lookup(one, "config.json"), 0);
}

static void test_a_reader_of_what_is_hidden_goes_on(void **state)
{
	uint64_t node = fw_lookup(one, "config.json"), handle = fw_open(node, O_RDONLY);

	assert_int_equal(fw_unlink(one, "config.json"), 0);
	assert_non_null(strstr(fw_content_of(handle), "\"one\""));
	fake_account_advance(&fw.a, FW_GRACE_MS);
	assert_int_not_equal(fw_lookup(one, "config.json"), node);
	assert_non_null(strstr(fw_content_of(handle), "\"one\""));
	fw_close(handle);
}

/* ---- by itself ---- */

static void test_limits(void **state)
{
	struct limit limit;

	assert_int_equal(limit_init(&limit, 2), 0);
	assert_true(limit_take(&limit, 100000));
	assert_true(limit_take(&limit, 100001));
	assert_false(limit_take(&limit, 100002));
	limit_give_back(&limit);
	assert_true(limit_take(&limit, 100003));
	assert_false(limit_take(&limit, 100000 + LIMIT_WINDOW_MS - 1));
	assert_true(limit_take(&limit, 100000 + LIMIT_WINDOW_MS));
	assert_false(limit_take(&limit, 100000 + LIMIT_WINDOW_MS));
	assert_true(limit_take(&limit, 100003 + LIMIT_WINDOW_MS));
	limit_done(&limit);

	assert_int_equal(limit_init(&limit, 0), 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(limit_take(&limit, 1));
	limit_give_back(&limit);
	limit_done(&limit);

	assert_int_equal(limit_init(&limit, LIMIT_MAX), 0);
	for (unsigned i = 0; i < LIMIT_MAX; i++)
		assert_true(limit_take(&limit, 100000));
	assert_false(limit_take(&limit, 100000));
	limit_give_back(&limit);
	limit_give_back(&limit);
	assert_true(limit_take(&limit, 100000) && limit_take(&limit, 100000));
	assert_false(limit_take(&limit, 100000));
	limit_done(&limit);
}

static void test_openers(void **state)
{
	static struct openers openers;
	const uint64_t here = 17, there = 18;
	struct process process;

	memset(&openers, 0, sizeof(openers));
	process_of_thread(rm.pid, &process);
	openers_add(&openers, here, rm.pid);
	assert_true(openers_have(&openers, here, &process));
	assert_false(openers_have(&openers, there, &process));
	for (unsigned i = 0; i < OPENERS_MAX - 1; i++)
		openers_add(&openers, there, editor.pid);
	assert_true(openers_have(&openers, here, &process));
	openers_add(&openers, there, editor.pid);
	assert_false(openers_have(&openers, here, &process));
	assert_false(openers_have(&openers, there, &process));
	assert_false(openers_have(&openers, there, &(struct process){ 0 }));
}

#define TEST(f)          cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TEST_IN(f, init) cmocka_unit_test_setup_teardown(f, init, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rm_r_deletes),
		TEST(test_a_plain_rmdir_has_no_reason_to_tell),
		TEST(test_config_json_has_to_be_the_first),
		TEST(test_all_has_to_be_removed),
		TEST(test_the_directory_has_to_be_listed),
		TEST(test_one_process_has_to_remove_all),
		TEST(test_scratch_stands_in_the_way),
		TEST(test_a_new_config_json_ends_it),
		TEST(test_a_stack_in_use),
		TEST(test_a_refused_deletion_shows_all_again),
		TEST_IN(test_a_limit_counts_what_was_sent, setup_limits),
		TEST_IN(test_a_dry_run, setup_dry),
		TEST(test_an_end_in_the_middle),
		TEST(test_rm_rotates),
		TEST(test_nothing_else_rotates),
		TEST_IN(test_rotations_are_limited, setup_limits),
		TEST(test_what_is_hidden_comes_back),
		TEST(test_it_stays_hidden_while_its_hider_works_there),
		TEST(test_a_reader_of_what_is_hidden_goes_on),
		TEST(test_limits),
		TEST(test_openers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
