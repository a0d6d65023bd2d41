/* SPDX-License-Identifier: MIT */
/* The scanner is a machine of few states: what may come next.  Nesting is one
 * bit a level, so neither the stack nor the heap grows with the text. */
#include "base/json.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum state {
	VALUE,       /* the value at the top */
	FIRST_VALUE, /* a value or ']' */
	FIRST_KEY,   /* a key or '}' */
	COLON,       /* ':' and then a value */
	AFTER_VALUE, /* a comma or a closing bracket; nothing at the top */
	COMPLETE,
	FAILED,
};

#define TOO_SHORT "the text ends too early"

void json_scan_init(struct json_scan *scan, const char *text, size_t len, unsigned flags)
{
	memset(scan, 0, sizeof(*scan));
	scan->text = text ? text : "";
	scan->len = len;
	scan->flags = flags;
	scan->state = VALUE;
}

/* Lines end with \n; a byte that is no UTF-8 counts as a character. */
static void locate(const char *text, size_t offset, struct json_error *e)
{
	e->line = 1;
	e->column = 1;
	for (size_t at = 0; at < offset;) {
		size_t n = utf8_length(text + at, offset - at);

		e->column++;
		if (text[at] == '\n') {
			e->line++;
			e->column = 1;
		}
		at += n ? n : 1;
	}
}

static int fail(struct json_scan *scan, size_t offset, const char *why)
{
	scan->state = FAILED;
	scan->error.why = why;
	scan->error.offset = offset;
	scan->error.incomplete = false;
	locate(scan->text, offset, &scan->error);
	return -EBADMSG;
}

/* What is wrong at offset, unless the text simply ends there. */
static int fail_or_end(struct json_scan *scan, size_t offset, const char *why)
{
	bool ends = offset >= scan->len;
	int r = fail(scan, ends ? scan->len : offset, ends ? TOO_SHORT : why);

	scan->error.incomplete = ends;
	return r;
}

static void set_token(struct json_scan *scan, size_t end)
{
	scan->token = scan->text + scan->at;
	scan->token_len = end - scan->at;
	scan->depth = scan->open;
	scan->at = end;
}

static bool in_object(const struct json_scan *scan)
{
	unsigned level = scan->open - 1u;

	return scan->stack[level / 8] >> (level % 8) & 1;
}

static void skip_space(struct json_scan *scan)
{
	const char *s = scan->text;
	size_t at = scan->at;

	while (at < scan->len && (s[at] == ' ' || s[at] == '\n' || s[at] == '\r' || s[at] == '\t'))
		at++;
	scan->at = at;
}

/* ---- strings ---- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The four hex digits at s, which is inside a string that was scanned. */
static uint32_t hex4(const char *s)
{
	uint32_t code = 0;

	for (int i = 0; i < 4; i++)
		code = code << 4 | (uint32_t)hex_value(s[i]);
	return code;
}

static bool is_high(uint32_t code)
{
	return code >= 0xd800 && code <= 0xdbff;
}

static bool is_low(uint32_t code)
{
	return code >= 0xdc00 && code <= 0xdfff;
}

/* *at is behind "\u"; go behind the digits. */
static int scan_hex4(struct json_scan *scan, size_t *at)
{
	for (size_t end = *at + 4; *at < end; (*at)++) {
		if (*at >= scan->len || hex_value(scan->text[*at]) < 0)
			return fail_or_end(scan, *at, "\\u without four hex digits");
	}
	return 0;
}

/* A surrogate is half a character and stands only in front of its other half. */
static int scan_surrogate(struct json_scan *scan, size_t first, uint32_t code, size_t *at)
{
	static const char why[] = "a \\u escape that is half of a character";
	const char *s = scan->text;

	if (is_low(code))
		return fail(scan, first, why);
	for (int i = 0; i < 2; i++) {
		if (*at + (size_t)i >= scan->len)
			return fail_or_end(scan, scan->len, why);
		if (s[*at + (size_t)i] != "\\u"[i])
			return fail(scan, first, why);
	}
	*at += 2;
	int r = scan_hex4(scan, at);
	if (r < 0)
		return r;
	return is_low(hex4(s + *at - 4)) ? 0 : fail(scan, first, why);
}

