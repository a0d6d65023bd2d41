/* SPDX-License-Identifier: MIT */
/* Retry-After in both forms, and header lines. */
#include <string.h>

#include "fuzz.h"
#include "http/header.h"
#include "http/retry.h"

#define WALL_MS 784111777000

static void check_lines(const char *s, size_t len)
{
	struct transport_answer answer = { .retry_after_ms = -1,
					   .link = BUF_INIT(HEADER_MAX_LINK_BYTES) };

	while (len > 0) {
		const char *end = memchr(s, '\n', len);
		size_t n = end ? (size_t)(end - s) + 1 : len;

		if (header_take(&answer, s, n, WALL_MS) < 0)
			break;
		s += n;
		len -= n;
	}
	fuzz_check(memchr(answer.etag, '\0', sizeof(answer.etag)));
	fuzz_check(!answer.etag[0] || header_is_etag(answer.etag, strlen(answer.etag)));
	fuzz_check(!strpbrk(answer.etag, "\r\n"));
	fuzz_check(answer.link.len <= HEADER_MAX_LINK_BYTES);
	fuzz_check(answer.link.len == 0 || strlen(answer.link.data) == answer.link.len);
	header_reset(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	int64_t ms = retry_after_parse(s, size, WALL_MS);

	fuzz_check(ms >= -1 && ms <= RETRY_AFTER_MAX_MS);
	check_lines(s, size);
	return 0;
}
