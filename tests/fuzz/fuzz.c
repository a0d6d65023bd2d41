/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_check_at(bool ok, const char *what, const char *file, int line)
{
	if (ok)
		return;
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

bool fuzz_split(const uint8_t *data, size_t size, struct fuzz_part *ret, size_t n)
{
	const char *at = (const char *)data, *end = at + size;

	for (size_t i = 0; i < n; i++) {
		const char *nul = i + 1 < n ? memchr(at, '\0', (size_t)(end - at)) : end;

		if (!nul)
			return false;
		ret[i] = (struct fuzz_part){ at, (size_t)(nul - at) };
		at = nul < end ? nul + 1 : end;
	}
	return true;
}
