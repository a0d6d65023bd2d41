/* SPDX-License-Identifier: MIT */
#include "http/rate.h"

#include <assert.h>

/* n tries a second are n thousandths of a try a millisecond, so whole numbers
 * are exact here. */
#define TRY_MILLI 1000u

static uint64_t full(const struct rate *rate)
{
	return (uint64_t)rate->per_s * RATE_BURST_S * TRY_MILLI;
}

void rate_init(struct rate *rate, unsigned per_s, uint64_t now_ms)
{
	rate->per_s = per_s;
	rate->level_milli = full(rate);
	rate->at_ms = now_ms;
}

static void refill(struct rate *rate, uint64_t now_ms)
{
	uint64_t passed_ms = now_ms - rate->at_ms;

	rate->at_ms = now_ms;
	if (passed_ms < RATE_BURST_S * 1000u)
		rate->level_milli += passed_ms * rate->per_s;
	if (passed_ms >= RATE_BURST_S * 1000u || rate->level_milli > full(rate))
		rate->level_milli = full(rate);
}

uint64_t rate_wait_ms(struct rate *rate, uint64_t now_ms)
{
	if (rate->per_s == 0)
		return 0;
	refill(rate, now_ms);
	if (rate->level_milli >= TRY_MILLI)
		return 0;
	return (TRY_MILLI - rate->level_milli + rate->per_s - 1) / rate->per_s;
}

unsigned rate_left(struct rate *rate, uint64_t now_ms)
{
	refill(rate, now_ms);
	return (unsigned)(rate->level_milli / TRY_MILLI);
}

void rate_take(struct rate *rate)
{
	if (rate->per_s == 0)
		return;
	assert(rate->level_milli >= TRY_MILLI);
	rate->level_milli -= TRY_MILLI;
}
