/* SPDX-License-Identifier: MIT */
/* The stacks that the account has, as far as we know. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/private.h"

struct stack *stack_ref(struct stack *stack)
{
	entry_of(stack)->refs++;
	return stack;
}

void stack_unref(struct stack *stack)
{
	if (!stack || --entry_of(stack)->refs > 0)
		return;
	struct entry *e = entry_of(stack);

	for (unsigned i = 0; i < STORE_N_PARTS; i++)
		part_free(e->parts[i]);
	record_unref(stack->record);
	free(e->flight);
	free(e->etag);
	free(e);
}

struct stack *store_find(const struct store *store, const struct stack_id *id)
{
	struct entry *e;

	HASH_FIND(hh, store->by_id, id, sizeof(*id), e);
	return e ? &e->stack : NULL;
}

void store_each(const struct store *store, void (*fn)(void *arg, struct stack *stack), void *arg)
{
	struct entry *e, *next;

	HASH_ITER(hh, store->by_id, e, next)
		fn(arg, &e->stack);
}

static void count_type(struct store *store, enum stack_type type, int by)
{
	if (type == STACK_SERVER)
		store->n_servers += (size_t)by;
	else if (type == STACK_LAMBDA)
		store->n_lambdas += (size_t)by;
}

static struct stack *records_add(struct store *store, struct record *record)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->store = store;
	e->refs = 1;
	e->stack.id = record->id;
	e->stack.record = record_ref(record);
	HASH_ADD(hh, store->by_id, stack.id, sizeof(e->stack.id), e);
	if (!e->hh.tbl) {
		stack_unref(&e->stack);
		return NULL;
	}
	store->n_stacks++;
	count_type(store, record->type, 1);
	return &e->stack;
}

static void replace_etag(struct entry *e, const char *etag)
{
	if (etag && e->etag && strcmp(etag, e->etag) == 0)
		return;
	free(e->etag);
	e->etag = etag ? strdup(etag) : NULL;
}

static bool same_text(const struct record *a, const struct record *b)
{
	return a->text_len == b->text_len && memcmp(a->text, b->text, a->text_len) == 0;
}

/* The stack is known: its record becomes this one.  An equal text is the same
 * version, so the record that readers know stays. */
static void records_replace(struct store *store, struct stack *stack, struct record *record)
{
	if (stack->record == record || same_text(stack->record, record))
		return;
	CLEANUP(record_unrefp) struct record *old = stack->record;

	stack->record = record_ref(record);
	count_type(store, old->type, -1);
	count_type(store, record->type, 1);
	store->events.stack_changed(store->events.arg, stack, old);
}

static struct grave *find_grave(const struct store *store, const struct stack_id *id)
{
	struct grave *grave;

	HASH_FIND(hh, store->graves, id, sizeof(*id), grave);
	return grave;
}

static void drop_grave(struct store *store, struct grave *grave)
{
	if (!grave)
		return;
	HASH_DEL(store->graves, grave);
	free(grave);
}

void records_drop_graves(struct store *store, uint64_t tick)
{
	struct grave *grave, *next;

	HASH_ITER(hh, store->graves, grave, next) {
		if (grave->change <= tick)
			drop_grave(store, grave);
	}
}

/* By a newer answer, or by a change of ours.  Of two that began in one millisecond the
 * one asked for later is the newer. */
static bool is_overtaken(const struct entry *e, uint64_t began_ms, uint64_t asked)
{
	return began_ms < e->began_ms || (began_ms == e->began_ms && asked < e->took) ||
	       asked < e->change;
}

bool records_confirm(struct entry *e, uint64_t began_ms, uint64_t asked)
{
	if (is_overtaken(e, began_ms, asked))
		return false;
	e->began_ms = began_ms;
	e->took = asked;
	e->unknown = false;
	if (e->flight)
		e->flight->forbidden = false;
	return true;
}

int records_take(struct store *store, struct record *record, uint64_t began_ms, uint64_t asked,
		 const char *etag, struct stack **ret_new)
{
	struct stack *stack = store_find(store, &record->id);
	bool added = !stack;

	if (added) {
		struct grave *grave = find_grave(store, &record->id);

		if (grave && asked < grave->change)
			return 0;
		drop_grave(store, grave);
		stack = records_add(store, record);
		if (!stack)
			return -ENOMEM;
	}
	struct entry *e = entry_of(stack);
	if (!records_confirm(e, began_ms, asked))
		return 0;
	replace_etag(e, etag);

	if (added && ret_new)
		*ret_new = stack;
	else if (added)
		store->events.stack_added(store->events.arg, stack);
	else
		records_replace(store, stack, record);
	return 0;
}

void records_remove(struct store *store, struct stack *stack)
{
	struct entry *e = entry_of(stack);

	HASH_DEL(store->by_id, e);
	store->n_stacks--;
	count_type(store, stack->record->type, -1);
	stack->gone = true;
	store->events.stack_gone(store->events.arg, stack);
	stack_unref(stack);
}

/* ---- what others have asked for, or changed ---- */

uint64_t store_tick(const struct store *store)
{
	return store->tick;
}

int store_take_answer(struct store *store, struct record *record, const struct api_meta *meta,
		      uint64_t tick)
{
	int r = records_take(store, record, meta->began_ms, tick, meta->etag, NULL);

	if (r == 0)
		store_note_success(store, QUIET_RECORD);
	return r;
}

int store_take_change(struct store *store, struct record *record, const char *etag,
		      struct stack **ret)
{
	uint64_t now = clock_now_ms(store->clock);

	store_note_success(store, QUIET_RECORD);
	drop_grave(store, find_grave(store, &record->id));
	int r = records_take(store, record, now, ++store->tick, etag, NULL);
	if (r < 0)
		return r;
	*ret = store_find(store, &record->id);
	entry_of(*ret)->change = ++store->tick;
	return 0;
}

void store_take_gone(struct store *store, struct stack *stack)
{
	struct grave *grave;

	if (stack->gone)
		return;
	grave = calloc(1, sizeof(*grave));
	if (grave) {
		grave->id = stack->id;
		grave->change = ++store->tick;
		HASH_ADD(hh, store->graves, id, sizeof(grave->id), grave);
		if (!grave->hh.tbl)
			free(grave);
	}
	records_remove(store, stack);
}

void store_expire_record(struct store *store, struct stack *stack)
{
	struct entry *e = entry_of(stack);
	uint64_t now = clock_now_ms(store->clock), ttl = store_ttl_ms(store);
	uint64_t old = now > ttl ? now - ttl : 0;

	e->unknown = true;
	e->change = ++store->tick;
	if (e->began_ms > old)
		e->began_ms = old;
	if (store->events.record_expired)
		store->events.record_expired(store->events.arg, stack);
}

bool store_record_unknown(const struct stack *stack)
{
	return entry_of(stack)->unknown;
}
