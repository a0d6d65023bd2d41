/* SPDX-License-Identifier: MIT */
/* store_counts: what a store has told, counted; and one operation that waits
 * for it. */
#ifndef TESTS_STORE_COUNTS_H
#define TESTS_STORE_COUNTS_H

#include "store/store.h"

struct store_counts {
	unsigned added, changed, gone, part_changed;
};

/* Events that count there; counts is borrowed for as long as the store lives. */
struct store_events store_counts_events(struct store_counts *counts);

struct waiter {
	struct store_wait wait;
	unsigned woken;
	int err; /* of the last time */
};

struct waiter waiter(void);

#endif
