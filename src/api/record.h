/* SPDX-License-Identifier: MIT */
/* record: one stack as the API gave it: what the tree needs to know of it, and
 * its text as config.json shows it.
 *
 * A record is one allocation, immutable and counted.  Its text is the server's
 * own, laid out anew: 2-space indent, a final newline, keys in their order,
 * numbers and strings as they were written.
 * Threads: any thread may ref and unref. */
#ifndef API_RECORD_H
#define API_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/id.h"
#include "base/macros.h"

#define RECORD_MAX_BYTES (1024 * 1024) /* of a record, as sent and as laid out */

enum stack_type { STACK_OTHER, STACK_SERVER, STACK_LAMBDA };

struct record {
	_Atomic unsigned refs;
	struct stack_id id;
	enum stack_type type;
	int64_t created_ms;  /* Unix time; from the _id when the field is missing */
	int64_t modified_ms; /* Unix time; created_ms when the field is missing */
	uint32_t name_len;
	uint32_t text_len;
	const char *name; /* unescaped bytes, may hold NULs and broken UTF-8; "" when missing */
	const char *text;
};

/* Read one record from JSON text (one object).  why: a line for people on
 * failure, why_size bytes.  -EBADMSG (not a stack: no _id, wrong types,
 * duplicate keys, not JSON, nested too deep), -EFBIG, -ENOMEM. */
NODISCARD int record_parse(const char *json, size_t len, struct record **ret, char *why,
			   size_t why_size);
struct record *record_ref(struct record *record);
void record_unref(struct record *record); /* NULL is fine */
DEFINE_CLEANUP(struct record, record_unref)

const char *stack_type_name(enum stack_type type); /* "server", "lambda", "other" */

#endif
