/* SPDX-License-Identifier: MIT */
/* store: one cached copy of each remote object, shared by all operations:
 * how old it is, when it is asked again, and who waits for that.
 *
 * One list chain serves all records.  A system call says what it needs; the
 * answer is "use what is there" or "wait", and a waiter is woken once when the
 * request that all its fellows share has ended.  Who needs a part of one stack
 * after another finds those of the next fetched ahead.
 *
 * Threads: every function is called inside the monitor, and every callback
 * (wake, events) runs inside it.  Answers are taken on the http thread. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/api.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/macros.h"
#include "base/monitor.h"
#include "base/timer.h"

struct store;

/* Tokens and dependencies that are kept, of all stacks together.  At the usual rate, more
 * are not fresh at once but where they are larger than 20 KiB each. */
#define STORE_PARTS_MAX_BYTES (64u << 20)

/* What a stack has beside its record, each fetched on first use. */
enum store_part { STORE_TOKEN, STORE_DEPENDENCIES, STORE_N_PARTS };

/* A stack of the account.  Counted; stays valid, and says gone, after the
 * account has lost it.  Fields are read-only outside store. */
struct stack {
	struct stack_id id;
	struct record *record;    /* never NULL */
	bool gone;
	void *user;               /* the tree's; store never looks at it */
};

struct stack *stack_ref(struct stack *stack);
void stack_unref(struct stack *stack); /* NULL is fine */
DEFINE_CLEANUP(struct stack, stack_unref)

/* One waiting operation.  Zeroed before first use; reused for every need of
 * the same operation, so that what it has waited for once counts as fresh for
 * it whatever ttl says. */
struct store_wait {
	struct store_wait *prev, *next; /* private */
	unsigned satisfied;             /* private */
	bool strict;                    /* private: an old answer will not do */
	/* Exactly once for each need that said STORE_WAIT, unless taken out by
	 * store_unwait.  error is NULL, or borrowed for the call; after NULL the
	 * same need is to be asked again. */
	void (*wake)(struct store_wait *self, const struct api_error *error);
	const struct api_error *error;  /* set when a need fails at once; borrowed */
};

enum { STORE_READY = 0, STORE_WAIT = 1 };

/* Upcalls.  stack_added comes in the order of _id for all that one list brings. */
struct store_events {
	void (*stack_added)(void *arg, struct stack *stack);
	/* Its record is another one now; old is borrowed. */
	void (*stack_changed)(void *arg, struct stack *stack, struct record *old);
	void (*stack_gone)(void *arg, struct stack *stack);
	void (*part_changed)(void *arg, struct stack *stack, enum store_part part);
	/* It has not changed, but makes room for others: what refers to its text is to let
	 * go of that, until it is asked for again.  False: it is in use, and stays.  May be NULL. */
	bool (*part_evicted)(void *arg, struct stack *stack, enum store_part part);
	/* Nobody knows whether it still is what it was: store_expire_record.  May be NULL. */
	void (*record_expired)(void *arg, struct stack *stack);
	/* Not news but a question: the stacks that follow that one in one of the
	 * orders in which programs go through them, from 0 to n_orders; at most n in out,
	 * borrowed.  How many. */
	size_t (*upcoming)(void *arg, const struct stack *stack, unsigned order,
			   struct stack **out, size_t n);
	unsigned n_orders; /* 0: nothing is read ahead */
	void *arg;
};

struct store_options {
	struct monitor *monitor;    /* all borrowed */
	struct timers *timers;
	struct api *api;
	const struct clock *clock;
	struct store_events events;
	uint64_t ttl_ms;            /* 0: every operation revalidates */
	uint64_t stale_ms;          /* how long an old answer may stand in; 0: never */
};

NODISCARD int store_new(const struct store_options *options, struct store **ret); /* -ENOMEM */
/* No request is under way any more (http_free); nobody waits.  NULL is fine. */
void store_free(struct store *store);
DEFINE_CLEANUP(struct store, store_free)

/* Begin the first list.  first_page is called once, inside the monitor: with
 * NULL when the first page has come, or with the reason why it did not. */
NODISCARD int store_start(struct store *store,
			  void (*first_page)(void *arg, const struct api_error *error), void *arg);

/* The names and all records are fresh, or as fresh as may be.  STORE_READY,
 * STORE_WAIT, or a negative errno with w->error set. */
NODISCARD int store_need_list(struct store *store, struct store_wait *w);
/* The first list is whole, of whatever age: what names something without
 * asking after it needs no more. */
