/* SPDX-License-Identifier: MIT */
/* bounded: do something that may hang, for so long and no longer.
 *
 * A system call on a file system that does not answer cannot be ended from
 * within: a handled signal does not free a thread that waits for a FUSE reply,
 * a fatal one does.  So the work is done in a child process, which is killed.
 * Threads: the process must have one only (the child runs ordinary code). */
#ifndef BOUNDED_H
#define BOUNDED_H

#include "base/buf.h"
#include "base/macros.h"

/* Runs in the child; 0 or a negative errno.  Nothing but what it appends to out
 * comes back, and that on success only. */
typedef int bounded_fn(void *arg, struct buf *out);

/* What fn returned, with its output appended to out; -ETIMEDOUT when it did
 * not end in time, -EIO when it crashed, or what fork(2) and pipe(2) give. */
NODISCARD int bounded_run(bounded_fn *fn, void *arg, unsigned timeout_ms, struct buf *out);

/* The same of a fn that gives one struct of that size.  Also -EIO: it gave
 * something else. */
NODISCARD int bounded_get(bounded_fn *fn, void *arg, unsigned timeout_ms, void *ret, size_t size);

#endif
