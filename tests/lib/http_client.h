/* SPDX-License-Identifier: MIT */
/* http_client: an http with the real transport and its thread, and calls that
 * are waited for.
 *
 * Threads: client_call from any thread. */
#ifndef TESTS_HTTP_CLIENT_H
#define TESTS_HTTP_CLIENT_H

#include <pthread.h>

#include "http/curl.h"
#include "http/http.h"

#define CLIENT_TOKEN "canary-7f3a9c"

/* What a call has ended with; the strings are its own copies. */
struct reply {
	unsigned times; /* done was called */
	int err, status;
	bool processed_maybe;
	uint64_t took_ms;
	char etag[300], link[300], why[700];
	char *body; /* with a NUL behind */
	size_t body_len;

	pthread_mutex_t lock;
	pthread_cond_t came;
};

/* url: of the origin.  options: what is not the origin, or NULL. */
struct http *client_new(const char *url, const struct curl_options *options);
struct http *client_new_port(unsigned port);

struct http_spec client_get(const char *target, size_t max_body_bytes);
struct http_spec client_put(const void *body, size_t len);

/* For http_submit; arg is a struct reply. */
void reply_init(struct reply *reply);
void reply_done(void *arg, const struct http_result *result);
void reply_wait(struct reply *reply);
void reply_free(struct reply *reply);

/* Submit, wait, give the outcome; to be ended by reply_free. */
void client_call(struct http *http, const struct http_spec *spec, struct reply *ret);

#endif
