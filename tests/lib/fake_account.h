/* SPDX-License-Identifier: MIT */
/* fake_account: a store over the real api and http layers, whose answers and
 * time the test gives.  No thread runs; every step is the test's. */
#ifndef TESTS_FAKE_ACCOUNT_H
#define TESTS_FAKE_ACCOUNT_H

#include "api/api.h"
#include "base/monitor.h"
#include "base/timer.h"
#include "fake_clock.h"
#include "fake_transport.h"
#include "http/http.h"
#include "store/store.h"

struct fake_account {
	struct fake_clock clock;
	struct fake_transport *transport;
	struct monitor *monitor;
	struct timers *timers;
	struct http *http;
	struct api *api;
	struct store *store;
};

/* events NULL: without a store, for a test that makes its own. */
void fake_account_init(struct fake_account *a, const struct store_events *events, uint64_t ttl_ms,
		       uint64_t stale_ms);
void fake_account_done(struct fake_account *a);

/* Begin the first list. */
void fake_account_start(struct fake_account *a);
/* Let time pass, and what is due happen. */
void fake_account_advance(struct fake_account *a, uint64_t ms);

/* Tries that were started so far, and the target of one. */
size_t fake_account_tries(struct fake_account *a);
const char *fake_account_target(struct fake_account *a, size_t i);

/* Answer try i and let the answer be taken. */
void fake_account_answer(struct fake_account *a, size_t i, int status, const char *body);
void fake_account_page(struct fake_account *a, size_t i, const char *body, const char *next);
void fake_account_etag(struct fake_account *a, size_t i, int status, const char *body,
		       const char *etag);
/* Answer the newest try by status, and every repetition of it, until the call has failed. */
void fake_account_fail(struct fake_account *a, int status);

/* A record's JSON; id is a number that becomes an _id.  In a static buffer that
 * the eighth further call uses again. */
const char *fake_record(unsigned id, const char *name, const char *extra);
const char *fake_list(unsigned n, ...); /* n records as an array; likewise */
const char *fake_two(void);             /* the list of 1, "one", and 2, "two"; likewise */
char *fake_document(size_t len);        /* a JSON object of that many bytes; the caller's */
struct stack_id fake_id(unsigned id);
/* The stack of that number; NULL: there is none. */
struct stack *fake_account_stack(const struct fake_account *a, unsigned id);

#endif
