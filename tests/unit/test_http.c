/* SPDX-License-Identifier: MIT */
/* One call of http: what is asked, tried again, and when it is given up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/core.h"
#include "http/retry.h"
#include "http_world.h"

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
	assert_int_equal(try_no(0)->request.timeout_ms, WORLD_TIMEOUT_MS);
	assert_string_equal(secret_bytes(try_no(0)->request.token), "old-token");

	fake_clock_advance(&w.clock, 70);
	fake_transport_answer(w.fake, 0,
			      &(struct fake_answer){ .status = 200,
						     .etag = "W/\"2\"",
						     .link = "<x>",
						     .body = "[]",
						     .retry_after_ms = -1 });
	turn();
	assert_ended(&o, 0, 200);
	assert_string_equal(o.etag, "W/\"2\"");
	assert_string_equal(o.link, "<x>");
	assert_string_equal(o.body, "[]");
	assert_int_equal(o.result.body_len, 2);
	assert_string_equal(o.why, "");
	assert_int_equal(o.result.tries, 1);
	assert_int_equal(o.result.call_no, 1);
	assert_int_equal(o.result.began_ms, WORLD_BEGIN_MS);
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
	static const char *const targets[] = { "",       "v1",        "/a b", "/a\r\nX: y",
					       "/a\x7f", "/\xc3\xa4", "/a#b", "http://x/" };
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
	} rows[] = {
		{ HTTP_GET, false }, { HTTP_PUT, false }, { HTTP_POST, true }, { HTTP_DELETE, false }
	};
	struct outcome o[ARRAY_SIZE(rows)] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_spec spec = get_spec("/x");

		spec.method = rows[i].method;
		submit(&spec, &o[i]);
		turn();
		assert_int_equal(try_no(i)->request.fresh_connection, rows[i].fresh);
	}
}

/* A connection that carries others, too, stays when one of them is not answered. */
static void test_what_was_not_answered_takes_another_connection(void **state)
{
	struct outcome o = { 0 };

	submit_get(&o);
	turn();
	fail_try(0, -ECONNREFUSED, false);
	wait_for_try(1);
	assert_false(try_no(1)->request.fresh_connection);
	fail_try(1, -ETIMEDOUT, true);
	wait_for_try(2);
	assert_true(try_no(2)->request.fresh_connection);
	reply(2, 200);
	assert_int_equal(o.result.status, 200);
}

static void sleep_for_a_night(void)
{
	fake_clock_advance(&w.clock, 8 * 3600 * 1000);
}

/* A suspend: what it brings is as old as the night, but what it has changed is changed. */
static void test_an_answer_that_was_slept_through(void **state)
{
	struct outcome get = { 0 }, put = { 0 };
	struct http_spec spec = put_spec();

	submit_get(&get);
	submit(&spec, &put);
	turn();
	fake_transport_status(w.fake, 0, 200, "[]");
	fake_transport_status(w.fake, 1, 200, "{}");
	w.fake->while_waiting = sleep_for_a_night;
	turn();
	w.fake->while_waiting = NULL;
	assert_int_equal(get.result.err, -ETIMEDOUT);
	assert_int_equal(put.result.status, 200);
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
				 WORLD_TIMEOUT_MS - (w.clock.now_ms - WORLD_BEGIN_MS));
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
	static const int statuses[] = {
		200, 204, 302, 304, 400, 403, 404, 409, 412, 422, 501, 505
	};
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
	assert_int_equal(w.clock.now_ms, WORLD_BEGIN_MS + 10000); /* at once */
}

static void assert_not_asked(unsigned kind, const char *how_long)
{
	struct http_spec spec = get_spec("/x");
	struct outcome o = { 0 };
	size_t before = started();

	spec.kind = kind;
	submit(&spec, &o);
	turn();
	assert_ended(&o, -EBUSY, 0);
	assert_int_equal(started(), before);
	assert_non_null(strstr(o.why, how_long));
}

static void assert_asked(struct http_spec spec)
{
	struct outcome o = { 0 };
	size_t before = started();

	submit(&spec, &o);
	turn();
	assert_int_equal(started(), before + 1);
	reply(before, 200);
	assert_ended(&o, 0, 200);
}

