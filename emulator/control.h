/* SPDX-License-Identifier: MIT */
/* control: what is below /_emulator/, for the tests.  Threads: none here. */
#ifndef EMULATOR_CONTROL_H
#define EMULATOR_CONTROL_H

#include "emulator.h"

bool control_is_for(const struct request *rq);
enum verdict control_answer(struct emulator *e, struct exchange *x);

/* POST /_emulator/wait parks its exchange: the log tells of each event, the server asks again. */
void control_tell_waiters(struct emulator *e, enum reqlog_event event, uint64_t seq);
enum verdict control_waited(struct emulator *e, struct exchange *x);
void control_forget(struct emulator *e, struct exchange *x);

#endif
