/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/error.h"
#include "base/buf.h"
#include "base/utf8.h"

static struct api_error from(int status, const char *body, size_t len)
{
	struct api_error e;
	char *exact = malloc(len ? len : 1);

	assert_non_null(exact);
	memcpy(exact, body, len);
	memset(&e, '!', sizeof(e));
	e.call_no = 17;
	api_error_from_answer(&e, status, exact, len);
	free(exact);
	assert_int_equal(e.call_no, 17);
	assert_int_equal(e.status, status);
	assert_int_equal(e.err, api_error_from_status(status));
	assert_true(e.message[0] != '\0');
	return e;
}

static struct api_error from_text(int status, const char *body)
{
	return from(status, body, strlen(body));
}

/* docs/semantics.md shows this table. */
static void test_status_table(void **state)
{
	static const struct {
		int status, err;
	} rows[] = {
		{ 400, -EBADMSG },   { 401, -EACCES },	{ 402, -EBADMSG }, { 403, -EPERM },
		{ 404, -ENOENT },    { 405, -EBADMSG }, { 406, -EBADMSG }, { 408, -ETIMEDOUT },
		{ 409, -EBUSY },     { 410, -EBADMSG }, { 411, -EBADMSG }, { 412, -EBUSY },
		{ 413, -EFBIG },     { 414, -EBADMSG }, { 415, -EBADMSG }, { 422, -EBADMSG },
		{ 428, -EBADMSG },   { 429, -EBUSY },	{ 451, -EBADMSG }, { 499, -EBADMSG },
		{ 500, -EIO },	     { 501, -EIO },	{ 502, -EIO },	   { 503, -EIO },
		{ 504, -EIO },	     { 599, -EIO },	{ 100, -EIO },	   { 206, -EIO },
		{ 301, -EIO },	     { 304, -EIO },	{ 0, -EIO },	   { 999, -EIO },
		{ -1, -EIO },	     { 600, -EIO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (api_error_from_status(rows[i].status) != rows[i].err)
			fail_msg("%d", rows[i].status);
	}
}

static void test_envelope(void **state)
{
	struct api_error e = from_text(
		422,
		"{\"errors\":[{\"code\":\"missing_required_field\",\"message\":\"name is "
		"required\",\"field\":\"name\",\"source\":\"application\"},{\"message\":\"2\"}]}");

	assert_int_equal(e.err, -EBADMSG);
	assert_string_equal(e.code, "missing_required_field");
	assert_string_equal(e.message, "name is required");
	assert_string_equal(e.field, "name");
}

static void test_401_is_bare(void **state)
{
	struct api_error e = from_text(401, "{\"message\":\"Bearer Authentication Failed\"}");

	assert_int_equal(e.err, -EACCES);
	assert_string_equal(e.message, "Bearer Authentication Failed");
	assert_string_equal(e.code, "");
	assert_string_equal(e.field, "");
}

static void test_codes(void **state)
{
	static const struct {
		const char *json, *code;
	} rows[] = {
		{ "\"invalid_ref\"", "invalid_ref" },
		{ "500", "500" },
		{ "-1", "-1" },
		{ "5e2", "500" },
		{ "9007199254740992", "9007199254740992" },
		{ "1e300", "" },
		{ "1E400", "" },
		{ "-1E400", "" },
		{ "1.5", "" },
		{ "null", "" },
		{ "[]", "" },
		{ "{\"code\":1}", "" },
		{ "true", "" },
		{ "\"\"", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char body[200];

		snprintf(body, sizeof(body), "{\"errors\":[{\"code\":%s,\"message\":\"m\"}]}",
			 rows[i].json);
		struct api_error e = from_text(400, body);
		assert_string_equal(e.code, rows[i].code);
		assert_string_equal(e.message, "m");
	}
}

/* Whatever it is, there is an errno and a message. */
static void test_anything_else(void **state)
{
	static const char *const bodies[] = {
		"",
		"<html><head><title>502 Bad Gateway</title></head></html>",
		"Bad Gateway",
		"null", "true", "7", "\"message\"", "[]", "{}",
		"[{\"message\":\"in an array\"}]",
		"{\"errors\":null}", "{\"errors\":[]}", "{\"errors\":{}}", "{\"errors\":\"x\"}",
		"{\"errors\":[null]}", "{\"errors\":[\"message\"]}", "{\"errors\":[[{\"message\":\"m\"}]]}",
		"{\"errors\":[{}]}", "{\"errors\":[{\"message\":null}]}",
		"{\"errors\":[{\"message\":\"\"}]}", "{\"errors\":[{\"message\":{\"a\":1}}]}",
		"{\"errors\":[{\"Message\":\"m\"}]}", "{\"Errors\":[{\"message\":\"m\"}]}",
		"{\"message\":7}", "{\"message\":\"\"}", "{\"message\":\"\\u0000cut\"}",
		"{\"message\":\"m\"", "{\"message\":\"m\"} trailing", "{'message':'m'}",
		"\xef\xbb\xbf{\"message\":\"m\"}", "{\"message\":\"m\",\"message\":\"n\"}",
		"{\"errors\":[{\"message\":\"a\nb\"}]}", "\xff\xfe\x00",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct api_error e = from_text(502, bodies[i]);

		if (strcmp(e.message, "the service answered 502") != 0)
			fail_msg("%s: %s", bodies[i], e.message);
		assert_string_equal(e.code, "");
		assert_string_equal(e.field, "");
	}
	struct api_error e = from(404, "{\"message\":\"m\"}\0", 16);
	assert_string_equal(e.message, "the service answered 404");
}

static void test_deep_and_huge(void **state)
{
	struct buf body = BUF_INIT(8 * 1024 * 1024);
	struct api_error e;

	for (int i = 0; i < 60000; i++)
		assert_int_equal(buf_puts(&body, "["), 0);
	e = from(500, body.data, body.len);
	assert_string_equal(e.message, "the service answered 500");
	buf_done(&body);

	/* Just under the bound for envelopes, and 3 MB. */
	static const size_t lens[] = { 60000, 3 * 1024 * 1024 };
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		char *text = calloc(1, lens[i] + 1);

		assert_non_null(text);
		memset(text, 'x', lens[i]);
		assert_int_equal(buf_printf(&body, "{\"errors\":[{\"message\":\"%s\"}]}", text), 0);
		e = from(500, body.data, body.len);
		if (i == 0)
			assert_int_equal(strspn(e.message, "x"), sizeof(e.message) - 1);
		else
			assert_string_equal(e.message, "the service answered 500");
		buf_done(&body);
		free(text);
	}
}

static bool is_clean(const char *s)
{
	for (size_t n; *s; s += n) {
		n = utf8_length(s, strlen(s));
		if (n == 0 || (unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	}
	return true;
}

static void test_text_is_clean_and_cut_at_a_character(void **state)
{
	struct api_error e =
		from_text(400, "{\"message\":\"a\\u001b[2J\\u0007\\n\\t\xff\\u009b\x7f.\"}");

	assert_string_equal(e.message, "a [2J   ?  .");

	for (size_t lead = 0; lead < 4; lead++) {
		struct buf body = BUF_INIT(10000);

		assert_int_equal(buf_printf(&body, "{\"message\":\"%.*s", (int)lead, "aaaa"), 0);
		for (int i = 0; i < 200; i++)
			assert_int_equal(buf_puts(&body, "\xf0\x9f\x98\x80"), 0);
		assert_int_equal(buf_puts(&body, "\"}"), 0);
		e = from(400, body.data, body.len);
		assert_true(is_clean(e.message));
		assert_in_range(strlen(e.message), sizeof(e.message) - 4, sizeof(e.message) - 1);
		buf_done(&body);
	}
}

static void test_all_texts_are_bounded(void **state)
{
	struct buf body = BUF_INIT(10000);
	char text[1001] = { 0 };

	memset(text, 'y', 1000);
	assert_int_equal(buf_printf(&body,
				    "{\"errors\":[{\"code\":\"%s\",\"message\":\"%s\","
				    "\"field\":\"%s\"}]}",
				    text, text, text),
			 0);
	struct api_error e = from(400, body.data, body.len);
	assert_int_equal(strlen(e.code), sizeof(e.code) - 1);
	assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
	assert_int_equal(strlen(e.field), sizeof(e.field) - 1);
	buf_done(&body);
}

static void test_own_message(void **state)
{
	struct api_error e = from_text(400, "{\"errors\":[{\"code\":\"c\",\"message\":\"m\","
					    "\"field\":\"f\"}]}");
	char text[1001] = { 0 };

	api_error_set(&e, -EIO, "page %d:\n%s", 3, "x");
	assert_int_equal(e.err, -EIO);
	assert_int_equal(e.status, 400);
	assert_string_equal(e.message, "page 3: x");
	assert_string_equal(e.code, "");
	assert_string_equal(e.field, "");
	memset(text, 'z', 1000);
	api_error_set(&e, -EIO, "%s", text);
	assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_table),
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_401_is_bare),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_anything_else),
		cmocka_unit_test(test_deep_and_huge),
		cmocka_unit_test(test_text_is_clean_and_cut_at_a_character),
		cmocka_unit_test(test_all_texts_are_bounded),
		cmocka_unit_test(test_own_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
