/* SPDX-License-Identifier: MIT */
/* value: JSON text as a tree of which every node keeps its own text, for what
 * a flat scan cannot do: look a member up, compare, merge, leave out.
 *
 * All nodes lie in one array in the order of the text, so what is inside a
 * value follows it directly:
 *
 *     for (const struct value *m = value_first(v); m < value_end(v); m = value_next(m))
 *
 * The text is borrowed and outlives the tree.  It may hold what a record may
 * (JSON_ANY_BYTES); whether a text may be sent is for document_check().
 * Bounds: VALUE_MAX_BYTES of text, JSON_MAX_DEPTH levels, so about half a
 * million nodes; recursion over a tree is as deep as the text is nested.
 * Threads: none of its own; a tree may be read by several at a time. */
#ifndef DRAFT_VALUE_H
#define DRAFT_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/macros.h"

#define VALUE_MAX_BYTES (1024 * 1024)

/* What the service shows in place of a secret. */
#define VALUE_MASK "******"

struct value {
	const char *token; /* the whole value as it was written */
	const char *key;   /* a member's, with its quotes as written; NULL: no member */
	const char *name;  /* what the key stands for; may hold NULs */
	union {
		const struct value **sorted; /* of an object: its members by name */
		const char *bytes;           /* of a string: what it stands for */
	};
	uint32_t len;
	uint32_t key_len;
	uint32_t name_len;
	uint32_t span; /* nodes of this value, itself included */
	uint32_t n;    /* members, elements or, of a string, bytes */
	uint8_t type;  /* enum json_event that it begins with */
};

struct value_tree {
	struct value *root;
	size_t n;
	const struct value **sorted; /* room for the objects' */
	struct buf unescaped;        /* names and strings that are written with escapes */
};

/* tree needs no value before.  -EBADMSG (not JSON, a key twice in one object),
 * -EFBIG, -ENOMEM; the tree is then empty. */
NODISCARD int value_tree_parse(struct value_tree *tree, const char *text, size_t len);
void value_tree_done(struct value_tree *tree); /* wipes what was unescaped */

/* NULL is no object, no array and no mask. */
bool value_is_object(const struct value *v);
bool value_is_array(const struct value *v);
bool value_is_mask(const struct value *v);
bool value_is_named(const struct value *v, const char *name);

/* Members or elements; of a scalar there are none. */
static inline const struct value *value_first(const struct value *v)
{
	return v + 1;
}

static inline const struct value *value_end(const struct value *v)
{
	return v + v->span;
}

static inline const struct value *value_next(const struct value *v)
{
	return v + v->span;
}

/* The member of that name; NULL when there is none, or object is no object or
 * NULL.  In logarithmic time whatever the names are. */
const struct value *value_get(const struct value *object, const char *name, size_t len);
const struct value *value_find(const struct value *object, const char *name);
/* The member of the same name as this one. */
const struct value *value_like(const struct value *object, const struct value *member);

/* Whether both mean the same: objects whatever the order of their keys, arrays
 * in order, strings whatever their escapes, numbers by their exact value. */
bool value_equal(const struct value *a, const struct value *b);

/* Append without white space, every token as it was written.  value_open and
 * value_close write the brackets of a container, value_lead what stands in front
 * of its next value: comma and key.  value_write writes a value with all that is
 * in it, and value_write_member its lead first.  -EMSGSIZE, -ENOMEM. */
NODISCARD int value_write(const struct value *v, struct buf *out);
NODISCARD int value_write_member(const struct value *v, struct buf *out);
NODISCARD int value_open(const struct value *v, struct buf *out);
NODISCARD int value_close(const struct value *v, struct buf *out);
NODISCARD int value_lead(const struct value *v, struct buf *out);

/* ---- where a value is ---- */

/* A way down from the top, on the stack of those who go it. */
struct value_path {
	const struct value_path *up; /* NULL: at is a member of the top */
	const struct value *at;
	size_t index; /* of an element */
};

#define VALUE_PATHS_MAX  16
#define VALUE_PATH_BYTES 128

/* Fields for people to read: "server.hostURI", "server.ipRanges[2]".  Long
 * ones are cut; control characters are spaces. */
struct value_paths {
	unsigned n;
	unsigned more; /* beyond these */
	char path[VALUE_PATHS_MAX][VALUE_PATH_BYTES];
};

void value_paths_add(struct value_paths *paths, const struct value_path *path);

/* All of them in a line, for a message: "name, server.hostURI and 3 more".  Cut
 * to size, which is at least 1. */
void value_paths_text(const struct value_paths *paths, char *out, size_t size);

#endif
