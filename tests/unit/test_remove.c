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

#include "archive_world.h"
#include "change_world.h"
#include "draft/remove.h"

#define STACK        "/v1/stacks/600000000000000000000001"
#define DEPENDENCIES STACK "/dependencies"
#define TOKEN        STACK "/systemToken"
#define OLD_TOKEN    "{\"systemToken\":\"old-canary\"}"
#define NEW_TOKEN    "{\"systemToken\":\"new-canary\"}"

static struct ended end;
static struct stack *stack; /* the first; holds a reference */

static void take_stack(void)
{
	memset(&end, 0, sizeof(end));
	monitor_enter(cw.account.monitor);
	stack = stack_ref(cw_stack(1));
	monitor_leave(cw.account.monitor);
}

static int setup(void **state)
{
	change_world_setup(state);
	take_stack();
	return 0;
}

static int teardown(void **state)
{
	stack_unref(stack);
	return change_world_teardown(state);
}

/* With a state directory. */
static int setup_disk(void **state)
{
	int r = archive_world_setup(state);

	if (r < 0)
		return r;
	change_world_begin(aw.state);
	take_stack();
	return 0;
}

static int teardown_disk(void **state)
{
	teardown(state);
	return archive_world_teardown(state);
}

static void remove_it(void)
{
	monitor_enter(cw.account.monitor);
	remove_stack(&cw.changes, stack, cw_ended, &end);
	monitor_leave(cw.account.monitor);
}

static void rotate(void)
{
	monitor_enter(cw.account.monitor);
	remove_token(&cw.changes, stack, cw_ended, &end);
	monitor_leave(cw.account.monitor);
}

static void expect(unsigned times, int err, bool sent, bool unsettled)
{
	assert_int_equal(end.times, times);
	if (end.result.err != err)
		fail_msg("%d: %s", end.result.err, end.result.error.message);
	assert_int_equal(end.result.sent, sent);
	assert_int_equal(end.result.unsettled, unsettled);
	assert_int_equal(cw.changes.running, 0);
	assert_null(end.result.stack);
	assert_false(end.result.conflict);
}

static void expect_said(const char *words)
{
	if (!strstr(end.result.error.message, words))
		fail_msg("%s: not in: %s", words, end.result.error.message);
}

/* ---- a stack ---- */

/* Up to the DELETE, which is try 2. */
static void begin_delete(void)
{
	remove_it();
	assert_true(cw_asks(1, HTTP_GET, DEPENDENCIES));
	cw_answer(1, 200, "{}");
	assert_int_equal(end.times, 0);
	assert_true(cw_asks(2, HTTP_DELETE, STACK));
}

static void test_a_stack_is_deleted(void **state)
{
	begin_delete();
	assert_int_equal(cw.changes.running, 1);
	cw_answer(2, 204, "");
	expect(1, 0, true, false);
	assert_true(stack->gone);
	assert_null(cw_stack(1));
	assert_non_null(cw_stack(2));
	assert_int_equal(cw_tries(), 3);
}

static void test_its_text_is_in_history(void **state)
{
	const struct record *record = stack->record;

	begin_delete();
	cw_answer(2, 204, "");
	expect(1, 0, true, false);
	assert_int_equal(archive_flush(cw.changes.archive, WAIT), 0);
	assert_true(stats_are(cw.changes.archive, 1, 0, 0, 0));
	assert_int_equal(entries_in(path_of("state/history/one")), 1);
	assert_true(
		has_content(path_of("state/history/one/20231114T221321.000Z.json"), record->text));
}

static void test_dependents_are_asked_for_afresh(void **state)
{
	struct store_wait wait = { 0 };

	monitor_enter(cw.account.monitor);
	assert_int_equal(store_need_part(cw.account.store, stack, STORE_DEPENDENCIES, &wait),
			 STORE_WAIT);
	store_unwait(cw.account.store, &wait);
	monitor_leave(cw.account.monitor);
	cw_answer(1, 200, "{}");
	remove_it();
	assert_true(cw_asks(2, HTTP_GET, DEPENDENCIES));
	assert_null(cw_request(2)->if_none_match);
	cw_answer(2, 200, "{\"flows\":[{\"id\":\"1\",\"name\":\"Orders\"}]}");
	expect(1, -EBUSY, false, false);
	assert_string_equal(end.result.error.message,
			    "in use by flows \"Orders\"; -o delete_in_use deletes it all the same");
	assert_false(stack->gone);
	assert_int_equal(cw_tries(), 3);
}

