/* SPDX-License-Identifier: MIT */
/* What is fetched ahead, and what is not.  The stacks are in the order of their
 * numbers, or the other way round, or one of every few is followed by one far away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_account.h"
#include "store_counts.h"

#define TTL 30000
#define STALE 3600000
#define N_STACKS 200
#define MOST_AHEAD 44 /* requests at once: the rest of the slots are others', and other files' */

enum { UPWARDS, DOWNWARDS, LEAPING, N_ORDERS };

static struct store_counts seen;
static struct fake_account a;
static struct waiter waiters[4 * N_STACKS];
static unsigned n_waiters;

static struct stack *stack_of(unsigned id)
{
	return fake_account_stack(&a, id);
}

static unsigned number_of(const struct stack_id *id)
{
	return (unsigned)(id->bytes[10] << 8 | id->bytes[11]);
}

static size_t upcoming(void *arg, const struct stack *stack, unsigned order, struct stack **out,
		       size_t n)
{
	unsigned id = number_of(&stack->id);
	size_t found = 0;

	while (found < n) {
		id += order == DOWNWARDS ? -1u : order == LEAPING && id % 3 == 0 ? 4 : 1;
		if (id == 0 || id > N_STACKS)
			break;
		if (stack_of(id))
			out[found++] = stack_of(id);
	}
	return found;
}

/* All of type server, but those whose number is a multiple of lambdas. */
static void list_stacks(unsigned lambdas)
{
	static char text[N_STACKS * 256];
	size_t at = 0;

	for (unsigned id = 1; id <= N_STACKS; id++) {
		bool lambda = lambdas && id % lambdas == 0;
		const char *record = fake_record(id, "s", lambda ? ",\"lambda\":{}" : "");
		const char *type = strstr(record, "\"server\"");

		at += (size_t)snprintf(text + at, sizeof(text) - at, "%c", id == 1 ? '[' : ',');
		at += lambda ? (size_t)snprintf(text + at, sizeof(text) - at, "%.*s\"lambda\"%s",
						(int)(type - record), record,
						type + strlen("\"server\""))
			     : (size_t)snprintf(text + at, sizeof(text) - at, "%s", record);
	}
	snprintf(text + at, sizeof(text) - at, "]");
	fake_account_start(&a);
	fake_account_answer(&a, 0, 200, text);
	assert_int_equal(seen.added, N_STACKS);
}

static int setup_with(unsigned lambdas)
{
	struct store_events events = store_counts_events(&seen);

	memset(&seen, 0, sizeof(seen));
	n_waiters = 0;
	events.upcoming = upcoming;
	events.n_orders = N_ORDERS;
	fake_account_init(&a, &events, TTL, STALE);
	list_stacks(lambdas);
	return 0;
}

static int setup(void **state)
{
	return setup_with(0);
}

static int setup_with_lambdas(void **state)
{
	return setup_with(3);
}

static int teardown(void **state)
{
	fake_account_done(&a);
	return 0;
}

/* What a system call does; the number of requests that it has made. */
static unsigned use_part(unsigned id, enum store_part part, int expected)
{
	size_t before = fake_account_tries(&a);
	struct waiter *w = &waiters[n_waiters++];

	*w = waiter();
	monitor_enter(a.monitor);
	int r = store_need_part(a.store, stack_of(id), part, &w->wait);
	monitor_leave(a.monitor);
	assert_int_equal(r, expected);
	return (unsigned)(fake_account_tries(&a) - before);
}

static unsigned miss(unsigned id)
{
	return use_part(id, STORE_DEPENDENCIES, STORE_WAIT);
}

static unsigned hit(unsigned id)
{
	return use_part(id, STORE_DEPENDENCIES, STORE_READY);
}

/* Answer every request from there on that is not. */
static void answer_all(size_t from)
{
	for (size_t i = from; i < fake_account_tries(&a); i++) {
		bool token = strstr(fake_account_target(&a, i), "systemToken");

		if (!fake_transport_try(a.transport, i)->answered)
			fake_account_answer(&a, i, 200, token ? "{\"systemToken\":\"t\"}" : "{}");
	}
}

/* The stack that try i asks about. */
static unsigned asked(size_t i)
{
	struct stack_id id;
	const char *hex = fake_account_target(&a, i) + strlen("/v1/stacks/");

	assert_int_equal(stack_id_parse(hex, STACK_ID_HEX, &id), 0);
	return number_of(&id);
}

static void test_one_step_is_no_scan(void **state)
{
	assert_int_equal(miss(10), 1);
	answer_all(0);
	assert_int_equal(hit(10), 0);
	assert_int_equal(miss(100), 1);
	assert_int_equal(miss(50), 1);
	assert_int_equal(fake_account_tries(&a), 4);
}

static void test_the_second_step_is(void **state)
{
	miss(10);
	assert_int_equal(miss(11), 3);
	assert_int_equal(asked(2), 11);
	assert_int_equal(asked(3), 12);
	assert_int_equal(asked(4), 13);
}

