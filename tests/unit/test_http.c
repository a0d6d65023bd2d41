/* SPDX-License-Identifier: MIT */
/* The policy of http, driven turn by turn: no thread, no network, no real time. */
#include "http/http.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_clock.h"
#include "fake_transport.h"
#include "http/retry.h"

#define TIMEOUT_MS 30000

struct outcome {
	unsigned times; /* done was called */
	unsigned order; /* among all calls, from 1 */
	struct http_result result; /* its strings are the copies below */
	char etag[64], link[64], body[64], why[256];
	void (*then)(struct outcome *self); /* called last in done */
	void *then_arg;
};

struct world {
	struct fake_clock clock;
	struct fake_transport *fake;
	struct http *http;
	struct secret *next_token; /* what load gives; NULL: -ENOENT */
	unsigned loads;
	bool over; /* outcomes are gone with their test's stack */
};

static struct world w;
static unsigned n_done;

static struct secret *new_secret(const char *text)
{
	struct secret *secret = NULL;

	assert_int_equal(secret_new(text, strlen(text), &secret), 0);
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

static void begin_world(unsigned capacity, unsigned rate_per_s)
{
	CLEANUP(secret_unrefp) struct secret *token = new_secret("old-token");

	w = (struct world){ 0 };
	n_done = 0;
	fake_clock_init(&w.clock, 1000000, 784111777000);
	w.fake = fake_transport_new(capacity);
	const struct http_options options = {
		.transport = &w.fake->base,
		.clock = &w.clock.base,
		.token = token,
		.reload = { .load = load_token },
		.timeout_ms = TIMEOUT_MS,
		.rate_per_s = rate_per_s,
		.random_seed = 42,
	};
	assert_int_equal(http_new(&options, &w.http), 0);
}

static int setup(void **state)
{
	begin_world(64, 0);
	return 0;
}

static int teardown(void **state)
{
	w.over = true;
	http_free(w.http);
	secret_unref(w.next_token);
	return 0;
}

static const char *copy(char *to, size_t size, const char *from)
{
	if (!from)
		return NULL;
	snprintf(to, size, "%s", from);
	return to;
}

static void on_done(void *arg, const struct http_result *result)
{
	struct outcome *o = arg;

	if (w.over)
		return;
	o->times++;
	o->order = ++n_done;
	o->result = *result;
	o->result.etag = copy(o->etag, sizeof(o->etag), result->etag);
	o->result.link = copy(o->link, sizeof(o->link), result->link);
	o->result.body = copy(o->body, sizeof(o->body), result->body);
	o->result.why = copy(o->why, sizeof(o->why), result->why);
	if (o->then)
		o->then(o);
}

static struct http_spec get_spec(const char *target)
{
	return (struct http_spec){ .method = HTTP_GET, .retry = HTTP_RETRY_ALWAYS,
				   .class = HTTP_CLASS_USER, .target = target,
				   .max_body_bytes = 1000 };
}

static struct http_spec put_spec(void)
{
	struct http_spec spec = get_spec("/v1/stacks/1");

	spec.method = HTTP_PUT;
	spec.retry = HTTP_RETRY_NEVER;
	spec.class = HTTP_CLASS_SAVE;
	spec.body = "{}";
	spec.body_len = 2;
	return spec;
}

static struct http_spec post_spec(void)
{
	struct http_spec spec = put_spec();

	spec.method = HTTP_POST;
	spec.retry = HTTP_RETRY_UNPROCESSED;
	return spec;
}

static struct http_call *submit(const struct http_spec *spec, struct outcome *o)
{
	struct http_call *call = NULL;

	assert_int_equal(http_submit(w.http, spec, on_done, o, &call), 0);
	assert_non_null(call);
	return call;
}

static struct http_call *submit_get(struct outcome *o)
{
	struct http_spec spec = get_spec("/v1/stacks");

