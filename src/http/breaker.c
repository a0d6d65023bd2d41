/* SPDX-License-Identifier: MIT */
#include "http/breaker.h"

#include <stdio.h>

void breaker_init(struct breaker *b, uint64_t now_ms)
{
	*b = (struct breaker){ .since_ms = now_ms };
}

enum breaker_answer breaker_ask(const struct breaker *b, uint64_t now_ms)
{
	if (!b->open)
		return BREAKER_PASS;
	return now_ms < b->next_probe_ms ? BREAKER_WAIT : BREAKER_PROBE;
}

void breaker_probe(struct breaker *b, uint64_t now_ms)
{
	b->next_probe_ms = now_ms + BREAKER_PROBE_MS;
}

static void turn(struct breaker *b, bool open, uint64_t now_ms)
{
	if (b->open == open)
		return;
	b->open = open;
	b->since_ms = now_ms;
	b->opened += open;
}

/* Of any try, one that was begun before the circuit opened too: the service is
 * there. */
void breaker_success(struct breaker *b, uint64_t now_ms)
{
	b->failures = 0;
	turn(b, false, now_ms);
}

void breaker_failure(struct breaker *b, uint64_t now_ms, bool probe, bool counts, int err,
		     const char *why)
{
	/* Tries that were under way when it opened end one after the other, which
	 * must not put the probe off. */
	if (b->open && !probe)
		return;
	b->err = err;
	snprintf(b->why, sizeof(b->why), "%s", why);
	b->next_probe_ms = now_ms + BREAKER_PAUSE_MS;
	if (b->open)
		return;
	b->failures += counts || b->failures == 0;
	if (b->failures >= BREAKER_FAILURES)
		turn(b, true, now_ms);
}

void breaker_nothing(struct breaker *b, uint64_t now_ms, bool probe)
{
	if (b->open && probe)
		b->next_probe_ms = now_ms;
}
