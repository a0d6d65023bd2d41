/* SPDX-License-Identifier: MIT */
/* name: a stack's name as a path component, and back.
 *
 * The name is kept as it is, but for what a path cannot carry: '/', NUL,
 * control bytes, what is not UTF-8, a leading '.', a '%' that two hex digits
 * follow, and the '~' before 24 hex digits at the end are written %XX.
 * Decoding is the exact inverse. */
#ifndef TREE_NAME_H
#define TREE_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "api/id.h"
#include "base/macros.h"

#define NAME_MAX_BYTES 255
#define NAME_SUFFIX_BYTES (1 + STACK_ID_HEX) /* "~<_id>" */

/* The path component for a name.  An empty name becomes the id.  When the
 * result would be longer than NAME_MAX_BYTES, or with_id is set, it is cut at a
 * character (never inside a %XX) and "~<_id>" follows. */
void name_encode(const char *name, size_t len, const struct stack_id *id, bool with_id,
		 char out[NAME_MAX_BYTES + 1]);

/* The name that a component without an id suffix stands for; it may hold NULs.
 * -EINVAL when the component is not the canonical form of any name: a raw
 * leading '.', a control byte, a %XX that had no need to be one. */
NODISCARD int name_decode(const char *component, char out[NAME_MAX_BYTES + 1], size_t *ret_len);

/* Whether the component ends in "~<_id>", and which. */
bool name_has_id(const char *component, struct stack_id *ret);

#endif
