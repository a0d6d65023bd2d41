/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/api.h"
#include "fake_api.h"

#define HEX      "507f1f77bcf86cd799439011"
#define RECORD   "{\"_id\":\"" HEX "\",\"name\":\"a\"}"
#define OTHER    "{\"_id\":\"507f1f77bcf86cd799439012\",\"name\":\"a\"}"
#define LAID_OUT "{\n  \"_id\": \"" HEX "\",\n  \"name\": \"a\"\n}\n"

static struct fake_api f;
static struct stack_id id;

/* What the last callback was given. */
static struct {
	unsigned times;
	bool failed;
	struct api_error error;
	char text[3000];
	bool has_object, empty;
	struct api_meta meta;
	char etag[64];
} got;

static void note(const struct api_error *error, const struct api_meta *meta)
{
	unsigned times = got.times + 1;

	memset(&got, 0, sizeof(got));
	got.times = times;
	got.failed = error != NULL;
	if (error) {
		got.error = *error;
		assert_true(error->err < 0);
		assert_true(error->message[0] != '\0');
		assert_null(meta->etag);
		assert_false(meta->not_modified);
	}
	got.meta = *meta;
	if (meta->etag)
		snprintf(got.etag, sizeof(got.etag), "%s", meta->etag);
}

static void note_text(const char *text, size_t len)
{
	got.has_object = text != NULL;
	if (text) {
		assert_true(len < sizeof(got.text));
		memcpy(got.text, text, len);
	}
}

static void on_record(void *arg, const struct api_error *error, struct record *rec,
		      const struct api_meta *meta)
{
	assert_ptr_equal(arg, &got);
	note(error, meta);
	note_text(rec ? rec->text : NULL, rec ? rec->text_len : 0);
}

static void on_token(void *arg, const struct api_error *error, struct secret *token,
		     const struct api_meta *meta)
{
	note(error, meta);
	note_text(token ? secret_bytes(token) : NULL, token ? secret_len(token) : 0);
}

static void on_text(void *arg, const struct api_error *error, const char *text, size_t len,
		    bool empty, const struct api_meta *meta)
{
	note(error, meta);
	note_text(text, len);
	got.empty = empty;
}

static void on_plain(void *arg, const struct api_error *error, const struct api_meta *meta)
{
	note(error, meta);
}

static int setup(void **state)
{
	memset(&got, 0, sizeof(got));
	fake_api_init(&f, "");
	return stack_id_parse(HEX, 24, &id);
}

static int teardown(void **state)
{
	fake_api_done(&f);
	return 0;
}

/* The seven calls, to run the same case through each. */
enum which { GET, TOKEN, DEPENDENCIES, PUT, POST, DELETE, ROTATE, N_CALLS };

static const struct {
	enum http_method method;
	const char *target;
	int success;
	const char *body; /* of that answer */
} calls[N_CALLS] = {
	[GET] = { HTTP_GET, "/v1/stacks/" HEX, 200, RECORD },
	[TOKEN] = { HTTP_GET, "/v1/stacks/" HEX "/systemToken", 200, "{\"systemToken\":\"t0k3n\"}" },
	[DEPENDENCIES] = { HTTP_GET, "/v1/stacks/" HEX "/dependencies", 200, "{}" },
	[PUT] = { HTTP_PUT, "/v1/stacks/" HEX, 200, RECORD },
	[POST] = { HTTP_POST, "/v1/stacks", 201, RECORD },
	[DELETE] = { HTTP_DELETE, "/v1/stacks/" HEX, 204, NULL },
	[ROTATE] = { HTTP_DELETE, "/v1/stacks/" HEX "/systemToken", 204, NULL },
};

