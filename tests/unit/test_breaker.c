/* SPDX-License-Identifier: MIT */
/* The circuit, alone and in http. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/breaker.h"
#include "http/core.h"
#include "http_world.h"

/* ---- alone ---- */

static void fail_times(struct breaker *b, unsigned n, uint64_t now_ms)
{
	while (n--)
		breaker_failure(b, now_ms, false, true, -EIO, "why");
}

static void test_opens_after_failures_in_a_row(void **state)
{
	struct breaker b;

	breaker_init(&b, 100);
	fail_times(&b, BREAKER_FAILURES - 1, 200);
	assert_int_equal(breaker_ask(&b, 200), BREAKER_PASS);
	breaker_success(&b, 250);
	fail_times(&b, BREAKER_FAILURES - 1, 300);
	assert_int_equal(breaker_ask(&b, 300), BREAKER_PASS);
	assert_int_equal(b.since_ms, 100);
	fail_times(&b, 1, 400);
	assert_int_equal(breaker_ask(&b, 400), BREAKER_WAIT);
	assert_int_equal(b.since_ms, 400);
	assert_int_equal(b.opened, 1);
}

static void test_one_probe_at_a_time(void **state)
{
	struct breaker b;

	breaker_init(&b, 0);
	fail_times(&b, BREAKER_FAILURES, 1000);
	assert_int_equal(breaker_ask(&b, 1000 + BREAKER_PAUSE_MS - 1), BREAKER_WAIT);
	assert_int_equal(breaker_ask(&b, 1000 + BREAKER_PAUSE_MS), BREAKER_PROBE);
	breaker_probe(&b, 3000);
	assert_int_equal(breaker_ask(&b, 3000), BREAKER_WAIT);
	assert_int_equal(breaker_ask(&b, 3000 + BREAKER_PROBE_MS - 1), BREAKER_WAIT);
	/* One that hangs keeps nobody back for ever. */
	assert_int_equal(breaker_ask(&b, 3000 + BREAKER_PROBE_MS), BREAKER_PROBE);
	breaker_failure(&b, 3500, true, true, -ETIMEDOUT, "late");
	assert_int_equal(breaker_ask(&b, 3500 + BREAKER_PAUSE_MS - 1), BREAKER_WAIT);
	assert_int_equal(b.err, -ETIMEDOUT);
	breaker_probe(&b, 6000);
	breaker_success(&b, 6001);
	assert_int_equal(breaker_ask(&b, 6001), BREAKER_PASS);
	assert_int_equal(b.since_ms, 6001);
}

static void test_late_failures_do_not_put_the_probe_off(void **state)
{
	struct breaker b;

	breaker_init(&b, 0);
	fail_times(&b, BREAKER_FAILURES, 1000);
	breaker_failure(&b, 2900, false, true, -ETIMEDOUT, "begun before");
	assert_int_equal(breaker_ask(&b, 3000), BREAKER_PROBE);
	assert_int_equal(b.err, -EIO);
}

static void test_a_cancelled_probe_makes_room(void **state)
{
	struct breaker b;

	breaker_init(&b, 0);
	fail_times(&b, BREAKER_FAILURES, 1000);
	breaker_probe(&b, 3000);
	breaker_nothing(&b, 3001, false);
	assert_int_equal(breaker_ask(&b, 3001), BREAKER_WAIT);
	breaker_nothing(&b, 3002, true);
	assert_int_equal(breaker_ask(&b, 3002), BREAKER_PROBE);
}

/* ---- in http ---- */

static struct http_spec once_spec(void)
{
	struct http_spec spec = get_spec("/once");

	spec.retry = HTTP_RETRY_NEVER;
	return spec;
}

/* n calls of one try each; each fails by err, or is answered status. */
static void fail_calls(unsigned n, int err, int status)
{
	for (unsigned i = 0; i < n; i++) {
		struct outcome o = { 0 };
		struct http_spec spec = once_spec();

		submit(&spec, &o);
		turn();
		if (err)
			fail_try(started() - 1, err, false);
		else
			reply_after(started() - 1, status, -1);
		assert_int_equal(o.times, 1);
	}
}

static bool is_open(void)
{
	struct http_stats stats;

	turn();
	http_get_stats(w.http, &stats);
	return stats.circuit_open;
}

