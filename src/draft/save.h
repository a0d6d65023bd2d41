/* SPDX-License-Identifier: MIT */
/* save: a text becomes a stack's record: read afresh, merge, send, settle.
 *
 * Before each try of the PUT, a repeated one too, the record is read afresh; what
 * the text was made from (versions.h), the text and the fresh record are merged
 * field by field, and a record that means what the fresh one means is not sent.
 * Saves of one stack go one after the other, so that none overwrites what another
 * has just sent; the waiting counts.
 * Threads and callbacks: change.h. */
#ifndef DRAFT_SAVE_H
#define DRAFT_SAVE_H

#include "base/process.h"
#include "draft/change.h"
#include "draft/document.h"

/* Save the whole text of config.json into the stack.  text is copied, who is the
 * process that wrote it.  deadline_ms, on the changes' clock: when it has to have
 * ended; 0: its timeout from now.
 * Refused without a request: -EBADMSG (no complete JSON object, with line and
 * column; an _id of another living stack; an _id that is none, a lastModified or
 * a name that is no string), -EFBIG, -ENOMEM, -ENOENT (the stack is known to be
 * gone).  After the first GET: -EBUSY (conflict), -ENOENT (it is gone), -EBADMSG (a
 * mask where a secret would have to be), and whatever the requests end with.
 * result->err 0 without result->sent: the record means the same already; what is
 * to the letter what is shown is not even asked about, unless nobody knows whether
 * that is the record (store_expire_record). */
void save_text(struct changes *changes, struct stack *stack, struct document text,
	       const struct process *who, uint64_t deadline_ms, change_done_fn *done, void *arg);

/* Give the stack another name and change nothing else.  name: unescaped bytes,
 * copied.  deadline_ms: as above.  -EBADMSG: it is not UTF-8, which JSON cannot say. */
void save_name(struct changes *changes, struct stack *stack, const char *name, size_t len,
	       uint64_t deadline_ms, change_done_fn *done, void *arg);

/* The mount is ending, and http_free is called next: saves that wait, for another
 * one or to try again, end now (-ESHUTDOWN, or unsettled), and none is begun any
 * more.  What is under way is ended by http_free.  Nothing of save is left then
 * that a timer would call. */
void save_stop(struct changes *changes);

#endif
