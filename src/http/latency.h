/* SPDX-License-Identifier: MIT */
/* latency: how long recent tries took, as quantiles.
 *
 * Threads: none of its own; the owner's lock guards it. */
#ifndef HTTP_LATENCY_H
#define HTTP_LATENCY_H

#include <stddef.h>
#include <stdint.h>

#define LATENCY_WINDOW 512 /* tries that are remembered */

struct latency {
	uint32_t ms[LATENCY_WINDOW]; /* a ring */
	size_t n;                    /* filled so far */
	size_t next;
};

void latency_add(struct latency *latency, uint64_t took_ms);
/* ret[i]: what percent[i] of the remembered tries did not exceed (nearest
 * rank); 0 when there are none. */
void latency_quantiles(const struct latency *latency, const unsigned *percent, unsigned *ret,
		       size_t n);

#endif
