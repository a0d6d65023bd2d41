/* SPDX-License-Identifier: MIT */
#include "http/header.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct transport_answer empty_answer(void)
{
	struct transport_answer answer = { .retry_after_ms = -1 };

	answer.link.max_bytes = HEADER_MAX_LINK_BYTES;
	return answer;
}

static int take(struct transport_answer *answer, const char *line)
{
	return header_take(answer, line, strlen(line), 0);
}

static void test_value(void **state)
{
	static const struct {
		const char *line, *value;
	} rows[] = {
		{ "ETag: x\r\n", "x" },
		{ "etag:x\r\n", "x" },
		{ "ETAG: \t x y \t\r\n", "x y" },
		{ "ETag:\r\n", "" },
		{ "ETag:", "" },
		{ "ETag : x\r\n", NULL },
		{ "ETagg: x\r\n", NULL },
		{ " ETag: x\r\n", NULL },
		{ "ETa", NULL },
		{ "ETag", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *value;
		size_t len;
		bool found = header_value(rows[i].line, strlen(rows[i].line), "etag", &value, &len);

		assert_int_equal(found, rows[i].value != NULL);
		if (found) {
			assert_int_equal(len, strlen(rows[i].value));
			assert_memory_equal(value, rows[i].value, len);
		}
	}
}

static void test_etag_forms(void **state)
{
	static const char *const good[] = { "\"\"", "\"abc\"", "W/\"abc\"", "\"\xc3\xa4!#\"" };
	static const char *const bad[] = {
		"",    "abc",     "\"",       "W/",        "W/\"",     "w/\"a\"", "\"a",
		"a\"", "\"a b\"", "\"a\"b\"", "\"a\x7f\"", "\"a\tb\"", "*",       "\"a\", \"b\"",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(header_is_etag(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(header_is_etag(bad[i], strlen(bad[i])));
	assert_false(header_is_etag("\"a\0b\"", 5));
}

static void test_etag(void **state)
{
	struct transport_answer answer = empty_answer();
	char line[400];

	assert_int_equal(take(&answer, "ETag: W/\"1\"\r\n"), 0);
	assert_string_equal(answer.etag, "W/\"1\"");
	assert_int_equal(take(&answer, "ETag: \"2\"\r\n"), 0); /* which one? none */
	assert_string_equal(answer.etag, "");

	header_reset(&answer);
	memset(line, 'x', sizeof(line));
	memcpy(line, "ETag: \"", 7);
	memcpy(line + 6 + 254, "\"\r\n", 4);
	assert_int_equal(take(&answer, line), 0);
	assert_int_equal(strlen(answer.etag), 255);
	header_reset(&answer);
	memcpy(line + 6 + 254, "x\"\r\n", 5);
	assert_int_equal(take(&answer, line), 0);
	assert_string_equal(answer.etag, "");
}

static void test_link_is_joined(void **state)
{
	struct transport_answer answer = empty_answer();

	assert_int_equal(take(&answer, "Link: </a>; rel=next\r\n"), 0);
	assert_int_equal(take(&answer, "link: </b>; rel=prev\r\n"), 0);
	assert_string_equal(answer.link.data, "</a>; rel=next, </b>; rel=prev");
	header_reset(&answer);
	assert_int_equal(answer.link.len, 0);
	assert_int_equal(header_take(&answer, "Link: a\0b\r\n", 11, 0), -EIO);
}

/* As old servers send them; half of it would be half a list. */
static void test_link_goes_on_in_the_next_line(void **state)
{
	struct transport_answer answer = empty_answer();

	assert_int_equal(take(&answer, "Link: </a>; rel=prev,\r\n"), 0);
	assert_int_equal(take(&answer, " \t</b>; rel=next \r\n"), 0);
	assert_string_equal(answer.link.data, "</a>; rel=prev, </b>; rel=next");
	assert_int_equal(take(&answer, "X-Other: a\r\n"), 0);
	assert_int_equal(take(&answer, " </c>; rel=next\r\n"), 0);
	assert_string_equal(answer.link.data, "</a>; rel=prev, </b>; rel=next");
	assert_int_equal(take(&answer, "Link: </d>\r\n"), 0);
	assert_int_equal(header_take(&answer, " a\0b\r\n", 6, 0), -EIO);
	header_reset(&answer);
}

/* Never a chain that ends early because its Link did not fit. */
static void test_link_bound(void **state)
{
	struct transport_answer answer = empty_answer();
	char line[1024 + 16];
	int r = 0, n = 0;

	snprintf(line, sizeof(line), "Link: %01022d", 1);
	while ((r = take(&answer, line)) == 0)
		n++;
	assert_int_equal(r, -EMSGSIZE);
	assert_int_equal(n, HEADER_MAX_LINK_BYTES / 1024);
	header_reset(&answer);
}

static void test_content_encoding(void **state)
{
	static const char *const good[] = { "gzip", "GZIP", "x-gzip", "identity" };
	static const char *const bad[] = { "br", "deflate", "zstd", "gzip, gzip", "" };
	char line[64];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct transport_answer answer = empty_answer();

		snprintf(line, sizeof(line), "Content-Encoding: %s\r\n", good[i]);
		assert_int_equal(take(&answer, line), 0);
		assert_int_equal(take(&answer, line), -EIO); /* no chains */
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct transport_answer answer = empty_answer();

		snprintf(line, sizeof(line), "Content-Encoding: %s\r\n", bad[i]);
		assert_int_equal(take(&answer, line), -EIO);
	}
}

static void test_retry_after(void **state)
{
	struct transport_answer answer = empty_answer();

	assert_int_equal(take(&answer, "Retry-After: 3\r\n"), 0);
	assert_int_equal(answer.retry_after_ms, 3000);
	assert_int_equal(take(&answer, "X-Other: 5\r\n"), 0);
	assert_int_equal(answer.retry_after_ms, 3000);
	header_reset(&answer);
	assert_int_equal(answer.retry_after_ms, -1);
}

static void test_visible(void **state)
{
	assert_true(header_is_visible("!~", 2));
	assert_false(header_is_visible("", 0));
	assert_false(header_is_visible("a b", 3));
	assert_false(header_is_visible("a\r", 2));
	assert_false(header_is_visible("a\n", 2));
	assert_false(header_is_visible("a\0", 2));
	assert_false(header_is_visible("a\x7f", 2));
	assert_false(header_is_visible("\xc3\xa4", 2));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_value),       cmocka_unit_test(test_etag_forms),
		cmocka_unit_test(test_etag),        cmocka_unit_test(test_link_is_joined),
		cmocka_unit_test(test_link_goes_on_in_the_next_line),
		cmocka_unit_test(test_link_bound),  cmocka_unit_test(test_content_encoding),
		cmocka_unit_test(test_retry_after), cmocka_unit_test(test_visible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
