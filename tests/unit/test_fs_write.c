/* SPDX-License-Identifier: MIT */
/* What is written through a mount, and what becomes of it when something is in
 * the way. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs_world.h"
#include "tree/tree.h"

#define ONE_ID  "600000000000000000000001"
#define GET_ONE "GET /v1/stacks/" ONE_ID
#define PUT_ONE "PUT /v1/stacks/" ONE_ID
#define REFUSAL "{\"errors\":[{\"code\":\"invalid\",\"message\":\"no\",\"field\":\"n\"}]}"

static uint64_t one, config; /* the stack's directory and its config.json */
static char stored[600];     /* the account's record */

/* A record, and a text made from it: with one more field. */
static const char *with(const char *field)
{
	char extra[200];

	snprintf(extra, sizeof(extra), "%s%s", field[0] ? "," : "", field);
	return fake_record(1, "one", extra);
}

static void begin(void (*change)(struct fs_options *options))
{
	fw_make(change);
	snprintf(stored, sizeof(stored), "%s", with(""));
	fw_first_list(fake_list(1, stored));
	one = fw_lookup(FS_ROOT, "one");
	config = fw_lookup(one, "config.json");
}

static int setup(void **state)
{
	begin(NULL);
	return 0;
}

/* A save's two requests. */
static void save(int status, const char *answer)
{
	fw_expect(GET_ONE, 200, stored);
	fw_expect(PUT_ONE, status, answer);
	if (status == 200)
		snprintf(stored, sizeof(stored), "%s", answer);
}

/* A handle with a text that was not flushed. */
static uint64_t written(const char *text)
{
	uint64_t handle = fw_open(config, O_WRONLY | O_TRUNC);

	fw_write(handle, text);
	return handle;
}

static void test_a_save(void **state)
{
	uint64_t handle = written(with("\"n\":1"));
	struct call c;

	fw_flush(&c, handle);
	assert_true(c.parked);
	fw_expect(GET_ONE, 200, with(""));
	assert_string_equal(fw_next_body(), "{\"name\":\"one\",\"type\":\"server\",\"n\":1}");
	fw_expect(PUT_ONE, 200, with("\"n\":1,\"m\":2"));
	assert_true(c.done);
	assert_int_equal(c.op.err, 0);
	assert_int_equal(c.op.drop_node, config);
	assert_non_null(strstr(fw_content(config), "\"m\": 2"));
	fw_close(handle);
	fw_expect_no_request();
	assert_string_equal(fw_list(one), " config.json dependencies systemToken");
}

static void test_a_refused_save(void **state)
{
	uint64_t handle = written(with("\"n\":1"));
	struct call c;

	fw_flush(&c, handle);
	save(422, REFUSAL);
	assert_true(c.done);
	assert_int_equal(c.op.err, -EBADMSG);
	fw_flush(&c, handle); /* nothing new: no request */
	assert_int_equal(c.op.err, -EBADMSG);
	assert_string_equal(fw_content(config), with("\"n\":1"));
	fw_close(handle);
	fw_expect_no_request();
	assert_null(strstr(fw_content(config), "\"n\""));
	assert_string_equal(fw_content(fw_lookup(one, "config.json.refused")), with("\"n\":1"));
	assert_string_equal(fw_xattr(config, "error"), "no");
	assert_non_null(strstr(fw_errors(), "\"path\":\"/one/config.json\",\"op\":\"flush\","
					    "\"errno\":\"EBADMSG\",\"status\":422"));
	assert_int_equal(fw_n_lost(), 1);
}

/* ---- what is in the way ---- */

static void in_8000_bytes(struct fs_options *o)
{
	o->scratch_bytes = 8000;
}

static int setup_in_8000_bytes(void **state)
{
	begin(in_8000_bytes);
	return 0;
}

static void fill(uint64_t dir, const char *name, size_t len, const char *text)
{
	char *bytes = malloc(len + 1);

	memset(bytes, ' ', len);
	memcpy(bytes, text, strlen(text));
	bytes[len] = '\0';
	uint64_t handle = fw_create(dir, name, NULL);
	fw_write(handle, bytes);
	fw_close(handle);
	free(bytes);
}

static void test_a_rename_without_room_lets_go(void **state)
{
	struct call c;
	uint64_t handle = written("{");

	fill(one, "new", 3800, with("\"n\":1"));
	uint64_t node = fw_lookup(one, "new");
	fw_rename(&c, one, "new", "config.json");
	assert_true(c.done);
	assert_int_equal(c.op.err, -ENOSPC);
	fw_expect_no_request();
	fw_close(handle);
	/* Nothing holds the file any more. */
	assert_int_equal(fw_unlink(one, "new"), 0);
	fs_forget(fw.fs, node, UINT64_MAX);
	struct call stat = { .op = { .call = FS_GETATTR, .node = node } };
	assert_int_equal(fw_run(&stat), -ESTALE);
}

/* As many files as a directory may have. */
static void fill_names(uint64_t dir)
{
	char name[20];

	for (unsigned i = 0; i < TREE_LOCALS_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		fw_close(fw_create(dir, name, NULL));
	}
}