	return submit(&spec, o);
}

static void turn(void)
{
	http_turn(w.http);
}

static void advance(uint64_t ms)
{
	fake_clock_advance(&w.clock, ms);
	turn();
}

static size_t started(void)
{
	return fake_transport_count(w.fake);
}

static const struct fake_try *try_no(size_t i)
{
	return fake_transport_try(w.fake, i);
}

/* Let time go on until try i has been started; how long that took. */
static uint64_t wait_for_try(size_t i)
{
	uint64_t ms = 0;

	for (turn(); started() <= i; ms++) {
		assert_true(ms < 100000);
		advance(1);
	}
	return ms;
}

static void reply(size_t i, int status)
{
	fake_transport_status(w.fake, i, status, "body");
	turn();
}

static void reply_after(size_t i, int status, int64_t retry_after_ms)
{
	fake_transport_answer(w.fake, i, &(struct fake_answer){ .status = status,
								.retry_after_ms = retry_after_ms });
	turn();
}

static void fail_try(size_t i, int err, bool sent)
{
	fake_transport_fail(w.fake, i, err, sent);
	turn();
}

static void assert_ended(const struct outcome *o, int err, int status)
{
	assert_int_equal(o->times, 1);
	assert_int_equal(o->result.err, err);
	assert_int_equal(o->result.status, status);
}

/* ---- one exchange ---- */

static void test_answer(void **state)
{
	struct http_spec spec = get_spec("/v1/stacks?x=1");
	struct outcome o = { 0 };

	spec.if_none_match = "\"1\"";
	submit(&spec, &o);
	assert_int_equal(started(), 0); /* not before the thread's turn */
	turn();
	assert_int_equal(started(), 1);
	assert_string_equal(try_no(0)->request.target, "/v1/stacks?x=1");
	assert_string_equal(try_no(0)->request.if_none_match, "\"1\"");
	assert_null(try_no(0)->request.if_match);
	assert_int_equal(try_no(0)->request.timeout_ms, TIMEOUT_MS);
	assert_string_equal(secret_bytes(try_no(0)->request.token), "old-token");

	fake_clock_advance(&w.clock, 70);
	fake_transport_answer(w.fake, 0,
			      &(struct fake_answer){ .status = 200, .etag = "W/\"2\"", .link = "<x>",
						     .body = "[]", .retry_after_ms = -1 });
	turn();
	assert_ended(&o, 0, 200);
	assert_string_equal(o.etag, "W/\"2\"");
	assert_string_equal(o.link, "<x>");
	assert_string_equal(o.body, "[]");
	assert_int_equal(o.result.body_len, 2);
	assert_string_equal(o.why, "");
	assert_int_equal(o.result.tries, 1);
	assert_int_equal(o.result.call_no, 1);
	assert_int_equal(o.result.began_ms, 1000000);
	assert_int_equal(o.result.took_ms, 70);
	assert_int_equal(o.result.retry_in_ms, -1);
	assert_false(o.result.processed_maybe);
}

static void test_nothing_in_the_answer(void **state)
{
	struct outcome o = { 0 };

	submit_get(&o);
	turn();
	fake_transport_status(w.fake, 0, 204, NULL);
	turn();
	assert_ended(&o, 0, 204);
	assert_null(o.result.etag);
	assert_null(o.result.link);
	assert_string_equal(o.body, "");
}

static void test_spec_is_copied(void **state)
{
	char target[] = "/v1/stacks", body[] = "{\"a\":1}";
	struct http_spec spec = put_spec();
	struct outcome o = { 0 };

	spec.target = target;
	spec.body = body;
	spec.body_len = strlen(body);
	submit(&spec, &o);
	memset(target, 'x', sizeof(target) - 1);
	memset(body, 'x', sizeof(body) - 1);
	turn();
	assert_string_equal(try_no(0)->request.target, "/v1/stacks");
	assert_int_equal(try_no(0)->request.body_len, 7);
	assert_memory_equal(try_no(0)->request.body, "{\"a\":1}", 7);
}

static void test_bad_specs(void **state)
{
	static const char *const targets[] = { "", "v1", "/a b", "/a\r\nX: y", "/a\x7f", "/\xc3\xa4",
					       "/a#b", "http://x/" };
	static char long_target[HTTP_MAX_TARGET_BYTES + 2];
	struct outcome o = { 0 };
	struct http_spec spec;

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		spec = get_spec(targets[i]);
		assert_int_equal(http_submit(w.http, &spec, on_done, &o, NULL), -EINVAL);
	}
	spec = get_spec("/x");
	spec.if_match = "\"a\r\nX: y\"";
	assert_int_equal(http_submit(w.http, &spec, on_done, &o, NULL), -EINVAL);
	spec.if_match = "";
	assert_int_equal(http_submit(w.http, &spec, on_done, &o, NULL), -EINVAL);
	spec = put_spec();
	spec.body_len = HTTP_MAX_BODY_BYTES + 1;
	assert_int_equal(http_submit(w.http, &spec, on_done, &o, NULL), -EINVAL);
	spec = get_spec("/x");
	spec.timeout_ms = HTTP_MAX_TIMEOUT_MS + 1;
	assert_int_equal(http_submit(w.http, &spec, on_done, &o, NULL), -EINVAL);
	memset(long_target, '/', HTTP_MAX_TARGET_BYTES + 1);
	spec = get_spec(long_target);
	assert_int_equal(http_submit(w.http, &spec, on_done, &o, NULL), -EINVAL);
	turn();
	assert_int_equal(started() + o.times, 0);

