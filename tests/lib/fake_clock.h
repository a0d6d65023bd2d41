/* SPDX-License-Identifier: MIT */
/* fake_clock: time that passes when the test says so.
 *
 * Threads: any thread may read and turn it. */
#ifndef TESTS_FAKE_CLOCK_H
#define TESTS_FAKE_CLOCK_H

#include <stdint.h>

#include "base/clock.h"

struct fake_clock {
	struct clock base; /* hand out &clock.base */
	_Atomic uint64_t now_ms;
	_Atomic int64_t wall_ms;
};

void fake_clock_init(struct fake_clock *clock, uint64_t now_ms, int64_t wall_ms);
/* Both clocks go on. */
void fake_clock_advance(struct fake_clock *clock, uint64_t ms);

#endif
