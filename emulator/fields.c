/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "fields.h"

enum {
	DEPTH_MAX = 16,	  /* dots of one field that are looked at */
	FIELDS_MAX = 256, /* of one list; the rest is ignored */
};

struct paths {
	struct span list[FIELDS_MAX];
	size_t n;
};

/* The identity that every summary has and that no exclude can take away. */
static const char *const identity[] = { "_id", "name" };

bool fields_are_wellformed(const char *list)
{
	return !list[strspn(list,
			    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._,")];
}

static void add(struct paths *paths, struct span path)
{
	if (path.len && paths->n < FIELDS_MAX)
		paths->list[paths->n++] = path;
}

static void split(struct paths *paths, const char *list)
{
	while (*list) {
		size_t n = strcspn(list, ",");

		add(paths, span_of(list, n));
		list += n + (list[n] == ',');
	}
}

static bool is_identity(struct span key)
{
	for (size_t i = 0; i < ARRAY_SIZE(identity); i++)
		if (json_string_is(key, span_str(identity[i])))
			return true;
	return false;
}

/* Whether the paths name the key itself; those that go on below it are put into *below. */
static bool names(const struct paths *paths, struct span key, struct paths *below)
{
	below->n = 0;
	for (size_t i = 0; i < paths->n; i++) {
		struct span path = paths->list[i];
		const char *dot = memchr(path.p, '.', path.len);
		size_t head = dot ? (size_t)(dot - path.p) : path.len;

		if (!json_string_is(key, span_of(path.p, head)))
			continue;
		if (!dot)
			return true;
		add(below, span_of(dot + 1, path.len - head - 1));
	}
	return false;
}

static void include(struct buf *out, struct span object, const struct paths *paths, int depth)
{
	struct json_iter it = json_iterate(object);
	struct span k, v;
	struct paths below;

	buf_addc(out, '{');
	while (json_next(&it, &k, &v)) {
		CLEANUP(buf_done) struct buf nested = { 0 };

		if (names(paths, k, &below) || (!depth && is_identity(k)))
			buf_span(&nested, v);
		else if (below.n && depth < DEPTH_MAX && json_kind(v) == JSON_OBJECT)
			include(&nested, v, &below, depth + 1);
		if (!nested.len || (below.n && !strcmp(nested.data, "{}")))
			continue;
		json_raw_key(out, k);
		buf_span(out, buf_view(&nested));
	}
	buf_addc(out, '}');
}

static void exclude(struct buf *out, struct span object, const struct paths *paths, int depth)
{
	struct json_iter it = json_iterate(object);
	struct span k, v;
	struct paths below;

	buf_addc(out, '{');
	while (json_next(&it, &k, &v)) {
		if (names(paths, k, &below) && (depth || !is_identity(k)))
			continue;
		json_raw_key(out, k);
		if (below.n && depth < DEPTH_MAX && json_kind(v) == JSON_OBJECT)
			exclude(out, v, &below, depth + 1);
		else
			buf_span(out, v);
	}
	buf_addc(out, '}');
}

void fields_include(struct buf *out, struct span record, const char *list)
{
	struct paths paths = { 0 };

	split(&paths, list);
	if (json_kind(record) == JSON_OBJECT)
		include(out, record, &paths, 0);
	else
		buf_span(out, record);
}

void fields_exclude(struct buf *out, struct span record, const char *list)
{
	struct paths paths = { 0 };

	split(&paths, list);
	if (json_kind(record) == JSON_OBJECT)
		exclude(out, record, &paths, 0);
	else
		buf_span(out, record);
}
