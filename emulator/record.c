/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "clock.h"
#include "record.h"

static const char *const read_only[] = { "_id", "createdAt", "lastModified" };
/* Known ones: of several with one name the last counts.  Others are kept, doubles too. */
static const char *const known[] = { "name", "type", "framework", "server", "lambda" };

static bool is_any(struct span key, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (json_string_is(key, span_str(names[i])))
			return true;
	return false;
}

static void add_member(struct buf *out, struct span key, struct span value)
{
	json_raw_key(out, key);
	json_minify(out, value);
}

static void add_json(struct buf *out, const char *name, const char *json)
{
	json_key(out, name);
	buf_adds(out, json);
}

static void add_server(struct buf *out, struct span server, const char *token)
{
	struct json_iter it = json_iterate(server);
	struct span k, v;

	buf_addc(out, '{');
	add_json(out, "systemToken", token);
	while (json_next(&it, &k, &v))
		if (!json_string_is(k, span_str("systemToken")))
			add_member(out, k, v);
	buf_addc(out, '}');
}

/* secret: the old one, for a body without; NULL when there is none. */
static void add_lambda(struct buf *out, struct span lambda, const char *secret)
{
	struct json_iter it = json_iterate(lambda);
	bool missing = secret && !json_get(lambda, "secretAccessKey").p;
	struct span k, v;

	buf_addc(out, '{');
	while (json_next(&it, &k, &v)) {
		add_member(out, k, v);
		if (!missing || !json_string_is(k, span_str("accessKeyId")))
			continue;
		add_json(out, "secretAccessKey", secret);
		missing = false;
	}
	if (missing)
		add_json(out, "secretAccessKey", secret);
	buf_addc(out, '}');
}

/* Whether v is one of the values that count: looked up once, a body may have a million members. */
static bool counts(const struct span *last, struct span v)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (last[i].p == v.p)
			return true;
	return false;
}

static void add_members(struct buf *out, struct span body, const char *token, const char *secret)
{
	struct json_iter it = json_iterate(body);
	struct span server = json_get(body, "server"), lambda = json_get(body, "lambda"), k, v;
	struct span last[ARRAY_SIZE(known)];

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		last[i] = json_get(body, known[i]);
	while (json_next(&it, &k, &v)) {
		if (is_any(k, read_only, ARRAY_SIZE(read_only)))
			continue;
		if (is_any(k, known, ARRAY_SIZE(known)) && !counts(last, v))
			continue;
		json_raw_key(out, k);
		if (v.p == server.p && json_kind(v) == JSON_OBJECT)
			add_server(out, v, token);
		else if (v.p == lambda.p && json_kind(v) == JSON_OBJECT)
			add_lambda(out, v, secret);
		else
			json_minify(out, v);
	}
}

static void add_date(struct buf *out, const char *name, uint64_t wall_ms)
{
	char text[CLOCK_ISO_SIZE];

	clock_iso(wall_ms, text);
	json_key(out, name);
	json_quotes(out, text);
}

void record_build(struct buf *out, struct span body, const struct stack *before, const char *id,
		  uint64_t seed)
{
	struct span created =
		json_get(before ? stack_shown(before) : (struct span){ 0 }, "createdAt");
	/* What a new token is drawn for, if one is needed. */
	struct stack blank = { .id = before ? before->id : (char *)id };
	uint64_t now = before ? stack_next_modified(before) : clock_wall_ms();
	const char *token = before ? before->token : NULL;

	if (!token) {
		stack_rotate(&blank, seed);
		token = blank.token;
	}
	buf_addc(out, '{');
	json_key(out, "_id");
	json_quotes(out, blank.id);
	add_members(out, body, token, before ? before->secret : NULL);
	if (created.p)
		add_member(out, span_str("\"createdAt\""), created);
	else
		add_date(out, "createdAt", now);
	add_date(out, "lastModified", now);
	buf_addc(out, '}');
	mem_free(blank.token);
}

/* --- misuse --- */

struct finder {
	void (*note)(void *arg, const char *what);
	void *arg;
};

static void report(const struct finder *f, const char *kind, const char *outer, struct span key)
{
	CLEANUP(mem_freep) char *name = json_decode(key), *what = NULL;

	what = mem_format("%s: %s%s%s", kind, outer ? outer : "", outer ? "." : "", name);
	f->note(f->arg, what);
}

static bool is_mask(struct span value)
{
	return span_is(value, STACK_MASK);
}

static void find_inside(const struct finder *f, struct span object, struct span outer_key)
{
	CLEANUP(mem_freep) char *outer = json_decode(outer_key);
	struct json_iter it = json_iterate(object);
	bool server = !strcmp(outer, "server");
	struct span k, v;

	while (it.object && json_next(&it, &k, &v)) {
		if (server && json_string_is(k, span_str("systemToken")))
			report(f, "read-only", outer, k);
		if (is_mask(v))
			report(f, "mask", outer, k);
	}
}

void record_find_misuse(struct span body, void (*note)(void *arg, const char *what), void *arg)
{
	const struct finder f = { note, arg };
	struct json_iter it = json_iterate(body);
	struct span k, v;

	while (it.object && json_next(&it, &k, &v)) {
		if (is_any(k, read_only, ARRAY_SIZE(read_only)))
			report(&f, "read-only", NULL, k);
		if (is_mask(v) && !json_string_is(k, span_str("name")))
			report(&f, "mask", NULL, k);
		find_inside(&f, v, k);
	}
}
