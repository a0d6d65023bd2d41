/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "draft/scrub.h"

static struct document doc(const char *text)
{
	return (struct document){ text, strlen(text) };
}

static void check(const char *body, const char *message, const char *result)
{
	char text[256];

	snprintf(text, sizeof(text), "%s", message);
	scrub_message(doc(body), text, sizeof(text));
	assert_string_equal(text, result);
}

static void test_secret_names(void **state)
{
	static const char *const secret[] = {
		"secretAccessKey", "systemToken", "clientSecret", "PASSWORD",  "dbPassword2",
		"apikey",          "Key",         "to\\u006ben",  "x-Token-y",
	};
	static const char *const open[] = {
		"accessKeyId", "ACCESSKEYID", "name", "hostURI", "passwor", "ke", "",
		"secre",       "tok en",
	};
	char body[256];

	for (size_t i = 0; i < ARRAY_SIZE(secret); i++) {
		snprintf(body, sizeof(body), "{\"lambda\":{\"%s\":\"canary\"}}", secret[i]);
		check(body, "the value canary is wrong", "the value ****** is wrong");
	}
	for (size_t i = 0; i < ARRAY_SIZE(open); i++) {
		snprintf(body, sizeof(body), "{\"lambda\":{\"%s\":\"canary\"}}", open[i]);
		check(body, "the value canary is wrong", "the value canary is wrong");
	}
}

static void test_places(void **state)
{
	static const char body[] =
		"{\"server\":{\"systemToken\":\"abcd\"},\"other\":[{\"pin\":\"open\","
		"\"password\":\"efgh\"}],\"keys\":[\"ijkl\",[\"mnop\"]],\"token\":{\"value\":"
		"\"qrst\",\"accessKeyId\":\"id\"},\"passwordNumber\":90125,\"secretFlag\":true}";

	check(body, "abcd efgh ijkl mnop qrst 90125", "****** ****** ****** ****** ****** ******");
	check(body, "open id true", "open id true");
	check(body, "abcdabcd: xabcdx", "******: x******x");
	check(body, "", "");
	check("{}", "as it was", "as it was");
}

static void test_forms(void **state)
{
	static const char body[] = "{\"key\":\"a\\\"b\\u00e9\\/\\n\"}";

	check(body, "raw a\"b\xc3\xa9/\n.", "raw ******.");
	check(body, "as written a\\\"b\\u00e9\\/\\n.", "as written ******.");
	check(body, "as others write a\\\"b\xc3\xa9/\\n.", "as others write ******.");
	check(body, "cleaned a\"b\xc3\xa9/ .", "cleaned ******.");
	check("{\"key\":\"ab\\u0000cd\"}", "as C has it: ab.", "as C has it: ******.");
}

static void test_short_and_overlapping(void **state)
{
	check("{\"key\":\"x\"}", "max x", "ma****** ******");
	check("{\"key\":\"\"}", "nothing", "nothing");
	check("{\"key\":\"abc\",\"token\":\"abcdef\"}", "abcdef abc", "****** ******");
	check("{\"key\":\"abcd\",\"token\":\"cdef\"}", "abcdef", "******");
	check("{\"key\":\"aa\"}", "aaaaa", "******");
	check("{\"key\":\"******\"}", "shown as ******", "shown as ******");
}

/* A message as long as its room may have been cut in the middle of a secret. */
static void test_cut_messages(void **state)
{
	char message[32];

	for (size_t shown = 1; shown < 12; shown++) {
		memset(message, '.', sizeof(message) - 1);
		message[sizeof(message) - 1] = '\0';
		memcpy(message + sizeof(message) - 1 - shown, "secretcanary", shown);
		scrub_message(doc("{\"key\":\"secretcanary\"}"), message, sizeof(message));
		assert_null(strstr(message, "s"));
		assert_true(strlen(message) < sizeof(message));
		assert_memory_equal(message, ".......", 7);
	}
	snprintf(message, sizeof(message), "ends with secret");
	scrub_message(doc("{\"key\":\"secretcanary\"}"), message, sizeof(message));
	assert_string_equal(message, "ends with secret");
}

static void test_longer_result_is_cut(void **state)
{
	char message[12] = "a a a a";

	scrub_message(doc("{\"key\":\"a\"}"), message, sizeof(message));
	assert_string_equal(message, "****** ****");
	char one[1] = "";
	scrub_message(doc("{\"key\":\"a\"}"), one, sizeof(one));
	assert_string_equal(one, "");
}

static void test_fails_safe(void **state)
{
	check("{", "a canary", "******");
	check("", "a canary", "******");
	check("{", "", "");
}

static void test_error(void **state)
{
	struct api_error e = { .err = -EBADMSG,
			       .status = 422,
			       .call_no = 7,
			       .code = "bad_canary",
			       .message = "canary is not long enough",
			       .field = "lambda.canary" };

	scrub_error(doc("{\"lambda\":{\"secretAccessKey\":\"canary\"}}"), &e);
	assert_string_equal(e.code, "bad_******");
	assert_string_equal(e.message, "****** is not long enough");
	assert_string_equal(e.field, "lambda.******");
	assert_int_equal(e.err, -EBADMSG);
	assert_int_equal(e.status, 422);
	assert_int_equal(e.call_no, 7);
}

static void test_many_and_long_secrets(void **state)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT(DOCUMENT_MAX_BYTES);
	struct api_error e = { .code = "c" };

	memset(e.message, 'm', sizeof(e.message) - 1);
	for (unsigned i = 0; i < 50000; i++)
		assert_int_equal(buf_printf(&body, "%s\"key%u\":\"%u\"", i ? "," : "{", i, i), 0);
	assert_int_equal(buf_puts(&body, "}"), 0);
	scrub_error((struct document){ body.data, body.len }, &e);
	assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
	buf_cut(&body, 0);
	assert_int_equal(buf_puts(&body, "{\"key\":\""), 0);
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(buf_puts(&body, "m\\u0001"), 0);
	assert_int_equal(buf_puts(&body, "\"}"), 0);
	scrub_error((struct document){ body.data, body.len }, &e);
	assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
	assert_string_equal(e.message + sizeof(e.message) - 3, "m*");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secret_names),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_short_and_overlapping),
		cmocka_unit_test(test_cut_messages),
		cmocka_unit_test(test_longer_result_is_cut),
		cmocka_unit_test(test_fails_safe),
		cmocka_unit_test(test_error),
		cmocka_unit_test(test_many_and_long_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
