/* SPDX-License-Identifier: MIT */
/* What the files of store share. */
#ifndef STORE_PRIVATE_H
#define STORE_PRIVATE_H

/* A file system must not exit because a table could not grow. */
#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION HASH_FNV /* the default's switch falls through, of which clang warns */
#include <sys/queue.h>

#include <uthash.h>

#include "store/store.h"

#define STALE_PATIENCE_MS 3000 /* how long the first one waits for an answer before an old one is shown */
#define STALE_QUIET_MS 5000    /* at most: how long a failed renewal is not tried again */
#define LIST_FAILS_MS 10000    /* at least: longer than a late list is not asked for again */
#define SINGLE_WINDOW_MS 1000  /* a second old record within it: the whole list */
#define MAX_VERIFY 8           /* stacks asked for by id when a list lacks them */

enum need {
	NEED_LIST = 1,
	NEED_RECORD = 2,
	NEED_TOKEN = 4,
	NEED_DEPENDENCIES = 8,
	NEED_REFRESH = 16,
};

/* What is not asked again for a while after it has failed, and shown old.  An
 * endpoint that fails must not keep the others' answers from being renewed; who
 * cannot be reached, or fails to list, silences all, until something is answered:
 * then it is the list alone that fails. */
enum quiet { QUIET_ALL, QUIET_LIST, QUIET_RECORD, QUIET_TOKEN, QUIET_DEPENDENCIES, N_QUIET };

/* One request that any number of waiters share (single flight). */
struct flight {
	struct store *store;
	enum quiet quiet; /* what its failure silences */
	struct store_wait waiters; /* ring */
	struct timer patience;
	bool running;
	uint64_t asked;   /* store->tick when it began */
	bool in_time;     /* what it renews was not yet old when it began */
	uint64_t rests_until_ms; /* the last one has failed: not again before what it renews is old */
	bool forbidden;   /* a 403, and no better answer since: nothing old is shown */
	unsigned answers; /* enum need: what its success satisfies */
};

struct part {
	struct stack *stack;
	enum store_part which;
	bool known;          /* blob (or NULL for a 404) is an answer */
	struct blob *blob;
	TAILQ_ENTRY(part) kept; /* in store->kept, while there is a blob */
	uint32_t hash;
	uint64_t began_ms;
	uint64_t change; /* tick of our last one: no answer asked for before counts */
	uint64_t refreshes, asked_refreshes; /* begun before what is known, what is asked for */
	char *etag;
	struct flight flight;
	struct http_call *call; /* behind the flight while that runs */
	enum http_class class;  /* of the call */
	bool ahead;             /* asked for ahead, and not used yet */
	bool foreseen;          /* the last request was made ahead, whoever has waited for it since */
	bool marked;            /* ... and kept out of listings, so that its use is seen */
};

/* What store keeps of a stack beside what it shows of it. */
struct entry {
	struct stack stack;
	UT_hash_handle hh;     /* keyed by stack.id */
	struct store *store;
	unsigned refs;
	unsigned seen_in;      /* number of the last list that had it */
	uint64_t began_ms;     /* of the answer that the record is from */
	uint64_t took;         /* tick of the answer that the record is from */
	uint64_t change;       /* tick of our last change: no answer asked for before counts */
	bool unknown;          /* nobody knows what it is now: see store_expire_record */
	char *etag;            /* of the record's own GET */
	struct flight *flight; /* of the record's own GET; allocated on first use */
	struct part *parts[STORE_N_PARTS]; /* allocated on first use */
};

static inline struct entry *entry_of(const struct stack *stack)
{
	return CONTAINER_OF((struct stack *)stack, struct entry, stack);
}

/* A stack that was deleted through this mount.  A time and no ban: the recycle
 * bin can bring the same _id back. */
struct grave {
	struct stack_id id;
	UT_hash_handle hh;
	uint64_t change;
};

/* readahead.c */
#define N_SCANS 16     /* at once, of each part; the one not used for longest makes way */
#define SCAN_WINDOW 64 /* at most */

struct scan {
	unsigned order;   /* see store_events */
	uint64_t used;    /* readahead.steps when it last went on; 0: a free place */
	uint64_t at_ms;   /* when that was, or when last was answered */
	struct stack_id last;
	unsigned window;
	unsigned n;       /* of ahead */
	struct stack_id ahead[SCAN_WINDOW]; /* asked for, in the order of their use */
};

struct readahead {
	struct scan scans[N_SCANS];
	struct first {
		struct stack_id id;
		uint64_t at_ms; /* likewise */
	} firsts[N_SCANS]; /* the last steps that nothing foresaw, the newest first */
	unsigned n_firsts;
	uint64_t steps;
	uint64_t paused_until_ms; /* after a failure */
};

struct verify;

struct store {
	struct monitor *monitor;
	struct timers *timers;
	struct api *api;
	const struct clock *clock;
	struct store_events events;
	uint64_t ttl_ms, stale_ms;
	uint64_t tick; /* see store_tick */

