/* SPDX-License-Identifier: MIT */
#include "http_client.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int r)
{
	if (r != 0) {
		fprintf(stderr, "http_client: %d\n", r);
		abort();
	}
}

struct http *client_new(const char *url, const struct curl_options *options)
{
	struct curl_options all = options ? *options : (struct curl_options){ 0 };
	CLEANUP(secret_unrefp) struct secret *token = NULL;
	struct http_options http_options = { .clock = &clock_system, .timeout_ms = 20000 };
	struct http *http = NULL;
	struct origin origin;
	const char *why;

	check(origin_parse(url, &origin, &why));
	all.origin = &origin;
	check(curl_transport_new(&all, &http_options.transport));
	check(secret_new(CLIENT_TOKEN, strlen(CLIENT_TOKEN), &token));
	http_options.token = token;
	check(http_new(&http_options, &http));
	check(http_start(http));
	return http;
}

struct http *client_new_port(unsigned port)
{
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
	return client_new(url, NULL);
}

/* Never tried again, so that each test sees its one exchange. */
struct http_spec client_get(const char *target, size_t max_body_bytes)
{
	return (struct http_spec){ .method = HTTP_GET,
				   .retry = HTTP_RETRY_NEVER,
				   .class = HTTP_CLASS_USER,
				   .target = target,
				   .max_body_bytes = max_body_bytes };
}

struct http_spec client_put(const void *body, size_t len)
{
	return (struct http_spec){ .method = HTTP_PUT,
				   .retry = HTTP_RETRY_NEVER,
				   .class = HTTP_CLASS_SAVE,
				   .target = "/v1/stacks/1",
				   .body = body,
				   .body_len = len,
				   .max_body_bytes = 1000 };
}

void reply_init(struct reply *reply)
{
	memset(reply, 0, sizeof(*reply));
	pthread_mutex_init(&reply->lock, NULL);
	pthread_cond_init(&reply->came, NULL);
}

void reply_free(struct reply *reply)
{
	free(reply->body);
	pthread_cond_destroy(&reply->came);
	pthread_mutex_destroy(&reply->lock);
}

void reply_done(void *arg, const struct http_result *result)
{
	struct reply *reply = arg;

	pthread_mutex_lock(&reply->lock);
	reply->times++;
	reply->err = result->err;
	reply->status = result->status;
	reply->processed_maybe = result->processed_maybe;
	reply->took_ms = result->took_ms;
	snprintf(reply->etag, sizeof(reply->etag), "%s", result->etag ? result->etag : "");
	snprintf(reply->link, sizeof(reply->link), "%s", result->link ? result->link : "");
	snprintf(reply->why, sizeof(reply->why), "%s", result->why);
	free(reply->body);
	reply->body_len = result->body_len;
	reply->body = calloc(1, result->body_len + 1);
	assert(reply->body);
	memcpy(reply->body, result->body, result->body_len);
	pthread_cond_broadcast(&reply->came);
	pthread_mutex_unlock(&reply->lock);
}

void reply_wait(struct reply *reply)
{
	pthread_mutex_lock(&reply->lock);
	while (reply->times == 0)
		pthread_cond_wait(&reply->came, &reply->lock);
	pthread_mutex_unlock(&reply->lock);
}

void client_call(struct http *http, const struct http_spec *spec, struct reply *ret)
{
	reply_init(ret);
	check(http_submit(http, spec, reply_done, ret, NULL));
	reply_wait(ret);
}
