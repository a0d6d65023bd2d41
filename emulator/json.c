/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

enum {
	DEPTH_MAX = 1000000, /* of a text; one byte each while it is checked */
	MERGE_DEPTH_MAX = 64,
};

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && is_space(*p))
		p++;
	return p;
}

/* Bytes of the well-formed UTF-8 sequence at s, 0 if there is none (RFC 3629, section 4). */
static size_t utf8_len(const char *s, const char *end)
{
	static const struct {
		unsigned char lo, hi, lo2, hi2, len;
	} rows[] = {
		{ 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	const unsigned char *p = (const unsigned char *)s;
	size_t left = (size_t)(end - s);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (p[0] < rows[i].lo || p[0] > rows[i].hi)
			continue;
		if (left < rows[i].len)
			return 0;
		if (rows[i].len > 1 && (p[1] < rows[i].lo2 || p[1] > rows[i].hi2))
			return 0;
		for (size_t k = 2; k < rows[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return rows[i].len;
	}
	return 0;
}

/* --- checking --- */

static int hex4(const char *p, const char *end)
{
	int value = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		if (!isxdigit((unsigned char)p[i]))
			return -1;
		value = value * 16 +
			(isdigit((unsigned char)p[i]) ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
	}
	return value;
}

/* Past the escape whose backslash is at p, or NULL. */
static const char *check_escape(const char *p, const char *end)
{
	if (end - p < 2)
		return NULL;
	if (p[1] == 'u')
		return hex4(p + 2, end) < 0 ? NULL : p + 6;
	return p[1] && strchr("\"\\/bfnrt", p[1]) ? p + 2 : NULL;
}

static const char *check_string(const char *p, const char *end, enum json_rigour rigour)
{
	for (p++; p && p < end && *p != '"';) {
		size_t n = utf8_len(p, end);

		if (*p == '\\')
			p = check_escape(p, end);
		else if (rigour == JSON_LAX)
			p++;
		else if (!n || (unsigned char)*p < 0x20)
			return NULL;
		else
			p += n;
	}
	return p && p < end ? p + 1 : NULL;
}

static const char *skip_digits(const char *p, const char *end)
{
	const char *start = p;

	while (p < end && isdigit((unsigned char)*p))
		p++;
	return p > start ? p : NULL;
}

static const char *check_number(const char *p, const char *end)
{
	if (p < end && *p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else
		p = skip_digits(p, end);
	if (p && p < end && *p == '.')
		p = skip_digits(p + 1, end);
	if (p && p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		p = skip_digits(p, end);
	}
	return p;
}

static const char *check_scalar(const char *p, const char *end, enum json_rigour rigour)
{
	static const char *const words[] = { "true", "false", "null" };

	if (*p == '"')
		return check_string(p, end, rigour);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(end - p) >= n && !memcmp(p, words[i], n))
			return p + n;
	}
	return check_number(p, end);
}

/* Past `"key" :` or NULL. */
static const char *check_key(const char *p, const char *end, enum json_rigour rigour)
{
	p = skip_space(p, end);
	if (p == end || *p != '"')
		return NULL;
	p = check_string(p, end, rigour);
	if (!p)
		return NULL;
	p = skip_space(p, end);
	return p < end && *p == ':' ? p + 1 : NULL;
}

/* After a value: closes what ends here, and steps over the comma (and key) to the next value.
 * NULL if the text is wrong; nest is empty when the outermost value is complete. */
static const char *check_after(const char *p, const char *end, enum json_rigour rigour,
			       struct buf *nest)
{
	while (nest->len) {
		char open = nest->data[nest->len - 1];

		p = skip_space(p, end);
		if (p == end)
			return NULL;
		if (*p == ',')
			return open == '{' ? check_key(p + 1, end, rigour) : p + 1;
		if (*p != (open == '{' ? '}' : ']'))
			return NULL;
		nest->len--;
		p++;
	}
	return p;
}

/* Steps into the object or array at p: returns its closing bracket if it is empty, else where its
 * first value starts. */
static const char *check_open(const char *p, const char *end, enum json_rigour rigour,
			      struct buf *nest)
{
	char open = *p;

	buf_addc(nest, open);
	p = skip_space(p + 1, end);
	if (open == '[' || (p < end && *p == '}'))
		return p;
	return check_key(p, end, rigour);
}

/* One value at p, whatever its depth.  Past it, or NULL. */
static const char *check_value(const char *p, const char *end, enum json_rigour rigour)
{
	CLEANUP(buf_done) struct buf nest = { 0 };

	do {
		bool opened = false;

		p = skip_space(p, end);
		if (p == end || nest.len > DEPTH_MAX)
			return NULL;
		if (*p == '{' || *p == '[') {
			char close = *p == '{' ? '}' : ']';

			p = check_open(p, end, rigour, &nest);
			opened = p && p < end && *p != close;
		} else {
			p = check_scalar(p, end, rigour);
		}
		if (p && !opened)
			p = check_after(p, end, rigour, &nest);
	} while (p && nest.len);
	return p;
}

int json_check(struct span text, enum json_rigour rigour, struct span *ret)
{
	const char *end = text.p + text.len, *start = skip_space(text.p, end), *stop;

	stop = check_value(start, end, rigour);
	if (!stop || skip_space(stop, end) != end)
		return -EBADMSG;
	*ret = span_of(start, (size_t)(stop - start));
	return 0;
}

/* --- walking a checked text --- */

static const char *string_end(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p < end ? p + 1 : end;
}

static const char *value_end(const char *p, const char *end)
{
	size_t depth = 0;

	while (p < end) {
		if (*p == '"') {
			p = string_end(p, end);
		} else if (*p == '{' || *p == '[') {
			depth++;
			p++;
		} else if (*p == '}' || *p == ']') {
			if (!depth)
				return p;
			depth--;
			p++;
		} else if (!depth && (*p == ',' || *p == ':' || is_space(*p))) {
			return p;
		} else {
			p++;
			continue; /* inside a number or a word */
		}
		if (!depth)
			return p;
	}
	return p;
}

enum json_kind json_kind(struct span value)
{
	if (!value.p || !value.len)
		return JSON_ABSENT;
	switch (*value.p) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
	case 'f':
		return JSON_BOOL;
	case 'n':
		return JSON_NULL;
	default:
		return JSON_NUMBER;
	}
}

struct json_iter json_iterate(struct span container)
{
	enum json_kind kind = json_kind(container);

	if (kind != JSON_OBJECT && kind != JSON_ARRAY)
		return (struct json_iter){ 0 };
	return (struct json_iter){
		.p = container.p + 1,
		.end = container.p + container.len - 1,
		.object = kind == JSON_OBJECT,
	};
}

static struct span next_value(struct json_iter *it)
{
	const char *start = skip_space(it->p, it->end);

	it->p = value_end(start, it->end);
	return span_of(start, (size_t)(it->p - start));
}

bool json_next(struct json_iter *it, struct span *ret_key, struct span *ret_value)
{
	if (!it->p)
		return false;
	it->p = skip_space(it->p, it->end);
	if (it->p < it->end && *it->p == ',')
		it->p = skip_space(it->p + 1, it->end);
	if (it->p >= it->end)
		return false;
	*ret_key = (struct span){ 0 };
	if (it->object) {
		*ret_key = next_value(it);
		it->p = skip_space(it->p, it->end) + 1; /* the colon */
	}
	*ret_value = next_value(it);
	return true;
}

struct span json_get_like(struct span object, struct span key)
{
	struct json_iter it = json_iterate(object);
	struct span found = { 0 }, k, v;

	while (it.object && json_next(&it, &k, &v))
		if (json_string_is(k, key))
			found = v;
	return found;
}

struct span json_get(struct span object, const char *name)
{
	return json_get_like(object, span_str(name));
}

struct span json_get2(struct span object, const char *outer, const char *inner)
{
	return json_get(json_get(object, outer), inner);
}

/* --- strings and numbers --- */

static void add_utf8(struct buf *out, unsigned c)
{
	if (c < 0x80) {
		buf_addc(out, (char)c);
	} else if (c < 0x800) {
		buf_addc(out, (char)(0xc0 | c >> 6));
		buf_addc(out, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_addc(out, (char)(0xe0 | c >> 12));
		buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_addc(out, (char)(0x80 | (c & 0x3f)));
	} else {
		buf_addc(out, (char)(0xf0 | c >> 18));
		buf_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_addc(out, (char)(0x80 | (c & 0x3f)));
	}
}

/* The \u escape (or pair of them) at p; returns past it. */
static const char *decode_unicode(struct buf *out, const char *p, const char *end)
{
	unsigned c = (unsigned)hex4(p + 2, end);

	p += 6;
	if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
		unsigned low = (unsigned)hex4(p + 2, end);

		if (low >= 0xdc00 && low < 0xe000) {
			add_utf8(out, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
			return p + 6;
		}
	}
	if (!c || (c >= 0xd800 && c < 0xe000))
		buf_adds(out, replacement);
	else
		add_utf8(out, c);
	return p;
}

static void decode_into(struct buf *out, struct span string)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *p = string.p + 1, *end = string.p + string.len - 1;

	while (p < end) {
		const char *plain = memchr(p, '\\', (size_t)(end - p));
		const char *known;

		buf_add(out, p, (size_t)((plain ? plain : end) - p));
		if (!plain)
			return;
		p = plain;
		if (p[1] == 'u') {
			p = decode_unicode(out, p, end);
			continue;
		}
		known = strchr(from, p[1]);
		buf_addc(out, known ? to[known - from] : p[1]);
		p += 2;
	}
}

char *json_decode(struct span string)
{
	struct buf out = { 0 };

	if (json_kind(string) != JSON_STRING)
		return NULL;
	decode_into(&out, string);
	return buf_take(&out);
}

bool json_string_is(struct span string, struct span text)
{
	CLEANUP(buf_done) struct buf out = { 0 };

	if (json_kind(string) != JSON_STRING)
		return false;
	if (!memchr(string.p, '\\', string.len))
		return span_same(span_of(string.p + 1, string.len - 2), text);
	decode_into(&out, string);
	return span_same(buf_view(&out), text);
}

bool json_int(struct span value, int64_t *ret)
{
	char text[24], *end;
	long long n;

	if (json_kind(value) != JSON_NUMBER || value.len >= sizeof(text))
		return false;
	memcpy(text, value.p, value.len);
	text[value.len] = '\0';
	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno || *end)
		return false;
	*ret = n;
	return true;
}

