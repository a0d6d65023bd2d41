/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/id.h"

static void test_there_and_back(void **state)
{
	struct stack_id id;
	char out[STACK_ID_HEX + 1];

	assert_int_equal(stack_id_parse("507f1F77bcf86cD799439011", 24, &id), 0);
	stack_id_format(&id, out);
	assert_string_equal(out, "507f1f77bcf86cd799439011");
	assert_int_equal(stack_id_time_ms(&id), 1350508407000);
	assert_int_equal(stack_id_parse("ffffffffffffffffffffffff!", 24, &id), 0);
	assert_int_equal(stack_id_time_ms(&id), 4294967295000);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"", "507f1f77bcf86cd79943901", "507f1f77bcf86cd7994390111",
		"507f1f77bcf86cd79943901g", "507f1f77bcf86cd79943901/", " 507f1f77bcf86cd79943901",
		"507f1f77bcf86cd79943901 ", "../../../../../etc/passw", "507f1f77bcf86cd7994390\xc3\xa9",
		"0x7f1f77bcf86cd799439011", "+07f1f77bcf86cd799439011",
	};
	struct stack_id id = { { 7 } };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(stack_id_parse(bad[i], strlen(bad[i]), &id), -EINVAL);
	assert_int_equal(stack_id_parse("507f1f77bcf8\0cd799439011", 24, &id), -EINVAL);
	assert_int_equal(id.bytes[0], 7); /* written only on success */
}

static void test_order(void **state)
{
	struct stack_id old, new;

	assert_int_equal(stack_id_parse("4fffffffffffffffffffffff", 24, &old), 0);
	assert_int_equal(stack_id_parse("ff0000000000000000000000", 24, &new), 0);
	assert_true(stack_id_compare(&old, &new) < 0);
	assert_true(stack_id_compare(&new, &old) > 0);
	assert_int_equal(stack_id_compare(&old, &old), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
