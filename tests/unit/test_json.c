/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/json.h"

/* A copy without room behind it, so that a sanitizer sees a read past len. */
static char *exact(const char *text, size_t len)
{
	char *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, text, len);
	return copy;
}

static int check(const char *text, size_t len, unsigned flags, struct json_error *e)
{
	char *copy = exact(text, len);
	int r = json_check(copy, len, flags, e);

	free(copy);
	return r;
}

static void assert_good(const char *text, unsigned flags)
{
	struct json_error e;

	if (check(text, strlen(text), flags, &e) != 0)
		fail_msg("%s: %s", text, e.why);
}

/* ---- what is JSON ---- */

static const char *const good[] = {
	"null", "true", "false", "0", "-0", "-0.0", "10", "1.10", "1e5", "1E+5", "1e-05", "-1.5e300",
	"9007199254740993", "1E400", "\"\"", "[]", "{}", " [ ] ", "\t\r\n{ }\n",
	"[1,\"a\",null,true,false,[],{}]", "{\"\":{\"\":[]}}", "{\"a\":1,\"b\":{\"a\":1}}",
	"[{\"a\":1},{\"a\":1}]", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u0000\"",
	"\"\\ud83d\\ude00\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", "\"\x7f\"",
};

static void test_good_texts(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_good(good[i], 0);
}

/* text, and where in it the error is: line, column, offset. */
static const struct {
	const char *text;
	unsigned line, column;
	size_t offset;
	const char *why; /* a part of it */
} bad[] = {
	{ "01", 1, 1, 0, "begins with 0" },
	{ "-01", 1, 2, 1, "begins with 0" },
	{ "1.x", 1, 3, 2, "digit" },
	{ ".5", 1, 1, 0, "value is missing" },
	{ "+1", 1, 1, 0, "value is missing" },
	{ "-x", 1, 2, 1, "digit" },
	{ "1ex", 1, 3, 2, "digit" },
	{ "1e+]", 1, 4, 3, "digit" },
	{ "0x10", 1, 2, 1, "more text" },
	{ "NaN", 1, 1, 0, "value is missing" },
	{ "Infinity", 1, 1, 0, "value is missing" },
	{ "nul1", 1, 1, 0, "word" },
	{ "truE", 1, 1, 0, "word" },
	{ "nullx", 1, 5, 4, "more text" },
	{ "'a'", 1, 1, 0, "value is missing" },
	{ "// c\n1", 1, 1, 0, "value is missing" },
	{ "1 /* c */", 1, 3, 2, "more text" },
	{ "\xef\xbb\xbf{}", 1, 1, 0, "byte order mark" },
	{ "{} {}", 1, 4, 3, "more text" },
	{ "[1,]", 1, 4, 3, "value is missing" },
	{ "[,1]", 1, 2, 1, "value is missing" },
	{ "[1 2]", 1, 4, 3, "']' is missing" },
	{ "[1}", 1, 3, 2, "']' is missing" },
	{ "[1:2]", 1, 3, 2, "']' is missing" },
	{ "{\"a\":1,}", 1, 8, 7, "key" },
	{ "{,}", 1, 2, 1, "key" },
	{ "{a:1}", 1, 2, 1, "key" },
	{ "{1:1}", 1, 2, 1, "key" },
	{ "{\"a\" 1}", 1, 6, 5, "':'" },
	{ "{\"a\",1}", 1, 5, 4, "':'" },
	{ "{\"a\":}", 1, 6, 5, "value is missing" },
	{ "{\"a\":1]", 1, 7, 6, "'}' is missing" },
	{ "{\"a\":1 \"b\":2}", 1, 8, 7, "'}' is missing" },
	{ "]", 1, 1, 0, "value is missing" },
	{ "}", 1, 1, 0, "value is missing" },
	{ ",", 1, 1, 0, "value is missing" },
	{ "\"a\nb\"", 1, 3, 2, "control character" },
	{ "\"a\tb\"", 1, 3, 2, "control character" },
	{ "\"\x1f\"", 1, 2, 1, "control character" },
	{ "\"\\x\"", 1, 2, 1, "escape" },
	{ "\"\\'\"", 1, 2, 1, "escape" },
	{ "\"\\u12g4\"", 1, 6, 5, "four hex" },
	{ "\"\\U1234\"", 1, 2, 1, "escape" },
	{ "\"\\ud800\"", 1, 2, 1, "half" },
	{ "\"\\ud800x\"", 1, 2, 1, "half" },
	{ "\"\\ud800\\n\"", 1, 2, 1, "half" },
	{ "\"\\ud800\\u0041\"", 1, 2, 1, "half" },
	{ "\"\\udc00\"", 1, 2, 1, "half" },
	{ "\"\\udc00\\ud800\"", 1, 2, 1, "half" },
	{ "\"\xff\"", 1, 2, 1, "UTF-8" },
	{ "\"\xc0\xaf\"", 1, 2, 1, "UTF-8" },
	{ "\"\xed\xa0\x80\"", 1, 2, 1, "UTF-8" },
	{ "\"\xe2\x82\"", 1, 2, 1, "UTF-8" },
	{ "\xc3\xa9", 1, 1, 0, "value is missing" },
	{ "\f1", 1, 1, 0, "value is missing" },
	{ "{\n  \"a\": 1,\n  \"b\": x\n}", 3, 8, 19, "value is missing" },
	{ "[\"\xc3\xa9\xe2\x82\xac\", x]", 1, 8, 10, "value is missing" },
	{ "[1,\r\n 2,\r\n x]", 3, 2, 11, "value is missing" },
	{ "{\"a\":1,\"b\":2,\"a\":3}", 1, 14, 13, "twice" },
	{ "{\"a\":1,\n\"\\u0061\":2}", 2, 1, 8, "twice" },
	{ "{\"\xc3\xa9\":1,\"\\u00e9\":2}", 1, 8, 8, "twice" },
	{ "{\"\":1,\"\":2}", 1, 7, 6, "twice" },
	{ "[{\"b\":0},{\"x\":{\"b\":1,\"b\":1},\"x\":1}]", 1, 22, 21, "twice" },
};

