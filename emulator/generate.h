/* SPDX-License-Identifier: MIT */
/* generate: an account as it might be, the same for the same seed. */
#ifndef EMULATOR_GENERATE_H
#define EMULATOR_GENERATE_H

#include "account.h"

enum { GENERATE_MAX = 1000000 };

/* Adds that many stacks: three in four of type server, unique names of lower-case words, some with
 * dependencies.  No date is later than 2024, so that a generated stack is older than a new one. */
void generate_stacks(struct account *a, unsigned count);

#endif