static void ask(enum which which, const char *etag)
{
	int r = -1;

	switch (which) {
	case GET:
		r = api_get(f.api, HTTP_CLASS_USER, &id, etag, on_record, &got);
		break;
	case TOKEN:
		r = api_get_token_within(f.api, HTTP_CLASS_USER, &id, etag, NULL, on_token, &got);
		break;
	case DEPENDENCIES:
		r = api_get_dependencies_within(f.api, HTTP_CLASS_USER, &id, etag, NULL, on_text,
						&got);
		break;
	case PUT:
		r = api_put_within(f.api, &id, etag, "{\"a\":1}", 7, NULL, on_record, &got);
		break;
	case POST:
		r = api_post_within(f.api, "{\"a\":1}", 7, NULL, on_record, &got);
		break;
	case DELETE:
		r = api_delete_within(f.api, &id, NULL, on_plain, &got);
		break;
	case ROTATE:
		r = api_rotate_token_within(f.api, &id, NULL, on_plain, &got);
		break;
	case N_CALLS:
		break;
	}
	assert_int_equal(r, 0);
}

/* Ask, and answer it at once; http makes no second try of these. */
static void run(enum which which, int status, const char *body)
{
	size_t before = fake_api_tries(&f);
	unsigned times = got.times;

	ask(which, NULL);
	assert_int_equal(got.times, times);
	assert_int_equal(fake_api_tries(&f), before + 1);
	fake_api_answer(&f, before, status, body, NULL, NULL);
	assert_int_equal(got.times, times + 1);
}

static void test_requests(void **state)
{
	for (enum which w = GET; w < N_CALLS; w++) {
		run(w, calls[w].success, calls[w].body);
		const struct transport_request *request = fake_api_request(&f, w);

		assert_int_equal(request->method, calls[w].method);
		assert_string_equal(request->target, calls[w].target);
		assert_null(request->if_none_match);
		assert_null(request->if_match);
		bool sends = w == PUT || w == POST;
		assert_int_equal(request->body_len, sends ? 7 : 0);
		if (sends)
			assert_string_equal(request->body, "{\"a\":1}");
		assert_false(got.failed);
	}
}

static void test_records(void **state)
{
	static const enum which all[] = { GET, PUT, POST };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		run(all[i], calls[all[i]].success, RECORD);
		assert_false(got.failed);
		assert_string_equal(got.text, LAID_OUT);
	}
	run(POST, 201, OTHER); /* a new stack has the _id that the server gives it */
	assert_false(got.failed);
}

static void test_times_and_etag(void **state)
{
	fake_api_advance(&f, 500);
	ask(GET, NULL);
	fake_api_tries(&f);
	fake_api_advance(&f, 70);
	fake_api_answer(&f, 0, 200, RECORD, "W/\"7\"", NULL);
	assert_int_equal(got.meta.began_ms, 1000500);
	assert_int_equal(got.meta.took_ms, 70);
	assert_string_equal(got.etag, "W/\"7\"");
	assert_false(got.meta.not_modified);
}

static void test_not_modified(void **state)
{
	for (enum which w = GET; w <= DEPENDENCIES; w++) {
		size_t i = fake_api_tries(&f);

		ask(w, "\"a\"");
		assert_string_equal(fake_api_request(&f, i)->if_none_match, "\"a\"");
		fake_api_answer(&f, i, 304, NULL, NULL, NULL);
		assert_false(got.failed);
		assert_false(got.has_object);
		assert_true(got.meta.not_modified);
		assert_string_equal(got.etag, "\"a\"");

		ask(w, "\"a\"");
		fake_api_answer(&f, i + 1, 304, NULL, "\"b\"", NULL);
		assert_string_equal(got.etag, "\"b\"");

		ask(w, "\"a\"");
		fake_api_answer(&f, i + 2, 200, calls[w].body, "\"c\"", NULL);
		assert_false(got.meta.not_modified);
		assert_true(got.has_object);
		assert_string_equal(got.etag, "\"c\"");
	}
}

static void test_if_match(void **state)
{
	ask(PUT, "\"strong\"");
	assert_string_equal(fake_api_request(&f, 0)->if_match, "\"strong\"");
	assert_null(fake_api_request(&f, 0)->if_none_match);
	fake_api_answer(&f, 0, 304, NULL, NULL, NULL); /* nobody asked for that */
	assert_int_equal(got.error.err, -EIO);
}

