/* SPDX-License-Identifier: MIT */
/* What callers have asked for themselves, or changed: an answer that was begun
 * before a change never undoes it. */
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

/* Two stacks, known for a second. */
static int setup(void **state)
{
	const struct store_events events = store_counts_events(&seen);

	fake_account_init(&a, &events, TTL, STALE);
	fake_account_start(&a);
	fake_account_answer(&a, 0, 200, fake_two());
	fake_account_advance(&a, 1000);
	memset(&seen, 0, sizeof(seen));
	monitor_enter(a.monitor);
	return 0;
}

/* Tests are inside the monitor, and step out to let an answer come. */
static void answer(size_t i, int status, const char *body)
{
	monitor_leave(a.monitor);
	fake_account_answer(&a, i, status, body);
	monitor_enter(a.monitor);
}

static void advance(uint64_t ms)
{
	monitor_leave(a.monitor);
	fake_account_advance(&a, ms);
	monitor_enter(a.monitor);
}

static void done(void)
{
	monitor_leave(a.monitor);
	fake_account_done(&a);
}

static struct stack *stack_of(unsigned id)
{
	return fake_account_stack(&a, id);
}

static bool is_named(unsigned id, const char *name)
{
	const struct record *record = stack_of(id)->record;

	return record->name_len == strlen(name) && memcmp(record->name, name, strlen(name)) == 0;
}

static struct record *record_of(unsigned id, const char *name)
{
	const char *text = fake_record(id, name, "");
	struct record *record;
	char why[80];

	assert_int_equal(record_parse(text, strlen(text), &record, why, sizeof(why)), 0);
	return record;
}

/* tick: store_tick() when it was asked for. */
static void take_answer(unsigned id, const char *name, uint64_t began_ms, uint64_t tick)
{
	CLEANUP(record_unrefp) struct record *record = record_of(id, name);
	const struct api_meta meta = { .began_ms = began_ms };

	assert_int_equal(store_take_answer(a.store, record, &meta, tick), 0);
}

static struct stack *take_change(unsigned id, const char *name)
{
	CLEANUP(record_unrefp) struct record *record = record_of(id, name);
	struct stack *stack = NULL;

	assert_int_equal(store_take_change(a.store, record, NULL, &stack), 0);
	return stack;
}

static uint64_t now(void)
{
	return clock_now_ms(&a.clock.base);
}

/* A list that has been asked for and not been answered. */
static void begin_list(struct waiter *w)
{
	assert_int_equal(store_refresh(a.store, &w->wait), STORE_WAIT);
	advance(10);
}

static void test_an_answer_is_taken_unless_a_newer_one_is_there(void **state)
{
	take_answer(1, "other", now(), store_tick(a.store));
	assert_true(is_named(1, "other"));
	assert_int_equal(seen.changed, 1);
	take_answer(1, "older", now() - 1, store_tick(a.store));
	assert_true(is_named(1, "other"));
	done();
}

static void test_an_answer_renews(void **state)
{
	struct waiter w = waiter();

	advance(TTL);
	take_answer(1, "one", now(), store_tick(a.store));
	assert_int_equal(seen.changed, 0);
	assert_int_equal(store_need_record(a.store, stack_of(1), &w.wait), STORE_READY);
	assert_int_equal(fake_account_tries(&a), 1);
	done();
}

static void test_a_change_outlives_what_was_asked_before(void **state)
{
	struct waiter w = waiter(), v = waiter();
	uint64_t before = now(), tick = store_tick(a.store);

	begin_list(&w);
	assert_ptr_equal(take_change(1, "saved"), stack_of(1));
	assert_int_equal(seen.changed, 1);
	take_answer(1, "older", before, tick);
	take_answer(1, "at once with it", now(), tick);
	assert_true(is_named(1, "saved"));
	answer(1, 200, fake_two());
	assert_int_equal(w.woken, 1);
	assert_int_equal(w.err, 0);
	assert_true(is_named(1, "saved"));

	/* What is asked afterwards counts. */
	begin_list(&v);
	answer(2, 200, fake_list(2, fake_record(1, "later", ""), fake_record(2, "two", "")));
	assert_true(is_named(1, "later"));
	done();
}

