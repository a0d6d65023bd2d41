/* SPDX-License-Identifier: MIT */
/* clock: the time, so that tests can turn it.
 *
 * Monotonic time is CLOCK_BOOTTIME in milliseconds: it goes on while the
 * machine sleeps, so a night's suspend makes everything old, and no step of
 * the wall clock touches it (clock_gettime(2)).  Who waits by another clock is
 * told of a sleep: wake.h.
 * Threads: any thread may call; a fake one brings its own locking. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

struct clock {
	uint64_t (*now_ms)(const struct clock *clock);
	int64_t (*wall_ms)(const struct clock *clock); /* Unix time, milliseconds */
};

extern const struct clock clock_system;

static inline uint64_t clock_now_ms(const struct clock *clock)
{
	return clock->now_ms(clock);
}

static inline int64_t clock_wall_ms(const struct clock *clock)
{
	return clock->wall_ms(clock);
}

/* One of the kernel's own, in milliseconds; for who needs to tell them apart. */
int64_t clock_read_ms(clockid_t id);
/* That far from now by CLOCK_MONOTONIC: for pthread_cond_timedwait(3). */
struct timespec clock_after_ms(uint64_t ms);

#endif
