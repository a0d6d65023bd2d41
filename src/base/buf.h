/* SPDX-License-Identifier: MIT */
/* buf: a growable byte buffer that cannot outgrow its maximum.
 *
 * The bytes are always followed by a NUL, so data may be used as a string
 * where the content has none.  data is NULL until the first append.
 * Threads: none of its own; one user at a time.
 * Errors: -EMSGSIZE past max_bytes, -ENOMEM; a failed append changes nothing. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

#include "base/macros.h"

struct buf {
	char *data;
	size_t len;
	size_t cap;
	size_t max_bytes;
};

#define BUF_INIT(max)                                                                              \
	{                                                                                          \
		.max_bytes = (max)                                                                 \
	}

/* Free the bytes; the buffer may be used again.  buf_wipe clears them first. */
void buf_done(struct buf *buf);
void buf_wipe(struct buf *buf);

NODISCARD int buf_append(struct buf *buf, const void *bytes, size_t len);
NODISCARD int buf_puts(struct buf *buf, const char *s);
NODISCARD int buf_printf(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);
NODISCARD int buf_vprintf(struct buf *buf, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);

/* Take back all but the first len bytes, of which there are that many. */
void buf_cut(struct buf *buf, size_t len);

/* Append s as a JSON string literal, quotes included.  Bytes that are not
 * UTF-8 become U+FFFD, so the result is always valid JSON (RFC 8259). */
NODISCARD int buf_json_string(struct buf *buf, const char *s, size_t len);

/* The bytes, to be freed by the caller with free(); never NULL on success of
 * an append before it.  The buffer is empty afterwards. */
char *buf_steal(struct buf *buf);

#endif
