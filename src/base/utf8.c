/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <stdbool.h>

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

size_t utf8_length(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;

	if (len == 0)
		return 0;
	if (u[0] < 0x80)
		return 1;
	if (len < 2 || !is_tail(u[1]))
		return 0;
	if (u[0] >= 0xc2 && u[0] <= 0xdf)
		return 2;
	if (len < 3 || !is_tail(u[2]))
		return 0;
	if (u[0] >= 0xe0 && u[0] <= 0xef) {
		bool overlong = u[0] == 0xe0 && u[1] < 0xa0;
		bool surrogate = u[0] == 0xed && u[1] >= 0xa0;

		return overlong || surrogate ? 0 : 3;
	}
	if (len < 4 || !is_tail(u[3]))
		return 0;
	if (u[0] >= 0xf0 && u[0] <= 0xf4) {
		bool overlong = u[0] == 0xf0 && u[1] < 0x90;
		bool beyond = u[0] == 0xf4 && u[1] >= 0x90;

		return overlong || beyond ? 0 : 4;
	}
	return 0;
}

size_t utf8_encode(uint32_t code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}
