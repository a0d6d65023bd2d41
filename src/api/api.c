/* SPDX-License-Identifier: MIT */
#include "api/api.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/private.h"
#include "base/buf.h"
#include "base/json.h"

int api_new(struct http *http, const char *base_path, struct api **ret)
{
	CLEANUP(api_freep) struct api *api = calloc(1, sizeof(*api));

	if (!api)
		return -ENOMEM;
	api->http = http;
	api->base_path = strdup(base_path);
	if (!api->base_path)
		return -ENOMEM;
	*ret = TAKE_PTR(api);
	return 0;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	free(api->base_path);
	free(api);
}

/* ---- asking ---- */

/* One call under way, and whom to tell. */
struct call {
	struct api *api;
	enum api_endpoint endpoint;
	bool has_id; /* of the stack that is asked for */
	struct stack_id id;
	union {
		api_record_fn *record;
		api_secret_fn *secret;
		api_text_fn *text;
		api_plain_fn *plain;
	} done;
	void *arg;
	const char *etag; /* asked with; in room, or NULL */
	char room[];
};

static int call_new(const struct call *from, const char *etag, struct call **ret)
{
	size_t size = etag ? strlen(etag) + 1 : 0;
	struct call *c = malloc(sizeof(*c) + size);

	if (!c)
		return -ENOMEM;
	*c = *from;
	c->etag = etag ? memcpy(c->room, etag, size) : NULL;
	*ret = c;
	return 0;
}

/* The id is written by us, so no id can make another URL than its own. */
static void write_target(const struct call *c, char *out, size_t size)
{
	static const char *const below[API_N_ENDPOINTS] = {
		[API_ENDPOINT_TOKEN] = "/systemToken",
		[API_ENDPOINT_ROTATE] = "/systemToken",
		[API_ENDPOINT_DEPENDENCIES] = "/dependencies",
	};
	char hex[STACK_ID_HEX + 1];

	if (!c->has_id) {
		snprintf(out, size, "/v1/stacks");
		return;
	}
	stack_id_format(&c->id, hex);
	snprintf(out, size, "/v1/stacks/%s%s", hex, below[c->endpoint] ? below[c->endpoint] : "");
}

static int ask(const struct call *from, enum http_class class, const struct api_budget *budget,
	       struct http_spec spec, http_done_fn *done)
{
	char target[64];
	struct call *c;
	int r = call_new(from, spec.if_none_match, &c);

	if (r < 0)
		return r;
	write_target(c, target, sizeof(target));
	spec.target = target;
	spec.class = class;
	if (budget) {
		spec.timeout_ms = budget->timeout_ms;
		spec.tries_before = budget->tries_before;
		spec.pinned = budget->pinned;
		spec.token_no = budget->token_no;
		spec.patient = budget->patient;
	}
	r = endpoint_ask(c->api, c->endpoint, &spec, done, c, budget ? budget->ret_call : NULL);
	if (r < 0)
		free(c);
	return r;
}

void api_hurry(struct api *api, struct http_call *call)
{
	http_hurry(api->http, call);
}

/* ---- judging ---- */

/* 0, or an error in *e; *meta is filled in either way. */
static int judge(const struct call *c, const struct http_result *result, struct api_meta *meta,
		 struct api_error *e)
{
	int status = answer_judge(c->api, c->endpoint, result, c->etag != NULL, e);

	*meta = (struct api_meta){
		.began_ms = result->began_ms,
		.took_ms = result->took_ms,
		.token_no = result->token_no,
	};
	if (status < 0)
		return status;
	meta->not_modified = status == 304;
	/* A 304 may leave out what the caller already has. */
	meta->etag = status == 304 && !result->etag ? c->etag : result->etag;
	return 0;
}

/* An answer whose content cannot be taken; r says whose fault it is. */
static int refuse(const struct call *c, const struct http_result *result, struct api_error *e,
		  int r, const char *why)
{
	if (r == -ENOMEM)
		return answer_refuse(c->endpoint, result, e, r, "out of memory");
	return answer_refuse(c->endpoint, result, e, -EIO, "the answer cannot be used: %s", why);
}

/* ---- records ---- */

static int read_record(const struct call *c, const struct http_result *result, struct api_error *e,
		       struct record **ret)
{
	CLEANUP(record_unrefp) struct record *rec = NULL;
	char why[160];
	int r = record_parse(result->body, result->body_len, &rec, why, sizeof(why));

