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

#include "fake_account.h"
#include "store_counts.h"

#define TTL 30000
#define STALE 3600000

static struct store_counts seen;

/* Each test ends it itself, while those that still wait are in scope. */
static struct fake_account a;

static int setup_with(uint64_t ttl_ms, uint64_t stale_ms)
{
	const struct store_events events = store_counts_events(&seen);

	memset(&seen, 0, sizeof(seen));
	fake_account_init(&a, &events, ttl_ms, stale_ms);
	return 0;
}

static int setup(void **state)
{
	return setup_with(TTL, STALE);
}

static int setup_never_fresh(void **state)
{
	return setup_with(0, STALE);
}

static int need_list(struct waiter *w)
{
	monitor_enter(a.monitor);
	int r = store_need_list(a.store, &w->wait);
	monitor_leave(a.monitor);
	return r;
}

static struct stack *stack_of(unsigned id)
{
	return fake_account_stack(&a, id);
}

static int need_record(unsigned id, struct waiter *w)
{
	monitor_enter(a.monitor);
	int r = store_need_record(a.store, stack_of(id), &w->wait);
	monitor_leave(a.monitor);
	return r;
}

static int need_token(unsigned id, struct waiter *w)
{
	monitor_enter(a.monitor);
	int r = store_need_part(a.store, stack_of(id), STORE_TOKEN, &w->wait);
	monitor_leave(a.monitor);
	return r;
}

static int refresh(struct waiter *w)
{
	monitor_enter(a.monitor);
	int r = store_refresh(a.store, &w->wait);
	monitor_leave(a.monitor);
	return r;
}

static void list_two(void)
{
	fake_account_start(&a);
	fake_account_answer(&a, 0, 200,
			    fake_list(2, fake_record(1, "one", ""), fake_record(2, "two", "")));
	assert_int_equal(seen.added, 2);
}

/* Two pages, so that one old record is asked for by its id. */
static void list_two_pages(void)
{
	fake_account_start(&a);
	fake_account_page(&a, 0, fake_list(1, fake_record(1, "one", "")), "/v1/stacks?page=2");
	fake_account_answer(&a, 1, 200, fake_list(1, fake_record(2, "two", "")));
	assert_int_equal(seen.added, 2);
}

static void test_one_list_serves_all(void **state)
{
	struct waiter w[40];

	fake_account_start(&a);
	for (unsigned i = 0; i < 40; i++) {
		w[i] = waiter();
		assert_int_equal(need_list(&w[i]), STORE_WAIT);
	}
	fake_account_answer(&a, 0, 200, fake_list(1, fake_record(1, "one", "")));
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(w[i].woken, 1);
	struct waiter later = waiter();
	assert_int_equal(need_list(&later), STORE_READY);
	assert_int_equal(need_record(1, &later), STORE_READY);
	assert_int_equal(fake_account_tries(&a), 1);
	fake_account_done(&a);
}

static void test_second_half_renews_in_the_background(void **state)
{
	list_two();
	fake_account_advance(&a, TTL / 2);
	for (unsigned i = 0; i < 3; i++) {
		struct waiter w = waiter();
		assert_int_equal(need_list(&w), STORE_READY);
		assert_int_equal(need_record(2, &w), STORE_READY);
	}
	assert_int_equal(fake_account_tries(&a), 2);
	fake_account_done(&a);
}

static void test_renewal_in_time_lets_the_old_stand(void **state)
{
	struct waiter w = waiter();

	list_two();
	fake_account_advance(&a, TTL - 1000);
	assert_int_equal(need_list(&w), STORE_READY);
	fake_account_advance(&a, 5000); /* past the ttl, the renewal still under way */
	struct waiter late = waiter();
	assert_int_equal(need_list(&late), STORE_READY);
	assert_int_equal(fake_account_tries(&a), 2);
	fake_account_done(&a);
}

