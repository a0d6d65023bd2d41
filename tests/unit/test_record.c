/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/record.h"
#include "base/buf.h"
#include "base/json.h"

#define ID         "\"_id\":\"507f1f77bcf86cd799439011\""
#define ID_TIME_MS 1350508407000

static int parse(const char *json, size_t len, struct record **ret, char why[100])
{
	char *exact = malloc(len ? len : 1);

	assert_non_null(exact);
	memcpy(exact, json, len);
	memset(why, '!', 100);
	int r = record_parse(exact, len, ret, why, 100);
	free(exact);
	if (r < 0) /* a line for people: ended, and of no one's value */
		assert_non_null(memchr(why, '\0', 100));
	return r;
}

static struct record *good(const char *json)
{
	struct record *rec = NULL;
	char why[100];

	if (parse(json, strlen(json), &rec, why) != 0)
		fail_msg("%s: %s", json, why);
	return rec;
}

static void test_all_fields(void **state)
{
	static const char json[] =
		"{" ID
		",\"name\":\"Billing \\u00e9\",\"type\":\"server\",\"framework\":\"twoDotZero\","
		"\"server\":{\"systemToken\":\"******\",\"hostURI\":\"https:\\/\\/"
		"x\",\"ipRanges\":[]},"
		"\"createdAt\":\"2024-02-29T12:34:56.789Z\",\"lastModified\":\"2024-02-29T12:34:57+"
		"00:00\","
		"\"big\":9007199254740993}";
	struct record *rec = good(json);
	struct stack_id id;

	assert_int_equal(stack_id_parse("507f1f77bcf86cd799439011", 24, &id), 0);
	assert_int_equal(stack_id_compare(&rec->id, &id), 0);
	assert_int_equal(rec->type, STACK_SERVER);
	assert_int_equal(rec->created_ms, 1709210096789);
	assert_int_equal(rec->modified_ms, 1709210097000);
	assert_int_equal(rec->name_len, 10);
	assert_string_equal(rec->name, "Billing \xc3\xa9");
	assert_int_equal(rec->text_len, strlen(rec->text));
	assert_string_equal(rec->text, "{\n"
				       "  \"_id\": \"507f1f77bcf86cd799439011\",\n"
				       "  \"name\": \"Billing \\u00e9\",\n"
				       "  \"type\": \"server\",\n"
				       "  \"framework\": \"twoDotZero\",\n"
				       "  \"server\": {\n"
				       "    \"systemToken\": \"******\",\n"
				       "    \"hostURI\": \"https:\\/\\/x\",\n"
				       "    \"ipRanges\": []\n"
				       "  },\n"
				       "  \"createdAt\": \"2024-02-29T12:34:56.789Z\",\n"
				       "  \"lastModified\": \"2024-02-29T12:34:57+00:00\",\n"
				       "  \"big\": 9007199254740993\n"
				       "}\n");
	assert_ptr_equal(record_ref(rec), rec);
	record_unref(rec);
	record_unref(rec);
	record_unref(NULL);
	assert_null(record_ref(NULL));
}

static void test_what_is_missing(void **state)
{
	struct record *rec = good("{" ID "}");

	assert_int_equal(rec->type, STACK_OTHER);
	assert_string_equal(rec->name, "");
	assert_int_equal(rec->name_len, 0);
	assert_int_equal(rec->created_ms, ID_TIME_MS);
	assert_int_equal(rec->modified_ms, ID_TIME_MS);
	record_unref(rec);

	rec = good("{" ID ",\"name\":null,\"type\":null,\"createdAt\":null,\"lastModified\":null,"
		   "\"server\":null,\"lambda\":null}");
	assert_int_equal(rec->type, STACK_OTHER);
	assert_int_equal(rec->modified_ms, ID_TIME_MS);
	record_unref(rec);

	rec = good("{" ID ",\"createdAt\":\"2024-02-29T12:34:56Z\",\"lastModified\":\"soon\"}");
	assert_int_equal(rec->created_ms, 1709210096000);
	assert_int_equal(rec->modified_ms, 1709210096000);
	record_unref(rec);

	rec = good("{" ID ",\"createdAt\":\"\",\"lastModified\":\"2024-02-29T12:34:56Z\"}");
	assert_int_equal(rec->created_ms, ID_TIME_MS);
	assert_int_equal(rec->modified_ms, 1709210096000);
	record_unref(rec);
}