static void refused_by(const char *dependents, const char *words)
{
	unsigned times = end.times;
	size_t n = cw_tries();

	remove_it();
	cw_answer(n, 200, dependents);
	expect(times + 1, -EBUSY, false, false);
	expect_said(words);
	expect_said("-o delete_in_use deletes it all the same");
	assert_int_equal(cw_tries(), n + 1);
}

static void test_dependents_are_named_as_far_as_they_fit(void **state)
{
	static char many[65536];
	size_t at = 0;

	refused_by("{\"imports\":[],\"flows\":[{\"name\":\"a\"},{\"name\":\"b\"}],"
		   "\"hooks\":[{\"name\":\"c\\nd\\u0000e\"},{\"id\":7}]}",
		   "in use by flows \"a\", flows \"b\", hooks \"c d e\", hooks \"?\";");
	at += (size_t)snprintf(many, sizeof(many), "{\"flows\":[{\"name\":\"first\"}");
	for (unsigned i = 0; i < 500; i++)
		at += (size_t)snprintf(
			many + at, sizeof(many) - at,
			",{\"name\":\"Flow with a name that is rather long, no %u\"}", i);
	snprintf(many + at, sizeof(many) - at, "]}");
	refused_by(many, "in use by flows \"first\", flows \"Flow with");
	expect_said("and 498 more;");
}

static void test_what_is_no_clear_none_refuses(void **state)
{
	refused_by("{\"flows\":5}", "it is not clear that nothing depends on it");
	refused_by("{\"flows\":[1]}", "in use by flows \"?\"");
	refused_by("{\"flows\":{}}", "not clear");

	remove_it();
	cw_answer(4, 200, "[]");
	expect(4, -EIO, false, false);
	remove_it();
	cw_answer(5, 401, "{\"message\":\"Unauthorized\"}");
	expect(5, -EACCES, false, false);
	assert_string_equal(end.result.error.message, "Unauthorized");
	remove_it();
	cw_answer(6, 204, "");
	expect(6, -EIO, false, false);
	assert_false(stack->gone);
	assert_int_equal(cw_tries(), 7);
}

static void test_delete_in_use_does_not_ask(void **state)
{
	cw.changes.delete_in_use = true;
	remove_it();
	assert_true(cw_asks(1, HTTP_DELETE, STACK));
	cw_answer(1, 204, "");
	expect(1, 0, true, false);
	assert_true(stack->gone);
}

static void test_dry_run_asks_and_sends_nothing(void **state)
{
	cw.changes.dry_run = true;
	remove_it();
	cw_answer(1, 200, "{}");
	expect(1, -EROFS, false, false);
	assert_string_equal(end.would_send, "DELETE " STACK);
	remove_it();
	cw_answer(2, 200, "{\"flows\":[{\"name\":\"a\"}]}");
	expect(2, -EBUSY, false, false);
	rotate();
	expect(3, -EROFS, false, false);
	assert_string_equal(end.would_send, "DELETE " TOKEN);
	assert_int_equal(cw_tries(), 3);
	assert_false(stack->gone);
}

static void test_a_refused_delete_keeps_the_stack(void **state)
{
	begin_delete();
	cw_answer(2, 403, "{\"errors\":[{\"message\":\"not yours\"}]}");
	expect(1, -EPERM, true, false);
	assert_string_equal(end.result.error.message, "not yours");
	assert_false(stack->gone);
	assert_ptr_equal(cw_stack(1), stack);
}

static void test_what_was_gone_before_is_no_success(void **state)
{
	begin_delete();
	cw_answer(2, 404, "{}");
	expect(1, -ENOENT, true, false);
	assert_true(stack->gone);

	remove_it();
	expect(2, -ENOENT, false, false);
	rotate();
	expect(3, -ENOENT, false, false);
	assert_int_equal(cw_tries(), 3);
}