/* *at is behind the backslash. */
static int scan_escape(struct json_scan *scan, size_t *at)
{
	size_t first = *at - 1;

	if (*at >= scan->len)
		return fail_or_end(scan, *at, TOO_SHORT);
	char c = scan->text[(*at)++];
	if (c != 'u') {
		if (c && strchr("\"\\/bfnrt", c))
			return 0;
		return fail(scan, first, "an escape that JSON does not have");
	}
	int r = scan_hex4(scan, at);
	if (r < 0 || scan->flags & JSON_ANY_BYTES)
		return r;
	uint32_t code = hex4(scan->text + *at - 4);
	return is_high(code) || is_low(code) ? scan_surrogate(scan, first, code, at) : 0;
}

/* Whether the bytes could be the beginning of a character: whether there is an
 * end for them.  The first byte after a lead of E0 to F4 has the narrowest
 * range; one of the two extremes is in it. */
static bool is_cut_character(const char *s, size_t len)
{
	char low[4] = { '\x80', '\x80', '\x80', '\x80' };
	char high[4] = { '\xbf', '\xbf', '\xbf', '\xbf' };

	if (len == 0 || len > 3)
		return false;
	memcpy(low, s, len);
	memcpy(high, s, len);
	return utf8_length(low, 4) > len || utf8_length(high, 4) > len;
}

static int scan_wide(struct json_scan *scan, size_t *at)
{
	size_t n = utf8_length(scan->text + *at, scan->len - *at);

	if (n == 0 && !(scan->flags & JSON_ANY_BYTES)) {
		bool cut = is_cut_character(scan->text + *at, scan->len - *at);

		return fail_or_end(scan, cut ? scan->len : *at, "bytes that are not UTF-8");
	}
	*at += n ? n : 1;
	return 0;
}

/* Go to the next byte that is not an ordinary ASCII character of a string. */
static size_t plain_from(const struct json_scan *scan, size_t at)
{
	const unsigned char *s = (const unsigned char *)scan->text;

	while (at < scan->len && s[at] >= 0x20 && s[at] < 0x80 && s[at] != '"' && s[at] != '\\')
		at++;
	return at;
}

/* event: JSON_KEY or JSON_STRING. */
static int scan_string(struct json_scan *scan, enum json_event event)
{
	const unsigned char *s = (const unsigned char *)scan->text;
	size_t at = plain_from(scan, scan->at + 1);

	for (; at < scan->len && s[at] != '"'; at = plain_from(scan, at)) {
		int r;

		if (s[at] < 0x20)
			return fail(scan, at,
				    "a control character in a string (write \\n, \\t or "
				    "\\u00XX)");
		if (s[at] == '\\') {
			at++;
			r = scan_escape(scan, &at);
		} else {
			r = scan_wide(scan, &at);
		}
		if (r < 0)
			return r;
	}
	if (at >= scan->len)
		return fail_or_end(scan, at, TOO_SHORT);
	set_token(scan, at + 1);
	scan->state = event == JSON_KEY ? COLON : AFTER_VALUE;
	return event;
}

/* ---- the other tokens ---- */

static int scan_word(struct json_scan *scan, const char *word, enum json_event event)
{
	size_t at = scan->at;

	for (; *word; word++, at++) {
		if (at >= scan->len)
			return fail_or_end(scan, at, TOO_SHORT);
		if (scan->text[at] != *word)
			return fail(scan, scan->at, "a word that is no value (without quotes?)");
	}
	set_token(scan, at);
	scan->state = AFTER_VALUE;
	return event;
}

static size_t digits_from(const struct json_scan *scan, size_t at)
{
	while (at < scan->len && scan->text[at] >= '0' && scan->text[at] <= '9')
		at++;
	return at;
}

static char char_at(const struct json_scan *scan, size_t at)
{
	return at < scan->len ? scan->text[at] : '\0';
}