static void test_what_counts(void **state)
{
	static const struct {
		int err, status;
		bool opens;
	} cases[] = {
		{ -ECONNREFUSED, 0, true }, { -EHOSTUNREACH, 0, true }, { -EPROTO, 0, true },
		{ -EIO, 0, true },	    { 0, 500, true },		{ 0, 503, true },
		{ 0, 429, false },	    { 0, 404, false },		{ 0, 408, false },
		{ -EMSGSIZE, 0, false },    { -ETIMEDOUT, 0, false }, /* in no time at all */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		world_end();
		world_begin(64, 0);
		fail_calls(BREAKER_FAILURES, cases[i].err, cases[i].status);
		assert_int_equal(is_open(), cases[i].opens);
	}
}

static void test_timeouts_count(void **state)
{
	struct outcome o[BREAKER_FAILURES] = { 0 };
	struct http_spec spec = once_spec();

	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		submit(&spec, &o[i]);
	turn();
	assert_false(is_open());
	advance(WORLD_TIMEOUT_MS);
	assert_int_equal(o[0].result.err, -ETIMEDOUT);
	assert_true(is_open());
}

/* Also where some of them end a little later than others. */
static void test_the_end_of_a_connection_counts_once(void **state)
{
	struct outcome o[2 * BREAKER_FAILURES] = { 0 };
	struct http_spec spec = once_spec();

	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		submit(&spec, &o[i]);
	turn();
	for (size_t i = 0; i < BREAKER_FAILURES; i++)
		fail_try(i, -EIO, true);
	fail_calls(BREAKER_FAILURES - 2, -EIO, 0);
	for (size_t i = BREAKER_FAILURES; i < ARRAY_SIZE(o); i++)
		fail_try(i, -EIO, true);
	assert_false(is_open());
	fail_calls(1, -EIO, 0);
	assert_true(is_open());
}

static struct http_spec kind_spec(unsigned kind)
{
	struct http_spec spec = once_spec();

	spec.kind = kind;
	return spec;
}

static void fail_kind(unsigned kind, unsigned n)
{
	struct http_spec spec = kind_spec(kind);

	for (unsigned i = 0; i < n; i++) {
		struct outcome o = { 0 };

		submit(&spec, &o);
		turn();
		reply_after(started() - 1, 500, -1);
		assert_int_equal(o.times, 1);
	}
}

/* Whether it is asked; it is answered well then. */
static bool is_asked(unsigned kind)
{
	struct http_spec spec = kind_spec(kind);
	struct outcome o = { 0 };
	size_t before = started();

	submit(&spec, &o);
	turn();
	if (started() == before)
		return false;
	reply(before, 200);
	assert_int_equal(o.result.status, 200);
	return true;
}

static void test_a_kind_that_fails_by_itself(void **state)
{
	fail_kind(1, BREAKER_FAILURES);
	assert_true(is_open());
	assert_false(is_asked(1));
	assert_true(is_asked(2));
	assert_false(is_asked(1));
	advance(BREAKER_PAUSE_MS);
	assert_true(is_asked(1)); /* its probe */
	assert_false(is_open());
}

static void test_more_kinds_that_fail_are_the_service(void **state)
{
	fail_kind(1, 3);
	fail_kind(2, BREAKER_FAILURES - 1);
	assert_true(is_open());
	assert_false(is_asked(3));
	advance(BREAKER_PAUSE_MS);
	assert_true(is_asked(3));
	assert_false(is_open());
	assert_true(is_asked(1));
}

/* Ask, and answer 500 where it is asked. */
static bool is_asked_in_vain(unsigned kind)
{
	size_t before = started();
	struct http_spec spec = kind_spec(kind);
	struct outcome o = { 0 };

	submit(&spec, &o);
	turn();
	if (started() > before)
		reply_after(before, 500, -1);
	assert_int_equal(o.times, 1);
	return started() > before;
}

/* Of kinds 1 and 2, and kind 1 has opened its own, too. */
static void open_for_all(void)
{
	fail_kind(1, BREAKER_FAILURES);
	fail_kind(2, BREAKER_FAILURES - 1);
	assert_false(is_asked(3));
}

/* Somebody asks for it again and again, so it is the probe each time. */
static void test_a_kind_that_goes_on_failing_keeps_none_back(void **state)
{
	open_for_all();
	advance(BREAKER_PAUSE_MS);
	assert_true(is_asked_in_vain(1));
	assert_false(is_asked_in_vain(1));
	assert_true(is_asked(3));
	assert_true(is_asked(2));
	assert_false(is_open());
}

static void test_an_outage_has_few_probes(void **state)
{
	open_for_all();
	for (unsigned i = 0; i < 5; i++) {
		advance(BREAKER_PAUSE_MS);
		assert_true(is_asked_in_vain(1));
		assert_true(is_asked_in_vain(2));
		for (unsigned kind = 1; kind <= 4; kind++)
			assert_false(is_asked_in_vain(kind));
	}
}

