/* SPDX-License-Identifier: MIT */
/* fake_mount: a mount with a .stacksfs of fixed content, by a process of its
 * own, to be killed (the mount is dead then) or stopped (it hangs). */
#ifndef FAKE_MOUNT_H
#define FAKE_MOUNT_H

#include <stdbool.h>
#include <sys/types.h>

struct fake_mount {
	const char *dir;     /* absolute */
	const char *subtype; /* NULL: stacksfs */
	const char *status;  /* content of .stacksfs/status */
	const char *errors;  /* of .stacksfs/errors, after a refresh */
	int refresh_error;   /* what a write to .stacksfs/refresh gives: 0 or -errno */
};

/* A mount namespace of this process's own, so that nothing is left behind.
 * false: not allowed here, or no /dev/fuse; the test is to be skipped. */
bool fake_mount_possible(void);

/* The process that serves it, or -1. */
pid_t fake_mount_start(const struct fake_mount *spec);
/* SIGKILL, and wait. */
void fake_mount_kill(pid_t pid);

/* A new directory below TEST_DIR, absolute; freed by fake_dir_remove, with all
 * in it (one level). */
char *fake_dir(void);
void fake_dir_remove(char *dir);
/* A file in it; the path is static until the next call. */
const char *fake_file(const char *dir, const char *name, const char *content, mode_t mode);

#endif
