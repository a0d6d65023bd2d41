/* SPDX-License-Identifier: MIT */
/* transport: carries one try of one HTTP exchange; knows no policy.
 *
 * A seam: curl.c is the real one, tests bring a scripted one.
 * Threads: only the http thread calls, but for wake. */
#ifndef HTTP_TRANSPORT_H
#define HTTP_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/secret.h"

enum http_method { HTTP_GET, HTTP_PUT, HTTP_POST, HTTP_DELETE };

/* What goes out.  All of it is borrowed until the try is done or cancelled. */
struct transport_request {
	enum http_method method; /* but for a GET, the request is sent once or not at all */
	const char *target; /* path and query below the configured base */
	const char *if_none_match;
	const char *if_match;
	const void *body;
	size_t body_len;
	size_t max_body_bytes; /* of a 2xx's body, decompressed */
	unsigned timeout_ms;
	bool fresh_connection; /* not one that may have died unnoticed */
	struct secret *token;
	uint64_t call_no;      /* for the log */
};

struct transport_answer {
	int err;     /* as http_result.err */
	bool sent;   /* the request, or a part of it, may have reached the server */
	int status;  /* 200..599 iff !err: 1xx are not answers */
	char etag[256];
	struct buf link;        /* Link fields, joined */
	int64_t retry_after_ms; /* -1: none; both forms of RFC 9110, 10.2.3 */
	/* Decompressed.  One over max_body_bytes is an error with a 2xx; with any
	 * other status it is cut, for the status matters more. */
	struct buf body;
	char why[640];          /* for people, when err */
	bool coded;             /* private to header.c: a content coding was seen */
	bool in_link;           /* likewise: the last field was a Link */
};

/* One slot of the transport; the implementation embeds it. */
struct transport_try;
struct transport;

/* The answer is borrowed for the call.  The try is gone afterwards.  It must
 * not call the transport, but for wake. */
typedef void transport_done_fn(void *arg, struct transport_answer *answer);

struct transport_ops {
	/* Begin a try.  Never calls done itself: that happens in run.  -ENOMEM, -EINVAL. */
	int (*start)(struct transport *t, const struct transport_request *request,
		     transport_done_fn *done, void *arg, struct transport_try **ret);
	/* Forget a try: done is not called any more. */
	void (*cancel)(struct transport *t, struct transport_try *try);
	/* Wait until there is something to do, at the longest max_wait_ms, or until
	 * wake is or was called since the last wait. */
	void (*wait)(struct transport *t, unsigned max_wait_ms);
	/* Move data and call done for all that has ended. */
	void (*run)(struct transport *t);
	/* Any thread: make the current or the next wait return at once. */
	void (*wake)(struct transport *t);
	/* Tries that may run at once; may change as the server is known better. */
	unsigned (*capacity)(const struct transport *t);
	/* Tries that still run are forgotten. */
	void (*free)(struct transport *t);
};

struct transport {
	const struct transport_ops *ops;
};

#endif
