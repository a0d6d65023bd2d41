/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "draft/archive_name.h"

/* 2026-01-31 23:59:59.123 UTC */
#define NOW_MS 1769903999123
#define NOW    "20260131T235959.123Z"

/* Of every length round the limit, of characters of one to four bytes. */
static void test_long_names_in_lost(void **unused)
{
	static const char *const pieces[] = { "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x9a\x80" };
	static const struct archive_stamp last = { NOW_MS, ARCHIVE_STAMP_MAX_NUMBER };
	char stack[NAME_MAX_BYTES + 1], name[NAME_MAX_BYTES + 1];

	for (size_t p = 0; p < ARRAY_SIZE(pieces); p++) {
		size_t piece = strlen(pieces[p]);

		for (size_t n = 1; n * piece <= NAME_MAX_BYTES; n++) {
			struct archive_stamp stamp;

			memcpy(stack + (n - 1) * piece, pieces[p], piece);
			stack[n * piece] = '\0';
			archive_name_lost(last, stack, name);
			assert_true(archive_name_is_lost(name, &stamp));
			assert_int_equal(archive_stamp_compare(stamp, last), 0);

			size_t start = strlen(NOW "_99999-");
			size_t left = strlen(name) - start - strlen(".json");
			assert_int_equal(left % piece, 0);
			assert_memory_equal(name + start, stack, left);
			assert_true(left == n * piece || strlen(name) + piece > NAME_MAX_BYTES);
		}
	}
}

static void test_only_our_names(void **unused)
{
	static const char *const foreign[] = {
		"",
		"x.json",
		NOW,
		NOW ".json~",
		NOW ".jso",
		NOW "_0.json",
		NOW "_01.json",
		NOW "_.json",
		NOW "_100000.json",
		NOW "_99999999999999999999.json",
		NOW "-.json",
		NOW "x.json",
		"20260131T235959.123z.json",
		"20260131t235959.123Z.json",
		"20260131T235959,123Z.json",
		"20260230T000000.000Z.json",
		"20261301T000000.000Z.json",
		"20260131T240000.000Z.json",
		"20260131T235960.000Z.json",
		"19691231T235959.999Z.json",
		"2026 131T235959.123Z.json",
		"+0260131T235959.123Z.json",
		"20260131T235959.123Z\n.json",
		" 20260131T235959.123Z.json",
	};
	struct archive_stamp stamp;

	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
		assert_false(archive_name_is_history(foreign[i], &stamp));
		assert_false(archive_name_is_lost(foreign[i], &stamp));
		assert_false(archive_name_is_temporary(foreign[i], &stamp));
	}
	assert_true(archive_name_is_history("99991231T235959.999Z_99999.json", &stamp));
	assert_true(archive_name_is_history("19700101T000000.000Z.json", &stamp));
	assert_int_equal(stamp.ms, 0);
	assert_true(archive_name_is_history("20240229T120000.001Z_7.json", &stamp));
	assert_int_equal(stamp.ms, 1709208000001);
	assert_int_equal(stamp.number, 7);
	assert_false(archive_name_is_history(NOW "-a.json", &stamp));
	assert_false(archive_name_is_lost(NOW ".json", &stamp));
	assert_true(archive_name_is_lost(NOW "-.json.json", &stamp));
	assert_true(archive_name_is_temporary("." NOW "_3.tmp", &stamp));
	assert_false(archive_name_is_temporary("." NOW "_3.tmp2", &stamp));
	assert_false(archive_name_is_temporary(NOW ".tmp", &stamp));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long_names_in_lost),
		cmocka_unit_test(test_only_our_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
