/* SPDX-License-Identifier: MIT */
/* http: the account's API origin, and one call to it at a time per slot:
 * queue, priorities, deadlines, retries, the bearer token.  What an answer
 * means is not known here.
 *
 * One thread of its own runs everything; it is the only user of the transport.
 * Threads: any thread may submit and cancel.  done runs on the http thread with
 * no lock held and must not block. */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/macros.h"
#include "base/secret.h"
#include "http/transport.h"

struct http;
struct http_call;

/* Who waits.  Saves go before what users wait for, and that before readahead. */
enum http_class { HTTP_CLASS_SAVE, HTTP_CLASS_USER, HTTP_CLASS_READAHEAD };

/* At most RETRY_MAX_TRIES in all (retry.h), within the call's deadline. */
enum http_retry {
	HTTP_RETRY_ALWAYS,      /* GET, DELETE of a stack: asked again on every transient failure */
	HTTP_RETRY_UNPROCESSED, /* POST, DELETE of a token: only when it surely was not processed */
	HTTP_RETRY_NEVER,       /* PUT: the caller must read the record afresh first, and is told
				 * by retry_in_ms when; a 401 with a new token too */
};

/* Bounds; beyond them http_submit fails. */
#define HTTP_MAX_CALLS 16384     /* under way at once */
#define HTTP_MAX_TARGET_BYTES 4096
#define HTTP_MAX_BODY_BYTES (8 * 1024 * 1024)
#define HTTP_MAX_TIMEOUT_MS (3600 * 1000u)
#define HTTP_MAX_KINDS 16

struct http_spec {
	enum http_method method;
	enum http_retry retry;
	enum http_class class;
	unsigned kind;             /* what is asked; one kind, if it hangs, leaves slots to others */
	const char *target;        /* path and query, "/v1/stacks"; copied by http_submit */
	const char *if_none_match; /* or NULL; copied */
	const char *if_match;      /* or NULL; copied */
	const void *body;          /* JSON, or NULL; copied */
	size_t body_len;
	size_t max_body_bytes;     /* of a 2xx answer, decompressed; others are cut at 64 KiB */
	unsigned timeout_ms;       /* the whole call, queueing and retries too; 0: the default */
	unsigned tries_before;     /* that the caller has made itself: they count too */
	/* Sent with the bearer token of this number (http_result.token_no) or not at all:
	 * -EACCES, or the 401 itself. */
	bool pinned;
	unsigned token_no;
	bool patient;              /* while the circuit is open, wait for a turn as its probe */
};

/* The outcome of a call.  err is 0 when an HTTP answer, of whatever status,
 * arrived whole; else a negative errno: -ETIMEDOUT, -ECONNREFUSED,
 * -EHOSTUNREACH, -ENETUNREACH, -EPROTO (TLS), -EMSGSIZE (answer too large),
 * -EIO (broken answer), -ECANCELED, -ENOMEM.  A call that the open circuit (breaker.h) lets not be asked has the
 * error of the last failure; one that a 429 before it does not, -EBUSY.  Everything is borrowed for the callback. */
struct http_result {
	int err;
	/* A try, the last or one before it, may have taken effect although its
	 * answer did not say so: it was lost, or was a 408 or 5xx. */
	bool processed_maybe;
	int status;             /* 200..599, 0 iff err */
	int64_t retry_in_ms;    /* HTTP_RETRY_NEVER: the policy is to try again after that time;
				 * -1: not, or any other http_retry */
	uint64_t began_ms;      /* when the last try was begun, on the http's clock */
	uint64_t took_ms;       /* of the last try */
	unsigned tries;
	uint64_t call_no;       /* counts up from 1; names the call in the log */
	unsigned token_no;      /* of the last try: how often the bearer token had been replaced */
	const char *etag;       /* as sent, with W/ if weak; NULL when there is no valid one */
	const char *link;       /* all Link fields joined by ", " (RFC 9110, 5.3); or NULL */
	const char *body;       /* body_len bytes and a NUL; "" when there is none; of an error,
				 * without the bearer token */
	size_t body_len;
	const char *why;        /* for people, when err: "could not connect to ...: ..."; else "" */
};

typedef void http_done_fn(void *arg, const struct http_result *result);

/* Where the bearer token comes from.  load is called on the http thread after
 * a 401, at most once per call, and once for all calls that were begun before
 * it; it gives a new reference, or -errno.  A 401 is the call's answer when load
 * fails or gives the same token, or one with bytes outside 0x21-0x7e. */
struct http_token_source {
	int (*load)(void *arg, struct secret **ret);
	void *arg;
};

struct http_options {
	struct transport *transport;    /* taken over */
	const struct clock *clock;      /* borrowed */
	struct secret *token;           /* its own reference is taken */
	struct http_token_source reload; /* load may be NULL */
	unsigned timeout_ms;            /* default of a call */
	unsigned rate_per_s;            /* 0: none; burst 3 times as much */
	uint64_t random_seed;           /* of the jitter */
};

/* Figures for status; all counted since http_new. */
struct http_stats {
	uint64_t calls, tries, retries;
	uint64_t failures;        /* calls that ended with an error, but for -ECANCELED, or
				   * with a 408, 429 or 5xx */
	unsigned running, queued; /* tries; calls that wait for one */
	unsigned rate_per_s;      /* http_options.rate_per_s */
	uint64_t received_bytes;
	unsigned latency_p50_ms, latency_p90_ms, latency_p99_ms; /* of recent tries */
	unsigned rate_burst, rate_left;   /* tries that may begin at once: at most, and now */
	bool circuit_open;
	uint64_t circuit_ms;      /* for how long it has been open, or closed */
	unsigned circuit_opened;  /* how often */
};

/* -ENOMEM, -EINVAL (a token with bytes outside 0x21-0x7e, no timeout); the
 * transport is then still the caller's.  Does not start the thread: see http_start. */
NODISCARD int http_new(const struct http_options *options, struct http **ret);
/* Start the thread (after any fork).  -EAGAIN, -ENOMEM. */
NODISCARD int http_start(struct http *http);
/* Stops the thread; calls not yet done complete with -ECANCELED first, on the
 * calling thread, and what their callbacks submit is refused.  NULL is fine. */
void http_free(struct http *http);
DEFINE_CLEANUP(struct http, http_free)

/* done is called exactly once, never from inside this call.  *ret_call, where
 * asked for (not NULL), names the call until done returns.  -ENOMEM (HTTP_MAX_CALLS
 * too), -ESHUTDOWN (http_free has begun), -EINVAL (a target that does not begin
 * with '/', holds a '#' or a byte outside 0x21-0x7e; a validator that could end
 * its line; something beyond its bound). */
NODISCARD int http_submit(struct http *http, const struct http_spec *spec, http_done_fn *done,
			  void *arg, struct http_call **ret_call);
/* End a call early: done is called with -ECANCELED, on the http thread, unless it
 * is being called with another result just now.  done must not have returned yet. */
void http_cancel(struct http *http, struct http_call *call);
/* Somebody waits now: the call goes on as one of HTTP_CLASS_USER, if it was submitted
 * as HTTP_CLASS_READAHEAD.  done must not have returned yet. */
void http_hurry(struct http *http, struct http_call *call);
void http_get_stats(struct http *http, struct http_stats *ret);

/* One turn of the thread's loop, for tests that drive it by a scripted transport. */
void http_turn(struct http *http);

#endif
