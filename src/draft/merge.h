/* SPDX-License-Identifier: MIT */
/* merge: bring together what two writers made of one text, field by field.
 *
 * Threads: any; no state. */
#ifndef DRAFT_MERGE_H
#define DRAFT_MERGE_H

#include "base/buf.h"
#include "base/macros.h"
#include "draft/document.h"
#include "draft/value.h"

/* Append to out what comes of base when both ours and theirs are made of it.  All
 * three are bodies.  Objects are merged member by member, an object that both
 * added too; an array or a scalar is one value.  A field that one side changed,
 * added or removed is as that side has it; one that both changed to the same is
 * as ours has it.  Changed by both to different values, removed by one and
 * changed by the other, an object against something else: a conflict.
 *
 * The result has the order and the tokens of ours, what only theirs added at the
 * end of its object, and no white space.  It may hold masks that theirs shows
 * inside arrays: document_body() is the check before it is sent.
 * -EBUSY with the fields in *ret_conflicts, which is empty otherwise; -EBADMSG
 * (not an object, a key twice), -EFBIG (a text over DOCUMENT_MAX_BYTES, or the
 * result over out's maximum), -ENOMEM.  A failure changes nothing in out. */
NODISCARD int merge_three(struct document base, struct document ours, struct document theirs,
			  struct buf *out, struct value_paths *ret_conflicts);

/* The same, but what both have changed is as ours has it, and no conflict. */
NODISCARD int merge_preferring_ours(struct document base, struct document ours,
				    struct document theirs, struct buf *out);

#endif