	long_target[HTTP_MAX_TARGET_BYTES] = '\0'; /* the maximum itself is fine */
	submit(&spec, &o);
	turn();
	assert_int_equal(started(), 1);
}

static void test_fresh_connection(void **state)
{
	static const struct {
		enum http_method method;
		bool fresh;
	} rows[] = { { HTTP_GET, false }, { HTTP_PUT, false }, { HTTP_POST, true },
		     { HTTP_DELETE, true } };
	struct outcome o[ARRAY_SIZE(rows)] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_spec spec = get_spec("/x");

		spec.method = rows[i].method;
		submit(&spec, &o[i]);
		turn();
		assert_int_equal(try_no(i)->request.fresh_connection, rows[i].fresh);
	}
}

static void test_start_fails(void **state)
{
	struct outcome o[2] = { 0 };

	w.fake->start_error = -ENOMEM;
	submit_get(&o[0]);
	submit_get(&o[1]);
	turn();
	assert_ended(&o[0], -ENOMEM, 0);
	assert_ended(&o[1], -ENOMEM, 0);
	assert_string_not_equal(o[0].why, "");
	assert_false(o[0].result.processed_maybe);
}

/* ---- retries ---- */

static void test_retried_until_it_works(void **state)
{
	static const int statuses[] = { 408, 429, 500, 502, 503, 504 };

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct outcome o = { 0 };
		size_t first = started();

		submit_get(&o);
		turn();
		reply(first, statuses[i]);
		assert_int_equal(o.times, 0);
		assert_in_range(wait_for_try(first + 1), 0, RETRY_BASE_MS);
		reply(first + 1, 200);
		assert_ended(&o, 0, 200);
		assert_int_equal(o.result.tries, 2);
	}
}

static void test_four_tries_then_the_answer(void **state)
{
	static const uint64_t limit_ms[] = { 0, 500, 1000, 2000 };
	struct outcome o = { 0 };

	submit_get(&o);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(o.times, 0);
		assert_in_range(wait_for_try(i), 0, limit_ms[i]);
		assert_int_equal(try_no(i)->request.timeout_ms,
				 TIMEOUT_MS - (w.clock.now_ms - 1000000));
		reply(i, 503);
	}
	assert_ended(&o, 0, 503);
	assert_int_equal(o.result.tries, 4);
	assert_string_equal(o.body, "body");
	advance(20000);
	assert_int_equal(started(), 4);
}

static void test_connect_errors_are_retried(void **state)
{
	struct outcome o = { 0 };

	submit_get(&o);
	for (size_t i = 0; i < 4; i++) {
		wait_for_try(i);
		fail_try(i, -ECONNREFUSED, false);
	}
	assert_ended(&o, -ECONNREFUSED, 0);
	assert_string_equal(o.why, "fake failure -111");
	assert_false(o.result.processed_maybe);
}

