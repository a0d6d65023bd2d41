/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "encode.h"
#include "fault.h"
#include "json.h"
#include "random.h"

enum { FAULTS_MAX = 1000 };

struct faults {
	struct fault *list[FAULTS_MAX];
	unsigned n, made;
	struct random chance;
};

static const char *const kinds[] = {
	[FAULT_STATUS] = "status",   [FAULT_BODY] = "body",   [FAULT_DELAY] = "delay",
	[FAULT_HANG] = "hang",	     [FAULT_RESET] = "reset", [FAULT_TRUNCATE] = "truncate",
	[FAULT_GARBAGE] = "garbage", [FAULT_DROP] = "drop",   [FAULT_DRIP] = "drip",
};

struct faults *faults_new(uint64_t seed)
{
	struct faults *f = mem_zalloc(sizeof(*f));

	f->chance = random_of(seed);
	return f;
}

void fault_unref(struct fault *fault)
{
	if (!fault || --fault->refs)
		return;
	free(fault->spec);
	free(fault->method);
	free(fault->path);
	free(fault->query);
	reply_reset(&fault->reply);
	free(fault);
}
DEFINE_CLEANUP(struct fault, fault_unref)

void faults_free(struct faults *f)
{
	if (!f)
		return;
	faults_remove(f, 0);
	free(f);
}

const char *fault_kind_name(const struct fault *fault)
{
	return kinds[fault->kind];
}

/* --- reading a fault --- */

static int parse_kind(struct span spec, enum fault_kind *ret)
{
	struct span kind = json_get(spec, "kind");

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!json_string_is(kind, span_str(kinds[i])))
			continue;
		*ret = (enum fault_kind)i;
		return 0;
	}
	return -EINVAL;
}

/* A member that is a whole number from 0, or absent. */
static int parse_number(struct span spec, const char *name, uint64_t *ret)
{
	struct span value = json_get(spec, name);
	int64_t n;

	if (!value.p)
		return 0;
	if (!json_int(value, &n) || n < 0)
		return -EINVAL;
	*ret = (uint64_t)n;
	return 0;
}

