/* SPDX-License-Identifier: MIT */
#include "fake_clock.h"

static uint64_t now_ms(const struct clock *clock)
{
	return ((const struct fake_clock *)clock)->now_ms;
}

static int64_t wall_ms(const struct clock *clock)
{
	return ((const struct fake_clock *)clock)->wall_ms;
}

void fake_clock_init(struct fake_clock *clock, uint64_t now, int64_t wall)
{
	clock->base = (struct clock){ .now_ms = now_ms, .wall_ms = wall_ms };
	clock->now_ms = now;
	clock->wall_ms = wall;
}

void fake_clock_advance(struct fake_clock *clock, uint64_t ms)
{
	clock->now_ms += ms;
	clock->wall_ms += (int64_t)ms;
}
