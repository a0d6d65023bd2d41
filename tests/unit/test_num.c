/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		int r;
		uint64_t n;
	} rows[] = {
		{ "0", 0, 0, 0 },
		{ "007", 10, 0, 7 },
		{ "10", 10, 0, 10 },
		{ "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, -ERANGE },
		{ "99999999999999999999999", UINT64_MAX, -ERANGE },
		{ "1", 0, -ERANGE },
		{ "9", 5, -ERANGE },
		{ "11", 10, -ERANGE },
		{ "100", 10, -ERANGE },
		{ "", 10, -EINVAL },
		{ "-1", 10, -EINVAL },
		{ "+1", 10, -EINVAL },
		{ " 1", 10, -EINVAL },
		{ "1 ", 10, -EINVAL },
		{ "0x1", 10, -EINVAL },
		{ "999x", 10, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t n = 4711;

		assert_int_equal(num_parse_u64(rows[i].text, strlen(rows[i].text), rows[i].max, &n),
				 rows[i].r);
		assert_true(n == (rows[i].r == 0 ? rows[i].n : 4711));
	}
}

static void test_length(void **state)
{
	uint64_t n;

	assert_int_equal(num_parse_u64("123x", 3, 1000, &n), 0);
	assert_int_equal(n, 123);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