static void test_old_waits(void **state)
{
	struct waiter w = waiter();

	list_two();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(&w), STORE_WAIT);
	assert_int_equal(fake_account_tries(&a), 2);
	fake_account_answer(&a, 1, 200,
			    fake_list(2, fake_record(1, "one", ""), fake_record(2, "new", "")));
	assert_int_equal(w.woken, 1);
	assert_int_equal(w.err, 0);
	assert_int_equal(seen.changed, 1);
	assert_int_equal(need_list(&w), STORE_READY);
	fake_account_done(&a);
}

static void test_equal_text_is_the_same_version(void **state)
{
	struct waiter w = waiter();

	list_two();
	const struct record *before = stack_of(1)->record;
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(&w), STORE_WAIT);
	fake_account_answer(&a, 1, 200,
			    fake_list(2, fake_record(1, "one", ""), fake_record(2, "two", "")));
	assert_ptr_equal(stack_of(1)->record, before);
	assert_int_equal(seen.changed, 0);
	fake_account_done(&a);
}

static void test_one_old_record_is_one_request(void **state)
{
	struct waiter w = waiter(), second = waiter();

	list_two_pages();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_record(2, &w), STORE_WAIT);
	assert_int_equal(fake_account_tries(&a), 3);
	assert_string_equal(fake_account_target(&a, 2), "/v1/stacks/600000000000000000000002");

	/* A second one within a second: the list. */
	assert_int_equal(need_record(1, &second), STORE_WAIT);
	assert_int_equal(fake_account_tries(&a), 4);
	assert_string_equal(fake_account_target(&a, 3), "/v1/stacks");

	fake_account_answer(&a, 2, 200, fake_record(2, "renamed", ""));
	assert_int_equal(w.woken, 1);
	assert_int_equal(seen.changed, 1);
	assert_int_equal(second.woken, 0);
	fake_account_done(&a);
}

static void test_list_of_one_page_is_asked_whole(void **state)
{
	struct waiter w = waiter();

	list_two();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_record(1, &w), STORE_WAIT);
	assert_string_equal(fake_account_target(&a, 1), "/v1/stacks");
	fake_account_done(&a);
}

static void test_record_404_is_gone(void **state)
{
	struct waiter w = waiter();

	list_two_pages();
	struct stack *stack = stack_ref(stack_of(2));
	fake_account_advance(&a, TTL);
	assert_int_equal(need_record(2, &w), STORE_WAIT);
	fake_account_answer(&a, 2, 404, "{\"errors\":[{\"message\":\"no\"}]}");
	assert_int_equal(w.woken, 1);
	assert_int_equal(seen.gone, 1);
	assert_true(stack->gone);
	monitor_enter(a.monitor);
	assert_int_equal(store_need_record(a.store, stack, &w.wait), -ENOENT);
	stack_unref(stack);
	monitor_leave(a.monitor);
	fake_account_done(&a);
}

static void old_list_lacks_one(struct waiter *w)
{
	list_two();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(w), STORE_WAIT);
	fake_account_answer(&a, 1, 200, fake_list(1, fake_record(1, "one", "")));
	assert_int_equal(w->woken, 0);
	assert_int_equal(fake_account_tries(&a), 3);
	assert_string_equal(fake_account_target(&a, 2), "/v1/stacks/600000000000000000000002");
}

static void test_missing_one_is_gone_when_its_own_get_says_so(void **state)
{
	struct waiter w = waiter();

	old_list_lacks_one(&w);
	fake_account_answer(&a, 2, 404, "{\"errors\":[{\"message\":\"no\"}]}");
	assert_int_equal(w.woken, 1);
	assert_int_equal(w.err, 0);
	assert_int_equal(seen.gone, 1);
	assert_null(stack_of(2));
	fake_account_done(&a);
}

