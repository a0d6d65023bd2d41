/* SPDX-License-Identifier: MIT */
/* systemToken and dependencies: fetched on first use, one request per object
 * however many wait.
 *
 * All that are kept have a bound in bytes, for it is the server that says how long
 * they are: what was not used for longest makes room. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/private.h"

#define HASH_BITS 22 /* of the content; what the files' times are moved by */

static struct part *part_of(const struct stack *stack, enum store_part which)
{
	return entry_of(stack)->parts[which];
}

static struct part *part_make(struct stack *stack, enum store_part which)
{
	struct entry *e = entry_of(stack);

	if (e->parts[which])
		return e->parts[which];
	struct part *part = calloc(1, sizeof(*part));
	if (!part)
		return NULL;
	part->stack = stack;
	part->which = which;
	if (which == STORE_TOKEN)
		flight_init(&part->flight, e->store, NEED_TOKEN, QUIET_TOKEN);
	else
		flight_init(&part->flight, e->store, NEED_DEPENDENCIES, QUIET_DEPENDENCIES);
	e->parts[which] = part;
	return part;
}

/* Asked for before a refresh is old, whatever the ttl says. */
static bool precedes_refresh(const struct store *store, const struct part *part)
{
	return part->refreshes < store->refreshes_done;
}

static enum age part_age(const struct store *store, const struct part *part)
{
	if (!part->known || precedes_refresh(store, part))
		return AGE_OLD;
	return store_age(store, part->began_ms);
}

uint32_t store_content_hash(const struct blob *content)
{
	return content ? (uint32_t)(blob_hash(content) & ((1u << HASH_BITS) - 1)) : 0;
}

static bool same_blob(const struct blob *a, const struct blob *b)
{
	if (!a || !b)
		return a == b;
	return blob_len(a) == blob_len(b) && memcmp(blob_bytes(a), blob_bytes(b), blob_len(a)) == 0;
}

/* ---- what is kept ---- */

static size_t bytes_of(const struct part *part)
{
	return part->blob ? blob_len(part->blob) : 0;
}

/* blob is taken over; NULL: none is kept. */
static void keep(struct store *store, struct part *part, struct blob *blob)
{
	store->kept_bytes -= bytes_of(part);
	if (part->blob)
		TAILQ_REMOVE(&store->kept, part, kept);
	blob_unref(part->blob);
	part->blob = blob;
	store->kept_bytes += bytes_of(part);
	if (blob)
		TAILQ_INSERT_TAIL(&store->kept, part, kept);
}

static void was_used(struct store *store, struct part *part)
{
	if (!part->blob)
		return;
	TAILQ_REMOVE(&store->kept, part, kept);
	TAILQ_INSERT_TAIL(&store->kept, part, kept);
}

static void forget_text(struct store *store, struct part *part)
{
	part->known = false;
	keep(store, part, NULL);
	free(part->etag);
	part->etag = NULL;
}

static bool may_forget(const struct store *store, const struct part *part)
{
	const struct store_events *events = &store->events;

	return !events->part_evicted ||
	       events->part_evicted(events->arg, part->stack, part->which);
}

/* But that one stays. */
static void make_room(struct store *store, const struct part *but)
{
	struct part *next;

	for (struct part *p = TAILQ_FIRST(&store->kept);
	     p && store->kept_bytes > STORE_PARTS_MAX_BYTES; p = next) {
		next = TAILQ_NEXT(p, kept);
		if (p == but || p->flight.running || !may_forget(store, p))
			continue;
		/* There is no room for what is fetched ahead. */
		if (p->ahead && readahead_awaits(store, p->stack, p->which))
			readahead_failed(store, p->which);
		forget_text(store, p);
	}
}

void part_free(struct part *part)
{
	if (!part)
		return;
	assert(!part->flight.running);
	if (part->blob)
		forget_text(part->flight.store, part);
	free(part->etag);
	free(part);
}

