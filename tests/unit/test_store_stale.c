/* SPDX-License-Identifier: MIT */
/* What is shown when something fails or is late: what is old, for as long as that is
 * allowed, and who waits before. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_account.h"
#include "store_counts.h"

#define TTL   30000
#define STALE 3600000

static struct store_counts seen;
static struct fake_account a;

static int setup(void **state)
{
	const struct store_events events = store_counts_events(&seen);

	fake_account_init(&a, &events, TTL, STALE);
	return 0;
}

static struct stack *stack_of(unsigned id)
{
	return fake_account_stack(&a, id);
}

static int need_list(struct waiter *w)
{
	monitor_enter(a.monitor);
	int r = store_need_list(a.store, &w->wait);
	monitor_leave(a.monitor);
	return r;
}

static int need_record(unsigned id, struct waiter *w)
{
	monitor_enter(a.monitor);
	int r = store_need_record(a.store, stack_of(id), &w->wait);
	monitor_leave(a.monitor);
	return r;
}

static int need_part(unsigned id, enum store_part part, struct waiter *w)
{
	monitor_enter(a.monitor);
	int r = store_need_part(a.store, stack_of(id), part, &w->wait);
	monitor_leave(a.monitor);
	return r;
}

static int need_token(unsigned id, struct waiter *w)
{
	return need_part(id, STORE_TOKEN, w);
}

static int need_dependencies(unsigned id, struct waiter *w)
{
	return need_part(id, STORE_DEPENDENCIES, w);
}

static void list_two(void)
{
	fake_account_start(&a);
	fake_account_answer(&a, 0, 200, fake_two());
}

/* Two pages, so that one old record is asked for by its id; answers from try i on. */
static void answer_pages(size_t i)
{
	fake_account_page(&a, i, fake_list(1, fake_record(1, "one", "")), "/v1/stacks?page=2");
	fake_account_answer(&a, i + 1, 200, fake_list(1, fake_record(2, "two", "")));
}

static void list_two_pages(void)
{
	fake_account_start(&a);
	answer_pages(0);
}

static void test_old_is_shown_when_the_api_fails(void **state)
{
	static const int statuses[] = { 503, 429 };
	struct store_stats stats;

	list_two();
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct waiter w = waiter();

		fake_account_advance(&a, TTL);
		assert_int_equal(need_list(&w), STORE_WAIT);
		fake_account_fail(&a, statuses[i]);
		assert_int_equal(w.woken, 1);
		assert_int_equal(w.err, 0);
		store_get_stats(a.store, &stats);
		assert_int_equal(stats.state, STORE_STATE_STALE);
		assert_int_equal(stats.last_error.status, statuses[i]);
		assert_true(store_record_stale(a.store, stack_of(1)));
	}
	fake_account_done(&a);
}

static void test_patience_ends_after_three_seconds(void **state)
{
	struct waiter w = waiter(), next = waiter();
	struct store_stats stats;

	list_two();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(&w), STORE_WAIT);
	fake_account_advance(&a, 2999);
	assert_int_equal(w.woken, 0);
	fake_account_advance(&a, 1);
	assert_int_equal(w.woken, 1);
	assert_int_equal(w.err, 0);
	/* What is shown from now on is said to be old, though nothing has failed yet. */
	store_get_stats(a.store, &stats);
	assert_int_equal(stats.state, STORE_STATE_STALE);
	assert_int_equal(stats.last_error.err, -ETIMEDOUT);
	assert_true(store_record_stale(a.store, stack_of(1)));
	/* Only the first one waits. */
	assert_int_equal(need_list(&next), STORE_READY);
	assert_int_equal(fake_account_tries(&a), 2);
	fake_account_done(&a);
}

