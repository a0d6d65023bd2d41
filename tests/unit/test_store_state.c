/* SPDX-License-Identifier: MIT */
/* What the state of the API is taken from. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_account.h"
#include "store_counts.h"

#define TTL   30000
#define STALE 3600000

static struct store_counts seen;
static struct fake_account a;

/* Two stacks, known just now. */
static int setup(void **state)
{
	const struct store_events events = store_counts_events(&seen);

	fake_account_init(&a, &events, TTL, STALE);
	fake_account_start(&a);
	fake_account_answer(&a, 0, 200, fake_two());
	return 0;
}

static void ask_for_list(struct waiter *w)
{
	monitor_enter(a.monitor);
	int r = store_need_list(a.store, &w->wait);
	monitor_leave(a.monitor);
	assert_int_equal(r, STORE_WAIT);
}

static void ask_for_token(struct waiter *w)
{
	monitor_enter(a.monitor);
	int r = store_need_part(a.store, fake_account_stack(&a, 1), STORE_TOKEN, &w->wait);
	monitor_leave(a.monitor);
	assert_int_equal(r, STORE_WAIT);
}

/* The newest try. */
static void answer(const char *body)
{
	fake_account_answer(&a, fake_account_tries(&a) - 1, 200, body);
}

static enum store_state api_state(void)
{
	struct store_stats stats;

	store_get_stats(a.store, &stats);
	return stats.state;
}

static void test_a_token_makes_no_list_newer(void **state)
{
	struct waiter list = waiter(), token = waiter(), again = waiter();

	fake_account_advance(&a, TTL);
	ask_for_list(&list);
	fake_account_fail(&a, 503);
	ask_for_token(&token);
	answer("{\"systemToken\":\"abc\"}");
	assert_int_equal(token.err, 0);
	assert_int_equal(api_state(), STORE_STATE_STALE);
	assert_true(store_record_stale(a.store, fake_account_stack(&a, 1)));
	fake_account_advance(&a, TTL);
	ask_for_list(&again);
	answer(fake_two());
	assert_int_equal(api_state(), STORE_STATE_OK);
	fake_account_done(&a);
}

/* Those who wait are shown what is old, before anything has failed. */
static void test_nor_one_that_takes_too_long(void **state)
{
	struct waiter list = waiter(), token = waiter();

	fake_account_advance(&a, TTL);
	ask_for_list(&list);
	size_t slow = fake_account_tries(&a) - 1;
	fake_account_advance(&a, 3000);
	assert_int_equal(api_state(), STORE_STATE_STALE);
	fake_account_advance(&a, 5000);
	ask_for_token(&token);
	answer("{\"systemToken\":\"abc\"}");
	assert_int_equal(api_state(), STORE_STATE_STALE);
	fake_account_answer(&a, slow, 200, fake_two());
	assert_int_equal(api_state(), STORE_STATE_OK);
	fake_account_done(&a);
}

/* Nobody asks for a list that is fresh, so none can make up for one that failed. */
static void test_a_refresh_that_failed_is_soon_over(void **state)
{
	struct waiter list = waiter(), token = waiter(), again = waiter();

	fake_account_advance(&a, 1);
	monitor_enter(a.monitor);
	assert_int_equal(store_refresh(a.store, &list.wait), STORE_WAIT);
	monitor_leave(a.monitor);
	fake_account_answer(&a, 1, 400, "{}");
	assert_int_equal(api_state(), STORE_STATE_ERROR);
	ask_for_token(&token);
	answer("{\"systemToken\":\"abc\"}");
	assert_int_equal(api_state(), STORE_STATE_ERROR);
	fake_account_advance(&a, 10000);
	monitor_enter(a.monitor);
	store_drop_part(a.store, fake_account_stack(&a, 1), STORE_TOKEN);
	monitor_leave(a.monitor);
	ask_for_token(&again);
	answer("{\"systemToken\":\"abd\"}");
	assert_int_equal(api_state(), STORE_STATE_OK);
	fake_account_done(&a);
}

/* Of one file, while the list fails. */
static void test_another_failure_is_not_the_reason(void **state)
{
	struct waiter list = waiter(), token = waiter();
	struct store_stats stats;

	fake_account_advance(&a, TTL);
	ask_for_list(&list);
	fake_account_fail(&a, 503);
	ask_for_token(&token);
	fake_account_fail(&a, 403);
	assert_int_equal(token.err, -EPERM);
	store_get_stats(a.store, &stats);
	assert_int_equal(stats.state, STORE_STATE_STALE);
	assert_int_equal(stats.last_error.status, 503);
	fake_account_done(&a);
}

static void test_a_file_that_is_forbidden_is_no_outage(void **state)
{
	static const struct {
		int status;
		enum store_state state;
	} rows[] = {
		{ 400, STORE_STATE_OK },    { 403, STORE_STATE_OK },    { 401, STORE_STATE_ERROR },
		{ 408, STORE_STATE_ERROR }, { 429, STORE_STATE_STALE }, { 503, STORE_STATE_STALE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct waiter token = waiter();

		if (i > 0)
			assert_int_equal(setup(state), 0);
		ask_for_token(&token);
		fake_account_fail(&a, rows[i].status);
		assert_int_not_equal(token.err, 0);
		assert_int_equal(api_state(), rows[i].state);
		fake_account_done(&a);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_a_token_makes_no_list_newer),
		TEST(test_nor_one_that_takes_too_long),
		TEST(test_a_refresh_that_failed_is_soon_over),
		TEST(test_another_failure_is_not_the_reason),
		TEST(test_a_file_that_is_forbidden_is_no_outage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