/* Each step that was foreseen doubles what is fetched ahead, up to a bound. */
static void test_the_window_grows(void **state)
{
	static const unsigned ahead_of[] = { 2, 4, 8, 16, 32, 64, 64, 64 };

	miss(1);
	for (unsigned step = 0; step < ARRAY_SIZE(ahead_of); step++) {
		unsigned id = 2 + step;

		if (step == 0)
			miss(id);
		else
			hit(id);
		for (unsigned turns = 0; turns < 3; turns++) /* as many as may be at once */
			answer_all(0);
		unsigned newest = asked(fake_account_tries(&a) - 1);
		assert_in_range(newest, id + ahead_of[step] - ahead_of[step] / 8 + (step > 5),
				id + ahead_of[step]);
	}
}

static void test_all_of_a_scan_is_asked_once(void **state)
{
	miss(1);
	answer_all(0);
	miss(2);
	for (unsigned id = 3; id <= N_STACKS; id++) {
		answer_all(0);
		assert_true(use_part(id, STORE_DEPENDENCIES, STORE_READY) <= MOST_AHEAD);
	}
	answer_all(0);
	assert_int_equal(fake_account_tries(&a), 1 + N_STACKS);
}

static void test_backwards_too(void **state)
{
	miss(50);
	assert_int_equal(miss(49), 3);
	assert_int_equal(asked(3), 48);
	assert_int_equal(asked(4), 47);
}

/* Orders agree on some steps. */
static void test_an_order_that_turns_out_wrong(void **state)
{
	miss(50);
	miss(51); /* 52 and 53 ahead */
	answer_all(0);
	assert_int_equal(miss(55), 3);
	assert_int_equal(asked(fake_account_tries(&a) - 1), 57);
	answer_all(0);
	assert_int_equal(hit(56), 3); /* 61, 62 and 63: behind 57 comes none of those between */
	assert_int_equal(asked(fake_account_tries(&a) - 1), 63);
}

/* A scan may leave some out, once it is known. */
static void test_steps_may_skip(void **state)
{
	miss(10);
	assert_int_equal(miss(12), 1);
	assert_int_equal(miss(13), 3);
	answer_all(0);
	assert_int_equal(hit(15), 4);
}

/* Who comes back later does not go on. */
static void test_a_pause_ends_it(void **state)
{
	miss(10);
	answer_all(0);
	fake_account_advance(&a, 2001);
	assert_int_equal(miss(11), 1);
	assert_int_equal(miss(12), 3);
	answer_all(0);
	fake_account_advance(&a, 2001);
	assert_int_equal(hit(13), 0);
	assert_int_equal(hit(14), 0);
	assert_int_equal(miss(15), 1);
}

static void test_a_slow_answer_is_no_pause(void **state)
{
	miss(10);
	fake_account_advance(&a, 9000);
	answer_all(0);
	assert_int_equal(miss(11), 3);
	fake_account_advance(&a, 9000);
	answer_all(0);
	assert_int_equal(hit(12), 3);
}

static void test_many_scans_at_once(void **state)
{
	for (unsigned id = 1; id < N_STACKS; id += 20)
		assert_int_equal(miss(id), 1);
	for (unsigned id = 1; id < N_STACKS; id += 20)
		assert_int_equal(miss(id + 1), 3);
	answer_all(0);
	for (unsigned id = 1; id < N_STACKS; id += 20) {
		assert_int_equal(hit(id + 2), 3);
		answer_all(0);
	}
}

/* Tokens are fetched in a scan that reads tokens, and of stacks that have one. */
static void test_tokens(void **state)
{
	miss(1);
	miss(2);
	for (size_t i = 1; i < fake_account_tries(&a); i++)
		assert_non_null(strstr(fake_account_target(&a, i), "dependencies"));
	answer_all(0);
	size_t n = fake_account_tries(&a);
	use_part(1, STORE_TOKEN, STORE_WAIT);
	assert_int_equal(use_part(2, STORE_TOKEN, STORE_WAIT), 3);
	assert_int_equal(asked(n + 2), 4);
	assert_int_equal(asked(n + 3), 5);
	answer_all(0);
	assert_int_equal(use_part(4, STORE_TOKEN, STORE_READY), 3);
	n = fake_account_tries(&a);
	assert_int_equal(asked(n - 3), 7);
	assert_int_equal(asked(n - 2), 8);
	assert_int_equal(asked(n - 1), 10);
}

static bool is_shown(unsigned id)
{
	return store_part_known(a.store, stack_of(id), STORE_DEPENDENCIES);
}

/* Of what nobody has used some is not shown unasked, so that the scan is seen to go on. */
static void test_some_are_marked(void **state)
{
	miss(1);
	miss(2);
	answer_all(0);
	assert_true(is_shown(2));
	assert_false(is_shown(3));
	hit(3);
	assert_true(is_shown(3));
	for (unsigned id = 4; id < 40; id++) {
		for (unsigned turns = 0; turns < 3; turns++)
			answer_all(0);
		hit(id);
	}
	unsigned marked = 0;
	for (unsigned id = 40; id < 40 + 56; id++)
		marked += !is_shown(id);
	assert_in_range(marked, 7, 8);
}