static int parse_numbers(struct fault *fault, struct span spec)
{
	uint64_t at_byte = 0, status = fault->kind == FAULT_STATUS ? 500 : 200;
	const struct {
		const char *name;
		uint64_t *to;
	} rows[] = {
		{ "times", &fault->times },
		{ "skip", &fault->skip },
		{ "one_in", &fault->one_in },
		{ "delay_ms", &fault->delay_ms },
		{ "drip_ms", &fault->drip_ms },
		{ "at_byte", &at_byte },
		{ "status", &status },
		{ "repeat", &fault->reply.repeat },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (parse_number(spec, rows[i].name, rows[i].to) < 0)
			return -EINVAL;
	if (status < 200 || status > 599)
		return -EINVAL;
	fault->reply.status = (int)status;
	fault->at_byte = at_byte;
	fault->limited = fault->times > 0;
	return 0;
}

static int parse_body(struct reply *reply, struct span spec)
{
	CLEANUP(mem_freep) char *text = json_decode(json_get(spec, "body"));
	CLEANUP(mem_freep) char *base64 = json_decode(json_get(spec, "body_base64"));

	if (text)
		buf_adds(&reply->body, text);
	return base64 ? encode_from_base64(&reply->body, span_str(base64)) : 0;
}

static bool header_is(const struct reply *reply, const char *name)
{
	for (unsigned i = 0; i < reply->n_headers; i++)
		if (!strcasecmp(reply->headers[i].name, name))
			return true;
	return false;
}

/* An array as a value is that header several times. */
static void parse_headers(struct reply *reply, struct span headers)
{
	struct json_iter it = json_iterate(headers);
	struct span key, value, none;

	while (it.object && json_next(&it, &key, &value)) {
		CLEANUP(mem_freep) char *name = json_decode(key), *single = json_decode(value);
		struct json_iter items = json_iterate(value);

		if (single)
			reply_header(reply, name, single);
		while (!items.object && json_next(&items, &none, &value)) {
			CLEANUP(mem_freep) char *item = json_decode(value);

			if (item)
				reply_header(reply, name, item);
		}
	}
}

static void parse_encoding(struct reply *reply, struct span spec)
{
	CLEANUP(mem_freep) char *encoding = json_decode(json_get(spec, "content_encoding"));
	struct buf packed = { 0 };

	if (!encoding)
		return;
	reply_header(reply, "Content-Encoding", encoding);
	if (strcmp(encoding, "gzip") != 0)
		return;
	encode_gzip(&packed, buf_view(&reply->body), reply->repeat ? reply->repeat : 1);
	buf_done(&reply->body);
	reply->body = packed;
	reply->repeat = 0;
}

static int parse_reply(struct fault *fault, struct span spec)
{
	struct reply *reply = &fault->reply;
	int status = reply->status;

	fault->has_reply = fault->kind == FAULT_STATUS || fault->kind == FAULT_BODY ||
			   json_get(spec, "body").p || json_get(spec, "body_base64").p;
	if (parse_body(reply, spec) < 0)
		return -EINVAL;
	parse_headers(reply, json_get(spec, "headers"));
	if (fault->kind == FAULT_STATUS && !reply->body.len && status >= 300 && status != 304 &&
	    !json_get(spec, "body").p)
		reply_error(reply, status, "emulated_fault", NULL, "Emulated fault");
	else if (!header_is(reply, "Content-Type"))
		reply_json(reply, status);
	parse_encoding(reply, spec);
	return 0;
}

static int parse(struct fault *fault, struct span spec, const char **ret_why)
{
	*ret_why = "kind is not one of those that there are";
	if (parse_kind(spec, &fault->kind) < 0)
		return -EINVAL;
	*ret_why = "a number is none, or out of range";
	if (parse_numbers(fault, spec) < 0)
		return -EINVAL;
	*ret_why = "body_base64 is not base64";
	if (parse_reply(fault, spec) < 0)
		return -EINVAL;
	fault->method = json_decode(json_get(spec, "method"));
	fault->path = json_decode(json_get(spec, "path"));
	fault->query = json_decode(json_get(spec, "query"));
	fault->apply = fault->kind == FAULT_DROP || json_is_true(json_get(spec, "apply"));
	return 0;
}

int faults_add(struct faults *f, struct span spec, unsigned *ret_id, const char **ret_why)
{
	CLEANUP(fault_unrefp) struct fault *fault = mem_zalloc(sizeof(*fault));
	int r;

	fault->refs = 1;
	*ret_why = "there are too many faults";
	if (f->n == FAULTS_MAX)
		return -EINVAL;
	r = parse(fault, spec, ret_why);
	if (r < 0)
		return r;
	fault->spec = mem_dup(spec.p, spec.len);
	fault->id = ++f->made;
	*ret_id = fault->id;
	f->list[f->n++] = TAKE_PTR(fault);
	return 0;
}

int faults_remove(struct faults *f, unsigned id)
{
	unsigned kept = 0, before = f->n;

	for (unsigned i = 0; i < f->n; i++) {
		struct fault *fault = f->list[i];

		if (id && fault->id != id) {
			f->list[kept++] = fault;
			continue;
		}
		fault->removed = true;
		fault_unref(fault);
	}
	f->n = kept;
	return id && kept == before ? -ENOENT : 0;
}

void faults_dump(const struct faults *f, struct buf *out)
{
	buf_addc(out, '[');
	for (unsigned i = 0; i < f->n; i++) {
		const struct fault *fault = f->list[i];

		json_comma(out);
		buf_addf(out, "{\"id\":%u,\"taken\":%llu,\"spec\":%s}", fault->id,
			 (unsigned long long)fault->taken, fault->spec);
	}
	buf_addc(out, ']');
}

static bool fits(const char *pattern, const char *text)
{
	return !pattern || !strcmp(pattern, text) || !fnmatch(pattern, text, 0);
}

struct fault *faults_take(struct faults *f, const struct request *rq)
{
	for (unsigned i = 0; i < f->n; i++) {
		struct fault *fault = f->list[i];

		if ((fault->limited && !fault->times) ||
		    (fault->method && strcmp(fault->method, rq->method) != 0) ||
		    !fits(fault->path, rq->path) || !fits(fault->query, rq->query ? rq->query : ""))
			continue;
		if (fault->skip) {
			fault->skip--;
			continue;
		}
		if (fault->one_in && random_below(&f->chance, fault->one_in))
			continue;
		if (fault->limited)
			fault->times--;
		fault->taken++;
		fault->refs++;
		return fault;
	}
	return NULL;
}