static void test_what_went_while_dependents_were_asked_for(void **state)
{
	remove_it();
	assert_int_equal(cw_tries(), 2);
	monitor_enter(cw.account.monitor);
	store_take_gone(cw.account.store, stack);
	monitor_leave(cw.account.monitor);
	cw_answer(1, 200, "{}");
	expect(1, -ENOENT, false, false);
	assert_int_equal(cw_tries(), 2);
}

static void test_a_repeated_delete_that_finds_nothing_has_succeeded(void **state)
{
	begin_delete();
	cw_answer(2, 503, "");
	cw_advance(5000);
	assert_true(cw_asks(3, HTTP_DELETE, STACK));
	cw_answer(3, 404, "{}");
	expect(1, 0, true, false);
	assert_true(stack->gone);
	assert_int_equal(cw_tries(), 4);
}

/* Every try of the DELETE is lost; the next try is the record's GET. */
static size_t lose_delete(void)
{
	begin_delete();
	for (size_t i = 2;; i++) {
		if (!cw_asks(i, HTTP_DELETE, STACK))
			return i;
		cw_answer(i, 502, "{\"errors\":[{\"message\":\"bad gateway\"}]}");
		if (cw_tries() == i + 1)
			cw_advance(2500);
	}
}

static void test_a_lost_delete_is_settled_by_reading(void **state)
{
	size_t i = lose_delete();

	assert_true(cw_asks(i, HTTP_GET, STACK));
	assert_true(cw_request(i)->timeout_ms < CHANGE_TIMEOUT_MS);
	cw_answer(i, 404, "{}");
	expect(1, 0, true, false);
	assert_true(stack->gone);
}

static void test_a_lost_delete_of_what_is_there_has_failed(void **state)
{
	size_t i = lose_delete();

	cw_answer(i, 200, fake_record(1, "renamed", ""));
	expect(1, -EIO, true, false);
	assert_string_equal(end.result.error.message, "bad gateway");
	assert_int_equal(end.result.error.status, 502);
	assert_false(stack->gone);
	assert_string_equal(tree_dir(stack)->name, "renamed");
}

static void test_a_lost_delete_that_cannot_be_settled(void **state)
{
	struct store_wait wait = { 0 };
	size_t i = lose_delete();

	cw_answer(i, 401, "{\"message\":\"Unauthorized\"}");
	expect(1, -ETIMEDOUT, true, true);
	assert_string_equal(end.result.error.message, "may have been deleted: bad gateway");
	assert_false(stack->gone);
	/* The next access asks. */
	cw_advance(1);
	monitor_enter(cw.account.monitor);
	assert_int_equal(store_need_record(cw.account.store, stack, &wait), STORE_WAIT);
	store_unwait(cw.account.store, &wait);
	monitor_leave(cw.account.monitor);
	assert_true(cw_asks(i + 1, HTTP_GET, STACK));
}

static void test_all_of_it_ends_in_time(void **state)
{
	remove_it();
	assert_int_equal(cw_request(1)->timeout_ms, CHANGE_TIMEOUT_MS);
	cw_advance(20000);
	cw_answer(1, 200, "{}");
	assert_int_equal(cw_request(2)->timeout_ms, 10000);
	cw_advance(10000);
	expect(1, -ETIMEDOUT, true, true);
	assert_int_equal(cw_tries(), 3);

	remove_it();
	assert_int_equal(cw_tries(), 4);
	cw_advance(CHANGE_TIMEOUT_MS);
	expect(2, -ETIMEDOUT, false, false);
	assert_int_equal(cw_tries(), 4);
}

static void test_shutdown_while_asking(void **state)
{
	remove_it();
	assert_int_equal(cw_tries(), 2);
	change_world_end_http();
	expect(1, -ECANCELED, false, false);
}

static void test_shutdown_while_deleting(void **state)
{
	begin_delete();
	change_world_end_http();
	expect(1, -ETIMEDOUT, true, true);
}

