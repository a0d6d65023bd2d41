/* SPDX-License-Identifier: MIT */
/* Many calls of http: order, rate, cancelling, the token, figures and bounds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/retry.h"
#include "http_world.h"

static void assert_ended(const struct outcome *o, int err, int status)
{
	assert_int_equal(o->times, 1);
	assert_int_equal(o->result.err, err);
	assert_int_equal(o->result.status, status);
}

/* ---- order ---- */

static void test_priorities(void **state)
{
	struct outcome first = { 0 }, o[6] = { 0 };
	static const enum http_class classes[] = { HTTP_CLASS_READAHEAD, HTTP_CLASS_USER,
						   HTTP_CLASS_SAVE,      HTTP_CLASS_READAHEAD,
						   HTTP_CLASS_USER,      HTTP_CLASS_SAVE };
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

/* Who hurries goes behind those who have waited already. */
static void test_hurry(void **state)
{
	struct outcome first = { 0 }, o[5] = { 0 };
	static const enum http_class classes[] = { HTTP_CLASS_READAHEAD, HTTP_CLASS_READAHEAD,
						   HTTP_CLASS_USER, HTTP_CLASS_SAVE,
						   HTTP_CLASS_READAHEAD };
	static const char *const targets[] = { "/r1", "/r2", "/u", "/s", "/r3" };
	static const char *const order[] = { "/s", "/u", "/r2", "/r3", "/r1" };
	struct http_call *calls[ARRAY_SIZE(o)];

	w.fake->capacity = 1;
	struct http_call *running = submit_get(&first);
	turn();
	for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
		struct http_spec spec = get_spec(targets[i]);

		spec.class = classes[i];
		calls[i] = submit(&spec, &o[i]);
		if (i == 1)
			turn();
	}
	http_hurry(w.http, running);
	http_hurry(w.http, calls[1]); /* queued */
	http_hurry(w.http, calls[3]);
	http_hurry(w.http, calls[4]); /* not even that */
	http_hurry(w.http, calls[4]);
	for (size_t i = 0; i <= ARRAY_SIZE(o); i++) {
		reply(i, 200);
		turn();
		if (i < ARRAY_SIZE(o))
			assert_string_equal(try_no(i + 1)->request.target, order[i]);
	}
}

static void test_hurry_before_the_next_try(void **state)
{
	struct outcome delayed = { 0 }, o[2] = { 0 };
	struct http_spec spec = get_spec("/r");

	w.fake->capacity = 1;
	spec.class = HTTP_CLASS_READAHEAD;
	struct http_call *call = submit(&spec, &delayed);
	turn();
	reply_after(0, 503, 1000);
	submit_get(&o[0]);
	turn();
	submit_get(&o[1]);
	http_hurry(w.http, call);
	advance(2000);
	reply(1, 200);
	turn();
	assert_string_equal(try_no(2)->request.target, "/r"); /* it is older than the other */
}

static void test_hurry_of_what_ends(void **state)
{
	struct outcome o = { 0 };
	struct http_call *call = submit_get(&o);

	turn();
	http_cancel(w.http, call);
	http_hurry(w.http, call);
	turn();
	assert_ended(&o, -ECANCELED, 0);
}

/* Of as many kinds, in turn. */
static unsigned start_kinds(enum http_class class, unsigned kinds, unsigned n, struct outcome *o)
{
	size_t before = started();

	for (unsigned i = 0; i < n; i++) {
		struct http_spec spec = get_spec("/x");

		spec.class = class;
		spec.kind = i % kinds;
		submit(&spec, &o[i]);
	}
	turn();
	return (unsigned)(started() - before);
}

static unsigned start_many(enum http_class class, unsigned n, struct outcome *o)
{
	return start_kinds(class, 2, n, o);
}