bool json_is_true(struct span value)
{
	return span_is(value, "true");
}

/* --- writing --- */

void json_minify(struct buf *out, struct span value)
{
	const char *p = value.p, *end = value.p + value.len;

	while (p < end) {
		const char *start = p;

		if (*p == '"') {
			p = string_end(p, end);
			buf_add(out, start, (size_t)(p - start));
		} else if (is_space(*p)) {
			p++;
		} else {
			buf_addc(out, *p++);
		}
	}
}

static void quote_one(struct buf *out, const char *p, size_t n)
{
	if (!n)
		buf_adds(out, replacement);
	else if (*p == '"' || *p == '\\')
		buf_addf(out, "\\%c", *p);
	else if ((unsigned char)*p < 0x20)
		buf_addf(out, "\\u%04x", (unsigned char)*p);
	else
		buf_add(out, p, n);
}

void json_quote(struct buf *out, struct span bytes)
{
	const char *p = bytes.p, *end = bytes.p + bytes.len;

	buf_addc(out, '"');
	while (p < end) {
		size_t n = utf8_len(p, end);

		quote_one(out, p, n);
		p += n ? n : 1;
	}
	buf_addc(out, '"');
}

void json_quotes(struct buf *out, const char *s)
{
	if (s)
		json_quote(out, span_str(s));
	else
		buf_adds(out, "null");
}

