/* SPDX-License-Identifier: MIT */
/* account: the stacks of one account, in the order of their ids.
 * Stacks are borrowed from it and live until they are replaced (account_load) or it is freed;
 * deleting only hides them.  Threads: none here. */
#ifndef EMULATOR_ACCOUNT_H
#define EMULATOR_ACCOUNT_H

#include "stack.h"

struct account;

struct account *account_new(uint64_t seed);
void account_free(struct account *a);
DEFINE_CLEANUP(struct account, account_free)

/* Replaces all stacks by those of a JSON array (checked).  -EINVAL unless it is an array of
 * objects with ids of their own; the account is then as it was. */
NODISCARD int account_load(struct account *a, struct span array);
/* The whole account as such an array, unmasked, with dependencies and deleted flags. */
void account_dump(const struct account *a, struct buf *out);

/* Adds the record of that text (checked), which stays as it is byte for byte, but that a missing
 * _id, createdAt, lastModified and server.systemToken are put in.  -EEXIST: its _id is taken. */
NODISCARD int account_add(struct account *a, struct span text, struct stack **ret);
/* Deleted ones too; NULL: none. */
struct stack *account_find(const struct account *a, struct span id);
/* An id for a stack created now. */
void account_make_id(struct account *a, char ret[STACK_ID_LEN + 1]);
uint64_t account_seed(const struct account *a);

/* Walking: stacks by position, deleted ones too. */
size_t account_count(const struct account *a);
struct stack *account_at(const struct account *a, size_t i);
/* The position of the first stack whose id is greater. */
size_t account_after(const struct account *a, struct span id);

#endif
