/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "control.h"
#include "query.h"
#include "server.h"

static const char base[] = "/_emulator/";
enum { SEGMENTS_MAX = 3, WAIT_DEFAULT_MS = 10000 };

/* One request to the control path. */
struct order {
	struct emulator *e;
	struct exchange *x;
	struct span body;	      /* checked JSON; "null" when none was sent */
	char *segments[SEGMENTS_MAX]; /* decoded; NULL past the last */
	struct stack *stack;	      /* of a route with an id */
};

struct waiter {
	TAILQ_ENTRY(waiter) link;
	struct exchange *x;
	struct reqlog_filter filter;
	uint64_t count, want;
};

bool control_is_for(const struct request *rq)
{
	return !strncmp(rq->path, base, sizeof(base) - 1);
}

static void refuse(struct order *o, int status, const char *why)
{
	reply_error(&o->x->reply, status, "emulator", NULL, "%s", why);
}

static struct buf *answer(struct order *o, int status)
{
	reply_json(&o->x->reply, status);
	return &o->x->reply.body;
}

static void answer_stack(struct order *o, int status)
{
	stack_reveal(o->stack, true, answer(o, status));
}

/* A member that is a whole number from 0; absent leaves *ret as it is. */
static bool read_number(struct order *o, const char *name, uint64_t *ret)
{
	struct span value = json_get(o->body, name);
	int64_t n;

	if (!value.p)
		return true;
	if (!json_int(value, &n) || n < 0)
		return false;
	*ret = (uint64_t)n;
	return true;
}

/* --- health, log --- */

static void get_health(struct order *o)
{
	buf_addf(answer(o, 200), "{\"ok\":true,\"version\":\"%s\",\"stacks\":%zu,\"seq\":%llu}",
		 STACKSFS_VERSION, account_count(o->e->account),
		 (unsigned long long)reqlog_last(o->e->log));
}

static void get_log(struct order *o)
{
	const char *query = o->x->rq.query;
	uint64_t since = 0;

	if (query && !strncmp(query, "since=", 6))
		since = strtoull(query + 6, NULL, 10);
	reqlog_dump(o->e->log, since, answer(o, 200));
}

static void delete_log(struct order *o)
{
	reqlog_clear(o->e->log);
	o->x->reply.status = 204;
}

/* --- waiting for requests --- */

static void answer_wait(struct emulator *e, struct exchange *x, int status)
{
	reply_json(&x->reply, status);
	buf_addf(&x->reply.body, "{\"count\":%llu,\"seq\":%llu}",
		 (unsigned long long)x->waiter->count, (unsigned long long)reqlog_last(e->log));
}

static void post_wait(struct order *o)
{
	struct waiter *w = mem_zalloc(sizeof(*w));
	uint64_t timeout_ms = WAIT_DEFAULT_MS;

	w->want = 1;
	w->x = o->x;
	w->filter.method = json_decode(json_get(o->body, "method"));
	w->filter.path = json_decode(json_get(o->body, "path"));
	w->filter.answered = json_is_true(json_get(o->body, "answered"));
	o->x->waiter = w;
	TAILQ_INSERT_TAIL(&o->e->waiters, w, link);
	if (!read_number(o, "since", &w->filter.since) || !read_number(o, "count", &w->want) ||
	    !read_number(o, "timeout_ms", &timeout_ms)) {
		refuse(o, 400, "since, count and timeout_ms are numbers");
		return;
	}
	w->count = reqlog_count(o->e->log, &w->filter);
	if (w->count >= w->want) {
		answer_wait(o->e, o->x, 200);
		return;
	}
	o->x->phase = PHASE_WAITING;
	o->x->wake_ms = clock_ms() + timeout_ms;
}

void control_tell_waiters(struct emulator *e, enum reqlog_event event, uint64_t seq)
{
	struct waiter *w;

	TAILQ_FOREACH(w, &e->waiters, link) {
		enum reqlog_event wanted = w->filter.answered ? REQLOG_ANSWERED : REQLOG_ARRIVED;

		if (event != wanted || !reqlog_matches(e->log, seq, &w->filter))
			continue;
		if (++w->count >= w->want)
			server_wake(e->server, w->x);
	}
}