static void test_missing_one_that_lives_makes_the_list_an_error(void **state)
{
	struct waiter w = waiter();

	old_list_lacks_one(&w);
	fake_account_answer(&a, 2, 200, fake_record(2, "two", ""));
	assert_int_equal(w.woken, 0); /* the chain is run once more */
	assert_int_equal(fake_account_tries(&a), 4);
	fake_account_answer(&a, 3, 200, fake_list(1, fake_record(1, "one", "")));
	/* The record just asked for began after this chain did, or at once with
	 * it: it is not missed for being newer. */
	fake_account_advance(&a, 0);
	assert_int_equal(seen.gone, 0);
	assert_non_null(stack_of(2));
	fake_account_done(&a);
}

static void test_drifted_pages_settle(void **state)
{
	struct waiter w = waiter();

	old_list_lacks_one(&w);
	fake_account_answer(&a, 2, 200, fake_record(2, "two", ""));
	fake_account_answer(&a, 3, 200,
			    fake_list(2, fake_record(1, "one", ""), fake_record(2, "two", "")));
	assert_int_equal(w.woken, 1);
	assert_int_equal(w.err, 0);
	fake_account_done(&a);
}

static void test_204_does_not_empty_the_account(void **state)
{
	struct waiter w = waiter();

	list_two();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(&w), STORE_WAIT);
	fake_account_answer(&a, 1, 204, "");
	assert_int_equal(fake_account_tries(&a), 4); /* both are asked */
	fake_account_answer(&a, 2, 200, fake_record(1, "one", ""));
	fake_account_answer(&a, 3, 200, fake_record(2, "two", ""));
	fake_account_advance(&a, 1);
	assert_int_equal(seen.gone, 0);
	fake_account_done(&a);
}

#define MANY 10 /* more than are asked about */

/* The first n of MANY stacks, and the last one. */
static const char *list_first_and_last(unsigned n)
{
	static char text[4096];
	size_t at = (size_t)snprintf(text, sizeof(text), "[%s", fake_record(MANY, "last", ""));

	for (unsigned i = 1; i <= n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, ",%s",
				       fake_record(i, "other", ""));
	snprintf(text + at, sizeof(text) - at, "]");
	return text;
}

/* While somebody deletes many, pages drift too: those who are asked have been
 * deleted, and one who is not has only slipped through. */
static void test_one_that_slips_among_many_gone_does_not_vanish(void **state)
{
	const char *last = fake_list(1, fake_record(MANY, "last", ""));
	struct waiter w = waiter();

	fake_account_start(&a);
	fake_account_answer(&a, 0, 200, list_first_and_last(MANY - 1));
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(&w), STORE_WAIT);
	fake_account_answer(&a, 1, 200, "[]");
	/* The chain is run once more before anybody is asked about. */
	assert_int_equal(fake_account_tries(&a), 3);
	assert_string_equal(fake_account_target(&a, 2), "/v1/stacks");
	fake_account_answer(&a, 2, 200, last);
	assert_int_equal(fake_account_tries(&a), 3 + 8);
	for (size_t i = 3; i < 3 + 8; i++)
		fake_account_answer(&a, i, 404, "");
	assert_int_equal(w.woken, 1);
	assert_int_equal(w.err, 0);
	assert_int_equal(seen.gone, MANY - 1);
	assert_non_null(stack_of(MANY));
	fake_account_done(&a);
}

/* What the first of two such chains had is asked about before all else. */
static void test_one_that_slips_from_the_second_chain_does_not_vanish(void **state)
{
	struct waiter w = waiter();
	char target[64];

	fake_account_start(&a);
	fake_account_answer(&a, 0, 200, list_first_and_last(MANY - 1));
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(&w), STORE_WAIT);
	fake_account_answer(&a, 1, 200, fake_list(1, fake_record(MANY, "last", "")));
	fake_account_answer(&a, 2, 200, "[]");
	assert_int_equal(fake_account_tries(&a), 3 + 8);
	snprintf(target, sizeof(target), "/v1/stacks/6%023x", MANY);
	assert_string_equal(fake_account_target(&a, 3), target);
	fake_account_answer(&a, 3, 200, fake_record(MANY, "last", ""));
	for (size_t i = 4; i < 3 + 8; i++)
		fake_account_answer(&a, i, 404, "");
	assert_int_equal(w.woken, 1); /* the list is an error, and the old one is shown */
	assert_int_equal(seen.gone, 0);
	assert_non_null(stack_of(MANY));
	fake_account_done(&a);
}

