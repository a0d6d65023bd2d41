/* SPDX-License-Identifier: MIT */
/* archive: what must not be lost, on disk below a state directory:
 *
 *   history/<stack>/<time>.json   what a record was before each change
 *   lost/<time>-<stack>.json      a text that could not be saved
 *
 * time is UTC, 20260131T235959.123Z; "_1", "_2" ... follow it where a name is
 * taken.  Directories are 0700, files 0600.  A file is whole or not there, and
 * never overwritten.  Several mounts may use one state directory.
 *
 * Threads: any thread may call, inside the monitor too: nothing but
 * archive_new, archive_flush and archive_free waits.  One thread of the
 * archive's own writes, in the order of the calls.  Its lock is a leaf.
 * Errors: the disk's go to done and are counted; the file system goes on. */
#ifndef DRAFT_ARCHIVE_H
#define DRAFT_ARCHIVE_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/macros.h"

/* Beyond these the oldest files go.  A file of this directory's that has
 * another name than ours is neither counted nor removed. */
#define ARCHIVE_HISTORY_MAX_FILES 100 /* of one stack */
#define ARCHIVE_LOST_MAX_FILES    1000
#define ARCHIVE_MAX_DAYS          90
#define ARCHIVE_MAX_BYTES         (256ull << 20) /* of both; a file counts as whole 4 KiB */
#define ARCHIVE_TOTAL_EVERY       100            /* writes between two looks at that */

#define ARCHIVE_QUEUE_MAX_BYTES (64u << 20) /* not yet written */
#define ARCHIVE_WHY_BYTES       512
#define ARCHIVE_PATH_BYTES      (sizeof("lost/") + 255)

struct archive;

struct archive_stats {
	uint64_t history_files_written; /* without those that were there already */
	uint64_t lost_files_written;
	uint64_t failures; /* texts that are not on disk; -EINVAL does not count */
	int last_errno;    /* of the last failure, positive; 0: there was none */
};

/* Called on the archive's thread, with no lock held, once for each text that
 * was taken.  err: 0 or what the disk said: -ENOSPC, -EDQUOT, -EROFS, -EIO,
 * -EFBIG, -EACCES, -EPERM or -ENOTDIR (something else is in the place).  May
 * archive more; must not flush or free. */
typedef void archive_done_fn(void *arg, int err);

/* The directory when none is given: $XDG_STATE_HOME/stacksfs, else
 * .local/state/stacksfs in $HOME, else in the user's home; what is not
 * absolute is no answer.  -ENOENT: there is none; -ENAMETOOLONG. */
NODISCARD int archive_default_dir(char ret[PATH_MAX]);

/* dir: absolute; made with its parents if missing.  NULL: nowhere, so that
 * every text is taken, counted as nothing and forgotten.  clock is borrowed
 * and outlives *ret.  Starts the thread: call after the last fork(2).
 * ret_why (may be NULL) is set on failure: one line with the path in it.
 * -EPERM: others can write to it, or it or a link in its place belongs to
 * another user.  -EINVAL: not absolute.  -EACCES, -EROFS: nothing can be kept in
 * it.  -ENOMEM, -EAGAIN, or mkdir(2)'s and open(2)'s. */
NODISCARD int archive_new(const char *dir, const struct clock *clock, struct archive **ret,
			  char ret_why[ARCHIVE_WHY_BYTES]);
/* Whether archive_new would take dir, which is there.  Nothing is made or changed. */
NODISCARD int archive_check(const char *dir, char ret_why[ARCHIVE_WHY_BYTES]);
/* Returns when all is written and every done has been called.  Nobody calls
 * any more; NULL is fine. */
void archive_free(struct archive *archive);
DEFINE_CLEANUP(struct archive, archive_free)

/* Both copy the text, which is wiped once written.  stack is a component of
 * name_encode's.  done may be NULL.  On failure done is not called:
 * -EINVAL (stack is no such component), -ENOSPC (ARCHIVE_QUEUE_MAX_BYTES),
 * -ENOMEM. */

/* A text that the stack's newest file has already is not written again; done
 * gets 0. */
NODISCARD int archive_history(struct archive *archive, const char *stack, const char *text,
			      size_t len, archive_done_fn *done, void *arg);
/* ret_path (may be NULL): where the text will be, relative to archive_dir and
 * to .stacksfs alike; "" when that is nowhere.  A stack's name that is too long
 * for it is cut at a character (its ~<_id> stays).  If another mount takes the
 * same name within the same millisecond the later file gets another number. */
NODISCARD int archive_lost(struct archive *archive, const char *stack, const char *text, size_t len,
			   archive_done_fn *done, void *arg, char ret_path[ARCHIVE_PATH_BYTES]);

/* Wait until all is written and pruned.  -ETIMEDOUT. */
NODISCARD int archive_flush(struct archive *archive, unsigned timeout_ms);

/* As it was given to archive_new, less slashes at its end; NULL: nowhere. */
const char *archive_dir(const struct archive *archive);
void archive_get_stats(struct archive *archive, struct archive_stats *ret);

#endif
