/* SPDX-License-Identifier: MIT */
#include "store_counts.h"

static void on_added(void *arg, struct stack *stack)
{
	struct store_counts *counts = arg;

	counts->added++;
}

static void on_changed(void *arg, struct stack *stack, struct record *old)
{
	struct store_counts *counts = arg;

	counts->changed++;
}

static void on_gone(void *arg, struct stack *stack)
{
	struct store_counts *counts = arg;

	counts->gone++;
}

static void on_part(void *arg, struct stack *stack, enum store_part part)
{
	struct store_counts *counts = arg;

	counts->part_changed++;
}

struct store_events store_counts_events(struct store_counts *counts)
{
	return (struct store_events){ on_added, on_changed, on_gone, on_part, .arg = counts };
}

static void woken(struct store_wait *wait, const struct api_error *error)
{
	struct waiter *w = (struct waiter *)wait;

	w->woken++;
	w->err = error ? error->err : 0;
}

struct waiter waiter(void)
{
	return (struct waiter){ .wait = { .wake = woken } };
}
