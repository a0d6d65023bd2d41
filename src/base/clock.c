/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

int64_t clock_read_ms(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) < 0)
		return 0; /* cannot fail for the clocks that Linux has */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint64_t boottime_ms(const struct clock *clock)
{
	return (uint64_t)clock_read_ms(CLOCK_BOOTTIME);
}

static int64_t realtime_ms(const struct clock *clock)
{
	return clock_read_ms(CLOCK_REALTIME);
}

struct timespec clock_after_ms(uint64_t ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += (time_t)(ms / 1000);
	ts.tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return ts;
}

const struct clock clock_system = { .now_ms = boottime_ms, .wall_ms = realtime_ms };
