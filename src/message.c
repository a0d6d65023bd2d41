/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <errno.h>
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

const char *message_advice(int err)
{
	static const struct {
		int err;
		const char *text;
	} table[] = {
		{ -EACCES, "check the token" },
		{ -EPERM, "check what the token may do" },
		{ -EHOSTUNREACH, "check the URL and the network" },
		{ -ENETUNREACH, "check the network" },
		{ -ECONNREFUSED, "check the URL" },
		{ -ETIMEDOUT, "check the network, or give more time by -o timeout=" },
		{ -EPROTO, "check the server's certificate, or name its authority by -o cacert=" },
		{ -EBUSY, "the account's request limit is used up: try again later" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].err == err)
			return table[i].text;
	}
	return "check the URL, or try again later";
}
