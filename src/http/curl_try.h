/* SPDX-License-Identifier: MIT */
/* curl_try: one try as libcurl sees it: an easy handle, what it is told and
 * what it gives.  Private to src/http: curl.c owns tries, curl_try.c sets them up
 * and reads them out. */
#ifndef HTTP_CURL_TRY_H
#define HTTP_CURL_TRY_H

#include <curl/curl.h>
#include <sys/queue.h>

#include "http/origin.h"
#include "http/transport.h"

/* What all tries of a transport have in common. */
struct curl_setup {
	struct origin origin;
	char place[280]; /* host:port, for people */
	char *cacert;    /* or NULL */
	char *proxy;     /* or NULL; "" is none at all */
	/* Seconds.  A connection that is older, and idle, is closed instead of used; 0: none is. */
	long max_connection_s;
};

struct transport_try {
	TAILQ_ENTRY(transport_try) link; /* curl.c's */
	CURL *easy;
	char error[CURL_ERROR_SIZE];
	struct curl_slist *headers;

	const struct curl_setup *setup;
	struct transport_request request;
	transport_done_fn *done;
	void *arg;

	int64_t began_ms; /* CLOCK_MONOTONIC */
	unsigned begun; /* times that libcurl was about to write the request */
	struct transport_answer answer;
	size_t header_bytes;
	uint64_t announced_bytes; /* Content-Length; 0: none or unreadable */
	long status;              /* set when the header is complete */
	int refused;              /* why a callback has stopped the transfer; 0: none has */
	bool cut;                 /* ... because an error's body was long enough */
};

NODISCARD int curl_try_new(struct transport_try **ret); /* -ENOMEM */
void curl_try_free(struct transport_try *t);
DEFINE_CLEANUP(struct transport_try, curl_try_free)

/* Make ready for the multi handle.  -ENOMEM, -EINVAL; curl_try_reset in any case. */
NODISCARD int curl_try_setup(struct transport_try *t, const struct curl_setup *setup,
			     const struct transport_request *request);
/* The transfer has ended with code: fill in the answer. */
void curl_try_conclude(struct transport_try *t, CURLcode code);
/* Whether the request left so long ago that its connection is to be doubted. */
bool curl_try_is_late(const struct transport_try *t);
/* Forget request and answer, keep the handle. */
void curl_try_reset(struct transport_try *t);

#endif
