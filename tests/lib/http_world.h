/* SPDX-License-Identifier: MIT */
/* http_world: an http on a fake transport and a fake clock, driven turn by turn.
 *
 * One at a time: the world is w. */
#ifndef TESTS_HTTP_WORLD_H
#define TESTS_HTTP_WORLD_H

#include <stdbool.h>

#include "fake_clock.h"
#include "fake_transport.h"
#include "http/http.h"

#define WORLD_TIMEOUT_MS 30000
#define WORLD_BEGIN_MS 1000000

/* How a call has ended. */
struct outcome {
	unsigned times; /* done was called */
	struct http_result result; /* its strings are the copies below */
	char etag[64], link[64], body[64], why[256];
	void (*then)(struct outcome *self); /* called last in done */
	void *then_arg;
};

struct world {
	struct fake_clock clock;
	struct fake_transport *fake;
	struct http *http;         /* NULL after world_free_http */
	struct secret *next_token; /* what a reload gives; NULL: -ENOENT */
	unsigned loads;
	bool over; /* outcomes have gone with their test's stack */
};

extern struct world w;

void world_begin(unsigned capacity, unsigned rate_per_s);
/* Ends http inside the test, so that what that does to calls can be seen. */
void world_free_http(void);
void world_end(void);
/* For cmocka: 64 slots, no rate. */
int world_setup(void **state);
int world_teardown(void **state);

struct secret *new_secret(const char *text);

struct http_spec get_spec(const char *target);
struct http_spec put_spec(void);
struct http_spec post_spec(void);

/* For http_submit; arg is a struct outcome. */
void on_done(void *arg, const struct http_result *result);
struct http_call *submit(const struct http_spec *spec, struct outcome *o);
struct http_call *submit_get(struct outcome *o);

void turn(void);
void advance(uint64_t ms); /* and a turn */
size_t started(void);      /* tries so far */
const struct fake_try *try_no(size_t i);
/* Let time go on until try i has been started; how long that took. */
uint64_t wait_for_try(size_t i);

/* Answer try i, and a turn. */
void reply(size_t i, int status);
void reply_after(size_t i, int status, int64_t retry_after_ms);
void fail_try(size_t i, int err, bool sent);

#endif