static void test_a_rename_that_fails_keeps_the_draft(void **state)
{
	struct call c;
	uint64_t handle = written(with("\"n\":1"));

	fill_names(one);
	fw_rename(&c, one, "config.json", "config.json~");
	assert_true(c.done);
	assert_int_equal(c.op.err, -ENOSPC);
	assert_string_equal(fw_content(config), with("\"n\":1"));
	fw_flush(&c, handle);
	save(200, with("\"n\":1"));
	assert_int_equal(c.op.err, 0);
	fw_close(handle);
}

static void in_a_page(struct fs_options *o)
{
	o->scratch_bytes = 4096;
}

static int setup_in_a_page(void **state)
{
	begin(in_a_page);
	return 0;
}

static void test_a_symlink_without_room_is_none(void **state)
{
	struct call c = { .op = { .call = FS_SYMLINK, .node = one, .name = ".#config.json",
				  .target = "me@here.1" } };
	uint64_t handle = written("{");

	assert_int_equal(fw_run(&c), -ENOSPC);
	assert_int_equal(fw_lookup(one, ".#config.json"), 0);
	fw_close(handle);
}

/* ---- what was refused ---- */

static void edit(const char *text, int status)
{
	uint64_t handle = written(text);
	struct call c;

	fw_flush(&c, handle);
	save(status, status == 200 ? text : REFUSAL);
	assert_true(c.done);
	fw_close(handle);
}

/* However often: what was one draft's memory is another one's later. */
static void test_a_success_never_removes_anothers_refused_text(void **state)
{
	char field[20], other[20];

	for (unsigned i = 1; i <= 20; i++) {
		snprintf(field, sizeof(field), "\"n\":%u", i);
		snprintf(other, sizeof(other), "\"m\":%u", i);
		edit(with(field), 422);
		edit(with(other), 200);
		uint64_t refused = fw_lookup(one, "config.json.refused");
		assert_int_not_equal(refused, 0);
		assert_string_equal(fw_content(refused), with(field));
	}
}

/* The refused text itself becomes config.json, like any other file would. */
static void test_the_refused_text_is_put_in_its_place(void **state)
{
	const char *text = with("\"n\":1");
	struct call c;

	edit(text, 422);
	uint64_t refused = fw_lookup(one, "config.json.refused");
	uint64_t reader = fw_open(config, O_RDONLY);
	fw_rename(&c, one, "config.json.refused", "config.json");
	save(200, text);
	assert_int_equal(c.op.err, 0);
	assert_int_equal(fw_lookup(one, "config.json"), refused);
	assert_int_equal(fw_lookup(one, "config.json.refused"), 0);
	assert_string_equal(fw_xattr(refused, "error"), "");
	assert_non_null(strstr(fw_content(refused), "\"n\": 1"));
	/* Who has the old one open goes on with it. */
	assert_null(strstr(fw_content_of(reader), "\"n\": 1"));
	fw_close(reader);
}

/* ---- names ---- */

/* The kernel thought that there is none; and it is time to ask again. */
static void test_create_of_what_is_there_waits_for_it(void **state)
{
	struct call c = { .op = { .call = FS_CREATE, .node = one, .name = "config.json",
				  .flags = O_WRONLY | O_CREAT } };

	fake_account_advance(&fw.a, FW_TTL_MS);
	fw_submit(&c);
	assert_true(c.parked);
	fw_expect("GET /v1/stacks", 200, fake_list(1, stored));
	assert_true(c.done);
	assert_int_equal(c.op.err, 0);
	assert_int_equal(c.op.entry.node, config);
	fw_close(c.op.handle);
}

/* No handle is there whose close could end the draft. */
static void test_truncate_by_its_path(void **state)
{
	const char *before = strdup(fw_content(config));

	assert_int_equal(fw_truncate(config, 0, 0), 0);
	assert_string_equal(fw_content(config), before);
	assert_int_equal(fw_truncate(config, 0, 10), 0);
	assert_string_equal(fw_content(config), before);
	assert_int_equal(strlen(fw_content(fw_lookup(one, "config.json.refused"))), 10);
	assert_non_null(strstr(fw_errors(), "the text ends too early"));
	fw_expect_no_request();
	free((char *)before);
}

static void test_truncate_of_a_replaced_file_looks_again(void **state)
{
	uint64_t reader = fw_open(config, O_RDONLY);

	fake_account_advance(&fw.a, FW_TTL_MS);
	struct call c = { .op = { .call = FS_LOOKUP, .node = one, .name = "config.json" } };
	fw_submit(&c);
	fw_expect("GET /v1/stacks", 200, fake_list(1, with("\"m\":1")));
	assert_int_not_equal(c.op.entry.node, config);
	assert_int_equal(fw_truncate(config, 0, 0), -ESTALE);
	fw_close(reader);
}

/* ---- guards ---- */

/* config.json is not there to be removed first: this is no rm of a token, and no rm
 * -r that could succeed. */
