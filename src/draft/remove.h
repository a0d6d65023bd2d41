/* SPDX-License-Identifier: MIT */
/* remove: deleting a stack, rotating a token.
 *
 * Threads and callbacks: change.h. */
#ifndef DRAFT_REMOVE_H
#define DRAFT_REMOVE_H

#include "draft/change.h"

/* Ask for the stack's dependents afresh, keep its text in history, delete it.
 * -EBUSY: others depend on it, and the message names some; an answer that is not
 * a clear "none" refuses too (unless changes->delete_in_use, which does not ask).
 * A lost answer is settled by reading the record: 404 is success.  On success the
 * store has lost the stack. */
void remove_stack(struct changes *changes, struct stack *stack, change_done_fn *done, void *arg);

/* Rotate the token.  Success only after a 204, or when a lost answer could be
 * settled by comparing the token that the store knew before with the one that is
 * read afterwards.  Whatever happened, the store has forgotten the token once the
 * request has left. */
void remove_token(struct changes *changes, struct stack *stack, change_done_fn *done, void *arg);

#endif