/* What is saved passes the circuit of its kind, so that does not keep it back. */
static void test_saves_in_an_outage_are_one_probe(void **state)
{
	struct outcome o[2] = { 0 };
	struct http_spec spec = kind_spec(1);

	spec.class = HTTP_CLASS_SAVE;
	open_for_all();
	advance(BREAKER_PAUSE_MS);
	submit(&spec, &o[0]);
	turn();
	reply_after(started() - 1, 500, -1);
	size_t before = started();
	submit(&spec, &o[1]);
	turn();
	assert_int_equal(started(), before);
	assert_int_equal(o[1].result.err, -EIO);
}

static void test_429_in_between_breaks_the_row(void **state)
{
	fail_calls(BREAKER_FAILURES - 1, -ECONNREFUSED, 0);
	fail_calls(1, 0, 429);
	fail_calls(BREAKER_FAILURES - 1, -ECONNREFUSED, 0);
	assert_false(is_open());
}

static void test_open_calls_fail_at_once(void **state)
{
	struct outcome o = { 0 };
	struct http_stats stats;

	fail_calls(BREAKER_FAILURES, 0, 502);
	size_t before = started();
	submit_get(&o);
	turn();
	assert_int_equal(o.times, 1);
	assert_int_equal(o.result.err, -EIO);
	assert_int_equal(o.result.tries, 0);
	assert_false(o.result.processed_maybe);
	assert_non_null(strstr(o.why, "the service answered 502"));
	assert_non_null(strstr(o.why, "not asked"));
	assert_int_equal(started(), before);
	http_get_stats(w.http, &stats);
	assert_int_equal(stats.circuit_opened, 1);
	assert_int_equal(stats.circuit_ms, 0);
}

/* The call whose try was the last straw tells that failure, not ours. */
static void test_its_own_failure(void **state)
{
	struct outcome o = { 0 };

	fail_calls(BREAKER_FAILURES - 1, -ECONNREFUSED, 0);
	submit_get(&o);
	turn();
	reply_after(started() - 1, 503, -1);
	assert_int_equal(o.times, 1);
	assert_int_equal(o.result.status, 503);
}

static void test_calls_that_wait_fail_when_it_opens(void **state)
{
	struct outcome delayed = { 0 }, queued = { 0 };

	w.fake->capacity = 64;
	submit_get(&delayed);
	turn();
	reply_after(0, 503, 5000); /* counts one */
	assert_int_equal(delayed.times, 0);
	fail_calls(BREAKER_FAILURES - 1, -ECONNREFUSED, 0);
	submit_get(&queued);
	turn();
	assert_int_equal(queued.result.err, -ECONNREFUSED);
	assert_int_equal(delayed.times, 1);
	assert_int_equal(delayed.result.err, -ECONNREFUSED);
	assert_true(delayed.result.processed_maybe); /* its 503 may have been a gateway's */
}

static void test_probe_closes_it(void **state)
{
	struct outcome o[3] = { 0 };

	fail_calls(BREAKER_FAILURES, -ECONNREFUSED, 0);
	size_t before = started();
	advance(BREAKER_PAUSE_MS);
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		submit_get(&o[i]);
	turn();
	assert_int_equal(started(), before + 1); /* no stampede */
	assert_int_equal(o[0].times, 0);
	assert_int_equal(o[1].result.err, -ECONNREFUSED);
	assert_int_equal(o[2].result.err, -ECONNREFUSED);
	reply(before, 200);
	assert_int_equal(o[0].result.status, 200);
	assert_false(is_open());
}

static void test_readahead_may_probe(void **state)
{
	struct outcome o = { 0 };
	struct http_spec spec = get_spec("/renewal");

	fail_calls(BREAKER_FAILURES, 0, 500);
	advance(BREAKER_PAUSE_MS);
	spec.class = HTTP_CLASS_READAHEAD;
	submit(&spec, &o);
	turn();
	reply(started() - 1, 200);
	assert_int_equal(o.result.status, 200);
	assert_false(is_open());
}

static void test_a_failed_probe_is_not_repeated_by_its_call(void **state)
{
	struct outcome o = { 0 };

	fail_calls(BREAKER_FAILURES, -ECONNREFUSED, 0);
	advance(BREAKER_PAUSE_MS);
	submit_get(&o);
	turn();
	fail_try(started() - 1, -ECONNREFUSED, false);
	assert_int_equal(o.times, 1);
	assert_int_equal(o.result.tries, 1);
	assert_true(is_open());
	advance(BREAKER_PAUSE_MS - 1);
	struct outcome early = { 0 };
	submit_get(&early);
	turn();
	assert_int_equal(early.times, 1);
}

