/* SPDX-License-Identifier: MIT */
#define FUSE_USE_VERSION 314
#include "fake_mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <mntent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"

static struct fake_mount served;
static bool refreshed;

static const char *content_of(const char *path)
{
	if (strcmp(path, "/.stacksfs/status") == 0)
		return served.status ? served.status : "";
	if (strcmp(path, "/.stacksfs/errors") == 0)
		return refreshed && served.errors ? served.errors : "";
	if (strcmp(path, "/.stacksfs/refresh") == 0)
		return "";
	return NULL;
}

static int fake_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	const char *content = content_of(path);

	memset(st, 0, sizeof(*st));
	st->st_nlink = 1;
	st->st_mode = content ? S_IFREG | 0600 : S_IFDIR | 0700;
	st->st_size = content ? (off_t)strlen(content) : 0;
	return content || strcmp(path, "/") == 0 || strcmp(path, "/.stacksfs") == 0 ? 0 : -ENOENT;
}

static int fake_read(const char *path, char *out, size_t size, off_t at, struct fuse_file_info *fi)
{
	const char *content = content_of(path);
	size_t len = strlen(content), n;

	if ((size_t)at >= len)
		return 0;
	n = len - (size_t)at < size ? len - (size_t)at : size;
	memcpy(out, content + at, n);
	return (int)n;
}

static int fake_write(const char *path, const char *bytes, size_t size, off_t at,
		      struct fuse_file_info *fi)
{
	refreshed = true;
	return served.refresh_error ? served.refresh_error : (int)size;
}

static const struct fuse_operations operations = {
	.getattr = fake_getattr,
	.read = fake_read,
	.write = fake_write,
};

/* Copies of mounts that others made came with the namespace.  To keep them
 * would keep their processes, which wait for the last copy to go. */
static void drop_foreign_mounts(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *m;

	while (mounts && (m = getmntent(mounts)))
		if (strcmp(m->mnt_type, "fuse.stacksfs") == 0)
			(void)umount2(m->mnt_dir, MNT_DETACH);
	if (mounts)
		endmntent(mounts);
}

bool fake_mount_possible(void)
{
	static int possible = -1;

	if (possible >= 0)
		return possible;
	possible = access("/dev/fuse", R_OK | W_OK) == 0 && unshare(CLONE_NEWNS) == 0 &&
		   mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0;
	if (possible)
		drop_foreign_mounts();
	return possible;
}

static _Noreturn void serve(const struct fake_mount *spec, int ready)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	char option[128];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	served = *spec;
	snprintf(option, sizeof(option), "-osubtype=%s,fsname=us",
		 spec->subtype ? spec->subtype : "stacksfs");
	fuse_opt_add_arg(&args, "fake");
	fuse_opt_add_arg(&args, option);
	struct fuse *fuse = fuse_new(&args, &operations, sizeof(operations), NULL);
	if (!fuse || fuse_mount(fuse, spec->dir) != 0)
		_exit(1);
	if (write(ready, "x", 1) == 1)
		fuse_loop(fuse);
	_exit(0);
}

pid_t fake_mount_start(const struct fake_mount *spec)
{
	int fds[2];
	char byte;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		close(fds[0]);
		serve(spec, fds[1]);
	}
	close(fds[1]);
	ssize_t n = read(fds[0], &byte, 1);
	close(fds[0]);
	return n == 1 ? pid : -1;
}

void fake_mount_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

char *fake_dir(void)
{
	const char *top = getenv("TEST_DIR");
	char template[PATH_MAX];

	snprintf(template, sizeof(template), "%s/test-cli.XXXXXX", top ? top : ".");
	if (!mkdtemp(template))
		return NULL;
	return realpath(template, NULL);
}

void fake_dir_remove(char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (unlinkat(dirfd(d), e->d_name, 0) < 0)
			(void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	if (d)
		closedir(d);
	rmdir(dir);
	free(dir);
}

const char *fake_file(const char *dir, const char *name, const char *content, mode_t mode)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return NULL;
	if (write(fd, content, strlen(content)) != (ssize_t)strlen(content) || fchmod(fd, mode) < 0)
		abort();
	close(fd);
	return path;
}
