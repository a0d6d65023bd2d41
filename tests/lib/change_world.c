/* SPDX-License-Identifier: MIT */
#include "change_world.h"

#include "draft/versions.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tree_events.h"

struct change_world cw;

static void on_part(void *arg, struct stack *stack, enum store_part part)
{
	cw.part_changed++;
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

void change_world_begin(const char *archive_dir)
{
	static const struct tree_events tree_events = { on_name, on_link, on_detached, NULL };
	struct store_events events = tree_following(&cw.tree);
	struct fake_account *a = &cw.account;

	cw = (struct change_world){ 0 };
	events.part_changed = on_part;
	int r = tree_new(&tree_events, &cw.tree);
	assert(r == 0);
	fake_account_init(a, &events, 30000, 3600000);
	cw.changes = (struct changes){
		.monitor = a->monitor,
		.timers = a->timers,
		.api = a->api,
		.store = a->store,
		.clock = &a->clock.base,
		.timeout_ms = CHANGE_TIMEOUT_MS,
	};
	r = archive_new(archive_dir, &a->clock.base, &cw.changes.archive, NULL);
	assert(r == 0);
	r = versions_new(&cw.changes.versions);
	assert(r == 0);
	fake_account_start(a);
	cw_answer(0, 200, fake_list(2, fake_record(1, "one", ""), fake_record(2, "two", "")));
	cw_advance(1000);
}

void change_world_end_http(void)
{
	http_free(cw.account.http);
	cw.account.http = NULL;
}

void change_world_end(void)
{
	fake_account_done(&cw.account);
	tree_free(cw.tree);
	archive_free(cw.changes.archive);
	versions_free(cw.changes.versions);
	assert(cw.changes.running == 0);
	assert(!cw.changes.creating);
}

int change_world_setup(void **state)
{
	change_world_begin(NULL);
	return 0;
}

int change_world_teardown(void **state)
{
	change_world_end();
	return 0;
}

void cw_ended(void *arg, const struct change_result *result)
{
	struct ended *e = arg;

	assert(monitor_inside(cw.account.monitor));
	assert(result->err == result->error.err);
	assert(result->err == 0 || result->error.message[0]);
	e->times++;
	e->result = *result;
	if (result->would_send)
		snprintf(e->would_send, sizeof(e->would_send), "%s", result->would_send);
	if (result->to_save.text)
		snprintf(e->to_save, sizeof(e->to_save), "%.*s", (int)result->to_save.len,
			 result->to_save.text);
	if (e->then)
		e->then(e);
}

struct stack *cw_stack(unsigned id)
{
	const struct stack_id stack_id = fake_id(id);

	return store_find(cw.account.store, &stack_id);
}

size_t cw_tries(void)
{
	return fake_account_tries(&cw.account);
}

const struct transport_request *cw_request(size_t i)
{
	cw_tries();
	return &fake_transport_try(cw.account.transport, i)->request;
}

void cw_answer(size_t i, int status, const char *body)
{
	fake_account_answer(&cw.account, i, status, body);
}

void cw_lose(size_t i)
{
	cw_tries();
	fake_transport_fail(cw.account.transport, i, -EIO, true);
	http_turn(cw.account.http);
	cw_tries();
}

void cw_advance(uint64_t ms)
{
	fake_account_advance(&cw.account, ms);
}

bool cw_asks(size_t i, enum http_method method, const char *target)
{
	const struct transport_request *request = cw_request(i);

	return request->method == method && strcmp(request->target, target) == 0;
}