static void test_a_cancelled_probe_lets_the_next_one_go(void **state)
{
	struct outcome o[2] = { 0 };

	fail_calls(BREAKER_FAILURES, -ECONNREFUSED, 0);
	advance(BREAKER_PAUSE_MS);
	struct http_call *call = submit_get(&o[0]);
	turn();
	http_cancel(w.http, call);
	turn();
	size_t before = started();
	submit_get(&o[1]);
	turn();
	assert_int_equal(started(), before + 1);
	reply(before, 200);
	assert_int_equal(o[1].result.status, 200);
}

/* What became of a change is worth waiting for. */
static void test_the_patient_wait_for_a_probe(void **state)
{
	struct outcome o[2] = { 0 };
	struct http_spec spec = get_spec("/settle");

	spec.patient = true;
	fail_calls(BREAKER_FAILURES, -ECONNREFUSED, 0);
	size_t before = started();
	submit(&spec, &o[0]);
	submit(&spec, &o[1]);
	turn();
	assert_int_equal(o[0].times, 0);
	assert_int_equal(w.fake->last_wait_ms, DISPATCH_MAX_WAIT_MS);
	advance(BREAKER_PAUSE_MS - 10);
	assert_int_equal(w.fake->last_wait_ms, 10);
	advance(10);
	assert_int_equal(started(), before + 1);
	reply(before, 200);
	turn();
	assert_int_equal(started(), before + 2);
	reply(before + 1, 200);
	assert_int_equal(o[1].result.status, 200);
}

static void test_the_patient_end_by_their_deadline(void **state)
{
	struct outcome o = { 0 };
	struct http_spec spec = get_spec("/settle");

	spec.patient = true;
	spec.timeout_ms = BREAKER_PAUSE_MS / 2;
	fail_calls(BREAKER_FAILURES, -ECONNREFUSED, 0);
	submit(&spec, &o);
	turn();
	advance(spec.timeout_ms);
	assert_int_equal(o.result.err, -ETIMEDOUT);
}

/* An open circuit with nobody to ask wakes nobody. */
static void test_an_idle_one_sleeps(void **state)
{
	fail_calls(BREAKER_FAILURES, -ECONNREFUSED, 0);
	advance(10 * BREAKER_PAUSE_MS);
	assert_int_equal(w.fake->last_wait_ms, DISPATCH_IDLE_WAIT_MS);
}

static void test_rate_is_shown(void **state)
{
	struct outcome o[5] = { 0 };
	struct http_stats stats;

	world_end();
	world_begin(64, 10);
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		submit_get(&o[i]);
	turn();
	http_get_stats(w.http, &stats);
	assert_int_equal(stats.rate_per_s, 10);
	assert_int_equal(stats.rate_burst, 30);
	assert_int_equal(stats.rate_left, 25);
	fake_clock_advance(&w.clock, 300); /* nothing runs meanwhile */
	http_get_stats(w.http, &stats);
	assert_int_equal(stats.rate_left, 28);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opens_after_failures_in_a_row),
		cmocka_unit_test(test_one_probe_at_a_time),
		cmocka_unit_test(test_late_failures_do_not_put_the_probe_off),
		cmocka_unit_test(test_a_cancelled_probe_makes_room),
#define IN_HTTP(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)
		IN_HTTP(test_what_counts),
		IN_HTTP(test_timeouts_count),
		IN_HTTP(test_the_end_of_a_connection_counts_once),
		IN_HTTP(test_a_kind_that_fails_by_itself),
		IN_HTTP(test_more_kinds_that_fail_are_the_service),
		IN_HTTP(test_a_kind_that_goes_on_failing_keeps_none_back),
		IN_HTTP(test_an_outage_has_few_probes),
		IN_HTTP(test_saves_in_an_outage_are_one_probe),
		IN_HTTP(test_429_in_between_breaks_the_row),
		IN_HTTP(test_open_calls_fail_at_once),
		IN_HTTP(test_its_own_failure),
		IN_HTTP(test_calls_that_wait_fail_when_it_opens),
		IN_HTTP(test_probe_closes_it),
		IN_HTTP(test_readahead_may_probe),
		IN_HTTP(test_a_failed_probe_is_not_repeated_by_its_call),
		IN_HTTP(test_a_cancelled_probe_lets_the_next_one_go),
		IN_HTTP(test_the_patient_wait_for_a_probe),
		IN_HTTP(test_the_patient_end_by_their_deadline),
		IN_HTTP(test_an_idle_one_sleeps),
		IN_HTTP(test_rate_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
