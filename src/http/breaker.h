/* SPDX-License-Identifier: MIT */
/* breaker: the circuit: after some failures in a row nothing is asked, but for a
 * probe from time to time, so that nobody waits for a service that is not there,
 * and it is not flooded when it comes back.
 *
 * Pure: the caller brings the time.  Threads: none of its own; the http thread's. */
#ifndef HTTP_BREAKER_H
#define HTTP_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES 5    /* in a row, of tries: then it opens */
#define BREAKER_PAUSE_MS 2000 /* from a failure to the next probe */
/* A probe that is silent for so long does not keep the next one back: it may hang
 * on a connection that is dead while a new one would work. */
#define BREAKER_PROBE_MS 5000
/* A try that was given less than this and timed out says nothing. */
#define BREAKER_MIN_TIMEOUT_MS 500

struct breaker {
	bool open;
	unsigned failures;      /* in a row; not counted on while it is open */
	uint64_t since_ms;      /* open or closed since then */
	uint64_t next_probe_ms; /* while it is open */
	unsigned opened;        /* how often it has opened */
	int err;                /* of the last failure: a negative errno */
	char why[320];          /* ... for people */
};

enum breaker_answer {
	BREAKER_PASS,  /* closed: ask */
	BREAKER_PROBE, /* open, and it is time for a probe: say breaker_probe and ask */
	BREAKER_WAIT,  /* open */
};

void breaker_init(struct breaker *b, uint64_t now_ms);
enum breaker_answer breaker_ask(const struct breaker *b, uint64_t now_ms);
void breaker_probe(struct breaker *b, uint64_t now_ms);

/* How a try has ended.  probe: it was begun as one.  counts: else it is the same as the last
 * failure, and only the first of a row. */
void breaker_success(struct breaker *b, uint64_t now_ms);
void breaker_failure(struct breaker *b, uint64_t now_ms, bool probe, bool counts, int err,
		     const char *why);
/* It has shown nothing: it was cancelled, say. */
void breaker_nothing(struct breaker *b, uint64_t now_ms, bool probe);

#endif