static void test_final_answers_are_not_retried(void **state)
{
	static const int statuses[] = { 200, 204, 302, 304, 400, 403, 404, 409, 412, 422, 501, 505 };
	static const int errors[] = { EPROTO, EMSGSIZE };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct outcome o = { 0 };

		submit_get(&o);
		turn();
		reply(n++, statuses[i]);
		assert_ended(&o, 0, statuses[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct outcome o = { 0 };

		submit_get(&o);
		turn();
		fail_try(n++, -errors[i], true);
		assert_ended(&o, -errors[i], 0);
	}
}

static void test_post_retried_only_if_unprocessed(void **state)
{
	struct http_spec spec = post_spec();
	struct outcome o[4] = { 0 };

	submit(&spec, &o[0]);
	turn();
	fail_try(0, -ECONNREFUSED, false);
	wait_for_try(1);
	reply(1, 429);
	wait_for_try(2);
	reply(2, 201);
	assert_ended(&o[0], 0, 201);
	assert_false(o[0].result.processed_maybe);

	submit(&spec, &o[1]);
	turn();
	fail_try(3, -EIO, true);
	assert_ended(&o[1], -EIO, 0);
	assert_true(o[1].result.processed_maybe);

	submit(&spec, &o[2]);
	turn();
	reply_after(4, 503, 0);
	assert_ended(&o[2], 0, 503);
	assert_true(o[2].result.processed_maybe);
	assert_int_equal(o[2].result.retry_in_ms, -1);
}

/* A DELETE whose first answer was lost, and whose second is a 404, has succeeded:
 * the layer above must be able to tell. */
static void test_earlier_try_may_have_worked(void **state)
{
	struct http_spec spec = get_spec("/v1/stacks/1");
	struct outcome o = { 0 };

	spec.method = HTTP_DELETE;
	submit(&spec, &o);
	turn();
	fail_try(0, -EIO, true);
	wait_for_try(1);
	reply(1, 404);
	assert_ended(&o, 0, 404);
	assert_true(o.result.processed_maybe);
}

static void test_put_is_left_to_the_caller(void **state)
{
	struct http_spec spec = put_spec();
	struct outcome o[4] = { 0 };

	submit(&spec, &o[0]);
	turn();
	reply(0, 503);
	assert_ended(&o[0], 0, 503);
	assert_in_range(o[0].result.retry_in_ms, 0, RETRY_BASE_MS);
	assert_true(o[0].result.processed_maybe);

	submit(&spec, &o[1]);
	turn();
	reply_after(1, 429, 1000);
	assert_in_range(o[1].result.retry_in_ms, 1000, 1000 + RETRY_BASE_MS);

	submit(&spec, &o[2]);
	turn();
	reply(2, 412);
	assert_ended(&o[2], 0, 412);
	assert_int_equal(o[2].result.retry_in_ms, -1);

	spec.tries_before = RETRY_MAX_TRIES - 1;
	submit(&spec, &o[3]);
	turn();
	reply(3, 503);
	assert_int_equal(o[3].result.retry_in_ms, -1);
	advance(10000);
	assert_int_equal(started(), 4);
}

static void test_retry_after_is_waited_for(void **state)
{
	struct outcome o = { 0 };

	submit_get(&o);
	turn();
	reply_after(0, 429, 5000);
	assert_in_range(wait_for_try(1), 5000, 5000 + RETRY_BASE_MS);
	reply(1, 200);
	assert_ended(&o, 0, 200);
}

static void test_retry_after_beyond_the_deadline(void **state)
{
	struct outcome o = { 0 };

	submit_get(&o);
	turn();
	advance(10000);
	reply_after(0, 503, 20000);
	assert_ended(&o, 0, 503);
	assert_int_equal(w.clock.now_ms, 1010000); /* at once */
}

/* ---- deadlines ---- */

static void test_deadline_while_running(void **state)
{
	struct http_spec spec = put_spec();
	struct outcome o = { 0 };

	spec.timeout_ms = 2000;
	submit(&spec, &o);
	turn();
	advance(1999);
	assert_int_equal(o.times, 0);
	assert_int_equal(w.fake->last_wait_ms, 1);
	advance(1);
	assert_ended(&o, -ETIMEDOUT, 0);
	assert_true(try_no(0)->cancelled);
	assert_true(o.result.processed_maybe);
	assert_int_equal(o.result.took_ms, 2000);
	assert_string_equal(o.why, "no answer within 2.0 s (the server was asked)");
}

static void test_deadline_while_queued(void **state)
{
	struct outcome running[8] = { 0 }, o = { 0 };
	struct http_spec spec = get_spec("/x");

	w.fake->capacity = 1;
	submit_get(&running[0]);
	turn();
	spec.timeout_ms = 500;
	submit(&spec, &o);
	turn();
	advance(500);
	assert_ended(&o, -ETIMEDOUT, 0);
	assert_false(o.result.processed_maybe);
	assert_int_equal(o.result.tries, 0);
	assert_int_equal(started(), 1);
	assert_int_equal(running[0].times, 0);
}

/* A deadline spans the tries: the second gets what the first has left. */
static void test_deadline_over_tries(void **state)
{
	struct outcome o = { 0 };

	submit_get(&o);
	turn();
	advance(20000);
	fail_try(0, -ETIMEDOUT, true);
	uint64_t waited_ms = wait_for_try(1);
	assert_int_equal(try_no(1)->request.timeout_ms, 10000 - waited_ms);
	advance(10000 - waited_ms - 1);
	assert_int_equal(o.times, 0);
	advance(1);
	assert_ended(&o, -ETIMEDOUT, 0);
	assert_int_equal(o.result.tries, 2);
}

static void test_deadline_in_backoff(void **state)
{
	struct http_spec spec = get_spec("/x");
	struct outcome o = { 0 };

	spec.timeout_ms = 1000;
	submit(&spec, &o);
	turn();
	reply_after(0, 429, 900);
	assert_int_equal(o.times, 0);
	advance(1000); /* a long suspend: both are over */
	assert_ended(&o, -ETIMEDOUT, 0);
	assert_string_equal(o.why, "no answer within 1.0 s (waiting for another try)");
}

static void test_waits(void **state)
{
	struct http_spec spec = get_spec("/x");
	struct outcome o = { 0 };

	turn();
	assert_int_equal(w.fake->last_wait_ms, 60000); /* idle */
	submit(&spec, &o);
	turn();
	assert_int_equal(w.fake->last_wait_ms, 1000); /* a suspend may pass meanwhile */
	reply_after(0, 429, 300);
	turn();
	assert_in_range(w.fake->last_wait_ms, 300, 800);
}

static void test_submit_wakes(void **state)
{
	struct outcome o = { 0 };
	struct http_call *call = submit_get(&o);

	assert_int_equal(w.fake->wakes, 1);
	http_cancel(w.http, call);
	assert_int_equal(w.fake->wakes, 2);
}

/* ---- order ---- */

static void test_priorities(void **state)
{
	struct outcome first = { 0 }, o[6] = { 0 };
	static const enum http_class classes[] = { HTTP_CLASS_READAHEAD, HTTP_CLASS_USER,
						   HTTP_CLASS_SAVE, HTTP_CLASS_READAHEAD,
						   HTTP_CLASS_USER, HTTP_CLASS_SAVE };
	static const char *const targets[] = { "/r1", "/u1", "/s1", "/r2", "/u2", "/s2" };
	static const char *const order[] = { "/s1", "/s2", "/u1", "/u2", "/r1", "/r2" };

	w.fake->capacity = 1;
	submit_get(&first);
	turn();
	for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
		struct http_spec spec = get_spec(targets[i]);

		spec.class = classes[i];
		submit(&spec, &o[i]);
	}
	for (size_t i = 0; i <= ARRAY_SIZE(o); i++) {
		reply(i, 200);
		turn();
		assert_int_equal(w.fake->max_running, 1);
		if (i < ARRAY_SIZE(o))
			assert_string_equal(try_no(i + 1)->request.target, order[i]);
	}
}

