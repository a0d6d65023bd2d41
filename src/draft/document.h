/* SPDX-License-Identifier: MIT */
/* document: what a stack's text says, what of it is sent, and how two of them
 * differ.  No I/O: a text comes in and another goes out.
 *
 * There are two kinds of text.  A whole one is what a person wrote or what the
 * service showed: with _id, dates and masked secrets.  A body is what is sent
 * for it, without those; it is written without white space, in the order of its
 * text, each key and scalar as it was written.  Bodies are what is compared
 * and merged.
 *
 * All but document_check() and document_is_empty() take a text that was checked,
 * or a record's.  Out buffers are the caller's and are appended to; no text may
 * lie in one, and a failure changes nothing there.  Bodies hold secrets: wipe
 * them (buf_wipe).
 * Threads: any; no state.
 * Errors of all: -EBADMSG (not a JSON object, or a key twice), -EFBIG (a text
 * over DOCUMENT_MAX_BYTES, or a result over out's maximum), -ENOMEM. */
#ifndef DRAFT_DOCUMENT_H
#define DRAFT_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "api/id.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/macros.h"
#include "draft/value.h"

#define DOCUMENT_MAX_BYTES VALUE_MAX_BYTES

/* Text, borrowed; it need not end in a NUL. */
struct document {
	const char *text;
	size_t len;
};

/* Whether the text is nothing but JSON's white space, or not even that. */
bool document_is_empty(struct document doc);

/* Whether the text is a complete JSON object that may be sent: UTF-8, no key
 * twice in any object, JSON_MAX_DEPTH levels at most.  On any error *ret says
 * where and why; its incomplete tells half a document (an empty one too) from a
 * wrong one. */
NODISCARD int document_check(struct document doc, struct json_error *ret);

enum document_field {
	DOCUMENT_NONE, /* not there, or null */
	DOCUMENT_GIVEN,
	DOCUMENT_WRONG, /* there, but nothing that it could be */
};

struct document_facts {
	enum document_field has_id, has_modified, has_name;
	struct stack_id id;
	/* Unescaped bytes, which may hold NULs; data is NULL unless given. */
	struct buf modified; /* lastModified */
	struct buf name;
};

/* ret needs no value before and is to be freed with document_facts_done(); after
 * an error it holds nothing. */
NODISCARD int document_facts(struct document doc, struct document_facts *ret);
void document_facts_done(struct document_facts *facts);

/* Append the body that is sent for a text.  record is what the service shows of
 * the stack that the text is about (text NULL: a new stack).  Left out are _id,
 * createdAt, lastModified, server.systemToken, a mask at lambda.secretAccessKey
 * and each mask at a path where record has one too; never a name at the top.
 *
 * Inside an array a place is no identity: a mask that has moved would stand for
 * another one's secret.  So there it is left out only from an element that equals
 * the record's at the same place.  A mask that is itself an element, or stands in
 * an element that was changed, cannot be left out: -EBADMSG, with its path in
 * *ret_masks (n is 0 for any other error).  An array in which the record shows no
 * mask is sent as it is.  An object from which all is left out stays as {}.
 *
 * A body given again comes out as it is, so after a merge this is the last check
 * that no mask of the service's own is sent back to it. */
NODISCARD int document_body(struct document doc, struct document record, struct buf *out,
			    struct value_paths *ret_masks);

/* Append the body that a record stands for, for comparing and merging only: a
 * mask that cannot be left out stays. */
NODISCARD int document_record_body(struct document record, struct buf *out);

/* Whether two texts mean the same (see value_equal). */
NODISCARD int document_equal(struct document a, struct document b, bool *ret);

/* The fields that only one of two bodies has or that differ.  Objects are gone
 * into, an array is one field. */
NODISCARD int document_differing(struct document a, struct document b, struct value_paths *ret);

/* The fields of a sent body that the service's answer (a whole text) lacks or has
 * changed.  What only the answer has is its own business; a mask there stands
 * for whatever was sent. */
NODISCARD int document_not_stored(struct document sent, struct document answer,
				  struct value_paths *ret);

/* Append the text with another name at the top, all else byte for byte as it is; a
 * text that already has this name comes out unchanged, one that has none gets
 * it as its first member.  -EILSEQ: the name is not UTF-8, so JSON cannot say it. */
NODISCARD int document_with_name(struct document doc, const char *name, size_t len,
				 struct buf *out);

#endif
