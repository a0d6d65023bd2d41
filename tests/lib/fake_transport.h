/* SPDX-License-Identifier: MIT */
/* fake_transport: a transport whose answers the test gives.
 *
 * Every try is kept, in the order in which they were started, until the
 * transport is freed (http_free does that).  Answers are delivered, in the order
 * in which they were given, by the next run, which never waits.
 * Threads: one, but for wake: drive it by http_turn. */
#ifndef TESTS_FAKE_TRANSPORT_H
#define TESTS_FAKE_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/transport.h"

#define FAKE_TRANSPORT_MAX_TRIES 16384

struct fake_try {
	struct transport_request request; /* strings, body and token are copies */
	bool cancelled;
	bool answered;
};

struct fake_transport {
	struct transport base; /* hand out &fake->base */
	unsigned capacity;
	int start_error;       /* what start returns; 0: it succeeds */
	unsigned running;
	unsigned max_running;  /* ever */
	unsigned last_wait_ms; /* what the last wait was allowed to take */
	void (*while_waiting)(void); /* or NULL: what happens meanwhile */
	_Atomic unsigned wakes;
};

struct fake_answer {
	int err;
	bool sent;              /* with err; an answer was always sent */
	int status;
	const char *etag;       /* or NULL */
	const char *link;
	const char *body;
	size_t body_len;        /* 0: strlen(body) */
	int64_t retry_after_ms; /* -1: none */
};

struct fake_transport *fake_transport_new(unsigned capacity);

size_t fake_transport_count(const struct fake_transport *fake);
const struct fake_try *fake_transport_try(const struct fake_transport *fake, size_t i);

/* Try i must be running and not be answered yet. */
void fake_transport_answer(struct fake_transport *fake, size_t i, const struct fake_answer *answer);
void fake_transport_status(struct fake_transport *fake, size_t i, int status, const char *body);
void fake_transport_fail(struct fake_transport *fake, size_t i, int err, bool sent);

#endif