static unsigned start_many(enum http_class class, unsigned n, struct outcome *o)
{
	size_t before = started();

	for (unsigned i = 0; i < n; i++) {
		struct http_spec spec = get_spec("/x");

		spec.class = class;
		submit(&spec, &o[i]);
	}
	turn();
	return (unsigned)(started() - before);
}

/* Whatever the transport says, at most 64; and the last slots are kept. */
static void test_window(void **state)
{
	static struct outcome o[3][100];

	memset(o, 0, sizeof(o));
	w.fake->capacity = 1000;
	assert_int_equal(start_many(HTTP_CLASS_READAHEAD, 100, o[0]), 48);
	assert_int_equal(start_many(HTTP_CLASS_USER, 100, o[1]), 8);
	assert_int_equal(start_many(HTTP_CLASS_SAVE, 100, o[2]), 8);
	assert_int_equal(w.fake->running, 64);
	reply(0, 200);
	turn();
	assert_int_equal(started(), 65);
	assert_int_equal(w.fake->max_running, 64);
}

static void test_window_follows_capacity(void **state)
{
	static struct outcome o[100];

	memset(o, 0, sizeof(o));
	w.fake->capacity = 8;
	assert_int_equal(start_many(HTTP_CLASS_USER, 100, o), 7);
	w.fake->capacity = 64; /* the server has shown HTTP/2 */
	turn();
	assert_int_equal(w.fake->running, 56);
}

