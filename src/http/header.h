/* SPDX-License-Identifier: MIT */
/* header: what may go into a request's header, and the few fields of an
 * answer's that are used, read with distrust.  Pure. */
#ifndef HTTP_HEADER_H
#define HTTP_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/transport.h"

#define HEADER_MAX_BYTES (64 * 1024) /* of all header lines of an answer, 1xx included */
#define HEADER_MAX_LINK_BYTES (16 * 1024)

/* Whether there is a byte and every one is in 0x21-0x7e: what may stand in a URL
 * or be a token.  libcurl sends a line end in a token as a line end. */
bool header_is_visible(const char *s, size_t len);

/* Whether the line (its end included) is a field of this name; then the value
 * without the white space around it. */
bool header_value(const char *line, size_t len, const char *name, const char **ret,
		  size_t *ret_len);

/* An entity tag as RFC 9110, 8.8.3 has it: safe to be sent back. */
bool header_is_etag(const char *value, size_t len);

/* Take what is wanted from one line into answer.  -EMSGSIZE, -ENOMEM, -EIO (a
 * content coding that was not asked for). */
NODISCARD int header_take(struct transport_answer *answer, const char *line, size_t len,
			  int64_t wall_ms);
/* Forget what was taken: a new answer begins (after a 1xx). */
void header_reset(struct transport_answer *answer);

#endif
