/* SPDX-License-Identifier: MIT */
#include "save_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "archive_world.h"
#include "tree_events.h"

struct save_world sw;
const struct process vim = { .pid = 10, .start = 1, .comm = "vim" };
const struct process cp = { .pid = 11, .start = 1, .comm = "cp" };
const struct process git = { .pid = 12, .start = 1, .comm = "git" };

/* ---- the world ---- */

static void on_changed(void *arg, struct stack *stack, struct record *old)
{
	versions_replaced(sw.changes.versions, stack, old);
	assert_int_equal(tree_rename(sw.tree, stack, true), 0);
}

static void on_name(void *arg, const char *name)
{
}

static void on_link(void *arg, struct node *node)
{
}

static void on_detached(void *arg, struct node *node)
{
}

const char *json(const char *modified, const char *fields)
{
	static char texts[8][600];
	static unsigned turn;
	char *out = texts[turn++ % 8];
	bool dated = modified[0] != '\0';

	snprintf(out, sizeof(texts[0]), "{" ONE "%s%s%s%s%s}", dated ? ",\"lastModified\":\"" : "",
		 modified, dated ? "\"" : "", fields[0] ? "," : "", fields);
	return out;
}

static void list(const char *first)
{
	const struct stack_id id = fake_id(1);

	fake_account_start(&sw.a);
	fake_account_answer(&sw.a, 0, 200, fake_list(2, first, fake_record(2, "two", "")));
	sw.one = stack_ref(store_find(sw.a.store, &id));
	sw.next_try = 1;
}

static int setup_with(const char *state)
{
	struct store_events events = tree_following(&sw.tree);
	const struct tree_events nodes = { on_name, on_link, on_detached, NULL };

	events.stack_changed = on_changed;
	memset(&sw.changes, 0, sizeof(sw.changes));
	memset(&sw.last, 0, sizeof(sw.last));
	assert_int_equal(tree_new(&nodes, &sw.tree), 0);
	fake_account_init(&sw.a, &events, 30000, 3600000);
	sw.changes.monitor = sw.a.monitor;
	sw.changes.timers = sw.a.timers;
	sw.changes.api = sw.a.api;
	sw.changes.store = sw.a.store;
	sw.changes.clock = &sw.a.clock.base;
	sw.changes.timeout_ms = TIMEOUT_MS;
	assert_int_equal(archive_new(state, &sw.a.clock.base, &sw.changes.archive, NULL), 0);
	assert_int_equal(versions_new(&sw.changes.versions), 0);
	list(json("t1", "\"a\":1,\"b\":1"));
	fake_account_advance(&sw.a, 1);
	return 0;
}

int save_world_setup(void **state)
{
	return setup_with(NULL);
}

int save_world_setup_archive(void **state)
{
	int r = archive_world_setup(state);

	return r < 0 ? r : setup_with(aw.state);
}

void end_http(void)
{
	http_free(sw.a.http);
	sw.a.http = NULL;
}

int save_world_teardown(void **state)
{
	end_http();
	assert_int_equal(sw.changes.running, 0);
	assert_null(sw.changes.saving);
	monitor_enter(sw.a.monitor);
	stack_unref(sw.one);
	monitor_leave(sw.a.monitor);
	tree_free(sw.tree);
	fake_account_done(&sw.a);
	versions_free(sw.changes.versions);
	archive_free(sw.changes.archive);
	return 0;
}

int save_world_teardown_archive(void **state)
{
	save_world_teardown(state);
	return archive_world_teardown(state);
}

/* ---- saving ---- */

void ended_done(void *arg, const struct change_result *result)
{
	struct ended *e = arg;

	assert_true(monitor_inside(sw.a.monitor));
	assert_int_equal(result->err, result->error.err);
	*e = (struct ended){
		.calls = e->calls + 1,
		.err = result->err,
		.error = result->error,
		.stack = result->stack,
		.sent = result->sent,
		.unsettled = result->unsettled,
		.conflict = result->conflict,
		.not_stored = result->not_stored,
	};
	if (result->would_send)
		snprintf(e->would_send, sizeof(e->would_send), "%s", result->would_send);
}

