/* SPDX-License-Identifier: MIT */
/* error: why a request failed, for a program (err) and for people (the rest).
 *
 * One of the two places where answers become errno, by a table; the other is
 * the transport's.  All text is bounded, and holds no control bytes. */
#ifndef API_ERROR_H
#define API_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct api_error {
	int err;              /* negative errno; 0: no error */
	int status;           /* HTTP status, 0 when there was no answer */
	uint64_t call_no;     /* http_result.call_no */
	bool processed_maybe; /* a change that may have taken effect although it failed */
	bool may_retry;       /* the caller may try again after retry_in_ms */
	uint64_t retry_in_ms;
	char code[64];     /* the server's own; "" when it gave none */
	char message[256]; /* the server's own, or what went wrong here */
	char field[128];   /* the server's own; "" */
};

/* The errno for an HTTP status that is no success: section 3's table. */
int api_error_from_status(int status);

/* Fill in code, message and field from the body of an answer: the Error
 * envelope, or the bare {message} of a 401.  Whatever the body is, e->err is
 * set from status and e->message is not empty.  call_no and what follows from
 * the call, not from the answer, stay. */
void api_error_from_answer(struct api_error *e, int status, const char *body, size_t len);

/* err and a message of our own; code and field become empty, the rest stays. */
void api_error_set(struct api_error *e, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Copy text that others wrote: cut at a character, control characters become
 * spaces, bytes that are not UTF-8 question marks.  size is at least 1. */
void api_error_text(char *out, size_t size, const char *s, size_t len);

#endif
