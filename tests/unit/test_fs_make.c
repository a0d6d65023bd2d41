/* SPDX-License-Identifier: MIT */
/* Directories that are still to be stacks, and names that become others. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs_world.h"
#include "tree/tree.h"

#define ONE_ID  "600000000000000000000001"
#define NEW_ID  "600000000000000000000002"
#define GET_ONE "GET /v1/stacks/" ONE_ID
#define PUT_ONE "PUT /v1/stacks/" ONE_ID
#define LIST    "GET /v1/stacks"
#define POST    "POST /v1/stacks"
#define TEXT    "{\"name\":\"new\",\"type\":\"server\"}"
#define ALL     " config.json dependencies systemToken"

static uint64_t new;

static void begin(void (*change)(struct fs_options *options))
{
	fw_make(change);
	fw_first_list(fake_list(1, fake_record(1, "one", "")));
}

static int make_dir_as(const char *name, uint64_t *ret)
{
	struct call c = { .op = { .call = FS_MKDIR, .node = FS_ROOT, .name = name,
				  .mode = 0755 } };
	int r = fw_run(&c);

	if (r == 0 && ret)
		*ret = c.op.entry.node;
	return r;
}

static int setup(void **state)
{
	begin(NULL);
	assert_int_equal(make_dir_as("new", &new), 0);
	return 0;
}

/* config.json written, and its flush begun. */
static uint64_t begin_save(struct call *c, const char *text)
{
	uint64_t handle = fw_create(new, "config.json", NULL);

	fw_write(handle, text);
	fw_flush(c, handle);
	return handle;
}

static void is_stack(uint64_t node)
{
	assert_int_equal(fw_lookup(FS_ROOT, "new"), node);
	assert_string_equal(fw_xattr(node, "id"), NEW_ID);
	assert_non_null(strstr(fw_content(fw_lookup(node, "config.json")), NEW_ID));
	assert_string_equal(fw_list(node), ALL);
	assert_string_equal(fw_list(FS_ROOT), " one new");
}

/* ---- a new stack ---- */

static void test_a_draft_costs_nothing(void **state)
{
	assert_string_equal(fw_list(FS_ROOT), " one new");
	assert_string_equal(fw_list(new), "");
	assert_int_equal(fw_lookup(new, "config.json"), 0);
	assert_int_equal(make_dir_as("new", NULL), -EEXIST);
	assert_int_equal(make_dir_as("one", NULL), -EEXIST);
	assert_int_equal(make_dir_as(".x", NULL), -EPERM);
	assert_int_equal(make_dir_as("%41", NULL), -EINVAL);
	assert_int_equal(fw_rmdir("new"), 0);
	assert_int_equal(fw_lookup(FS_ROOT, "new"), 0);
	fw_expect_no_request();
}

static void test_a_save_makes_a_stack(void **state)
{
	struct call c;
	uint64_t handle = begin_save(&c, TEXT);

	assert_true(c.parked);
	assert_string_equal(fw_next_body(), TEXT);
	fw_expect(POST, 201, fake_record(2, "new", ",\"made\":true"));
	assert_int_equal(c.op.err, 0);
	fw_flush(&c, handle);
	assert_int_equal(c.op.err, 0);
	fw_close(handle);
	is_stack(new);
	fw_expect_no_request();
}

/* The next page of a list, or another one's, was quicker. */
static void test_a_list_shows_it_first(void **state)
{
	struct call c, list = { .op = { .call = FS_OPENDIR, .node = FS_ROOT } };

	fake_account_advance(&fw.a, FW_TTL_MS);
	uint64_t handle = begin_save(&c, TEXT);
	fw_submit(&list);
	assert_true(list.parked);
	fake_account_answer(&fw.a, fw.next_try + 1, 200,
			    fake_list(2, fake_record(1, "one", ""), fake_record(2, "new", "")));
	assert_int_equal(list.op.err, 0);
	uint64_t twin = fw_lookup(FS_ROOT, "new~" NEW_ID);
	uint64_t config = fw_lookup(twin, "config.json"), reader = fw_open(config, O_RDONLY);
	fw_close(list.op.handle);

	fw_expect(POST, 201, fake_record(2, "new", ""));
	fw.next_try++; /* the list */
	assert_int_equal(c.op.err, 0);
	fw_close(handle);
	is_stack(new);
	assert_int_equal(fw_lookup(FS_ROOT, "new~" NEW_ID), 0);
	/* Who has it open goes on; nothing can be made there. */
	assert_non_null(strstr(fw_content_of(reader), NEW_ID));
	struct call make = { .op = { .call = FS_CREATE, .node = twin, .name = "x",
				     .flags = O_WRONLY | O_CREAT } };
	assert_int_equal(fw_run(&make), -ESTALE);
	fw_close(reader);
}