static void test_bad_texts(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct json_error e = { 0 };

		if (check(bad[i].text, strlen(bad[i].text), 0, &e) != -EBADMSG)
			fail_msg("taken: %s", bad[i].text);
		if (e.line != bad[i].line || e.column != bad[i].column ||
		    e.offset != bad[i].offset || !strstr(e.why, bad[i].why) || e.incomplete)
			fail_msg("%s: %s at %u:%u, offset %zu", bad[i].text, e.why, e.line,
				 e.column, e.offset);
	}
}

/* Every proper beginning of a text in brackets or quotes is an incomplete text. */
static void test_incomplete(void **state)
{
	static const char *const whole[] = {
		"{\"a\": [1.5e+7, -20, true, false, null, {\"b\": \"\\n\\u00e9\\ud83d\\ude00\"}]}",
		" [\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\x95\x9c\xf4\x8f\xbf\xbf\"]",
		"[]",
		"\"x\"",
	};

	for (size_t i = 0; i < ARRAY_SIZE(whole); i++) {
		for (size_t len = 0; len < strlen(whole[i]); len++) {
			struct json_error e = { 0 };

			assert_int_equal(check(whole[i], len, 0, &e), -EBADMSG);
			if (!e.incomplete || e.offset != len)
				fail_msg("%.*s: %s", (int)len, whole[i], e.why);
		}
	}
	struct json_error e;
	assert_int_equal(json_check(NULL, 0, 0, &e), -EBADMSG);
	assert_true(e.incomplete);
	assert_int_equal(check("-", 1, 0, &e), -EBADMSG);
	assert_true(e.incomplete);
	assert_int_equal(check("nul", 3, 0, &e), -EBADMSG);
	assert_true(e.incomplete);
}

static void test_embedded_nul(void **state)
{
	static const char *const texts[] = { "\0{}", "{}\0",  "{\0}", "\"\0\"",
					     "1\0",  "[1\0]", "t\0ue" };
	static const size_t lens[] = { 3, 3, 3, 3, 2, 4, 4 };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct json_error e;

		assert_int_equal(check(texts[i], lens[i], 0, &e), -EBADMSG);
		assert_false(e.incomplete);
		assert_int_equal(check(texts[i], lens[i], JSON_ANY_BYTES, &e), -EBADMSG);
	}
}

