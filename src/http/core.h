/* SPDX-License-Identifier: MIT */
/* core: the state behind struct http, shared by http.c (other threads' side:
 * submit, cancel, figures) and dispatch.c (the http thread's side: policy).
 * Private to src/http. */
#ifndef HTTP_CORE_H
#define HTTP_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "http/breaker.h"
#include "http/call.h"
#include "http/latency.h"
#include "http/rate.h"

#define HTTP_ALONE_MAX_MS 10000 /* for which a 429 is believed */
#define HTTP_MAX_RUNNING 64 /* tries at once, whatever the transport could do */

/* Where a call is while the http thread has it.  The first three are the queues
 * of its class, in the order in which they are served. */
enum place {
	PLACE_SAVE = HTTP_CLASS_SAVE,
	PLACE_USER = HTTP_CLASS_USER,
	PLACE_READAHEAD = HTTP_CLASS_READAHEAD,
	PLACE_DELAYED, /* waits for its next try */
	PLACE_RUNNING,
	N_PLACES,
};

struct http {
	struct transport *transport;
	const struct clock *clock;
	struct http_token_source reload;
	unsigned timeout_ms;
	pthread_t thread;
	bool started;          /* the thread runs */
	_Atomic bool stopping;

	pthread_mutex_t lock;
	struct call_list inbox;     /* guarded by lock */
	struct call_list news;      /* guarded by lock; by news_link */
	bool waiting;               /* guarded by lock: what comes has to wake the thread */
	unsigned n_calls;           /* guarded by lock: whose done has not been called */
	struct http_stats stats;    /* guarded by lock */
	struct latency latency;     /* guarded by lock */
	struct rate rate_shown;     /* guarded by lock; as it was after the last turn */
	struct breaker_shown {
		uint64_t open_until_ms; /* 0: closed; a kind that nobody asks for is not probed */
		unsigned opened;
		uint64_t since_ms;
	} circuit_shown;            /* guarded by lock; likewise */

	/* The http thread's. */
	struct call_list places[N_PLACES];
	unsigned n_running;
	unsigned n_running_of[HTTP_MAX_KINDS];
	struct rate rate;
	struct breaker breaker;                        /* for all that is asked */
	struct breaker breaker_of[HTTP_MAX_KINDS];     /* for one kind of it */
	/* Bits, since the last success, or the last failure that keeps all back; all: of what
	 * was not reached. */
	unsigned failed_kinds;
	uint64_t alone_until_ms[HTTP_MAX_KINDS]; /* by a 429: when it may be asked for again */
	uint64_t last_try_no;
	uint64_t cut_off_no; /* the last try that had begun when a connection's end was counted */
	uint64_t random;
	struct secret *token;
	unsigned token_no; /* how often it was replaced by another one */
	unsigned loads; /* how often reload.load was called */
};

/* Bring the inbox in, and do as other threads have said of calls; whether there was
 * anything. */
bool dispatch_take_news(struct http *http);
/* End what is late, begin what may begin.  How long until there is more to do
 * here, if nothing else happens; at most DISPATCH_MAX_WAIT_MS. */
unsigned dispatch_advance(struct http *http);
/* End every call with -ECANCELED. */
void dispatch_cancel_all(struct http *http);

/* The transport waits by a clock that stops while the machine sleeps, ours does
 * not: after a suspend this is how late a deadline may be noticed. */
#define DISPATCH_MAX_WAIT_MS 1000
#define DISPATCH_IDLE_WAIT_MS (60 * 1000)

#endif