static void test_a_refused_text_stays(void **state)
{
	struct call c;
	uint64_t handle = begin_save(&c, TEXT);

	fw_expect(POST, 422, "{\"errors\":[{\"code\":\"x\",\"message\":\"no\"}]}");
	assert_int_equal(c.op.err, -EBADMSG);
	fw_close(handle);
	assert_string_equal(fw_list(new), " config.json");
	uint64_t config = fw_lookup(new, "config.json");
	assert_string_equal(fw_content(config), TEXT);
	assert_string_equal(fw_xattr(config, "error"), "no");
	assert_int_equal(fw_n_lost(), 1);
	/* Written anew it is sent anew. */
	handle = fw_open(config, O_WRONLY | O_TRUNC);
	fw_write(handle, TEXT);
	fw_flush(&c, handle);
	fw_expect(POST, 201, fake_record(2, "new", ""));
	assert_int_equal(c.op.err, 0);
	fw_close(handle);
	is_stack(new);
}

static void test_a_draft_that_is_saved_is_not_removed(void **state)
{
	struct call c, gone = { .op = { .call = FS_UNLINK, .node = new, .name = "config.json" } };
	uint64_t handle = begin_save(&c, TEXT);

	assert_int_equal(fw_rmdir("new"), -ENOTEMPTY);
	fw_submit(&gone);
	assert_true(gone.parked);
	fw_expect(POST, 201, fake_record(2, "new", ""));
	assert_int_equal(c.op.err, 0);
	assert_int_equal(gone.op.err, 0); /* of a stack now: it is hidden */
	fw_close(handle);
	assert_string_equal(fw_list(new), " dependencies systemToken");
	fake_account_advance(&fw.a, FW_GRACE_MS);
	is_stack(new);
}

static void test_the_mount_ends_before_the_answer(void **state)
{
	struct call c;
	uint64_t handle = begin_save(&c, TEXT);

	(void)fw_next_request();
	fs_end_parked(fw.fs, -ENOTCONN);
	assert_int_equal(c.op.err, -ENOTCONN);
	fw_end_http();
	assert_int_equal(fs_n_changes(fw.fs), 0);
	fs_keep_drafts(fw.fs);
	assert_true(fw_n_lost() > 0);
	fw_close(handle);
}

static void test_another_file_makes_it(void **state)
{
	struct call c;

	assert_int_equal(fw_put_file(new, ".config.json.Xy12", TEXT), 0);
	fw_rename(&c, new, ".config.json.Xy12", "config.json");
	assert_true(c.parked);
	assert_int_equal(fw_rmdir("new"), -ENOTEMPTY);
	fw_expect(POST, 201, fake_record(2, "new", ""));
	assert_int_equal(c.op.err, 0);
	is_stack(new);
}

/* One writes config.json while another renames a file onto it: there is one stack. */
static uint64_t begin_both(struct call *rename)
{
	uint64_t handle = fw_create(new, "config.json", NULL);

	fw_write(handle, "{\"name\":\"other\",\"type\":\"server\"}");
	assert_int_equal(fw_put_file(new, "tmp", TEXT), 0);
	fw_rename(rename, new, "tmp", "config.json");
	assert_true(rename->parked);
	return handle;
}