static void test_a_change_may_follow_a_change_at_once(void **state)
{
	take_change(1, "first");
	take_change(1, "second");
	assert_true(is_named(1, "second"));
	done();
}

static void test_a_new_stack_survives_a_list_that_lacks_it(void **state)
{
	struct waiter w = waiter();

	begin_list(&w);
	struct stack *stack = take_change(3, "new");
	assert_ptr_equal(stack, stack_of(3));
	assert_int_equal(seen.added, 1);
	answer(1, 200, fake_two());
	assert_int_equal(w.woken, 1);
	assert_int_equal(fake_account_tries(&a), 2); /* it was not even asked for */
	assert_non_null(stack_of(3));
	assert_int_equal(seen.gone, 0);
	done();
}

static void test_a_new_stack_that_a_list_knew_first(void **state)
{
	struct waiter w = waiter();

	begin_list(&w);
	answer(1, 200,
	       fake_list(3, fake_record(1, "one", ""), fake_record(2, "two", ""),
			 fake_record(3, "new", "")));
	assert_int_equal(seen.added, 1);
	struct stack *stack = stack_of(3);
	assert_ptr_equal(take_change(3, "new"), stack);
	assert_int_equal(seen.added, 1);
	assert_int_equal(seen.changed, 0);
	done();
}

static void test_what_was_deleted_does_not_come_back_by_an_old_answer(void **state)
{
	struct waiter w = waiter();
	struct stack *stack = stack_ref(stack_of(2));
	uint64_t before = now(), tick = store_tick(a.store);

	begin_list(&w);
	store_take_gone(a.store, stack);
	assert_true(stack->gone);
	assert_int_equal(seen.gone, 1);
	store_take_gone(a.store, stack);
	assert_int_equal(seen.gone, 1);
	stack_unref(stack);
	take_answer(2, "two", before, tick);
	take_answer(2, "two", now(), tick);
	assert_null(stack_of(2));
	answer(1, 200, fake_two());
	assert_int_equal(w.woken, 1);
	assert_null(stack_of(2));
	assert_int_equal(seen.added, 0);
	done();
}

/* The recycle bin gives the same _id back. */
static void test_what_was_deleted_can_be_restored(void **state)
{
	struct waiter w = waiter();

	store_take_gone(a.store, stack_of(2));
	advance(10);
	begin_list(&w);
	answer(1, 200, fake_two());
	assert_non_null(stack_of(2));
	assert_int_equal(seen.added, 1);

	store_take_gone(a.store, stack_of(2));
	take_change(2, "two"); /* by the same mount, in the same moment */
	assert_non_null(stack_of(2));
	assert_int_equal(seen.added, 2);
	done();
}

/* A grave is dug up by a list that was begun after it, and nothing else. */
static void test_graves_are_kept_for_lists_that_began_before(void **state)
{
	struct waiter w = waiter(), v = waiter();

	begin_list(&w);
	uint64_t before = now(), tick = store_tick(a.store);
	advance(10);
	store_take_gone(a.store, stack_of(2));
	answer(1, 200, fake_list(1, fake_record(1, "one", "")));
	assert_int_equal(w.woken, 1);
	take_answer(2, "two", before, tick);
	assert_null(stack_of(2));

	advance(10);
	begin_list(&v);
	answer(2, 200, fake_list(1, fake_record(1, "one", "")));
	assert_int_equal(v.woken, 1);
	take_answer(2, "two", now(), store_tick(a.store));
	assert_non_null(stack_of(2));
	done();
}

static void read_token(unsigned id, size_t try, const char *json)
{
	struct waiter w = waiter();

	assert_int_equal(store_need_part(a.store, stack_of(id), STORE_TOKEN, &w.wait), STORE_WAIT);
	answer(try, 200, json);
	assert_int_equal(w.woken, 1);
	assert_int_equal(store_need_part(a.store, stack_of(id), STORE_TOKEN, &w.wait), STORE_READY);
}

