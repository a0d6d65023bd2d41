/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "bounded.h"
#include "fake_mount.h"
#include "mountpoint.h"

/* ---- lines of mountinfo ---- */

static void test_parse(void **state)
{
	static const struct {
		const char *line;
		int r;
		unsigned id;
		const char *path, *source;
		uid_t uid;
	} rows[] = {
		{ "36 35 0:50 / /mnt/s rw,nosuid shared:1 master:2 - fuse.stacksfs us "
		  "rw,user_id=1000,group_id=7\n",
		  0, 36, "/mnt/s", "us", 1000 },
		{ "36 35 0:50 / /a\\040b\\134c\\011\\043 rw - fuse.stacksfs https://x/\\054 rw", 0,
		  36, "/a b\\c\t#", "https://x/,", 0 },
		{ "36 35 0:50 / /m rw - fuse stacksfs#us rw,user_id=5", 0, 36, "/m", "stacksfs#us",
		  5 },
		{ "36 35 0:50 / /a\\04 rw - fuse.stacksfs none rw,user_id=x", 0, 36, "/a\\04",
		  "none", 0 },
		{ "36 35 0:50 / /m rw - fuse.stacksfs us", 0, 36, "/m", "us", 0 },
		{ "36 35 0:50 / /m rw - fuse.sshfs stacksfs#us rw", -ENOENT },
		{ "36 35 0:50 / /m rw - fuse us rw", -ENOENT },
		{ "36 35 8:1 / / rw - ext4 /dev/sda1 rw", -ENOENT },
		{ "36 35 0:50 / /m rw shared:1", -EBADMSG },
		{ "36 35 0:50 / /m rw -", -EBADMSG },
		{ "x 35 0:50 / /m rw - fuse.stacksfs us rw", -EBADMSG },
		{ "99999999999 35 0:50 / /m rw - fuse.stacksfs us rw", -EBADMSG },
		{ "", -EBADMSG },
		{ "\n", -EBADMSG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct mountpoint m = { .id = 4711 };

		assert_int_equal(mountpoint_parse(rows[i].line, &m), rows[i].r);
		if (rows[i].r < 0) {
			assert_int_equal(m.id, 4711);
			continue;
		}
		assert_int_equal(m.id, rows[i].id);
		assert_string_equal(m.path, rows[i].path);
		assert_string_equal(m.source, rows[i].source);
		assert_int_equal(m.uid, rows[i].uid);
		mountpoint_done(&m);
	}
}

/* ---- what may hang ---- */

static int say_hello(void *arg, struct buf *out)
{
	return buf_printf(out, "hello %s", (const char *)arg);
}

static int say_much(void *arg, struct buf *out)
{
	int r = 0;

	for (int i = 0; r == 0 && i < 100000; i++)
		r = buf_puts(out, "0123456789");
	return r;
}

static int not_connected(void *arg, struct buf *out)
{
	return buf_puts(out, "not seen") < 0 ? -ENOMEM : -ENOTCONN;
}

static int hang(void *arg, struct buf *out)
{
	while (pause() < 0)
		;
	return 0;
}

static int crash(void *arg, struct buf *out)
{
	raise(SIGKILL);
	return 0;
}

static void test_bounded(void **state)
{
	struct buf out = BUF_INIT(2000000);

	assert_int_equal(bounded_run(say_hello, (char[]){ "you" }, 20000, &out), 0);
	assert_string_equal(out.data, "hello you");
	buf_done(&out);
	assert_int_equal(bounded_run(say_much, NULL, 60000, &out), 0);
	assert_int_equal(out.len, 1000000);
	assert_int_equal(bounded_run(say_much, NULL, 60000, &out), 0);
	assert_int_equal(bounded_run(say_much, NULL, 60000, &out), -EMSGSIZE);
	buf_done(&out);
	assert_int_equal(bounded_run(not_connected, NULL, 20000, &out), -ENOTCONN);
	assert_int_equal(bounded_run(crash, NULL, 20000, &out), -EIO);
	assert_int_equal(out.len, 0);

	uint64_t before = clock_now_ms(&clock_system);
	assert_int_equal(bounded_run(hang, NULL, 50, &out), -ETIMEDOUT);
	assert_in_range(clock_now_ms(&clock_system) - before, 50, 10000);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* reaped */
	assert_int_equal(errno, ECHILD);
}

/* ---- real mounts ---- */

static void prepare(const char *path, const char *expected, const char *warning_end)
{
	struct message warning, why;
	char *absolute;

	if (mountpoint_prepare(path, &absolute, &warning, &why) != 0)
		fail_msg("%s: %s", path, why.text);
	assert_string_equal(absolute, expected);
	assert_true(strlen(warning.text) >= strlen(warning_end));
	assert_string_equal(warning.text + strlen(warning.text) - strlen(warning_end), warning_end);
	if (!*warning_end)
		assert_string_equal(warning.text, "");
	free(absolute);
}

static void prepare_fails(const char *path, int err, const char *part)
{
	struct message warning, why;
	char *absolute;

	assert_int_equal(mountpoint_prepare(path, &absolute, &warning, &why), err);
	if (!strstr(why.text, part))
		fail_msg("'%s' has no '%s'", why.text, part);
}

static void test_prepare(void **state)
{
	char *dir = fake_dir(), *other = fake_dir();
	char link[PATH_MAX];

	prepare(dir, dir, "");
	assert_int_equal(chdir(dir), 0);
	prepare(".", dir, "");
	snprintf(link, sizeof(link), "%s/link", other);
	assert_int_equal(symlink(dir, link), 0);
	prepare(link, dir, "");
	prepare(other, other, ": not empty; what is in it is hidden until the unmount");
	prepare_fails(fake_file(dir, "f", "", 0600), -ENOTDIR, "/f: not a directory");
	prepare_fails("/nonexistent/x", -ENOENT, "/nonexistent/x: no such directory");
	prepare_fails("/..", -EINVAL, MOUNTPOINT_IS_ROOT);
	assert_int_equal(chdir(".."), 0);
	fake_dir_remove(dir);
	fake_dir_remove(other);
}

static pid_t mount_at(const char *dir, const char *subtype)
{
	struct fake_mount spec = { .dir = dir, .subtype = subtype };
	pid_t pid = fake_mount_start(&spec);

	assert_true(pid > 0);
	return pid;
}

static struct mountpoint lookup(const char *path)
{
	struct mountpoint m;
	struct message why;

	if (mountpoint_lookup(path, &m, &why) != 0)
		fail_msg("%s", why.text);
	return m;
}

static void test_live(void **state)
{
	if (!fake_mount_possible())
		skip();
	char *dir = fake_dir();
	char inside[PATH_MAX];
	pid_t pid = mount_at(dir, NULL);

	snprintf(inside, sizeof(inside), "%s/.stacksfs", dir);
	struct mountpoint m = lookup(inside);
	assert_string_equal(m.path, dir);
	assert_string_equal(m.source, "us");
	assert_int_equal(m.uid, getuid());
	assert_int_equal(m.state, MOUNTPOINT_LIVE);
	mountpoint_done(&m);
	prepare_fails(dir, -EBUSY, "already mounted; to unmount: fusermount3 -u");

	assert_int_equal(mountpoint_detach(dir), 0);
	assert_int_equal(mountpoint_detach(dir), -EINVAL);
	assert_int_equal(waitpid(pid, NULL, 0), pid); /* ends by itself */
	fake_dir_remove(dir);
}

/* Two of them, one upon the other, are cleared at once. */
static void test_dead(void **state)
{
	if (!fake_mount_possible())
		skip();
	char *dir = fake_dir();
	pid_t below = mount_at(dir, NULL), above = mount_at(dir, NULL);
	struct message why;
	struct mountpoint m;

	fake_mount_kill(below);
	fake_mount_kill(above);
	m = lookup(dir);
	assert_int_equal(m.state, MOUNTPOINT_DEAD);
	assert_string_equal(m.path, dir);
	mountpoint_done(&m);
	assert_int_equal(chdir(dir), -1); /* dead indeed */

	prepare(dir, dir, "");
	assert_int_equal(mountpoint_lookup(dir, &m, &why), -ENOENT);
	assert_non_null(strstr(why.text, ": not a stacksfs mount"));
	fake_dir_remove(dir);
}

/* Somebody else's dead mount is left alone. */
static void test_dead_of_another_kind(void **state)
{
	if (!fake_mount_possible())
		skip();
	char *dir = fake_dir();
	struct statfs fs;

	fake_mount_kill(mount_at(dir, "sshfs"));
	prepare_fails(dir, -ENOTCONN, ": a dead mount is there; clear it: fusermount3 -u -z /");
	assert_int_equal(statfs(dir, &fs), -1);
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(mountpoint_detach(dir), 0);
	fake_dir_remove(dir);
}

static void test_hung(void **state)
{
	if (!fake_mount_possible())
		skip();
	char *dir = fake_dir();
	pid_t pid = mount_at(dir, NULL);

	kill(pid, SIGSTOP);
	struct mountpoint m = lookup(dir);
	assert_int_equal(m.state, MOUNTPOINT_HUNG);
	mountpoint_done(&m);
	prepare_fails(dir, -EBUSY, "the stacksfs there does not answer");
	fake_mount_kill(pid);
	assert_int_equal(mountpoint_detach(dir), 0);
	fake_dir_remove(dir);
}

static void test_list(void **state)
{
	if (!fake_mount_possible())
		skip();
	char *dirs[] = { fake_dir(), fake_dir(), fake_dir() };
	pid_t live = mount_at(dirs[0], NULL), other = mount_at(dirs[1], "sshfs");
	struct mountpoint *list = NULL;
	struct message why;
	unsigned found = 0;
	size_t n;

	fake_mount_kill(mount_at(dirs[2], NULL));
	assert_int_equal(mountpoint_list(&list, &n, &why), 0);
	for (size_t i = 0; i < n; i++) {
		assert_string_not_equal(list[i].path, dirs[1]);
		if (strcmp(list[i].path, dirs[0]) == 0 && list[i].state == MOUNTPOINT_LIVE)
			found |= 1;
		if (strcmp(list[i].path, dirs[2]) == 0 && list[i].state == MOUNTPOINT_DEAD)
			found |= 2;
	}
	assert_int_equal(found, 3);
	mountpoint_list_free(list, n);
	fake_mount_kill(live);
	fake_mount_kill(other);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		assert_int_equal(mountpoint_detach(dirs[i]), 0);
		fake_dir_remove(dirs[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),   cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_prepare), cmocka_unit_test(test_live),
		cmocka_unit_test(test_dead),    cmocka_unit_test(test_dead_of_another_kind),
		cmocka_unit_test(test_hung),    cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
