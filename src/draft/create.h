/* SPDX-License-Identifier: MIT */
/* create: a text in a draft directory becomes a new stack.
 *
 * One POST at a time; the others wait in the order of their coming.
 * Threads and callbacks: change.h. */
#ifndef DRAFT_CREATE_H
#define DRAFT_CREATE_H

#include "base/process.h"
#include "draft/change.h"
#include "draft/document.h"

/* What a draft directory remembers from one attempt to the next; zeroed at first. */
struct create_memory {
	bool maybe_created; /* a POST has left and may have been processed */
	uint64_t cookie;    /* stacks whose dir->cookie is greater came after it was sent */
	struct buf sent;    /* its body; holds secrets */
};
void create_memory_done(struct create_memory *memory); /* wipes */
/* The draft directory is removed.  A stack that may have been made of it is looked for
 * when the same is to be created again, until a later list has shown what there is: of the
 * last few that were removed like that.  Leaves memory empty. */
void create_memory_leave(struct changes *changes, struct create_memory *memory);
void create_forget_left(struct changes *changes); /* at the end */

/* Create a stack from the text, which is copied.  component: the draft directory's
 * name, a canonical form.  A text with an _id is a copy: what is read-only is
 * dropped and its name becomes the one that the component stands for, unless the
 * component is what the text's own name and _id encode to; a text without an _id
 * keeps its own name; one that has no name gets the component's.  Masks that the
 * stack shows of which the text is a copy are left out, where it is known.
 *
 * memory is the caller's and outlives the change.  When the answer is lost the
 * account is listed at once, and the one new stack that equals what was sent is
 * adopted: success.  Without one the create has failed by what the POST has failed
 * by; several, or no list: unsettled.  Either way memory->maybe_created stays, for
 * a gateway may give up long before the server behind it does: the next attempt
 * lists first, and sends only when there is nothing to adopt.  If the text has
 * changed until then, result->to_save is what the caller is to save into
 * result->stack (by save_text; not the text itself, whose _id is another stack's).
 *
 * who, deadline_ms: see save_text.  Who has made a stack goes on from the text that it was
 * made of, as from one that was saved.
 *
 * Refused without a request: as save_text, and a name that is not UTF-8 (-EBADMSG);
 * never for an _id. */
void create_stack(struct changes *changes, const char *component, struct document text,
		  struct create_memory *memory, const struct process *who, uint64_t deadline_ms,
		  change_done_fn *done, void *arg);

#endif