/* number = [ "-" ] int [ "." digits ] [ ("e" / "E") [ "+" / "-" ] digits ] */
static int scan_number(struct json_scan *scan)
{
	static const char why[] = "a digit is missing in a number";
	size_t at = scan->at + (char_at(scan, scan->at) == '-');
	size_t end = digits_from(scan, at);

	if (end == at)
		return fail_or_end(scan, end, why);
	if (scan->text[at] == '0' && end > at + 1)
		return fail(scan, at, "a number that begins with 0");
	if (char_at(scan, end) == '.') {
		at = end + 1;
		end = digits_from(scan, at);
		if (end == at)
			return fail_or_end(scan, end, why);
	}
	if (char_at(scan, end) == 'e' || char_at(scan, end) == 'E') {
		at = end + 1;
		at += char_at(scan, at) == '+' || char_at(scan, at) == '-';
		end = digits_from(scan, at);
		if (end == at)
			return fail_or_end(scan, end, why);
	}
	set_token(scan, end);
	scan->state = AFTER_VALUE;
	return JSON_NUMBER;
}

static int begin(struct json_scan *scan, bool object)
{
	unsigned max = JSON_MAX_DEPTH + (scan->flags & JSON_IN_PAGE ? 1 : 0);

	if (scan->open >= max)
		return fail(scan, scan->at, "nested too deep");
	set_token(scan, scan->at + 1);
	unsigned char bit = (unsigned char)(1u << (scan->open % 8));
	unsigned char *byte = &scan->stack[scan->open / 8];
	*byte = (unsigned char)(object ? *byte | bit : *byte & ~bit);
	scan->open++;
	scan->state = object ? FIRST_KEY : FIRST_VALUE;
	return object ? JSON_OBJECT_BEGIN : JSON_ARRAY_BEGIN;
}

static int end(struct json_scan *scan)
{
	bool object = in_object(scan);

	scan->open--;
	set_token(scan, scan->at + 1);
	scan->state = AFTER_VALUE;
	return object ? JSON_OBJECT_END : JSON_ARRAY_END;
}

static int scan_value(struct json_scan *scan)
{
	char c = char_at(scan, scan->at);

	switch (c) {
	case '{':
	case '[':
		return begin(scan, c == '{');
	case '"':
		return scan_string(scan, JSON_STRING);
	case 't':
		return scan_word(scan, "true", JSON_TRUE);
	case 'f':
		return scan_word(scan, "false", JSON_FALSE);
	case 'n':
		return scan_word(scan, "null", JSON_NULL);
	}
	if (c == '-' || (c >= '0' && c <= '9'))
		return scan_number(scan);
	if (scan->at == 0 && scan->len >= 3 && memcmp(scan->text, "\xef\xbb\xbf", 3) == 0)
		return fail(scan, 0, "a byte order mark");
	return fail_or_end(scan, scan->at, "a value is missing");
}

static int scan_key(struct json_scan *scan)
{
	if (char_at(scan, scan->at) != '"')
		return fail_or_end(scan, scan->at, "a key in quotes is missing");
	return scan_string(scan, JSON_KEY);
}

static int scan_behind_value(struct json_scan *scan)
{
	char c = char_at(scan, scan->at);

	if (scan->open == 0) {
		if (scan->at < scan->len)
			return fail(scan, scan->at, "more text behind the value");
		set_token(scan, scan->at);
		scan->state = COMPLETE;
		return JSON_END;
	}
	bool object = in_object(scan);
	if (c == (object ? '}' : ']'))
		return end(scan);
	if (c != ',')
		return fail_or_end(scan, scan->at,
				   object ? "a comma or '}' is missing"
					  : "a comma or ']' is missing");
	scan->at++;
	skip_space(scan);
	return object ? scan_key(scan) : scan_value(scan);
}

int json_next(struct json_scan *scan)
{
	if (scan->state < COMPLETE)
		skip_space(scan);
	char c = char_at(scan, scan->at);

	switch ((enum state)scan->state) {
	case VALUE:
		return scan_value(scan);
	case FIRST_VALUE:
		return c == ']' ? end(scan) : scan_value(scan);
	case FIRST_KEY:
		return c == '}' ? end(scan) : scan_key(scan);
	case COLON:
		if (c != ':')
			return fail_or_end(scan, scan->at, "a ':' is missing");
		scan->at++;
		skip_space(scan);
		return scan_value(scan);
	case AFTER_VALUE:
		return scan_behind_value(scan);
	case COMPLETE:
		return JSON_END;
	case FAILED:
		break;
	}
	return -EBADMSG;
}