void begin(const struct process *who, const char *text, struct ended *e)
{
	CLEANUP(buf_done) struct buf copy = BUF_INIT(4 * DOCUMENT_MAX_BYTES);

	*e = (struct ended){ .calls = 0 };
	assert_int_equal(buf_puts(&copy, text), 0);
	monitor_enter(sw.a.monitor);
	save_text(&sw.changes, sw.one, (struct document){ copy.data, copy.len }, who, 0, ended_done,
		  e);
	monitor_leave(sw.a.monitor);
	memset(copy.data, '#', copy.len);
}

void save_by(const struct process *who, const char *text)
{
	begin(who, text, &sw.last);
}

void save(const char *text)
{
	save_by(&cp, text);
}

void rename_to(const char *name)
{
	sw.last = (struct ended){ .calls = 0 };
	monitor_enter(sw.a.monitor);
	save_name(&sw.changes, sw.one, name, strlen(name), 0, ended_done, &sw.last);
	monitor_leave(sw.a.monitor);
}

/* ---- requests ---- */

const struct transport_request *next_request(void)
{
	assert_int_equal(fake_account_tries(&sw.a), sw.next_try + 1);
	return &fake_transport_try(sw.a.transport, sw.next_try)->request;
}

void expect_get(void)
{
	const struct transport_request *r = next_request();

	assert_int_equal(r->method, HTTP_GET);
	assert_string_equal(r->target, "/v1/stacks/600000000000000000000001");
	assert_null(r->if_none_match);
}

void expect_put(const char *body)
{
	const struct transport_request *r = next_request();

	assert_int_equal(r->method, HTTP_PUT);
	assert_string_equal(r->target, "/v1/stacks/600000000000000000000001");
	assert_string_equal(r->body, body);
	assert_int_equal(r->body_len, strlen(body));
}

void answer(int status, const char *body)
{
	fake_account_answer(&sw.a, sw.next_try++, status, body);
}

void answer_etag(const char *body, const char *etag)
{
	fake_account_etag(&sw.a, sw.next_try++, 200, body, etag);
}

void give(const struct fake_answer *given)
{
	http_turn(sw.a.http);
	fake_transport_answer(sw.a.transport, sw.next_try++, given);
	http_turn(sw.a.http);
	http_turn(sw.a.http);
}

void lose_answer(int err)
{
	give(&(struct fake_answer){ .err = err, .sent = true, .retry_after_ms = -1 });
}

void wait_for_request(void)
{
	for (unsigned i = 0; i < 200 && fake_account_tries(&sw.a) == sw.next_try; i++)
		fake_account_advance(&sw.a, 50);
	assert_int_equal(sw.last.calls, 0);
}

void expect_no_request(void)
{
	assert_int_equal(fake_account_tries(&sw.a), sw.next_try);
}

void get(const char *record)
{
	expect_get();
	answer(200, record);
}

void put(const char *body, const char *record)
{
	expect_put(body);
	answer(200, record);
}

void expect_success(bool sent)
{
	expect_no_request();
	assert_int_equal(sw.last.calls, 1);
	if (sw.last.err)
		fail_msg("%d: %s", sw.last.err, sw.last.error.message);
	assert_int_equal(sw.last.sent, sent);
	assert_ptr_equal(sw.last.stack, sw.one);
	assert_false(sw.last.unsettled || sw.last.conflict);
}

void expect_failure(int err, const char *message)
{
	expect_no_request();
	assert_int_equal(sw.last.calls, 1);
	assert_int_equal(sw.last.err, err);
	if (!strstr(sw.last.error.message, message))
		fail_msg("\"%s\" is not in: %s", message, sw.last.error.message);
	assert_null(sw.last.stack);
	assert_int_equal(sw.last.not_stored.n, 0);
}

const char *shown(void)
{
	static char out[1000];
	size_t at = 0;

	for (const char *p = sw.one->record->text; *p && at < sizeof(out) - 1; p++) {
		if (!strchr(" \n", *p))
			out[at++] = *p;
	}
	out[at] = '\0';
	return out;
}

void whole_save(const struct process *who, const char *text, const char *fresh, const char *sent,
		const char *stored)
{
	fake_account_advance(&sw.a, 1);
	save_by(who, text);
	get(fresh);
	put(sent, stored);
	expect_success(true);
}
