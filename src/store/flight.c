/* SPDX-License-Identifier: MIT */
/* A flight is one request and all who wait for it.
 *
 * Waiters of something that could be shown old (stale-if-error, RFC 5861) are
 * let go after a few seconds with what there is, while the request goes on. */
#include <assert.h>
#include <errno.h>

#include "store/private.h"

void flight_init(struct flight *f, struct store *store, unsigned answers, enum quiet quiet)
{
	*f = (struct flight){ .store = store, .answers = answers, .quiet = quiet };
	f->waiters.prev = f->waiters.next = &f->waiters;
}

void flight_begin(struct flight *f, bool in_time)
{
	assert(!f->running);
	f->running = true;
	f->asked = ++f->store->tick;
	f->in_time = in_time;
}

void flight_note(struct flight *f, const struct api_error *error)
{
	f->forbidden = error && (f->forbidden || error->status == 403);
	f->rests_until_ms = error ? clock_now_ms(f->store->clock) + store_pause_ms(f->store) : 0;
	if (error)
		store_note_failure(f->store, f->quiet, error);
	else
		store_note_success(f->store, f->quiet);
}

bool flight_rests(const struct flight *f)
{
	return f->running || clock_now_ms(f->store->clock) < f->rests_until_ms ||
	       store_quiet(f->store, f->quiet);
}

bool wait_ring_empty(const struct store_wait *ring)
{
	return ring->next == ring;
}

void wait_ring_add(struct store_wait *ring, struct store_wait *w)
{
	assert(!w->next);
	w->prev = ring->prev;
	w->next = ring;
	w->prev->next = w;
	ring->prev = w;
}

/* error goes to all, but with spare_lenient only to the strict: the others go on
 * with what is there.  A waiter may need something else at once and be queued
 * here again: only who waits now is woken. */
static void wake_waiters(struct flight *f, const struct api_error *error, bool spare_lenient,
			 unsigned answers)
{
	struct store_wait ring;

	if (wait_ring_empty(&f->waiters))
		return;
	ring = f->waiters;
	ring.next->prev = ring.prev->next = &ring;
	f->waiters.prev = f->waiters.next = &f->waiters;

	while (!wait_ring_empty(&ring)) {
		struct store_wait *w = ring.next;
		const struct api_error *e = spare_lenient && !w->strict ? NULL : error;

		store_unwait(f->store, w);
		if (!e)
			w->satisfied |= answers;
		w->wake(w, e);
	}
}

void flight_end(struct flight *f, const struct api_error *error, bool may_be_stale)
{
	f->running = false;
	timer_cancel(f->store->timers, &f->patience);
	wake_waiters(f, error, error && may_be_stale && store_error_allows_stale(error),
		     f->answers);
}

void flight_end_overtaken(struct flight *f)
{
	f->running = false;
	timer_cancel(f->store->timers, &f->patience);
	wake_waiters(f, NULL, false, 0);
}

/* Who may be shown what is old waits no longer, and is told; the request goes on. */
static void patience_over(struct timer *timer)
{
	static const struct api_error slow = { .err = -ETIMEDOUT,
					       .message = "no answer within 3 seconds" };
	struct flight *f = CONTAINER_OF(timer, struct flight, patience);
	struct store_wait strict = { .prev = &strict, .next = &strict };

	/* It may have been forbidden since. */
	if (!store_may_be_stale(f->store, f, clock_now_ms(f->store->clock)))
		return;
	store_note_failure(f->store, f->quiet, &slow);
	store_silence(f->store, f->quiet, STALE_QUIET_MS);
	for (struct store_wait *w = f->waiters.next, *next; w != &f->waiters; w = next) {
		next = w->next;
		if (!w->strict)
			continue;
		store_unwait(f->store, w);
		wait_ring_add(&strict, w);
	}
	wake_waiters(f, NULL, true, f->answers);
	while (!wait_ring_empty(&strict)) {
		struct store_wait *w = strict.next;

		store_unwait(f->store, w);
		wait_ring_add(&f->waiters, w);
	}
}

static void begin_patience(struct flight *f)
{
	timer_arm(f->store->timers, &f->patience,
		  clock_now_ms(f->store->clock) + STALE_PATIENCE_MS, patience_over);
}

int flight_wait(struct flight *f, struct store_wait *w, bool may_be_stale)
{
	assert(f->running);
	f->store->misses++;
	wait_ring_add(&f->waiters, w);
	if (may_be_stale && !w->strict && !f->patience.next)
		begin_patience(f);
	return STORE_WAIT;
}

void flight_goes_on(struct flight *f)
{
	if (f->patience.next)
		begin_patience(f);
}

void store_unwait(struct store *store, struct store_wait *w)
{
	if (!w->next)
		return;
	w->prev->next = w->next;
	w->next->prev = w->prev;
	w->prev = w->next = NULL;
}