int json_skip(struct json_scan *scan, const char **ret, size_t *ret_len)
{
	const char *first = scan->token;
	unsigned depth = scan->depth;
	bool open = scan->state == FIRST_VALUE || scan->state == FIRST_KEY;

	while (open) {
		int event = json_next(scan);

		if (event < 0)
			return event;
		open = scan->depth > depth;
	}
	*ret = first;
	*ret_len = (size_t)(scan->token + scan->token_len - first);
	return 0;
}

/* ---- what strings stand for ---- */

static uint32_t unescape_unit(const char **at, const char *end)
{
	uint32_t code = hex4(*at);

	*at += 4;
	if (!is_high(code) || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
		return code;
	uint32_t low = hex4(*at + 2);
	if (!is_low(low))
		return code;
	*at += 6;
	return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
}

/* The bytes of the escape at *at, which goes behind it; 1 to 4. */
static size_t unescape_one(const char **at, const char *end, char out[4])
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	char c = (*at)[1];
	const char *simple = strchr(from, c);

	*at += 2;
	if (c == 'u')
		return utf8_encode(unescape_unit(at, end), out);
	out[0] = simple ? to[simple - from] : c;
	return 1;
}

/* The next run of bytes: up to an escape, or an escape's.  0 at the end. */
static size_t next_run(const char **at, const char *end, char room[4], const char **ret)
{
	size_t left = (size_t)(end - *at);

	*ret = *at;
	if (left > 0 && **at == '\\') {
		*ret = room;
		return unescape_one(at, end, room);
	}
	const char *escape = left > 0 ? memchr(*at, '\\', left) : NULL;
	size_t n = escape ? (size_t)(escape - *at) : left;
	*at += n;
	return n;
}

int json_unescape(const char *token, size_t len, struct buf *out)
{
	const char *at = token + 1, *end = token + len - 1, *run;
	size_t before = out->len, n;
	char room[4];

	while ((n = next_run(&at, end, room, &run)) > 0) {
		int r = buf_append(out, run, n);

		if (r < 0) {
			buf_cut(out, before);
			return r;
		}
	}
	/* So that out->data is there for an empty string too. */
	return buf_append(out, "", 0);
}

bool json_string_equals(const char *token, size_t len, const char *bytes)
{
	const char *at = token + 1, *end = token + len - 1, *run;
	size_t left = strlen(bytes), n;
	char room[4];

	while ((n = next_run(&at, end, room, &run)) > 0) {
		if (n > left || memcmp(run, bytes, n) != 0)
			return false;
		bytes += n;
		left -= n;
	}
	return left == 0;
}

/* ---- duplicate keys ---- */

/* Sorted rather than hashed: no text can make sorting slow. */
struct key {
	const char *bytes; /* unescaped */
	size_t len;
	size_t offset; /* in the text */
	size_t object; /* counts the objects of the text */
	bool escaped;
};

struct keys {
	struct key *all;
	size_t n, room;
	struct buf unescaped; /* of the escaped ones, one behind the other */
};

static void keys_done(struct keys *keys)
{
	free(keys->all);
	buf_done(&keys->unescaped);
}

static int keys_add(struct keys *keys, const struct json_scan *scan, size_t object)
{
	if (keys->n == keys->room) {
		size_t room = keys->room ? keys->room * 2 : 32;
		struct key *all = realloc(keys->all, room * sizeof(*all));

		if (!all)
			return -ENOMEM;
		keys->all = all;
		keys->room = room;
	}
	struct key *key = &keys->all[keys->n];
	*key = (struct key){
		.bytes = scan->token + 1,
		.len = scan->token_len - 2,
		.offset = (size_t)(scan->token - scan->text),
		.object = object,
		.escaped = memchr(scan->token, '\\', scan->token_len) != NULL,
	};
	if (key->escaped) {
		size_t before = keys->unescaped.len;
		int r = json_unescape(scan->token, scan->token_len, &keys->unescaped);

		if (r < 0)
			return r;
		key->len = keys->unescaped.len - before;
	}
	keys->n++;
	return 0;
}

