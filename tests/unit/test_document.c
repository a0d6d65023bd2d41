/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "draft/document.h"

#define ID     "5f00000000000000000000a1"
#define MASKED "\"******\""

static struct document doc(const char *text)
{
	return (struct document){ text, text ? strlen(text) : 0 };
}

/* A copy without room behind it, so that a sanitizer sees a read past len. */
static struct document exact(struct document d)
{
	char *copy = d.text ? malloc(d.len ? d.len : 1) : NULL;

	if (copy)
		memcpy(copy, d.text, d.len);
	return (struct document){ copy, d.len };
}

static void done(struct document d)
{
	free((char *)d.text);
}

/* ---- check ---- */

static int check(const char *text, size_t len, struct json_error *e)
{
	struct document d = exact((struct document){ text, len });
	int r = document_check(d, e);

	done(d);
	return r;
}

static void test_check_takes(void **state)
{
	static const char *const good[] = {
		"{}",
		" {} \n",
		"{\"a\":1}",
		"{\"a\":\"\\u0000\"}",
		"\n\n{\"\":{\"\":[{},[]]}}",
		"{\"a\":{\"a\":1},\"b\":{\"a\":1}}",
		"{\"a\":9007199254740993,\"b\":\"\xc3\xa9\"}",
	};
	struct json_error e;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(check(good[i], strlen(good[i]), &e), 0);
}

static const struct {
	const char *text;
	unsigned line, column;
	bool incomplete;
} wrong[] = {
	{ "", 1, 1, true },
	{ " \n\t\r\n ", 3, 2, true },
	{ "{", 1, 2, true },
	{ "{\"a\":1,\n", 2, 1, true },
	{ "{\n  \"a\": \"x", 2, 10, true },
	{ "{\"a\":tru", 1, 9, true },
	{ "{\"a\":\"\xc3", 1, 8, true },
	{ "{\"a\":\"\\ud83d", 1, 13, true },
	{ "[", 1, 1, false },
	{ "[]", 1, 1, false },
	{ "\n  []", 2, 3, false },
	{ "\n\n \"half", 3, 2, false },
	{ "tru", 1, 1, false },
	{ "12", 1, 1, false },
	{ "null", 1, 1, false },
	{ "nul}", 1, 1, false },
	{ "hello", 1, 1, false },
	{ "\xef\xbb\xbf{}", 1, 1, false },
	{ "{\"a\":1,}", 1, 8, false },
	{ "{\"a\":1}x", 1, 8, false },
	{ "{\"a\":1} {}", 1, 9, false },
	{ "{a:1}", 1, 2, false },
	{ "{\n\"a\":1,\n\"a\":2}", 3, 1, false },
	{ "{\"a\":1,\"\\u0061\":2}", 1, 8, false },
	{ "{\"x\":[{\"a\":1,\"a\":2}]}", 1, 14, false },
	{ "{\"a\":\"\xff\"}", 1, 7, false },
	{ "{\"a\":\"\\ud800\"}", 1, 7, false },
	{ "{\"a\":\"x\ny\"}", 1, 8, false },
	{ "{\"a\":01}", 1, 6, false },
	{ "{'a':1}", 1, 2, false },
	{ "{} // no", 1, 4, false },
};

static void test_check_refuses(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct json_error e = { 0 };
		const char *text = wrong[i].text;

		if (check(text, strlen(text), &e) != -EBADMSG || e.line != wrong[i].line ||
		    e.column != wrong[i].column || e.incomplete != wrong[i].incomplete || !e.why)
			fail_msg("%s: %s at %u:%u, incomplete %d", text, e.why, e.line, e.column,
				 e.incomplete);
	}
}

/* Every beginning of a document is half of one, and nothing else. */
static void test_each_beginning_is_incomplete(void **state)
{
	static const char text[] =
		"{ \"a\\n\\u00e9\xf0\x9f\x98\x80\\ud83d\\ude00\" : [ -1.5e+3 , true,null ],"
		"\"b\":{\"c\":false}}";
	struct json_error e;

	for (size_t len = 0; len < strlen(text); len++) {
		assert_int_equal(check(text, len, &e), -EBADMSG);
		assert_true(e.incomplete);
	}
	assert_int_equal(check(text, strlen(text), &e), 0);
}

