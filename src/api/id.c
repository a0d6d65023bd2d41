/* SPDX-License-Identifier: MIT */
#include "api/id.h"

#include <errno.h>
#include <string.h>

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int stack_id_parse(const char *hex, size_t len, struct stack_id *ret)
{
	struct stack_id id;

	if (len != STACK_ID_HEX)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(id.bytes); i++) {
		int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		id.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*ret = id;
	return 0;
}

void stack_id_format(const struct stack_id *id, char out[STACK_ID_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(id->bytes); i++) {
		out[2 * i] = digits[id->bytes[i] >> 4];
		out[2 * i + 1] = digits[id->bytes[i] & 15];
	}
	out[STACK_ID_HEX] = '\0';
}

int stack_id_compare(const struct stack_id *a, const struct stack_id *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

int64_t stack_id_time_ms(const struct stack_id *id)
{
	const uint8_t *b = id->bytes;

	return ((int64_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]) * 1000;
}