static void test_overtaken_answer_is_dropped(void **state)
{
	struct waiter w = waiter(), v = waiter();

	list_two_pages();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_record(1, &w), STORE_WAIT);
	assert_int_equal(fake_account_tries(&a), 3); /* try 2 begins first */
	fake_account_advance(&a, 100);
	assert_int_equal(need_list(&v), STORE_WAIT); /* try 3 begins later, ends first */
	fake_account_page(&a, 3, fake_list(1, fake_record(1, "newer", "")), "/v1/stacks?page=2");
	fake_account_answer(&a, 4, 200, fake_list(1, fake_record(2, "two", "")));
	assert_memory_equal(stack_of(1)->record->name, "newer", 6);
	fake_account_answer(&a, 2, 200, fake_record(1, "older", ""));
	assert_memory_equal(stack_of(1)->record->name, "newer", 6);
	assert_int_equal(w.woken, 1);
	fake_account_done(&a);
}

/* A list asked for first, in the same millisecond, that comes last. */
static void test_of_one_millisecond_the_later_asked_for_counts(void **state)
{
	struct waiter w = waiter(), v = waiter();

	list_two_pages();
	fake_account_advance(&a, TTL);
	assert_int_equal(refresh(&v), STORE_WAIT);
	assert_int_equal(need_record(1, &w), STORE_WAIT);
	fake_account_answer(&a, 3, 200, fake_record(1, "newer", ""));
	assert_int_equal(w.woken, 1);
	fake_account_page(&a, 2, fake_list(1, fake_record(1, "older", "")), "/v1/stacks?page=2");
	fake_account_answer(&a, 4, 200, fake_list(1, fake_record(2, "two", "")));
	assert_int_equal(v.woken, 1);
	assert_memory_equal(stack_of(1)->record->name, "newer", 6);
	fake_account_done(&a);
}

static void test_token_is_one_request_for_all(void **state)
{
	struct waiter w[40];

	list_two();
	for (unsigned i = 0; i < 40; i++) {
		w[i] = waiter();
		assert_int_equal(need_token(1, &w[i]), STORE_WAIT);
	}
	assert_int_equal(fake_account_tries(&a), 2);
	fake_account_answer(&a, 1, 200, "{\"systemToken\":\"abc\"}");
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(w[i].woken, 1);
	assert_string_equal(blob_bytes(store_part_blob(stack_of(1), STORE_TOKEN)), "abc\n");
	fake_account_done(&a);
}

static void test_token_404_is_absence_and_500_is_not(void **state)
{
	struct waiter w = waiter(), v = waiter();

	list_two();
	assert_int_equal(need_token(1, &w), STORE_WAIT);
	fake_account_answer(&a, 1, 404, "");
	assert_int_equal(w.err, 0);
	assert_int_equal(need_token(1, &w), STORE_READY);
	assert_null(store_part_blob(stack_of(1), STORE_TOKEN));

	assert_int_equal(need_token(2, &v), STORE_WAIT);
	fake_account_fail(&a, 500);
	assert_int_equal(v.woken, 1);
	assert_int_equal(v.err, -EIO);
	struct waiter again = waiter();
	assert_int_equal(need_token(2, &again), STORE_WAIT);
	fake_account_done(&a);
}

static void test_changed_token_is_told(void **state)
{
	struct waiter w = waiter(), v = waiter();

	list_two();
	assert_int_equal(need_token(1, &w), STORE_WAIT);
	fake_account_answer(&a, 1, 200, "{\"systemToken\":\"abc\"}");
	uint32_t before = store_part_hash(stack_of(1), STORE_TOKEN);
	fake_account_advance(&a, TTL);
	assert_int_equal(need_token(1, &v), STORE_WAIT);
	fake_account_answer(&a, 2, 200, "{\"systemToken\":\"abd\"}");
	assert_int_equal(seen.part_changed, 1);
	assert_int_not_equal(store_part_hash(stack_of(1), STORE_TOKEN), before);
	fake_account_done(&a);
}

