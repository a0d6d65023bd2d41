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

/* find -exec rm: each file by a process of its own. */
static void test_one_rm_for_each_file_rotates_nothing(void **state)
{
	struct fw_child find = fw_child("find");

	fw.tid = find.pid;
	assert_string_equal(fw_list(one), " config.json dependencies systemToken");
	static const struct {
		const char *name;
		int err;
	} files[] = { { "config.json", 0 }, { "dependencies", 0 }, { "systemToken", -EPERM } };
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct fw_child rm = fw_child("rm");

		fw.tid = rm.pid;
		assert_int_equal(fw_unlink(one, files[i].name), files[i].err);
		fw_child_end(rm);
	}
	fw_expect_no_request();
	fw_child_end(find);
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
	assert_null(strstr(fw_content(config), "\"n\""));
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

/* ---- while a save is under way ---- */

static void test_what_is_written_meanwhile_is_saved_next(void **state)
{
	uint64_t handle = written(with("\"n\":1")), other = fw_open(config, O_WRONLY);
	struct call c, d, e;

	fw_flush(&c, handle);
	fw_write(handle, with("\"n\":2"));
	fw_flush(&d, handle);
	fw_flush(&e, other); /* which has written nothing, but closes that text */
	fs_interrupt(fw.fs, d.op.serial);
	assert_true(!c.done && !d.done && !e.done);
	save(200, with("\"n\":1"));
	assert_true(c.done && !d.done && !e.done);
	assert_string_equal(fw_content(config), with("\"n\":2"));
	fw_expect(GET_ONE, 200, stored);
	assert_non_null(strstr(fw_next_body(), "\"n\":2"));
	fw_expect(PUT_ONE, 200, with("\"n\":2"));
	assert_true(d.done && e.done);
	assert_int_equal(c.op.err | d.op.err | e.op.err, 0);
	fw_close(handle);
	fw_close(other);
	assert_int_equal(fw_lookup(one, "config.json.refused"), 0);
	fw_expect_no_request();
}

static void test_unlink_waits_for_a_save(void **state)
{
	uint64_t handle = written(with("\"n\":1"));
	struct call c, u = { .op = { .call = FS_UNLINK, .node = one, .name = "config.json" } };

	fw_flush(&c, handle);
	fw_submit(&u);
	assert_true(u.parked);
	save(200, with("\"n\":1"));
	assert_true(c.done && u.done);
	fw_close(handle);
	assert_int_equal(c.op.err | u.op.err, 0);
	assert_int_equal(fw_lookup(one, "config.json"), 0);
	fake_account_advance(&fw.a, FW_GRACE_MS);
	assert_non_null(strstr(fw_content(fw_lookup(one, "config.json")), "\"n\": 1"));
}

static void test_renames_wait_for_a_save(void **state)
{
	uint64_t handle = written(with("\"n\":1"));
	struct call c, away, onto;

	assert_int_equal(fw_put_file(one, "new", with("\"n\":1,\"m\":1")), 0);
	fw_flush(&c, handle);
	fw_rename(&away, one, "config.json", "config.json~");
	fw_rename(&onto, one, "new", "config.json");
	assert_true(away.parked && onto.parked);
	save(200, with("\"n\":1"));
	assert_true(c.done && away.done && !onto.done);
	save(200, with("\"n\":1,\"m\":1"));
	assert_true(onto.done);
	assert_int_equal(c.op.err | away.op.err | onto.op.err, 0);
	fw_flush(&c, handle); /* of the backup now */
	assert_int_equal(c.op.err, 0);
	fw_close(handle);
	assert_string_equal(fw_list(one), " config.json dependencies systemToken config.json~");
	fw_expect_no_request();
}

/* A list that lacks the stack comes while a request is under way. */
static void delete_by_list(struct call *c)
{
	uint64_t node = fw_lookup(fw_lookup(FS_ROOT, ".stacksfs"), "refresh");
	size_t list = fake_account_tries(&fw.a);

	*c = (struct call){ .op = { .call = FS_WRITE, .node = node } };
	fw_submit(c);
	fake_account_answer(&fw.a, list, 200, "[]");
	fake_account_answer(&fw.a, list + 1, 404, "");
	assert_true(c->done);
	assert_int_equal(fw_lookup(FS_ROOT, "one"), 0);
}

