/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api.h"
#include "check.h"
#include "clock.h"
#include "encode.h"
#include "list.h"
#include "random.h"
#include "record.h"

/* What a path names. */
enum part { PART_NONE, PART_LIST, PART_RECORD, PART_TOKEN, PART_DEPENDENCIES };

struct call {
	struct emulator *e;
	struct exchange *x;
	enum part part;
	struct span id;	     /* as in the path */
	struct stack *stack; /* living; NULL: there is none */
	struct query query;
};

static void call_done(struct call *c)
{
	query_done(&c->query);
}

/* --- the operations --- */

static void not_found(struct call *c)
{
	/* The document has no body for this one. */
	if (c->part == PART_TOKEN)
		c->x->reply.status = 404;
	else
		reply_error(&c->x->reply, 404, "not_found", "_id", "Stack not found.");
}

static void answer_record(struct call *c, int status)
{
	reply_json(&c->x->reply, status);
	buf_span(&c->x->reply.body, stack_shown(c->stack));
}

/* The request's body as an object, or a 400. */
static bool read_object(struct call *c, struct span *ret)
{
	int r = json_check(buf_view(&c->x->rq.body), JSON_STRICT, ret);

	if (r >= 0 && json_kind(*ret) == JSON_OBJECT)
		return true;
	reply_error(&c->x->reply, 400, r < 0 ? "invalid_json" : "invalid_body", NULL,
		    r < 0 ? "The body is not JSON." : "The body is not a JSON object.");
	return false;
}

static char *etag_of(struct span body, enum etag_mode mode, const char *suffix)
{
	return mem_format("%s\"%016llx%s\"", mode == ETAG_WEAK ? "W/" : "",
			  (unsigned long long)random_hash(body), suffix);
}

/* The part of an entity tag that names the version: without W/, quotes and the suffix that tells
 * the compressed form. */
static struct span version_of(struct span tag)
{
	static const char suffix[] = "-gzip";
	const size_t n = sizeof(suffix) - 1;

	if (tag.len > 2 && !memcmp(tag.p, "W/", 2))
		tag = span_of(tag.p + 2, tag.len - 2);
	if (tag.len < 2 || tag.p[0] != '"' || tag.p[tag.len - 1] != '"')
		return (struct span){ 0 };
	tag = span_of(tag.p + 1, tag.len - 2);
	if (tag.len > n && !memcmp(tag.p + tag.len - n, suffix, n))
		tag.len -= n;
	return tag;
}

/* RFC 9110, 8.8.3.2 and 13.1: a weak tag on either side never matches strongly. */
static bool etag_matches(const char *header, struct span body, enum etag_mode mode, bool strongly)
{
	CLEANUP(mem_freep) char *ours = etag_of(body, ETAG_STRONG, "");
	struct span version = version_of(span_str(ours));

	if (!strcmp(header, "*"))
		return true;
	while (*header) {
		size_t n = strcspn(header, ", "), weak = !strncmp(header, "W/", 2);
		struct span other = version_of(span_of(header, n));

		if (!(strongly && (weak || mode == ETAG_WEAK)) && span_same(other, version))
			return true;
		header += n + strspn(header + n, ", ");
	}
	return false;
}

static bool precondition_holds(struct call *c)
{
	const char *if_match = c->x->rq.if_match;
	enum etag_mode mode = c->e->config.etag;

	if (!if_match || mode == ETAG_OFF ||
	    etag_matches(if_match, stack_shown(c->stack), mode, true))
		return true;
	reply_error(&c->x->reply, 412, "precondition_failed", NULL,
		    "The stack is not the version that If-Match names.");
	return false;
}

static void list_stacks(struct call *c)
{
	list_answer(c->e, &c->query, c->x);
}

static void create_stack(struct call *c)
{
	CLEANUP(buf_done) struct buf text = { 0 };
	char id[STACK_ID_LEN + 1];
	struct span body;

	if (!read_object(c, &body) || !check_request(body, NULL, &c->x->reply))
		return;
	account_make_id(c->e->account, id);
	record_build(&text, body, NULL, id, account_seed(c->e->account));
	if (account_add(c->e->account, buf_view(&text), &c->stack) < 0)
		abort(); /* an id just made is not taken */
	answer_record(c, 201);
}

static void get_stack(struct call *c)
{
	answer_record(c, 200);
}

static void update_stack(struct call *c)
{
	CLEANUP(buf_done) struct buf text = { 0 };
	struct span body;

	if (!precondition_holds(c) || !read_object(c, &body) ||
	    !check_request(body, c->stack, &c->x->reply))
		return;
	record_build(&text, body, c->stack, NULL, account_seed(c->e->account));
	stack_set_text(c->stack, buf_view(&text));
	answer_record(c, 200);
}

static void delete_stack(struct call *c)
{
	if (!precondition_holds(c))
		return;
	c->stack->deleted = true;
	c->x->reply.status = 204;
}