static void test_check_bounds(void **state)
{
	char *text = malloc(DOCUMENT_MAX_BYTES + 1);
	struct json_error e;

	assert_non_null(text);
	memset(text, ' ', DOCUMENT_MAX_BYTES + 1);
	memcpy(text, "{}", 2);
	assert_int_equal(check(text, DOCUMENT_MAX_BYTES, &e), 0);
	assert_int_equal(check(text, DOCUMENT_MAX_BYTES + 1, &e), -EFBIG);
	assert_string_equal(e.why, "more than 1 MiB");
	for (unsigned depth = JSON_MAX_DEPTH - 1; depth <= JSON_MAX_DEPTH + 1; depth++) {
		static const char level[] = "{\"a\":";
		size_t len = 0;

		for (unsigned i = 0; i < depth; i++, len += strlen(level))
			memcpy(text + len, level, strlen(level));
		text[len++] = '1';
		memset(text + len, '}', depth);
		assert_int_equal(check(text, len + depth, &e),
				 depth > JSON_MAX_DEPTH ? -EBADMSG : 0);
	}
	free(text);
}

static void test_empty(void **state)
{
	assert_true(document_is_empty((struct document){ NULL, 0 }));
	assert_true(document_is_empty(doc("")));
	assert_true(document_is_empty(doc(" \t\r\n")));
	assert_false(document_is_empty(doc("{}")));
	assert_false(document_is_empty(doc(" x")));
	assert_false(document_is_empty((struct document){ "\0", 1 }));
}

/* ---- facts ---- */

static void test_facts(void **state)
{
	static const struct {
		const char *text;
		enum document_field id, modified, name;
		const char *modified_is, *name_is;
	} cases[] = {
		{ "{}", DOCUMENT_NONE, DOCUMENT_NONE, DOCUMENT_NONE, NULL, NULL },
		{ "{\"_id\":null,\"lastModified\":null,\"name\":null}", DOCUMENT_NONE,
		  DOCUMENT_NONE, DOCUMENT_NONE, NULL, NULL },
		{ "{\"_id\":\"" ID "\",\"lastModified\":\"2024-01-01\",\"name\":\"x\\u0079\"}",
		  DOCUMENT_GIVEN, DOCUMENT_GIVEN, DOCUMENT_GIVEN, "2024-01-01", "xy" },
		{ "{\"\\u005fid\":\"\\u0035f00000000000000000000A1\",\"lastModified\":\"\","
		  "\"name\":\"\"}",
		  DOCUMENT_GIVEN, DOCUMENT_GIVEN, DOCUMENT_GIVEN, "", "" },
		{ "{\"_id\":\"\",\"lastModified\":5,\"name\":[]}", DOCUMENT_WRONG, DOCUMENT_WRONG,
		  DOCUMENT_WRONG, NULL, NULL },
		{ "{\"_id\":\"5f\",\"name\":true}", DOCUMENT_WRONG, DOCUMENT_NONE, DOCUMENT_WRONG,
		  NULL, NULL },
		{ "{\"_id\":7}", DOCUMENT_WRONG, DOCUMENT_NONE, DOCUMENT_NONE, NULL, NULL },
		{ "{\"server\":{\"_id\":\"" ID "\",\"name\":\"x\"}}", DOCUMENT_NONE, DOCUMENT_NONE,
		  DOCUMENT_NONE, NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct document_facts facts;
		struct document d = exact(doc(cases[i].text));

		assert_int_equal(document_facts(d, &facts), 0);
		done(d);
		assert_int_equal(facts.has_id, cases[i].id);
		assert_int_equal(facts.has_modified, cases[i].modified);
		assert_int_equal(facts.has_name, cases[i].name);
		assert_int_equal(!facts.modified.data, !cases[i].modified_is);
		assert_int_equal(!facts.name.data, !cases[i].name_is);
		if (cases[i].modified_is)
			assert_string_equal(facts.modified.data, cases[i].modified_is);
		if (cases[i].name_is)
			assert_string_equal(facts.name.data, cases[i].name_is);
		if (facts.has_id == DOCUMENT_GIVEN)
			assert_int_equal(facts.id.bytes[0], 0x5f);
		document_facts_done(&facts);
	}
}

static void test_facts_of_a_name_with_a_nul(void **state)
{
	struct document_facts facts;

	assert_int_equal(document_facts(doc("{\"name\":\"a\\u0000b\"}"), &facts), 0);
	assert_int_equal(facts.name.len, 3);
	assert_memory_equal(facts.name.data, "a\0b", 3);
	document_facts_done(&facts);
	assert_int_equal(document_facts(doc("[]"), &facts), -EBADMSG);
	assert_int_equal(document_facts(doc("{"), &facts), -EBADMSG);
	document_facts_done(&facts);
}

/* ---- the body ---- */

/* record NULL: a new stack.  masks: the paths that cannot be left out, if it is refused. */
static void check_body(const char *text, const char *record, const char *body, const char *masks)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(DOCUMENT_MAX_BYTES);
	CLEANUP(buf_done) struct buf again = BUF_INIT(DOCUMENT_MAX_BYTES);
	struct document d = exact(doc(text)), shown = exact(doc(record));
	struct value_paths paths;
	struct json_error e;
	char line[256];

	assert_int_equal(buf_puts(&out, "kept"), 0);
	int r = document_body(d, shown, &out, &paths);
	value_paths_text(&paths, line, sizeof(line));
	assert_string_equal(line, masks ? masks : "");
	assert_int_equal(r, masks ? -EBADMSG : 0);
	assert_string_equal(out.data + 4, masks ? "" : body);
	assert_memory_equal(out.data, "kept", 4);
	if (!masks) {
		assert_int_equal(document_check(doc(body), &e), 0);
		assert_int_equal(document_body(doc(body), shown, &again, &paths), 0);
		assert_string_equal(again.data, body);
	}
	done(d);
	done(shown);
}

