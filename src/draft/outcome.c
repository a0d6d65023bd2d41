/* SPDX-License-Identifier: MIT */
#include "draft/outcome.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

unsigned outcome_left_ms(const struct changes *changes, uint64_t deadline_ms)
{
	uint64_t now_ms = clock_now_ms(changes->clock);

	return deadline_ms > now_ms ? (unsigned)(deadline_ms - now_ms) : 0;
}

bool outcome_has_left(const struct api_error *error)
{
	return !error || error->status || error->processed_maybe;
}

void outcome_failed(int err, struct api_error *ret)
{
	*ret = (struct api_error){ 0 };
	api_error_set(ret, err, "%s", strerror(-err));
}

void outcome_late(const struct changes *changes, const char *doing, struct api_error *ret)
{
	*ret = (struct api_error){ 0 };
	api_error_set(ret, -ETIMEDOUT, "not done within %.1f s (%s)", changes->timeout_ms / 1000.0,
		      doing);
}

void outcome_unsettled(const char *what, const struct api_error *cause, struct api_error *ret)
{
	char text[sizeof(cause->message) + 64];

	snprintf(text, sizeof(text), "%s: %s", what, cause->message);
	*ret = *cause;
	ret->err = -ETIMEDOUT;
	api_error_text(ret->message, sizeof(ret->message), text, strlen(text));
}