/* A long list takes its time: it is the answers that are waited for, one by one. */
static void test_patience_is_for_each_page(void **state)
{
	struct waiter w = waiter();
	struct store_stats stats;

	list_two_pages();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(&w), STORE_WAIT);
	fake_account_advance(&a, 2000);
	fake_account_page(&a, 2, fake_list(1, fake_record(1, "new", "")), "/v1/stacks?page=2");
	fake_account_advance(&a, 2000);
	assert_int_equal(w.woken, 0);
	fake_account_answer(&a, 3, 200, fake_list(1, fake_record(2, "two", "")));
	assert_int_equal(w.woken, 1);
	assert_int_equal(seen.changed, 1);
	store_get_stats(a.store, &stats);
	assert_int_equal(stats.state, STORE_STATE_OK);

	/* And one that does not come is not waited for longer than that. */
	fake_account_advance(&a, TTL);
	w = waiter();
	assert_int_equal(need_list(&w), STORE_WAIT);
	fake_account_advance(&a, 2000);
	fake_account_page(&a, 4, fake_list(1, fake_record(1, "newer", "")), "/v1/stacks?page=2");
	fake_account_advance(&a, 2999);
	assert_int_equal(w.woken, 0);
	fake_account_advance(&a, 1);
	assert_int_equal(w.woken, 1);
	assert_int_equal(w.err, 0);
	assert_int_equal(seen.changed, 1);
	store_get_stats(a.store, &stats);
	assert_int_equal(stats.state, STORE_STATE_STALE);
	fake_account_done(&a);
}

static void test_patience_does_not_end_for_who_is_not_let_in(void **state)
{
	struct waiter w = waiter(), other = waiter();
	struct store_stats stats;

	list_two();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(&w), STORE_WAIT);
	assert_int_equal(need_token(1, &other), STORE_WAIT);
	fake_account_answer(&a, 2, 401, "");
	assert_int_equal(other.err, -EACCES);
	fake_account_advance(&a, 3000);
	assert_int_equal(w.woken, 0);
	store_get_stats(a.store, &stats);
	assert_int_equal(stats.state, STORE_STATE_ERROR);
	assert_int_equal(stats.last_error.err, -EACCES);
	fake_account_answer(&a, 1, 200, fake_list(1, fake_record(1, "one", "")));
	fake_account_done(&a);
}

/* As fake_account_fail, but without what passes afterwards. */
static void fail_at_last(int status)
{
	for (unsigned i = 0; i < 4; i++) {
		if (i > 0)
			fake_account_advance(&a, 5000);
		fake_account_answer(&a, fake_account_tries(&a) - 1, status, "");
	}
}

/* One endpoint that always fails, looked at all the time, must not keep what the
 * others have from being renewed. */
static void test_a_failing_endpoint_silences_only_itself(void **state)
{
	struct waiter w = waiter(), d = waiter(), t = waiter(), v = waiter(), u = waiter();

	list_two();
	assert_int_equal(need_dependencies(1, &w), STORE_WAIT);
	fake_account_answer(&a, 1, 200, "{}");
	assert_int_equal(need_token(1, &w), STORE_WAIT);
	fake_account_answer(&a, 2, 200, "{\"systemToken\":\"abc\"}");
	fake_account_advance(&a, TTL);
	assert_int_equal(need_dependencies(1, &d), STORE_WAIT);
	fail_at_last(500);
	assert_int_equal(d.woken, 1);
	size_t tries = fake_account_tries(&a);
	d = waiter();
	assert_int_equal(need_dependencies(1, &d), STORE_READY); /* old, and quiet */
	assert_int_equal(fake_account_tries(&a), tries);
	assert_int_equal(need_list(&v), STORE_WAIT);
	assert_int_equal(need_token(1, &t), STORE_WAIT);
	assert_int_equal(fake_account_tries(&a), tries + 2);

	/* Nor does their success make it heard again. */
	fake_account_answer(&a, tries, 200,
			    fake_list(2, fake_record(1, "one", ""), fake_record(2, "two", "")));
	assert_int_equal(v.woken, 1);
	assert_int_equal(need_dependencies(1, &u), STORE_READY);
	assert_int_equal(fake_account_tries(&a), tries + 2);
	fake_account_done(&a);
}