static void test_types(void **state)
{
	static const struct {
		const char *json;
		enum stack_type type;
		const char *name;
	} rows[] = {
		{ "{" ID ",\"type\":\"server\"}", STACK_SERVER, "server" },
		{ "{" ID ",\"type\":\"l\\u0061mbda\",\"lambda\":{}}", STACK_LAMBDA, "lambda" },
		{ "{" ID ",\"type\":\"quantum\"}", STACK_OTHER, "other" },
		{ "{" ID ",\"type\":\"other\"}", STACK_OTHER, "other" },
		{ "{" ID ",\"type\":\"Server\"}", STACK_OTHER, "other" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct record *rec = good(rows[i].json);

		assert_int_equal(rec->type, rows[i].type);
		assert_string_equal(stack_type_name(rec->type), rows[i].name);
		record_unref(rec);
	}
}

/* A name is bytes; what a path cannot carry is the tree's business. */
static void test_odd_names(void **state)
{
	struct record *rec = good("{" ID ",\"name\":\"a\\u0000\\/\xff\\ud800\\n\"}");

	assert_int_equal(rec->name_len, 8);
	assert_memory_equal(rec->name, "a\0/\xff\xed\xa0\x80\n", 9);
	record_unref(rec);

	rec = good("{" ID ",\"other\":{\"name\":1,\"_id\":2},\"name\":\"\"}");
	assert_string_equal(rec->name, "");
	record_unref(rec);
}

static void test_refused(void **state)
{
	static const struct {
		const char *json, *why;
	} rows[] = {
		{ "", "not JSON: the text ends too early at line 1, column 1" },
		{ "{" ID, "not JSON: the text ends too early at line 1, column 34" },
		{ "<html>\n<body>502 Bad Gateway</body></html>",
		  "not JSON: a value is missing at line 1, column 1" },
		{ "null", "not a JSON object" },
		{ "[]", "not a JSON object" },
		{ "\"507f1f77bcf86cd799439011\"", "not a JSON object" },
		{ "{}", "_id is missing" },
		{ "{\"id\":\"507f1f77bcf86cd799439011\"}", "_id is missing" },
		{ "{\"a\":{" ID "}}", "_id is missing" },
		{ "{\"_id\":null}", "_id is not a string of 24 hex digits" },
		{ "{\"_id\":507}", "_id is not a string of 24 hex digits" },
		{ "{\"_id\":\"\"}", "_id is not a string of 24 hex digits" },
		{ "{\"_id\":{\"$oid\":\"507f1f77bcf86cd799439011\"}}",
		  "_id is not a string of 24 hex digits" },
		{ "{\"_id\":\"../../../../../etc/passw\"}", "_id is not a string of 24 hex digits" },
		{ "{\"_id\":\"507f1f77bcf86cd799439011/systemToken\"}",
		  "_id is not a string of 24 hex digits" },
		{ "{" ID ",\"name\":7}", "name is not a string" },
		{ "{" ID ",\"name\":[\"x\"]}", "name is not a string" },
		{ "{" ID ",\"type\":true}", "type is not a string" },
		{ "{" ID ",\"createdAt\":1709210096789}", "createdAt is not a string" },
		{ "{" ID ",\"lastModified\":{}}", "lastModified is not a string" },
		{ "{" ID ",\"server\":[]}", "server is not an object" },
		{ "{" ID ",\"server\":\"******\"}", "server is not an object" },
		{ "{" ID ",\"lambda\":false}", "lambda is not an object" },
		{ "{" ID "," ID "}", "not JSON: a key twice in one object at line 1, column 35" },
		{ "{" ID ",\"x\":[{\"a\":1,\"\\u0061\":2}]}",
		  "not JSON: a key twice in one object at line 1, column 47" },
		{ "{" ID "} x", "not JSON: more text behind the value at line 1, column 36" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct record *rec = NULL;
		char why[100];

		assert_int_equal(parse(rows[i].json, strlen(rows[i].json), &rec, why), -EBADMSG);
		assert_string_equal(why, rows[i].why);
		assert_null(rec);
	}
}

static void test_depth(void **state)
{
	for (int depth = JSON_MAX_DEPTH - 1; depth <= JSON_MAX_DEPTH; depth++) {
		struct buf json = BUF_INIT(10000);
		struct record *rec = NULL;
		char why[100];

		assert_int_equal(buf_puts(&json, "{" ID ",\"x\":"), 0);
		for (int i = 0; i < depth; i++)
			assert_int_equal(buf_puts(&json, "["), 0);
		for (int i = 0; i < depth; i++)
			assert_int_equal(buf_puts(&json, "]"), 0);
		assert_int_equal(buf_puts(&json, "}"), 0);
		int r = parse(json.data, json.len, &rec, why);
		assert_int_equal(r, depth < JSON_MAX_DEPTH ? 0 : -EBADMSG);
		record_unref(rec);
		buf_done(&json);
	}
}

static int parse_long(size_t filler, size_t n_elements)
{
	struct buf json = BUF_INIT(8 * RECORD_MAX_BYTES);
	struct record *rec = NULL;
	char why[100];
	char *text = calloc(1, filler + 1);

	assert_non_null(text);
	memset(text, 'x', filler);
	assert_int_equal(buf_printf(&json, "{" ID ",\"f\":\"%s\",\"e\":[0", text), 0);
	for (size_t i = 0; i < n_elements; i++)
		assert_int_equal(buf_puts(&json, ",0"), 0);
	assert_int_equal(buf_puts(&json, "]}"), 0);
	int r = parse(json.data, json.len, &rec, why);
	if (r == 0)
		assert_true(rec->text_len <= RECORD_MAX_BYTES);
	if (r == -EFBIG)
		assert_string_equal(why, "larger than 1048576 bytes");
	record_unref(rec);
	buf_done(&json);
	free(text);
	return r;
}

/* As sent, and as laid out: either may be what is too large. */
static void test_size(void **state)
{
	size_t rest = strlen("{\n  \"_id\": \"507f1f77bcf86cd799439011\",\n  \"f\": \"\",\n"
			     "  \"e\": [\n    0\n  ]\n}\n");

	assert_int_equal(parse_long(RECORD_MAX_BYTES - rest, 0), 0);
	assert_int_equal(parse_long(RECORD_MAX_BYTES - rest + 1, 0), -EFBIG);
	assert_int_equal(parse_long(3 * RECORD_MAX_BYTES, 0), -EFBIG);
	assert_int_equal(parse_long(0, 100000), 0);
	assert_int_equal(parse_long(0, 200000), -EFBIG);
}

/* A caller's small buffer for why is respected. */
static void test_short_why(void **state)
{
	struct record *rec;
	char why[8] = "1234567";

	assert_int_equal(record_parse("{}", 2, &rec, why, 4), -EBADMSG);
	assert_memory_equal(why,
			    "_id\0"
			    "567",
			    8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_fields),
		cmocka_unit_test(test_what_is_missing),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_odd_names),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_short_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
