/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs_world.h"

static void make_ro(struct fs_options *options)
{
	options->ro = true;
}

static int setup_ro(void **state)
{
	fw_make(make_ro);
	return 0;
}

static struct call lookup(uint64_t parent, const char *name)
{
	struct call c = { .op = { .call = FS_LOOKUP, .node = parent, .name = name } };

	fw_submit(&c);
	return c;
}

static struct call read_handle(uint64_t handle, uint64_t offset)
{
	struct call c = { .op = { .call = FS_READ, .handle = handle, .offset = offset,
				  .size = 4096 } };

	fw_submit(&c);
	assert_true(c.done);
	assert_int_equal(c.op.err, 0);
	return c;
}

static void list_one(const char *extra)
{
	fake_account_answer(&fw.a, 0, 200, fake_list(1, fake_record(1, "one", extra)));
}

static void test_waits_for_the_first_list(void **state)
{
	struct call c = { .op = { .call = FS_LOOKUP, .node = FS_ROOT, .name = "one" } };

	fw_submit(&c);
	assert_true(c.parked);
	assert_false(c.done);
	list_one("");
	assert_true(c.done);
	assert_int_equal(c.op.err, 0);
	assert_int_not_equal(c.op.entry.node, 0);
	assert_int_equal(c.op.entry.entry_ms, FW_TTL_MS / 2);
	assert_int_equal(c.op.entry.attr.st_mode, S_IFDIR | 0700);
}

static void test_reads_a_config(void **state)
{
	list_one(",\"n\":9007199254740993,\"x\":1.10");
	uint64_t node = fw_lookup(fw_lookup(FS_ROOT, "one"), "config.json");
	uint64_t handle = fw_open(node, O_RDONLY);
	struct call c = read_handle(handle, 0);

	assert_non_null(strstr(c.text, "\n  \"n\": 9007199254740993,\n  \"x\": 1.10\n}\n"));
	struct call stat = { .op = { .call = FS_GETATTR, .node = node } };
	fw_submit(&stat);
	assert_int_equal(stat.op.entry.attr.st_size, strlen(c.text));
	assert_int_equal(read_handle(handle, strlen(c.text)).op.data_len, 0);
	assert_int_equal(read_handle(handle, 2).op.data_len, strlen(c.text) - 2);
	fs_release(fw.fs, handle);
	assert_int_equal(fake_account_tries(&fw.a), 1);
}

static void test_open_handle_keeps_its_version(void **state)
{
	list_one("");
	char dropped[60];
	uint64_t dir = fw_lookup(FS_ROOT, "one");
	uint64_t node = fw_lookup(dir, "config.json");
	uint64_t handle = fw_open(node, O_RDONLY);

	fake_account_advance(&fw.a, FW_TTL_MS);
	struct call again = { .op = { .call = FS_LOOKUP, .node = dir, .name = "config.json" } };
	fw_submit(&again);
	assert_false(again.done);
	fake_account_answer(&fw.a, 1, 200, fake_list(1, fake_record(1, "one", ",\"new\":true")));
	assert_true(again.done);
	assert_int_not_equal(again.op.entry.node, node);
	snprintf(dropped, sizeof(dropped), " %llu/config.json %llu", (unsigned long long)dir,
		 (unsigned long long)dir);
	assert_string_equal(fw.dropped, dropped);
	assert_null(strstr(read_handle(handle, 0).text, "new"));

	uint64_t newer = fw_open(again.op.entry.node, O_RDONLY);
	assert_non_null(strstr(read_handle(newer, 0).text, "new"));
	/* The old node opens no more: the kernel looks the path up again. */
	struct call stale = { .op = { .call = FS_OPEN, .node = node, .flags = O_RDONLY } };
	fw_submit(&stale);
	assert_int_equal(stale.op.err, -ESTALE);
	fs_release(fw.fs, handle);
	fs_release(fw.fs, newer);
}

/* The kernel counts no time in a suspend.  What it does not hold, and a draft, whose
 * attributes it never keeps, is not spoken of. */
static void test_after_a_sleep_the_kernel_keeps_nothing(void **state)
{
	list_one("");
	char dropped[60];
	uint64_t dir = fw_lookup(FS_ROOT, "one");
	uint64_t node = fw_lookup(dir, "config.json");

	fw_forget_drops();
	fs_woke(fw.fs);
	snprintf(dropped, sizeof(dropped), " %llu %llu 1", (unsigned long long)dir,
		 (unsigned long long)node);
	assert_string_equal(fw.dropped, dropped);
	assert_int_equal(fake_account_tries(&fw.a), 1);

	uint64_t handle = fw_open(node, O_WRONLY | O_TRUNC);
	fw_forget_drops();
	fs_woke(fw.fs);
	snprintf(dropped, sizeof(dropped), " %llu 1", (unsigned long long)dir);
	assert_string_equal(fw.dropped, dropped);
	fs_release(fw.fs, handle);
}

