/* SPDX-License-Identifier: MIT */
/* The list chain: one at a time, taken whole or not at all.
 *
 * Pages drift while others delete: a record can slip from the second page to
 * the first after that was read, and be on neither.  So a stack that a new list
 * lacks is gone only when its own GET says 404.  When one of them is alive, the
 * chain is run once more, and then the list is an error.  When they are too many
 * to be asked about, it is run once more as well: who slips through one chain
 * while many are being deleted does not slip through the next.
 *
 * A large list is gone through piece by piece, and readers come in between. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/private.h"

#define PIECE 256 /* records, before others are let in */

/* A chain that lacks stacks, while some of those are asked. */
struct verify {
	struct store *store;
	struct api_list *list;
	uint64_t asked;             /* store->tick when they were asked */
	unsigned pending;
	bool alive;                 /* one answered 200 */
	struct stack_id alive_id;
	bool failed;
	struct api_error error;
};

static void first_page(struct store *store, const struct api_error *error)
{
	void (*call)(void *arg, const struct api_error *e) = store->first_page;

	store->first_page = NULL;
	if (call)
		call(store->first_page_arg, error);
}

static void page_came(void *arg, size_t number)
{
	struct store *store = arg;

	monitor_enter(store->monitor);
	if (number == 1)
		first_page(store, NULL);
	flight_goes_on(&store->list_flight);
	monitor_leave(store->monitor);
}

/* ---- the end of a chain ---- */

static void begin_next_list(struct store *store);

static void list_failed(struct store *store, const struct api_error *error)
{
	struct api_error kept = *error; /* waiters may start the next chain */

	store->list_again = false;
	store->list_is_refresh = false;
	flight_note(&store->list_flight, &kept);
	first_page(store, &kept);
	flight_end(&store->list_flight, &kept,
		   store->list && store_may_be_stale(store, &store->list_flight, store->list_began_ms));
	begin_next_list(store);
}

static int by_id(const void *a, const void *b)
{
	const struct stack *const *x = a, *const *y = b;

	return stack_id_compare(&(*x)->id, &(*y)->id);
}

/* New stacks are announced in the order of their ids, so that the oldest of
 * several with one name comes first. */
static void announce(struct store *store, struct stack **added, size_t n)
{
	qsort(added, n, sizeof(*added), by_id);
	for (size_t i = 0; i < n; i++)
		store->events.stack_added(store->events.arg, added[i]);
}

static int take_page(struct store *store, struct api_list *list, size_t page,
		     struct stack **added, size_t *n_added)
{
	size_t end = page + 1 < list->n_pages ? list->pages[page + 1].first : list->n_records;

	for (size_t i = list->pages[page].first; i < end; i++) {
		struct stack *new = NULL;
		int r = records_take(store, list->records[i], list->pages[page].began_ms,
				     store->list_flight.asked, NULL, &new);
		if (r < 0)
			return r;
		if (new)
			added[(*n_added)++] = new;
		/* Nobody is to meet a stack that was not announced yet. */
		if (i % PIECE == PIECE - 1 && *n_added == 0)
			monitor_breathe(store->monitor);
	}
	return 0;
}

/* One that is newer than this chain was not there to be listed. */
static bool is_missing(const struct store *store, const struct entry *e)
{
	return e->seen_in != store->list_no && e->took < store->list_flight.asked;
}

static void remove_missing(struct store *store)
{
	struct entry *e, *next;

	HASH_ITER(hh, store->by_id, e, next) {
		if (is_missing(store, e))
			records_remove(store, &e->stack);
	}
}

static int take_records(struct store *store, struct api_list *list)
{
	struct stack **added = calloc(list->n_records + 1, sizeof(struct stack *));
	size_t n_added = 0;
	int r = 0;

	if (!added)
		return -ENOMEM;
	for (size_t page = 0; r == 0 && page < list->n_pages; page++)
		r = take_page(store, list, page, added, &n_added);
	announce(store, added, n_added);
	free(added);
	return r;
}

static void list_taken(struct store *store, struct api_list *list, bool lacks_some)
{
	if (lacks_some)
		remove_missing(store);
	records_drop_graves(store, store->list_flight.asked);
	int r = take_records(store, list);
	if (r < 0) {
		list_failed(store, &store_no_memory);
		return;
	}
	api_list_unref(store->list);
	store->list = api_list_ref(list);
	store->list_began_ms = list->began_ms;
	store->token_no = list->token_no;
	if (store->list_is_refresh)
		store->refreshes_done = store->refreshes_begun;
	store->list_is_refresh = false;
	store->list_again = false;
	flight_note(&store->list_flight, NULL);
	first_page(store, NULL);
	flight_end(&store->list_flight, NULL, false);
	begin_next_list(store);
}

/* ---- stacks that the list lacks ---- */

/* The chain once more, for those who wait for it already. */
static void list_repeat(struct store *store)
{
	store->list_again = true;
	store->list_flight.running = false;
	int r = list_begin(store, store->list_flight.in_time);
	store->list_flight.running = true;
	if (r < 0)
		list_failed(store, &(struct api_error){ .err = r });
}

static void verify_end(struct verify *v)
{
	struct store *store = v->store;
	CLEANUP(api_list_unrefp) struct api_list *list = v->list;

	store->verify = NULL;
	if (v->failed) {
		list_failed(store, &v->error);
	} else if (!v->alive) {
		list_taken(store, list, true);
	} else if (!store->list_again) {
		list_repeat(store);
	} else {
		struct api_error e = { .err = -EIO };
		char hex[STACK_ID_HEX + 1];

		stack_id_format(&v->alive_id, hex);
		snprintf(e.message, sizeof(e.message),
			 "the list lacks stack %s, which exists: the list is not complete", hex);
		list_failed(store, &e);
	}
	free(v);
}