static void test_body_leaves_out_what_is_read_only(void **state)
{
	check_body("{}", NULL, "{}", NULL);
	check_body("{ \"_id\" : 1, \"createdAt\":{}, \"lastModified\":[] }", NULL, "{}", NULL);
	check_body("{\"name\":\"a\",\"\\u005fid\":1,\"type\":\"server\"}", NULL,
		   "{\"name\":\"a\",\"type\":\"server\"}", NULL);
	/* Only at the top. */
	check_body("{\"x\":{\"_id\":1,\"createdAt\":2,\"lastModified\":3}}", NULL,
		   "{\"x\":{\"_id\":1,\"createdAt\":2,\"lastModified\":3}}", NULL);
	check_body("{\"server\":{\"systemToken\":\"real\",\"hostURI\":\"h\"}}", NULL,
		   "{\"server\":{\"hostURI\":\"h\"}}", NULL);
	check_body("{\"server\":{\"systemToken\":" MASKED "}}", NULL, "{\"server\":{}}", NULL);
	check_body("{\"server\":{}}", NULL, "{\"server\":{}}", NULL);
	check_body("{\"server\":null}", NULL, "{\"server\":null}", NULL);
	check_body("{\"server\":[{\"systemToken\":1}]}", NULL, "{\"server\":[{\"systemToken\":1}]}",
		   NULL);
	check_body("{\"x\":{\"server\":{\"systemToken\":1}}}", NULL,
		   "{\"x\":{\"server\":{\"systemToken\":1}}}", NULL);
	check_body("{\"systemToken\":1,\"lambda\":{\"systemToken\":1}}", NULL,
		   "{\"systemToken\":1,\"lambda\":{\"systemToken\":1}}", NULL);
}