/* A record's own GET that fails leaves the list to ask. */
static void test_a_failing_record_is_had_by_the_list(void **state)
{
	struct waiter w = waiter(), v = waiter();

	list_two_pages();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_record(2, &w), STORE_WAIT);
	fail_at_last(500);
	assert_int_equal(w.woken, 1);
	size_t tries = fake_account_tries(&a);
	fake_account_advance(&a, 2000);
	assert_int_equal(need_record(2, &v), STORE_WAIT);
	assert_int_equal(fake_account_tries(&a), tries + 1);
	assert_string_equal(fake_account_target(&a, tries), "/v1/stacks");
	fake_account_done(&a);
}

/* But when the list fails only the first one waits. */
static void test_a_failing_api_silences_all(void **state)
{
	struct waiter w = waiter(), t = waiter(), d = waiter();

	list_two();
	assert_int_equal(need_token(1, &w), STORE_WAIT);
	fake_account_answer(&a, 1, 200, "{\"systemToken\":\"abc\"}");
	fake_account_advance(&a, TTL);
	w = waiter();
	assert_int_equal(need_list(&w), STORE_WAIT);
	fail_at_last(503);
	assert_int_equal(w.woken, 1);
	size_t tries = fake_account_tries(&a);
	assert_int_equal(need_token(1, &t), STORE_READY);
	assert_int_equal(fake_account_tries(&a), tries);
	assert_int_equal(need_dependencies(1, &d), STORE_WAIT); /* nothing is known of them */
	fake_account_done(&a);
}

/* That others are answered then says nothing of the list. */
static void test_a_failing_list_is_not_mended_by_a_token(void **state)
{
	struct waiter w = waiter(), t = waiter(), v = waiter(), r = waiter();
	struct store_stats stats;

	list_two();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(&w), STORE_WAIT);
	fake_account_advance(&a, 3000);
	assert_int_equal(w.woken, 1);
	assert_int_equal(need_token(1, &t), STORE_WAIT);
	fake_account_answer(&a, 2, 200, "{\"systemToken\":\"abc\"}");
	store_get_stats(a.store, &stats);
	assert_int_equal(stats.state, STORE_STATE_STALE);
	assert_true(store_record_stale(a.store, stack_of(1)));
	assert_int_equal(need_list(&v), STORE_READY);
	assert_int_equal(need_record(2, &r), STORE_READY);

	fake_account_answer(&a, 1, 200,
			    fake_list(2, fake_record(1, "one", ""), fake_record(2, "two", "")));
	store_get_stats(a.store, &stats);
	assert_int_equal(stats.state, STORE_STATE_OK);
	assert_false(store_record_stale(a.store, stack_of(1)));
	fake_account_done(&a);
}

/* But not for ever: who looks at one record of a long list again and again asks for none. */
static void test_a_list_that_failed_long_ago_is_not_the_state(void **state)
{
	struct waiter w = waiter(), v = waiter();
	struct store_stats stats;

	list_two_pages();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(&w), STORE_WAIT);
	fail_at_last(500);
	fake_account_advance(&a, TTL);
	store_get_stats(a.store, &stats);
	assert_int_equal(stats.state, STORE_STATE_STALE);
	size_t tries = fake_account_tries(&a);
	assert_int_equal(need_record(2, &v), STORE_WAIT);
	assert_string_equal(fake_account_target(&a, tries), "/v1/stacks/600000000000000000000002");
	fake_account_answer(&a, tries, 200, fake_record(2, "two", ""));
	assert_int_equal(v.woken, 1);
	store_get_stats(a.store, &stats);
	assert_int_equal(stats.state, STORE_STATE_OK);
	fake_account_done(&a);
}

