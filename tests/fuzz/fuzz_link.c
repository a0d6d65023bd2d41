/* SPDX-License-Identifier: MIT */
/* A Link field -> the next page's target, which is below the list whatever the
 * field says.  The input is the origin's base path and the field. */
#include <stdlib.h>
#include <string.h>

#include "api/link.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char out[LINK_MAX_TARGET];
	struct fuzz_part part[2];

	if (!fuzz_split(data, size, part, 2) || memchr(part[1].s, '\0', part[1].len))
		return 0;
	char *field = strndup(part[1].s, part[1].len);
	const char *base = part[0].s[0] == '/' ? part[0].s : "";
	fuzz_check(field != NULL);
	if (link_next(field, base, out, sizeof(out)) == 0) {
		size_t path = strcspn(out, "?");

		fuzz_check(strlen(out) < sizeof(out));
		fuzz_check(strncmp(out, "/v1/stacks", 10) == 0);
		fuzz_check(out[10] == '\0' || out[10] == '/' || out[10] == '?');
		fuzz_check(!memmem(out, path, "/../", 4) && !strchr(out, '#'));
		for (const char *c = out; *c; c++)
			fuzz_check(*c > 0x20 && *c < 0x7f);
	}
	free(field);
	return 0;
}