#define BIG_BYTES (1000u * 1000)
#define N_BIG (STORE_PARTS_MAX_BYTES / BIG_BYTES + 2)

static unsigned n_evicted;

static bool evicted_but_the_first(void *arg, struct stack *stack, enum store_part part)
{
	n_evicted++;
	return stack != stack_of(1);
}

static void list_many(unsigned n)
{
	size_t size = 200 * (size_t)n, at = 1;
	char *text = malloc(size);

	assert_non_null(text);
	text[0] = '[';
	for (unsigned i = 1; i <= n; i++)
		at += (size_t)snprintf(text + at, size - at, "%s%s", i > 1 ? "," : "",
				       fake_record(i, "name", ""));
	snprintf(text + at, size - at, "]");
	fake_account_start(&a);
	fake_account_answer(&a, 0, 200, text);
	free(text);
}

/* Whether they had to be asked for. */
static bool asks_for_dependencies(unsigned id, const char *answer)
{
	size_t tries = fake_account_tries(&a);
	struct waiter w = waiter();

	monitor_enter(a.monitor);
	int r = store_need_part(a.store, stack_of(id), STORE_DEPENDENCIES, &w.wait);
	monitor_leave(a.monitor);
	if (r == STORE_READY)
		return false;
	assert_int_equal(r, STORE_WAIT);
	fake_account_answer(&a, tries, 200, answer);
	assert_int_equal(w.woken, 1);
	return true;
}

/* The server says how long they are: what was not used for longest makes room, but for
 * what is in use. */
static void test_parts_have_a_bound_in_bytes(void **state)
{
	struct store_events events = store_counts_events(&seen);
	char *big = fake_document(BIG_BYTES);

	n_evicted = 0;
	events.part_evicted = evicted_but_the_first;
	memset(&seen, 0, sizeof(seen));
	fake_account_init(&a, &events, TTL, STALE);
	list_many(N_BIG);
	for (unsigned i = 1; i < N_BIG - 1; i++)
		assert_true(asks_for_dependencies(i, big));
	assert_int_equal(n_evicted, 0);
	assert_false(asks_for_dependencies(2, big)); /* used again, and so not the next to go */
	assert_true(asks_for_dependencies(N_BIG - 1, big));
	assert_true(asks_for_dependencies(N_BIG, big));
	assert_int_equal(n_evicted, 4); /* two of them in vain */
	assert_int_equal(seen.part_changed, 0);
	assert_false(asks_for_dependencies(1, big));
	assert_false(asks_for_dependencies(2, big));
	assert_false(asks_for_dependencies(N_BIG, big));
	assert_true(asks_for_dependencies(3, big));
	free(big);
	fake_account_done(&a);
}

/* A page of a list that is under way may have been read before it was deleted. */
static void test_what_its_own_get_says_is_gone_does_not_come_back(void **state)
{
	struct waiter w = waiter(), v = waiter();

	list_two_pages();
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(&v), STORE_WAIT);
	size_t list = fake_account_tries(&a) - 1;
	assert_int_equal(need_record(1, &w), STORE_WAIT);
	fake_account_answer(&a, list + 1, 404, "");
	assert_null(stack_of(1));
	fake_account_answer(&a, list, 200,
			    fake_list(2, fake_record(1, "one", ""), fake_record(2, "two", "")));
	assert_int_equal(v.woken, 1);
	assert_null(stack_of(1));
	fake_account_done(&a);
}