static void test_changed_version_is_dropped_before_an_open(void **state)
{
	list_one("");
	uint64_t node = fw_lookup(fw_lookup(FS_ROOT, "one"), "config.json");

	fs_release(fw.fs, fw_open(node, O_RDONLY));
	fake_account_advance(&fw.a, FW_TTL_MS);
	struct call c = { .op = { .call = FS_OPEN, .node = node, .flags = O_RDONLY } };
	fw_submit(&c);
	fake_account_answer(&fw.a, 1, 200, fake_list(1, fake_record(1, "one", ",\"new\":true")));
	assert_true(c.done);
	assert_int_equal(c.op.err, 0);
	assert_int_equal(c.op.drop_node, node);
	assert_false(c.op.keep_cache);
	fs_release(fw.fs, c.op.handle);

	struct call d = { .op = { .call = FS_OPEN, .node = node, .flags = O_RDONLY } };
	fw_submit(&d);
	assert_int_equal(d.op.drop_node, 0);
	assert_true(d.op.keep_cache);
	fs_release(fw.fs, d.op.handle);
}

static void test_interrupt_ends_one_waiter_only(void **state)
{
	list_one("");
	uint64_t dir = fw_lookup(FS_ROOT, "one");
	struct call c = { .op = { .call = FS_LOOKUP, .node = dir, .name = "systemToken" } };
	struct call d = c;

	fw_submit(&c);
	fw_submit(&d);
	assert_true(c.parked && d.parked);
	fs_interrupt(fw.fs, c.op.serial);
	assert_true(c.done);
	assert_int_equal(c.op.err, -EINTR);
	fs_interrupt(fw.fs, c.op.serial); /* too late: nothing */
	assert_false(d.done);
	fake_account_answer(&fw.a, 1, 200, "{\"systemToken\":\"secret\"}");
	assert_true(d.done);
	assert_int_equal(d.op.err, 0);
	assert_int_equal(d.op.entry.attr.st_size, 7);
	assert_int_equal(d.op.entry.attr.st_mode, S_IFREG | 0400);
}

static void test_failure_leaves_a_line_in_errors(void **state)
{
	list_one("");
	uint64_t dir = fw_lookup(FS_ROOT, "one");
	struct call c = { .op = { .call = FS_LOOKUP, .node = dir, .name = "dependencies" } };

	fw_submit(&c);
	fake_account_answer(&fw.a, 1, 403,
			    "{\"errors\":[{\"code\":\"forbidden\",\"message\":\"not yours\","
			    "\"field\":\"_id\"}]}");
	assert_true(c.done);
	assert_int_equal(c.op.err, -EPERM);
	uint64_t handle = fw_open(fw_lookup(fw_lookup(FS_ROOT, ".stacksfs"), "errors"), O_RDONLY);
	struct call text = read_handle(handle, 0);
	fs_release(fw.fs, handle);
	assert_non_null(strstr(text.text, "\"path\":\"/one/dependencies\",\"op\":\"lookup\","
					  "\"errno\":\"EPERM\",\"status\":403,"
					  "\"code\":\"forbidden\",\"message\":\"not yours\","
					  "\"field\":\"_id\""));
}

static void test_absent_names_cost_nothing(void **state)
{
	static const char *const names[] = { ".git",        ".DS_Store", "._x",   ".Trash-1000",
					     "autorun.inf", ".hidden",   "a\x01", "%41" };

	list_one("");
	fake_account_advance(&fw.a, FW_TTL_MS); /* even then */
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct call c = lookup(FS_ROOT, names[i]);

		assert_true(c.done);
		assert_int_equal(c.op.err, 0);
		assert_int_equal(c.op.entry.node, 0);
	}
	assert_int_equal(fake_account_tries(&fw.a), 1);
}