static void test_body_leaves_out_the_masked_secret(void **state)
{
	check_body("{\"lambda\":{\"secretAccessKey\":" MASKED ",\"a\":1}}", NULL,
		   "{\"lambda\":{\"a\":1}}", NULL);
	check_body("{\"lambda\":{\"secretAccessKey\":\"\\u002a*****\"}}", NULL, "{\"lambda\":{}}",
		   NULL);
	check_body("{\"lambda\":{\"secretAccessKey\":\"new\"}}",
		   "{\"lambda\":{\"secretAccessKey\":" MASKED "}}",
		   "{\"lambda\":{\"secretAccessKey\":\"new\"}}", NULL);
	check_body("{\"lambda\":{\"secretAccessKey\":\"*******\"}}", NULL,
		   "{\"lambda\":{\"secretAccessKey\":\"*******\"}}", NULL);
}

static void test_body_leaves_out_masks_of_the_record(void **state)
{
	static const char record[] = "{\"name\":" MASKED ",\"a\":" MASKED
				     ",\"b\":{\"c\":{\"d\":" MASKED ",\"e\":1}},\"f\":\"x\"}";

	check_body(record, record, "{\"name\":" MASKED ",\"b\":{\"c\":{\"e\":1}},\"f\":\"x\"}",
		   NULL);
	check_body(record, NULL,
		   "{\"name\":" MASKED ",\"a\":" MASKED ",\"b\":{\"c\":{\"d\":" MASKED
		   ",\"e\":1}},\"f\":\"x\"}",
		   NULL);
	/* Another path, another value, or nothing there. */
	check_body("{\"f\":" MASKED ",\"a\":\"new\",\"b\":{\"d\":" MASKED "},\"n\":" MASKED "}",
		   record,
		   "{\"f\":" MASKED ",\"a\":\"new\",\"b\":{\"d\":" MASKED "},\"n\":" MASKED "}",
		   NULL);
	check_body("{\"\\u0061\":\"\\u002a*****\"}", record, "{}", NULL);
	check_body("{\"b\":{\"name\":" MASKED "}}", "{\"b\":{\"name\":" MASKED "}}", "{\"b\":{}}",
		   NULL);
}

static void test_body_and_masks_in_arrays(void **state)
{
	static const char record[] =
		"{\"h\":[{\"k\":\"a\",\"v\":" MASKED "},{\"k\":\"b\",\"v\":" MASKED
		"}],\"s\":[" MASKED ",\"x\"],\"p\":[\"y\"]}";

	/* Untouched elements, however they are written. */
	check_body("{\"h\":[{\"v\":" MASKED ", \"k\":\"a\"},{\"k\":\"\\u0062\",\"v\":" MASKED "}]}",
		   record, "{\"h\":[{\"k\":\"a\"},{\"k\":\"\\u0062\"}]}", NULL);
	check_body("{\"h\":[{\"k\":\"a\",\"v\":" MASKED "},{\"k\":\"c\",\"v\":\"new\"}]}", record,
		   "{\"h\":[{\"k\":\"a\"},{\"k\":\"c\",\"v\":\"new\"}]}", NULL);
	check_body("{\"h\":[{\"k\":\"a\",\"v\":" MASKED "}]}", record, "{\"h\":[{\"k\":\"a\"}]}",
		   NULL);
	check_body("{\"h\":[],\"s\":[\"new\"]}", record, "{\"h\":[],\"s\":[\"new\"]}", NULL);
	/* One that moved or was changed. */
	check_body("{\"h\":[{\"k\":\"b\",\"v\":" MASKED "}]}", record, NULL, "h[0].v");
	check_body("{\"h\":[{\"k\":\"b\",\"v\":" MASKED "},{\"k\":\"a\",\"v\":" MASKED "}]}",
		   record, NULL, "h[0].v, h[1].v");
	check_body("{\"h\":[1,2,{\"k\":[" MASKED "]}]}", record, NULL, "h[2].k[0]");
	/* One that is an element itself. */
	check_body("{\"s\":[" MASKED ",\"x\"]}", record, NULL, "s[0]");
	check_body("{\"s\":[\"x\"," MASKED "]}", record, NULL, "s[1]");
	check_body(record, record, NULL, "s[0]");
	/* The record shows none in this array, or has none. */
	check_body("{\"p\":[" MASKED "],\"q\":[" MASKED "]}", record,
		   "{\"p\":[" MASKED "],\"q\":[" MASKED "]}", NULL);
}