static void test_refresh_wants_a_list_that_begins_after_it(void **state)
{
	struct waiter w = waiter(), r = waiter(), t = waiter();
	const char *list = fake_list(2, fake_record(1, "one", ""), fake_record(2, "two", ""));

	list_two();
	assert_int_equal(need_token(1, &t), STORE_WAIT);
	fake_account_answer(&a, 1, 200, "{\"systemToken\":\"abc\"}");
	fake_account_advance(&a, TTL / 2);
	assert_int_equal(need_list(&w), STORE_READY); /* begins try 2 */
	fake_account_advance(&a, 10);
	assert_int_equal(refresh(&r), STORE_WAIT);
	fake_account_answer(&a, 2, 200, list);
	assert_int_equal(r.woken, 0);
	assert_int_equal(fake_account_tries(&a), 4);
	fake_account_answer(&a, 3, 200, list);
	assert_int_equal(r.woken, 1);
	assert_int_equal(r.err, 0);
	assert_int_equal(refresh(&r), STORE_READY);

	/* What was fetched before is asked again when it is used. */
	struct waiter after = waiter();
	assert_int_equal(need_token(1, &after), STORE_WAIT);
	assert_int_equal(fake_account_tries(&a), 5);
	fake_account_done(&a);
}

/* The clock's milliseconds do not tell which of two requests began first. */
static void test_refresh_within_a_millisecond(void **state)
{
	struct waiter t = waiter(), r = waiter(), after = waiter(), again = waiter();
	const char *list = fake_list(2, fake_record(1, "one", ""), fake_record(2, "two", ""));

	list_two();
	assert_int_equal(need_token(1, &t), STORE_WAIT);
	fake_account_answer(&a, 1, 200, "{\"systemToken\":\"abc\"}");
	assert_int_equal(refresh(&r), STORE_WAIT);
	fake_account_answer(&a, 2, 200, list);
	assert_int_equal(r.woken, 1);
	assert_false(store_part_known(a.store, stack_of(1), STORE_TOKEN));
	assert_int_equal(store_part_valid_ms(a.store, stack_of(1), STORE_TOKEN), 0);
	assert_int_equal(need_token(1, &after), STORE_WAIT);
	fake_account_answer(&a, 3, 200, "{\"systemToken\":\"abd\"}");
	assert_int_equal(need_token(1, &again), STORE_READY);
	assert_int_equal(fake_account_tries(&a), 4);
	fake_account_done(&a);
}

/* A renewal that was begun before a refresh says nothing after it. */
static void test_refresh_overtakes_a_renewal(void **state)
{
	struct waiter t = waiter(), r = waiter(), after = waiter();
	const char *list = fake_list(2, fake_record(1, "one", ""), fake_record(2, "two", ""));

	list_two();
	assert_int_equal(need_token(1, &t), STORE_WAIT);
	fake_account_answer(&a, 1, 200, "{\"systemToken\":\"abc\"}");
	fake_account_advance(&a, TTL / 2);
	t = waiter();
	assert_int_equal(need_token(1, &t), STORE_READY); /* begins try 2 */
	fake_account_advance(&a, 10);
	assert_int_equal(refresh(&r), STORE_WAIT);
	fake_account_answer(&a, 3, 200, list);
	assert_int_equal(r.woken, 1);
	assert_int_equal(need_token(1, &after), STORE_WAIT);
	fake_account_done(&a);
}

static void test_failed_refresh_says_so_and_keeps_all(void **state)
{
	struct waiter r = waiter(), t = waiter(), w = waiter();

	list_two();
	assert_int_equal(need_token(1, &t), STORE_WAIT);
	fake_account_answer(&a, 1, 200, "{\"systemToken\":\"abc\"}");
	assert_int_equal(refresh(&r), STORE_WAIT);
	fake_account_advance(&a, 3000); /* no patience for an old answer here */
	assert_int_equal(r.woken, 0);
	fake_account_fail(&a, 503);
	assert_int_equal(r.woken, 1);
	assert_int_equal(r.err, -EIO);
	assert_int_equal(need_list(&w), STORE_READY);
	assert_int_equal(need_token(1, &w), STORE_READY);
	fake_account_done(&a);
}

