/* SPDX-License-Identifier: MIT */
/* api: the operations of the document, by table.  Threads: none here. */
#ifndef EMULATOR_API_H
#define EMULATOR_API_H

#include "emulator.h"

enum auth api_auth(const struct emulator *e, const struct request *rq);
/* Notes in the log whatever a well-behaved client would not have sent. */
void api_note_misuse(struct emulator *e, const struct exchange *x);
/* Carries the request out and fills in x->reply. */
void api_answer(struct emulator *e, struct exchange *x);

#endif