/* ---- a token ---- */

static void know_token(void)
{
	struct store_wait wait = { 0 };

	monitor_enter(cw.account.monitor);
	assert_int_equal(store_need_part(cw.account.store, stack, STORE_TOKEN, &wait), STORE_WAIT);
	store_unwait(cw.account.store, &wait);
	monitor_leave(cw.account.monitor);
	cw_answer(1, 200, OLD_TOKEN);
	assert_true(store_part_known(cw.account.store, stack, STORE_TOKEN));
}

/* The rotation is try 2, after the token was read. */
static void begin_rotation(void)
{
	know_token();
	rotate();
	assert_true(cw_asks(2, HTTP_DELETE, TOKEN));
	assert_int_equal(cw_request(2)->timeout_ms, CHANGE_TIMEOUT_MS);
	assert_int_equal(end.times, 0);
}

static bool token_is_known(void)
{
	return store_part_known(cw.account.store, stack, STORE_TOKEN) ||
	       store_part_blob(stack, STORE_TOKEN);
}

static void test_a_token_is_rotated(void **state)
{
	begin_rotation();
	cw_answer(2, 204, "");
	expect(1, 0, true, false);
	assert_false(token_is_known());
	assert_int_equal(cw.part_changed, 1);
	assert_int_equal(cw_tries(), 3);
}

static void test_only_a_204_is_a_rotation(void **state)
{
	begin_rotation();
	cw_answer(2, 200, "{}");
	assert_true(cw_asks(3, HTTP_GET, TOKEN));
	cw_answer(3, 200, OLD_TOKEN);
	expect(1, -EIO, true, false);
}

static void test_a_refused_rotation(void **state)
{
	begin_rotation();
	cw_answer(2, 404, "{}");
	expect(1, -ENOENT, true, false);
	assert_false(token_is_known());
	assert_false(stack->gone);
}

static void test_a_rotation_that_never_left_changes_nothing(void **state)
{
	begin_rotation();
	for (unsigned i = 0; i < 4; i++) {
		fake_transport_fail(cw.account.transport, cw_tries() - 1, -ECONNREFUSED, false);
		http_turn(cw.account.http);
		cw_advance(5000);
	}
	expect(1, -ECONNREFUSED, false, false);
	assert_int_equal(cw_tries(), 6);
	assert_non_null(store_part_blob(stack, STORE_TOKEN));
}

static void test_a_lost_rotation_is_settled_by_comparing(void **state)
{
	begin_rotation();
	cw_lose(2);
	assert_false(token_is_known());
	assert_true(cw_asks(3, HTTP_GET, TOKEN));
	cw_answer(3, 200, NEW_TOKEN);
	expect(1, 0, true, false);
	assert_int_equal(cw_tries(), 4);
}

static void test_the_same_token_was_not_rotated(void **state)
{
	begin_rotation();
	cw_answer(2, 503, "{\"errors\":[{\"message\":\"busy\"}]}");
	cw_answer(3, 200, OLD_TOKEN);
	expect(1, -EIO, true, false);
	assert_string_equal(end.result.error.message, "busy");
	assert_int_equal(cw_tries(), 4); /* it is not sent twice */
}

static void test_a_rotation_that_was_cut_off_goes_on(void **state)
{
	begin_rotation();
	cw_lose(2);
	cw_answer(3, 200, OLD_TOKEN);
	assert_int_equal(end.times, 0);
	assert_true(cw_asks(4, HTTP_DELETE, TOKEN));
	cw_answer(4, 204, "");
	expect(1, 0, true, false);
	assert_false(token_is_known());
	assert_int_equal(cw_tries(), 5);
}

/* What has left once has left, whatever becomes of the next one. */
static void test_a_rotation_that_is_cut_off_and_then_refused(void **state)
{
	begin_rotation();
	cw_lose(2);
	cw_answer(3, 200, OLD_TOKEN);
	cw_answer(4, 403, "{}");
	expect(1, -EPERM, true, false);
	assert_int_equal(cw_tries(), 5);
}

