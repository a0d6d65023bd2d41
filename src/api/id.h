/* SPDX-License-Identifier: MIT */
/* id: a stack's _id, 24 hex digits (a MongoDB ObjectId), as 12 bytes. */
#ifndef API_ID_H
#define API_ID_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

#define STACK_ID_HEX 24

struct stack_id {
	uint8_t bytes[12];
};

/* len bytes at hex must be 24 hex digits, either case.  -EINVAL. */
NODISCARD int stack_id_parse(const char *hex, size_t len, struct stack_id *ret);
/* Lower case, with a NUL. */
void stack_id_format(const struct stack_id *id, char out[STACK_ID_HEX + 1]);
/* As memcmp: the older id first (its first four bytes are a time). */
int stack_id_compare(const struct stack_id *a, const struct stack_id *b);
/* Unix time in milliseconds, from the id's first four bytes. */
int64_t stack_id_time_ms(const struct stack_id *id);

#endif