/* What has waited for its second try is older than what is queued. */
static void test_retry_goes_first(void **state)
{
	struct outcome o[3] = { 0 };
	struct http_spec spec = get_spec("/old");

	w.fake->capacity = 1;
	submit(&spec, &o[0]);
	turn();
	submit_get(&o[1]);
	submit_get(&o[2]);
	reply_after(0, 503, 0);
	turn(); /* the next one takes the slot */
	assert_int_equal(started(), 2);
	advance(RETRY_BASE_MS);
	reply(1, 200);
	turn();
	assert_string_equal(try_no(2)->request.target, "/old");
}

static void test_rate(void **state)
{
	static struct outcome o[100];

	memset(o, 0, sizeof(o));
	http_free(w.http);
	begin_world(1000, 10);
	assert_int_equal(start_many(HTTP_CLASS_SAVE, 100, o), 30); /* the burst */
	assert_int_equal(w.fake->last_wait_ms, 100);
	advance(99);
	assert_int_equal(started(), 30);
	advance(1);
	assert_int_equal(started(), 31);
	advance(500);
	assert_int_equal(started(), 36);
}

static void test_rate_serves_saves_first(void **state)
{
	static struct outcome o[2][40];

	memset(o, 0, sizeof(o));
	http_free(w.http);
	begin_world(1000, 10);
	start_many(HTTP_CLASS_USER, 40, o[0]);
	assert_int_equal(started(), 30);
	start_many(HTTP_CLASS_SAVE, 3, o[1]);
	struct http_spec spec = put_spec();
	struct outcome put = { 0 };
	submit(&spec, &put);
	advance(400);
	assert_int_equal(started(), 34);
	assert_int_equal(try_no(33)->request.method, HTTP_PUT);
}

/* ---- cancelling ---- */

static void test_cancel_in_queue(void **state)
{
	struct outcome o[2] = { 0 };

	w.fake->capacity = 1;
	submit_get(&o[0]);
	struct http_call *call = submit_get(&o[1]);
	turn();
	http_cancel(w.http, call);
	assert_int_equal(o[1].times, 0); /* on the http thread, not here */
	turn();
	assert_ended(&o[1], -ECANCELED, 0);
	assert_false(o[1].result.processed_maybe);
	reply(0, 200);
	turn();
	assert_int_equal(started(), 1);
}

static void test_cancel_before_the_first_turn(void **state)
{
	struct outcome o = { 0 };

	http_cancel(w.http, submit_get(&o));
	turn();
	assert_ended(&o, -ECANCELED, 0);
	assert_int_equal(started(), 0);
}

static void test_cancel_in_flight(void **state)
{
	struct outcome o = { 0 };
	struct http_call *call = submit_get(&o);

	turn();
	http_cancel(w.http, call);
	http_cancel(w.http, call); /* twice is once */
	turn();
	assert_ended(&o, -ECANCELED, 0);
	assert_true(try_no(0)->cancelled);
	assert_true(o.result.processed_maybe);
	assert_int_equal(w.fake->running, 0);
}

static void test_cancel_in_backoff(void **state)
{
	struct outcome o = { 0 };
	struct http_call *call = submit_get(&o);

	turn();
	reply_after(0, 503, 2000);
	http_cancel(w.http, call);
	turn();
	assert_ended(&o, -ECANCELED, 0);
	advance(10000);
	assert_int_equal(started(), 1);
}

/* The answer and the cancellation meet: one of them, once. */
static void test_cancel_against_answer(void **state)
{
	struct outcome o = { 0 };
	struct http_call *call = submit_get(&o);

	turn();
	fake_transport_status(w.fake, 0, 200, "");
	http_cancel(w.http, call);
	turn();
	turn();
	assert_ended(&o, -ECANCELED, 0);
}

static void cancel_self(struct outcome *o)
{
	http_cancel(w.http, o->then_arg);
}

/* A thread that cancels while done is being called with another result. */
static void test_cancel_while_done(void **state)
{
	struct outcome o = { .then = cancel_self };

	o.then_arg = submit_get(&o);
	turn();
	reply(0, 200);
	turn();
	assert_ended(&o, 0, 200);
}

static void submit_another(struct outcome *o)
{
	submit_get(o->then_arg);
}

static void test_submit_from_done(void **state)
{
	struct outcome second = { 0 }, first = { .then = submit_another, .then_arg = &second };

	submit_get(&first);
	turn();
	reply(0, 200);
	assert_int_equal(first.times, 1);
	turn();
	assert_int_equal(started(), 2);
	reply(1, 200);
	assert_ended(&second, 0, 200);
}