static void test_two_writers_make_one_stack(void **state)
{
	struct call c, r;
	uint64_t handle = begin_both(&r);

	fw_flush(&c, handle);
	assert_true(c.parked);
	assert_string_equal(fw_next_body(), TEXT);
	fw_expect(POST, 201, fake_record(2, "new", ""));
	assert_int_equal(r.op.err, 0);
	assert_true(c.done);
	assert_int_equal(c.op.err, -EBUSY);
	fw_close(handle);
	fw_expect_no_request();
	is_stack(new);
	assert_int_equal(fw_n_lost(), 1);
}

static void test_the_other_writer_makes_it_when_one_is_refused(void **state)
{
	struct call c, r;
	uint64_t handle = begin_both(&r);

	fw_flush(&c, handle);
	fw_expect(POST, 422, "{\"errors\":[{\"code\":\"x\",\"message\":\"no\"}]}");
	assert_int_equal(r.op.err, -EBADMSG);
	assert_false(c.done);
	assert_non_null(strstr(fw_next_body(), "other"));
	fw_expect(POST, 201, fake_record(2, "new", ""));
	assert_int_equal(c.op.err, 0);
	fw_close(handle);
	fw_expect_no_request();
}

static void test_the_other_writer_closes_meanwhile(void **state)
{
	struct call r;

	fw_close(begin_both(&r)); /* through a mapping */
	fw_expect(POST, 201, fake_record(2, "new", ""));
	assert_int_equal(r.op.err, 0);
	fw_expect_no_request();
	is_stack(new);
	assert_int_equal(fw_n_lost(), 1);
}

static void test_the_other_writer_has_closed_when_one_is_refused(void **state)
{
	struct call r;

	fw_close(begin_both(&r));
	fw_expect(POST, 422, "{\"errors\":[{\"code\":\"x\",\"message\":\"no\"}]}");
	assert_int_equal(r.op.err, -EBADMSG);
	assert_non_null(strstr(fw_next_body(), "other"));
	fw_expect(POST, 201, fake_record(2, "new", ""));
	fw_expect_no_request();
}

static void test_a_draft_is_renamed(void **state)
{
	struct call c;

	fw_rename(&c, FS_ROOT, "new", "newer");
	assert_int_equal(c.op.err, 0);
	assert_int_equal(fw_lookup(FS_ROOT, "newer"), new);
	assert_int_equal(fw_lookup(FS_ROOT, "new"), 0);
	fw_rename(&c, FS_ROOT, "newer", "one");
	assert_int_equal(c.op.err, -EEXIST);
	fw_rename(&c, FS_ROOT, "newer", "newer");
	assert_int_equal(c.op.err, 0);
	fw_expect_no_request();
}

/* When it is a stack, that is renamed. */
static void test_a_draft_is_renamed_while_it_is_saved(void **state)
{
	struct call c, r;
	uint64_t handle = begin_save(&c, TEXT);

	fw_rename(&r, FS_ROOT, "new", "other");
	assert_true(r.parked);
	fw_expect(POST, 201, fake_record(2, "new", ""));
	assert_int_equal(c.op.err, 0);
	fw_close(handle);
	is_stack(new);
	fw_expect("GET /v1/stacks/" NEW_ID, 200, fake_record(2, "new", ""));
	assert_non_null(strstr(fw_next_body(), "\"name\":\"other\""));
	fw_expect("PUT /v1/stacks/" NEW_ID, 200, fake_record(2, "other", ""));
	assert_true(r.done);
	assert_int_equal(r.op.err, 0);
	assert_int_equal(fw_lookup(FS_ROOT, "other"), new);
}

/* A list has brought a stack that needs the name, and the draft has given way. */
static void test_a_rename_that_waited_does_not_meet_another(void **state)
{
	struct call c, r, list = { .op = { .call = FS_OPENDIR, .node = FS_ROOT } };
	const char theirs[] = "one~600000000000000000000003";

	fake_account_advance(&fw.a, FW_TTL_MS);
	assert_int_equal(make_dir_as(theirs, &new), 0);
	uint64_t handle = begin_save(&c, TEXT);
	fw_rename(&r, FS_ROOT, theirs, "other");
	assert_true(r.parked);
	fw_submit(&list);
	fake_account_answer(&fw.a, fw.next_try + 1, 200,
			    fake_list(2, fake_record(1, "one", ""), fake_record(3, "one", "")));
	assert_int_equal(list.op.err, 0);
	fw_close(list.op.handle);
	fw_expect(POST, 201, fake_record(2, "new", ""));
	fw.next_try++; /* the list */
	assert_int_equal(c.op.err, 0);
	assert_true(r.done);
	assert_int_equal(r.op.err, -ESTALE);
	assert_int_not_equal(fw_lookup(FS_ROOT, theirs), 0);
	fw_close(handle);
	fw_expect_no_request();
}

