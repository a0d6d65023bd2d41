/* SPDX-License-Identifier: MIT */
#include "api/private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#define MAX_EMPTY_BYTES (64 * 1024) /* of an answer that is to have no content */

/* The document, api/stacks.openapi.json: what each endpoint answers when all is
 * well.  Any other answer is an error, whatever its class. */
static const struct {
	const char *name;
	enum http_method method;
	enum http_retry retry;
	size_t max_body_bytes;
	int success[2];
} endpoints[API_N_ENDPOINTS] = {
	[API_ENDPOINT_LIST] = { "GET /v1/stacks", HTTP_GET, HTTP_RETRY_ALWAYS, API_MAX_PAGE_BYTES,
				{ 200, 204 } },
	[API_ENDPOINT_CREATE] = { "POST /v1/stacks", HTTP_POST, HTTP_RETRY_UNPROCESSED,
				  RECORD_MAX_BYTES, { 201 } },
	[API_ENDPOINT_READ] = { "GET /v1/stacks/{_id}", HTTP_GET, HTTP_RETRY_ALWAYS,
				RECORD_MAX_BYTES, { 200 } },
	[API_ENDPOINT_UPDATE] = { "PUT /v1/stacks/{_id}", HTTP_PUT, HTTP_RETRY_NEVER,
				  RECORD_MAX_BYTES, { 200 } },
	[API_ENDPOINT_DELETE] = { "DELETE /v1/stacks/{_id}", HTTP_DELETE, HTTP_RETRY_ALWAYS,
				  MAX_EMPTY_BYTES, { 204 } },
	[API_ENDPOINT_TOKEN] = { "GET /v1/stacks/{_id}/systemToken", HTTP_GET, HTTP_RETRY_ALWAYS,
				 MAX_EMPTY_BYTES, { 200 } },
	[API_ENDPOINT_ROTATE] = { "DELETE /v1/stacks/{_id}/systemToken", HTTP_DELETE,
				  HTTP_RETRY_UNPROCESSED, MAX_EMPTY_BYTES, { 204 } },
	[API_ENDPOINT_DEPENDENCIES] = { "GET /v1/stacks/{_id}/dependencies", HTTP_GET,
					HTTP_RETRY_ALWAYS, API_MAX_DEPENDENCIES_BYTES, { 200 } },
};

/* What status shows apart; first match wins. */
static const struct {
	short lo, hi;
	const char *name;
} statuses[] = {
	{ 0, 0, "none" },
	{ 200, 200, "200" },
	{ 201, 201, "201" },
	{ 204, 204, "204" },
	{ 304, 304, "304" },
	{ 400, 400, "400" },
	{ 401, 401, "401" },
	{ 403, 403, "403" },
	{ 404, 404, "404" },
	{ 409, 409, "409" },
	{ 412, 412, "412" },
	{ 422, 422, "422" },
	{ 429, 429, "429" },
	{ 400, 499, "other 4xx" },
	{ 500, 599, "5xx" },
	{ 0, 999, "other" },
};
_Static_assert(ARRAY_SIZE(statuses) == API_N_STATUSES, "one name each");

const char *api_endpoint_name(enum api_endpoint endpoint)
{
	return endpoints[endpoint].name;
}

const char *api_status_name(unsigned status)
{
	return statuses[status].name;
}

static void count(struct api *api, enum api_endpoint endpoint, int status)
{
	unsigned i = 0;

	while (i < API_N_STATUSES - 1 && (status < statuses[i].lo || status > statuses[i].hi))
		i++;
	atomic_fetch_add_explicit(&api->by[endpoint][i], 1, memory_order_relaxed);
}

void api_get_stats(struct api *api, struct api_stats *ret)
{
	for (unsigned e = 0; e < API_N_ENDPOINTS; e++) {
		for (unsigned s = 0; s < API_N_STATUSES; s++)
			ret->by[e][s] = atomic_load_explicit(&api->by[e][s], memory_order_relaxed);
	}
}

int endpoint_ask(struct api *api, enum api_endpoint endpoint, struct http_spec *spec,
		 http_done_fn *done, void *arg, struct http_call **ret_call)
{
	spec->method = endpoints[endpoint].method;
	spec->kind = endpoint;
	spec->retry = endpoints[endpoint].retry;
	spec->max_body_bytes = endpoints[endpoint].max_body_bytes;
	return http_submit(api->http, spec, done, arg, ret_call);
}

static bool is_success(enum api_endpoint endpoint, int status)
{
	const int *success = endpoints[endpoint].success;

	return status == success[0] || (status == success[1] && status != 0);
}

static struct api_error error_of(const struct http_result *result)
{
	return (struct api_error){
		.status = result->status,
		.call_no = result->call_no,
		.processed_maybe = result->processed_maybe,
		.may_retry = result->retry_in_ms >= 0,
		.retry_in_ms = result->retry_in_ms >= 0 ? (uint64_t)result->retry_in_ms : 0,
	};
}

int answer_judge(struct api *api, enum api_endpoint endpoint, const struct http_result *result,
		 bool conditional, struct api_error *e)
{
	int status = result->status;

	count(api, endpoint, status);
	if (!result->err && (is_success(endpoint, status) || (conditional && status == 304)))
		return status;
	*e = error_of(result);
	if (result->err) {
		/* An answer beyond its bound cannot be read. */
		int err = result->err == -EMSGSIZE ? -EIO : result->err;

		api_error_set(e, err, "%s", result->why[0] ? result->why : "no answer");
	} else if (status < 400) {
		api_error_set(e, -EIO, "unexpected status %d", status);
		e->processed_maybe |= endpoints[endpoint].method != HTTP_GET;
	} else {
		api_error_from_answer(e, status, result->body, result->body_len);
	}
	return e->err;
}

int answer_refuse(enum api_endpoint endpoint, const struct http_result *result, struct api_error *e,
		  int err, const char *fmt, ...)
{
	char text[sizeof(e->message)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	*e = error_of(result);
	e->processed_maybe |= endpoints[endpoint].method != HTTP_GET;
	api_error_set(e, err, "%s", text);
	return err;
}