enum verdict control_waited(struct emulator *e, struct exchange *x)
{
	bool enough = x->waiter->count >= x->waiter->want;

	if (!enough && clock_ms() < x->wake_ms)
		return VERDICT_PARK;
	answer_wait(e, x, enough ? 200 : 408);
	return VERDICT_ANSWER;
}

void control_forget(struct emulator *e, struct exchange *x)
{
	struct waiter *w = x->waiter;

	if (!w)
		return;
	TAILQ_REMOVE(&e->waiters, w, link);
	free(w->filter.method);
	free(w->filter.path);
	free(w);
	x->waiter = NULL;
}

/* --- faults --- */

static void get_faults(struct order *o)
{
	faults_dump(o->e->faults, answer(o, 200));
}

static void post_fault(struct order *o)
{
	const char *why;
	unsigned id;

	if (faults_add(o->e->faults, o->body, &id, &why) < 0)
		refuse(o, 400, why);
	else
		buf_addf(answer(o, 201), "{\"id\":%u}", id);
}

static bool hangs_on_removed(const struct exchange *x)
{
	return x->phase == PHASE_HUNG && x->fault && x->fault->removed;
}

static void remove_faults(struct order *o, unsigned id)
{
	if (faults_remove(o->e->faults, id) < 0) {
		refuse(o, 404, "no such fault");
		return;
	}
	server_wake_if(o->e->server, hangs_on_removed);
	o->x->reply.status = 204;
}

static void delete_faults(struct order *o)
{
	remove_faults(o, 0);
}

static void delete_fault(struct order *o)
{
	unsigned long id = strtoul(o->segments[1], NULL, 10);

	/* 0 would mean all, and is no fault's number */
	remove_faults(o, id && id < UINT32_MAX ? (unsigned)id : UINT32_MAX);
}

/* --- the account --- */

static void get_account(struct order *o)
{
	account_dump(o->e->account, answer(o, 200));
}

static void put_account(struct order *o)
{
	if (account_load(o->e->account, o->body) < 0)
		refuse(o, 400, "an array of objects with different _id is needed");
	else
		o->x->reply.status = 204;
}

static void post_stack(struct order *o)
{
	if (account_add(o->e->account, o->body, &o->stack) < 0)
		refuse(o, 409, "that _id is taken");
	else
		answer_stack(o, 201);
}

static void get_stack(struct order *o)
{
	answer_stack(o, 200);
}

/* A colleague's change. */
static void patch_stack(struct order *o)
{
	CLEANUP(buf_done) struct buf old = { 0 }, merged = { 0 }, dated = { 0 };
	struct span modified;
	char now[CLOCK_ISO_SIZE + 2];

	stack_reveal(o->stack, false, &old);
	json_merge(&merged, buf_view(&old), o->body);
	modified = json_get(buf_view(&merged), "lastModified");
	if (modified.p && !json_get(o->body, "lastModified").p) {
		now[0] = '"';
		clock_iso(stack_next_modified(o->stack), now + 1);
		memcpy(now + strlen(now), "\"", 2);
		json_splice(&dated, buf_view(&merged), modified, span_str(now));
	} else {
		buf_span(&dated, buf_view(&merged));
	}
	stack_set_text(o->stack, buf_view(&dated));
	answer_stack(o, 200);
}

static void delete_stack(struct order *o)
{
	o->stack->deleted = true;
	o->x->reply.status = 204;
}

static void restore_stack(struct order *o)
{
	o->stack->deleted = false;
	answer_stack(o, 200);
}

static void rotate_token(struct order *o)
{
	stack_rotate(o->stack, account_seed(o->e->account));
	buf_addf(answer(o, 200), "{\"systemToken\":%s}", o->stack->token);
}

static void put_dependencies(struct order *o)
{
	stack_set_dependencies(o->stack, o->body);
	o->x->reply.status = 204;
}

/* --- configuration --- */

static bool read_modes(struct order *o, struct config *config)
{
	CLEANUP(mem_freep) char *etag = json_decode(json_get(o->body, "etag"));
	CLEANUP(mem_freep) char *paging = json_decode(json_get(o->body, "paging"));
	struct span gzip = json_get(o->body, "gzip");

	if (gzip.p)
		config->gzip = json_is_true(gzip);
	if (etag && config_etag(etag, &config->etag) < 0)
		return false;
	return !paging || !config_paging(paging, &config->paging);
}

