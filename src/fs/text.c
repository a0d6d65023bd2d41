/* SPDX-License-Identifier: MIT */
#include "fs/text.h"

#include <string.h>
#include <time.h>

void text_put(struct text *t, const char *fmt, ...)
{
	va_list ap;

	if (t->err < 0)
		return;
	va_start(ap, fmt);
	t->err = buf_vprintf(&t->buf, fmt, ap);
	va_end(ap);
}

void text_put_bytes(struct text *t, const char *s, size_t len)
{
	if (t->err == 0)
		t->err = buf_json_string(&t->buf, s, len);
}

void text_put_string(struct text *t, const char *s)
{
	text_put_bytes(t, s, strlen(s));
}

void text_put_time(struct text *t, int64_t unix_ms)
{
	time_t seconds = (time_t)(unix_ms / 1000);
	char day[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	text_put(t, "\"%s.%03dZ\"", day, (int)(unix_ms % 1000));
}

void text_put_errno(struct text *t, int err)
{
	const char *name = strerrorname_np(-err);

	text_put(t, "\"%s\"", name ? name : "EIO");
}
