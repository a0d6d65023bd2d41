/* SPDX-License-Identifier: MIT */
/* mountpoint: what is mounted where, looked at without being caught by a mount
 * that is dead or does not answer.
 *
 * Threads: the process must have one only, but for mountpoint_top and
 * mountpoint_detach, which any thread may call. */
#ifndef MOUNTPOINT_H
#define MOUNTPOINT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"
#include "message.h"

enum mountpoint_state {
	MOUNTPOINT_LIVE,
	MOUNTPOINT_DEAD, /* its process is gone */
	MOUNTPOINT_HUNG, /* its process is there and says nothing */
};

/* A stacksfs mount. */
struct mountpoint {
	unsigned id;  /* the kernel's, in /proc/self/mountinfo */
	char *path;   /* absolute, no symlink in it; owned */
	char *source; /* fsname; owned */
	uid_t uid;    /* who mounted it */
	gid_t gid;
	enum mountpoint_state state;
};

/* Nobody would see what is mounted there, and an unmount might meet the root itself. */
#define MOUNTPOINT_IS_ROOT "/: nothing can be mounted over the root; choose another directory"

void mountpoint_done(struct mountpoint *m); /* of zeros too */

/* Make ready for mounting on path: it must be a directory, without a stacksfs
 * mount that lives; a dead one is cleared away.  *ret_path is the absolute path,
 * the caller's.  *ret_warning is a line to print, or empty.
 * -ENOENT, -ENOTDIR, -EBUSY (mounted already), -EINVAL (the root) and others, *ret_why
 * says which. */
NODISCARD int mountpoint_prepare(const char *path, char **ret_path, struct message *ret_warning,
				 struct message *ret_why);

/* The stacksfs mount that path, or a directory above it, is.  -ENOENT with
 * *ret_why set when there is none, or another error. */
NODISCARD int mountpoint_lookup(const char *path, struct mountpoint *ret, struct message *ret_why);

/* All stacksfs mounts of this user; root sees everybody's.  *ret is an array of
 * *ret_n, for mountpoint_list_free; NULL when there is none. */
NODISCARD int mountpoint_list(struct mountpoint **ret, size_t *ret_n, struct message *ret_why);
void mountpoint_list_free(struct mountpoint *list, size_t n);

/* The kernel's number of the mount that is on top at path, whatever it is of; 0: it cannot be
 * had.  No file system is asked, so that none can hang it. */
NODISCARD uint64_t mountpoint_top(const char *path);

/* Keep other starts from mounting on the absolute path, until *ret_fd is closed, and see that
 * nothing was mounted there since its top was below (0: not known).  *ret_fd is -1 where the
 * directory cannot be opened.  Whoever keeps it locked is waited for, for a second.  -EBUSY:
 * something was, *ret_why set. */
NODISCARD int mountpoint_claim(const char *path, uint64_t below, int *ret_fd,
			       struct message *ret_why);

/* Take the mount out of sight; open files go on to work.  -EINVAL: nothing is
 * mounted there; -EPERM: not ours, or no fusermount3. */
NODISCARD int mountpoint_detach(const char *path);

/* One line of /proc/self/mountinfo (proc(5)).  -ENOENT: not of stacksfs,
 * -EBADMSG: no such line, -ENOMEM.  The state is not set. */
NODISCARD int mountpoint_parse(const char *line, struct mountpoint *ret);

#endif
