/* SPDX-License-Identifier: MIT */
/* timer: things to do inside the monitor at a later time.
 *
 * Threads: arm and cancel only inside the monitor; callbacks run inside it, on
 * the timers' own thread. */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include <stdint.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/monitor.h"

struct timers;

/* Embed in the object that the timer is about; zeroed is "not armed". */
struct timer {
	struct timer *prev, *next; /* private */
	uint64_t at_ms;
	void (*fire)(struct timer *self); /* disarmed before the call */
};

/* Both are borrowed and outlive *ret.  The thread comes with timers_start.  -ENOMEM. */
NODISCARD int timers_new(struct monitor *monitor, const struct clock *clock, struct timers **ret);
NODISCARD int timers_start(struct timers *timers); /* -EAGAIN */
/* Ends the thread, and fires each armed timer once, now: what waits for a time
 * hears that it ends.  Outside the monitor; NULL is fine. */
void timers_stop(struct timers *timers);
/* Ends the thread; armed timers never fire.  Outside the monitor; NULL is fine. */
void timers_free(struct timers *timers);
DEFINE_CLEANUP(struct timers, timers_free)

/* fire is called at_ms or soon after, on the clock's scale.  An armed timer is moved. */
void timer_arm(struct timers *timers, struct timer *timer, uint64_t at_ms,
	       void (*fire)(struct timer *self));
void timer_cancel(struct timers *timers, struct timer *timer);

/* The clock may have leapt: what is due then is fired now. */
void timers_look(struct timers *timers);

/* Fire what is due now; what the thread does, for tests that have none. */
void timers_run(struct timers *timers);

#endif