/* Nothing of its kind is asked meanwhile, but for what is saved. */
static void test_a_429_beyond_the_deadline_is_believed(void **state)
{
	struct http_spec get = get_spec("/x"), save = get_spec("/x"), other = get_spec("/x");
	struct outcome o = { 0 };

	save.class = HTTP_CLASS_SAVE;
	other.kind = 1;
	get.timeout_ms = 4000;
	submit(&get, &o);
	turn();
	reply_after(0, 429, 5000);
	assert_ended(&o, 0, 429);
	assert_not_asked(0, "429 (not asked again for 5 s)");
	advance(2001);
	assert_not_asked(0, "for 3 s");
	assert_asked(save);
	assert_asked(other);
	assert_not_asked(0, "for 3 s");
	advance(2999);
	assert_asked(get);
}

/* However often: there is time to wait. */
static void test_a_429_within_a_calls_time_keeps_no_other_back(void **state)
{
	struct outcome o = { 0 };

	submit_get(&o);
	for (size_t i = 0; i < RETRY_MAX_TRIES; i++) {
		turn();
		reply_after(i, 429, 1000);
		if (i + 1 < RETRY_MAX_TRIES)
			advance(2000);
	}
	assert_ended(&o, 0, 429);
	assert_asked(get_spec("/x"));
}

/* A wrong one must not keep anybody out for long. */
static void test_a_429_is_believed_for_a_while(void **state)
{
	struct outcome o = { 0 };

	for (size_t i = 0; i < 3; i++) {
		submit_get(&o);
		turn();
		reply_after(i, 429, RETRY_AFTER_MAX_MS);
		assert_int_equal(o.times, i + 1);
		assert_not_asked(0, "for 10 s");
		advance(HTTP_ALONE_MAX_MS);
	}
	assert_int_equal(started(), 3);
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

/* What the transport says of the time is the last try's. */
static void test_the_time_of_all_tries_is_told(void **state)
{
	struct outcome o = { 0 };

	submit_get(&o);
	turn();
	advance(20000);
	fail_try(0, -ETIMEDOUT, true);
	uint64_t waited_ms = wait_for_try(1);
	fake_clock_advance(&w.clock, 9900 - waited_ms);
	fail_try(1, -ETIMEDOUT, true);
	assert_ended(&o, -ETIMEDOUT, 0);
	assert_non_null(strstr(o.why, " (2 tries in 29.9 s)"));
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

static struct outcome came_in[2];

static void submit_two(void)
{
	struct http_call *first = submit_get(&came_in[0]);

	assert_int_equal(w.fake->wakes, 1);
	submit_get(&came_in[1]);
	http_cancel(w.http, first);
	assert_int_equal(w.fake->wakes, 1); /* it is being woken */
}

static void test_only_who_waits_is_woken(void **state)
{
	struct outcome o = { 0 };

	memset(came_in, 0, sizeof(came_in));
	submit_get(&o);
	assert_int_equal(w.fake->wakes, 0);
	w.fake->while_waiting = submit_two;
	turn();
	w.fake->while_waiting = NULL;
	assert_ended(&came_in[0], -ECANCELED, 0);
	assert_int_equal(started(), 2); /* by the turn that was woken */
	submit_get(&o);
	assert_int_equal(w.fake->wakes, 1);
}

/* Such as who waits for a call that has come too late. */
static void submit_another(void *arg, const struct http_result *result)
{
	struct http_spec spec = get_spec("/x");

	assert_int_equal(result->err, -ETIMEDOUT);
	assert_int_equal(http_submit(w.http, &spec, on_done, arg, NULL), 0);
}

static void test_what_comes_right_before_the_wait_ends_it(void **state)
{
	struct http_spec spec = get_spec("/x");
	struct outcome o = { 0 };

	spec.timeout_ms = 1000;
	assert_int_equal(http_submit(w.http, &spec, submit_another, &o, NULL), 0);
	turn();
	advance(1000);
	assert_int_equal(w.fake->wakes, 1);
	assert_int_equal(started(), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_answer),
		TEST(test_nothing_in_the_answer),
		TEST(test_spec_is_copied),
		TEST(test_bad_specs),
		TEST(test_fresh_connection),
		TEST(test_an_answer_that_was_slept_through),
		TEST(test_what_was_not_answered_takes_another_connection),
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
		TEST(test_a_429_beyond_the_deadline_is_believed),
		TEST(test_a_429_within_a_calls_time_keeps_no_other_back),
		TEST(test_a_429_is_believed_for_a_while),
		TEST(test_deadline_while_running),
		TEST(test_deadline_while_queued),
		TEST(test_deadline_over_tries),
		TEST(test_the_time_of_all_tries_is_told),
		TEST(test_deadline_in_backoff),
		TEST(test_waits),
		TEST(test_only_who_waits_is_woken),
		TEST(test_what_comes_right_before_the_wait_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
