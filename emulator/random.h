/* SPDX-License-Identifier: MIT */
/* random: numbers that look random and are the same for the same seed, on every machine. */
#ifndef EMULATOR_RANDOM_H
#define EMULATOR_RANDOM_H

#include "mem.h"

struct random {
	uint64_t state;
};

struct random random_of(uint64_t seed);
uint64_t random_next(struct random *r);
uint64_t random_below(struct random *r, uint64_t bound); /* bound > 0 */
/* FNV-1a, 64 bits: ETags, cursors, seeds.  Not for secrets. */
uint64_t random_hash(struct span bytes);

#endif
