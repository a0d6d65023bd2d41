/* SPDX-License-Identifier: MIT */
/* probe: one request without a token, for whoever wants to know how the way to
 * the API is: the certificate, the server's clock, how long an answer takes.
 *
 * Threads: any thread, which waits; no other of this process's in libcurl's
 * global set-up at that time. */
#ifndef HTTP_PROBE_H
#define HTTP_PROBE_H

#include <stdint.h>

#include "base/macros.h"
#include "http/curl.h"

struct http_probe {
	int status;         /* 401 as a rule: no token was sent */
	int64_t date_ms;    /* the answer's Date, Unix time; -1: none that can be read */
	uint64_t took_ms;   /* connecting and TLS included */
	uint64_t answer_ms; /* of that, from the request to the answer's first byte */
	char issuer[256];   /* of the server's certificate; "" without TLS or when unknown */
	int64_t expires_ms; /* of it, Unix time; -1: unknown */
	char why[640];      /* of a failure, for people, as transport_answer's */
};

/* 0: an answer has come, of whatever status.  Else transport_answer.err's, with
 * ret->why set, the rest not.  -ENOMEM. */
NODISCARD int http_probe(const struct curl_options *options, unsigned timeout_ms,
			 struct http_probe *ret);

#endif
