/* SPDX-License-Identifier: MIT */
/* Ages and needs.
 *
 * An answer is fresh for a ttl, counted from when its request was begun.  In
 * the second half of that, an access starts the renewal and goes on with what
 * there is; past it, an access waits, unless a renewal that began in time is
 * still under way.  So a mount in use never waits, and an idle one never asks. */
#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/private.h"

int store_new(const struct store_options *options, struct store **ret)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->monitor = options->monitor;
	s->timers = options->timers;
	s->api = options->api;
	s->clock = options->clock;
	s->events = options->events;
	s->ttl_ms = options->ttl_ms;
	s->stale_ms = options->stale_ms;
	s->state_since_ms = clock_now_ms(s->clock);
	flight_init(&s->list_flight, s, NEED_LIST | NEED_RECORD | NEED_REFRESH, QUIET_LIST);
	s->next_list.prev = s->next_list.next = &s->next_list;
	TAILQ_INIT(&s->kept);
	*ret = s;
	return 0;
}

void store_free(struct store *store)
{
	struct entry *e, *next;

	if (!store)
		return;
	list_free(store);
	records_drop_graves(store, UINT64_MAX);
	parts_forget(store);
	HASH_ITER(hh, store->by_id, e, next) {
		HASH_DEL(store->by_id, e);
		stack_unref(&e->stack);
	}
	free(store);
}

/* A list that takes long is asked less often: an account of 100,000 must not
 * be listed without a pause. */
uint64_t store_ttl_ms(const struct store *store)
{
	uint64_t by_list = store->list ? 10 * store->list->took_ms : 0;

	if (store->ttl_ms == 0)
		return 0;
	return store->ttl_ms > by_list ? store->ttl_ms : by_list;
}

enum age store_age(const struct store *store, uint64_t began_ms)
{
	uint64_t age = clock_now_ms(store->clock) - began_ms;
	uint64_t ttl = store_ttl_ms(store);

	if (age < ttl / 2)
		return AGE_FRESH;
	return age < ttl ? AGE_RENEW : AGE_OLD;
}

static uint64_t valid_ms(const struct store *store, uint64_t began_ms)
{
	uint64_t age = clock_now_ms(store->clock) - began_ms;
	uint64_t half = store_ttl_ms(store) / 2;

	return age < half ? half - age : 0;
}

uint64_t store_list_valid_ms(const struct store *store)
{
	return store->list ? valid_ms(store, store->list_began_ms) : 0;
}

uint64_t store_record_valid_ms(const struct store *store, const struct stack *stack)
{
	const struct entry *e = entry_of(stack);

	return e->unknown ? 0 : valid_ms(store, e->began_ms);
}

bool store_has_list(const struct store *store)
{
	return store->list != NULL;
}

bool store_record_stale(const struct store *store, const struct stack *stack)
{
	return store_ttl_ms(store) > 0 && store_age(store, entry_of(stack)->began_ms) == AGE_OLD &&
	       store->state == STORE_STATE_STALE;
}

/* ---- failures ---- */

const struct api_error store_no_memory = { .err = -ENOMEM, .message = "out of memory" };
const struct api_error store_other_account = {
	.err = -EACCES,
	.message = "the token has changed, and the new one does not show what was known: "
		   "another account is to be mounted apart",
};

bool store_may_be_stale(const struct store *store, const struct flight *f, uint64_t began_ms)
{
	uint64_t age = clock_now_ms(store->clock) - began_ms;

	return !store->refused && !store->list_flight.forbidden && !(f && f->forbidden) &&
	       age < store_ttl_ms(store) + store->stale_ms;
}

/* "Cannot be reached or answers 5xx" (RFC 5861, 4), or has no more requests for this
 * account now; never after 401 or 403, and not for an answer that came and could not be
 * understood. */
bool store_error_allows_stale(const struct api_error *error)
{
	if (error->status)
		return error->status >= 500 || error->status == 429;
	return error->err != -ECANCELED && error->err != -ENOMEM && error->err != -EMSGSIZE &&
	       error->err != -EACCES;
}

bool store_quiet(const struct store *store, enum quiet quiet)
{
	uint64_t now = clock_now_ms(store->clock);

	return now < store->quiet_until_ms[QUIET_ALL] || now < store->quiet_until_ms[quiet];
}

uint64_t store_pause_ms(const struct store *store)
{
	return store->ttl_ms < STALE_QUIET_MS ? store->ttl_ms : STALE_QUIET_MS;
}

/* After a change of the token only a list tells which account it is. */
bool store_believes_404(struct store *store, const struct api_meta *meta,
			const struct api_error **error)
{
	if (!*error || (*error)->status != 404)
		return false;
	if (meta->token_no == store->token_no)
		return true;
	*error = &store_other_account;
	if (!store->list_flight.running && list_begin(store, false) < 0)
		*error = &store_no_memory;
	return false;
}

unsigned store_token_no(const struct store *store)
{
	return store->token_no;
}