static void get_token(struct call *c)
{
	struct reply *reply = &c->x->reply;

	if (!c->stack->server || !c->stack->token) {
		not_found(c);
		return;
	}
	reply_json(reply, 200);
	buf_addf(&reply->body, "{\"systemToken\":%s}", c->stack->token);
}

static void rotate_token(struct call *c)
{
	if (!c->stack->server) {
		not_found(c);
		return;
	}
	stack_rotate(c->stack, account_seed(c->e->account));
	c->x->reply.status = 204;
}

static void get_dependencies(struct call *c)
{
	const char *map = c->stack ? c->stack->dependencies : NULL;

	reply_json(&c->x->reply, 200);
	buf_adds(&c->x->reply.body, map ? map : "{}");
}

static const struct operation {
	enum part part;
	const char *method;
	void (*run)(struct call *c);
} operations[] = {
	{ PART_LIST, "GET", list_stacks },
	{ PART_LIST, "POST", create_stack },
	{ PART_RECORD, "GET", get_stack },
	{ PART_RECORD, "PUT", update_stack },
	{ PART_RECORD, "DELETE", delete_stack },
	{ PART_TOKEN, "GET", get_token },
	{ PART_TOKEN, "DELETE", rotate_token },
	{ PART_DEPENDENCIES, "GET", get_dependencies },
};

/* --- from a request to its operation --- */

static enum part parse_path(const char *path, struct span *ret_id)
{
	static const char base[] = "/v1/stacks";
	size_t n = sizeof(base) - 1;

	if (strncmp(path, base, n) != 0)
		return PART_NONE;
	path += n;
	if (!*path)
		return PART_LIST;
	if (*path++ != '/' || !*path)
		return PART_NONE;
	*ret_id = span_of(path, strcspn(path, "/"));
	path += ret_id->len;
	if (!*path)
		return PART_RECORD;
	if (!strcmp(path, "/systemToken"))
		return PART_TOKEN;
	return strcmp(path, "/dependencies") ? PART_NONE : PART_DEPENDENCIES;
}

static struct call make_call(struct emulator *e, struct exchange *x)
{
	struct call c = { .e = e, .x = x };

	c.part = parse_path(x->rq.path, &c.id);
	query_parse(x->rq.query, &c.query);
	if (c.part > PART_LIST && stack_id_is_wellformed(c.id))
		c.stack = account_find(e->account, c.id);
	if (c.stack && c.stack->deleted)
		c.stack = NULL;
	return c;
}

static const struct operation *find_operation(enum part part, const char *method)
{
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		if (operations[i].part == part && !strcmp(operations[i].method, method))
			return &operations[i];
	return NULL;
}

enum auth api_auth(const struct emulator *e, const struct request *rq)
{
	static const char scheme[] = "Bearer ";
	const char *given = rq->authorization;
	size_t n = sizeof(scheme) - 1;

	if (!given)
		return AUTH_NONE;
	if (strncasecmp(given, scheme, n) != 0 || strcmp(given + n, e->config.token) != 0)
		return AUTH_BAD;
	return AUTH_OK;
}

/* --- misuse --- */

/* The query parameter that the document does not have for this path; NULL: none. */
static const char *strange_parameter(const struct call *c)
{
	const struct query *q = &c->query;

	if (q->unknown)
		return q->unknown;
	if (q->repeated)
		return q->repeated;
	if (q->cursor && (c->part != PART_LIST || !list_cursor_is_ours(c->e, q)))
		return "cursor";
	/* By id they are "silently ignored". */
	if (c->part == PART_RECORD || c->part == PART_LIST)
		return NULL;
	return q->include ? "include" : q->exclude ? "exclude" : NULL;
}

struct noter {
	struct reqlog *log;
	uint64_t seq;
};

static void note_found(void *arg, const char *what)
{
	const struct noter *n = arg;

	reqlog_note(n->log, n->seq, "%s", what);
}

static void note_body(struct emulator *e, const struct exchange *x)
{
	const struct request *rq = &x->rq;
	struct noter n = { e->log, x->seq };
	const char *type = rq->content_type;
	struct span body;

	if (!strcmp(rq->method, "GET") && rq->has_body)
		reqlog_note(e->log, x->seq, "body: on GET");
	if (strcmp(rq->method, "PUT") && strcmp(rq->method, "POST"))
		return;
	if (!type)
		reqlog_note(e->log, x->seq, "content-type: missing");
	else if (strncasecmp(type, "application/json", 16) || (type[16] && !strchr("; ", type[16])))
		reqlog_note(e->log, x->seq, "content-type: %s", type);
	if (!json_check(buf_view(&rq->body), JSON_STRICT, &body))
		record_find_misuse(body, note_found, &n);
}