static void test_body_and_masks_in_nested_arrays(void **state)
{
	static const char record[] =
		"{\"a\":{\"b\":[[{\"v\":" MASKED ",\"w\":[{\"x\":" MASKED "},1]}],2]}}";

	check_body(record, record, "{\"a\":{\"b\":[[{\"w\":[{},1]}],2]}}", NULL);
	check_body("{\"a\":{\"b\":[[{\"v\":" MASKED ",\"w\":[{\"x\":" MASKED "},2]}],2]}}", record,
		   NULL, "a.b[0][0].v, a.b[0][0].w[0].x");
}

static void test_body_of_a_record(void **state)
{
	static const char record[] =
		"{\"_id\":\"" ID "\",\"name\":" MASKED ",\"server\":{\"systemToken\":" MASKED "},"
		"\"s\":[" MASKED ",{\"v\":" MASKED "}],\"x\":" MASKED ",\"b\":\"\xff\"}";
	CLEANUP(buf_done) struct buf out = BUF_INIT(1000);

	assert_int_equal(document_record_body(doc(record), &out), 0);
	assert_string_equal(out.data, "{\"name\":" MASKED ",\"server\":{},\"s\":[" MASKED
				      ",{}],\"b\":\"\xff\"}");
}

static void test_body_keeps_tokens_and_order(void **state)
{
	check_body(
		"{ \"z\\/\" : 1.10 ,\n\t\"a\": [ 9007199254740993, -0, 1E+05 ],\n"
		"\"b\":\"\\u00e9\\/\\u0000\", \"c\" : { } , \"d\":[ [ ] , { \"x\" : null } ] }\n",
		"{}",
		"{\"z\\/\":1.10,\"a\":[9007199254740993,-0,1E+05],"
		"\"b\":\"\\u00e9\\/\\u0000\",\"c\":{},\"d\":[[],{\"x\":null}]}",
		NULL);
}

static void test_body_errors(void **state)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(8);
	struct document none = { NULL, 0 };
	struct value_paths masks = { .n = 5 };

	assert_int_equal(document_body(doc("[]"), none, &out, &masks), -EBADMSG);
	assert_int_equal(masks.n, 0);
	assert_int_equal(document_body(doc("{"), none, &out, &masks), -EBADMSG);
	assert_int_equal(document_body(doc("{}"), doc("7"), &out, &masks), -EBADMSG);
	assert_int_equal(document_body(doc("{\"a\":12}"), none, &out, &masks), 0);
	assert_int_equal(document_body(doc("{\"a\":12}"), none, &out, &masks), -EFBIG);
	assert_string_equal(out.data, "{\"a\":12}");
}

/* ---- comparing ---- */

static void check_differing(const char *a, const char *b, const char *fields)
{
	struct document x = exact(doc(a)), y = exact(doc(b));
	struct value_paths paths;
	char line[256];
	bool same;

	assert_int_equal(document_differing(x, y, &paths), 0);
	value_paths_text(&paths, line, sizeof(line));
	assert_string_equal(line, fields);
	assert_int_equal(document_equal(x, y, &same), 0);
	assert_int_equal(same, paths.n == 0);
	done(x);
	done(y);
}

static void test_differing(void **state)
{
	check_differing("{}", "{}", "");
	check_differing("{\"a\":1,\"b\":{\"c\":\"x\"}}", "{\"b\":{\"c\":\"\\u0078\"},\"a\":1.0}",
			"");
	check_differing("{\"a\":1}", "{\"a\":2}", "a");
	check_differing("{\"a\":1}", "{}", "a");
	check_differing("{}", "{\"a\":1}", "a");
	check_differing("{\"a\":1,\"c\":1}", "{\"b\":1,\"c\":2}", "a, c, b");
	check_differing("{\"s\":{\"h\":1,\"i\":[1]}}", "{\"s\":{\"h\":1,\"i\":[2]}}", "s.i");
	check_differing("{\"s\":{\"h\":1}}", "{\"s\":{}}", "s.h");
	check_differing("{\"s\":{}}", "{\"s\":{\"h\":1}}", "s.h");
	check_differing("{\"s\":{\"h\":1}}", "{}", "s");
	check_differing("{\"s\":{}}", "{\"s\":[]}", "s");
	check_differing("{\"s\":{\"t\":{\"u\":{\"v\":1,\"w\":2}}}}",
			"{\"s\":{\"t\":{\"u\":{\"w\":3}}}}", "s.t.u.v, s.t.u.w");
}