static void test_the_stack_is_deleted_before_it_is_read(void **state)
{
	uint64_t handle = written(with("\"n\":1"));
	struct call c, list;

	fw_flush(&c, handle);
	(void)fw_next_request();
	delete_by_list(&list);
	fw_expect(GET_ONE, 200, stored);
	assert_true(c.done);
	assert_int_equal(c.op.err, -ENOENT);
	fw_flush(&c, handle);
	assert_int_equal(c.op.err, -ENOENT);
	fw_write(handle, with("\"n\":2"));
	fw_flush(&c, handle);
	assert_int_equal(c.op.err, -ESTALE);
	fw_close(handle);
	assert_int_equal(fw_n_lost(), 2);
}

static void test_the_stack_is_deleted_while_it_is_stored(void **state)
{
	uint64_t handle = written(with("\"n\":1"));
	struct call c, list;

	fw_flush(&c, handle);
	fw_expect(GET_ONE, 200, stored);
	(void)fw_next_request();
	delete_by_list(&list);
	fw_expect(PUT_ONE, 200, with("\"n\":1")); /* it is there after all */
	assert_true(c.done);
	assert_int_equal(c.op.err, 0);
	fw_close(handle);
	fs_forget(fw.fs, config, UINT64_MAX);
	fs_forget(fw.fs, one, UINT64_MAX);
	one = fw_lookup(FS_ROOT, "one");
	assert_non_null(strstr(fw_content(fw_lookup(one, "config.json")), "\"n\": 1"));
}

static void test_the_stack_is_deleted_while_a_file_is_renamed(void **state)
{
	uint64_t reader = fw_open(config, O_RDONLY);
	struct call c, list;

	assert_int_equal(fw_put_file(one, "new", with("\"n\":1")), 0);
	fw_rename(&c, one, "new", "config.json");
	fw_expect(GET_ONE, 200, stored);
	(void)fw_next_request();
	delete_by_list(&list);
	fw_expect(PUT_ONE, 404, "");
	assert_true(c.done);
	assert_int_equal(c.op.err, -ENOENT);
	assert_non_null(strstr(fw_content_of(reader), "\"one\""));
	fw_close(reader);
	assert_int_equal(fw_n_lost(), 1);
}

static void test_the_kernel_forgets_everything_meanwhile(void **state)
{
	uint64_t handle = written(with("\"n\":1"));

	fw_close(handle); /* through a mapping: no flush has come */
	fs_forget(fw.fs, config, UINT64_MAX);
	fs_forget(fw.fs, one, UINT64_MAX);
	save(200, with("\"n\":1"));
	one = fw_lookup(FS_ROOT, "one");
	assert_non_null(strstr(fw_content(fw_lookup(one, "config.json")), "\"n\": 1"));
	fw_expect_no_request();
}

static void test_what_a_mapping_wrote_is_kept_when_refused(void **state)
{
	fw_close(written(with("\"n\":1")));
	save(422, REFUSAL);
	assert_null(strstr(fw_content(config), "\"n\""));
	assert_string_equal(fw_content(fw_lookup(one, "config.json.refused")), with("\"n\":1"));
	assert_int_equal(fw_n_lost(), 1);
}

static void test_the_mount_ends_meanwhile(void **state)
{
	uint64_t handle = written(with("\"n\":1"));
	struct call c, r;

	assert_int_equal(fw_put_file(one, "new", with("\"n\":2")), 0);
	fw_flush(&c, handle);
	fw_rename(&r, one, "new", "config.json");
	fw_expect(GET_ONE, 200, stored);
	(void)fw_next_request();
	fs_end_parked(fw.fs, -ENOTCONN);
	assert_true(c.done && r.done);
	assert_int_equal(c.op.err, -ENOTCONN);
	fw_end_http();
	assert_int_equal(fs_n_changes(fw.fs), 0);
	fs_keep_drafts(fw.fs);
	assert_true(fw_n_lost() > 0);
}

/* ---- handles ---- */

static void test_an_append_goes_to_the_end(void **state)
{
	uint64_t handle = fw_open(config, O_WRONLY | O_APPEND);
	size_t len = strlen(fw_content(config));

	/* The kernel knows an older length. */
	assert_int_equal(fw_write_at(handle, 3, O_WRONLY | O_APPEND, " \n"), 0);
	assert_int_equal(fw_write_at(handle, 5, O_WRONLY | O_APPEND, "\t"), 0);
	assert_string_equal(fw_content(config) + len, " \n\t");
	struct call c;
	fw_flush(&c, handle); /* white space: equal to what there is */
	fw_expect(GET_ONE, 200, stored);
	assert_int_equal(c.op.err, 0);
	fw_close(handle);
	fw_expect_no_request();
	assert_int_equal(strlen(fw_content(config)), len);
}