static void test_a_draft_is_renamed_while_it_is_refused(void **state)
{
	struct call c, r;
	uint64_t handle = begin_save(&c, TEXT);

	fw_rename(&r, FS_ROOT, "new", "other");
	fw_expect(POST, 400, "{\"errors\":[{\"message\":\"no\",\"code\":\"x\"}]}");
	assert_int_equal(c.op.err, -EBADMSG);
	fw_close(handle);
	assert_true(r.done);
	assert_int_equal(r.op.err, 0);
	assert_int_equal(fw_lookup(FS_ROOT, "other"), new);
	fw_expect_no_request();
}

/* ---- who copies a whole directory ---- */

static void test_a_copier_may_write_the_others(void **state)
{
	struct fw_child other = fw_child("cp");
	struct call c;

	assert_int_equal(fw_put_file(new, "systemToken", "old\n"), 0);
	assert_int_equal(fw_put_file(new, "dependencies", "{}\n"), 0);
	uint64_t handle = begin_save(&c, TEXT);
	fw_expect(POST, 201, fake_record(2, "new", ""));
	fw_close(handle);
	is_stack(new);
	fw.tid = other.pid;
	struct call make = { .op = { .call = FS_CREATE, .node = new, .name = "systemToken",
				     .flags = O_WRONLY | O_CREAT } };
	assert_int_equal(fw_run(&make), -EACCES);
	fw_child_end(other);
	fw_expect_no_request();
}

/* ---- names of stacks ---- */

static void test_mv_of_a_stack(void **state)
{
	struct call c;
	uint64_t one = fw_lookup(FS_ROOT, "one");

	fw_rename(&c, FS_ROOT, "one", "1");
	assert_true(c.parked);
	fw_expect(GET_ONE, 200, fake_record(1, "one", ""));
	assert_non_null(strstr(fw_next_body(), "\"name\":\"1\""));
	fw_expect(PUT_ONE, 200, fake_record(1, "1", ""));
	assert_int_equal(c.op.err, 0);
	assert_int_equal(fw_lookup(FS_ROOT, "1"), one);
	assert_int_equal(fw_lookup(FS_ROOT, "one"), 0);
}

static void test_mv_that_is_refused(void **state)
{
	struct call c;
	uint64_t one = fw_lookup(FS_ROOT, "one");

	fw_rename(&c, FS_ROOT, "one", "1");
	fw_expect(GET_ONE, 200, fake_record(1, "one", ""));
	fw_expect(PUT_ONE, 409, "");
	assert_int_equal(c.op.err, -EBUSY);
	assert_int_equal(fw_lookup(FS_ROOT, "one"), one);
	assert_int_equal(fw_lookup(FS_ROOT, "1"), 0);
}

/* Whose new name is not the one that the kernel is moving the directory to. */
static void test_mv_of_what_another_has_renamed(void **state)
{
	struct call c;
	uint64_t one = fw_lookup(FS_ROOT, "one");

	fw_rename(&c, FS_ROOT, "one", "1");
	fw_forget_drops();
	fw_expect(GET_ONE, 200, fake_record(1, "uno", ""));
	fw_expect(PUT_ONE, 422, "{\"errors\":[{\"code\":\"x\",\"message\":\"no\"}]}");
	assert_int_equal(c.op.err, -EBADMSG);
	assert_non_null(strstr(fw.dropped, " 1/uno"));
	assert_non_null(strstr(fw.dropped, " 1/one"));
	assert_int_equal(fw_lookup(FS_ROOT, "uno"), one);
	uint64_t link = fw_lookup(FS_ROOT, "one"); /* as after any change of name elsewhere */
	assert_true(link != 0 && link != one);
	fw_rename(&c, FS_ROOT, "uno", "1");
	fw_forget_drops();
	fw_expect(GET_ONE, 200, fake_record(1, "uno", ""));
	fw_expect(PUT_ONE, 200, fake_record(1, "1", ""));
	assert_int_equal(c.op.err, 0);
	assert_null(strstr(fw.dropped, " 1/"));
	assert_int_equal(fw_lookup(FS_ROOT, "uno"), 0);
}