static void put_config(struct order *o)
{
	struct config *config = &o->e->config, fresh = *config;
	char *token = json_decode(json_get(o->body, "token"));

	if (!read_number(o, "page_size", &fresh.page_size) || !fresh.page_size ||
	    !read_number(o, "latency_ms", &fresh.latency_ms) ||
	    !read_number(o, "rate", &fresh.rate) || !read_number(o, "burst", &fresh.burst) ||
	    !read_modes(o, &fresh)) {
		free(token);
		refuse(o, 400, "a value is not one of those that there are");
		return;
	}
	*config = fresh;
	if (token) {
		free(config->token);
		config->token = token;
	}
	o->e->bucket = (struct bucket){ 0 };
	o->x->reply.status = 204;
}

/* --- routing --- */

/* `*` is an id; NULL ends a path. */
static const struct route {
	const char *method;
	const char *path[SEGMENTS_MAX];
	void (*run)(struct order *o);
} routes[] = {
	{ "GET", { "health" }, get_health },
	{ "GET", { "log" }, get_log },
	{ "DELETE", { "log" }, delete_log },
	{ "POST", { "wait" }, post_wait },
	{ "GET", { "faults" }, get_faults },
	{ "POST", { "faults" }, post_fault },
	{ "DELETE", { "faults" }, delete_faults },
	{ "DELETE", { "faults", "+" }, delete_fault },
	{ "GET", { "account" }, get_account },
	{ "PUT", { "account" }, put_account },
	{ "POST", { "stacks" }, post_stack },
	{ "GET", { "stacks", "*" }, get_stack },
	{ "PUT", { "stacks", "*" }, patch_stack },
	{ "DELETE", { "stacks", "*" }, delete_stack },
	{ "POST", { "stacks", "*", "restore" }, restore_stack },
	{ "POST", { "stacks", "*", "rotate" }, rotate_token },
	{ "PUT", { "stacks", "*", "dependencies" }, put_dependencies },
	{ "PUT", { "config" }, put_config },
};

static bool fits(const char *pattern, const char *segment)
{
	if (!pattern || !segment)
		return !pattern && !segment;
	return !strcmp(pattern, "*") || !strcmp(pattern, "+") || !strcmp(pattern, segment);
}

static const struct route *find_route(const struct order *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		bool all = !strcmp(routes[i].method, o->x->rq.method);

		for (size_t k = 0; k < SEGMENTS_MAX; k++)
			all = all && fits(routes[i].path[k], o->segments[k]);
		if (all)
			return &routes[i];
	}
	return NULL;
}

static bool split_path(struct order *o, const char *path)
{
	for (size_t i = 0; *path; i++) {
		size_t n = strcspn(path, "/");

		if (i == SEGMENTS_MAX)
			return false;
		o->segments[i] = query_decode(span_of(path, n));
		path += n + (path[n] == '/');
	}
	return true;
}

static bool read_body(struct order *o)
{
	const struct request *rq = &o->x->rq;

	o->body = span_str("null");
	return !rq->too_large &&
	       (!rq->body.len || !json_check(buf_view(&rq->body), JSON_LAX, &o->body));
}

static void run(struct order *o)
{
	const struct route *route = NULL;

	if (split_path(o, o->x->rq.path + sizeof(base) - 1))
		route = find_route(o);
	if (!route) {
		refuse(o, 404, "no such control path");
		return;
	}
	if (!read_body(o)) {
		refuse(o, 400, "the body is not JSON, or too large");
		return;
	}
	if (route->path[1] && *route->path[1] == '*') {
		o->stack = account_find(o->e->account, span_str(o->segments[1]));
		if (!o->stack) {
			refuse(o, 404, "no such stack");
			return;
		}
	}
	route->run(o);
}

enum verdict control_answer(struct emulator *e, struct exchange *x)
{
	struct order o = { .e = e, .x = x };

	run(&o);
	for (size_t i = 0; i < SEGMENTS_MAX; i++)
		free(o.segments[i]);
	return x->phase == PHASE_WAITING ? VERDICT_PARK : VERDICT_ANSWER;
}
