/* SPDX-License-Identifier: MIT */
/* Readahead across directories: a program that uses the same part of one stack
 * after another (rsync, tar, grep -r) finds the next ones fetched.
 *
 * A scan is known by its second step, at once from a stack to the next in one of the
 * orders in which programs go.  What it will use next is its window, which doubles
 * with each step that was foreseen.  Nothing is asked for but by a step: when the
 * scan stops, at most a window was in vain. */
#include "store/private.h"

#define FIRST_WINDOW 2
#define AFTER_FAILURE_MS 5000 /* nothing is fetched ahead */
#define MAX_ROUNDS 8 /* of looking for stacks that have the part */
#define MAX_PAUSE_MS 2000 /* since the last answer, for a step to be one */

static bool same_id(const struct stack_id *a, const struct stack_id *b)
{
	return stack_id_compare(a, b) == 0;
}

/* The next stacks that have the part; how many there are in out. */
static size_t find_next(struct store *store, enum store_part which, const struct stack_id *from,
			unsigned order, struct stack_id *out, size_t n)
{
	const struct stack *at = store_find(store, from);
	struct stack *next[SCAN_WINDOW];
	size_t found = 0;

	for (unsigned rounds = 0; at && found < n && rounds < MAX_ROUNDS; rounds++) {
		size_t got = store->events.upcoming(store->events.arg, at, order, next, n - found);

		for (size_t i = 0; i < got; i++) {
			if (which != STORE_TOKEN || next[i]->record->type == STACK_SERVER)
				out[found++] = next[i]->id;
		}
		at = got > 0 ? next[got - 1] : NULL;
	}
	return found;
}

/* Fill the window, by an eighth at least.  Of each eighth one is marked: a listing gives
 * the others with their attributes, so that the kernel need not ask for them, and it is
 * by the marked ones that the scan is seen to go on. */
static void fill(struct store *store, enum store_part which, struct scan *scan)
{
	const struct stack_id *tail = scan->n > 0 ? &scan->ahead[scan->n - 1] : &scan->last;
	unsigned room = scan->window - scan->n;
	unsigned step = scan->window < 8 ? 1 : scan->window / 8;

	if (room < step)
		return;
	size_t got = find_next(store, which, tail, scan->order, scan->ahead + scan->n, room);
	for (size_t i = 0; i < got; i++)
		part_fetch_ahead(store, store_find(store, &scan->ahead[scan->n + i]), which,
				 i % step == 0);
	scan->n += (unsigned)got;
}

static void go_on(struct store *store, enum store_part which, struct scan *scan,
		  const struct stack_id *id, unsigned n_passed)
{
	scan->last = *id;
	scan->at_ms = clock_now_ms(store->clock);
	scan->used = ++store->readahead[which].steps;
	scan->n -= n_passed;
	memmove(scan->ahead, scan->ahead + n_passed, scan->n * sizeof(scan->ahead[0]));
	if (n_passed > 0 && scan->window < SCAN_WINDOW)
		scan->window *= 2;
	fill(store, which, scan);
}

/* Whether what comes now belongs to what was then. */
static bool goes_on(const struct store *store, uint64_t then_ms)
{
	return clock_now_ms(store->clock) - then_ms <= MAX_PAUSE_MS;
}

bool readahead_awaits(const struct store *store, const struct stack *stack, enum store_part which)
{
	const struct readahead *ra = &store->readahead[which];

	for (const struct scan *s = ra->scans; s < ra->scans + N_SCANS; s++) {
		if (s->used == 0 || !goes_on(store, s->at_ms))
			continue;
		for (unsigned i = 0; i < s->n; i++) {
			if (same_id(&s->ahead[i], &stack->id))
				return true;
		}
	}
	return false;
}

/* Whether the stack is one that a scan is at, or was expected to come to. */
static bool is_foreseen(struct store *store, enum store_part which, const struct stack_id *id)
{
	struct readahead *ra = &store->readahead[which];

	for (struct scan *s = ra->scans; s < ra->scans + N_SCANS; s++) {
		if (s->used == 0 || !goes_on(store, s->at_ms))
			continue;
		if (same_id(&s->last, id))
			return true;
		for (unsigned i = 0; i < s->n; i++) {
			if (same_id(&s->ahead[i], id)) {
				go_on(store, which, s, id, i + 1);
				return true;
			}
		}
	}
	return false;
}