static void test_ro_refuses_every_change(void **state)
{
	static const enum fs_call changes[] = { FS_SETATTR, FS_CREATE, FS_MKNOD,  FS_MKDIR, FS_SYMLINK,
						FS_LINK,    FS_UNLINK, FS_RMDIR, FS_RENAME };

	list_one("");
	uint64_t dir = fw_lookup(FS_ROOT, "one"), node = fw_lookup(dir, "config.json");
	struct call open_write = { .op = { .call = FS_OPEN, .node = node, .flags = O_WRONLY } };

	fw_submit(&open_write);
	assert_int_equal(open_write.op.err, -EROFS);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct call c = { .op = { .call = changes[i], .node = dir, .name = "x",
					  .to = dir, .new_name = "y" } };

		fw_submit(&c);
		assert_int_equal(c.op.err, -EROFS);
	}
	assert_int_equal(fake_account_tries(&fw.a), 1);
}

/* As thread tid; true: it has failed at once, false: it asks the API. */
static bool lookup_fails_at_once(uint64_t parent, const char *name, int tid)
{
	struct call c = { .op = { .call = FS_LOOKUP, .node = parent, .name = name } };
	size_t tries = fake_account_tries(&fw.a);

	fw.tid = tid;
	fw_submit(&c);
	if (c.done) {
		assert_int_equal(c.op.err, -EPERM);
		assert_int_equal(fake_account_tries(&fw.a), tries);
		return true;
	}
	fake_account_answer(&fw.a, tries, 403, "");
	assert_true(c.done);
	assert_int_equal(c.op.err, -EPERM);
	return false;
}

/* The kernel sends a lookup twice when that of a name which it holds fails. */
static void test_a_lookup_fails_twice_by_one_request(void **state)
{
	list_one("");
	uint64_t dir = fw_lookup(FS_ROOT, "one");
	(void)fw_lookup(dir, "config.json");
	fake_account_advance(&fw.a, FW_TTL_MS);

	assert_false(lookup_fails_at_once(FS_ROOT, "one", 7));
	assert_true(lookup_fails_at_once(FS_ROOT, "one", 7));
	assert_false(lookup_fails_at_once(FS_ROOT, "one", 7)); /* another system call */

	/* That was one thread's one name, just now. */
	assert_false(lookup_fails_at_once(FS_ROOT, "one", 8));
	assert_false(lookup_fails_at_once(dir, "config.json", 7));
	assert_true(lookup_fails_at_once(dir, "config.json", 7));
	assert_true(lookup_fails_at_once(FS_ROOT, "one", 8));
	assert_false(lookup_fails_at_once(FS_ROOT, "one", 9));
	fake_account_advance(&fw.a, 500);
	assert_false(lookup_fails_at_once(FS_ROOT, "one", 9));

	/* A name that the kernel does not hold is looked up once. */
	assert_false(lookup_fails_at_once(FS_ROOT, "new", 10));
	assert_false(lookup_fails_at_once(FS_ROOT, "new", 10));
}

static void test_xattrs(void **state)
{
	static const struct {
		const char *name;
		int err;
		const char *value;
	} table[] = {
		{ "user.stacksfs.id", 0, "600000000000000000000001" },
		{ "user.stacksfs.type", 0, "server" },
		{ "user.stacksfs.stale", -ENODATA, "" },
		{ "user.other", -ENODATA, "" },
		{ "security.selinux", -EOPNOTSUPP, "" },
		{ "system.posix_acl_access", -EOPNOTSUPP, "" },
	};

	list_one("");
	uint64_t dir = fw_lookup(FS_ROOT, "one");
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct call c = { .op = { .call = FS_GETXATTR, .node = dir,
					  .name = table[i].name } };

		fw_submit(&c);
		assert_int_equal(c.op.err, table[i].err);
		assert_string_equal(c.text, table[i].value);
	}
}

static void test_end_of_the_mount_ends_who_waits(void **state)
{
	struct call c = { .op = { .call = FS_LOOKUP, .node = FS_ROOT, .name = "one" } };

	fw_submit(&c);
	assert_false(c.done);
	fs_end_parked(fw.fs, -ENOTCONN);
	assert_true(c.done);
	assert_int_equal(c.op.err, -ENOTCONN);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fw_setup, fw_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_waits_for_the_first_list),
		TEST(test_reads_a_config),
		TEST(test_open_handle_keeps_its_version),
		TEST(test_after_a_sleep_the_kernel_keeps_nothing),
		TEST(test_changed_version_is_dropped_before_an_open),
		TEST(test_interrupt_ends_one_waiter_only),
		TEST(test_failure_leaves_a_line_in_errors),
		TEST(test_absent_names_cost_nothing),
		cmocka_unit_test_setup_teardown(test_ro_refuses_every_change, setup_ro, fw_teardown),
		TEST(test_a_lookup_fails_twice_by_one_request),
		TEST(test_xattrs),
		TEST(test_end_of_the_mount_ends_who_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