void json_comma(struct buf *out)
{
	if (out->len && !strchr("{[", out->data[out->len - 1]))
		buf_addc(out, ',');
}

void json_key(struct buf *out, const char *name)
{
	json_comma(out);
	json_quotes(out, name);
	buf_addc(out, ':');
}

void json_raw_key(struct buf *out, struct span key)
{
	json_comma(out);
	buf_span(out, key);
	buf_addc(out, ':');
}

void json_splice(struct buf *out, struct span whole, struct span part, struct span with)
{
	const char *after = part.p + part.len;

	buf_add(out, whole.p, (size_t)(part.p - whole.p));
	buf_span(out, with);
	buf_add(out, after, (size_t)(whole.p + whole.len - after));
}

static struct span get_same_key(struct span object, struct span key)
{
	CLEANUP(buf_done) struct buf plain = { 0 };

	decode_into(&plain, key);
	return json_get_like(object, buf_view(&plain));
}

static void merge(struct buf *out, struct span target, struct span patch, int depth)
{
	struct json_iter it;
	struct span k, v, p;

	if (json_kind(patch) != JSON_OBJECT || depth > MERGE_DEPTH_MAX) {
		buf_span(out, patch);
		return;
	}
	buf_addc(out, '{');
	if (json_kind(target) != JSON_OBJECT)
		target = span_str("{}");
	for (it = json_iterate(target); json_next(&it, &k, &v);) {
		p = get_same_key(patch, k);
		if (json_kind(p) == JSON_NULL)
			continue;
		json_raw_key(out, k);
		if (p.p)
			merge(out, v, p, depth + 1);
		else
			buf_span(out, v);
	}
	for (it = json_iterate(patch); json_next(&it, &k, &p);) {
		if (json_kind(p) == JSON_NULL || get_same_key(target, k).p)
			continue;
		json_raw_key(out, k);
		merge(out, (struct span){ 0 }, p, depth + 1);
	}
	buf_addc(out, '}');
}

void json_merge(struct buf *out, struct span target, struct span patch)
{
	merge(out, target, patch, 0);
}
