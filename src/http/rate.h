/* SPDX-License-Identifier: MIT */
/* rate: a token bucket: so many tries a second, after a burst of three
 * seconds' worth.
 *
 * Threads: none of its own; the http thread's. */
#ifndef HTTP_RATE_H
#define HTTP_RATE_H

#include <stdint.h>

#define RATE_BURST_S 3

struct rate {
	unsigned per_s;       /* 0: no limit */
	uint64_t level_milli; /* thousandths of a try */
	uint64_t at_ms;       /* when level_milli was right */
};

/* Begins full. */
void rate_init(struct rate *rate, unsigned per_s, uint64_t now_ms);
/* How long until a try may begin; 0: now. */
uint64_t rate_wait_ms(struct rate *rate, uint64_t now_ms);
/* Tries that may begin now. */
unsigned rate_left(struct rate *rate, uint64_t now_ms);
/* Count a try that begins now; rate_wait_ms has said 0. */
void rate_take(struct rate *rate);

#endif
