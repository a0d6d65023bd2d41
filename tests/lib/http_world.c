/* SPDX-License-Identifier: MIT */
#include "http_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world w;

#define check(ok) check_at(ok, #ok, __LINE__)

static void check_at(bool ok, const char *what, int line)
{
	if (ok)
		return;
	fprintf(stderr, "http_world.c:%d: %s\n", line, what);
	abort();
}

struct secret *new_secret(const char *text)
{
	struct secret *secret = NULL;

	check(secret_new(text, strlen(text), &secret) == 0);
	return secret;
}

static int load_token(void *arg, struct secret **ret)
{
	w.loads++;
	if (!w.next_token)
		return -ENOENT;
	*ret = secret_ref(w.next_token);
	return 0;
}

void world_begin(unsigned capacity, unsigned rate_per_s)
{
	CLEANUP(secret_unrefp) struct secret *token = new_secret("old-token");

	w = (struct world){ 0 };
	fake_clock_init(&w.clock, WORLD_BEGIN_MS, 784111777000);
	w.fake = fake_transport_new(capacity);
	const struct http_options options = {
		.transport = &w.fake->base,
		.clock = &w.clock.base,
		.token = token,
		.reload = { .load = load_token },
		.timeout_ms = WORLD_TIMEOUT_MS,
		.rate_per_s = rate_per_s,
		.random_seed = 42,
	};
	check(http_new(&options, &w.http) == 0);
}

void world_free_http(void)
{
	http_free(w.http);
	w.http = NULL;
	w.fake = NULL;
}

void world_end(void)
{
	w.over = true;
	world_free_http();
	secret_unref(w.next_token);
}

int world_setup(void **state)
{
	world_begin(64, 0);
	return 0;
}

int world_teardown(void **state)
{
	world_end();
	return 0;
}

static const char *copy(char *to, size_t size, const char *from)
{
	if (!from)
		return NULL;
	snprintf(to, size, "%s", from);
	return to;
}

void on_done(void *arg, const struct http_result *result)
{
	struct outcome *o = arg;

	if (w.over)
		return;
	o->times++;
	o->result = *result;
	o->result.etag = copy(o->etag, sizeof(o->etag), result->etag);
	o->result.link = copy(o->link, sizeof(o->link), result->link);
	o->result.body = copy(o->body, sizeof(o->body), result->body);
	o->result.why = copy(o->why, sizeof(o->why), result->why);
	if (o->then)
		o->then(o);
}

struct http_spec get_spec(const char *target)
{
	return (struct http_spec){ .method = HTTP_GET,
				   .retry = HTTP_RETRY_ALWAYS,
				   .class = HTTP_CLASS_USER,
				   .target = target,
				   .max_body_bytes = 1000 };
}

struct http_spec put_spec(void)
{
	struct http_spec spec = get_spec("/v1/stacks/1");

	spec.method = HTTP_PUT;
	spec.retry = HTTP_RETRY_NEVER;
	spec.class = HTTP_CLASS_SAVE;
	spec.body = "{}";
	spec.body_len = 2;
	return spec;
}

struct http_spec post_spec(void)
{
	struct http_spec spec = put_spec();

	spec.method = HTTP_POST;
	spec.retry = HTTP_RETRY_UNPROCESSED;
	return spec;
}

struct http_call *submit(const struct http_spec *spec, struct outcome *o)
{
	struct http_call *call = NULL;

	check(http_submit(w.http, spec, on_done, o, &call) == 0);
	check(call != NULL);
	return call;
}

struct http_call *submit_get(struct outcome *o)
{
	struct http_spec spec = get_spec("/v1/stacks");

	return submit(&spec, o);
}

void turn(void)
{
	http_turn(w.http);
}

void advance(uint64_t ms)
{
	fake_clock_advance(&w.clock, ms);
	turn();
}

size_t started(void)
{
	return fake_transport_count(w.fake);
}

const struct fake_try *try_no(size_t i)
{
	return fake_transport_try(w.fake, i);
}

uint64_t wait_for_try(size_t i)
{
	uint64_t ms = 0;

	for (turn(); started() <= i; ms++) {
		check(ms < 100000);
		advance(1);
	}
	return ms;
}

void reply(size_t i, int status)
{
	fake_transport_status(w.fake, i, status, "body");
	turn();
}

void reply_after(size_t i, int status, int64_t retry_after_ms)
{
	fake_transport_answer(
		w.fake, i,
		&(struct fake_answer){ .status = status, .retry_after_ms = retry_after_ms });
	turn();
}

void fail_try(size_t i, int err, bool sent)
{
	fake_transport_fail(w.fake, i, err, sent);
	turn();
}