void api_note_misuse(struct emulator *e, const struct exchange *x)
{
	CLEANUP(call_done) struct call c = make_call(e, (struct exchange *)x);
	const char *parameter = strange_parameter(&c);

	if (c.part == PART_NONE)
		reqlog_note(e->log, x->seq, "violation: path");
	else if (!find_operation(c.part, x->rq.method))
		reqlog_note(e->log, x->seq, "violation: method");
	else if (parameter)
		reqlog_note(e->log, x->seq, "violation: query parameter %s", parameter);
	if (c.part > PART_LIST && !stack_id_is_wellformed(c.id))
		reqlog_note(e->log, x->seq, "violation: malformed _id");
	note_body(e, x);
}

/* --- the answer --- */

/* Seconds to wait, 0 when there is room in the bucket. */
static unsigned over_limit(struct emulator *e)
{
	const struct config *config = &e->config;
	struct bucket *b = &e->bucket;
	double now = clock_precise_ms();

	if (!config->rate)
		return 0;
	b->level -= (now - b->at_ms) / 1000 * (double)config->rate;
	if (b->level < 0)
		b->level = 0;
	b->at_ms = now;
	if (b->level + 1 > (double)config->burst)
		return 1 + (unsigned)((b->level + 1 - (double)config->burst) / (double)config->rate);
	b->level += 1;
	return 0;
}

static bool admit(struct call *c)
{
	struct reply *reply = &c->x->reply;
	enum auth auth = api_auth(c->e, &c->x->rq);
	unsigned wait_s = over_limit(c->e);
	CLEANUP(mem_freep) char *seconds = mem_format("%u", wait_s);

	if (wait_s) {
		reply_error(reply, 429, "too_many_requests", NULL, "Rate limit exceeded.");
		reply_header(reply, "Retry-After", seconds);
		return false;
	}
	if (auth == AUTH_OK)
		return true;
	reply_json(reply, 401);
	buf_adds(&reply->body, auth == AUTH_NONE
				       ? "{\"message\":\"Unauthorized\"}"
				       : "{\"message\":\"Bearer Authentication Failed\"}");
	return false;
}

static void refuse_method(struct call *c)
{
	CLEANUP(buf_done) struct buf allow = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		if (operations[i].part == c->part)
			buf_addf(&allow, "%s%s", allow.len ? ", " : "", operations[i].method);
	reply_error(&c->x->reply, 405, "method_not_allowed", NULL, "%s is not allowed here.",
		    c->x->rq.method);
	reply_header(&c->x->reply, "Allow", allow.data);
}

/* A path that names nothing: true if it has been answered. */
static bool refuse_absent(struct call *c)
{
	if (c->part == PART_LIST || c->stack)
		return false;
	if (c->part != PART_DEPENDENCIES)
		not_found(c);
	else if (!stack_id_is_wellformed(c->id))
		reply_error(&c->x->reply, 400, "invalid_ref", "_id", "Not an id.");
	else
		return false; /* {} for a stack that is not there */
	return true;
}

static void dispatch(struct call *c)
{
	const struct operation *op = find_operation(c->part, c->x->rq.method);
	const char *parameter = strange_parameter(c);

	if (!admit(c))
		return;
	if (c->part == PART_NONE)
		reply_error(&c->x->reply, 404, "not_found", NULL, "No such path.");
	else if (!op)
		refuse_method(c);
	else if (parameter)
		reply_error(&c->x->reply, 400, "invalid_query_params", NULL,
			    "Query parameter %s is not allowed here.", parameter);
	else if (c->x->rq.too_large)
		reply_error(&c->x->reply, 413, "too_large", NULL, "The body is too large.");
	else if (!refuse_absent(c))
		op->run(c);
}

static bool wants_gzip(const struct call *c)
{
	return c->e->config.gzip && c->x->reply.body.len &&
	       encode_accepts_gzip(c->x->rq.accept_encoding);
}

static void compress(struct reply *reply)
{
	struct buf packed = { 0 };

	encode_gzip(&packed, buf_view(&reply->body), 1);
	buf_done(&reply->body);
	reply->body = packed;
	reply_header(reply, "Content-Encoding", "gzip");
	reply_header(reply, "Vary", "Accept-Encoding");
}

/* ETag on what is a version of something; 304 when the client has it. */
static void validate(struct call *c)
{
	struct reply *reply = &c->x->reply;
	enum etag_mode mode = c->e->config.etag;
	const char *known = c->x->rq.if_none_match;
	CLEANUP(mem_freep) char *etag = NULL;

	if (mode == ETAG_OFF || (reply->status != 200 && reply->status != 201))
		return;
	/* Strongly, the compressed form is another representation. */
	etag = etag_of(buf_view(&reply->body), mode,
		       mode == ETAG_STRONG && wants_gzip(c) ? "-gzip" : "");
	if (known && !strcmp(c->x->rq.method, "GET") &&
	    etag_matches(known, buf_view(&reply->body), mode, false)) {
		reply_reset(reply);
		reply->status = 304;
	}
	reply_header(reply, "ETag", etag);
}

void api_answer(struct emulator *e, struct exchange *x)
{
	CLEANUP(call_done) struct call c = make_call(e, x);

	dispatch(&c);
	validate(&c);
	if (wants_gzip(&c))
		compress(&x->reply);
}
