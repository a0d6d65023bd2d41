/* SPDX-License-Identifier: MIT */
#include "fake_api.h"

#include <assert.h>

void fake_api_init(struct fake_api *a, const char *base_path)
{
	struct secret *token;

	*a = (struct fake_api){ 0 };
	fake_clock_init(&a->clock, 1000000, 1700000000000);
	a->transport = fake_transport_new(64);
	int r = secret_new("token", 5, &token);
	assert(r == 0);
	const struct http_options options = {
		.transport = &a->transport->base,
		.clock = &a->clock.base,
		.token = token,
		.timeout_ms = 30000,
		.random_seed = 1,
	};
	r = http_new(&options, &a->http);
	assert(r == 0);
	secret_unref(token);
	r = api_new(a->http, base_path, &a->api);
	assert(r == 0);
	(void)r;
}

void fake_api_done(struct fake_api *a)
{
	http_free(a->http);
	api_free(a->api);
}

size_t fake_api_tries(struct fake_api *a)
{
	http_turn(a->http);
	return fake_transport_count(a->transport);
}

const struct transport_request *fake_api_request(struct fake_api *a, size_t i)
{
	http_turn(a->http);
	return &fake_transport_try(a->transport, i)->request;
}

void fake_api_advance(struct fake_api *a, uint64_t ms)
{
	fake_clock_advance(&a->clock, ms);
	http_turn(a->http);
}

void fake_api_answer(struct fake_api *a, size_t i, int status, const char *body, const char *etag,
		     const char *link)
{
	const struct fake_answer answer = {
		.status = status,
		.body = body,
		.etag = etag,
		.link = link,
		.retry_after_ms = -1,
	};

	http_turn(a->http);
	fake_transport_answer(a->transport, i, &answer);
	http_turn(a->http);
}

void fake_api_fail(struct fake_api *a, size_t i, int err, bool sent)
{
	http_turn(a->http);
	fake_transport_fail(a->transport, i, err, sent);
	http_turn(a->http);
}