void store_look_at_account(struct store *store)
{
	if (store->list_flight.running)
		return;
	int r = list_begin(store, false);
	(void)r; /* then the next list will do */
}

static void set_state(struct store *store, enum store_state state)
{
	if (store->state == state)
		return;
	store->state = state;
	store->state_since_ms = clock_now_ms(store->clock);
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Whatever was asked for.  Any other failure may be the one endpoint's. */
static bool is_unreachable(const struct api_error *error)
{
	return error->err == -EHOSTUNREACH || error->err == -ENETUNREACH ||
	       error->err == -ECONNREFUSED || error->err == -EPROTO;
}

void store_note_success(struct store *store, enum quiet quiet)
{
	store->quiet_until_ms[QUIET_ALL] = 0;
	store->quiet_until_ms[quiet] = 0;
	store->refused = false;
	if (quiet == QUIET_LIST)
		store->list_fails_until_ms = 0;
	if (clock_now_ms(store->clock) >= store->list_fails_until_ms)
		set_state(store, STORE_STATE_OK);
}

void store_silence(struct store *store, enum quiet quiet, uint64_t ms)
{
	store->quiet_until_ms[quiet] = clock_now_ms(store->clock) + ms;
	if (quiet == QUIET_LIST)
		store->quiet_until_ms[QUIET_ALL] = store->quiet_until_ms[quiet];
}

/* One file that is not given says nothing of the rest: the API has answered. */
static bool is_of_one_file(enum quiet quiet, const struct api_error *error)
{
	int status = error->status;

	return (quiet == QUIET_TOKEN || quiet == QUIET_DEPENDENCIES) && status >= 400 &&
	       status < 500 && status != 401 && status != 408 && status != 429;
}

/* A list that is still fresh is not asked for again before it is not. */
static uint64_t list_fails_ms(const struct store *store)
{
	bool fresh = store->list && store_age(store, store->list_began_ms) == AGE_FRESH;

	return fresh ? LIST_FAILS_MS : max_u64(store_ttl_ms(store), LIST_FAILS_MS);
}

void store_note_failure(struct store *store, enum quiet quiet, const struct api_error *error)
{
	uint64_t now = clock_now_ms(store->clock);

	/* Who is not let in any more is not shown what was seen before, when the
	 * service fails after that, too. */
	store->refused |= error->err == -EACCES;
	if (quiet == QUIET_LIST)
		store->list_fails_until_ms = now + list_fails_ms(store);
	bool stale = store_error_allows_stale(error) && store->stale_ms > 0 && store->list &&
		     !store->refused;

	bool of_one_file = is_of_one_file(quiet, error);

	if (!of_one_file)
		set_state(store, stale ? STORE_STATE_STALE : STORE_STATE_ERROR);
	/* Else it is the reason of the state. */
	if (!of_one_file || store->state == STORE_STATE_OK) {
		store->last_error = *error;
		store->last_error_ms = now;
	}
	if (stale)
		store_silence(store, is_unreachable(error) ? QUIET_ALL : quiet,
			      store_pause_ms(store));
}

int store_fail(struct store *store, struct store_wait *w, int err)
{
	store->last_error = (struct api_error){ .err = err };
	store->last_error_ms = clock_now_ms(store->clock);
	strncat(store->last_error.message, strerror(-err), sizeof(store->last_error.message) - 1);
	w->error = &store->last_error;
	return err;
}

/* ---- needs ---- */

/* What is there may be used now, although it is old.  f: what may be renewing it;
 * NULL: nothing of a record. */
static bool usable_old(struct store *store, const struct flight *f, uint64_t began_ms)
{
	if (f && f->running && f->in_time)
		return true;
	if (!store_quiet(store, f ? f->quiet : QUIET_RECORD) ||
	    !store_may_be_stale(store, f, began_ms))
		return false;
	store->stale++;
	return true;
}

void store_hit(struct store *store)
{
	store->hits++;
}

static int hit(struct store *store)
{
	store_hit(store);
	return STORE_READY;
}

int store_need_names(struct store *store, struct store_wait *w)
{
	if (store->list)
		return hit(store);
	if (!store->list_flight.running) {
		int r = list_begin(store, false);
		if (r < 0)
			return store_fail(store, w, r);
	}
	return flight_wait(&store->list_flight, w, false);
}

/* The list, whether for its own sake or for one record of it. */
static int need_list_since(struct store *store, struct store_wait *w, uint64_t began_ms)
{
	enum age age = store_age(store, began_ms);
	struct flight *f = &store->list_flight;
	int r;

	if (age == AGE_FRESH)
		return hit(store);
	if (age == AGE_OLD && usable_old(store, f, began_ms))
		return STORE_READY;
	if (age == AGE_RENEW && flight_rests(f))
		return hit(store);
	if (!f->running) {
		r = list_begin(store, age == AGE_RENEW);
		if (r < 0 && age == AGE_OLD)
			return store_fail(store, w, r);
	}
	if (age == AGE_RENEW)
		return hit(store);
	return flight_wait(f, w, store_may_be_stale(store, f, began_ms));
}

int store_need_list(struct store *store, struct store_wait *w)
{
	if (w->satisfied & NEED_LIST)
		return STORE_READY;
	if (!store->list)
		return store_need_names(store, w);
	return need_list_since(store, w, store->list_began_ms);
}

/* A record in a list of one page, or the second one within a second, is
 * cheapest had by the list; and when asking for one has just failed, surest. */
static bool prefer_list(struct store *store, const struct stack *stack)
{
	uint64_t now = clock_now_ms(store->clock);

	if (!store->list || store->list->n_pages <= 1 || store_quiet(store, QUIET_RECORD))
		return true;
	if (store->single && store->single != stack && now - store->single_ms < SINGLE_WINDOW_MS)
		return true;
	store->single = stack;
	store->single_ms = now;
	return false;
}

static void record_done(void *arg, const struct api_error *error, struct record *record,
			const struct api_meta *meta)
{
	struct entry *e = arg;
	struct store *store = e->store;

	monitor_enter(store->monitor);
	bool gone = store_believes_404(store, meta, &error);
	int r = 0;

	if (!error && e->flight->asked < e->change) {
		flight_end_overtaken(e->flight);
		stack_unref(&e->stack);
		monitor_leave(store->monitor);
		return;
	}
	if (record) {
		r = records_take(store, record, meta->began_ms, e->flight->asked, meta->etag, NULL);
	} else if (!error) { /* 304 */
		(void)records_confirm(e, meta->began_ms, e->flight->asked);
	}
	if (r < 0)
		error = &store_no_memory;

	flight_note(e->flight, gone ? NULL : error);
	/* A list that is under way may have read its page before. */
	if (gone)
		store_take_gone(store, &e->stack);
	flight_end(e->flight, gone ? NULL : error,
		   store_may_be_stale(store, e->flight, e->began_ms));
	stack_unref(&e->stack);
	monitor_leave(store->monitor);
}

static int record_begin(struct store *store, struct entry *e, bool in_time)
{
	if (!e->flight) {
		e->flight = malloc(sizeof(*e->flight));
		if (!e->flight)
			return -ENOMEM;
		flight_init(e->flight, store, NEED_RECORD, QUIET_RECORD);
	}
	int r = api_get(store->api, in_time ? HTTP_CLASS_READAHEAD : HTTP_CLASS_USER, &e->stack.id,
			e->etag, record_done, e);
	if (r < 0)
		return r;
	stack_ref(&e->stack);
	flight_begin(e->flight, in_time);
	return 0;
}

static bool flying(const struct flight *f)
{
	return f && f->running;
}

int store_need_record(struct store *store, struct stack *stack, struct store_wait *w)
{
	struct entry *e = entry_of(stack);
	/* What is under way may have begun before that. */
	bool unknown = e->unknown;
	enum age age = unknown ? AGE_OLD : store_age(store, e->began_ms);

	if (stack->gone)
		return store_fail(store, w, -ENOENT);
	if (w->satisfied & NEED_RECORD)
		return STORE_READY;
	if (age == AGE_FRESH)
		return hit(store);
	if (flying(e->flight)) {
		if (age == AGE_RENEW ||
		    usable_old(store, unknown ? NULL : e->flight, e->began_ms))
			return hit(store);
		return flight_wait(e->flight, w,
				   store_may_be_stale(store, e->flight, e->began_ms));
	}
	if (age == AGE_OLD &&
	    usable_old(store, unknown ? NULL : &store->list_flight, e->began_ms))
		return STORE_READY;
	if (age == AGE_RENEW &&
	    (flight_rests(&store->list_flight) || (e->flight && flight_rests(e->flight))))
		return hit(store);
	if (!unknown && prefer_list(store, stack))
		return need_list_since(store, w, e->began_ms);

	int r = record_begin(store, e, age == AGE_RENEW);
	if (age == AGE_RENEW)
		return hit(store);
	if (r < 0)
		return store_fail(store, w, r);
	return flight_wait(e->flight, w, store_may_be_stale(store, e->flight, e->began_ms));
}

void store_get_stats(const struct store *store, struct store_stats *ret)
{
	uint64_t now = clock_now_ms(store->clock);

	*ret = (struct store_stats){
		.state = store->state,
		.since_ms = now - store->state_since_ms,
		.list_age_ms = store->list ? now - store->list_began_ms : 0,
		.list_took_ms = store->list ? store->list->took_ms : 0,
		.ttl_ms = store_ttl_ms(store),
		.last_error = store->last_error,
		.last_error_age_ms = store->last_error.err ? now - store->last_error_ms : 0,
		.stacks = store->n_stacks,
		.servers = store->n_servers,
		.lambdas = store->n_lambdas,
		.hits = store->hits,
		.misses = store->misses,
		.stale = store->stale,
	};
}
