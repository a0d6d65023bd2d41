/* SPDX-License-Identifier: MIT */
/* tree_events: a tree that follows a store, as fs lets it. */
#ifndef TESTS_TREE_EVENTS_H
#define TESTS_TREE_EVENTS_H

#include "store/store.h"
#include "tree/tree.h"

/* Events that keep *tree up to date, which is there before the store begins.
 * A test that wants one for itself replaces it: their arg is tree. */
struct store_events tree_following(struct tree **tree);

#endif
