/* SPDX-License-Identifier: MIT */
/* versions: what a text that is being saved was made from (the base of the
 * three-way merge): the versions of each stack that this mount has served, and
 * the texts that processes have saved into it.
 *
 * Bounds: VERSIONS_PER_STACK versions and VERSIONS_SAVED_PER_STACK texts of a
 * stack, VERSIONS_MAX_BYTES of text in all; beyond them the least recently used
 * go.  The current version of a stack is its record and is not kept here.
 * Threads: inside the monitor only. */
#ifndef DRAFT_VERSIONS_H
#define DRAFT_VERSIONS_H

#include "base/macros.h"
#include "base/process.h"
#include "draft/document.h"
#include "store/store.h"

#define VERSIONS_PER_STACK       8
#define VERSIONS_SAVED_PER_STACK 4
#define VERSIONS_MAX_BYTES       (32u << 20)

struct versions;

NODISCARD int versions_new(struct versions **ret); /* -ENOMEM */
void versions_free(struct versions *versions);     /* NULL is fine */
DEFINE_CLEANUP(struct versions, versions_free)

/* The stack's record was old and is another one now.  Without memory it is
 * forgotten.  (Called by fs for each stack_changed.) */
void versions_replaced(struct versions *versions, const struct stack *stack, struct record *old);
/* The version that was replaced last by the stack's current one was replaced by a
 * plain save through this mount: nobody else's change is in the current one. */
void versions_replaced_plainly(struct versions *versions, const struct stack *stack,
			       const struct record *old);
/* The process has saved this text (the body that was sent for it, and the
 * lastModified that the text named, "" for none) into the stack. */
void versions_saved(struct versions *versions, const struct stack *stack,
		    const struct process *who, struct document body, const char *modified,
		    size_t modified_len);
void versions_forget(struct versions *versions, const struct stack *stack);

enum versions_base {
	VERSIONS_BASE,    /* *ret is the base's body */
	VERSIONS_FRESH,   /* the text names no version: the fresh record itself */
	VERSIONS_UNKNOWN, /* it names one that is not known here: there is no base */
};

/* The base of a whole text that was checked (design: two writers).  The first that
 * applies: what the same process last saved, when the text names the same version
 * by its lastModified; when the text equals a version that was served: that one,
 * followed along plain saves; the version that it names; unknown; none named.
 * Appends the body to out for VERSIONS_BASE.  fresh: the record as just read,
 * which counts as served.  -EBADMSG, -EFBIG, -ENOMEM. */
NODISCARD int versions_find(struct versions *versions, const struct stack *stack,
			    const struct record *fresh, const struct process *who,
			    struct document text, struct buf *out, enum versions_base *ret);

#endif
