/* SPDX-License-Identifier: MIT */
#include "base/num.h"

#include <errno.h>
#include <stdbool.h>

int num_parse_u64(const char *s, size_t len, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;
	bool over = false;

	if (len == 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -EINVAL; /* also behind a number that is too large */
		uint64_t digit = (uint64_t)(s[i] - '0');

		over = over || digit > max || n > (max - digit) / 10;
		n = over ? 0 : n * 10 + digit;
	}
	if (over)
		return -ERANGE;
	*ret = n;
	return 0;
}
