/* SPDX-License-Identifier: MIT */
/* create: a text in a draft directory becomes a new stack.
 *
 * One POST at a time; the others wait in the order of their coming.
 * Threads and callbacks: change.h. */
#ifndef DRAFT_CREATE_H
#define DRAFT_CREATE_H

#include "draft/change.h"
#include "draft/document.h"

/* What a draft directory remembers from one attempt to the next; zeroed at first. */
struct create_memory {
	bool maybe_created;   /* a POST left and nobody knows what became of it */
	uint64_t cookie;      /* stacks whose dir->cookie is greater came after it was sent */
	struct buf sent;      /* its body; holds secrets */
};
void create_memory_done(struct create_memory *memory); /* wipes */

/* Create a stack from the text.  component: the draft directory's name, a
 * canonical form.  A text with an _id is a copy: what is read-only is dropped and
 * its name becomes the one that the component stands for, unless the component is
 * what the text's own name and _id encode to; a text without an _id keeps its own
 * name; one that has no name gets the component's.
 * memory is the caller's and outlives the change.  After an attempt that may have
 * been processed the account is listed first, and the one new stack that equals
 * what was sent then is adopted instead of sending again.
 * Refused without a request: as save_text; never an _id. */
void create_stack(struct changes *changes, const char *component, struct document text,
		  struct create_memory *memory, change_done_fn *done, void *arg);

#endif
