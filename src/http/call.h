/* SPDX-License-Identifier: MIT */
/* call: what is known of one call to the API from http_submit to done.
 * Private to src/http. */
#ifndef HTTP_CALL_H
#define HTTP_CALL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "http/http.h"

TAILQ_HEAD(call_list, http_call);

/* What other threads have to say of a call. */
enum call_news {
	CALL_CANCELLED = 1,
	CALL_HURRIED = 2,
};

struct http_call {
	TAILQ_ENTRY(http_call) news_link; /* guarded by http->lock */
	unsigned news;                    /* guarded by http->lock: enum call_news; not 0: in http->news */

	struct http *http;
	http_done_fn *done;
	void *arg;
	struct http_spec spec; /* its pointers lead into copy */
	uint64_t call_no;
	uint64_t deadline_ms;

	/* The http thread's from here on, but while the call is in the inbox. */
	TAILQ_ENTRY(http_call) link;
	struct call_list *list;    /* that link is in */
	uint64_t ready_ms;         /* while delayed: until when */
	struct transport_try *try; /* while running */
	struct secret *token;      /* of the last try */
	unsigned loads;            /* http->loads when the last try was begun */
	unsigned token_no;         /* http->token_no, likewise */
	bool renewed;              /* a 401 has been answered by another token */
	bool processed_maybe;
	bool unanswered;           /* a try was sent, and time was over */
	bool probe;                /* the try that runs is the circuit's */
	bool kind_probe;           /* ... that of its kind */
	unsigned tries;
	uint64_t try_no;           /* of the last try, among all calls' */
	uint64_t began_ms;         /* the last try */
	uint64_t took_ms;

	size_t copy_size;
	char copy[]; /* of all that spec points to; may hold secrets */
};

/* -EINVAL, -ENOMEM: see http_submit. */
NODISCARD int call_new(const struct http_spec *spec, struct http_call **ret);
void call_free(struct http_call *call);
DEFINE_CLEANUP(struct http_call, call_free)

/* Take the call out of the list that it is in, if any, and put it into list. */
void call_move_first(struct http_call *call, struct call_list *list);
void call_move_last(struct http_call *call, struct call_list *list);
void call_remove(struct http_call *call);

#endif