static void test_renames_that_cannot_be(void **state)
{
	static const struct {
		const char *from, *to;
		int flags, err;
	} table[] = {
		{ "one", "new", 0, -EEXIST },    { "one", ".x", 0, -EPERM },
		{ "one", "%41", 0, -EINVAL },    { "one", "x", 2, -EINVAL },
		{ "x", "y", 0, -ENOENT },        { ".stacksfs", "x", 0, -EPERM },
		{ "one", ".stacksfs", 0, -EPERM },
	};
	uint64_t one = fw_lookup(FS_ROOT, "one");

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct call c = { .op = { .call = FS_RENAME, .node = FS_ROOT, .name = table[i].from,
					  .to = FS_ROOT, .new_name = table[i].to,
					  .flags = table[i].flags } };

		assert_int_equal(fw_run(&c), table[i].err);
	}
	struct call into = { .op = { .call = FS_RENAME, .node = FS_ROOT, .name = "one", .to = new,
				     .new_name = "one" } };
	assert_int_equal(fw_run(&into), -EPERM);
	struct call across = { .op = { .call = FS_RENAME, .node = one, .name = "config.json",
				       .to = new, .new_name = "config.json" } };
	assert_int_equal(fw_run(&across), -EXDEV);
	fw_expect_no_request();
}

static void test_the_longest_names(void **state)
{
	char name[NAME_MAX_BYTES + 2];
	uint64_t dir = 0;

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(make_dir_as(name, NULL), -ENAMETOOLONG);
	name[NAME_MAX_BYTES] = '\0';
	assert_int_equal(make_dir_as(name, &dir), 0);
	assert_int_equal(fw_put_file(dir, name, "text"), 0);
	assert_string_equal(fw_content(fw_lookup(dir, name)), "text");
	struct call link = { .op = { .call = FS_LINK, .source = fw_lookup(dir, name), .node = dir,
				     .name = name } };
	assert_int_equal(fw_run(&link), -EEXIST);
	link.op.name = "copy";
	assert_int_equal(fw_run(&link), 0);
	assert_string_equal(fw_content(link.op.entry.node), "text");
	struct call refused = { .op = { .call = FS_MKDIR, .node = dir, .name = name } };
	assert_int_equal(fw_run(&refused), -EPERM);
	assert_non_null(strstr(fw_errors(), name));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, fw_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_draft_costs_nothing),
		TEST(test_a_save_makes_a_stack),
		TEST(test_a_list_shows_it_first),
		TEST(test_a_refused_text_stays),
		TEST(test_a_draft_that_is_saved_is_not_removed),
		TEST(test_the_mount_ends_before_the_answer),
		TEST(test_another_file_makes_it),
		TEST(test_two_writers_make_one_stack),
		TEST(test_the_other_writer_makes_it_when_one_is_refused),
		TEST(test_the_other_writer_closes_meanwhile),
		TEST(test_the_other_writer_has_closed_when_one_is_refused),
		TEST(test_a_draft_is_renamed),
		TEST(test_a_draft_is_renamed_while_it_is_saved),
		TEST(test_a_rename_that_waited_does_not_meet_another),
		TEST(test_a_draft_is_renamed_while_it_is_refused),
		TEST(test_a_copier_may_write_the_others),
		TEST(test_mv_of_a_stack),
		TEST(test_mv_that_is_refused),
		TEST(test_mv_of_what_another_has_renamed),
		TEST(test_renames_that_cannot_be),
		TEST(test_the_longest_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