static void test_a_rotation_that_is_always_cut_off(void **state)
{
	begin_rotation();
	for (size_t i = 0; i < 4; i++) {
		assert_true(cw_asks(2 + 2 * i, HTTP_DELETE, TOKEN));
		cw_lose(2 + 2 * i);
		cw_answer(3 + 2 * i, 200, OLD_TOKEN);
	}
	expect(1, -EIO, true, false);
	assert_int_equal(cw_tries(), 10);
}

static void test_a_rotation_that_cannot_be_compared(void **state)
{
	begin_rotation();
	cw_lose(2);
	cw_answer(3, 404, "{}");
	expect(1, -ETIMEDOUT, true, true);
	expect_said("may have been rotated: ");
	assert_null(strstr(end.result.error.message, "canary"));
	assert_false(token_is_known());
}

static void test_without_a_token_from_before_nothing_is_asked(void **state)
{
	rotate();
	cw_lose(1);
	expect(1, -ETIMEDOUT, true, true);
	assert_int_equal(cw_tries(), 2);
}

/* It may have been rotated by others since. */
static void test_an_old_token_is_no_token_from_before(void **state)
{
	know_token();
	cw_advance(3600000);
	rotate();
	cw_lose(2);
	expect(1, -ETIMEDOUT, true, true);
	assert_int_equal(cw_tries(), 3);
}

/* What a reader has asked for before the rotation ended is of either. */
static void test_a_token_read_meanwhile_does_not_count(void **state)
{
	struct store_wait wait = { 0 };

	rotate();
	monitor_enter(cw.account.monitor);
	assert_int_equal(store_need_part(cw.account.store, stack, STORE_TOKEN, &wait), STORE_WAIT);
	store_unwait(cw.account.store, &wait);
	monitor_leave(cw.account.monitor);
	assert_int_equal(cw_tries(), 3);
	cw_advance(10);
	cw_answer(1, 204, "");
	cw_answer(2, 200, OLD_TOKEN);
	assert_false(token_is_known());
}

static void test_shutdown_while_rotating(void **state)
{
	begin_rotation();
	change_world_end_http();
	expect(1, -ETIMEDOUT, true, true);
	assert_false(token_is_known());
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_stack_is_deleted),
		cmocka_unit_test_setup_teardown(test_its_text_is_in_history, setup_disk,
						teardown_disk),
		TEST(test_dependents_are_asked_for_afresh),
		TEST(test_dependents_are_named_as_far_as_they_fit),
		TEST(test_what_is_no_clear_none_refuses),
		TEST(test_delete_in_use_does_not_ask),
		TEST(test_dry_run_asks_and_sends_nothing),
		TEST(test_a_refused_delete_keeps_the_stack),
		TEST(test_what_was_gone_before_is_no_success),
		TEST(test_what_went_while_dependents_were_asked_for),
		TEST(test_a_repeated_delete_that_finds_nothing_has_succeeded),
		TEST(test_a_lost_delete_is_settled_by_reading),
		TEST(test_a_lost_delete_of_what_is_there_has_failed),
		TEST(test_a_lost_delete_that_cannot_be_settled),
		TEST(test_all_of_it_ends_in_time),
		TEST(test_shutdown_while_asking),
		TEST(test_shutdown_while_deleting),
		TEST(test_a_token_is_rotated),
		TEST(test_only_a_204_is_a_rotation),
		TEST(test_a_refused_rotation),
		TEST(test_a_rotation_that_never_left_changes_nothing),
		TEST(test_a_lost_rotation_is_settled_by_comparing),
		TEST(test_the_same_token_was_not_rotated),
		TEST(test_a_rotation_that_was_cut_off_goes_on),
		TEST(test_a_rotation_that_is_cut_off_and_then_refused),
		TEST(test_a_rotation_that_is_always_cut_off),
		TEST(test_a_rotation_that_cannot_be_compared),
		TEST(test_without_a_token_from_before_nothing_is_asked),
		TEST(test_an_old_token_is_no_token_from_before),
		TEST(test_a_token_read_meanwhile_does_not_count),
		TEST(test_shutdown_while_rotating),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