/* A program that looks at no part which a listing has shown it. */
static void test_the_marked_alone_lead_on(void **state)
{
	unsigned used = 0;

	miss(1);
	miss(2);
	for (unsigned id = 3; id <= N_STACKS; id++) {
		for (unsigned turns = 0; turns < 3; turns++)
			answer_all(0);
		if (is_shown(id))
			continue;
		hit(id);
		used++;
	}
	assert_int_equal(fake_account_tries(&a), 1 + N_STACKS);
	assert_in_range(used, 1, 50);
}

/* Who waits for what is queued behind others goes before them. */
static void test_who_waits_goes_first(void **state)
{
	for (unsigned id = 1; id < 8; id++)
		miss(id);
	size_t n = fake_account_tries(&a);
	assert_int_equal(n, 1 + MOST_AHEAD);
	assert_int_equal(asked(n - 1), MOST_AHEAD);
	assert_int_equal(miss(70), 1);
	assert_int_equal(asked(n), 70);
}

/* What fails is asked once for each use, not twice. */
static void test_a_failure_ends_it_for_a_while(void **state)
{
	miss(1);
	miss(2);
	for (size_t i = 1; i < 5; i++)
		fake_account_answer(&a, i, 403, "{}");
	for (unsigned id = 3; id < 8; id++) {
		assert_int_equal(miss(id), 1);
		fake_account_answer(&a, fake_account_tries(&a) - 1, 403, "{}");
	}
	fake_account_advance(&a, 5000);
	assert_int_equal(miss(8), 1);
	assert_int_equal(miss(9), 3);
}

/* Nor does it go on when each is used before it has failed. */
static void test_a_failure_that_is_waited_for_ends_it(void **state)
{
	miss(1);
	miss(2);
	fake_account_answer(&a, 1, 403, "{}");
	fake_account_answer(&a, 2, 403, "{}");
	miss(3);
	unsigned next = 4, last = asked(fake_account_tries(&a) - 1);
	for (; next <= last; next++) {
		fake_account_answer(&a, next - 1, 403, "{}");
		assert_int_equal(miss(next), 0);
	}
	assert_int_equal(miss(next), 1);
	assert_int_equal(miss(next + 1), 1);
}

/* What a scan has left behind makes room, and that says nothing of the next one. */
static void test_old_ones_that_make_room_do_not_end_it(void **state)
{
	const size_t len = 1000 * 1000;
	const unsigned n = (unsigned)(STORE_PARTS_MAX_BYTES / len);
	char *big = fake_document(len);

	miss(1);
	miss(2);
	for (size_t i = 1; i < 5; i++)
		fake_account_answer(&a, i, 200, big);
	for (unsigned id = 5; id < 5 + n; id++) {
		fake_account_advance(&a, 2001);
		assert_int_equal(miss(id), 1);
		fake_account_answer(&a, fake_account_tries(&a) - 1, 200, big);
	}
	miss(150);
	assert_int_equal(miss(151), 3);
	free(big);
}

static void test_a_refused_token_ends_it(void **state)
{
	miss(1);
	miss(2);
	for (size_t i = 1; i < 5; i++)
		fake_account_answer(&a, i, 401, "{}");
	fake_account_advance(&a, 5000);
	miss(5);
	assert_int_equal(miss(6), 1);
}

static void test_a_rotation_overtakes(void **state)
{
	use_part(1, STORE_TOKEN, STORE_WAIT);
	use_part(2, STORE_TOKEN, STORE_WAIT);
	monitor_enter(a.monitor);
	store_drop_part(a.store, stack_of(3), STORE_TOKEN);
	monitor_leave(a.monitor);
	answer_all(0);
	assert_int_equal(use_part(3, STORE_TOKEN, STORE_WAIT), 1 + 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_step_is_no_scan),
		TEST(test_the_second_step_is),
		TEST(test_the_window_grows),
		TEST(test_all_of_a_scan_is_asked_once),
		TEST(test_backwards_too),
		TEST(test_an_order_that_turns_out_wrong),
		TEST(test_steps_may_skip),
		TEST(test_a_pause_ends_it),
		TEST(test_a_slow_answer_is_no_pause),
		TEST(test_many_scans_at_once),
		cmocka_unit_test_setup_teardown(test_tokens, setup_with_lambdas, teardown),
		TEST(test_some_are_marked),
		TEST(test_the_marked_alone_lead_on),
		TEST(test_who_waits_goes_first),
		TEST(test_a_failure_ends_it_for_a_while),
		TEST(test_a_failure_that_is_waited_for_ends_it),
		TEST(test_old_ones_that_make_room_do_not_end_it),
		TEST(test_a_refused_token_ends_it),
		TEST(test_a_rotation_overtakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
