/* SPDX-License-Identifier: MIT */
/* json: a strict reader of JSON text (RFC 8259) that keeps every token as it
 * was written, which a tree of doubles and C strings cannot: 9007199254740993,
 * 1.10, "\/" and "\u0000" stay what they are.
 *
 * Threads: none of its own; a scanner belongs to one user. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/macros.h"

#define JSON_MAX_DEPTH 100

enum json_event {
	JSON_END, /* the text is complete */
	JSON_OBJECT_BEGIN,
	JSON_OBJECT_END,
	JSON_ARRAY_BEGIN,
	JSON_ARRAY_END,
	JSON_KEY,    /* token: the string with its quotes */
	JSON_STRING, /* token: with its quotes */
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
};

enum json_flags {
	/* Take bytes that are not UTF-8 inside strings: for answers, which are
	 * shown as they came.  (A text to be sent must be UTF-8.) */
	JSON_ANY_BYTES = 1,
	/* One level more than JSON_MAX_DEPTH: for an array of documents of which
	 * each alone may be that deep. */
	JSON_IN_PAGE = 2,
};

struct json_error {
	const char *why; /* a constant: "a comma or '}' is missing" */
	unsigned line;   /* from 1 */
	unsigned column; /* from 1, in characters */
	size_t offset;   /* bytes */
	bool incomplete; /* the text is right as far as it goes, and ends too early */
};

struct json_scan {
	const char *text;
	size_t len;
	unsigned flags;

	/* The current event's token; for a BEGIN or END the bracket. */
	const char *token;
	size_t token_len;
	unsigned depth;          /* of what encloses the token; 0 at the top */
	struct json_error error; /* set when json_next fails */

	size_t at;     /* private from here on */
	unsigned open; /* containers */
	unsigned char state;
	unsigned char stack[(JSON_MAX_DEPTH + 1 + 7) / 8];
};

void json_scan_init(struct json_scan *scan, const char *text, size_t len, unsigned flags);
/* The next enum json_event, or -EBADMSG with scan->error set (it then stays
 * there).  After JSON_END come only further JSON_ENDs. */
NODISCARD int json_next(struct json_scan *scan);
/* After a BEGIN or a scalar: go to the end of that value.  0 or -EBADMSG.  On
 * success *ret_len is the length of its text from the token it began with. */
NODISCARD int json_skip(struct json_scan *scan, const char **ret, size_t *ret_len);

/* Whether text is one JSON value, without a key twice in any object.
 * -EBADMSG with *ret_error set, -ENOMEM. */
NODISCARD int json_check(const char *text, size_t len, unsigned flags,
			 struct json_error *ret_error);

/* Append text anew: 2 spaces a level, one member a line, empty containers as
 * {} and [], a final newline; tokens as they are.  -EBADMSG, -EMSGSIZE, -ENOMEM. */
NODISCARD int json_layout(const char *text, size_t len, unsigned flags, struct buf *out);

/* Append the bytes that a string token (with its quotes) stands for.  They may
 * hold NULs; a lone surrogate comes out in its three-byte form (see utf8.h).
 * The token has been scanned before.  -EMSGSIZE, -ENOMEM. */
NODISCARD int json_unescape(const char *token, size_t len, struct buf *out);

/* Whether the string token stands for exactly these bytes. */
bool json_string_equals(const char *token, size_t len, const char *bytes);

#endif
