/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/utf8.h"

#define LINE_MAX_BYTES 2048 /* of a whole line, its newline included */

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARNING] = { "warning", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

/* Written by log_setup only, before there is a second thread. */
static enum log_level highest = LOG_LEVEL_INFO;
static bool use_syslog;

void log_setup(enum log_level max_level, bool to_syslog)
{
	highest = max_level;
	use_syslog = to_syslog;
	if (to_syslog)
		openlog("stacksfs", LOG_PID, LOG_DAEMON);
}

bool log_enabled(enum log_level level)
{
	return level <= highest;
}

/* U+0080 to U+009F are control characters too: a terminal may obey them. */
static bool is_printable(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;

	if (n == 1)
		return u[0] >= 0x20 && u[0] != 0x7f;
	return n > 1 && !(n == 2 && u[0] == 0xc2 && u[1] < 0xa0);
}

/* Append what fits whole; returns the new length. */
static size_t append_safe(char *out, size_t at, size_t size, const char *s, size_t len)
{
	static const char hex[] = "0123456789abcdef";

	while (len > 0) {
		size_t n = utf8_length(s, len);
		bool plain = is_printable(s, n);
		size_t need = plain ? n : 4;

		if (need > size - at)
			break;
		if (plain) {
			memcpy(out + at, s, n);
		} else {
			unsigned char c = (unsigned char)*s;

			memcpy(out + at, (char[]){ '\\', 'x', hex[c >> 4], hex[c & 15] }, 4);
			n = 1;
		}
		at += need;
		s += n;
		len -= n;
	}
	return at;
}

void log_write(enum log_level level, const char *module, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES];
	int saved_errno = errno;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = snprintf(text, sizeof(text), "(a message that cannot be formatted: %s)", fmt);
	size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;

	int head = use_syslog ? snprintf(line, sizeof(line), "%.64s: ", module)
			      : snprintf(line, sizeof(line),
					 "stacksfs: %s %.64s: ", levels[level].name, module);
	size_t at = append_safe(line, (size_t)head, sizeof(line) - 1, text, len);

	if (use_syslog) {
		syslog(levels[level].priority, "%.*s", (int)at, line);
	} else {
		line[at++] = '\n';
		/* One call, so that lines of several threads do not mix; a log
		 * that cannot be written has nobody to be reported to. */
		ssize_t written = write(STDERR_FILENO, line, at);
		(void)written;
	}
	errno = saved_errno;
}
