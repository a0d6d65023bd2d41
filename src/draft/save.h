/* SPDX-License-Identifier: MIT */
/* save: a text becomes a stack's record: read afresh, merge, send, settle.
 *
 * Before each try of the PUT, a repeated one too, the record is read afresh; what
 * the text was made from (versions.h), the text and the fresh record are merged
 * field by field, and only what differs from the fresh record is sent.
 * Threads and callbacks: change.h. */
#ifndef DRAFT_SAVE_H
#define DRAFT_SAVE_H

#include "base/process.h"
#include "draft/change.h"
#include "draft/document.h"

/* Save the whole text of config.json into the stack.  text is copied, who is the
 * process that wrote it.
 * Refused without a request: -EBADMSG (no complete JSON object, with line and
 * column; an _id of another living stack; wrong types of what names a stack),
 * -EFBIG, -ENOMEM.  After the first GET: -EBUSY (conflict), -ENOENT (it is gone),
 * and whatever the requests end with.
 * result->err 0 without result->sent: the record means the same already. */
void save_text(struct changes *changes, struct stack *stack, struct document text,
	       const struct process *who, change_done_fn *done, void *arg);

/* Give the stack another name and change nothing else.  name: unescaped bytes. */
void save_name(struct changes *changes, struct stack *stack, const char *name, size_t len,
	       change_done_fn *done, void *arg);

#endif
