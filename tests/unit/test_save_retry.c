/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "save_world.h"

/* ---- trying again ---- */

static void test_412_merges_anew(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	expect_get();
	answer_etag(json("t1", "\"a\":1,\"b\":1"), "\"v1\"");
	expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
	answer(412, "{\"errors\":[{\"message\":\"old\"}]}");
	expect_get();
	answer_etag(json("t2", "\"a\":1,\"b\":2"), "\"v2\"");
	assert_string_equal(next_request()->if_match, "\"v2\"");
	put(PUT_ONE ",\"a\":2,\"b\":2}", json("t3", "\"a\":2,\"b\":2"));
	expect_success(true);
}

static void test_412_for_ever_ends(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	for (unsigned i = 0; i < 4; i++) {
		get(json("t1", "\"a\":1,\"b\":1"));
		expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
		answer(412, "{\"errors\":[{\"message\":\"old\"}]}");
	}
	expect_failure(-EBUSY, "old");
	assert_true(sw.last.conflict && sw.last.sent);
	assert_int_equal(sw.last.error.status, 412);
}

static void test_502_then_a_colleague_then_success(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
	answer(502, "");
	expect_no_request();
	wait_for_request();
	get(json("t2", "\"a\":1,\"b\":2"));
	put(PUT_ONE ",\"a\":2,\"b\":2}", json("t3", "\"a\":2,\"b\":2"));
	expect_success(true);
}

static void test_502_that_was_processed_is_not_sent_again(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
	answer(502, "");
	wait_for_request();
	get(json("t2", "\"a\":2,\"b\":1"));
	expect_success(true);
	assert_string_equal(shown(), json("t2", "\"a\":2,\"b\":1"));
	/* And can be undone. */
	whole_save(&cp, json("t1", "\"a\":1,\"b\":1"), json("t2", "\"a\":2,\"b\":1"),
		   PUT_ONE ",\"a\":1,\"b\":1}", json("t3", "\"a\":1,\"b\":1"));
}

/* Processed, and a colleague has saved since: only what is left is merged. */
static void test_502_that_was_processed_before_a_colleague(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
	answer(502, "");
	wait_for_request();
	get(json("t3", "\"a\":2,\"b\":3"));
	expect_success(true);
	save(json("t3", "\"a\":4,\"b\":3"));
	get(json("t3", "\"a\":2,\"b\":3"));
	expect_put(PUT_ONE ",\"a\":4,\"b\":3}");
	answer(503, "");
	wait_for_request();
	get(json("t5", "\"a\":5,\"b\":3"));
	expect_failure(-EBUSY, "meanwhile: a;");
	assert_true(sw.last.conflict && sw.last.sent);
	assert_false(sw.last.unsettled);
}

static void test_four_puts_at_most(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	for (unsigned i = 0; i < 4; i++) {
		wait_for_request();
		get(json("t1", "\"a\":1,\"b\":1"));
		expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
		answer(503, "{\"errors\":[{\"message\":\"busy\"}]}");
	}
	/* The last one is settled too. */
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_failure(-EIO, "busy");
	assert_int_equal(sw.last.error.status, 503);
	assert_true(sw.last.sent);
	assert_false(sw.last.unsettled);
}

static void test_retry_after(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
	give(&(struct fake_answer){ .status = 429, .body = "", .retry_after_ms = 5000 });
	fake_account_advance(&sw.a, 4999);
	expect_no_request();
	wait_for_request();
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
	give(&(struct fake_answer){ .status = 429, .body = "", .retry_after_ms = 29000 });
	expect_failure(-EBUSY, "429");
	assert_false(sw.last.conflict || sw.last.unsettled);
}

static void test_never_sent_is_tried_again(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	for (unsigned i = 0; i < 4; i++) {
		expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
		give(&(struct fake_answer){ .err = -ECONNREFUSED, .retry_after_ms = -1 });
		if (i == 3)
			break;
		wait_for_request();
		get(json("t1", "\"a\":1,\"b\":1"));
	}
	expect_failure(-ECONNREFUSED, "fake failure");
	assert_false(sw.last.sent || sw.last.unsettled);
}

/* ---- answers that are lost ---- */

static void put_and_lose(const char *fields, const char *body)
{
	save(json("t1", fields));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_put(body);
	lose_answer(-EPROTO);
	expect_get();
}