static void test_handles_share_one_text(void **state)
{
	uint64_t a = fw_open(config, O_WRONLY), b = fw_open(config, O_RDWR);
	struct call c;

	assert_int_equal(fw_truncate(config, a, 0), 0);
	fw_flush(&c, b); /* empty: not sent */
	assert_int_equal(c.op.err, 0);
	assert_int_equal(fw_write_at(b, 0, 0, with("\"n\":1")), 0);
	assert_string_equal(fw_content_of(a), with("\"n\":1"));
	fw_close(b);
	assert_string_equal(fw_content(config), with("\"n\":1")); /* a may go on with it */
	fw_flush(&c, a);
	save(200, with("\"n\":1"));
	assert_int_equal(c.op.err, 0);
	fw_close(a);
}

/* It has seen the server's layout, and not what the first one wrote. */
static void test_a_second_writer_goes_on_from_what_it_has_seen(void **state)
{
	uint64_t a = written(with("\"n\":1"));
	struct call c;

	fw_flush(&c, a);
	save(200, with("\"n\":1"));
	uint64_t b = fw_open(config, O_RDWR);
	const char *seen = fw_content_of(b), *at = strstr(seen, "\"n\": 1");
	size_t len = strlen(seen);

	assert_non_null(at);
	assert_int_equal(fw_write_at(b, (uint64_t)(at - seen) + 5, 0, "2"), 0);
	assert_int_equal(strlen(fw_content_of(b)), len);
	assert_non_null(strstr(fw_content_of(b), "\"n\": 2"));
	fw_flush(&c, b);
	save(200, with("\"n\":2"));
	assert_int_equal(c.op.err, 0);
	fw_close(b);
	fw_close(a);
}

/* The first one's own layout, before that was saved, after the server's. */
static void test_a_second_writer_has_seen_what_the_first_went_on_with(void **state)
{
	uint64_t a = written(with("\"n\":1"));
	struct call c;

	fw_flush(&c, a);
	save(200, with("\"n\":1"));
	uint64_t b = fw_open(config, O_RDWR);
	assert_int_equal(fw_write_at(a, 0, 0, with("\"n\":3")), 0);
	const char *seen = fw_content_of(b), *at = strstr(seen, "\"n\":3");
	assert_non_null(at);
	uint64_t offset = (uint64_t)(at - seen) + 4;
	fw_flush(&c, a);
	save(200, with("\"n\":3"));
	assert_int_equal(fw_write_at(b, offset, 0, "2"), 0);
	assert_string_equal(fw_content_of(b), with("\"n\":2"));
	fw_flush(&c, b);
	save(200, with("\"n\":2"));
	assert_int_equal(c.op.err, 0);
	fw_close(b);
	fw_close(a);
}

static void test_too_large(void **state)
{
	uint64_t handle = written("{");

	assert_int_equal(fw_write_at(handle, 1 << 20, 0, "x"), -EFBIG);
	assert_int_equal(fw_truncate(config, handle, (1 << 20) + 1), -EFBIG);
	assert_int_equal(fw_truncate(config, handle, 1 << 20), 0);
	assert_int_equal(fw_truncate(config, handle, 0), 0);
	fw_close(handle);
	assert_non_null(strstr(fw_content(config), "\"one\""));
	fw_expect_no_request();
}

/* ---- dances ---- */

static void test_an_editor_that_makes_room(void **state)
{
	struct call c;

	fw_rename(&c, one, "config.json", "config.json~");
	assert_int_equal(c.op.err, 0);
	assert_int_equal(fw_lookup(one, "config.json~"), config); /* the kernel moves the node */
	assert_int_equal(fw_lookup(one, "config.json"), 0);
	uint64_t node, handle = fw_create(one, "config.json", &node);
	assert_int_not_equal(node, config);
	fw_write(handle, with("\"n\":1"));
	fw_flush(&c, handle);
	save(200, with("\"n\":1"));
	assert_int_equal(c.op.err, 0);
	fw_close(handle);
	assert_null(strstr(fw_content(config), "\"n\""));
	assert_int_equal(fw_unlink(one, "config.json~"), 0);
	assert_int_equal(fw_lookup(one, "config.json"), node);
	fw_expect_no_request();
}

