/* SPDX-License-Identifier: MIT */
/* text: printing a long text, checked once at its end: writes after a failure
 * change nothing. */
#ifndef FS_TEXT_H
#define FS_TEXT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/macros.h"

struct text {
	struct buf buf;
	int err; /* of the first write that failed */
};

#define TEXT_INIT(max) { .buf = BUF_INIT(max) }

void text_put(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void text_put_string(struct text *t, const char *s); /* as a JSON string */
void text_put_bytes(struct text *t, const char *s, size_t len); /* likewise */
void text_put_time(struct text *t, int64_t unix_ms); /* likewise, RFC 3339 */
void text_put_errno(struct text *t, int err);        /* likewise, by name; err is negative */

#endif