static void test_any_bytes(void **state)
{
	assert_good("\"\xff\xc0\xaf\xed\xa0\x80\xe2\x82\"", JSON_ANY_BYTES);
	assert_good("\"\\ud800 \\udc00\"", JSON_ANY_BYTES);
	assert_good("\"\\udc00\\ud800\"", JSON_ANY_BYTES);

	struct json_error e;
	assert_int_equal(check("\"\\ud80\"", 7, JSON_ANY_BYTES, &e), -EBADMSG);
	assert_int_equal(check("\"\x01\"", 3, JSON_ANY_BYTES, &e), -EBADMSG);
	assert_int_equal(check("\xff", 1, JSON_ANY_BYTES, &e), -EBADMSG);
}

/* ---- depth ---- */

static char *nested(size_t depth, const char *open, const char *close)
{
	size_t a = strlen(open), b = strlen(close);
	char *text = calloc(1, depth * (a + b) + 1);

	assert_non_null(text);
	for (size_t i = 0; i < depth; i++) {
		memcpy(text + i * a, open, a);
		memcpy(text + depth * a + i * b, close, b);
	}
	return text;
}

static void test_depth(void **state)
{
	static const struct {
		size_t depth;
		unsigned flags;
		int r;
	} cases[] = {
		{ JSON_MAX_DEPTH, 0, 0 },
		{ JSON_MAX_DEPTH + 1, 0, -EBADMSG },
		{ JSON_MAX_DEPTH + 1, JSON_IN_PAGE, 0 },
		{ JSON_MAX_DEPTH + 2, JSON_IN_PAGE, -EBADMSG },
		{ 100000, 0, -EBADMSG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json_error e = { 0 };
		char *arrays = nested(cases[i].depth, "[", "]");

		assert_int_equal(json_check(arrays, strlen(arrays), cases[i].flags, &e),
				 cases[i].r);
		if (cases[i].r < 0)
			assert_string_equal(e.why, "nested too deep");
		free(arrays);
	}
	/* An object's last value may be no container: {"a":{"a":{}}}. */
	char *objects = nested(JSON_MAX_DEPTH - 1, "{\"a\":", "}");
	char text[JSON_MAX_DEPTH * 8];
	struct json_error e;
	int half = 5 * (JSON_MAX_DEPTH - 1);

	snprintf(text, sizeof(text), "%.*s{}%s", half, objects, objects + half);
	assert_int_equal(json_check(text, strlen(text), 0, &e), 0);
	snprintf(text, sizeof(text), "%.*s[{}]%s", half, objects, objects + half);
	assert_int_equal(json_check(text, strlen(text), 0, &e), -EBADMSG);
	free(objects);
}

/* ---- events ---- */

static void test_events(void **state)
{
	static const char text[] = " {\"a\" : [1, \"x\"], \"b\": {}, \"c\":null , \"d\":false}\n";
	static const struct {
		int event;
		const char *token;
		unsigned depth;
	} expected[] = {
		{ JSON_OBJECT_BEGIN, "{", 0 }, { JSON_KEY, "\"a\"", 1 },
		{ JSON_ARRAY_BEGIN, "[", 1 },  { JSON_NUMBER, "1", 2 },
		{ JSON_STRING, "\"x\"", 2 },   { JSON_ARRAY_END, "]", 1 },
		{ JSON_KEY, "\"b\"", 1 },      { JSON_OBJECT_BEGIN, "{", 1 },
		{ JSON_OBJECT_END, "}", 1 },   { JSON_KEY, "\"c\"", 1 },
		{ JSON_NULL, "null", 1 },      { JSON_KEY, "\"d\"", 1 },
		{ JSON_FALSE, "false", 1 },    { JSON_OBJECT_END, "}", 0 },
		{ JSON_END, "", 0 },	       { JSON_END, "", 0 },
	};
	struct json_scan scan;

	json_scan_init(&scan, text, strlen(text), 0);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_int_equal(json_next(&scan), expected[i].event);
		assert_int_equal(scan.token_len, strlen(expected[i].token));
		assert_memory_equal(scan.token, expected[i].token, scan.token_len);
		assert_int_equal(scan.depth, expected[i].depth);
	}
}

static void test_errors_stay(void **state)
{
	struct json_scan scan;

	json_scan_init(&scan, "[x, 1]", 6, 0);
	assert_int_equal(json_next(&scan), JSON_ARRAY_BEGIN);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(json_next(&scan), -EBADMSG);
		assert_int_equal(scan.error.offset, 1);
	}
}