static void test_an_editor_that_puts_the_old_file_back(void **state)
{
	struct call c;

	fw_rename(&c, one, "config.json", "config.json~");
	uint64_t handle = fw_create(one, "config.json", NULL);
	fw_write(handle, with("\"n\":1"));
	fw_flush(&c, handle);
	save(422, REFUSAL);
	assert_int_equal(c.op.err, -EBADMSG);
	fw_close(handle);
	assert_int_equal(fw_unlink(one, "config.json"), 0);
	fw_rename(&c, one, "config.json~", "config.json");
	assert_true(c.done);
	assert_int_equal(c.op.err, 0);
	fw_expect_no_request();
	assert_int_equal(fw_lookup(one, "config.json"), config);
	assert_string_equal(fw_list(one), " config.json dependencies systemToken config.json.refused");
}

static void test_a_refused_rename_changes_nothing(void **state)
{
	struct call c;

	assert_int_equal(fw_put_file(one, "new", with("\"n\":1")), 0);
	fw_rename(&c, one, "new", "config.json");
	save(422, REFUSAL);
	assert_int_equal(c.op.err, -EBADMSG);
	assert_string_equal(fw_list(one),
			    " config.json dependencies systemToken new config.json.refused");
	assert_int_equal(fw_lookup(one, "config.json"), config);
	assert_string_equal(fw_content(fw_lookup(one, "new")), with("\"n\":1"));
	assert_string_equal(fw_xattr(config, "error"), "no");
}

/* Whoever has the file open that was renamed goes on with what it wrote. */
static void test_a_writer_of_the_file_that_was_renamed(void **state)
{
	uint64_t node, handle = fw_create(one, "new", &node);
	struct call c;

	fw_write(handle, with("\"n\":1"));
	fw_rename(&c, one, "new", "config.json");
	save(200, with("\"n\":1"));
	assert_int_equal(c.op.err, 0);
	assert_int_equal(fw_lookup(one, "config.json"), node);
	fw_flush(&c, handle);
	assert_int_equal(c.op.err, 0);
	fw_write(handle, with("\"n\":2"));
	fw_flush(&c, handle);
	save(200, with("\"n\":2"));
	assert_int_equal(c.op.err, 0);
	fw_close(handle);
	assert_non_null(strstr(fw_content(node), "\"n\": 2"));
	fw_expect_no_request();
}

static void test_a_name_that_is_taken(void **state)
{
	struct call c = { .op = { .call = FS_RENAME, .node = one, .name = "new", .to = one,
				  .new_name = "config.json", .flags = RENAME_NOREPLACE } };

	assert_int_equal(fw_put_file(one, "new", "x"), 0);
	assert_int_equal(fw_run(&c), -EEXIST);
	c.op.new_name = "new";
	c.done = false;
	assert_int_equal(fw_run(&c), -EEXIST);
	fw_rename(&c, one, "new", "new");
	assert_int_equal(c.op.err, 0);
	fw_rename(&c, one, "new", "systemToken");
	assert_int_equal(c.op.err, -EACCES);
	fw_rename(&c, one, "systemToken", "new");
	assert_int_equal(c.op.err, -EACCES);
	assert_string_equal(fw_list(one), " config.json dependencies systemToken new");
	fw_expect_no_request();
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
		TEST(test_one_rm_for_each_file_rotates_nothing),
		TEST_IN(test_no_room_to_save, setup_in_a_page),
		TEST(test_a_replaced_draft_is_kept_at_unmount),
		TEST(test_half_a_replaced_draft_is_kept),
		TEST(test_what_is_written_meanwhile_is_saved_next),
		TEST(test_unlink_waits_for_a_save),
		TEST(test_renames_wait_for_a_save),
		TEST(test_the_stack_is_deleted_before_it_is_read),
		TEST(test_the_stack_is_deleted_while_it_is_stored),
		TEST(test_the_stack_is_deleted_while_a_file_is_renamed),
		TEST(test_the_kernel_forgets_everything_meanwhile),
		TEST(test_what_a_mapping_wrote_is_kept_when_refused),
		TEST(test_the_mount_ends_meanwhile),
		TEST(test_an_append_goes_to_the_end),
		TEST(test_handles_share_one_text),
		TEST(test_a_second_writer_goes_on_from_what_it_has_seen),
		TEST(test_a_second_writer_has_seen_what_the_first_went_on_with),
		TEST(test_too_large),
		TEST(test_an_editor_that_makes_room),
		TEST(test_an_editor_that_puts_the_old_file_back),
		TEST(test_a_refused_rename_changes_nothing),
		TEST(test_a_writer_of_the_file_that_was_renamed),
		TEST(test_a_name_that_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