static void test_differing_counts_beyond_the_list(void **state)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT(1000);
	struct value_paths paths;

	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(buf_printf(&text, "%s\"f%u\":1", i ? "," : "{", i), 0);
	assert_int_equal(buf_puts(&text, "}"), 0);
	assert_int_equal(document_differing(doc(text.data), doc("{}"), &paths), 0);
	assert_int_equal(paths.n, VALUE_PATHS_MAX);
	assert_int_equal(paths.more, 4);
	assert_string_equal(paths.path[15], "f15");
}

static void test_compare_errors(void **state)
{
	struct value_paths paths;
	bool same;

	assert_int_equal(document_equal(doc("{}"), doc("[]"), &same), -EBADMSG);
	assert_int_equal(document_equal(doc(""), doc("{}"), &same), -EBADMSG);
	assert_int_equal(document_differing(doc("{}"), doc("1"), &paths), -EBADMSG);
	assert_int_equal(document_not_stored(doc("{}"), doc("{"), &paths), -EBADMSG);
}

static void check_not_stored(const char *sent, const char *answer, const char *fields)
{
	struct document x = exact(doc(sent)), y = exact(doc(answer));
	struct value_paths paths;
	char line[256];

	assert_int_equal(document_not_stored(x, y, &paths), 0);
	value_paths_text(&paths, line, sizeof(line));
	assert_string_equal(line, fields);
	done(x);
	done(y);
}

static void test_not_stored(void **state)
{
	check_not_stored("{\"a\":1}", "{\"_id\":\"" ID "\",\"a\":1.0,\"b\":2}", "");
	check_not_stored("{\"a\":1,\"b\":{\"c\":1,\"d\":2}}", "{\"b\":{\"c\":2}}", "a, b.c, b.d");
	check_not_stored("{\"lambda\":{\"secretAccessKey\":\"real\"}}",
			 "{\"lambda\":{\"secretAccessKey\":" MASKED "}}", "");
	check_not_stored("{\"lambda\":{\"secretAccessKey\":\"real\"}}", "{\"lambda\":{}}",
			 "lambda.secretAccessKey");
	check_not_stored("{\"name\":\"x\"}", "{\"name\":" MASKED "}", "name");
	check_not_stored("{\"h\":[{\"v\":\"real\"}]}", "{\"h\":[{\"v\":" MASKED ",\"_id\":1}]}",
			 "");
	check_not_stored("{\"h\":[{\"v\":\"real\"}]}", "{\"h\":[{}]}", "h");
	check_not_stored("{\"h\":[1,2]}", "{\"h\":[1,2,3]}", "h");
	check_not_stored("{\"h\":[1,2]}", "{\"h\":[2,1]}", "h");
	check_not_stored("{\"h\":{}}", "{\"h\":null}", "h");
	check_not_stored("{\"h\":\"A\"}", "{\"h\":\"a\"}", "h");
}

/* ---- another name ---- */

static void check_name(const char *text, const char *name, size_t len, const char *result)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(DOCUMENT_MAX_BYTES);
	struct document d = exact(doc(text));
	struct document_facts facts;
	struct json_error e;

	assert_int_equal(document_with_name(d, name, len, &out), 0);
	assert_string_equal(out.data, result);
	assert_int_equal(document_check(doc(result), &e), 0);
	assert_int_equal(document_facts(doc(result), &facts), 0);
	assert_int_equal(facts.name.len, len);
	assert_memory_equal(facts.name.data, name, len);
	document_facts_done(&facts);
	done(d);
}

