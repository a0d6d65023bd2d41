/* SPDX-License-Identifier: MIT */
#include "tree_events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void on_added(void *arg, struct stack *stack)
{
	struct tree **tree = arg;

	assert_int_equal(tree_add(*tree, stack), 0);
}

static void on_changed(void *arg, struct stack *stack, struct record *old)
{
	struct tree **tree = arg;

	assert_int_equal(tree_rename(*tree, stack, true), 0);
}

static void on_gone(void *arg, struct stack *stack)
{
	struct tree **tree = arg;

	tree_remove(*tree, stack);
}

static void on_part(void *arg, struct stack *stack, enum store_part part)
{
}

struct store_events tree_following(struct tree **tree)
{
	return (struct store_events){ on_added, on_changed, on_gone, on_part, .arg = tree };
}
