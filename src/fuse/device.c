/* SPDX-License-Identifier: MIT */
/* The traffic with /dev/fuse, for what libfuse does not do. */
#include <linux/fuse.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuse/private.h"

static ssize_t device_read(int fd, void *buf, size_t len, void *userdata)
{
	return read(fd, buf, len);
}

/* libfuse up to 3.16 asks for FUSE_PARALLEL_DIROPS and then does not tell the
 * kernel (fixed upstream in 3.17.1).  Without it one lookup that waits for the
 * API stops every other one in its directory.  So its flag is put into the reply
 * to INIT, which is the one message with a fuse_init_out behind its header. */
static ssize_t device_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct mount *mount = userdata;

	if (mount->want_parallel_dirops && count == 2 &&
	    iov[1].iov_len == sizeof(struct fuse_init_out)) {
		struct fuse_init_out init;

		mount->want_parallel_dirops = false;
		memcpy(&init, iov[1].iov_base, sizeof(init));
		init.flags |= FUSE_PARALLEL_DIROPS;
		struct iovec patched[2] = { iov[0], { &init, sizeof(init) } };
		return writev(fd, patched, count);
	}
	return writev(fd, iov, count);
}

int device_take(struct mount *mount)
{
	static const struct fuse_custom_io io = { .read = device_read, .writev = device_writev };

	return fuse_session_custom_io(mount->session, &io, fuse_session_fd(mount->session));
}

/* Give up the connection without unmounting by path: fuse_session_unmount looks
 * for POLLERR and otherwise unmounts whatever is at the mount point by now,
 * which may be somebody else's.  A pipe that nobody reads has POLLERR. */
void device_sever(struct mount *mount)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	close(ends[0]);
	(void)dup3(ends[1], fuse_session_fd(mount->session), O_CLOEXEC);
	close(ends[1]);
}