void parts_forget(struct store *store)
{
	while (!TAILQ_EMPTY(&store->kept))
		forget_text(store, TAILQ_FIRST(&store->kept));
}

/* ---- asking ---- */

/* blob is taken over.  An equal content is the same version, so the blob that
 * readers know stays. */
static void part_take(struct store *store, struct part *part, struct blob *blob,
		      const struct api_meta *meta)
{
	bool known = part->known;

	part->known = true;
	part->began_ms = meta->began_ms;
	free(part->etag);
	part->etag = meta->etag ? strdup(meta->etag) : NULL;
	if (known && same_blob(part->blob, blob)) {
		blob_unref(blob);
		return;
	}
	keep(store, part, blob);
	part->hash = store_content_hash(blob);
	if (known)
		store->events.part_changed(store->events.arg, part->stack, part->which);
	make_room(store, part);
}

static bool part_may_be_stale(const struct store *store, const struct part *part)
{
	return part->known && store_may_be_stale(store, &part->flight, part->began_ms);
}

/* The common end of both fetches.  blob is NULL on an error and after a 304. */
static void part_done(struct part *part, const struct api_error *error, struct blob *blob,
		      const struct api_meta *meta)
{
	struct store *store = entry_of(part->stack)->store;

	monitor_enter(store->monitor);
	bool absent = store_believes_404(store, meta, &error);

	if (part->flight.asked < part->change) {
		blob_unref(blob);
		flight_end_overtaken(&part->flight);
		stack_unref(part->stack);
		monitor_leave(store->monitor);
		return;
	}
	if (blob || absent)
		part_take(store, part, blob, meta);
	else if (!error)
		part->began_ms = meta->began_ms;
	if (!error || absent)
		part->refreshes = part->asked_refreshes;

	flight_note(&part->flight, absent ? NULL : error);
	readahead_answered(store, part->stack, part->which);
	if (error && !absent && part->foreseen)
		readahead_failed(store, part->which);
	flight_end(&part->flight, absent ? NULL : error, part_may_be_stale(store, part));
	stack_unref(part->stack);
	monitor_leave(store->monitor);
}

static void token_done(void *arg, const struct api_error *error, struct secret *token,
		       const struct api_meta *meta)
{
	struct blob *blob = NULL;

	if (!error && token) {
		struct buf line = BUF_INIT(SECRET_MAX_BYTES);

		if (buf_append(&line, secret_bytes(token), secret_len(token)) < 0 ||
		    buf_puts(&line, "\n") < 0 || blob_new_secret(line.data, line.len, &blob) < 0)
			error = &store_no_memory;
		buf_wipe(&line);
	}
	part_done(arg, error, blob, meta);
}

static void dependencies_done(void *arg, const struct api_error *error, const char *text,
			      size_t len, bool empty, const struct api_meta *meta)
{
	struct blob *blob = NULL;

	if (!error && text && blob_new(text, len, &blob) < 0)
		error = &store_no_memory;
	part_done(arg, error, blob, meta);
}

static int part_begin(struct store *store, struct part *part, enum http_class class, bool in_time)
{
	const struct api_budget budget = { .ret_call = &part->call };
	const struct stack_id *id = &part->stack->id;
	int r;

	if (part->which == STORE_TOKEN)
		r = api_get_token_within(store->api, class, id, part->etag, &budget, token_done,
					 part);
	else
		r = api_get_dependencies_within(store->api, class, id, part->etag, &budget,
						dependencies_done, part);
	if (r < 0)
		return r;
	part->class = class;
	part->foreseen = false;
	stack_ref(part->stack);
	part->asked_refreshes = store->refreshes_begun;
	flight_begin(&part->flight, in_time);
	return 0;
}

