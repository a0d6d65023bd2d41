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

#include "change_world.h"
#include "draft/create.h"

#define SERVER "\"type\":\"server\",\"server\":{\"hostURI\":\"https://x\"}"
/* A text, and the record that the service makes of it. */
#define TEXT  "{\"name\":\"new\"," SERVER "}"
#define EXTRA ",\"server\":{\"hostURI\":\"https://x\",\"systemToken\":\"******\"}"
#define ID_1  "600000000000000000000001"

static const struct process maker = { .pid = 10, .start = 1, .comm = "vim" };

static struct create_memory memory;
static struct ended end;

static int setup(void **state)
{
	memset(&memory, 0, sizeof(memory));
	memset(&end, 0, sizeof(end));
	return change_world_setup(state);
}

static int teardown(void **state)
{
	change_world_teardown(state);
	create_memory_done(&memory);
	return 0;
}

static void begin(const char *component, const char *text, struct create_memory *m, struct ended *e)
{
	monitor_enter(cw.account.monitor);
	create_stack(&cw.changes, component, (struct document){ text, strlen(text) }, m, &maker, 0,
		     cw_ended, e);
	monitor_leave(cw.account.monitor);
}

static void create(const char *text)
{
	begin("new", text, &memory, &end);
}

static const char *record(unsigned id)
{
	return fake_record(id, "new", EXTRA);
}

/* The account as it was, and these new ones. */
static const char *list_with(unsigned id, unsigned other)
{
	const char *one = fake_record(1, "one", ""), *two = fake_record(2, "two", "");

	if (!id)
		return fake_list(2, one, two);
	if (!other)
		return fake_list(3, one, two, record(id));
	return fake_list(4, one, two, record(id), record(other));
}

static void expect(unsigned times, int err, bool sent, bool unsettled)
{
	assert_int_equal(end.times, times);
	if (end.result.err != err)
		fail_msg("%d: %s", end.result.err, end.result.error.message);
	assert_int_equal(end.result.sent, sent);
	assert_int_equal(end.result.unsettled, unsettled);
	assert_int_equal(cw.changes.running, 0);
	assert_false(end.result.conflict);
	if (err)
		assert_null(end.result.stack);
}

/* ---- the plain way ---- */

static void test_a_text_becomes_a_stack(void **state)
{
	create(TEXT);
	assert_int_equal(end.times, 0);
	assert_int_equal(cw.changes.running, 1);
	assert_true(cw_asks(1, HTTP_POST, "/v1/stacks"));
	assert_string_equal(cw_request(1)->body, TEXT);
	assert_int_equal(cw_request(1)->timeout_ms, CHANGE_TIMEOUT_MS);
	cw_answer(1, 201, record(3));
	expect(1, 0, true, false);
	assert_ptr_equal(end.result.stack, cw_stack(3));
	assert_string_equal(tree_dir(end.result.stack)->name, "new");
	assert_int_equal(end.result.not_stored.n, 0);
	assert_string_equal(end.to_save, "");
	assert_false(memory.maybe_created);
	assert_int_equal(cw_tries(), 2);
}

static void test_what_was_not_stored_is_told(void **state)
{
	create("{\"name\":\"new\"," SERVER ",\"color\":\"red\"}");
	cw_answer(1, 201, record(3));
	expect(1, 0, true, false);
	assert_int_equal(end.result.not_stored.n, 1);
	assert_string_equal(end.result.not_stored.path[0], "color");
}

static void test_a_list_may_know_it_first(void **state)
{
	struct store_wait wait = { 0 };

	create(TEXT);
	assert_int_equal(cw_tries(), 2);
	monitor_enter(cw.account.monitor);
	assert_int_equal(store_refresh(cw.account.store, &wait), STORE_WAIT);
	store_unwait(cw.account.store, &wait);
	monitor_leave(cw.account.monitor);
	cw_answer(2, 200, list_with(3, 0));
	struct stack *stack = cw_stack(3);
	assert_non_null(stack);
	cw_answer(1, 201, record(3));
	expect(1, 0, true, false);
	assert_ptr_equal(end.result.stack, stack);
}