static void test_rm_r_beside_an_editor_rotates_nothing(void **state)
{
	struct fw_child editor = fw_child("vim"), rm = fw_child("rm");
	struct call c;

	fw.tid = editor.pid;
	fw_rename(&c, one, "config.json", "config.json~");
	assert_int_equal(c.op.err, 0);
	fw.tid = rm.pid;
	assert_string_equal(fw_list(one), " dependencies systemToken config.json~");
	assert_int_equal(fw_unlink(one, "dependencies"), 0);
	assert_int_equal(fw_unlink(one, "systemToken"), -EPERM);
	fw_expect_no_request();
	fw_child_end(editor);
	fw_child_end(rm);
}

/* rm -ri, whose answers took longer than the grace. */
static void test_a_slow_rm_r_rotates_nothing(void **state)
{
	struct fw_child rm = fw_child("rm");

	fw.tid = rm.pid;
	assert_string_equal(fw_list(one), " config.json dependencies systemToken");
	assert_int_equal(fw_unlink(one, "config.json"), 0);
	assert_string_equal(fw_list(one), " dependencies systemToken");
	fake_account_advance(&fw.a, FW_GRACE_MS);
	assert_string_equal(fw_list(one), " config.json dependencies systemToken");
	assert_int_equal(fw_unlink(one, "systemToken"), -EPERM);
	fw_expect_no_request();
	fw_child_end(rm);
}

/* rm of the token alone is what it says. */
static void test_rm_of_a_token_beside_an_editor_rotates(void **state)
{
	struct fw_child editor = fw_child("vim"), rm = fw_child("rm");
	struct call c;

	fw.tid = editor.pid;
	fw_rename(&c, one, "config.json", "config.json~");
	assert_int_equal(c.op.err, 0);
	fw.tid = rm.pid;
	c = (struct call){ .op = { .call = FS_UNLINK, .node = one, .name = "systemToken" } };
	fw_submit(&c);
	assert_true(c.parked);
	fw_expect("DELETE /v1/stacks/" ONE_ID "/systemToken", 204, "");
	assert_true(c.done);
	assert_int_equal(c.op.err, 0);
	fw_child_end(editor);
	fw_child_end(rm);
}

/* ---- what nobody can save any more ---- */

static void test_no_room_to_save(void **state)
{
	uint64_t handle = written(with("\"n\":1"));
	struct call c;

	fw_flush(&c, handle);
	assert_int_equal(c.op.err, -ENOSPC);
	assert_non_null(strstr(fw_errors(), "\"op\":\"flush\",\"errno\":\"ENOSPC\""));
	fw_close(handle);
	/* It stays, and is told of. */
	assert_string_equal(fw_content(config), with("\"n\":1"));
	assert_int_equal(fw_n_lost(), 1);
	fw_expect_no_request();
}

/* Another file was put in its place while it was being written. */
static void replace(uint64_t dir, const char *text)
{
	struct call c;

	assert_int_equal(fw_put_file(dir, "new", text), 0);
	fw_rename(&c, dir, "new", "config.json");
	save(200, text);
	assert_true(c.done);
	assert_int_equal(c.op.err, 0);
}

static void test_a_replaced_draft_is_kept_at_unmount(void **state)
{
	uint64_t handle = written(with("\"n\":1"));

	replace(one, with("\"m\":1"));
	fs_keep_drafts(fw.fs);
	assert_int_equal(fw_n_lost(), 1);
	fs_keep_drafts(fw.fs);
	assert_int_equal(fw_n_lost(), 1);
	struct call c;
	fw_flush(&c, handle);
	assert_int_equal(c.op.err, -EBUSY);
	fw_close(handle);
}

static void test_half_a_replaced_draft_is_kept(void **state)
{
	uint64_t handle = written("{\"name\":");
	struct call c;

	fw_flush(&c, handle);
	assert_int_equal(c.op.err, -EBADMSG);
	assert_int_equal(fw_n_lost(), 0);
	replace(one, with("\"m\":1"));
	fw_close(handle);
	assert_int_equal(fw_n_lost(), 1);
	assert_int_equal(fw_lookup(one, "config.json.refused"), 0);
}

#define TEST(f)          cmocka_unit_test_setup_teardown(f, setup, fw_teardown)
#define TEST_IN(f, init) cmocka_unit_test_setup_teardown(f, init, fw_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_save),
		TEST(test_a_refused_save),
		TEST_IN(test_a_rename_without_room_lets_go, setup_in_8000_bytes),
		TEST(test_a_rename_that_fails_keeps_the_draft),
		TEST_IN(test_a_symlink_without_room_is_none, setup_in_a_page),
		TEST(test_a_success_never_removes_anothers_refused_text),
		TEST(test_the_refused_text_is_put_in_its_place),
		TEST(test_create_of_what_is_there_waits_for_it),
		TEST(test_truncate_by_its_path),
		TEST(test_truncate_of_a_replaced_file_looks_again),
		TEST(test_rm_r_beside_an_editor_rotates_nothing),
		TEST(test_a_slow_rm_r_rotates_nothing),
		TEST(test_rm_of_a_token_beside_an_editor_rotates),
		TEST_IN(test_no_room_to_save, setup_in_a_page),
		TEST(test_a_replaced_draft_is_kept_at_unmount),
		TEST(test_half_a_replaced_draft_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
