/* SPDX-License-Identifier: MIT */
#include "http/latency.h"

#include <stdlib.h>
#include <string.h>

void latency_add(struct latency *latency, uint64_t took_ms)
{
	latency->ms[latency->next] = took_ms < UINT32_MAX ? (uint32_t)took_ms : UINT32_MAX;
	latency->next = (latency->next + 1) % LATENCY_WINDOW;
	if (latency->n < LATENCY_WINDOW)
		latency->n++;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

void latency_quantiles(const struct latency *latency, const unsigned *percent, unsigned *ret,
		       size_t n)
{
	uint32_t sorted[LATENCY_WINDOW];

	memcpy(sorted, latency->ms, latency->n * sizeof(*sorted));
	qsort(sorted, latency->n, sizeof(*sorted), compare);
	for (size_t i = 0; i < n; i++) {
		size_t rank = (latency->n * percent[i] + 99) / 100;

		ret[i] = latency->n == 0 ? 0 : sorted[rank ? rank - 1 : 0];
	}
}