static void test_a_dropped_part_is_forgotten(void **state)
{
	struct waiter w = waiter();

	read_token(1, 1, "{\"systemToken\":\"abc\"}");
	assert_true(store_part_known(a.store, stack_of(1), STORE_TOKEN));
	store_drop_part(a.store, stack_of(1), STORE_TOKEN);
	assert_int_equal(seen.part_changed, 1);
	assert_false(store_part_known(a.store, stack_of(1), STORE_TOKEN));
	assert_null(store_part_blob(stack_of(1), STORE_TOKEN));
	assert_int_equal(store_part_valid_ms(a.store, stack_of(1), STORE_TOKEN), 0);
	advance(1);

	/* Nor is it shown when the API fails. */
	assert_int_equal(store_need_part(a.store, stack_of(1), STORE_TOKEN, &w.wait), STORE_WAIT);
	monitor_leave(a.monitor);
	fake_account_fail(&a, 503);
	monitor_enter(a.monitor);
	assert_int_equal(w.woken, 1);
	assert_int_equal(w.err, -EIO);
	done();
}

static void test_waiters_of_an_overtaken_part_ask_again(void **state)
{
	struct waiter w = waiter(), late = waiter();
	struct stack *stack = stack_of(1);

	assert_int_equal(store_need_part(a.store, stack, STORE_TOKEN, &w.wait), STORE_WAIT);
	assert_int_equal(fake_account_tries(&a), 2);
	advance(10);
	store_drop_part(a.store, stack, STORE_TOKEN);
	assert_int_equal(store_need_part(a.store, stack, STORE_TOKEN, &late.wait), STORE_WAIT);
	answer(1, 200, "{\"systemToken\":\"old\"}");
	assert_null(store_part_blob(stack, STORE_TOKEN));
	assert_int_equal(w.woken, 1);
	assert_int_equal(w.err, 0);
	assert_int_equal(late.woken, 1);
	advance(1);
	assert_int_equal(store_need_part(a.store, stack, STORE_TOKEN, &w.wait), STORE_WAIT);
	assert_int_equal(store_need_part(a.store, stack, STORE_TOKEN, &late.wait), STORE_WAIT);
	advance(0);
	assert_int_equal(fake_account_tries(&a), 3);
	answer(2, 200, "{\"systemToken\":\"new\"}");
	assert_int_equal(w.woken, 2);
	assert_int_equal(late.woken, 2);
	assert_int_equal(store_need_part(a.store, stack, STORE_TOKEN, &w.wait), STORE_READY);
	assert_string_equal(blob_bytes(store_part_blob(stack, STORE_TOKEN)), "new\n");
	done();
}

/* An error that was begun before says nothing about the new one, either. */
static void test_an_overtaken_404_is_no_absence(void **state)
{
	struct waiter w = waiter();

	assert_int_equal(store_need_part(a.store, stack_of(1), STORE_TOKEN, &w.wait), STORE_WAIT);
	advance(10);
	store_drop_part(a.store, stack_of(1), STORE_TOKEN);
	answer(1, 404, "{}");
	assert_false(store_part_known(a.store, stack_of(1), STORE_TOKEN));
	assert_int_equal(store_need_part(a.store, stack_of(1), STORE_TOKEN, &w.wait), STORE_WAIT);
	done();
}

/* Nothing is there any more that a renewal could be waited for with. */
static void test_a_renewal_under_way_is_none_of_a_dropped_part(void **state)
{
	struct waiter w = waiter();
	struct stack *stack = stack_of(1);

	read_token(1, 1, "{\"systemToken\":\"old\"}");
	advance(TTL / 2);
	assert_int_equal(store_need_part(a.store, stack, STORE_TOKEN, &w.wait), STORE_READY);
	advance(1);
	assert_int_equal(fake_account_tries(&a), 3);
	store_drop_part(a.store, stack, STORE_TOKEN);
	assert_int_equal(store_need_part(a.store, stack, STORE_TOKEN, &w.wait), STORE_WAIT);
	answer(2, 200, "{\"systemToken\":\"old\"}");
	assert_int_equal(w.woken, 1);
	read_token(1, 3, "{\"systemToken\":\"new\"}");
	assert_string_equal(blob_bytes(store_part_blob(stack, STORE_TOKEN)), "new\n");
	done();
}

