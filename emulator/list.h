/* SPDX-License-Identifier: MIT */
/* list: GET /v1/stacks, page by page.  Threads: none here. */
#ifndef EMULATOR_LIST_H
#define EMULATOR_LIST_H

#include "emulator.h"
#include "query.h"

/* Whether a cursor is one that we gave out, for the same include and exclude. */
bool list_cursor_is_ours(const struct emulator *e, const struct query *q);
void list_answer(struct emulator *e, const struct query *q, struct exchange *x);

#endif
