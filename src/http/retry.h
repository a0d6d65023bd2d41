/* SPDX-License-Identifier: MIT */
/* retry: whether a failed try is worth another, and after how long.
 *
 * Pure: no clock, no state but the random number's, which the caller keeps. */
#ifndef HTTP_RETRY_H
#define HTTP_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/http.h"

#define RETRY_MAX_TRIES 4
#define RETRY_BASE_MS 500
#define RETRY_CAP_MS 8000
#define RETRY_MIN_LEFT_MS 100 /* for a try to have a chance: else its end hides why it was made */
#define RETRY_AFTER_MAX_MS (24 * 3600 * 1000LL) /* a server that says more means "not today" */

/* How a try ended. */
struct retry_case {
	enum http_retry mode;
	int err;                /* 0: status is set */
	bool sent;              /* see transport_answer */
	int status;
	int64_t retry_after_ms; /* -1: none */
	unsigned tries;         /* made so far, this one included */
	uint64_t left_ms;       /* until the call's deadline */
};

/* A failure that may pass by itself. */
bool retry_is_transient(int err, int status);

/* A failure after which the request may have taken effect all the same. */
bool retry_maybe_processed(int err, bool sent, int status);

/* Whether to try again; then *ret_delay_ms says when, always less than
 * left_ms, and by RETRY_MIN_LEFT_MS where the server did not say it.  HTTP_RETRY_NEVER is judged like ALWAYS: the caller of http acts on it. */
bool retry_decide(const struct retry_case *c, uint64_t *random, uint64_t *ret_delay_ms);

/* Full jitter: evenly from 0 to min(RETRY_CAP_MS, RETRY_BASE_MS * 2^(tries-1)).
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ */
uint64_t retry_backoff_ms(unsigned tries, uint64_t *random);

/* Retry-After in both forms (RFC 9110, 10.2.3): seconds, or an HTTP-date
 * against wall_ms.  In milliseconds, 0 to RETRY_AFTER_MAX_MS; -1 when the value
 * cannot be read, which is as good as none. */
int64_t retry_after_parse(const char *value, size_t len, int64_t wall_ms);

#endif