static void test_names_and_bodies(void **state)
{
	static const struct {
		const char *component, *text, *body;
	} cases[] = {
		/* No _id: its own name, wherever it lies. */
		{ "d", "{\"name\":\"n\",\"x\":1}", "{\"name\":\"n\",\"x\":1}" },
		{ "d", "{\"name\":\"\",\"_id\":null}", "{\"name\":\"\"}" },
		{ "d", "{\"x\":1}", "{\"name\":\"d\",\"x\":1}" },
		{ "d", "{ \"name\": null }", "{\"name\":\"d\"}" },
		{ "a%2Fb", "{}", "{\"name\":\"a/b\"}" },
		/* A copy: the directory's. */
		{ "d", "{\"_id\":\"" ID_1 "\",\"name\":\"one\",\"createdAt\":\"t\"}",
		  "{\"name\":\"d\"}" },
		{ "d~" ID_1, "{\"_id\":\"" ID_1 "\",\"name\":\"one\"}", "{\"name\":\"d\"}" },
		{ "d", "{\"_id\":7,\"name\":\"one\"}", "{\"name\":\"d\"}" },
		{ "%2Ed", "{\"_id\":\"" ID_1 "\",\"name\":\"one\"}", "{\"name\":\".d\"}" },
		/* A copy whose directory is called as the original's: a restored backup. */
		{ "one", "{\"_id\":\"" ID_1 "\",\"name\":\"o\\u006ee\",\"lastModified\":\"t\"}",
		  "{\"name\":\"o\\u006ee\"}" },
		{ "one~" ID_1, "{\"_id\":\"" ID_1 "\",\"name\":\"one\"}", "{\"name\":\"one\"}" },
		{ "a%2Fb", "{\"_id\":\"" ID_1 "\",\"name\":\"a/b\"}", "{\"name\":\"a/b\"}" },
		{ ID_1, "{\"_id\":\"" ID_1 "\",\"name\":\"\"}", "{\"name\":\"\"}" },
		/* What only the service writes, and its masks. */
		{ "d",
		  "{\"name\":\"n\",\"server\":{\"systemToken\":\"t\",\"a\":[]},"
		  "\"lambda\":{\"secretAccessKey\":\"******\",\"accessKeyId\":\"i\"}}",
		  "{\"name\":\"n\",\"server\":{\"a\":[]},\"lambda\":{\"accessKeyId\":\"i\"}}" },
		{ "d", "{\"name\":\"******\",\"lambda\":{\"secretAccessKey\":\"s\"}}",
		  "{\"name\":\"******\",\"lambda\":{\"secretAccessKey\":\"s\"}}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = cw_tries();
		unsigned times = end.times;

		begin(cases[i].component, cases[i].text, &memory, &end);
		assert_int_equal(cw_tries(), n + 1);
		assert_string_equal(cw_request(n)->body, cases[i].body);
		cw_answer(n, 400, "{}");
		assert_int_equal(end.times, times + 1);
	}
}

static void test_a_long_name_that_was_cut_is_kept(void **state)
{
	char name[301], text[512], component[NAME_MAX_BYTES + 1];
	const struct stack_id id = fake_id(1);

	memset(name, 'x', 300);
	name[300] = '\0';
	name_encode(name, 300, &id, false, component);
	snprintf(text, sizeof(text), "{\"_id\":\"" ID_1 "\",\"name\":\"%s\"}", name);
	begin(component, text, &memory, &end);
	assert_non_null(strstr(cw_request(1)->body, name));
	cw_answer(1, 400, "{}");
}

/* ---- refused without a request ---- */

static void expect_refused(const char *component, const char *text, size_t len, int err,
			   const char *why)
{
	unsigned times = end.times;

	monitor_enter(cw.account.monitor);
	create_stack(&cw.changes, component, (struct document){ text, len }, &memory, &maker, 0, cw_ended,
		     &end);
	monitor_leave(cw.account.monitor);
	expect(times + 1, err, false, false);
	if (!strstr(end.result.error.message, why))
		fail_msg("%s: not in: %s", why, end.result.error.message);
	assert_int_equal(cw_tries(), 1);
}

static void test_refused_texts(void **state)
{
	static const struct {
		const char *component, *text, *why;
	} cases[] = {
		{ "d", "", "line 1, column 1" },
		{ "d", "{\n \"name\": ", "line 2, column" },
		{ "d", "[]", "not a JSON object" },
		{ "d", "{\"a\":1,\"a\":2}", "line 1, column 8" },
		{ "d", "{\"name\":7}", "name is not a string" },
		{ "d", "{\"_id\":\"" ID_1 "\",\"name\":{}}", "name is not a string" },
		{ "a%FFb", "{}", "not UTF-8" },
		{ "a%41", "{}", "no stack's name" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect_refused(cases[i].component, cases[i].text, strlen(cases[i].text), -EBADMSG,
			       cases[i].why);
	expect_refused("d", "{\"name\":7}", 10, -EBADMSG, "");
	assert_string_equal(end.result.error.field, "name");
}

static void test_a_text_that_is_too_large(void **state)
{
	size_t len = DOCUMENT_MAX_BYTES + 1;
	char *text = malloc(len);

	memset(text, ' ', len);
	text[0] = '{';
	text[len - 1] = '}';
	expect_refused("d", text, len, -EFBIG, "1 MiB");

	/* The largest that may be sent. */
	memcpy(text, "{\"name\":\"", 9);
	memset(text + 9, 'x', len - 12);
	memcpy(text + len - 3, "\"}", 2);
	monitor_enter(cw.account.monitor);
	create_stack(&cw.changes, "d", (struct document){ text, len - 1 }, &memory, &maker, 0, cw_ended,
		     &end);
	monitor_leave(cw.account.monitor);
	assert_int_equal(cw_request(1)->body_len, DOCUMENT_MAX_BYTES);
	cw_answer(1, 400, "{}");
	free(text);
}

/* A mask is never stored as a secret: where it is one, the original's record says. */
static void test_masks_of_the_original_are_left_out(void **state)
{
	static const char text[] = "{\"_id\":\"" ID_1 "\",\"name\":\"one\",\"auth\":{\"pin\":"
				   "\"******\",\"user\":\"u\"},\"list\":[\"******\"]}";
	struct store_wait wait = { 0 };

	monitor_enter(cw.account.monitor);
	assert_int_equal(store_refresh(cw.account.store, &wait), STORE_WAIT);
	store_unwait(cw.account.store, &wait);
	monitor_leave(cw.account.monitor);
	cw_answer(1, 200,
		  fake_list(2, fake_record(1, "one", ",\"auth\":{\"pin\":\"******\"},\"list\":[]"),
			    fake_record(2, "two", "")));
	begin("d", text, &memory, &end);
	assert_string_equal(cw_request(2)->body,
			    "{\"name\":\"d\",\"auth\":{\"user\":\"u\"},\"list\":[\"******\"]}");
	cw_answer(2, 400, "{}");

	monitor_enter(cw.account.monitor);
	wait = (struct store_wait){ 0 };
	assert_int_equal(store_refresh(cw.account.store, &wait), STORE_WAIT);
	store_unwait(cw.account.store, &wait);
	monitor_leave(cw.account.monitor);
	cw_answer(3, 200,
		  fake_list(2, fake_record(1, "one", ",\"list\":[\"******\",1]"),
			    fake_record(2, "two", "")));
	begin("d", text, &memory, &end);
	expect(2, -EBADMSG, false, false);
	assert_non_null(strstr(end.result.error.message, "list[0]"));
	assert_int_equal(cw_tries(), 4);
}

static void test_dry_run_sends_nothing(void **state)
{
	cw.changes.dry_run = true;
	create("{\"name\":\"new\",\"lambda\":{\"secretAccessKey\":\"canary\"}}");
	expect(1, -EROFS, false, false);
	assert_string_equal(end.would_send, "POST /v1/stacks {\"name\":\"new\",\"lambda\":"
					    "{\"secretAccessKey\":\"******\"}}");
	create("{");
	expect(2, -EBADMSG, false, false);
	assert_int_equal(cw_tries(), 1);
}

/* ---- failures ---- */

static void test_a_refusal_keeps_no_secret(void **state)
{
	create("{\"name\":\"new\",\"lambda\":{\"secretAccessKey\":\"canary\"}}");
	cw_answer(1, 422,
		  "{\"errors\":[{\"code\":\"bad\",\"message\":\"canary is no key\",\"field\":"
		  "\"lambda.secretAccessKey\"}]}");
	expect(1, -EBADMSG, true, false);
	assert_string_equal(end.result.error.message, "****** is no key");
	assert_string_equal(end.result.error.field, "lambda.secretAccessKey");
	assert_int_equal(end.result.error.status, 422);
	assert_false(memory.maybe_created);
	create(TEXT);
	assert_true(cw_asks(2, HTTP_POST, "/v1/stacks"));
	cw_answer(2, 201, record(3));
	expect(2, 0, true, false);
}

static void test_what_never_left_is_no_mystery(void **state)
{
	create(TEXT);
	for (unsigned i = 0; i < 4; i++) {
		size_t newest = cw_tries() - 1;

		assert_true(cw_asks(newest, HTTP_POST, "/v1/stacks"));
		fake_transport_fail(cw.account.transport, newest, -ECONNREFUSED, false);
		http_turn(cw.account.http);
		cw_advance(5000);
	}
	expect(1, -ECONNREFUSED, false, false);
	assert_false(memory.maybe_created);
	assert_int_equal(cw_tries(), 5);
}

/* ---- a lost answer ---- */

static void test_a_lost_answer_is_settled_by_a_list(void **state)
{
	create(TEXT);
	cw_lose(1);
	assert_int_equal(end.times, 0);
	assert_true(memory.maybe_created);
	assert_true(cw_asks(2, HTTP_GET, "/v1/stacks"));
	cw_answer(2, 200, list_with(3, 0));
	expect(1, 0, true, false);
	assert_ptr_equal(end.result.stack, cw_stack(3));
	assert_string_equal(end.to_save, "");
	assert_false(memory.maybe_created);
	assert_null(memory.sent.data);
}

static void test_an_unusable_answer_is_settled_too(void **state)
{
	create(TEXT);
	cw_answer(1, 201, "{\"_id\":\"");
	cw_answer(2, 200, list_with(3, 0));
	expect(1, 0, true, false);
	assert_ptr_equal(end.result.stack, cw_stack(3));

	create(TEXT);
	cw_answer(3, 503, "{}");
	cw_answer(4, 200, list_with(3, 4));
	expect(2, 0, true, false);
	assert_ptr_equal(end.result.stack, cw_stack(4));
}

/* A list that was under way when the answer was lost says nothing. */
static void test_only_a_list_that_is_begun_later_counts(void **state)
{
	struct store_wait wait = { 0 };

	create(TEXT);
	assert_int_equal(cw_tries(), 2);
	monitor_enter(cw.account.monitor);
	assert_int_equal(store_refresh(cw.account.store, &wait), STORE_WAIT);
	store_unwait(cw.account.store, &wait);
	monitor_leave(cw.account.monitor);
	assert_int_equal(cw_tries(), 3);
	cw_lose(1);
	cw_answer(2, 200, list_with(0, 0));
	assert_int_equal(end.times, 0);
	cw_answer(3, 200, list_with(3, 0));
	expect(1, 0, true, false);
}

static void test_nothing_new_is_the_posts_own_failure(void **state)
{
	create(TEXT);
	cw_answer(1, 504, "{\"errors\":[{\"message\":\"the gateway gave up\"}]}");
	cw_answer(2, 200, list_with(0, 0));
	expect(1, -EIO, true, false);
	assert_string_equal(end.result.error.message, "the gateway gave up");
	assert_int_equal(end.result.error.status, 504);

	/* Nothing yet, so the next attempt looks before it sends. */
	create(TEXT);
	assert_true(cw_asks(3, HTTP_GET, "/v1/stacks"));
	cw_answer(3, 200, list_with(0, 0));
	assert_true(cw_asks(4, HTTP_POST, "/v1/stacks"));
	cw_answer(4, 201, record(3));
	expect(2, 0, true, false);
	assert_int_equal(cw_tries(), 5);
}

static void test_a_stack_that_came_late_is_adopted_then(void **state)
{
	create(TEXT);
	cw_lose(1);
	cw_answer(2, 200, list_with(0, 0));
	expect(1, -EIO, true, false);
	create("{ " SERVER ", \"name\": \"new\" }"); /* the same in meaning */
	cw_answer(3, 200, list_with(3, 0));
	expect(2, 0, false, false);
	assert_ptr_equal(end.result.stack, cw_stack(3));
	assert_null(end.result.to_save.text);
	assert_int_equal(cw_tries(), 4);
}

static void test_another_text_is_left_to_be_saved(void **state)
{
	create(TEXT);
	cw_lose(1);
	cw_answer(2, 200, list_with(0, 0));
	create("{\"_id\":\"" ID_1 "\",\"name\":\"x\",\"type\":\"lambda\"}");
	cw_answer(3, 200, list_with(3, 0));
	expect(2, 0, false, false);
	assert_ptr_equal(end.result.stack, cw_stack(3));
	assert_string_equal(end.to_save, "{\"name\":\"new\",\"type\":\"lambda\"}");
	assert_int_equal(end.result.deadline_ms,
			 clock_now_ms(cw.changes.clock) + CHANGE_TIMEOUT_MS);
	assert_false(memory.maybe_created);
}

/* A later try that is refused tells nothing of the first one, which may still be at work. */
static void test_a_refused_try_forgets_nothing(void **state)
{
	create(TEXT);
	cw_lose(1);
	cw_answer(2, 200, list_with(0, 0));
	create(TEXT);
	cw_answer(3, 200, list_with(0, 0));
	assert_true(cw_asks(4, HTTP_POST, "/v1/stacks"));
	cw_answer(4, 422, "{}");
	expect(2, -EBADMSG, true, false);
	assert_true(memory.maybe_created);
	create(TEXT);
	cw_answer(5, 200, list_with(3, 0));
	expect(3, 0, false, false);
	assert_ptr_equal(end.result.stack, cw_stack(3));
	assert_int_equal(cw_tries(), 6);
}

static void test_several_are_unsettled(void **state)
{
	create(TEXT);
	cw_lose(1);
	cw_answer(2, 200, list_with(3, 4));
	expect(1, -ETIMEDOUT, true, true);
	assert_non_null(strstr(end.result.error.message, "may have been created: 2 new stacks"));
	assert_true(memory.maybe_created);

	create(TEXT);
	cw_answer(3, 200, list_with(3, 4));
	expect(2, -ETIMEDOUT, false, true);
	/* One of them was removed. */
	cw_advance(10);
	create(TEXT);
	cw_answer(4, 200, list_with(3, 0));
	assert_true(cw_asks(5, HTTP_GET, "/v1/stacks/600000000000000000000004"));
	cw_answer(5, 404, "{}");
	expect(3, 0, false, false);
	assert_ptr_equal(end.result.stack, cw_stack(3));
}

static void test_without_a_list_it_is_unsettled(void **state)
{
	create("{\"name\":\"new\",\"key\":\"canary\"}");
	cw_answer(1, 500, "{\"errors\":[{\"message\":\"no canary today\"}]}");
	cw_answer(2, 401, "{\"message\":\"Unauthorized\"}");
	expect(1, -ETIMEDOUT, true, true);
	assert_string_equal(end.result.error.message, "may have been created: no ****** today");
	assert_true(memory.maybe_created);

	create("{\"name\":\"new\",\"key\":\"canary\"}");
	cw_answer(3, 401, "{\"message\":\"Unauthorized\"}");
	expect(2, -ETIMEDOUT, false, true);
	assert_string_equal(end.result.error.message, "may have been created: Unauthorized");
}

/* ---- a directory that was removed ---- */

static void leave(struct create_memory *m)
{
	monitor_enter(cw.account.monitor);
	create_memory_leave(&cw.changes, m);
	monitor_leave(cw.account.monitor);
	assert_false(m->maybe_created);
}

static void create_and_leave(void)
{
	create(TEXT);
	cw_lose(1);
	cw_answer(2, 401, "{}");
	assert_true(end.result.unsettled);
	leave(&memory);
}

static void test_what_a_removed_draft_has_made_is_adopted(void **state)
{
	create_and_leave();
	begin("other", "{\"name\":\"other\"}", &memory, &end);
	cw_answer(3, 201, fake_record(5, "other", ""));
	expect(2, 0, true, false);
	create(TEXT);
	cw_answer(4, 200,
		  fake_list(4, fake_record(1, "one", ""), fake_record(2, "two", ""), record(3),
			    fake_record(5, "other", "")));
	expect(3, 0, false, false);
	assert_ptr_equal(end.result.stack, cw_stack(3));
	assert_null(cw.changes.left);
}

/* By then it is seen in the account, and the same again is another one. */
static void test_what_was_listed_since_is_not_looked_for(void **state)
{
	struct store_wait w = { .wake = NULL };

	create_and_leave();
	cw_advance(1);
	monitor_enter(cw.account.monitor);
	assert_int_equal(store_refresh(cw.account.store, &w), STORE_WAIT);
	store_unwait(cw.account.store, &w);
	monitor_leave(cw.account.monitor);
	cw_answer(3, 200, list_with(3, 0));
	create(TEXT);
	assert_null(cw.changes.left);
	assert_true(cw_asks(4, HTTP_POST, "/v1/stacks"));
	cw_answer(4, 201, record(4));
	expect(2, 0, true, false);
}

/* ---- what is not adopted ---- */

static void test_only_what_came_later_and_equals_is_adopted(void **state)
{
	static const char *const others[] = {
		"", /* lacks a field */
		",\"server\":{\"hostURI\":\"https://y\"}",
		",\"server\":{\"hostURI\":\"https://x\"},\"framework\":\"twoDotZero\"",
	};

	/* It is not there at first, so that there is something to find. */
	create(TEXT);
	cw_answer(1, 201, record(3));
	expect(1, 0, true, false);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		size_t n = cw_tries();
		unsigned id = 10 + (unsigned)i;

		create_memory_done(&memory);
		create(TEXT);
		cw_lose(n);
		cw_answer(n + 1, 200,
			  fake_list(4, fake_record(1, "one", ""), fake_record(2, "two", ""),
				    record(3), fake_record(id, "new", others[i])));
		expect(2 + (unsigned)i, -EIO, true, false);
		/* Let it go again. */
		monitor_enter(cw.account.monitor);
		store_take_gone(cw.account.store, cw_stack(id));
		monitor_leave(cw.account.monitor);
		cw_advance(1);
	}
}

/* What another create of this mount has made is its own. */
static void test_another_drafts_stack_is_not_adopted(void **state)
{
	struct create_memory m = { 0 };
	struct ended e = { 0 };

	create(TEXT);
	cw_lose(1);
	cw_answer(2, 401, "{}");
	expect(1, -ETIMEDOUT, true, true);
	begin("other", TEXT, &m, &e);
	cw_answer(3, 201, record(3));
	assert_int_equal(e.result.err, 0);

	create(TEXT);
	cw_answer(4, 200, list_with(3, 0));
	assert_true(cw_asks(5, HTTP_POST, "/v1/stacks"));
	cw_answer(5, 201, record(4));
	expect(2, 0, true, false);
	create_memory_done(&m);
}

/* ---- one at a time ---- */

static void test_one_post_at_a_time_in_order(void **state)
{
	static const char *const names[] = { "a", "b", "c" };
	struct create_memory m[3] = { 0 };
	struct ended e[3] = { 0 };

	for (size_t i = 0; i < 3; i++)
		begin(names[i], "{\"x\":1}", &m[i], &e[i]);
	assert_int_equal(cw.changes.running, 3);
	for (size_t i = 0; i < 3; i++) {
		char body[32];

		assert_int_equal(cw_tries(), 2 + i);
		snprintf(body, sizeof(body), "{\"name\":\"%s\",\"x\":1}", names[i]);
		assert_string_equal(cw_request(1 + i)->body, body);
		assert_int_equal(cw_request(1 + i)->timeout_ms, CHANGE_TIMEOUT_MS - 1000 * i);
		cw_advance(1000);
		cw_answer(1 + i, 201, fake_record(3 + (unsigned)i, names[i], ""));
		assert_int_equal(e[i].times, 1);
		assert_int_equal(e[i].result.err, 0);
		assert_int_equal(cw.changes.running, 2 - i);
	}
}

static void test_the_next_one_waits_for_a_settlement(void **state)
{
	struct create_memory m = { 0 };
	struct ended e = { 0 };

	create(TEXT);
	begin("other", "{}", &m, &e);
	cw_lose(1);
	assert_int_equal(cw_tries(), 3);
	assert_true(cw_asks(2, HTTP_GET, "/v1/stacks"));
	cw_answer(2, 200, list_with(3, 0));
	assert_int_equal(end.times, 1);
	assert_true(cw_asks(3, HTTP_POST, "/v1/stacks"));
	cw_answer(3, 201, fake_record(4, "other", ""));
	assert_int_equal(e.times, 1);
	assert_int_equal(e.result.err, 0);
}

static void test_the_deadline_holds_in_the_queue(void **state)
{
	struct create_memory m[2] = { 0 };
	struct ended e[2] = { 0 };

	create(TEXT);
	assert_int_equal(cw_tries(), 2);
	cw_advance(10000);
	begin("b", "{}", &m[0], &e[0]);
	begin("c", "{}", &m[1], &e[1]);
	cw_advance(20000); /* the first one's time is over, and none is left to list */
	assert_int_equal(cw.changes.running, 2);
	assert_int_equal(end.times, 1);
	assert_int_equal(end.result.err, -ETIMEDOUT);
	assert_true(end.result.unsettled);
	assert_true(memory.maybe_created);
	assert_int_equal(cw_tries(), 3);
	assert_int_equal(cw_request(2)->timeout_ms, 10000);
	cw_advance(10000);
	assert_int_equal(e[0].times, 1);
	assert_true(e[0].result.unsettled);
	assert_int_equal(e[1].times, 1);
	assert_int_equal(e[1].result.err, -ETIMEDOUT);
	assert_false(e[1].result.sent);
	assert_false(e[1].result.unsettled);
	assert_int_equal(cw.changes.running, 0);
	create_memory_done(&m[0]);
}

static void test_the_deadline_holds_for_the_list(void **state)
{
	create(TEXT);
	cw_lose(1);
	assert_int_equal(cw_tries(), 3);
	cw_advance(CHANGE_TIMEOUT_MS - 1);
	assert_int_equal(end.times, 0);
	fake_clock_advance(&cw.account.clock, 1);
	timers_run(cw.account.timers);
	expect(1, -ETIMEDOUT, true, true);
	assert_true(memory.maybe_created);
}

static void begin_again(struct ended *self)
{
	if (self->times < 3)
		create_stack(&cw.changes, "again", (struct document){ "{}", 2 }, self->then_arg, &maker, 0,
			     cw_ended, self);
}

static void test_done_may_begin_the_next(void **state)
{
	struct create_memory m = { 0 };

	end.then = begin_again;
	end.then_arg = &m;
	create(TEXT);
	cw_answer(1, 201, record(3));
	assert_int_equal(end.times, 1);
	cw_answer(2, 201, fake_record(4, "again", ""));
	cw_answer(3, 201, fake_record(5, "again", ""));
	assert_int_equal(end.times, 3);
	assert_int_equal(cw_tries(), 4);
}

/* ---- the end of the mount ---- */

static void test_shutdown_ends_all(void **state)
{
	struct create_memory m[200] = { 0 };
	struct ended e[200] = { 0 };

	create(TEXT);
	for (size_t i = 0; i < 200; i++)
		begin("d", "{}", &m[i], &e[i]);
	assert_int_equal(cw_tries(), 2);
	change_world_end_http();
	expect(1, -ETIMEDOUT, true, true);
	assert_true(memory.maybe_created);
	for (size_t i = 0; i < 200; i++) {
		assert_int_equal(e[i].times, 1);
		assert_int_equal(e[i].result.err, -ESHUTDOWN);
		assert_false(e[i].result.sent);
		assert_false(e[i].result.unsettled);
	}
}

static void test_shutdown_while_listing(void **state)
{
	create(TEXT);
	cw_lose(1);
	change_world_end_http();
	expect(1, -ETIMEDOUT, true, true);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_text_becomes_a_stack),
		TEST(test_what_was_not_stored_is_told),
		TEST(test_a_list_may_know_it_first),
		TEST(test_names_and_bodies),
		TEST(test_a_long_name_that_was_cut_is_kept),
		TEST(test_refused_texts),
		TEST(test_a_text_that_is_too_large),
		TEST(test_masks_of_the_original_are_left_out),
		TEST(test_dry_run_sends_nothing),
		TEST(test_a_refusal_keeps_no_secret),
		TEST(test_what_never_left_is_no_mystery),
		TEST(test_a_lost_answer_is_settled_by_a_list),
		TEST(test_an_unusable_answer_is_settled_too),
		TEST(test_only_a_list_that_is_begun_later_counts),
		TEST(test_nothing_new_is_the_posts_own_failure),
		TEST(test_a_stack_that_came_late_is_adopted_then),
		TEST(test_another_text_is_left_to_be_saved),
		TEST(test_a_refused_try_forgets_nothing),
		TEST(test_several_are_unsettled),
		TEST(test_without_a_list_it_is_unsettled),
		TEST(test_what_a_removed_draft_has_made_is_adopted),
		TEST(test_what_was_listed_since_is_not_looked_for),
		TEST(test_only_what_came_later_and_equals_is_adopted),
		TEST(test_another_drafts_stack_is_not_adopted),
		TEST(test_one_post_at_a_time_in_order),
		TEST(test_the_next_one_waits_for_a_settlement),
		TEST(test_the_deadline_holds_in_the_queue),
		TEST(test_the_deadline_holds_for_the_list),
		TEST(test_done_may_begin_the_next),
		TEST(test_shutdown_ends_all),
		TEST(test_shutdown_while_listing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