/* Who could have been shown the old one waits on. */
static void test_patience_does_not_end_for_a_dropped_part(void **state)
{
	struct waiter w = waiter(), late = waiter();
	struct stack *stack = stack_of(1);

	read_token(1, 1, "{\"systemToken\":\"old\"}");
	advance(TTL);
	assert_int_equal(store_need_part(a.store, stack, STORE_TOKEN, &w.wait), STORE_WAIT);
	advance(1000);
	store_drop_part(a.store, stack, STORE_TOKEN);
	assert_int_equal(store_need_part(a.store, stack, STORE_TOKEN, &late.wait), STORE_WAIT);
	advance(5000);
	assert_int_equal(w.woken + late.woken, 0);
	answer(2, 200, "{\"systemToken\":\"old\"}");
	assert_int_equal(w.woken + late.woken, 2);
	read_token(1, 3, "{\"systemToken\":\"new\"}");
	done();
}

static void test_a_part_that_nobody_has_asked_for_may_be_dropped(void **state)
{
	store_drop_part(a.store, stack_of(1), STORE_TOKEN);
	assert_false(store_part_known(a.store, stack_of(1), STORE_TOKEN));
	advance(1);
	read_token(1, 1, "{\"systemToken\":\"abc\"}");
	done();
}

static void test_an_expired_record_is_asked_for(void **state)
{
	struct waiter w = waiter();

	uint64_t tick = store_tick(a.store);

	store_expire_record(a.store, stack_of(1));
	assert_int_equal(store_record_valid_ms(a.store, stack_of(1)), 0);
	take_answer(1, "older", now(), tick);
	assert_true(is_named(1, "one"));
	advance(1);
	assert_int_equal(store_need_record(a.store, stack_of(1), &w.wait), STORE_WAIT);
	assert_string_equal(fake_account_target(&a, 1), "/v1/stacks/600000000000000000000001");
	answer(1, 200, fake_record(1, "stored", ""));
	assert_int_equal(w.woken, 1);
	assert_int_equal(store_need_record(a.store, stack_of(1), &w.wait), STORE_READY);
	assert_true(is_named(1, "stored"));
	struct waiter v = waiter();
	assert_int_equal(store_need_record(a.store, stack_of(1), &v.wait), STORE_READY);
	assert_int_equal(store_need_record(a.store, stack_of(2), &v.wait), STORE_READY);
	done();
}

/* A renewal of the list that is under way has begun before: it is no answer. */
static void test_an_expired_record_does_not_wait_for_an_older_list(void **state)
{
	struct waiter w = waiter(), v = waiter();

	advance(TTL / 2);
	assert_int_equal(store_need_list(a.store, &w.wait), STORE_READY);
	advance(10);
	assert_int_equal(fake_account_tries(&a), 2);
	store_expire_record(a.store, stack_of(1));
	advance(1);
	assert_int_equal(store_need_record(a.store, stack_of(1), &v.wait), STORE_WAIT);
	assert_string_equal(fake_account_target(&a, 2), "/v1/stacks/600000000000000000000001");
	answer(1, 200, fake_two());
	assert_int_equal(v.woken, 0);
	answer(2, 200, fake_record(1, "stored", ""));
	assert_int_equal(v.woken, 1);
	assert_true(is_named(1, "stored"));
	done();
}

/* It makes the ttl longer, and of what nobody knows not the age counts. */
static void test_an_expired_record_stays_so_after_a_slow_list(void **state)
{
	struct waiter w = waiter(), v = waiter();

	advance(TTL / 2);
	assert_int_equal(store_need_list(a.store, &w.wait), STORE_READY);
	advance(1); /* it is asked for */
	store_expire_record(a.store, stack_of(1));
	advance(10000);
	answer(1, 200, fake_two());
	assert_int_equal(store_record_valid_ms(a.store, stack_of(1)), 0);
	assert_int_equal(store_need_record(a.store, stack_of(1), &v.wait), STORE_WAIT);
	answer(2, 200, fake_record(1, "stored", ""));
	assert_int_equal(v.woken, 1);
	assert_true(is_named(1, "stored"));
	done();
}

