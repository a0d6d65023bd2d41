/* SPDX-License-Identifier: MIT */
/* wake: tells when the machine has slept.
 *
 * CLOCK_BOOTTIME goes on in a suspend; what waits by CLOCK_MONOTONIC, and what
 * the kernel counts by jiffies (how long it keeps a file's attributes, say),
 * stands still.  Who relies on either must be told.
 *
 * Nothing is polled: the kernel ends a wait for a clock that is set or has gone
 * on so (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET).
 *
 * Threads: woken is called on a thread of its own, with nothing held. */
#ifndef BASE_WAKE_H
#define BASE_WAKE_H

#include "base/macros.h"

struct wake;

/* From now on, after each sleep: woken(arg).  -errno. */
NODISCARD int wake_new(void (*woken)(void *arg), void *arg, struct wake **ret);
void wake_free(struct wake *wake); /* ends the thread; NULL is fine */
DEFINE_CLEANUP(struct wake, wake_free)

#endif
