/* SPDX-License-Identifier: MIT */
#include "api/record.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/date.h"
#include "base/buf.h"
#include "base/json.h"

/* What the text says, before there is a record. */
struct fields {
	bool has_id, has_created, has_modified;
	struct stack_id id;
	enum stack_type type;
	int64_t created_ms, modified_ms;
	struct buf name;
	const char *wrong; /* with the member that was refused; a constant */
};

struct value {
	int event; /* enum json_event: what it begins with */
	const char *token;
	size_t len;
};

static const char *const type_names[] = {
	[STACK_OTHER] = "other",
	[STACK_SERVER] = "server",
	[STACK_LAMBDA] = "lambda",
};

const char *stack_type_name(enum stack_type type)
{
	return type_names[type];
}

static int wrong(struct fields *f, const char *what)
{
	f->wrong = what;
	return -EBADMSG;
}

static int take_id(struct fields *f, const struct value *v)
{
	if (v->event != JSON_STRING || stack_id_parse(v->token + 1, v->len - 2, &f->id) < 0)
		return wrong(f, "is not a string of 24 hex digits");
	f->has_id = true;
	return 0;
}

static int take_name(struct fields *f, const struct value *v)
{
	if (v->event == JSON_NULL)
		return 0;
	if (v->event != JSON_STRING)
		return wrong(f, "is not a string");
	return json_unescape(v->token, v->len, &f->name);
}

static int take_type(struct fields *f, const struct value *v)
{
	if (v->event == JSON_NULL)
		return 0;
	if (v->event != JSON_STRING)
		return wrong(f, "is not a string");
	for (size_t i = STACK_SERVER; i < ARRAY_SIZE(type_names); i++) {
		if (json_string_equals(v->token, v->len, type_names[i]))
			f->type = (enum stack_type)i;
	}
	return 0;
}

/* A date that cannot be read is as good as none: it is only shown. */
static int take_date(struct fields *f, const struct value *v, bool *has, int64_t *ret_ms)
{
	if (v->event == JSON_NULL)
		return 0;
	if (v->event != JSON_STRING)
		return wrong(f, "is not a string");
	*has = date_parse(v->token + 1, v->len - 2, ret_ms) == 0;
	return 0;
}

static int take_created(struct fields *f, const struct value *v)
{
	return take_date(f, v, &f->has_created, &f->created_ms);
}

static int take_modified(struct fields *f, const struct value *v)
{
	return take_date(f, v, &f->has_modified, &f->modified_ms);
}

static int take_settings(struct fields *f, const struct value *v)
{
	bool fits = v->event == JSON_NULL || v->event == JSON_OBJECT_BEGIN;

	return fits ? 0 : wrong(f, "is not an object");
}

static const struct {
	const char *key;
	int (*take)(struct fields *f, const struct value *v);
} known[] = {
	{ "_id", take_id },
	{ "name", take_name },
	{ "type", take_type },
	{ "createdAt", take_created },
	{ "lastModified", take_modified },
	{ "server", take_settings },
	{ "lambda", take_settings },
};

static int refuse(char *why, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);

static int refuse(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return -EBADMSG;
}

static int take_member(struct fields *f, const char *key, size_t key_len, const struct value *v,
		       char *why, size_t why_size)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!json_string_equals(key, key_len, known[i].key))
			continue;
		int r = known[i].take(f, v);

		if (r == -EBADMSG)
			refuse(why, why_size, "%s %s", known[i].key, f->wrong);
		return r;
	}
	return 0;
}

/* text has been checked. */
static int read_fields(const char *text, size_t len, struct fields *f, char *why, size_t why_size)
{
	struct json_scan scan;
	int r;

	json_scan_init(&scan, text, len, JSON_ANY_BYTES);
	if (json_next(&scan) != JSON_OBJECT_BEGIN)
		return refuse(why, why_size, "not a JSON object");
	while ((r = json_next(&scan)) == JSON_KEY) {
		const char *key = scan.token;
		size_t key_len = scan.token_len;
		struct value v = { .event = json_next(&scan) };

		r = json_skip(&scan, &v.token, &v.len);
		if (r == 0)
			r = take_member(f, key, key_len, &v, why, why_size);
		if (r < 0)
			return r;
	}
	if (!f->has_id)
		return refuse(why, why_size, "_id is missing");
	return 0;
}

static int check(const char *json, size_t len, char *why, size_t why_size)
{
	struct json_error e;
	int r = json_check(json, len, JSON_ANY_BYTES, &e);

	if (r == -EBADMSG)
		refuse(why, why_size, "not JSON: %s at line %u, column %u", e.why, e.line,
		       e.column);
	return r;
}

static struct record *record_make(const struct fields *f, const struct buf *text)
{
	size_t name_len = f->name.len;
	struct record *rec = malloc(sizeof(*rec) + name_len + 1 + text->len + 1);

	if (!rec)
		return NULL;
	char *name = (char *)(rec + 1), *body = name + name_len + 1;
	if (name_len)
		memcpy(name, f->name.data, name_len);
	name[name_len] = '\0';
	memcpy(body, text->data, text->len + 1);

	int64_t created = f->has_created ? f->created_ms : stack_id_time_ms(&f->id);
	*rec = (struct record){
		.refs = 1,
		.id = f->id,
		.type = f->type,
		.created_ms = created,
		.modified_ms = f->has_modified ? f->modified_ms : created,
		.name_len = (uint32_t)name_len,
		.text_len = (uint32_t)text->len,
		.name = name,
		.text = body,
	};
	return rec;
}

static void fields_done(struct fields *f)
{
	buf_done(&f->name);
}

static int parse(const char *json, size_t len, struct fields *f, struct buf *text, char *why,
		 size_t why_size)
{
	int r = check(json, len, why, why_size);

	if (r == 0)
		r = read_fields(json, len, f, why, why_size);
	if (r == 0)
		r = json_layout(json, len, JSON_ANY_BYTES, text);
	return r;
}

int record_parse(const char *json, size_t len, struct record **ret, char *why, size_t why_size)
{
	CLEANUP(fields_done) struct fields f = { .name = BUF_INIT(RECORD_MAX_BYTES) };
	CLEANUP(buf_done) struct buf text = BUF_INIT(RECORD_MAX_BYTES);
	int r = len > RECORD_MAX_BYTES ? -EMSGSIZE : parse(json, len, &f, &text, why, why_size);

	if (r == -EMSGSIZE) {
		refuse(why, why_size, "larger than %d bytes", RECORD_MAX_BYTES);
		return -EFBIG;
	}
	struct record *rec = r == 0 ? record_make(&f, &text) : NULL;
	if (r == -ENOMEM || (r == 0 && !rec)) {
		refuse(why, why_size, "out of memory");
		return -ENOMEM;
	}
	if (r < 0)
		return r;
	*ret = rec;
	return 0;
}

struct record *record_ref(struct record *rec)
{
	if (rec)
		atomic_fetch_add_explicit(&rec->refs, 1, memory_order_relaxed);
	return rec;
}

void record_unref(struct record *rec)
{
	if (rec && atomic_fetch_sub_explicit(&rec->refs, 1, memory_order_acq_rel) == 1)
		free(rec);
}