static void test_lost_answer_of_what_was_stored(void **state)
{
	put_and_lose("\"a\":2,\"b\":1", PUT_ONE ",\"a\":2,\"b\":1}");
	answer(200, json("t2", "\"b\":1,\"a\":2.0"));
	expect_success(true);
	assert_string_equal(shown(), json("t2", "\"b\":1,\"a\":2.0"));
}

static void test_lost_answer_of_what_was_not_stored(void **state)
{
	put_and_lose("\"a\":2,\"b\":1", PUT_ONE ",\"a\":2,\"b\":1}");
	answer(200, json("t1", "\"a\":1,\"b\":1"));
	expect_failure(-EPROTO, "fake failure");
	assert_true(sw.last.sent);
	assert_false(sw.last.unsettled);
}

static void expect_unsettled(void)
{
	expect_failure(-ETIMEDOUT, "may have been stored: fake failure");
	assert_true(sw.last.sent && sw.last.unsettled);
	assert_false(sw.last.conflict);
	/* The next access asks. */
	struct store_wait w = { .wake = NULL };
	monitor_enter(sw.a.monitor);
	assert_int_equal(store_need_record(sw.a.store, sw.one, &w), STORE_WAIT);
	store_unwait(sw.a.store, &w);
	monitor_leave(sw.a.monitor);
}

static void test_lost_answer_that_cannot_be_settled(void **state)
{
	put_and_lose("\"a\":2,\"b\":1", PUT_ONE ",\"a\":2,\"b\":1}");
	answer(200, json("t2", "\"a\":1,\"b\":2"));
	expect_unsettled();
}

/* Not all that was sent is seen by what the record has: a field was removed. */
static void test_lost_answer_of_a_removal(void **state)
{
	put_and_lose("\"b\":1", PUT_ONE ",\"b\":1}");
	answer(200, json("t2", "\"a\":1,\"b\":1"));
	expect_unsettled();
}

/* Nor by what it has still: one was added. */
static void test_lost_answer_of_an_addition(void **state)
{
	put_and_lose("\"a\":1,\"b\":1,\"c\":1", PUT_ONE ",\"a\":1,\"b\":1,\"c\":1}");
	answer(200, json("t2", "\"a\":1,\"b\":1"));
	expect_unsettled();
}

/* A secret is not to be seen, so nothing but a record that has not moved tells. */
static void test_lost_answer_of_a_secret(void **state)
{
	const char *record = json("t1", "\"lambda\":{\"secretAccessKey\":" MASK "}");

	save(json("t1", "\"lambda\":{\"secretAccessKey\":\"new\"}"));
	get(record);
	expect_put(PUT_ONE ",\"lambda\":{\"secretAccessKey\":\"new\"}}");
	lose_answer(-EPROTO);
	get(record);
	expect_failure(-EPROTO, "fake failure");
	assert_false(sw.last.unsettled);
}

/* Somebody else may have moved it. */
static void put_a_secret_and_fail(const char *fields, const char *shows)
{
	char body[200];

	snprintf(body, sizeof(body), PUT_ONE ",%s}", fields);
	save(json("t1", fields));
	get(json("t1", shows));
	expect_put(body);
	answer(503, "");
	wait_for_request();
	get(json("t2", shows));
	put(body, json("t3", shows));
	expect_success(true);
}

static void test_503_and_a_secret(void **state)
{
	put_a_secret_and_fail("\"lambda\":{\"secretAccessKey\":\"new\"}",
			      "\"lambda\":{\"secretAccessKey\":" MASK "}");
}

static void test_503_and_a_secret_in_an_array(void **state)
{
	put_a_secret_and_fail("\"v\":[{\"pin\":\"new\"}]", "\"v\":[{\"pin\":" MASK "}]");
}

static void test_lost_answer_and_no_reading(void **state)
{
	put_and_lose("\"a\":2,\"b\":1", PUT_ONE ",\"a\":2,\"b\":1}");
	answer(403, "{\"errors\":[{\"message\":\"no\"}]}");
	expect_unsettled();
}

static void test_lost_answer_and_no_stack(void **state)
{
	put_and_lose("\"a\":2,\"b\":1", PUT_ONE ",\"a\":2,\"b\":1}");
	answer(404, "{\"errors\":[{\"message\":\"no\"}]}");
	expect_failure(-ENOENT, "the stack was deleted");
	assert_true(sw.one->gone);
	assert_false(sw.last.unsettled);
}