static void refused_submit(struct outcome *o)
{
	struct http_spec spec = get_spec("/x");

	assert_int_equal(http_submit(w.http, &spec, on_done, o, NULL), -ESHUTDOWN);
}

static void test_free_ends_all(void **state)
{
	struct outcome o[4] = { { .then = refused_submit }, { .then = refused_submit } };

	w.fake->capacity = 2;
	submit_get(&o[0]);
	turn();
	reply_after(0, 503, 5000); /* o[0] waits */
	submit_get(&o[1]);
	turn();
	struct http_spec spec = put_spec();
	submit(&spec, &o[2]);
	turn();
	submit_get(&o[3]);
	assert_int_equal(w.fake->running, 2);
	http_free(w.http);
	w.http = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		assert_ended(&o[i], -ECANCELED, 0);
	assert_true(o[2].result.processed_maybe);
}

/* ---- the token ---- */

static void test_401_loads_once_and_tries_once_more(void **state)
{
	struct outcome o = { 0 };

	w.next_token = new_secret("new-token");
	submit_get(&o);
	turn();
	reply(0, 401);
	turn();
	assert_int_equal(started(), 2);
	assert_int_equal(w.loads, 1);
	assert_string_equal(secret_bytes(try_no(1)->request.token), "new-token");
	reply(1, 401);
	assert_ended(&o, 0, 401);
	assert_int_equal(w.loads, 1); /* at most once per call */
}

static void test_401_same_token(void **state)
{
	struct outcome o = { 0 };

	w.next_token = new_secret("old-token");
	submit_get(&o);
	turn();
	reply(0, 401);
	assert_ended(&o, 0, 401);
	assert_int_equal(w.loads, 1);
}

static void test_401_no_token(void **state)
{
	struct outcome o = { 0 };

	submit_get(&o);
	turn();
	reply(0, 401);
	assert_ended(&o, 0, 401);
}

static void test_401_unusable_token(void **state)
{
	struct outcome o = { 0 };

	w.next_token = new_secret("new\r\nX: y");
	submit_get(&o);
	turn();
	reply(0, 401);
	assert_ended(&o, 0, 401);
}

static void test_401_shared(void **state)
{
	struct outcome o[4] = { 0 };

	w.next_token = new_secret("new-token");
	for (size_t i = 0; i < 4; i++)
		submit_get(&o[i]);
	turn();
	for (size_t i = 0; i < 4; i++)
		reply(i, 401);
	turn();
	assert_int_equal(w.loads, 1); /* the others were begun before it */
	assert_int_equal(started(), 8);
	for (size_t i = 4; i < 8; i++) {
		assert_string_equal(secret_bytes(try_no(i)->request.token), "new-token");
		reply(i, 200);
	}
	for (size_t i = 0; i < 4; i++)
		assert_ended(&o[i], 0, 200);
}

static void test_401_shared_failure(void **state)
{
	struct outcome o[4] = { 0 };

	for (size_t i = 0; i < 4; i++)
		submit_get(&o[i]);
	turn();
	for (size_t i = 0; i < 4; i++)
		reply(i, 401);
	assert_int_equal(w.loads, 1);
	for (size_t i = 0; i < 4; i++)
		assert_ended(&o[i], 0, 401);
	submit_get(&o[0]); /* begun after it: worth another look */
	o[0].times = 0;
	turn();
	reply(4, 401);
	assert_int_equal(w.loads, 2);
}

/* A refused POST was not processed; a refused PUT needs its GET again. */
static void test_401_of_changes(void **state)
{
	struct http_spec post = post_spec(), put = put_spec();
	struct outcome o[2] = { 0 };

	w.next_token = new_secret("new-token");
	submit(&put, &o[0]);
	turn();
	reply(0, 401);
	assert_ended(&o[0], 0, 401);
	assert_int_equal(o[0].result.retry_in_ms, 0);

	secret_unref(w.next_token);
	w.next_token = new_secret("newer-token");
	submit(&post, &o[1]);
	turn();
	assert_string_equal(secret_bytes(try_no(1)->request.token), "new-token");
	reply(1, 401);
	turn();
	assert_string_equal(secret_bytes(try_no(2)->request.token), "newer-token");
	reply(2, 201);
	assert_ended(&o[1], 0, 201);
}

/* ---- figures and bounds ---- */