/* The same for the record's own GET, a 304 too. */
static void overtaken_get(int status, const char *body)
{
	struct waiter w = waiter();

	store_expire_record(a.store, stack_of(1));
	advance(10);
	assert_int_equal(store_need_record(a.store, stack_of(1), &w.wait), STORE_WAIT);
	size_t first = fake_account_tries(&a) - 1;
	advance(10);
	store_expire_record(a.store, stack_of(1));
	advance(10);
	answer(first, status, body);
	assert_int_equal(w.woken, 1);
	assert_int_equal(w.err, 0);
	assert_true(is_named(1, "one"));
	assert_int_equal(store_need_record(a.store, stack_of(1), &w.wait), STORE_WAIT);
	assert_int_equal(fake_account_tries(&a), first + 2);
	answer(first + 1, 200, fake_record(1, "stored", ""));
	assert_int_equal(w.woken, 2);
	assert_true(is_named(1, "stored"));
}

static void test_waiters_of_an_overtaken_record_ask_again(void **state)
{
	overtaken_get(200, fake_record(1, "older", ""));
	done();
}

static void test_an_overtaken_304_renews_nothing(void **state)
{
	struct waiter w = waiter();

	store_expire_record(a.store, stack_of(1));
	advance(10);
	assert_int_equal(store_need_record(a.store, stack_of(1), &w.wait), STORE_WAIT);
	monitor_leave(a.monitor);
	fake_account_etag(&a, 1, 200, fake_record(1, "one", ""), "\"v1\"");
	monitor_enter(a.monitor);
	overtaken_get(304, "");
	done();
}

static void test_a_failed_get_of_an_expired_record_shows_what_there_is(void **state)
{
	struct waiter w = waiter(), v = waiter();

	store_expire_record(a.store, stack_of(1));
	advance(1);
	assert_int_equal(store_need_record(a.store, stack_of(1), &w.wait), STORE_WAIT);
	monitor_leave(a.monitor);
	fake_account_fail(&a, 503);
	monitor_enter(a.monitor);
	assert_int_equal(w.woken, 1);
	assert_int_equal(w.err, 0);
	assert_int_equal(store_need_record(a.store, stack_of(1), &w.wait), STORE_READY);
	assert_true(store_record_stale(a.store, stack_of(1)));
	advance(6000);
	assert_int_equal(store_need_record(a.store, stack_of(1), &v.wait), STORE_WAIT);
	store_unwait(a.store, &v.wait);
	done();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_an_answer_is_taken_unless_a_newer_one_is_there),
		TEST(test_an_answer_renews),
		TEST(test_a_change_outlives_what_was_asked_before),
		TEST(test_a_change_may_follow_a_change_at_once),
		TEST(test_a_new_stack_survives_a_list_that_lacks_it),
		TEST(test_a_new_stack_that_a_list_knew_first),
		TEST(test_what_was_deleted_does_not_come_back_by_an_old_answer),
		TEST(test_what_was_deleted_can_be_restored),
		TEST(test_graves_are_kept_for_lists_that_began_before),
		TEST(test_a_dropped_part_is_forgotten),
		TEST(test_waiters_of_an_overtaken_part_ask_again),
		TEST(test_an_overtaken_404_is_no_absence),
		TEST(test_a_renewal_under_way_is_none_of_a_dropped_part),
		TEST(test_patience_does_not_end_for_a_dropped_part),
		TEST(test_a_part_that_nobody_has_asked_for_may_be_dropped),
		TEST(test_an_expired_record_is_asked_for),
		TEST(test_an_expired_record_does_not_wait_for_an_older_list),
		TEST(test_an_expired_record_stays_so_after_a_slow_list),
		TEST(test_waiters_of_an_overtaken_record_ask_again),
		TEST(test_an_overtaken_304_renews_nothing),
		TEST(test_a_failed_get_of_an_expired_record_shows_what_there_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