static void test_nothing_old_after_401_or_too_long(void **state)
{
	struct waiter w = waiter(), v = waiter();

	list_two();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(&w), STORE_WAIT);
	fake_account_answer(&a, 1, 401, "{\"message\":\"Bearer Authentication Failed\"}");
	assert_int_equal(w.woken, 1);
	assert_int_equal(w.err, -EACCES);

	fake_account_advance(&a, TTL + STALE);
	assert_int_equal(need_list(&v), STORE_WAIT);
	fake_account_fail(&a, 503);
	assert_int_equal(v.woken, 1);
	assert_int_equal(v.err, -EIO);
	fake_account_done(&a);
}

/* Whatever it fails by: what is not old yet is shown, and the next renewal waits a little. */
static void test_a_renewal_that_failed_is_not_repeated_at_once(void **state)
{
	static const int statuses[] = { 400, 403, 401 };
	struct waiter t = waiter();

	list_two();
	assert_int_equal(need_token(1, &t), STORE_WAIT);
	fake_account_answer(&a, 1, 200, "{\"systemToken\":\"abc\"}");
	fake_account_advance(&a, TTL / 2);
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct waiter w = waiter();

		assert_int_equal(need_token(1, &w), STORE_READY);
		assert_int_equal(fake_account_tries(&a), 3 + i);
		fake_account_answer(&a, 2 + i, statuses[i], "{}");
		assert_int_equal(need_token(1, &w), STORE_READY);
		fake_account_advance(&a, 4999);
		assert_int_equal(need_token(1, &w), STORE_READY);
		assert_int_equal(fake_account_tries(&a), 3 + i);
		fake_account_advance(&a, 1);
	}
	fake_account_done(&a);
}

/* Who is not let in is not shown what was seen before, when the service fails after that, too;
 * what has another answer is. */
static void test_nothing_old_after_403(void **state)
{
	struct waiter w = waiter(), v = waiter(), d = waiter(), e = waiter();

	list_two();
	assert_int_equal(need_token(1, &w), STORE_WAIT);
	fake_account_answer(&a, 1, 200, "{\"systemToken\":\"abc\"}");
	assert_int_equal(need_dependencies(1, &d), STORE_WAIT);
	fake_account_answer(&a, 2, 200, "{}");
	fake_account_advance(&a, TTL);
	w = waiter();
	assert_int_equal(need_token(1, &w), STORE_WAIT);
	fake_account_answer(&a, 3, 403, "{}");
	assert_int_equal(w.err, -EPERM);

	w = waiter();
	assert_int_equal(need_token(2, &w), STORE_WAIT);
	fake_account_answer(&a, 4, 200, "{\"systemToken\":\"other\"}");
	fake_account_advance(&a, TTL);
	assert_int_equal(need_token(1, &v), STORE_WAIT);
	fake_account_fail(&a, 503);
	assert_int_equal(v.woken, 1);
	assert_int_equal(v.err, -EIO);
	assert_int_equal(need_dependencies(1, &e), STORE_WAIT);
	fake_account_fail(&a, 503);
	assert_int_equal(e.err, 0);
	w = waiter();
	assert_int_equal(need_token(2, &w), STORE_WAIT);
	fake_account_fail(&a, 503);
	assert_int_equal(w.err, 0);
	fake_account_done(&a);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_old_is_shown_when_the_api_fails),
		TEST(test_patience_ends_after_three_seconds),
		TEST(test_patience_is_for_each_page),
		TEST(test_patience_does_not_end_for_who_is_not_let_in),
		TEST(test_a_failing_endpoint_silences_only_itself),
		TEST(test_a_failing_record_is_had_by_the_list),
		TEST(test_a_failing_api_silences_all),
		TEST(test_a_failing_list_is_not_mended_by_a_token),
		TEST(test_a_list_that_failed_long_ago_is_not_the_state),
		TEST(test_nothing_old_after_401_or_too_long),
		TEST(test_a_renewal_that_failed_is_not_repeated_at_once),
		TEST(test_nothing_old_after_403),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