static void test_stats(void **state)
{
	struct outcome o[3] = { 0 };
	struct http_stats stats;

	w.fake->capacity = 1;
	submit_get(&o[0]);
	submit_get(&o[1]);
	turn();
	http_get_stats(w.http, &stats);
	assert_int_equal(stats.calls, 2);
	assert_int_equal(stats.tries, 1);
	assert_int_equal(stats.running, 1);
	assert_int_equal(stats.queued, 1);

	fake_clock_advance(&w.clock, 40);
	reply_after(0, 503, 0);
	turn();
	advance(RETRY_BASE_MS);
	reply(1, 200); /* o[1] */
	turn();
	reply(2, 403); /* o[0] again */
	turn();
	http_get_stats(w.http, &stats);
	assert_int_equal(stats.tries, 3);
	assert_int_equal(stats.retries, 1);
	assert_int_equal(stats.failures, 0);
	assert_int_equal(stats.running, 0);
	assert_int_equal(stats.queued, 0);
	assert_int_equal(stats.received_bytes, 8);
	assert_int_equal(stats.latency_p50_ms, 40);
	assert_int_equal(stats.latency_p99_ms, RETRY_BASE_MS);

	submit_get(&o[2]);
	turn();
	fail_try(3, -EPROTO, false);
	http_get_stats(w.http, &stats);
	assert_int_equal(stats.failures, 1);
	assert_int_equal(stats.calls, 3);
}

static void count_done(void *arg, const struct http_result *result)
{
	++*(unsigned *)arg;
}

static void test_maximum_of_calls(void **state)
{
	struct http_spec spec = get_spec("/x");
	unsigned n = 0;

	for (int i = 0; i < HTTP_MAX_CALLS; i++)
		assert_int_equal(http_submit(w.http, &spec, count_done, &n, NULL), 0);
	assert_int_equal(http_submit(w.http, &spec, count_done, &n, NULL), -ENOMEM);
	turn();
	reply(0, 200);
	assert_int_equal(n, 1);
	assert_int_equal(http_submit(w.http, &spec, count_done, &n, NULL), 0);
	http_free(w.http);
	w.http = NULL;
	assert_int_equal(n, HTTP_MAX_CALLS + 1);
}

static void test_bad_options(void **state)
{
	static const char *const tokens[] = { "", "a b", "a\r\nX: y", "\xc3\xa4" };

	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++) {
		CLEANUP(secret_unrefp) struct secret *token = new_secret(tokens[i]);
		struct http_options options = { .transport = &w.fake->base,
						.clock = &w.clock.base,
						.token = token,
						.timeout_ms = 1 };
		struct http *http = NULL;

		assert_int_equal(http_new(&options, &http), -EINVAL);
		assert_null(http);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_answer),
		TEST(test_nothing_in_the_answer),
		TEST(test_spec_is_copied),
		TEST(test_bad_specs),
		TEST(test_fresh_connection),
		TEST(test_start_fails),
		TEST(test_retried_until_it_works),
		TEST(test_four_tries_then_the_answer),
		TEST(test_connect_errors_are_retried),
		TEST(test_final_answers_are_not_retried),
		TEST(test_post_retried_only_if_unprocessed),
		TEST(test_earlier_try_may_have_worked),
		TEST(test_put_is_left_to_the_caller),
		TEST(test_retry_after_is_waited_for),
		TEST(test_retry_after_beyond_the_deadline),
		TEST(test_deadline_while_running),
		TEST(test_deadline_while_queued),
		TEST(test_deadline_over_tries),
		TEST(test_deadline_in_backoff),
		TEST(test_waits),
		TEST(test_submit_wakes),
		TEST(test_priorities),
		TEST(test_window),
		TEST(test_window_follows_capacity),
		TEST(test_retry_goes_first),
		TEST(test_rate),
		TEST(test_rate_serves_saves_first),
		TEST(test_cancel_in_queue),
		TEST(test_cancel_before_the_first_turn),
		TEST(test_cancel_in_flight),
		TEST(test_cancel_in_backoff),
		TEST(test_cancel_against_answer),
		TEST(test_cancel_while_done),
		TEST(test_submit_from_done),
		TEST(test_free_ends_all),
		TEST(test_401_loads_once_and_tries_once_more),
		TEST(test_401_same_token),
		TEST(test_401_no_token),
		TEST(test_401_unusable_token),
		TEST(test_401_shared),
		TEST(test_401_shared_failure),
		TEST(test_401_of_changes),
		TEST(test_stats),
		TEST(test_maximum_of_calls),
		TEST(test_bad_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