static void test_etag_renews(void **state)
{
	struct waiter w = waiter();
	const char *first = "[{\"_id\":\"000000000000000000000001\",\"name\":\"one\"},"
			    "{\"_id\":\"000000000000000000000002\",\"name\":\"two\"}]";
	const char *last = "[{\"_id\":\"000000000000000000000003\",\"name\":\"three\"}]";

	fake_account_start(&a);
	fake_account_page(&a, 0, first, "/v1/stacks?page=2");
	fake_account_etag(&a, 1, 200, last, "\"v1\"");
	fake_account_advance(&a, TTL);
	assert_int_equal(need_list(&w), STORE_WAIT);
	fake_account_page(&a, 2, first, "/v1/stacks?page=2");
	assert_int_equal(fake_account_tries(&a), 4);
	assert_string_equal(fake_transport_try(a.transport, 3)->request.if_none_match, "\"v1\"");
	fake_account_answer(&a, 3, 304, "");
	assert_int_equal(w.woken, 1);
	assert_int_equal(w.err, 0);
	struct waiter v = waiter();
	assert_int_equal(need_list(&v), STORE_READY);
	assert_int_equal(seen.changed + seen.gone, 0);
	fake_account_done(&a);
}

static void test_ttl_0_asks_once_for_each_operation(void **state)
{
	struct waiter w = waiter();

	fake_account_start(&a);
	fake_account_answer(&a, 0, 200, fake_list(1, fake_record(1, "one", "")));
	fake_account_advance(&a, 1);
	assert_int_equal(need_list(&w), STORE_WAIT);
	fake_account_answer(&a, 1, 200, fake_list(1, fake_record(1, "one", "")));
	assert_int_equal(w.woken, 1);
	fake_account_advance(&a, 1);
	/* The same operation goes on with what it has waited for. */
	assert_int_equal(need_list(&w), STORE_READY);
	assert_int_equal(need_record(1, &w), STORE_READY);
	assert_int_equal(fake_account_tries(&a), 2);
	fake_account_done(&a);
}

static void test_unwait(void **state)
{
	struct waiter w = waiter();

	list_two();
	assert_int_equal(need_token(1, &w), STORE_WAIT);
	monitor_enter(a.monitor);
	store_unwait(a.store, &w.wait);
	monitor_leave(a.monitor);
	fake_account_answer(&a, 1, 200, "{\"systemToken\":\"abc\"}");
	assert_int_equal(w.woken, 0);
	assert_int_equal(need_token(1, &w), STORE_READY); /* it was not for nothing */
	fake_account_done(&a);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_list_serves_all),
		TEST(test_second_half_renews_in_the_background),
		TEST(test_renewal_in_time_lets_the_old_stand),
		TEST(test_old_waits),
		TEST(test_equal_text_is_the_same_version),
		TEST(test_one_old_record_is_one_request),
		TEST(test_list_of_one_page_is_asked_whole),
		TEST(test_record_404_is_gone),
		TEST(test_missing_one_is_gone_when_its_own_get_says_so),
		TEST(test_missing_one_that_lives_makes_the_list_an_error),
		TEST(test_drifted_pages_settle),
		TEST(test_204_does_not_empty_the_account),
		TEST(test_one_that_slips_among_many_gone_does_not_vanish),
		TEST(test_one_that_slips_from_the_second_chain_does_not_vanish),
		TEST(test_overtaken_answer_is_dropped),
		TEST(test_of_one_millisecond_the_later_asked_for_counts),
		TEST(test_token_is_one_request_for_all),
		TEST(test_token_404_is_absence_and_500_is_not),
		TEST(test_changed_token_is_told),
		TEST(test_what_its_own_get_says_is_gone_does_not_come_back),
		TEST(test_refresh_wants_a_list_that_begins_after_it),
		TEST(test_refresh_within_a_millisecond),
		TEST(test_refresh_overtakes_a_renewal),
		TEST(test_failed_refresh_says_so_and_keeps_all),
		TEST(test_etag_renews),
		cmocka_unit_test_setup(test_ttl_0_asks_once_for_each_operation,
				       setup_never_fresh),
		TEST(test_unwait),
		cmocka_unit_test(test_parts_have_a_bound_in_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
