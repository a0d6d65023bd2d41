/* SPDX-License-Identifier: MIT */
/* monitor: the one lock of the file system's state, and what is to be done
 * once it is released.
 *
 * Everything in store, tree and fs is touched only inside the monitor.  Replies
 * to the kernel are never made there: code inside defers them, and
 * monitor_leave runs them, in order, with no lock held.  A request may be put
 * on another thread's queue from inside; those queues' locks are leaves.
 * Threads: any thread may enter; not recursive. */
#ifndef BASE_MONITOR_H
#define BASE_MONITOR_H

#include <stdbool.h>

#include "base/macros.h"

struct monitor;

/* Embed in the object that the work is about; queued at most once at a time. */
struct deferred {
	struct deferred *next;
	void (*run)(struct deferred *self); /* may free the object it is part of */
};

NODISCARD int monitor_new(struct monitor **ret); /* -ENOMEM */
void monitor_free(struct monitor *monitor);      /* nobody inside; NULL is fine */
DEFINE_CLEANUP(struct monitor, monitor_free)

void monitor_enter(struct monitor *monitor);
void monitor_leave(struct monitor *monitor);

/* Caller is inside, and long at work: if others wait, let them in for a moment.  What
 * they leave may differ from what was there. */
void monitor_breathe(struct monitor *monitor);

/* Caller is inside.  work runs in the thread that leaves. */
void monitor_defer(struct monitor *monitor, struct deferred *work);

/* For assert() only: whether the calling thread is inside. */
bool monitor_inside(const struct monitor *monitor);

#endif