void part_fetch_ahead(struct store *store, struct stack *stack, enum store_part which, bool mark)
{
	struct part *part = stack ? part_make(stack, which) : NULL;

	if (!part || part->flight.running || part_age(store, part) != AGE_OLD || store->refused ||
	    store_quiet(store, part->flight.quiet))
		return;
	part->ahead = part_begin(store, part, HTTP_CLASS_READAHEAD, false) == 0;
	part->foreseen = part->ahead;
	part->marked = part->ahead && mark;
}

/* What was asked for in the background has somebody who waits. */
static int wait_for_part(struct store *store, struct part *part, struct store_wait *w, bool stale)
{
	if (part->class == HTTP_CLASS_READAHEAD)
		api_hurry(store->api, part->call);
	part->class = HTTP_CLASS_USER;
	return flight_wait(&part->flight, w, stale);
}

static int need_part(struct store *store, struct part *part, enum age age, struct store_wait *w)
{
	bool stale = part_may_be_stale(store, part);

	if (age == AGE_OLD && part->known && part->flight.running && part->flight.in_time &&
	    !precedes_refresh(store, part))
		age = AGE_FRESH;
	if (age == AGE_OLD && stale && store_quiet(store, part->flight.quiet)) {
		store->stale++;
		return STORE_READY;
	}
	if (age != AGE_OLD)
		store->hits++;
	if (age == AGE_FRESH || (age == AGE_RENEW && flight_rests(&part->flight)))
		return STORE_READY;

	if (age == AGE_RENEW) {
		int r = part_begin(store, part, HTTP_CLASS_READAHEAD, true);
		(void)r; /* then the next access does */
		return STORE_READY;
	}
	if (!part->flight.running) {
		int r = part_begin(store, part, HTTP_CLASS_USER, false);
		if (r < 0)
			return store_fail(store, w, r);
	}
	return wait_for_part(store, part, w, stale);
}

int store_need_part(struct store *store, struct stack *stack, enum store_part which,
		    struct store_wait *w)
{
	struct part *part = part_make(stack, which);

	if (!part)
		return store_fail(store, w, -ENOMEM);
	/* Unless it was forgotten meanwhile. */
	if ((w->satisfied & part->flight.answers) && part->known)
		return STORE_READY;
	was_used(store, part);

	enum age age = part_age(store, part);
	bool asked = age == AGE_OLD && !part->flight.running;
	part->ahead = part->marked = false;
	int r = need_part(store, part, age, w);
	/* Behind what is waited for. */
	readahead_step(store, stack, which, asked);
	return r;
}

void store_drop_part(struct store *store, struct stack *stack, enum store_part which)
{
	struct part *part = part_make(stack, which);

	if (!part)
		return; /* never asked for, then */
	/* Nobody is shown the old one any more, however long the new one takes. */
	timer_cancel(store->timers, &part->flight.patience);
	part->change = ++store->tick;
	forget_text(store, part);
	store->events.part_changed(store->events.arg, stack, which);
}

bool store_part_known(const struct store *store, const struct stack *stack, enum store_part which)
{
	const struct part *part = part_of(stack, which);

	return part && !part->marked && part_age(store, part) == AGE_FRESH;
}

bool store_part_absent(const struct stack *stack, enum store_part which)
{
	const struct part *part = part_of(stack, which);

	return part && part->known && !part->blob;
}

struct blob *store_part_blob(const struct stack *stack, enum store_part which)
{
	const struct part *part = part_of(stack, which);

	return part ? part->blob : NULL;
}

uint32_t store_part_hash(const struct stack *stack, enum store_part which)
{
	const struct part *part = part_of(stack, which);

	return part ? part->hash : 0;
}

uint64_t store_part_valid_ms(const struct store *store, const struct stack *stack,
			     enum store_part which)
{
	const struct part *part = part_of(stack, which);
	uint64_t half = store_ttl_ms(store) / 2;

	if (!part || !part->known)
		return 0;
	uint64_t age = clock_now_ms(store->clock) - part->began_ms;
	return age < half && !precedes_refresh(store, part) ? half - age : 0;
}