static void test_with_name(void **state)
{
	check_name("{\n  \"_id\": 1,\n  \"name\" : \"old\" ,\n  \"x\": 1.10\n}\n", "new", 3,
		   "{\n  \"_id\": 1,\n  \"name\" : \"new\" ,\n  \"x\": 1.10\n}\n");
	check_name("{\"x\":{\"name\":1},\"n\\u0061me\":{\"a\":[1]}}", "a\"\\\n", 4,
		   "{\"x\":{\"name\":1},\"n\\u0061me\":\"a\\\"\\\\\\n\"}");
	check_name("{\"name\":null}", "", 0, "{\"name\":\"\"}");
	check_name("{\"name\":1}", "a\0b", 3, "{\"name\":\"a\\u0000b\"}");
	check_name("{\"name\":\"\"}", "caf\xc3\xa9", 5, "{\"name\":\"caf\xc3\xa9\"}");
}

static void test_with_the_name_it_has(void **state)
{
	check_name("{ \"name\":\"\\u0061\\/\" }", "a/", 2, "{ \"name\":\"\\u0061\\/\" }");
}

static void test_with_a_first_name(void **state)
{
	check_name("{}", "x", 1, "{\"name\":\"x\"}");
	check_name(" { }\n", "x", 1, " {\"name\":\"x\" }\n");
	check_name("{\"a\":1}", "x", 1, "{\"name\":\"x\",\"a\":1}");
	check_name("{\n  \"a\": 1\n}\n", "x", 1, "{\n  \"name\": \"x\",\n  \"a\": 1\n}\n");
	check_name("{\"server\":{\"name\":\"y\"}}", "x", 1,
		   "{\"name\":\"x\",\"server\":{\"name\":\"y\"}}");
}

static void test_with_name_errors(void **state)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(12);

	assert_int_equal(buf_puts(&out, "k"), 0);
	assert_int_equal(document_with_name(doc("{}"), "\xff", 1, &out), -EILSEQ);
	assert_int_equal(document_with_name(doc("[]"), "x", 1, &out), -EBADMSG);
	assert_int_equal(document_with_name(doc("{}"), "xy", 2, &out), -EFBIG);
	assert_string_equal(out.data, "k");
	/* A record's own name may be what JSON cannot say; it stays. */
	assert_int_equal(document_with_name(doc("{\"name\":\"\xff\"}"), "\xff", 1, &out), -EFBIG);
}

static void test_with_name_keeps_the_limit(void **state)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(2 * DOCUMENT_MAX_BYTES);
	struct document d = { .text = malloc(DOCUMENT_MAX_BYTES), .len = DOCUMENT_MAX_BYTES };

	assert_non_null(d.text);
	memset((char *)d.text, ' ', d.len);
	memcpy((char *)d.text, "{\"name\":\"x\"}", 12);
	assert_int_equal(document_with_name(d, "y", 1, &out), 0);
	assert_int_equal(out.len, d.len);
	assert_int_equal(document_with_name(d, "yz", 2, &out), -EFBIG);
	assert_int_equal(out.len, d.len);
	done(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check_takes),
		cmocka_unit_test(test_check_refuses),
		cmocka_unit_test(test_each_beginning_is_incomplete),
		cmocka_unit_test(test_check_bounds),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_facts_of_a_name_with_a_nul),
		cmocka_unit_test(test_body_leaves_out_what_is_read_only),
		cmocka_unit_test(test_body_leaves_out_the_masked_secret),
		cmocka_unit_test(test_body_leaves_out_masks_of_the_record),
		cmocka_unit_test(test_body_and_masks_in_arrays),
		cmocka_unit_test(test_body_and_masks_in_nested_arrays),
		cmocka_unit_test(test_body_of_a_record),
		cmocka_unit_test(test_body_keeps_tokens_and_order),
		cmocka_unit_test(test_body_errors),
		cmocka_unit_test(test_differing),
		cmocka_unit_test(test_differing_counts_beyond_the_list),
		cmocka_unit_test(test_compare_errors),
		cmocka_unit_test(test_not_stored),
		cmocka_unit_test(test_with_name),
		cmocka_unit_test(test_with_the_name_it_has),
		cmocka_unit_test(test_with_a_first_name),
		cmocka_unit_test(test_with_name_errors),
		cmocka_unit_test(test_with_name_keeps_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