NODISCARD int store_need_names(struct store *store, struct store_wait *w);
/* Somebody was served, and none of these had to be asked for. */
void store_hit(struct store *store);
/* This stack's record.  -ENOENT when the stack is gone. */
NODISCARD int store_need_record(struct store *store, struct stack *stack, struct store_wait *w);
/* A part.  STORE_READY: see store_part_blob. */
NODISCARD int store_need_part(struct store *store, struct stack *stack, enum store_part part,
			      struct store_wait *w);
/* Revalidate everything: the list now (a list that has begun before does not
 * count), the parts when next used.  Nothing is dropped when it fails. */
NODISCARD int store_refresh(struct store *store, struct store_wait *w);
void store_unwait(struct store *store, struct store_wait *w);

/* Whether the part is there in a state that may be shown without asking.  Not of some
 * that were read ahead and nobody has used: by their use is seen how a scan goes on. */
bool store_part_known(const struct store *store, const struct stack *stack, enum store_part part);
/* Whether the API has said 404 the last time that it was asked. */
bool store_part_absent(const struct stack *stack, enum store_part part);
/* What the part holds; NULL when the API said 404, or it was never asked.  Borrowed. */
struct blob *store_part_blob(const struct stack *stack, enum store_part part);
/* A number under 2^22 that follows the part's content. */
uint32_t store_part_hash(const struct stack *stack, enum store_part part);
uint32_t store_content_hash(const struct blob *content); /* NULL gives 0 */

/* How long the kernel may go on without asking, in ms: until the first half of
 * the ttl is over. */
uint64_t store_list_valid_ms(const struct store *store);
uint64_t store_record_valid_ms(const struct store *store, const struct stack *stack);
uint64_t store_part_valid_ms(const struct store *store, const struct stack *stack,
			     enum store_part part);
/* Whether the first list is whole. */
bool store_has_list(const struct store *store);
/* Whether what is shown is older than the ttl allows. */
bool store_record_stale(const struct store *store, const struct stack *stack);

/* ---- what its callers have asked for themselves, or changed ---- */

/* The answer to a GET of one record.  tick: store_tick() when it was asked for;
 * what was changed since is newer.  -ENOMEM. */
NODISCARD int store_take_answer(struct store *store, struct record *record,
				const struct api_meta *meta, uint64_t tick);
/* Counts the requests and the changes: their order, which a clock that holds
 * several of them in a millisecond cannot tell. */
uint64_t store_tick(const struct store *store);
/* The answer to a change: nothing that was asked for before now replaces it.
 * *ret (borrowed) is the stack, which is announced by stack_added when it is
 * new.  -ENOMEM. */
NODISCARD int store_take_change(struct store *store, struct record *record, const char *etag,
				struct stack **ret);
/* Whether *error (which may be NULL) is a 404 that is what it says, and not the word of
 * another account, whose token has come in place of ours: then it is replaced by that
 * (-EACCES). */
bool store_believes_404(struct store *store, const struct api_meta *meta,
			const struct api_error **error);
/* It was deleted, or its own GET has just said 404. */
void store_take_gone(struct store *store, struct stack *stack);
/* A part is another one now (its token was rotated): what was known of it is
 * forgotten, and what was asked for before now does not count. */
void store_drop_part(struct store *store, struct stack *stack, enum store_part part);
/* Nobody knows what it is now: the next access asks. */
void store_expire_record(struct store *store, struct stack *stack);
/* Whether that is so still: nothing that was asked for since has been answered. */
bool store_record_unknown(const struct stack *stack);

/* The bearer token that the account is known by (http_result.token_no). */
unsigned store_token_no(const struct store *store);
/* The token was refused or replaced: find out by a list whose it is. */
void store_look_at_account(struct store *store);

struct stack *store_find(const struct store *store, const struct stack_id *id);
/* Call fn for each stack, in no order. */
void store_each(const struct store *store, void (*fn)(void *arg, struct stack *stack), void *arg);

enum store_state { STORE_STATE_OK, STORE_STATE_STALE, STORE_STATE_ERROR };

struct store_stats {
	enum store_state state;
	uint64_t since_ms;         /* how long it has been in this state */
	uint64_t list_age_ms, list_took_ms, ttl_ms;
	struct api_error last_error; /* .err 0: none so far */
	uint64_t last_error_age_ms;
	size_t stacks, servers, lambdas;
	uint64_t hits, misses, stale;
};

void store_get_stats(const struct store *store, struct store_stats *ret);

#endif
