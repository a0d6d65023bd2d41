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

#include "api/date.h"

static int parse(const char *text, int64_t *ret_ms)
{
	size_t len = strlen(text);
	char *exact = malloc(len ? len : 1);

	assert_non_null(exact);
	memcpy(exact, text, len);
	int r = date_parse(exact, len, ret_ms);
	free(exact);
	return r;
}

static void test_good(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1970-01-01T00:00:00.001Z", 1 },
		{ "1969-12-31T23:59:59.999Z", -1 },
		{ "2024-02-29T12:34:56.789Z", 1709210096789 },
		{ "2024-02-29t12:34:56.7z", 1709210096700 },
		{ "2024-02-29T12:34:56.78912345678901234567890Z", 1709210096789 },
		{ "2024-02-29T12:34:56+00:00", 1709210096000 },
		{ "2024-02-29T12:34:56-00:00", 1709210096000 },
		{ "2024-02-29T14:04:56+01:30", 1709210096000 },
		{ "2024-02-28T22:34:56-14:00", 1709210096000 },
		{ "2016-12-31T23:59:60Z", 1483228800000 },
		{ "2000-02-29T00:00:00Z", 951782400000 },
		{ "2038-01-19T03:14:08Z", 2147483648000 },
		{ "9999-12-31T23:59:59.999Z", 253402300799999 },
		{ "0000-01-01T00:00:00Z", -62167219200000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t ms;

		if (parse(rows[i].text, &ms) != 0 || ms != rows[i].ms)
			fail_msg("%s", rows[i].text);
	}
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"", "2024", "2024-02-29", "2024-02-29T12:34", "2024-02-29T12:34:56",
		"2024-02-29 12:34:56Z", "2024-02-29T12:34:56ZZ", "2024-02-29T12:34:56Z ",
		" 2024-02-29T12:34:56Z", "2024-02-29T12:34:56.Z", "2024-02-29T12:34:56,5Z",
		"2023-02-29T12:34:56Z", "1900-02-29T12:34:56Z", "2024-02-30T12:34:56Z",
		"2024-04-31T12:34:56Z", "2024-00-10T12:34:56Z", "2024-13-10T12:34:56Z",
		"2024-01-00T12:34:56Z", "2024-01-32T12:34:56Z", "2024-01-01T24:00:00Z",
		"2024-01-01T12:60:00Z", "2024-01-01T12:00:61Z", "24-01-01T12:00:00Z",
		"+024-01-01T12:00:00Z", "12024-01-01T12:00:00Z", "2024-1-1T12:00:00Z",
		"2024-01-01T12:00:00+1:00", "2024-01-01T12:00:00+0100", "2024-01-01T12:00:00+24:00",
		"2024-01-01T12:00:00+01:60", "2024-01-01T12:00:00+01", "2024/01/01T12:00:00Z",
		"Thu, 29 Feb 2024 12:34:56 GMT", "1709210096789", "2024-01-01T12:00:00.5+",
		"2024-01-01T1\xc2\xb2:00:00Z",
	};
	int64_t ms = 7;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (parse(bad[i], &ms) != -EINVAL)
			fail_msg("%s", bad[i]);
	}
	assert_int_equal(ms, 7);
}

/* Every 11 days or so from 0001 to 9999, against the C library. */
static void test_against_timegm(void **state)
{
	for (int64_t t = -62135596800; t < 253402300800; t += 1000003) {
		time_t seconds = (time_t)t;
		struct tm tm;
		char text[40];
		int64_t ms;

		assert_non_null(gmtime_r(&seconds, &tm));
		snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
			 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
		if (date_parse(text, strlen(text), &ms) != 0 || ms != t * 1000)
			fail_msg("%s", text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_against_timegm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
