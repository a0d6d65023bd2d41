/* SPDX-License-Identifier: MIT */
/* versions: what a text that is being saved was made from (the base of the
 * three-way merge): the versions of each stack that this mount has served, the
 * texts that processes have saved into it, and whose text it has refused last.
 *
 * Bounds: VERSIONS_PER_STACK versions, VERSIONS_SAVED_PER_STACK texts and
 * VERSIONS_REFUSED_PER_STACK processes of a stack, VERSIONS_MAX_BYTES in all.
 * Beyond them the oldest of the stack go, or those of the stack that was changed
 * least recently: never one between two others, for each says how it became the next.  The current version of a stack
 * is its record and is not kept here.
 * Threads: inside the monitor only. */
#ifndef DRAFT_VERSIONS_H
#define DRAFT_VERSIONS_H

#include "base/macros.h"
#include "base/process.h"
#include "draft/document.h"
#include "store/store.h"

#define VERSIONS_PER_STACK         8
#define VERSIONS_SAVED_PER_STACK   8
#define VERSIONS_REFUSED_PER_STACK 8
#define VERSIONS_MAX_BYTES         (32u << 20)

struct versions;

NODISCARD int versions_new(struct versions **ret); /* -ENOMEM */
void versions_free(struct versions *versions);     /* NULL is fine */
DEFINE_CLEANUP(struct versions, versions_free)

/* The stack's record was old and is another one now.  Without memory it is
 * forgotten.  (Called by fs for each stack_changed.) */
void versions_replaced(struct versions *versions, const struct stack *stack, struct record *old);
/* The stack's current version is what a save of who's through this mount has made of old,
 * and nothing else: nobody else's change lies between the two.  (Whether old had
 * been merged with somebody else's change before is told by how it became what
 * it was.)  Nothing is done unless old is the version that was replaced last. */
void versions_replaced_plainly(struct versions *versions, const struct stack *stack,
			       const struct record *old, const struct process *who);
/* A PUT of who's, of that body, was to make another version of from, the stack's current
 * one, or the one that a list has just replaced, and nobody knows whether it has.  If the next version is that body, it has, as
 * versions_replaced_plainly says it; else that is never known.  Copied; without memory it
 * is forgotten. */
void versions_unsettled(struct versions *versions, const struct stack *stack, struct record *from,
			const struct process *who, struct document body);
/* The process has saved a text into the stack: the body of the text as it was
 * written, not what merging made of it, for it is the text that the process will
 * go on from; kept, that body as the server keeps it: with what it has masked, left
 * out, written otherwise or added; and the lastModified that it named, "" for none.  It takes the place
 * of what the process has saved with the same lastModified; others stay, for an
 * editor that puts an old file back goes on from its buffer all the same.  sent:
 * whether a PUT was made of it; then it is from it that the process goes on, and
 * a text from before is an older one that it has brought back.  Copied; without
 * memory it is forgotten. */
void versions_saved(struct versions *versions, const struct stack *stack, const struct process *who,
		    struct document body, struct document kept, const char *modified,
		    size_t modified_len, bool sent);
/* That text of the process's could not be saved.  The next one that it saves may be what
 * it has found there before, put back (as editors do from their backup), which is to
 * undo no save but its own, and of these none whose answer was lost: for that one was
 * refused.  Without memory it is forgotten. */
void versions_refused(struct versions *versions, const struct stack *stack,
		      const struct process *who, struct document text);
/* Whether the text may be what the process puts back. */
bool versions_may_be_put_back(const struct versions *versions, const struct stack *stack,
			      const struct process *who, struct document text);
/* The process has written what is there to the letter: if it was refused before, it has
 * put that back by now. */
void versions_put_back(struct versions *versions, const struct stack *stack,
		       const struct process *who);
/* The process has made the stack, of a text in which another one's _id was, or a zeroed one: it
 * goes on from that text, which names no version of this stack.  versions_saved tells what
 * the text is.  Without memory it is forgotten. */
void versions_made(struct versions *versions, const struct stack *stack, const struct process *who,
		   const struct stack_id *brought);
/* Whether it is the process that made the stack, of a text with that _id. */
bool versions_brought(const struct versions *versions, const struct stack *stack,
		      const struct process *who, const struct stack_id *id);
void versions_forget(struct versions *versions, const struct stack *stack);

enum versions_base {
	VERSIONS_BASE,    /* out has its body */
	VERSIONS_OWN,     /* likewise, and nothing but who writes it says so: it has made the stack */
	VERSIONS_FRESH,   /* it names no version, and did not make the stack: the fresh record itself */
	VERSIONS_UNKNOWN, /* it names one that is not known here: there is no base */
	VERSIONS_UNSURE,  /* it equals one that a save may have replaced, or somebody else: likewise */
};

/* The base of a whole text that was checked (design: two writers).  The first that
 * applies: what the same process last saved, when the text names the same version
 * by its lastModified, or none, and no _id of this stack's, and the process has made the
 * stack; when the text equals a version that was served: that one, followed along plain
 * saves, but for those of others when it may have been put back after a refusal, and unless
 * the walk ends where nobody knows who has saved; the
 * version that it names; unknown; none named.
 * Appends the body to out for the first two, and to kept the same as the server keeps
 * it, where that is known to be another one.  fresh: the record as just read,
 * which counts as served.
 * *ret_shown: the version that the text was written from, as far as it is known,
 * else NULL; where that one shows masks, masks in the text are no values.
 * Borrowed until versions or the stack's record change.
 * -EBADMSG, -EFBIG, -ENOMEM. */
NODISCARD int versions_find(struct versions *versions, const struct stack *stack,
			    const struct record *fresh, const struct process *who,
			    struct document text, struct buf *out, struct buf *kept,
			    const struct record **ret_shown, enum versions_base *ret);

#endif