/* Whatever the transport says, at most 64; and the last slots are kept. */
static void test_window(void **state)
{
	static struct outcome o[3][100];

	memset(o, 0, sizeof(o));
	w.fake->capacity = 1000;
	assert_int_equal(start_many(HTTP_CLASS_READAHEAD, 100, o[0]), 44);
	assert_int_equal(start_many(HTTP_CLASS_USER, 100, o[1]), 8);
	assert_int_equal(start_many(HTTP_CLASS_SAVE, 100, o[2]), 12);
	assert_int_equal(w.fake->running, 64);
	reply(0, 200);
	turn();
	assert_int_equal(started(), 65);
	assert_int_equal(w.fake->max_running, 64);
}

/* Those that hang hold not all, neither against others of their class nor, read
 * ahead, against who waits for the same. */
static void test_kinds_leave_slots(void **state)
{
	static struct outcome o[5][100];
	struct http_spec other = get_spec("/other"), third = get_spec("/third");

	memset(o, 0, sizeof(o));
	assert_int_equal(start_kinds(HTTP_CLASS_READAHEAD, 1, 100, o[0]), 44);
	assert_int_equal(start_kinds(HTTP_CLASS_USER, 1, 100, o[1]), 8);
	other.class = third.class = HTTP_CLASS_USER;
	other.kind = HTTP_MAX_KINDS - 1;
	third.kind = HTTP_MAX_KINDS - 2;
	for (unsigned i = 0; i < 10; i++)
		submit(&other, &o[2][i]); /* behind 92 of the other kind */
	turn();
	assert_string_equal(try_no(52)->request.target, "/other");
	assert_int_equal(w.fake->running, 54);
	for (unsigned i = 0; i < 10; i++)
		submit(&third, &o[3][i]);
	turn();
	assert_string_equal(try_no(54)->request.target, "/third");
	assert_int_equal(w.fake->running, 56);
	reply(54, 200); /* that slot is the next one's of the same kind */
	turn();
	assert_string_equal(try_no(56)->request.target, "/third");
	assert_int_equal(w.fake->running, 56);
	assert_int_equal(start_kinds(HTTP_CLASS_SAVE, 1, 100, o[4]), 8);
	assert_int_equal(w.fake->running, 64);
}

static void test_a_kind_that_is_none(void **state)
{
	struct http_spec spec = get_spec("/x");
	struct outcome o = { 0 };

	spec.kind = HTTP_MAX_KINDS;
	assert_int_equal(http_submit(w.http, &spec, on_done, &o, NULL), -EINVAL);
}

static void test_window_follows_capacity(void **state)
{
	static struct outcome o[100];

	memset(o, 0, sizeof(o));
	w.fake->capacity = 8;
	assert_int_equal(start_many(HTTP_CLASS_USER, 100, o), 7);
	w.fake->capacity = 64; /* the server has shown HTTP/2 */
	turn();
	assert_int_equal(w.fake->running, 52);
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
	world_end();
	world_begin(1000, 10);
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
	world_end();
	world_begin(1000, 10);
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
	world_free_http();
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

/* The fourth try of a save is the last, whatever ends it. */
static void test_401_of_the_last_try(void **state)
{
	struct http_spec put = put_spec();
	struct outcome o = { 0 };

	w.next_token = new_secret("new-token");
	put.tries_before = RETRY_MAX_TRIES - 1;
	submit(&put, &o);
	turn();
	reply(0, 401);
	assert_ended(&o, 0, 401);
	assert_int_equal(o.result.retry_in_ms, -1);
	assert_int_equal(w.loads, 0);
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
	world_free_http();
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_priorities),
		TEST(test_hurry),
		TEST(test_hurry_before_the_next_try),
		TEST(test_hurry_of_what_ends),
		TEST(test_window),
		TEST(test_window_follows_capacity),
		TEST(test_kinds_leave_slots),
		TEST(test_a_kind_that_is_none),
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
		TEST(test_401_of_the_last_try),
		TEST(test_stats),
		TEST(test_maximum_of_calls),
		TEST(test_bad_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