static void verify_done(void *arg, const struct api_error *error, struct record *record,
			const struct api_meta *meta)
{
	struct verify *v = arg;
	struct store *store = v->store;

	monitor_enter(store->monitor);
	if (!error) {
		v->alive = true;
		if (record) {
			v->alive_id = record->id;
			int r = records_take(store, record, meta->began_ms, v->asked, meta->etag,
					     NULL);
			if (r < 0)
				error = &store_no_memory;
		}
	}
	if (error && error->status == 404 && meta->token_no != v->list->token_no)
		error = &store_other_account;
	if (error && error->status != 404) {
		v->failed = true;
		v->error = *error;
	}
	if (--v->pending == 0)
		verify_end(v);
	monitor_leave(store->monitor);
}

/* Mark what the list has; how many of our stacks that is. */
static size_t mark_seen(struct store *store, const struct api_list *list)
{
	size_t n = 0;

	store->list_no++;
	for (size_t i = 0; i < list->n_records; i++) {
		struct stack *stack = store_find(store, &list->records[i]->id);

		if (stack)
			entry_of(stack)->seen_in = store->list_no;
		n += stack != NULL;
		if (i % PIECE == PIECE - 1)
			monitor_breathe(store->monitor);
	}
	return n;
}

/* The number of stacks that the list lacks, a few of them in out: first those that
 * the chain before this one had. */
static size_t find_missing(struct store *store, const struct api_list *list,
			   struct stack *out[MAX_VERIFY])
{
	unsigned before = store->list_no;
	uint64_t tick = store->tick;
	struct entry *e, *next;
	size_t n = 0;

	if (mark_seen(store, list) == store->n_stacks && tick == store->tick)
		return 0;
	for (int pass = 0; pass < 2; pass++) {
		HASH_ITER(hh, store->by_id, e, next) {
			if (!is_missing(store, e) || (e->seen_in == before) != (pass == 0))
				continue;
			if (n < MAX_VERIFY)
				out[n] = &e->stack;
			n++;
		}
	}
	return n;
}

static void verify_begin(struct store *store, struct api_list *list, struct stack **missing,
			 size_t n)
{
	struct verify *v = calloc(1, sizeof(*v));

	if (!v) {
		list_failed(store, &store_no_memory);
		return;
	}
	v->store = store;
	v->list = api_list_ref(list);
	v->asked = ++store->tick;
	v->pending = 1; /* held until all are asked */
	store->verify = v;
	for (size_t i = 0; i < n && i < MAX_VERIFY; i++) {
		/* No ETag: what is asked is whether it exists. */
		int r = api_get(store->api, HTTP_CLASS_USER, &missing[i]->id, NULL, verify_done, v);
		if (r == 0) {
			v->pending++;
			continue;
		}
		v->failed = true;
		v->error = (struct api_error){ .err = r };
	}
	if (--v->pending == 0)
		verify_end(v);
}

static void list_done(void *arg, const struct api_error *error, struct api_list *list)
{
	struct store *store = arg;
	struct stack *missing[MAX_VERIFY];

	monitor_enter(store->monitor);
	if (error) {
		list_failed(store, error);
	} else {
		first_page(store, NULL);
		size_t n = find_missing(store, list, missing);
		if (n > 0 && n == store->n_stacks && list->token_no != store->token_no)
			list_failed(store, &store_other_account);
		else if (n > MAX_VERIFY && !store->list_again)
			list_repeat(store);
		else if (n > 0)
			verify_begin(store, list, missing, n);
		else
			list_taken(store, list, false);
	}
	monitor_leave(store->monitor);
}

/* ---- its beginning ---- */

int list_begin(struct store *store, bool in_time)
{
	int r = api_list(store->api, store->list, page_came, list_done, store);

	if (r < 0)
		return r;
	flight_begin(&store->list_flight, in_time);
	return 0;
}

int store_start(struct store *store, void (*call)(void *arg, const struct api_error *error),
		void *arg)
{
	store->first_page = call;
	store->first_page_arg = arg;
	return list_begin(store, false);
}

/* ---- refresh ---- */

/* Counted, for milliseconds do not tell what began before what. */
static void refresh_begun(struct store *store)
{
	store->list_is_refresh = true;
	store->refreshes_begun++;
}

/* A refresh wants a list that begins after it was asked for.  While an earlier
 * chain is under way it waits in next_list. */
int store_refresh(struct store *store, struct store_wait *w)
{
	if (w->satisfied & NEED_REFRESH)
		return STORE_READY;
	w->strict = true;
	if (store->list_flight.running) {
		wait_ring_add(&store->next_list, w);
		return STORE_WAIT;
	}
	int r = list_begin(store, false);
	if (r < 0)
		return store_fail(store, w, r);
	refresh_begun(store);
	return flight_wait(&store->list_flight, w, false);
}

static void begin_next_list(struct store *store)
{
	if (wait_ring_empty(&store->next_list) || store->list_flight.running)
		return;
	int r = list_begin(store, false);
	struct api_error error = { .err = r };

	if (r == 0)
		refresh_begun(store);
	while (!wait_ring_empty(&store->next_list)) {
		struct store_wait *w = store->next_list.next;

		store_unwait(store, w);
		if (r == 0)
			(void)flight_wait(&store->list_flight, w, false);
		else
			w->wake(w, &error);
	}
}

void list_free(struct store *store)
{
	assert(!store->list_flight.running && !store->verify);
	api_list_unref(store->list);
}
