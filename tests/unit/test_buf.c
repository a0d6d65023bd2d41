/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/json.h"

static void test_append(void **state)
{
	struct buf b = BUF_INIT(1000);

	assert_null(b.data);
	assert_int_equal(buf_append(&b, "", 0), 0);
	assert_string_equal(b.data, "");
	assert_int_equal(buf_append(&b, "a\0b", 3), 0);
	assert_int_equal(buf_puts(&b, "cd"), 0);
	assert_int_equal(b.len, 5);
	assert_memory_equal(b.data, "a\0bcd", 6);
	assert_int_equal(buf_printf(&b, "-%d-%s", 7, "x"), 0);
	assert_memory_equal(b.data, "a\0bcd-7-x", 10);
	buf_done(&b);
	assert_null(b.data);
	assert_int_equal(b.len, 0);
	assert_int_equal(buf_puts(&b, "again"), 0);
	assert_string_equal(b.data, "again");
	buf_done(&b);
}

/* At the maximum, and one past it, by each way of appending. */
static void test_maximum(void **state)
{
	struct buf b = BUF_INIT(4);

	assert_int_equal(buf_append(&b, "12345", 5), -EMSGSIZE);
	assert_null(b.data);
	assert_int_equal(buf_puts(&b, "123"), 0);
	assert_int_equal(buf_puts(&b, "45"), -EMSGSIZE);
	assert_int_equal(buf_printf(&b, "%d", 45), -EMSGSIZE);
	assert_int_equal(buf_append(&b, "x", SIZE_MAX), -EMSGSIZE);
	assert_string_equal(b.data, "123");
	assert_int_equal(buf_printf(&b, "%d", 4), 0);
	assert_string_equal(b.data, "1234");
	assert_int_equal(buf_append(&b, "", 0), 0);
	assert_int_equal(buf_append(&b, "5", 1), -EMSGSIZE);
	assert_string_equal(b.data, "1234");
	buf_done(&b);

	struct buf none = BUF_INIT(0);
	assert_int_equal(buf_puts(&none, "x"), -EMSGSIZE);
	assert_int_equal(buf_puts(&none, ""), 0);
	assert_string_equal(none.data, "");
	buf_done(&none);
}

static void test_growth(void **state)
{
	struct buf b = BUF_INIT(100000);

	for (int i = 0; i < 100000; i++)
		assert_int_equal(buf_append(&b, (char[]){ (char)('a' + i % 26) }, 1), 0);
	assert_int_equal(b.len, 100000);
	assert_true(b.cap <= 100001);
	for (size_t i = 0; i < b.len; i++)
		assert_int_equal(b.data[i], 'a' + (int)(i % 26));
	assert_int_equal(b.data[b.len], '\0');
	buf_wipe(&b);
	assert_null(b.data);
	buf_wipe(&b);
}

static void test_steal(void **state)
{
	struct buf b = BUF_INIT(100);

	assert_int_equal(buf_puts(&b, "mine"), 0);
	char *s = buf_steal(&b);
	assert_string_equal(s, "mine");
	assert_null(b.data);
	assert_int_equal(b.len, 0);
	free(s);
	assert_int_equal(buf_puts(&b, "x"), 0);
	buf_done(&b);
}

static void test_json_string(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *json;
	} cases[] = {
		{ "", 0, "\"\"" },
		{ "a\"b\\c/", 6, "\"a\\\"b\\\\c/\"" },
		{ "\n\t\r\b", 4, "\"\\n\\t\\u000d\\u0008\"" },
		{ "a\0b\x1f\x7f", 5, "\"a\\u0000b\\u001f\\u007f\"" },
		{ "\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\"" },
		{ "\xff\xed\xa0\x80\xe2\x82", 6, "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf b = BUF_INIT(1000);
		struct json_error e;

		assert_int_equal(buf_json_string(&b, cases[i].bytes, cases[i].len), 0);
		assert_string_equal(b.data, cases[i].json);
		assert_int_equal(json_check(b.data, b.len, 0, &e), 0);
		buf_done(&b);
	}
}

/* Whatever is asked for and fails: what was there before is all there is. */
static void test_a_failed_json_string_changes_nothing(void **state)
{
	for (size_t max = 3; max < 14; max++) {
		struct buf b = BUF_INIT(max);

		assert_int_equal(buf_puts(&b, "old"), 0);
		assert_int_equal(buf_json_string(&b, "a\x01\xc3\xa9", 4), -EMSGSIZE);
		assert_int_equal(b.len, 3);
		assert_string_equal(b.data, "old");
		buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_maximum),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_steal),
		cmocka_unit_test(test_json_string),
		cmocka_unit_test(test_a_failed_json_string_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
