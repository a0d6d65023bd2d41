/* SPDX-License-Identifier: MIT */
/* json: JSON as the text that it is.
 * Values are spans of their source, so a number such as 9007199254740993 or 1.10, an escape, a lone
 * surrogate and the order of keys stay as somebody wrote them; no tree is built.  json_check()
 * comes first; everything else takes a value that has passed it (or a part of one).  No function
 * recurses on the text's own depth, but for json_merge(), which stops at a limit.  Threads: none
 * here. */
#ifndef EMULATOR_JSON_H
#define EMULATOR_JSON_H

#include "mem.h"

enum json_rigour {
	JSON_STRICT, /* RFC 8259, valid UTF-8 */
	JSON_LAX,    /* any bytes inside strings: what a broken server might send */
};

enum json_kind {
	JSON_ABSENT,
	JSON_OBJECT,
	JSON_ARRAY,
	JSON_STRING,
	JSON_NUMBER,
	JSON_BOOL,
	JSON_NULL,
};

/* One value and only white space around it: 0 and *ret is the value without that; else -EBADMSG. */
NODISCARD int json_check(struct span text, enum json_rigour rigour, struct span *ret);

enum json_kind json_kind(struct span value);

/* Walks the members of an object or the items of an array (whose key is absent). */
struct json_iter {
	const char *p, *end;
	bool object;
};
struct json_iter json_iterate(struct span container);
bool json_next(struct json_iter *it, struct span *ret_key, struct span *ret_value);

/* The member of that name, the last one if there are several (as JSON.parse has it); absent when
 * there is none or the value is no object.  outer.inner for the second. */
struct span json_get(struct span object, const char *name);
struct span json_get2(struct span object, const char *outer, const char *inner);
struct span json_get_like(struct span object, struct span key);

bool json_string_is(struct span string, struct span text);
/* The string's bytes; \u0000 and lone surrogates become U+FFFD.  NULL unless a string. */
char *json_decode(struct span string);
/* False, and *ret untouched, unless value is a whole number that fits. */
bool json_int(struct span value, int64_t *ret);
bool json_is_true(struct span value);

/* The same text without the white space between tokens. */
void json_minify(struct buf *out, struct span value);
/* Bytes as a JSON string; what is not UTF-8 becomes U+FFFD. */
void json_quote(struct buf *out, struct span bytes);
void json_quotes(struct buf *out, const char *s); /* null for NULL */
/* RFC 7396. */
void json_merge(struct buf *out, struct span target, struct span patch);
/* whole with its part replaced. */
void json_splice(struct buf *out, struct span whole, struct span part, struct span with);

/* Writes `"name":` or `,"name":`, and the same for a key that is JSON already. */
void json_key(struct buf *out, const char *name);
void json_raw_key(struct buf *out, struct span key);
void json_comma(struct buf *out);

#endif