static struct scan *oldest_scan(struct readahead *ra)
{
	struct scan *oldest = &ra->scans[0];

	for (unsigned i = 1; i < N_SCANS; i++) {
		if (ra->scans[i].used < oldest->used)
			oldest = &ra->scans[i];
	}
	return oldest;
}

/* Whether id is just behind from in that order. */
static bool is_step(struct store *store, enum store_part which, const struct stack_id *from,
		    const struct stack_id *id, unsigned order)
{
	struct stack_id next;

	return find_next(store, which, from, order, &next, 1) == 1 && same_id(&next, id);
}

/* The order in which id is just behind from, where somebody was then; n_orders: in
 * none, or it is too long ago. */
static unsigned find_order(struct store *store, enum store_part which, const struct stack_id *from,
			   uint64_t then_ms, const struct stack_id *id)
{
	unsigned order = goes_on(store, then_ms) ? 0 : store->events.n_orders;

	while (order < store->events.n_orders && !is_step(store, which, from, id, order))
		order++;
	return order;
}

/* Orders agree on many steps: this one shows that the scan has another than the one
 * that it was taken for. */
static bool turns_scan(struct store *store, enum store_part which, const struct stack_id *id)
{
	struct readahead *ra = &store->readahead[which];

	for (struct scan *s = ra->scans; s < ra->scans + N_SCANS; s++) {
		unsigned order = find_order(store, which, &s->last, s->at_ms, id);

		if (s->used == 0 || order == store->events.n_orders)
			continue;
		s->order = order;
		s->n = 0;
		go_on(store, which, s, id, 0);
		return true;
	}
	return false;
}

/* A step that no scan has foreseen: the first of one, or the second. */
static void look_for_scan(struct store *store, enum store_part which, const struct stack_id *id)
{
	struct readahead *ra = &store->readahead[which];

	if (turns_scan(store, which, id))
		return;
	for (unsigned i = 0; i < ra->n_firsts; i++) {
		const struct first *first = &ra->firsts[i];
		unsigned order = find_order(store, which, &first->id, first->at_ms, id);
		struct scan *scan = oldest_scan(ra);

		if (order == store->events.n_orders)
			continue;
		*scan = (struct scan){ .order = order, .window = FIRST_WINDOW };
		go_on(store, which, scan, id, 0);
		return;
	}
	if (ra->n_firsts < N_SCANS)
		ra->n_firsts++;
	memmove(ra->firsts + 1, ra->firsts, (ra->n_firsts - 1) * sizeof(ra->firsts[0]));
	ra->firsts[0] = (struct first){ *id, clock_now_ms(store->clock) };
}

/* A program does not pause, but the API may take its time. */
void readahead_answered(struct store *store, const struct stack *stack, enum store_part which)
{
	struct readahead *ra = &store->readahead[which];
	uint64_t now_ms = clock_now_ms(store->clock);

	for (unsigned i = 0; i < ra->n_firsts; i++) {
		if (same_id(&ra->firsts[i].id, &stack->id))
			ra->firsts[i].at_ms = now_ms;
	}
	for (struct scan *s = ra->scans; s < ra->scans + N_SCANS; s++) {
		if (same_id(&s->last, &stack->id))
			s->at_ms = now_ms;
	}
}

/* Or else what fails would be asked for twice: ahead, and when it is used. */
void readahead_failed(struct store *store, enum store_part which)
{
	store->readahead[which].paused_until_ms = clock_now_ms(store->clock) + AFTER_FAILURE_MS;
}

void readahead_step(struct store *store, const struct stack *stack, enum store_part which,
		    bool asked)
{
	if (clock_now_ms(store->clock) < store->readahead[which].paused_until_ms)
		return;
	if (!is_foreseen(store, which, &stack->id) && asked && store->events.n_orders > 0)
		look_for_scan(store, which, &stack->id);
}