/* Everything but the document's own success is an error. */
static void test_unexpected_statuses(void **state)
{
	static const int statuses[] = {
		200, 201, 202, 203, 204, 206, 299, 300, 301, 302, 304, 307
	};

	for (enum which w = GET; w < N_CALLS; w++) {
		for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
			char message[64];

			if (statuses[i] == calls[w].success)
				continue;
			run(w, statuses[i], calls[w].body);
			assert_true(got.failed);
			assert_false(got.has_object);
			assert_int_equal(got.error.err, -EIO);
			assert_int_equal(got.error.status, statuses[i]);
			snprintf(message, sizeof(message), "unexpected status %d", statuses[i]);
			assert_string_equal(got.error.message, message);
			assert_int_equal(got.error.processed_maybe, w >= PUT);
		}
	}
}

static void test_refusals(void **state)
{
	static const struct {
		int status, err;
	} rows[] = {
		{ 400, -EBADMSG }, { 401, -EACCES }, { 403, -EPERM },  { 404, -ENOENT },
		{ 409, -EBUSY },   { 412, -EBUSY },  { 413, -EFBIG },  { 422, -EBADMSG },
	};

	for (enum which w = GET; w < N_CALLS; w++) {
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			run(w, rows[i].status,
			    "{\"errors\":[{\"code\":\"c\",\"message\":\"m\","
			    "\"field\":\"f.g\"}]}");
			assert_true(got.failed);
			assert_int_equal(got.error.err, rows[i].err);
			assert_int_equal(got.error.status, rows[i].status);
			assert_string_equal(got.error.code, "c");
			assert_string_equal(got.error.message, "m");
			assert_string_equal(got.error.field, "f.g");
			assert_false(got.error.processed_maybe);
			assert_int_equal(got.error.call_no, got.times);
		}
	}
}

static void test_etag_of_an_error_is_nobodys(void **state)
{
	ask(GET, NULL);
	fake_api_answer(&f, 0, 404, "{}", "\"404\"", NULL);
	assert_true(got.failed);
	ask(GET, NULL);
	fake_api_answer(&f, 1, 200, "{}", "\"bad\"", NULL);
	assert_true(got.failed);
}

static void test_bad_records(void **state)
{
	static const char *const bodies[] = {
		"", "<html></html>", "null", "[]", "{}", "{\"_id\":\"../x\"}", RECORD RECORD,
		"[" RECORD "]", OTHER, "{\"_id\":\"" HEX "\",\"name\":\"a\",\"name\":\"b\"}",
		"{\"_id\":\"" HEX "\",\"server\":[]}", "{\"_id\":\"" HEX "\"",
	};
	static const enum which all[] = { GET, PUT };

	for (size_t w = 0; w < ARRAY_SIZE(all); w++) {
		for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
			run(all[w], 200, bodies[i]);
			assert_true(got.failed);
			assert_int_equal(got.error.err, -EIO);
			assert_int_equal(got.error.status, 200);
			assert_int_equal(got.error.processed_maybe, all[w] == PUT);
			assert_non_null(strstr(got.error.message, "the answer cannot be used: "));
		}
	}
}

