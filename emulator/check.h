/* SPDX-License-Identifier: MIT */
/* check: the document's schema Request, by table. */
#ifndef EMULATOR_CHECK_H
#define EMULATOR_CHECK_H

#include "exchange.h"
#include "stack.h"

/* Whether body (an object) may be stored; else reply is a 422 with an item for each fault.
 * before is the record that a PUT replaces, NULL for a POST. */
bool check_request(struct span body, const struct stack *before, struct reply *reply);

#endif
