/* SPDX-License-Identifier: MIT */
/* An answer that is an error -> errno and text for people.  The first byte makes
 * the status. */
#include <string.h>

#include "api/error.h"
#include "base/utf8.h"
#include "fuzz.h"

static void check_text(const char *s, size_t size)
{
	const char *end = memchr(s, '\0', size);

	fuzz_check(end != NULL);
	while (s < end) {
		size_t n = utf8_length(s, (size_t)(end - s));

		fuzz_check(n > 0 && (n > 1 || ((unsigned char)*s >= 0x20 && *s != 0x7f)));
		s += n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct api_error e = { 0 };

	if (size == 0)
		return 0;
	api_error_from_answer(&e, 300 + data[0], (const char *)data + 1, size - 1);
	fuzz_check(e.err < 0 && e.message[0]);
	check_text(e.message, sizeof(e.message));
	check_text(e.code, sizeof(e.code));
	check_text(e.field, sizeof(e.field));
	return 0;
}