/* Object, length, bytes; equal keys in the order of the text. */
static int compare_keys(const void *x, const void *y)
{
	const struct key *a = x, *b = y;

	if (a->object != b->object)
		return a->object < b->object ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	int c = memcmp(a->bytes, b->bytes, a->len);
	if (c != 0)
		return c;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* The offset of the first key of the text that was there before; or SIZE_MAX. */
static size_t keys_find_duplicate(struct keys *keys)
{
	const char *unescaped = keys->unescaped.data;
	size_t found = SIZE_MAX;

	for (size_t i = 0; i < keys->n; i++) {
		if (keys->all[i].escaped) {
			keys->all[i].bytes = unescaped;
			unescaped += keys->all[i].len;
		}
	}
	if (keys->n > 1)
		qsort(keys->all, keys->n, sizeof(*keys->all), compare_keys);
	for (size_t i = 1; i < keys->n; i++) {
		const struct key *a = &keys->all[i - 1], *b = &keys->all[i];

		if (a->object == b->object && a->len == b->len &&
		    memcmp(a->bytes, b->bytes, a->len) == 0 && b->offset < found)
			found = b->offset;
	}
	return found;
}

static int collect_keys(struct json_scan *scan, struct keys *keys)
{
	size_t object[JSON_MAX_DEPTH + 2]; /* by depth: which one is open there */
	size_t n_objects = 0;
	int event, r = 0;

	while (r == 0 && (event = json_next(scan)) != JSON_END) {
		if (event < 0)
			return event;
		if (event == JSON_OBJECT_BEGIN)
			object[scan->depth + 1] = n_objects++;
		else if (event == JSON_KEY)
			r = keys_add(keys, scan, object[scan->depth]);
	}
	return r;
}

int json_check(const char *text, size_t len, unsigned flags, struct json_error *ret_error)
{
	CLEANUP(keys_done) struct keys keys = { .unescaped = BUF_INIT(len) };
	struct json_scan scan;

	json_scan_init(&scan, text, len, flags);
	int r = collect_keys(&scan, &keys);
	if (r == 0) {
		size_t duplicate = keys_find_duplicate(&keys);

		if (duplicate != SIZE_MAX)
			r = fail(&scan, duplicate, "a key twice in one object");
	}
	if (r == -EBADMSG)
		*ret_error = scan.error;
	return r;
}

/* ---- layout ---- */

static int append_break(struct buf *out, unsigned depth)
{
	static const char spaces[] = "                                        ";
	int r = buf_append(out, "\n", 1);

	for (size_t left = depth * 2u; r == 0 && left > 0;) {
		size_t n = left < sizeof(spaces) - 1 ? left : sizeof(spaces) - 1;

		r = buf_append(out, spaces, n);
		left -= n;
	}
	return r;
}

/* What stands in front of an event's token: before is the event before it. */
static int append_lead(struct buf *out, int before, int event, unsigned depth)
{
	bool first = before == JSON_OBJECT_BEGIN || before == JSON_ARRAY_BEGIN;

	if (before == JSON_KEY)
		return buf_append(out, ": ", 2);
	if (event == JSON_OBJECT_END || event == JSON_ARRAY_END)
		return first ? 0 : append_break(out, depth);
	if (depth == 0)
		return 0;
	int r = first ? 0 : buf_append(out, ",", 1);
	return r < 0 ? r : append_break(out, depth);
}

static int layout(struct json_scan *scan, struct buf *out)
{
	int before = JSON_END, event;

	while ((event = json_next(scan)) != JSON_END) {
		if (event < 0)
			return event;
		int r = append_lead(out, before, event, scan->depth);
		if (r == 0)
			r = buf_append(out, scan->token, scan->token_len);
		if (r < 0)
			return r;
		before = event;
	}
	return buf_append(out, "\n", 1);
}

int json_layout(const char *text, size_t len, unsigned flags, struct buf *out)
{
	size_t before = out->len;
	struct json_scan scan;

	json_scan_init(&scan, text, len, flags);
	int r = layout(&scan, out);
	if (r < 0)
		buf_cut(out, before);
	return r;
}