static void test_skip(void **state)
{
	static const char text[] = "[ {\"a\":[1, {}]} , 17, [] ]";
	static const char *const values[] = { "{\"a\":[1, {}]}", "17", "[]" };
	struct json_scan scan;
	const char *value;
	size_t len;

	json_scan_init(&scan, text, strlen(text), 0);
	assert_int_equal(json_next(&scan), JSON_ARRAY_BEGIN);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		assert_true(json_next(&scan) > JSON_END);
		assert_int_equal(json_skip(&scan, &value, &len), 0);
		assert_int_equal(len, strlen(values[i]));
		assert_memory_equal(value, values[i], len);
	}
	assert_int_equal(json_next(&scan), JSON_ARRAY_END);
	assert_int_equal(json_next(&scan), JSON_END);

	json_scan_init(&scan, text, strlen(text), 0);
	assert_int_equal(json_next(&scan), JSON_ARRAY_BEGIN);
	assert_int_equal(json_skip(&scan, &value, &len), 0);
	assert_memory_equal(value, text, len);
	assert_int_equal(len, strlen(text));
	assert_int_equal(json_next(&scan), JSON_END);

	json_scan_init(&scan, "[[1,", 4, 0);
	assert_int_equal(json_next(&scan), JSON_ARRAY_BEGIN);
	assert_int_equal(json_skip(&scan, &value, &len), -EBADMSG);
	assert_true(scan.error.incomplete);
}

/* ---- layout ---- */

