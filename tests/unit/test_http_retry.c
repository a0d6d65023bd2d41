/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/latency.h"
#include "http/rate.h"
#include "http/retry.h"

static void test_transient(void **state)
{
	static const int statuses[] = { 408, 429, 500, 502, 503, 504 };
	static const int errors[] = { ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT, EIO };
	static const int final[] = { EPROTO, EMSGSIZE, ENOMEM, EINVAL, ECANCELED };
	size_t n = 0;

	for (int status = 200; status < 600; status++)
		n += retry_is_transient(0, status);
	assert_int_equal(n, ARRAY_SIZE(statuses));
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		assert_true(retry_is_transient(0, statuses[i]));
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		assert_true(retry_is_transient(-errors[i], 0));
	for (size_t i = 0; i < ARRAY_SIZE(final); i++)
		assert_false(retry_is_transient(-final[i], 0));
}

static void test_maybe_processed(void **state)
{
	static const struct {
		int err;
		bool sent;
		int status;
		bool maybe;
	} rows[] = {
		{ -ECONNREFUSED, false, 0, false },
		{ -ETIMEDOUT, false, 0, false }, /* while connecting */
		{ -ETIMEDOUT, true, 0, true },
		{ -EIO, true, 0, true },
		{ 0, true, 200, false },
		{ 0, true, 400, false },
		{ 0, true, 401, false },
		{ 0, true, 408, true },
		{ 0, true, 429, false },
		{ 0, true, 500, true },
		{ 0, true, 502, true },
		{ 0, true, 503, true },
		{ 0, true, 504, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(retry_maybe_processed(rows[i].err, rows[i].sent, rows[i].status),
				 rows[i].maybe);
}

static void test_backoff_bounds(void **state)
{
	static const uint64_t limits[] = { 0, 500, 1000, 2000, 4000, 8000, 8000, 8000 };
	uint64_t random = 1;

	for (unsigned tries = 1; tries < ARRAY_SIZE(limits); tries++) {
		uint64_t low = UINT64_MAX, high = 0;

		for (int i = 0; i < 20000; i++) {
			uint64_t ms = retry_backoff_ms(tries, &random);

			low = ms < low ? ms : low;
			high = ms > high ? ms : high;
		}
		assert_in_range(high, limits[tries] * 99 / 100, limits[tries]);
		assert_in_range(low, 0, limits[tries] / 100); /* full jitter: from 0 */
	}
	assert_in_range(retry_backoff_ms(UINT32_MAX, &random), 0, RETRY_CAP_MS);
}

static void test_backoff_differs_by_seed(void **state)
{
	uint64_t a = 1, b = 2;
	int same = 0;

	for (int i = 0; i < 100; i++)
		same += retry_backoff_ms(4, &a) == retry_backoff_ms(4, &b);
	assert_in_range(same, 0, 5);
}

static struct retry_case failed_with(int status)
{
	return (struct retry_case){ .mode = HTTP_RETRY_ALWAYS,
				    .sent = true,
				    .status = status,
				    .retry_after_ms = -1,
				    .tries = 1,
				    .left_ms = 30000 };
}

static bool decide(const struct retry_case *c)
{
	uint64_t random = 7, delay_ms = UINT64_MAX;
	bool again = retry_decide(c, &random, &delay_ms);

	if (again)
		assert_true(delay_ms < c->left_ms);
	return again;
}

static void test_decide_modes(void **state)
{
	struct retry_case c = failed_with(503);

	assert_true(decide(&c));
	c.mode = HTTP_RETRY_NEVER; /* the caller of http is told, and does it */
	assert_true(decide(&c));
	c.mode = HTTP_RETRY_UNPROCESSED;
	assert_false(decide(&c));
	c.retry_after_ms = 1000; /* still ambiguous */
	assert_false(decide(&c));
	c.status = 429;
	assert_true(decide(&c));
	c = (struct retry_case){ .mode = HTTP_RETRY_UNPROCESSED,
				 .err = -ECONNREFUSED,
				 .retry_after_ms = -1,
				 .tries = 1,
				 .left_ms = 30000 };
	assert_true(decide(&c));
	c.sent = true;
	assert_false(decide(&c));
}

static void test_decide_tries(void **state)
{
	struct retry_case c = failed_with(500);

	for (c.tries = 1; c.tries < RETRY_MAX_TRIES; c.tries++)
		assert_true(decide(&c));
	assert_false(decide(&c));
	c = failed_with(404);
	assert_false(decide(&c));
}

static void test_decide_deadline(void **state)
{
	struct retry_case c = failed_with(503);

	c.left_ms = 0;
	assert_false(decide(&c));
	c.left_ms = 5000;
	c.retry_after_ms = 5000;
	assert_false(decide(&c));
	c.retry_after_ms = 4999;
	assert_true(decide(&c));
	c.retry_after_ms = RETRY_AFTER_MAX_MS;
	assert_false(decide(&c));
	c.retry_after_ms = -1;
	c.left_ms = RETRY_MIN_LEFT_MS; /* a try that must fail would say no more than that */
	for (int i = 0; i < 100; i++)
		assert_false(decide(&c));
}

static void test_decide_waits_as_told(void **state)
{
	struct retry_case c = failed_with(429);
	uint64_t random = 3;

	c.retry_after_ms = 2000;
	for (int i = 0; i < 1000; i++) {
		uint64_t delay_ms;

		assert_true(retry_decide(&c, &random, &delay_ms));
		assert_in_range(delay_ms, 2000, 2000 + RETRY_BASE_MS);
	}
}

static void test_retry_after(void **state)
{
	const int64_t wall_ms = 784111777000; /* Sun, 06 Nov 1994 08:49:37 GMT */
	static const struct {
		const char *value;
		int64_t ms;
	} rows[] = {
		{ "0", 0 },
		{ "120", 120000 },
		{ "0007", 7000 },
		{ "86400", RETRY_AFTER_MAX_MS },
		{ "86401", RETRY_AFTER_MAX_MS },
		{ "99999999999999999999999999", RETRY_AFTER_MAX_MS },
		{ "Sun, 06 Nov 1994 08:49:47 GMT", 10000 },
		{ "Sunday, 06-Nov-94 08:49:47 GMT", 10000 },
		{ "Sun Nov  6 08:49:47 1994", 10000 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 0 },
		{ "Sun, 06 Nov 1994 08:00:00 GMT", 0 },
		{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
		{ "Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MAX_MS },
		{ "", -1 },
		{ "-1", -1 },
		{ "+1", -1 },
		{ "1.5", -1 },
		{ "1 2", -1 },
		{ "0x10", -1 },
		{ "soon", -1 },
		{ "Sunday", -1 },
		{ "Sun, 99 Foo 1994 08:49:37 GMT", -1 },
		{ ":", -1 },
		{ "Sun, 06 Nov 1994 08:49:47 GMT and then very much more text behind it", -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t ms = retry_after_parse(rows[i].value, strlen(rows[i].value), wall_ms);

		if (ms != rows[i].ms)
			print_error("\"%s\": %lld\n", rows[i].value, (long long)ms);
		assert_int_equal(ms, rows[i].ms);
	}
	assert_int_equal(retry_after_parse("1\0:", 3, wall_ms), -1);
}

static void test_rate(void **state)
{
	struct rate rate;
	uint64_t now_ms = 1000;

	rate_init(&rate, 10, now_ms);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(rate_wait_ms(&rate, now_ms), 0);
		rate_take(&rate);
	}
	assert_int_equal(rate_wait_ms(&rate, now_ms), 100);
	assert_int_equal(rate_wait_ms(&rate, now_ms + 99), 1);
	now_ms += 100;
	assert_int_equal(rate_wait_ms(&rate, now_ms), 0);
	rate_take(&rate);
	assert_int_equal(rate_wait_ms(&rate, now_ms), 100);

	now_ms += 1000000; /* never more than the burst, however long it rested */
	for (int i = 0; i < 30; i++) {
		assert_int_equal(rate_wait_ms(&rate, now_ms), 0);
		rate_take(&rate);
	}
	assert_int_equal(rate_wait_ms(&rate, now_ms), 100);
}

/* Over a long time it is exact, however finely time is cut. */
static void test_rate_is_exact(void **state)
{
	struct rate rate;
	unsigned taken = 0;

	rate_init(&rate, 7, 0);
	for (uint64_t now_ms = 0; now_ms <= 100000; now_ms++) {
		while (rate_wait_ms(&rate, now_ms) == 0) {
			rate_take(&rate);
			taken++;
		}
	}
	assert_int_equal(taken, 7 * 100 + 21);
}

static void test_rate_none(void **state)
{
	struct rate rate;

	rate_init(&rate, 0, 0);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(rate_wait_ms(&rate, 0), 0);
		rate_take(&rate);
	}
	rate_init(&rate, UINT32_MAX, 0);
	assert_int_equal(rate_wait_ms(&rate, UINT64_MAX), 0);
}

static void test_latency(void **state)
{
	static const unsigned percent[] = { 0, 50, 90, 99, 100 };
	unsigned ret[ARRAY_SIZE(percent)];
	struct latency latency = { 0 };

	latency_quantiles(&latency, percent, ret, ARRAY_SIZE(percent));
	assert_int_equal(ret[4], 0);
	for (unsigned ms = 100; ms > 0; ms--)
		latency_add(&latency, ms);
	latency_quantiles(&latency, percent, ret, ARRAY_SIZE(percent));
	assert_int_equal(ret[0], 1);
	assert_int_equal(ret[1], 50);
	assert_int_equal(ret[2], 90);
	assert_int_equal(ret[3], 99);
	assert_int_equal(ret[4], 100);

	for (int i = 0; i < LATENCY_WINDOW; i++)
		latency_add(&latency, UINT64_MAX); /* the old ones are forgotten */
	latency_quantiles(&latency, percent, ret, ARRAY_SIZE(percent));
	assert_int_equal(ret[0], UINT32_MAX);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transient),
		cmocka_unit_test(test_maybe_processed),
		cmocka_unit_test(test_backoff_bounds),
		cmocka_unit_test(test_backoff_differs_by_seed),
		cmocka_unit_test(test_decide_modes),
		cmocka_unit_test(test_decide_tries),
		cmocka_unit_test(test_decide_deadline),
		cmocka_unit_test(test_decide_waits_as_told),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_is_exact),
		cmocka_unit_test(test_rate_none),
		cmocka_unit_test(test_latency),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
