/* SPDX-License-Identifier: MIT */
/* What doctor says of a machine, one that is made of files in a directory.  The
 * way to the API is the end-to-end tests'. */
#include <errno.h>
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

#include "doctor.h"
#include "fake_mount.h"
#include "mountpoint.h"

#define USER 1000

struct machine {
	char *dir;
	struct options options;
	uid_t uid;
	char *said;
	unsigned n_failed;
};

static int set_up(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));

	m->dir = fake_dir();
	m->uid = USER;
	m->options.state = strdup("none");
	*state = m;
	setenv("PATH", m->dir, 1);
	setenv("HOME", "/home/x", 1);
	return 0;
}

static int tear_down(void **state)
{
	struct machine *m = *state;
	char command[5000];

	options_done(&m->options);
	free(m->said);
	snprintf(command, sizeof(command), "%s/fusermount3", m->dir);
	unlink(command);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	fake_dir_remove(m->dir);
	free(m);
	return 0;
}

static void examine(struct machine *m, const char *root)
{
	struct doctor d = { .options = &m->options, .root = root, .uid = m->uid };
	size_t len;

	free(m->said);
	d.out = open_memstream(&m->said, &len);
	doctor_check_machine(&d);
	fclose(d.out);
	m->n_failed = d.n_failed;
}

/* A line of what was said that has all of it. */
static void expect(struct machine *m, const char *word, const char *name, const char *text)
{
	char head[64];
	const char *line;

	snprintf(head, sizeof(head), "%-6s%s", word, name);
	for (line = m->said; line && *line;
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		char *copy = strndup(line, strcspn(line, "\n"));
		bool found = strncmp(copy, head, strlen(head)) == 0 && strstr(copy, text);

		free(copy);
		if (found)
			return;
	}
	fail_msg("no line '%s ... %s' in:\n%s", head, text, m->said);
}

static void add_helper(struct machine *m, mode_t mode)
{
	const char *path = fake_file(m->dir, "fusermount3", "#!/bin/sh\n", 0755);

	assert_int_equal(chmod(path, mode), 0);
}

static void test_device(void **state)
{
	struct machine *m = *state;

	examine(m, m->dir);
	expect(m, "FAIL", "/dev/fuse", "modprobe fuse");
	if (!fake_mount_possible())
		skip();
	examine(m, "");
	expect(m, "ok", "/dev/fuse", "may be opened");
}

static void test_helper(void **state)
{
	struct machine *m = *state;

	examine(m, "");
	expect(m, "FAIL", "fusermount3", "apt install fuse3");
	add_helper(m, 0755);
	examine(m, "");
	expect(m, "FAIL", "fusermount3", "not setuid root");
	if (geteuid() != 0)
		skip();
	add_helper(m, 04755);
	examine(m, "");
	expect(m, "ok", "fusermount3", "setuid root");
	m->uid = 0;
	examine(m, m->dir); /* without /proc/self/status, nothing is allowed */
	expect(m, "FAIL", "fusermount3", "CAP_SYS_ADMIN");
}

static void write_below(struct machine *m, const char *sub, const char *name, const char *text)
{
	char path[4096], *at;

	snprintf(path, sizeof(path), "%s/%s", m->dir, sub);
	for (at = path + strlen(m->dir) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		(void)mkdir(path, 0755);
		*at = '/';
	}
	(void)mkdir(path, 0755);
	(void)fake_file(path, name, text, 0644);
}

static void remove_tree(struct machine *m, const char *const *paths)
{
	for (; *paths; paths++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", m->dir, *paths);
		(void)remove(path);
	}
}

static void test_allow_other(void **state)
{
	static const char *const made[] = { "etc/fuse.conf", "etc", NULL };
	static char *argv[] = { (char *)"-oallow_other" };
	struct machine *m = *state;

	examine(m, m->dir);
	expect(m, "ok", "allow_other", "not asked for");
	m->options.fuse_argv = argv;
	m->options.fuse_argc = 1;
	examine(m, m->dir);
	expect(m, "FAIL", "allow_other", "/etc/fuse.conf");
	write_below(m, "etc", "fuse.conf", "# user_allow_other\nmount_max = 1000\n");
	examine(m, m->dir);
	expect(m, "FAIL", "allow_other", "/etc/fuse.conf");
	write_below(m, "etc", "fuse.conf", "mount_max = 7\n\tuser_allow_other \t# yes\n");
	examine(m, m->dir);
	expect(m, "ok", "allow_other", "has user_allow_other");
	m->uid = 0;
	examine(m, m->dir);
	expect(m, "ok", "allow_other", "root may");
	m->options.fuse_argv = NULL;
	m->options.fuse_argc = 0;
	remove_tree(m, made);
}

static void set_place(struct machine *m, const char *path)
{
	free(m->options.mountpoint);
	m->options.mountpoint = strdup(path);
}

static void test_mount_point(void **state)
{
	struct machine *m = *state;
	char *place = fake_dir();
	char file[4200], missing[4200];

	examine(m, m->dir);
	expect(m, "-", "mount point", "none given");

	snprintf(missing, sizeof(missing), "%s/missing", place);
	set_place(m, missing);
	examine(m, m->dir);
	expect(m, "FAIL", "mount point", "mkdir -p");

	set_place(m, place);
	examine(m, m->dir);
	expect(m, "ok", "mount point", "an empty directory");
	snprintf(file, sizeof(file), "%s", fake_file(place, "file", "x", 0644));
	examine(m, m->dir);
	expect(m, "note", "mount point", "not empty");
	set_place(m, file);
	examine(m, m->dir);
	expect(m, "FAIL", "mount point", "not a directory");
	set_place(m, "/");
	examine(m, m->dir);
	expect(m, "FAIL", "mount point", "over the root");
	fake_dir_remove(place);
}

