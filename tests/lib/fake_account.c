/* SPDX-License-Identifier: MIT */
#include "fake_account.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fake_account_init(struct fake_account *a, const struct store_events *events, uint64_t ttl_ms,
		       uint64_t stale_ms)
{
	struct secret *token;

	*a = (struct fake_account){ 0 };
	fake_clock_init(&a->clock, 1000000, 1700000000000);
	a->transport = fake_transport_new(64);
	int r = secret_new("token", 5, &token);
	assert(r == 0);
	const struct http_options http = {
		.transport = &a->transport->base,
		.clock = &a->clock.base,
		.token = token,
		.timeout_ms = 30000,
		.random_seed = 1,
	};
	r = http_new(&http, &a->http);
	assert(r == 0);
	secret_unref(token);
	r = api_new(a->http, "", &a->api);
	assert(r == 0);
	r = monitor_new(&a->monitor);
	assert(r == 0);
	r = timers_new(a->monitor, &a->clock.base, &a->timers);
	assert(r == 0);
	if (!events)
		return;
	const struct store_options options = {
		.monitor = a->monitor,
		.timers = a->timers,
		.api = a->api,
		.clock = &a->clock.base,
		.events = *events,
		.ttl_ms = ttl_ms,
		.stale_ms = stale_ms,
	};
	r = store_new(&options, &a->store);
	assert(r == 0);
}

void fake_account_done(struct fake_account *a)
{
	http_free(a->http);
	store_free(a->store);
	timers_free(a->timers);
	api_free(a->api);
	monitor_free(a->monitor);
}

void fake_account_start(struct fake_account *a)
{
	monitor_enter(a->monitor);
	int r = store_start(a->store, NULL, NULL);
	assert(r == 0);
	monitor_leave(a->monitor);
	http_turn(a->http);
}

void fake_account_advance(struct fake_account *a, uint64_t ms)
{
	fake_clock_advance(&a->clock, ms);
	timers_run(a->timers);
	http_turn(a->http);
}

size_t fake_account_tries(struct fake_account *a)
{
	http_turn(a->http);
	return fake_transport_count(a->transport);
}

const char *fake_account_target(struct fake_account *a, size_t i)
{
	http_turn(a->http); /* what was submitted is begun */
	return fake_transport_try(a->transport, i)->request.target;
}

static void give(struct fake_account *a, size_t i, const struct fake_answer *answer)
{
	http_turn(a->http);
	fake_transport_answer(a->transport, i, answer);
	http_turn(a->http);
	http_turn(a->http);
}

void fake_account_answer(struct fake_account *a, size_t i, int status, const char *body)
{
	give(a, i, &(struct fake_answer){ .status = status, .body = body, .retry_after_ms = -1 });
}

void fake_account_page(struct fake_account *a, size_t i, const char *body, const char *next)
{
	char link[256];

	snprintf(link, sizeof(link), "<http://elsewhere.example%s>; rel=\"next\"", next);
	give(a, i,
	     &(struct fake_answer){ .status = 200, .body = body, .link = link,
				    .retry_after_ms = -1 });
}

void fake_account_etag(struct fake_account *a, size_t i, int status, const char *body,
		       const char *etag)
{
	give(a, i,
	     &(struct fake_answer){ .status = status, .body = body, .etag = etag,
				    .retry_after_ms = -1 });
}

void fake_account_fail(struct fake_account *a, int status)
{
	for (unsigned i = 0; i < 10; i++) {
		size_t newest = fake_account_tries(a) - 1;

		if (fake_transport_try(a->transport, newest)->answered)
			return;
		fake_account_answer(a, newest, status, "");
		/* Longer than any backoff, shorter than what tests look at. */
		fake_account_advance(a, 5000);
	}
}

const char *fake_two(void)
{
	return fake_list(2, fake_record(1, "one", ""), fake_record(2, "two", ""));
}

char *fake_document(size_t len)
{
	static const char begin[] = "{\"a\":\"", end[] = "\"}";
	char *text = malloc(len + 1);

	assert(text && len >= strlen(begin) + strlen(end));
	memset(text, 'x', len);
	memcpy(text, begin, strlen(begin));
	memcpy(text + len - strlen(end), end, sizeof(end));
	return text;
}

struct stack_id fake_id(unsigned id)
{
	struct stack_id ret = { { 0x60, 0, 0, 0 } };

	ret.bytes[10] = (uint8_t)(id >> 8);
	ret.bytes[11] = (uint8_t)id;
	return ret;
}

struct stack *fake_account_stack(const struct fake_account *a, unsigned id)
{
	const struct stack_id stack_id = fake_id(id);

	return store_find(a->store, &stack_id);
}

const char *fake_record(unsigned id, const char *name, const char *extra)
{
	static char texts[8][512];
	static unsigned next;
	char hex[STACK_ID_HEX + 1];
	const struct stack_id stack_id = fake_id(id);
	char *out = texts[next++ % 8];

	stack_id_format(&stack_id, hex);
	snprintf(out, sizeof(texts[0]),
		 "{\"_id\":\"%s\",\"name\":\"%s\",\"type\":\"server\","
		 "\"createdAt\":\"2024-01-01T00:00:00.000Z\","
		 "\"lastModified\":\"2024-01-02T00:00:00.000Z\"%s}",
		 hex, name, extra);
	return out;
}

const char *fake_list(unsigned n, ...)
{
	static char texts[8][4096];
	static unsigned next;
	char *out = texts[next++ % 8];
	size_t at = 0;
	va_list ap;

	va_start(ap, n);
	at += (size_t)snprintf(out, sizeof(texts[0]), "[");
	for (unsigned i = 0; i < n; i++)
		at += (size_t)snprintf(out + at, sizeof(texts[0]) - at, "%s%s", i ? "," : "",
				       va_arg(ap, const char *));
	snprintf(out + at, sizeof(texts[0]) - at, "]");
	va_end(ap);
	return out;
}