static void test_answer_that_cannot_be_read_is_settled(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
	answer(200, "<html>");
	get(json("t2", "\"a\":2,\"b\":1"));
	expect_success(true);
}

/* ---- errors ---- */

static void test_errors_of_the_get(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	expect_get();
	answer(401, "{\"message\":\"Bearer Authentication Failed\"}");
	expect_failure(-EACCES, "Bearer");
	assert_false(sw.last.sent);
	save(json("t1", "\"a\":2,\"b\":1"));
	expect_get();
	answer(404, "{\"errors\":[{\"message\":\"no\"}]}");
	expect_failure(-ENOENT, "the stack was deleted");
	assert_int_equal(sw.last.error.status, 404);
	assert_true(sw.one->gone);
}

static void test_errors_of_the_put(void **state)
{
	static const struct {
		int status, err;
		bool conflict;
	} cases[] = {
		{ 400, -EBADMSG, false }, { 401, -EACCES, false }, { 403, -EPERM, false },
		{ 409, -EBUSY, true },    { 413, -EFBIG, false },  { 422, -EBADMSG, false },
		{ 501, -EIO, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		save(json("t1", "\"a\":2,\"b\":1"));
		get(json("t1", "\"a\":1,\"b\":1"));
		expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
		answer(cases[i].status,
		       "{\"errors\":[{\"code\":\"c\",\"message\":\"m\",\"field\":\"f\"}]}");
		if (cases[i].status == 501)
			get(json("t1", "\"a\":1,\"b\":1"));
		expect_failure(cases[i].err, "m");
		assert_int_equal(sw.last.conflict, cases[i].conflict);
		assert_string_equal(sw.last.error.code, "c");
		assert_string_equal(sw.last.error.field, "f");
		assert_true(sw.last.sent);
	}
}

static void test_put_404(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
	answer(404, "{\"errors\":[{\"message\":\"no\"}]}");
	expect_failure(-ENOENT, "the stack was deleted");
	assert_true(sw.one->gone);
}

static void test_secrets_are_scrubbed(void **state)
{
	save(json("t1", "\"lambda\":{\"secretAccessKey\":\"hunter2\"}"));
	get(json("t1", "\"a\":1"));
	expect_put(PUT_ONE ",\"lambda\":{\"secretAccessKey\":\"hunter2\"}}");
	answer(422, "{\"errors\":[{\"message\":\"hunter2 is no key\",\"field\":\"hunter2\"}]}");
	expect_failure(-EBADMSG, "****** is no key");
	assert_string_equal(sw.last.error.field, "******");
	/* Also where the save goes on. */
	save(json("t1", "\"lambda\":{\"secretAccessKey\":\"hunter2\"}"));
	get(json("t1", "\"a\":1"));
	expect_put(PUT_ONE ",\"lambda\":{\"secretAccessKey\":\"hunter2\"}}");
	answer(501, "{\"errors\":[{\"message\":\"hunter2?\"}]}");
	get(json("t2", "\"a\":2"));
	expect_failure(-ETIMEDOUT, "may have been stored: ******?");
	assert_true(sw.last.unsettled);
}

/* ---- time ---- */

static void test_one_deadline_for_all(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	assert_int_equal(next_request()->timeout_ms, TIMEOUT_MS);
	fake_account_advance(&sw.a, 10000);
	get(json("t1", "\"a\":1,\"b\":1"));
	/* What is left, but for what reading its outcome may need. */
	assert_int_equal(next_request()->timeout_ms, 15000);
	fake_account_advance(&sw.a, 15000);
	http_turn(sw.a.http);
	sw.next_try++;
	expect_get();
	assert_int_equal(next_request()->timeout_ms, 5000);
	fake_account_advance(&sw.a, 4999);
	assert_int_equal(sw.last.calls, 0);
	fake_account_advance(&sw.a, 1);
	sw.next_try++;
	expect_failure(-ETIMEDOUT, "may have been stored: no answer within");
	assert_true(sw.last.unsettled);
}

static void test_deadline_of_the_get(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	expect_get();
	fake_account_advance(&sw.a, TIMEOUT_MS);
	sw.next_try++;
	expect_failure(-ETIMEDOUT, "no answer");
	assert_false(sw.last.sent || sw.last.unsettled);
}

static void test_silent_put_is_settled_within_the_deadline(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
	fake_account_advance(&sw.a, 25000);
	sw.next_try++;
	get(json("t2", "\"a\":2,\"b\":1"));
	expect_success(true);
}

/* ---- newer answers ---- */

static void never_woken(struct store_wait *wait, const struct api_error *error)
{
}

/* A list that was asked for later has come before: what it says is known, and counts. */
static void test_a_get_that_was_overtaken_is_made_again(void **state)
{
	static struct store_wait wait;

	save(json("t1", "\"a\":2,\"b\":1"));
	wait = (struct store_wait){ .wake = never_woken };
	monitor_enter(sw.a.monitor);
	assert_int_equal(store_refresh(sw.a.store, &wait), STORE_WAIT);
	monitor_leave(sw.a.monitor);
	fake_account_advance(&sw.a, 0);
	fake_account_answer(&sw.a, sw.next_try + 1, 200,
			    fake_list(2, json("t2", "\"a\":1,\"b\":9"), fake_record(2, "two", "")));
	fake_account_answer(&sw.a, sw.next_try, 200, json("t1", "\"a\":1,\"b\":1"));
	sw.next_try += 2;
	get(json("t2", "\"a\":1,\"b\":9"));
	put(PUT_ONE ",\"a\":2,\"b\":9}", json("t3", "\"a\":2,\"b\":9"));
	expect_success(true);
}

/* ---- several at a time ---- */

static void test_saves_of_one_stack_go_one_after_the_other(void **state)
{
	struct ended second, third;

	save_by(&vim, json("t1", "\"a\":2,\"b\":1"));
	begin(&cp, json("t1", "\"a\":1,\"b\":2"), &second);
	begin(&cp, json("t1", "\"a\":5,\"b\":1"), &third);
	assert_int_equal(sw.changes.running, 3);
	get(json("t1", "\"a\":1,\"b\":1"));
	put(PUT_ONE ",\"a\":2,\"b\":1}", json("t2", "\"a\":2,\"b\":1"));
	expect_success(true);
	fake_account_advance(&sw.a, 1);
	get(json("t2", "\"a\":2,\"b\":1"));
	put(PUT_ONE ",\"a\":2,\"b\":2}", json("t3", "\"a\":2,\"b\":2"));
	assert_int_equal(second.err, 0);
	fake_account_advance(&sw.a, 1);
	get(json("t3", "\"a\":2,\"b\":2"));
	assert_int_equal(third.err, -EBUSY);
	assert_int_equal(sw.changes.running, 0);
}

static void test_waiting_for_another_save_counts(void **state)
{
	struct ended second;

	save_by(&vim, json("t1", "\"a\":2,\"b\":1"));
	sw.changes.timeout_ms = 20000;
	begin(&cp, json("t1", "\"a\":1,\"b\":2"), &second);
	fake_account_advance(&sw.a, 20000);
	assert_int_equal(second.calls, 1);
	assert_int_equal(second.err, -ETIMEDOUT);
	assert_false(second.sent);
	get(json("t1", "\"a\":1,\"b\":1"));
	put(PUT_ONE ",\"a\":2,\"b\":1}", json("t2", "\"a\":2,\"b\":1"));
	expect_success(true);
}

static void test_saves_of_two_stacks_do_not_wait(void **state)
{
	const struct stack_id id = fake_id(2);
	struct ended other = { .calls = 0 };

	save(json("t1", "\"a\":2,\"b\":1"));
	expect_get();
	monitor_enter(sw.a.monitor);
	save_text(&sw.changes, store_find(sw.a.store, &id), (struct document){ "{\"x\":1}", 7 },
		  &cp, 0, ended_done, &other);
	monitor_leave(sw.a.monitor);
	size_t theirs = sw.next_try + 1;
	assert_string_equal(fake_account_target(&sw.a, theirs),
			    "/v1/stacks/600000000000000000000002");
	fake_account_answer(&sw.a, theirs, 403, "");
	assert_int_equal(other.err, -EPERM);
	fake_account_answer(&sw.a, sw.next_try, 403, "");
	assert_int_equal(sw.last.err, -EPERM);
}

static void test_stack_that_goes_while_it_is_read(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	expect_get();
	monitor_enter(sw.a.monitor);
	store_take_gone(sw.a.store, sw.one);
	monitor_leave(sw.a.monitor);
	answer(200, json("t1", "\"a\":1,\"b\":1"));
	expect_failure(-ENOENT, "the stack was deleted");
	assert_false(sw.last.sent);
}

/* ---- the end ---- */

static void stop(void)
{
	monitor_enter(sw.a.monitor);
	save_stop(&sw.changes);
	monitor_leave(sw.a.monitor);
}

static void test_end_while_reading(void **state)
{
	struct ended second, third;

	save(json("t1", "\"a\":2,\"b\":1"));
	begin(&cp, json("t1", "\"a\":1,\"b\":2"), &second);
	begin(&cp, json("t1", "\"a\":1,\"b\":3"), &third);
	expect_get();
	stop();
	assert_int_equal(second.err, -ESHUTDOWN);
	assert_int_equal(third.err, -ESHUTDOWN);
	assert_int_equal(sw.last.calls, 0);
	end_http();
	assert_int_equal(sw.last.calls, 1);
	assert_int_equal(sw.last.err, -ECANCELED);
	assert_false(sw.last.sent || sw.last.unsettled);
	fake_clock_advance(&sw.a.clock, TIMEOUT_MS);
	timers_run(sw.a.timers); /* nothing is left to fire */
	assert_int_equal(second.calls + third.calls, 2);
}

static void test_nothing_begins_after_the_end(void **state)
{
	struct ended second;

	save(json("t1", "\"a\":2,\"b\":1"));
	expect_get();
	stop();
	begin(&cp, json("t1", "\"a\":1,\"b\":2"), &second);
	assert_int_equal(second.err, -ESHUTDOWN);
	/* An answer that comes still is taken as far as it leads. */
	answer(200, json("t1", "\"a\":1,\"b\":1"));
	expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
	answer(429, "");
	expect_failure(-EBUSY, "429");
}

static void test_end_while_waiting_to_try_again(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
	answer(429, "");
	assert_int_equal(sw.last.calls, 0);
	stop();
	expect_failure(-ESHUTDOWN, "the mount is ending");
	assert_true(sw.last.sent);
	assert_false(sw.last.unsettled);
}

static void test_end_while_waiting_to_settle(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
	answer(502, "");
	assert_int_equal(sw.last.calls, 0);
	stop();
	expect_failure(-ETIMEDOUT, "may have been stored: ");
	assert_true(sw.last.unsettled);
}

static void test_end_while_a_put_is_under_way(void **state)
{
	save(json("t1", "\"a\":2,\"b\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_put(PUT_ONE ",\"a\":2,\"b\":1}");
	end_http();
	assert_int_equal(sw.last.calls, 1);
	assert_int_equal(sw.last.err, -ETIMEDOUT);
	assert_true(sw.last.sent && sw.last.unsettled);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, save_world_setup, save_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_412_merges_anew),
		TEST(test_412_for_ever_ends),
		TEST(test_502_then_a_colleague_then_success),
		TEST(test_502_that_was_processed_is_not_sent_again),
		TEST(test_502_that_was_processed_before_a_colleague),
		TEST(test_four_puts_at_most),
		TEST(test_retry_after),
		TEST(test_never_sent_is_tried_again),
		TEST(test_lost_answer_of_what_was_stored),
		TEST(test_lost_answer_of_what_was_not_stored),
		TEST(test_lost_answer_that_cannot_be_settled),
		TEST(test_lost_answer_of_a_removal),
		TEST(test_lost_answer_of_an_addition),
		TEST(test_lost_answer_of_a_secret),
		TEST(test_503_and_a_secret),
		TEST(test_503_and_a_secret_in_an_array),
		TEST(test_lost_answer_and_no_reading),
		TEST(test_lost_answer_and_no_stack),
		TEST(test_answer_that_cannot_be_read_is_settled),
		TEST(test_errors_of_the_get),
		TEST(test_errors_of_the_put),
		TEST(test_put_404),
		TEST(test_secrets_are_scrubbed),
		TEST(test_one_deadline_for_all),
		TEST(test_deadline_of_the_get),
		TEST(test_silent_put_is_settled_within_the_deadline),
		TEST(test_a_get_that_was_overtaken_is_made_again),
		TEST(test_saves_of_one_stack_go_one_after_the_other),
		TEST(test_waiting_for_another_save_counts),
		TEST(test_saves_of_two_stacks_do_not_wait),
		TEST(test_stack_that_goes_while_it_is_read),
		TEST(test_end_while_reading),
		TEST(test_nothing_begins_after_the_end),
		TEST(test_end_while_waiting_to_try_again),
		TEST(test_end_while_waiting_to_settle),
		TEST(test_end_while_a_put_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