static void test_tokens(void **state)
{
	static const struct {
		const char *body, *token;
	} rows[] = {
		{ "{\"systemToken\":\"abc\"}", "abc" },
		{ "{ \"x\":{\"systemToken\":1}, \"syst\\u0065mToken\" : \"a\\/b\\u00e9\" }",
		  "a/b\xc3\xa9" },
		{ "{\"systemToken\":\"******\"}", "******" },
		{ "{\"systemToken\":\" spaced \"}", " spaced " },
		{ "{\"systemToken\":\"\"}", NULL },
		{ "{\"systemToken\":null}", NULL },
		{ "{\"systemToken\":7}", NULL },
		{ "{\"systemToken\":[\"abc\"]}", NULL },
		{ "{\"systemtoken\":\"abc\"}", NULL },
		{ "{\"a\":{\"systemToken\":\"abc\"}}", NULL },
		{ "{\"systemToken\":\"a\\u0000c\"}", NULL },
		{ "{\"systemToken\":\"a\\nb\"}", NULL },
		{ "{\"systemToken\":\"a\\u007f\"}", NULL },
		{ "{\"systemToken\":\"abc\",\"systemToken\":\"abd\"}", NULL },
		{ "{\"systemToken\":\"abc\"", NULL },
		{ "[\"systemToken\"]", NULL },
		{ "\"abc\"", NULL },
		{ "abc", NULL },
		{ "", NULL },
		{ "{}", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		run(TOKEN, 200, rows[i].body);
		assert_int_equal(got.failed, rows[i].token == NULL);
		if (rows[i].token)
			assert_string_equal(got.text, rows[i].token);
		else
			assert_int_equal(got.error.err, -EIO);
		if (got.failed) /* and nothing of the answer in what people see */
			assert_null(strstr(got.error.message, "abc"));
	}
}

static bool token_of_length_is_taken(size_t len)
{
	char *body = malloc(len + 40);

	assert_non_null(body);
	int n = snprintf(body, len + 40, "{\"systemToken\":\"");
	memset(body + n, 'x', len);
	memcpy(body + n + len, "\"}", 3);
	ask(TOKEN, NULL);
	fake_api_answer(&f, fake_api_tries(&f) - 1, 200, body, NULL, NULL);
	free(body);
	return !got.failed;
}

static void on_long_token(void *arg, const struct api_error *error, struct secret *token,
			  const struct api_meta *meta)
{
	note(error, meta);
	if (token)
		assert_int_equal(secret_len(token), API_MAX_TOKEN_BYTES);
}

static void test_token_length(void **state)
{
	static char body[API_MAX_TOKEN_BYTES + 40];
	int n = snprintf(body, sizeof(body), "{\"systemToken\":\"");

	memset(body + n, 'x', API_MAX_TOKEN_BYTES);
	memcpy(body + n + API_MAX_TOKEN_BYTES, "\"}", 3);
	assert_int_equal(api_get_token_within(f.api, HTTP_CLASS_USER, &id, NULL, NULL, on_long_token,
					      &got), 0);
	fake_api_answer(&f, 0, 200, body, NULL, NULL);
	assert_false(got.failed);
	assert_false(token_of_length_is_taken(API_MAX_TOKEN_BYTES + 1));
	assert_false(token_of_length_is_taken(60000));
}

static void test_dependencies(void **state)
{
	static const struct {
		const char *body, *text; /* NULL: refused */
		bool empty;
	} rows[] = {
		{ "{}", "{}\n", true },
		{ "{\"flows\":[]}", "{\n  \"flows\": []\n}\n", true },
		{ "{\"flows\":[ ],\"imports\":[]}", "{\n  \"flows\": [],\n  \"imports\": []\n}\n", true },
		{ "{\"flows\":[{}]}", "{\n  \"flows\": [\n    {}\n  ]\n}\n", false },
		{ "{\"flows\":[],\"hooks\":[1]}",
		  "{\n  \"flows\": [],\n  \"hooks\": [\n    1\n  ]\n}\n", false },
		{ "{\"flows\":[1],\"hooks\":[]}",
		  "{\n  \"flows\": [\n    1\n  ],\n  \"hooks\": []\n}\n", false },
		/* not a clear none */
		{ "{\"flows\":null}", "{\n  \"flows\": null\n}\n", false },
		{ "{\"flows\":{}}", "{\n  \"flows\": {}\n}\n", false },
		{ "{\"flows\":0}", "{\n  \"flows\": 0\n}\n", false },
		{ "{\"flows\":\"\"}", "{\n  \"flows\": \"\"\n}\n", false },
		{ "{\"flows\":[[]]}", "{\n  \"flows\": [\n    []\n  ]\n}\n", false },
		{ "{\"flows\":[],\"flows\":[]}", NULL, false },
		{ "", NULL, false },
		{ "[]", NULL, false },
		{ "null", NULL, false },
		{ "{}{}", NULL, false },
		{ "{\"flows\":[}", NULL, false },
		{ "<html>", NULL, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		run(DEPENDENCIES, 200, rows[i].body);
		assert_int_equal(got.failed, rows[i].text == NULL);
		assert_int_equal(got.has_object, rows[i].text != NULL);
		if (rows[i].text)
			assert_string_equal(got.text, rows[i].text);
		else
			assert_int_equal(got.error.err, -EIO);
		assert_int_equal(got.empty, rows[i].empty);
	}
}

/* ---- failures on the way ---- */

static void test_no_answer(void **state)
{
	ask(PUT, NULL);
	fake_api_fail(&f, fake_api_tries(&f) - 1, -ECONNREFUSED, false);
	assert_int_equal(got.error.err, -ECONNREFUSED);
	assert_int_equal(got.error.status, 0);
	assert_false(got.error.processed_maybe);
	assert_true(got.error.may_retry);

	ask(PUT, NULL);
	fake_api_fail(&f, fake_api_tries(&f) - 1, -EIO, true);
	assert_int_equal(got.error.err, -EIO);
	assert_true(got.error.processed_maybe);

	ask(GET, NULL);
	fake_api_fail(&f, fake_api_tries(&f) - 1, -EMSGSIZE, true);
	assert_int_equal(got.error.err, -EIO); /* an answer that cannot be read */
	assert_string_equal(got.error.message, "fake failure -90");
	assert_false(got.error.may_retry);
}

static void test_a_put_is_sent_once(void **state)
{
	ask(PUT, NULL);
	fake_api_answer(&f, 0, 503, "{}", NULL, NULL);
	assert_int_equal(got.times, 1);
	assert_int_equal(got.error.err, -EIO);
	assert_true(got.error.processed_maybe);
	assert_true(got.error.may_retry);
	fake_api_advance(&f, 60000);
	assert_int_equal(fake_api_tries(&f), 1);

	const struct api_budget last = { .timeout_ms = 5000, .tries_before = 3 };
	assert_int_equal(api_put_within(f.api, &id, NULL, "{}", 2, &last, on_record, &got), 0);
	assert_int_equal(fake_api_request(&f, 1)->timeout_ms, 5000);
	fake_api_answer(&f, 1, 503, "{}", NULL, NULL);
	assert_false(got.error.may_retry); /* the fourth try was the last */
}

static void test_a_get_within_a_budget(void **state)
{
	const struct api_budget budget = { .timeout_ms = 1234 };

	assert_int_equal(
		api_get_within(f.api, HTTP_CLASS_SAVE, &id, NULL, &budget, on_record, &got), 0);
	assert_int_equal(fake_api_request(&f, 0)->timeout_ms, 1234);
	fake_api_advance(&f, 1300);
	http_turn(f.http);
	assert_int_equal(got.error.err, -ETIMEDOUT);
}

static void test_every_call_keeps_to_its_budget(void **state)
{
	const struct api_budget budget = { .timeout_ms = 1234 };

	assert_int_equal(api_get_token_within(f.api, HTTP_CLASS_SAVE, &id, NULL, &budget, on_token,
					      &got),
			 0);
	assert_int_equal(api_get_dependencies_within(f.api, HTTP_CLASS_SAVE, &id, NULL, &budget,
						     on_text, &got),
			 0);
	assert_int_equal(api_post_within(f.api, "{}", 2, &budget, on_record, &got), 0);
	assert_int_equal(api_delete_within(f.api, &id, &budget, on_plain, &got), 0);
	assert_int_equal(api_rotate_token_within(f.api, &id, &budget, on_plain, &got), 0);
	assert_int_equal(fake_api_tries(&f), 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(fake_api_request(&f, i)->timeout_ms, 1234);
	fake_api_advance(&f, 1300);
	http_turn(f.http);
	assert_int_equal(got.times, 5);
	assert_int_equal(got.error.err, -ETIMEDOUT);
}

static void test_a_post_is_repeated_only_unprocessed(void **state)
{
	ask(POST, NULL);
	fake_api_answer(&f, 0, 503, "{}", NULL, NULL);
	assert_int_equal(got.times, 1);
	assert_true(got.error.processed_maybe);

	ask(POST, NULL);
	fake_api_fail(&f, 1, -ECONNREFUSED, false);
	assert_int_equal(got.times, 1);
	fake_api_advance(&f, 10000);
	assert_int_equal(fake_api_tries(&f), 3);
	fake_api_answer(&f, 2, 201, RECORD, NULL, NULL);
	assert_false(got.failed);
}

static void test_a_repeated_delete_that_finds_nothing_has_succeeded(void **state)
{
	ask(DELETE, NULL);
	fake_api_answer(&f, 0, 504, "", NULL, NULL);
	assert_int_equal(got.times, 0);
	fake_api_advance(&f, 10000);
	fake_api_answer(&f, 1, 404, "{}", NULL, NULL);
	assert_int_equal(got.times, 1);
	assert_false(got.failed);

	run(DELETE, 404, "{}"); /* the first try: somebody else did it, or there was none */
	assert_int_equal(got.error.err, -ENOENT);
}

static void test_a_rotation_is_not_repeated(void **state)
{
	ask(ROTATE, NULL);
	fake_api_answer(&f, 0, 504, "", NULL, NULL);
	assert_int_equal(got.times, 1);
	assert_int_equal(got.error.err, -EIO);
	assert_true(got.error.processed_maybe);

	/* A 404 behind a refused connection is still one: nothing was asked before. */
	ask(ROTATE, NULL);
	fake_api_fail(&f, 1, -ECONNREFUSED, false);
	fake_api_advance(&f, 10000);
	fake_api_answer(&f, 2, 404, "{}", NULL, NULL);
	assert_int_equal(got.error.err, -ENOENT);
}

static void test_shutdown(void **state)
{
	ask(GET, NULL);
	ask(TOKEN, NULL);
	fake_api_tries(&f);
	http_free(f.http);
	f.http = NULL;
	assert_int_equal(got.times, 2);
	assert_int_equal(got.error.err, -ECANCELED);
}

/* ---- figures ---- */

static uint64_t counted(enum api_endpoint endpoint, const char *status)
{
	struct api_stats stats;

	api_get_stats(f.api, &stats);
	for (unsigned i = 0; i < API_N_STATUSES; i++) {
		if (strcmp(api_status_name(i), status) == 0)
			return stats.by[endpoint][i];
	}
	fail_msg("%s", status);
	return 0;
}

static void test_stats(void **state)
{
	run(GET, 200, RECORD);
	run(GET, 200, "bad");
	run(GET, 404, "{}");
	run(GET, 418, "{}");
	run(GET, 302, "{}");
	run(PUT, 500, "{}");
	run(DELETE, 204, NULL);
	ask(PUT, NULL);
	fake_api_fail(&f, fake_api_tries(&f) - 1, -EIO, true);

	assert_int_equal(counted(API_ENDPOINT_READ, "200"), 2);
	assert_int_equal(counted(API_ENDPOINT_READ, "404"), 1);
	assert_int_equal(counted(API_ENDPOINT_READ, "other 4xx"), 1);
	assert_int_equal(counted(API_ENDPOINT_READ, "other"), 1);
	assert_int_equal(counted(API_ENDPOINT_READ, "none"), 0);
	assert_int_equal(counted(API_ENDPOINT_UPDATE, "5xx"), 1);
	assert_int_equal(counted(API_ENDPOINT_UPDATE, "none"), 1);
	assert_int_equal(counted(API_ENDPOINT_DELETE, "204"), 1);
	assert_string_equal(api_endpoint_name(API_ENDPOINT_TOKEN),
			    "GET /v1/stacks/{_id}/systemToken");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_requests),
		TEST(test_records),
		TEST(test_times_and_etag),
		TEST(test_not_modified),
		TEST(test_if_match),
		TEST(test_unexpected_statuses),
		TEST(test_refusals),
		TEST(test_etag_of_an_error_is_nobodys),
		TEST(test_bad_records),
		TEST(test_tokens),
		TEST(test_token_length),
		TEST(test_dependencies),
		TEST(test_no_answer),
		TEST(test_a_put_is_sent_once),
		TEST(test_a_get_within_a_budget),
		TEST(test_every_call_keeps_to_its_budget),
		TEST(test_a_post_is_repeated_only_unprocessed),
		TEST(test_a_repeated_delete_that_finds_nothing_has_succeeded),
		TEST(test_a_rotation_is_not_repeated),
		TEST(test_shutdown),
		TEST(test_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
