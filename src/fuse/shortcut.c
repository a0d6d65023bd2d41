/* SPDX-License-Identifier: MIT */
/* The shortest way, for the requests that a program sends most when all that it reads is
 * in the kernel's caches: OPEN and OPENDIR of what is fresh, and their RELEASE.
 *
 * The caller of an open has given up its core until it is answered.  Where the answer comes
 * before that core is halted, it costs the caller some 5 us, and later three times as much,
 * and what decides is less than a microsecond.  So these do not go through libfuse, which
 * allocates, locks and dispatches for each, and are not made operations. */
#include <linux/fuse.h>
#include <unistd.h>

#include "fuse/private.h"

/* As libfuse sees to it for allow_root; anybody else goes its way. */
static bool may_pass(const struct mount *mount, const struct fuse_in_header *in)
{
	return in->uid == 0 || in->uid == mount->owner;
}

struct opening {
	const struct mount *mount;
	const struct fuse_in_header *in;
};

static bool answer_open(void *arg, uint64_t handle, bool keep_cache)
{
	const struct opening *opening = arg;
	const struct fuse_in_header *in = opening->in;
	const struct {
		struct fuse_out_header header;
		struct fuse_open_out open;
	} reply = {
		.header = { .len = sizeof(reply), .unique = in->unique },
		.open = { .fh = handle,
			  .open_flags = (in->opcode == FUSE_OPENDIR ? FOPEN_CACHE_DIR
								    : FOPEN_NOFLUSH) |
					(keep_cache ? FOPEN_KEEP_CACHE : 0) },
	};

	return write(fuse_session_fd(opening->mount->session), &reply, sizeof(reply)) >= 0;
}

static bool open_fresh(struct mount *mount, const struct fuse_in_header *in)
{
	const struct fuse_open_in *arg = (const void *)(in + 1);
	struct opening opening = { mount, in };

	return may_pass(mount, in) && fs_open_fresh(mount->fs, in->nodeid, (int)arg->flags,
						    (pid_t)in->pid, answer_open, &opening);
}

/* A program that closes a file opens the next one, and waits for that. */
static bool release_later(struct mount *mount, const struct fuse_in_header *in)
{
	const struct fuse_release_in *arg = (const void *)(in + 1);

	/* The kernel's flags lack the O_TRUNC that an O_RDONLY handle may have come with. */
	if (fs_writes(arg->fh))
		return false;
	if (mount->n_released == ARRAY_SIZE(mount->released))
		shortcut_settle(mount);
	mount->released[mount->n_released++] = (struct released){ in->unique, arg->fh };
	return true;
}

bool shortcut_take(struct mount *mount, const void *message, size_t len)
{
	const struct fuse_in_header *in = message;
	size_t body = len < sizeof(*in) ? 0 : len - sizeof(*in);

	if (body >= sizeof(struct fuse_open_in) &&
	    (in->opcode == FUSE_OPEN || in->opcode == FUSE_OPENDIR))
		return open_fresh(mount, in);
	if (body >= sizeof(struct fuse_release_in) &&
	    (in->opcode == FUSE_RELEASE || in->opcode == FUSE_RELEASEDIR))
		return release_later(mount, in);
	return false;
}

void shortcut_settle(struct mount *mount)
{
	for (unsigned i = 0; i < mount->n_released; i++) {
		const struct fuse_out_header reply = { .len = sizeof(reply),
						       .unique = mount->released[i].unique };

		fs_release(mount->fs, mount->released[i].handle);
		(void)!write(fuse_session_fd(mount->session), &reply, sizeof(reply));
	}
	mount->n_released = 0;
}