	struct entry *by_id;
	struct grave *graves;        /* until a list that was begun later is whole */
	size_t n_stacks, n_servers, n_lambdas;

	struct api_list *list;       /* the last whole one */
	unsigned list_no;
	unsigned token_no;           /* of the last list: whose account this is */
	uint64_t list_began_ms;
	struct flight list_flight;
	struct store_wait next_list;  /* ring: who waits for the list after the one under way */
	bool list_is_refresh;        /* the chain under way was asked for by a refresh */
	struct verify *verify;
	bool list_again;             /* the chain is being repeated: pages may have drifted */
	uint64_t refreshes_begun, refreshes_done; /* parts asked for before the latter are old */

	void (*first_page)(void *arg, const struct api_error *error);
	void *first_page_arg;

	const struct stack *single;  /* the last record asked by id; only compared, never followed */
	uint64_t single_ms;

	TAILQ_HEAD(, part) kept;     /* the one that was not used for longest first */
	size_t kept_bytes;

	struct readahead readahead[STORE_N_PARTS];

	uint64_t quiet_until_ms[N_QUIET]; /* until then old answers are shown without asking */
	bool refused;                /* the token was, and nothing has gone well since */
	uint64_t list_fails_until_ms; /* after one that has, or is late: until then no other
				       * answer makes up for that */
	enum store_state state;
	uint64_t state_since_ms;
	struct api_error last_error;
	uint64_t last_error_ms;
	uint64_t hits, misses, stale;
};

enum age { AGE_FRESH, AGE_RENEW, AGE_OLD };

/* flight.c */
bool wait_ring_empty(const struct store_wait *ring);
void wait_ring_add(struct store_wait *ring, struct store_wait *w);
void flight_init(struct flight *f, struct store *store, unsigned answers, enum quiet quiet);
void flight_begin(struct flight *f, bool in_time);
/* How the last one has ended, for itself and for the store; NULL: well. */
void flight_note(struct flight *f, const struct api_error *error);
/* Whether there is nothing to renew in the background: it is being done, or was tried just now. */
bool flight_rests(const struct flight *f);
void flight_end(struct flight *f, const struct api_error *error, bool may_be_stale);
/* The answer was overtaken by a change of ours: who waits asks again. */
void flight_end_overtaken(struct flight *f);
int flight_wait(struct flight *f, struct store_wait *w, bool may_be_stale);
/* Of several requests one was answered: who waits has as much patience again. */
void flight_goes_on(struct flight *f);

/* store.c */
extern const struct api_error store_no_memory, store_other_account;
uint64_t store_ttl_ms(const struct store *store);
enum age store_age(const struct store *store, uint64_t began_ms);
/* f: what renews it, or NULL. */
bool store_may_be_stale(const struct store *store, const struct flight *f, uint64_t began_ms);
bool store_error_allows_stale(const struct api_error *error);
bool store_quiet(const struct store *store, enum quiet quiet);
/* For which what has failed is not tried again. */
uint64_t store_pause_ms(const struct store *store);
void store_note_success(struct store *store, enum quiet quiet);
void store_note_failure(struct store *store, enum quiet quiet, const struct api_error *error);
/* Whoever it silences, for that long. */
void store_silence(struct store *store, enum quiet quiet, uint64_t ms);
int store_fail(struct store *store, struct store_wait *w, int err);

/* records.c */

/* An answer that was begun at began_ms and at the tick asked is what the record is from.
 * False: it has been overtaken, and nothing is changed. */
bool records_confirm(struct entry *e, uint64_t began_ms, uint64_t asked);

/* Take a record from an answer that was begun at began_ms and at the tick asked.
 * A stack that is new is announced by stack_added, unless ret_new asks
 * for it instead.  -ENOMEM. */
NODISCARD int records_take(struct store *store, struct record *record, uint64_t began_ms,
			   uint64_t asked, const char *etag, struct stack **ret_new);
void records_remove(struct store *store, struct stack *stack);
/* What was deleted until then is in no answer any more. */
void records_drop_graves(struct store *store, uint64_t tick);

/* part.c: nobody asks for it any more; NULL is fine */
void part_free(struct part *part);
/* The store ends, and perhaps before who refers to its stacks. */
void parts_forget(struct store *store);
/* Ask for it unless it is there, or is asked for already. */
void part_fetch_ahead(struct store *store, struct stack *stack, enum store_part which, bool mark);

/* readahead.c: somebody uses the part.  asked: which nobody has asked for yet. */
void readahead_step(struct store *store, const struct stack *stack, enum store_part which,
		    bool asked);
/* An answer has come. */
void readahead_answered(struct store *store, const struct stack *stack, enum store_part which);
/* Whether a scan that goes on has not come to it yet. */
bool readahead_awaits(const struct store *store, const struct stack *stack, enum store_part which);
/* What was asked for ahead has failed, or had no room. */
void readahead_failed(struct store *store, enum store_part which);

/* list.c */
NODISCARD int list_begin(struct store *store, bool in_time);
void list_free(struct store *store);

#endif
