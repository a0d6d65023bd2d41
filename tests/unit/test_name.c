/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tree/name.h"

static const struct stack_id id = { { 0x5f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa1 } };
#define ID_HEX "5f00000000000000000000a1"

static void check(const char *name, size_t len, const char *component)
{
	char out[NAME_MAX_BYTES + 1], back[NAME_MAX_BYTES + 1];
	size_t back_len;

	name_encode(name, len, &id, false, out);
	assert_string_equal(out, component);
	assert_int_equal(name_decode(out, back, &back_len), 0);
	assert_int_equal(back_len, len);
	assert_memory_equal(back, name, len);
}

#define CHECK(name, component) check(name, sizeof(name) - 1, component)

static void test_keeps_what_a_path_carries(void **state)
{
	CHECK("billing", "billing");
	CHECK("Order sync (new)", "Order sync (new)");
	CHECK("a.b", "a.b");
	CHECK("100%", "100%");
	CHECK("50%zz", "50%zz");
	CHECK("\xf0\x9f\x9a\x80 caf\xc3\xa9", "\xf0\x9f\x9a\x80 caf\xc3\xa9");
	CHECK("~", "~");
	CHECK("x~y", "x~y");
}

static void test_escapes_the_rest(void **state)
{
	CHECK("a/b", "a%2Fb");
	CHECK("..", "%2E.");
	CHECK(".hidden", "%2Ehidden");
	CHECK("%2F", "%252F");
	CHECK("%%41", "%%2541");
	CHECK("new\nline", "new%0Aline");
	CHECK("nul\0in", "nul%00in");
	CHECK("\x7f", "%7F");
	CHECK("\xff\xfe", "%FF%FE");
	CHECK("\xed\xa0\x80", "%ED%A0%80"); /* a surrogate */
	CHECK("\xc3", "%C3");
	CHECK("x~" ID_HEX, "x%7E" ID_HEX);
	CHECK("~" ID_HEX, "%7E" ID_HEX);
}

static void test_empty_is_the_id(void **state)
{
	char out[NAME_MAX_BYTES + 1];

	name_encode("", 0, &id, false, out);
	assert_string_equal(out, ID_HEX);
	name_encode("", 0, &id, true, out);
	assert_string_equal(out, ID_HEX "~" ID_HEX);
}

static void test_with_id(void **state)
{
	char out[NAME_MAX_BYTES + 1];
	struct stack_id found;

	name_encode("x", 1, &id, true, out);
	assert_string_equal(out, "x~" ID_HEX);
	assert_true(name_has_id(out, &found));
	assert_int_equal(stack_id_compare(&found, &id), 0);
	assert_false(name_has_id("x", &found));
	assert_false(name_has_id("x~5f", &found));
}

/* Of every length round the limit, of every kind of piece. */
static void test_long_names_are_cut_at_a_character(void **state)
{
	static const char *const pieces[] = { "a", "/", "\xc3\xa9", "\xf0\x9f\x9a\x80", "\xff" };
	char name[1200], out[NAME_MAX_BYTES + 1];
	struct stack_id found;

	for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
		size_t piece = strlen(pieces[p]);

		for (size_t n = 1; n * piece < sizeof(name); n++) {
			char back[NAME_MAX_BYTES + 1];
			size_t len;

			memcpy(name + (n - 1) * piece, pieces[p], piece);
			name_encode(name, n * piece, &id, false, out);
			assert_true(strlen(out) <= NAME_MAX_BYTES);
			if (!name_has_id(out, &found)) {
				assert_int_equal(name_decode(out, back, &len), 0);
				assert_int_equal(len, n * piece);
				continue;
			}
			/* What is left before the suffix is whole pieces. */
			out[strlen(out) - NAME_SUFFIX_BYTES] = '\0';
			assert_int_equal(name_decode(out, back, &len), 0);
			assert_int_equal(len % piece, 0);
			assert_memory_equal(back, name, len);
		}
	}
}

static void test_other_forms_are_refused(void **state)
{
	static const char *const bad[] = { "",         ".x",       "a%2fb", "%41",
					   "x~" ID_HEX, "a\x01",    "\xff",  "%2E%2E",
					   "a%2",       "%7Eplain", "%25" };
	char out[NAME_MAX_BYTES + 1];
	size_t len;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		/* A '%' that no two digits follow stands for itself. */
		if (strcmp(bad[i], "a%2") == 0)
			assert_int_equal(name_decode(bad[i], out, &len), 0);
		else
			assert_int_equal(name_decode(bad[i], out, &len), -EINVAL);
	}
}

/* Every name of up to two bytes, and every byte beside a '%': the inverse. */
static void test_inverse(void **state)
{
	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			const char names[3][4] = { { (char)a, (char)b },
						   { '%', (char)a, (char)b },
						   { (char)a, '%', '4', (char)b } };
			static const size_t lens[3] = { 2, 3, 4 };

			for (unsigned i = 0; i < 3; i++) {
				char out[NAME_MAX_BYTES + 1], back[NAME_MAX_BYTES + 1];
				size_t len;

				name_encode(names[i], lens[i], &id, false, out);
				assert_null(strchr(out, '/'));
				assert_true(out[0] != '.');
				assert_int_equal(name_decode(out, back, &len), 0);
				assert_int_equal(len, lens[i]);
				assert_memory_equal(back, names[i], len);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keeps_what_a_path_carries),
		cmocka_unit_test(test_escapes_the_rest),
		cmocka_unit_test(test_empty_is_the_id),
		cmocka_unit_test(test_with_id),
		cmocka_unit_test(test_long_names_are_cut_at_a_character),
		cmocka_unit_test(test_other_forms_are_refused),
		cmocka_unit_test(test_inverse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