static void test_mount_point_of_another(void **state)
{
	struct machine *m = *state;

	set_place(m, "/tmp"); /* root's, with the sticky bit */
	examine(m, m->dir);
	expect(m, "FAIL", "mount point", "sticky bit");
	if (geteuid() == 0)
		skip(); /* every place may be written to */
	set_place(m, "/usr");
	examine(m, m->dir);
	expect(m, "FAIL", "mount point", "not writable by you");
}

static void test_mounts(void **state)
{
	struct machine *m = *state;

	if (!fake_mount_possible())
		skip();
	char *place = fake_dir();
	struct fake_mount spec = { .dir = place, .status = "{}" };
	pid_t pid = fake_mount_start(&spec);

	set_place(m, place);
	examine(m, "");
	expect(m, "FAIL", "mount point", "mounted already");
	fake_mount_kill(pid);
	examine(m, "");
	expect(m, "note", "mount point", "mounting clears it");
	assert_int_equal(mountpoint_detach(place), 0);

	spec.subtype = "other";
	pid = fake_mount_start(&spec);
	fake_mount_kill(pid);
	examine(m, "");
	expect(m, "FAIL", "mount point", "another program's mount");
	assert_int_equal(mountpoint_detach(place), 0);
	fake_dir_remove(place);
}

static void test_apparmor(void **state)
{
	static const char *const made[] = { "sys/module/apparmor/parameters/enabled",
					    "sys/module/apparmor/parameters",
					    "sys/module/apparmor",
					    "sys/module",
					    "sys",
					    "etc/apparmor.d/fusermount3",
					    "etc/apparmor.d/disable/fusermount3",
					    "etc/apparmor.d/disable",
					    "etc/apparmor.d",
					    "etc",
					    NULL };
	struct machine *m = *state;

	set_place(m, m->dir);
	examine(m, m->dir);
	expect(m, "ok", "AppArmor", "no profile");
	write_below(m, "etc/apparmor.d", "fusermount3", "");
	examine(m, m->dir);
	expect(m, "ok", "AppArmor", "no profile");
	write_below(m, "sys/module/apparmor/parameters", "enabled", "Y\n");
	examine(m, m->dir);
	expect(m, "note", "AppArmor", "/etc/apparmor.d/local/fusermount3");
	setenv("HOME", "/", 1); /* a home that is no place of its own */
	examine(m, m->dir);
	expect(m, "note", "AppArmor", "/etc/apparmor.d/local/fusermount3");
	char home[4096];
	snprintf(home, sizeof(home), "%s", m->dir);
	*strrchr(home, '/') = '\0';
	setenv("HOME", home, 1);
	examine(m, m->dir);
	expect(m, "ok", "AppArmor", "allows such a place");
	setenv("HOME", "/home/x", 1);
	write_below(m, "etc/apparmor.d/disable", "fusermount3", "");
	examine(m, m->dir);
	expect(m, "ok", "AppArmor", "no profile");
	m->uid = 0;
	examine(m, m->dir);
	assert_null(strstr(m->said, "AppArmor"));
	remove_tree(m, made);
}

static void set_state(struct machine *m, const char *path)
{
	free(m->options.state);
	m->options.state = path ? strdup(path) : NULL;
}

static void test_state(void **state)
{
	struct machine *m = *state;
	char path[4200];

	examine(m, m->dir);
	expect(m, "note", "state", "none: no history");
	m->options.ro = true;
	examine(m, m->dir);
	expect(m, "ok", "state", "nothing is written");
	m->options.ro = false;

	set_state(m, m->dir);
	assert_int_equal(chmod(m->dir, 0700), 0);
	examine(m, m->dir);
	expect(m, "ok", "state", m->dir);
	assert_int_equal(chmod(m->dir, 0777), 0);
	examine(m, m->dir);
	expect(m, "FAIL", "state", "chmod 700");
	assert_int_equal(chmod(m->dir, 0700), 0);
	snprintf(path, sizeof(path), "%s/a/b", m->dir);
	set_state(m, path);
	examine(m, m->dir);
	expect(m, "ok", "state", "to be made");
	assert_int_not_equal(access(path, F_OK), 0);
	set_state(m, fake_file(m->dir, "file", "", 0600));
	examine(m, m->dir);
	expect(m, "FAIL", "state", "not a directory");
	set_state(m, NULL);
	setenv("XDG_STATE_HOME", m->dir, 1);
	examine(m, m->dir);
	expect(m, "ok", "state", "/stacksfs, to be made");
	unsetenv("XDG_STATE_HOME");
}

static void test_failures_are_counted(void **state)
{
	struct machine *m = *state;

	examine(m, m->dir);
	assert_int_equal(m->n_failed, 2); /* no device, no fusermount3 */
}

static void test_no_line_from_outside(void **state)
{
	struct machine *m = *state;

	set_place(m, "/no\n\033[31mok    all");
	examine(m, m->dir);
	expect(m, "FAIL", "mount point", "/no??[31mok    all");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_device),
		TEST(test_helper),
		TEST(test_allow_other),
		TEST(test_mount_point),
		TEST(test_mount_point_of_another),
		TEST(test_mounts),
		TEST(test_apparmor),
		TEST(test_state),
		TEST(test_failures_are_counted),
		TEST(test_no_line_from_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
