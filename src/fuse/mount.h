/* SPDX-License-Identifier: MIT */
/* mount: a file system on a mount point: requests in, replies out, and what the
 * kernel must drop.  With the other files of this folder the only code that
 * knows libfuse.
 *
 * Threads: mount_loop runs the requests on the calling thread, which never
 * blocks in one; replies come from any thread.  Notifications have a thread of
 * their own, for they may wait for requests that are still unanswered. */
#ifndef FUSE_MOUNT_H
#define FUSE_MOUNT_H

#include "base/macros.h"
#include "fs/fs.h"

struct mount;

struct mount_options {
	struct fs *fs;          /* borrowed, outlives *ret */
	const char *mountpoint; /* absolute */
	char *const *argv;      /* for fuse_session_new */
	int argc;
};

/* Mount.  Nothing stays mounted on an error.  -EINVAL (an option that libfuse
 * does not take), -EIO, -ENOMEM; libfuse has said why on stderr. */
NODISCARD int mount_new(const struct mount_options *options, struct mount **ret);

/* Serve until unmounted.  0, or a negative errno. */
int mount_loop(struct mount *mount);

/* Any thread: it has been taken off its path, so mount_free must not unmount
 * what is there by then.  mount_loop returns when the last open file is closed. */
void mount_detached(struct mount *mount);
/* Any thread: make mount_loop return now. */
void mount_abort(struct mount *mount);

/* Unmounts what is still mounted.  No op may be parked.  NULL is fine. */
void mount_free(struct mount *mount);
DEFINE_CLEANUP(struct mount, mount_free)

#endif
