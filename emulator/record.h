/* SPDX-License-Identifier: MIT */
/* record: from what a client sends to what is stored. */
#ifndef EMULATOR_RECORD_H
#define EMULATOR_RECORD_H

#include "stack.h"

/* The text of a record made of a checked body: its members in their order, numbers and strings as
 * written, without those that only the service sets; then what the service sets.  before is the
 * record that it replaces (its secrets stay where body has none), NULL for a new one, which then
 * has the given id.  seed: of a new token. */
void record_build(struct buf *out, struct span body, const struct stack *before, const char *id,
		  uint64_t seed);

/* Calls note for each thing in body that a careful client leaves out: read-only fields, masks. */
void record_find_misuse(struct span body, void (*note)(void *arg, const char *what), void *arg);

#endif
