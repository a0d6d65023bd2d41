/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>

void message_clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

static void set(struct message *ret, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
static void set(struct message *ret, const char *fmt, va_list ap)
{
	vsnprintf(ret->text, sizeof(ret->text), fmt, ap);
	message_clean(ret->text);
}

void message_set(struct message *ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set(ret, fmt, ap);
	va_end(ap);
}

int message_fail(struct message *ret, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set(ret, fmt, ap);
	va_end(ap);
	return err;
}