static void test_layout(void **state)
{
	static const struct {
		const char *text, *out;
	} cases[] = {
		{ "{}", "{}\n" },
		{ " [ ] ", "[]\n" },
		{ "1.10", "1.10\n" },
		{ "\"\\/\\u00e9\"", "\"\\/\\u00e9\"\n" },
		{ "[1,2]", "[\n  1,\n  2\n]\n" },
		{ "{\"a\":9007199254740993,\"b\":{},\"c\":[],\"d\":{\"e\":[true,{\"f\":null}]}}",
		  "{\n  \"a\": 9007199254740993,\n  \"b\": {},\n  \"c\": [],\n  \"d\": {\n"
		  "    \"e\": [\n      true,\n      {\n        \"f\": null\n      }\n    ]\n  }\n}\n" },
		{ "[[],[[]],{},1]", "[\n  [],\n  [\n    []\n  ],\n  {},\n  1\n]\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf out = BUF_INIT(1000), again = BUF_INIT(1000);

		assert_int_equal(json_layout(cases[i].text, strlen(cases[i].text), 0, &out), 0);
		assert_string_equal(out.data, cases[i].out);
		assert_int_equal(json_layout(out.data, out.len, 0, &again), 0);
		assert_string_equal(again.data, cases[i].out);
		buf_done(&out);
		buf_done(&again);
	}
}

static void test_layout_failures_change_nothing(void **state)
{
	struct buf out = BUF_INIT(20);

	assert_int_equal(buf_puts(&out, "before"), 0);
	assert_int_equal(json_layout("[1,2,x]", 7, 0, &out), -EBADMSG);
	assert_string_equal(out.data, "before");
	assert_int_equal(json_layout("[1,2,3,4,5]", 11, 0, &out), -EMSGSIZE);
	assert_string_equal(out.data, "before");
	assert_int_equal(json_layout("[1,2]", 5, 0, &out), 0);
	assert_string_equal(out.data, "before[\n  1,\n  2\n]\n");
	buf_done(&out);
}

/* 100 levels indent by 200 spaces: more than is copied at once. */
static void test_layout_deep(void **state)
{
	struct buf out = BUF_INIT(1000000);
	char *text = nested(JSON_MAX_DEPTH, "[", "]");

	assert_int_equal(json_layout(text, strlen(text), 0, &out), 0);
	size_t lines = 0, longest = 0;
	for (char *line = out.data; *line; lines++) {
		size_t n = strcspn(line, "\n");

		longest = n > longest ? n : longest;
		line += n + 1;
	}
	assert_int_equal(lines, 2 * JSON_MAX_DEPTH - 1);
	assert_int_equal(longest, 2 * (JSON_MAX_DEPTH - 1) + 2);
	buf_done(&out);
	free(text);
}

/* ---- strings ---- */

static void test_unescape(void **state)
{
	static const struct {
		const char *token, *bytes;
		size_t len;
	} cases[] = {
		{ "\"\"", "", 0 },
		{ "\"abc\"", "abc", 3 },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8 },
		{ "\"a\\u0000b\"", "a\0b", 3 },
		{ "\"\\u00E9\\u20ac\\ud83d\\ude00\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9 },
		{ "\"\\ud800\"", "\xed\xa0\x80", 3 },
		{ "\"\\ud800\\ud83d\\ude00\"", "\xed\xa0\x80\xf0\x9f\x98\x80", 7 },
		{ "\"\\udc00\\\\u\"", "\xed\xb0\x80\\u", 5 },
		{ "\"\\ud800\\n\"", "\xed\xa0\x80\n", 4 },
		{ "\"\xff\\n\"", "\xff\n", 2 },
		{ "\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf", 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *token = exact(cases[i].token, strlen(cases[i].token));
		struct buf out = BUF_INIT(100);

		assert_int_equal(json_unescape(token, strlen(cases[i].token), &out), 0);
		assert_int_equal(out.len, cases[i].len);
		assert_memory_equal(out.data, cases[i].bytes, out.len);
		if (!memchr(cases[i].bytes, '\0', cases[i].len))
			assert_true(
				json_string_equals(token, strlen(cases[i].token), cases[i].bytes));
		buf_done(&out);
		free(token);
	}
	struct buf small = BUF_INIT(2);
	assert_int_equal(json_unescape("\"abc\"", 5, &small), -EMSGSIZE);
	assert_int_equal(small.len, 0);
	assert_int_equal(json_unescape("\"a\\nc\"", 6, &small), -EMSGSIZE);
	assert_int_equal(small.len, 0);
	buf_done(&small);
}

static void test_string_equals(void **state)
{
	static const struct {
		const char *token, *bytes;
		bool equal;
	} cases[] = {
		{ "\"name\"", "name", true },   { "\"name\"", "nam", false },
		{ "\"nam\"", "name", false },   { "\"n\\u0061me\"", "name", true },
		{ "\"Name\"", "name", false },  { "\"\"", "", true },
		{ "\"\"", "x", false },         { "\"name\\u0000\"", "name", false },
		{ "\"\\u0000\"", "", false },   { "\"\\u006eame\\u0000x\"", "name", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(
			json_string_equals(cases[i].token, strlen(cases[i].token), cases[i].bytes),
			cases[i].equal);
}

/* ---- size ---- */

static char *many_keys(size_t n, const char *prefix, size_t *ret_len)
{
	struct buf text = BUF_INIT(100 * 1024 * 1024);

	assert_int_equal(buf_puts(&text, "{"), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(
			buf_printf(&text, "%s\"%s%zx\":1", i ? "," : "", prefix, i % 7 * n + i), 0);
	}
	assert_int_equal(buf_puts(&text, "}"), 0);
	*ret_len = text.len;
	return buf_steal(&text);
}

/* Generous: a quadratic search takes minutes. */
static void test_many_keys(void **state)
{
	static const char *const prefixes[] = {
		"", "\\u0041", "all keys have the same long beginning, which hashes know well "
	};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		struct json_error e;
		size_t len;
		char *text = many_keys(100000, prefixes[i], &len);
		clock_t began = clock();

		assert_int_equal(json_check(text, len, 0, &e), 0);
		assert_true(clock() - began < 5 * CLOCKS_PER_SEC);
		free(text);
	}
}

static void test_large_string(void **state)
{
	size_t len = 3 * 1024 * 1024;
	char *text = malloc(len);
	struct buf out = BUF_INIT(len + 1);
	struct json_error e;

	assert_non_null(text);
	memset(text, 'x', len);
	text[0] = '"';
	assert_int_equal(json_check(text, len, 0, &e), -EBADMSG);
	assert_true(e.incomplete);
	text[len - 1] = '"';
	assert_int_equal(json_check(text, len, 0, &e), 0);
	assert_int_equal(json_layout(text, len, 0, &out), 0);
	assert_int_equal(out.len, len + 1);
	buf_done(&out);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_texts),
		cmocka_unit_test(test_bad_texts),
		cmocka_unit_test(test_incomplete),
		cmocka_unit_test(test_embedded_nul),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_errors_stay),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_layout_failures_change_nothing),
		cmocka_unit_test(test_layout_deep),
		cmocka_unit_test(test_unescape),
		cmocka_unit_test(test_string_equals),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_large_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
