/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <time.h>

static int64_t read_ms(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) < 0)
		return 0; /* cannot fail for the two clocks asked here */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint64_t boottime_ms(const struct clock *clock)
{
	return (uint64_t)read_ms(CLOCK_BOOTTIME);
}

static int64_t realtime_ms(const struct clock *clock)
{
	return read_ms(CLOCK_REALTIME);
}

const struct clock clock_system = { .now_ms = boottime_ms, .wall_ms = realtime_ms };