	if (r < 0)
		return refuse(c, result, e, r, why);
	if (c->has_id && stack_id_compare(&rec->id, &c->id) != 0)
		return refuse(c, result, e, -EBADMSG, "another stack than the one asked for");
	*ret = TAKE_PTR(rec);
	return 0;
}

static void record_done(void *arg, const struct http_result *result)
{
	CLEANUP(record_unrefp) struct record *rec = NULL;
	struct call *c = arg;
	struct api_meta meta;
	struct api_error e;
	int r = judge(c, result, &meta, &e);

	if (r == 0 && !meta.not_modified)
		r = read_record(c, result, &e, &rec);
	if (r < 0)
		meta.etag = NULL;
	c->done.record(c->arg, r < 0 ? &e : NULL, rec, &meta);
	free(c);
}

/* ---- tokens ---- */

/* Go through the members of the one object that text is, up to the key; 1 when
 * scan is at its value, 0 when there is none.  text has been checked. */
static int find_member(struct json_scan *scan, const char *key)
{
	int event = json_next(scan);

	if (event != JSON_OBJECT_BEGIN)
		return event < 0 ? event : -EBADMSG;
	while ((event = json_next(scan)) == JSON_KEY) {
		bool found = json_string_equals(scan->token, scan->token_len, key);
		const char *value;
		size_t len;

		event = json_next(scan);
		if (event < 0 || found)
			return event < 0 ? event : 1;
		int r = json_skip(scan, &value, &len);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What can be written into a file of one line. */
static bool is_token(const struct buf *token)
{
	for (size_t i = 0; i < token->len; i++) {
		unsigned char c = (unsigned char)token->data[i];

		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return token->len > 0;
}

/* {"systemToken": "..."}.  Read by the scanner and not into a tree, whose copies
 * nobody would wipe. */
static int parse_token(const char *json, size_t len, struct buf *out)
{
	struct json_error bad;
	struct json_scan scan;
	int r = json_check(json, len, JSON_ANY_BYTES, &bad);

	if (r < 0)
		return r;
	json_scan_init(&scan, json, len, JSON_ANY_BYTES);
	r = find_member(&scan, "systemToken");
	if (r <= 0 || scan.token[0] != '"')
		return -EBADMSG;
	r = json_unescape(scan.token, scan.token_len, out);
	if (r < 0)
		return r;
	return is_token(out) ? 0 : -EBADMSG;
}

static int read_token(const struct call *c, const struct http_result *result, struct api_error *e,
		      struct secret **ret)
{
	CLEANUP(buf_wipe) struct buf token = BUF_INIT(API_MAX_TOKEN_BYTES);
	int r = parse_token(result->body, result->body_len, &token);

	if (r == 0)
		r = secret_new(token.data, token.len, ret);
	return r < 0 ? refuse(c, result, e, r, "no systemToken of one line in it") : 0;
}

static void token_done(void *arg, const struct http_result *result)
{
	CLEANUP(secret_unrefp) struct secret *token = NULL;
	struct call *c = arg;
	struct api_meta meta;
	struct api_error e;
	int r = judge(c, result, &meta, &e);

	if (r == 0 && !meta.not_modified)
		r = read_token(c, result, &e, &token);
	if (r < 0)
		meta.etag = NULL;
	c->done.secret(c->arg, r < 0 ? &e : NULL, token, &meta);
	free(c);
}

/* ---- dependencies ---- */

/* Whether the map surely has no dependent: all its values are empty arrays.
 * text has been checked. */
static int has_none(const char *text, size_t len, bool *ret)
{
	struct json_scan scan;
	bool none = true;
	int event;

	json_scan_init(&scan, text, len, JSON_ANY_BYTES);
	if (json_next(&scan) != JSON_OBJECT_BEGIN)
		return -EBADMSG;
	while ((event = json_next(&scan)) == JSON_KEY && none)
		none = json_next(&scan) == JSON_ARRAY_BEGIN && json_next(&scan) == JSON_ARRAY_END;
	*ret = none;
	return 0;
}

static int read_dependencies(const struct call *c, const struct http_result *result,
			     struct api_error *e, struct buf *text, bool *ret_empty)
{
	const char *body = result->body;
	size_t len = result->body_len;
	struct json_error bad = { .why = "not a JSON object" };
	int r = json_check(body, len, JSON_ANY_BYTES, &bad);

	if (r == 0)
		r = has_none(body, len, ret_empty);
	if (r == 0)
		r = json_layout(body, len, JSON_ANY_BYTES, text);
	return r < 0 ? refuse(c, result, e, r, r == -EMSGSIZE ? "too large" : bad.why) : 0;
}

static void dependencies_done(void *arg, const struct http_result *result)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT(API_MAX_DEPENDENCIES_TEXT_BYTES);
	struct call *c = arg;
	struct api_meta meta;
	struct api_error e;
	bool empty = false;
	int r = judge(c, result, &meta, &e);

	if (r == 0 && !meta.not_modified)
		r = read_dependencies(c, result, &e, &text, &empty);
	if (r < 0) {
		meta.etag = NULL;
		buf_done(&text);
	}
	c->done.text(c->arg, r < 0 ? &e : NULL, text.data, text.len, empty, &meta);
	free(c);
}

/* ---- answers without content ---- */

static void plain_done(void *arg, const struct http_result *result)
{
	struct call *c = arg;
	struct api_meta meta;
	struct api_error e;
	int r = judge(c, result, &meta, &e);
	bool gone = c->endpoint == API_ENDPOINT_DELETE && result->status == 404;

	/* What an earlier try of this call may have deleted cannot be found by the next. */
	if (gone && result->processed_maybe)
		r = 0;
	c->done.plain(c->arg, r < 0 ? &e : NULL, &meta);
	free(c);
}

/* ---- the endpoints ---- */

int api_get_within(struct api *api, enum http_class class, const struct stack_id *id,
		   const char *etag, const struct api_budget *budget, api_record_fn *done,
		   void *arg)
{
	struct call c = { api, API_ENDPOINT_READ, true, *id, { .record = done }, arg, NULL };

	return ask(&c, class, budget, (struct http_spec){ .if_none_match = etag }, record_done);
}

int api_get(struct api *api, enum http_class class, const struct stack_id *id, const char *etag,
	    api_record_fn *done, void *arg)
{
	return api_get_within(api, class, id, etag, NULL, done, arg);
}

int api_get_token_within(struct api *api, enum http_class class, const struct stack_id *id,
			 const char *etag, const struct api_budget *budget, api_secret_fn *done,
			 void *arg)
{
	struct call c = { api, API_ENDPOINT_TOKEN, true, *id, { .secret = done }, arg, NULL };

	return ask(&c, class, budget, (struct http_spec){ .if_none_match = etag }, token_done);
}

int api_get_dependencies_within(struct api *api, enum http_class class, const struct stack_id *id,
				const char *etag, const struct api_budget *budget,
				api_text_fn *done, void *arg)
{
	struct call c = { api, API_ENDPOINT_DEPENDENCIES, true, *id, { .text = done }, arg, NULL };

	return ask(&c, class, budget, (struct http_spec){ .if_none_match = etag },
		   dependencies_done);
}

int api_put_within(struct api *api, const struct stack_id *id, const char *if_match,
		   const char *body, size_t len, const struct api_budget *budget,
		   api_record_fn *done, void *arg)
{
	struct call c = { api, API_ENDPOINT_UPDATE, true, *id, { .record = done }, arg, NULL };
	struct http_spec spec = { .if_match = if_match, .body = body, .body_len = len };

	return ask(&c, HTTP_CLASS_SAVE, budget, spec, record_done);
}

int api_post_within(struct api *api, const char *body, size_t len,
		    const struct api_budget *budget, api_record_fn *done, void *arg)
{
	struct call c = { api, API_ENDPOINT_CREATE, .done.record = done, .arg = arg };
	struct http_spec spec = { .body = body, .body_len = len };

	return ask(&c, HTTP_CLASS_SAVE, budget, spec, record_done);
}

int api_delete_within(struct api *api, const struct stack_id *id, const struct api_budget *budget,
		      api_plain_fn *done, void *arg)
{
	struct call c = { api, API_ENDPOINT_DELETE, true, *id, { .plain = done }, arg, NULL };

	return ask(&c, HTTP_CLASS_SAVE, budget, (struct http_spec){ 0 }, plain_done);
}

int api_rotate_token_within(struct api *api, const struct stack_id *id,
			    const struct api_budget *budget, api_plain_fn *done, void *arg)
{
	struct call c = { api, API_ENDPOINT_ROTATE, true, *id, { .plain = done }, arg, NULL };

	return ask(&c, HTTP_CLASS_SAVE, budget, (struct http_spec){ 0 }, plain_done);
}
