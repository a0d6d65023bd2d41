/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

/* Every code point there and back; surrogates come out and are no characters. */
static void test_every_code(void **state)
{
	for (uint32_t code = 0; code <= 0x10ffff; code++) {
		char out[4];
		size_t n = utf8_encode(code, out);
		size_t expected = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
		int surrogate = code >= 0xd800 && code <= 0xdfff;

		if (n != expected || utf8_length(out, n) != (surrogate ? 0 : n))
			fail_msg("U+%04X", code);
		for (size_t cut = 0; cut < n; cut++) {
			if (utf8_length(out, cut) != 0)
				fail_msg("U+%04X cut at %zu", code, cut);
		}
	}
}

/* All four-byte beginnings against the definition: RFC 3629, section 4. */
static size_t length_by_the_book(const unsigned char u[4])
{
	static const struct {
		unsigned char lo, hi, second_lo, second_hi;
		size_t n;
	} rows[] = {
		{ 0x00, 0x7f, 0x00, 0xff, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = rows[i].n;

		if (u[0] < rows[i].lo || u[0] > rows[i].hi)
			continue;
		if (n > 1 && (u[1] < rows[i].second_lo || u[1] > rows[i].second_hi))
			return 0;
		if ((n > 2 && (u[2] & 0xc0) != 0x80) || (n > 3 && (u[3] & 0xc0) != 0x80))
			return 0;
		return n;
	}
	return 0;
}

static void test_every_beginning(void **state)
{
	static const unsigned char tails[] = { 0x00, 0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xff };

	for (unsigned i = 0; i < 65536 * sizeof(tails) * sizeof(tails); i++) {
		unsigned char u[4] = { (unsigned char)(i & 0xff), (unsigned char)(i >> 8 & 0xff),
				       tails[(i >> 16) % sizeof(tails)],
				       tails[(i >> 16) / sizeof(tails)] };

		if (utf8_length((const char *)u, 4) != length_by_the_book(u))
			fail_msg("%02x %02x %02x %02x", u[0], u[1], u[2], u[3]);
	}
}

static void test_nothing(void **state)
{
	assert_int_equal(utf8_length("", 0), 0);
	assert_int_equal(utf8_length("\0", 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_code),
		cmocka_unit_test(test_every_beginning),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
