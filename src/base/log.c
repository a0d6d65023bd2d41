/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/num.h"
#include "base/utf8.h"

#define LINE_MAX_BYTES 2048 /* of a whole line, its newline included */
#define MAX_PATH_BYTES 1024 /* of the field that has it */

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
static int journal_fd = -1;

static pthread_mutex_t stderr_lock = PTHREAD_MUTEX_INITIALIZER; /* held over nothing that waits */
static unsigned unwritten; /* guarded by stderr_lock: lines that stderr did not take */

static void leave_journal(void)
{
	if (journal_fd >= 0)
		close(journal_fd);
	journal_fd = -1;
}

void log_setup(enum log_level max_level, bool to_syslog)
{
	leave_journal();
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

/* ---- the journal (systemd.io/JOURNAL_NATIVE_PROTOCOL) ---- */

bool log_stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	const char *colon = stream ? strchr(stream, ':') : NULL;
	uint64_t dev, ino;
	struct stat st;

	return colon && num_parse_u64(stream, (size_t)(colon - stream), UINT64_MAX, &dev) == 0 &&
	       num_parse_u64(colon + 1, strlen(colon + 1), UINT64_MAX, &ino) == 0 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

int log_setup_journal(enum log_level max_level, const char *socket_path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = strlen(socket_path);

	if (len >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	memcpy(to.sun_path, socket_path, len);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	log_setup(max_level, false);
	journal_fd = fd;
	return 0;
}

struct entry {
	char text[LINE_MAX_BYTES + MAX_PATH_BYTES + 512];
	size_t len;
};

/* No value has a newline in it: that would be another form. */
static void put_field(struct entry *e, const char *name, const char *value, size_t len)
{
	size_t room = sizeof(e->text) - 1; /* for the newline */
	int n = snprintf(e->text + e->len, room - e->len, "%s=", name);

	if (n < 0 || (size_t)n >= room - e->len)
		return;
	e->len = append_safe(e->text, e->len + (size_t)n, room, value, len);
	e->text[e->len++] = '\n';
}

static void put_text_field(struct entry *e, const char *name, const char *value)
{
	if (value)
		put_field(e, name, value, strnlen(value, MAX_PATH_BYTES));
}

static void put_number_field(struct entry *e, const char *name, unsigned long long n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", n);
	put_field(e, name, text, strlen(text));
}

/* Whether the journal has it. */
static bool write_to_journal(enum log_level level, const char *module,
			     const struct log_fields *fields, const char *text, size_t len)
{
	struct entry e;

	if (journal_fd < 0)
		return false;
	e.len = 0;
	put_text_field(&e, "SYSLOG_IDENTIFIER", "stacksfs");
	put_number_field(&e, "PRIORITY", (unsigned)levels[level].priority);
	put_text_field(&e, "STACKSFS_MODULE", module);
	if (fields) {
		put_text_field(&e, "STACKSFS_OP", fields->op);
		put_text_field(&e, "STACKSFS_PATH", fields->path);
		if (fields->err)
			put_number_field(&e, "ERRNO", (unsigned)-fields->err);
		if (fields->request)
			put_number_field(&e, "STACKSFS_REQUEST", fields->request);
	}
	put_field(&e, "MESSAGE", text, len);
	return send(journal_fd, e.text, e.len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/* ---- a line ---- */

/* A terminal that was stopped takes none, nor does a pipe that nobody reads. */
static bool takes_a_line(int fd)
{
	struct pollfd out = { .fd = fd, .events = POLLOUT };

	return poll(&out, 1, 0) != 0;
}

/* One call for a line, so that lines of several programs do not mix; a log
 * that cannot be written has nobody to be reported to.  Nor may it be waited for: who
 * logs may hold what all others wait for. */
static void write_stderr(const char *line, size_t len)
{
	char lost[96];

	pthread_mutex_lock(&stderr_lock);
	if (!takes_a_line(STDERR_FILENO)) {
		unwritten++;
	} else {
		int n = unwritten ? snprintf(lost, sizeof(lost),
					     "stacksfs: warning log: %u lines were not taken\n",
					     unwritten)
				  : 0;
		unwritten = 0;
		if (n > 0)
			(void)!write(STDERR_FILENO, lost, (size_t)n);
		(void)!write(STDERR_FILENO, line, len);
	}
	pthread_mutex_unlock(&stderr_lock);
}

static void write_line(enum log_level level, const char *module, const char *text, size_t len)
{
	char line[LINE_MAX_BYTES];
	int head = use_syslog ? snprintf(line, sizeof(line), "%.64s: ", module)
			      : snprintf(line, sizeof(line),
					 "stacksfs: %s %.64s: ", levels[level].name, module);
	size_t at = append_safe(line, (size_t)head, sizeof(line) - 1, text, len);

	if (use_syslog) {
		syslog(levels[level].priority, "%.*s", (int)at, line);
		return;
	}
	line[at++] = '\n';
	write_stderr(line, at);
}

static void write_event(enum log_level level, const char *module, const struct log_fields *fields,
			const char *fmt, va_list ap) PRINTF_LIKE(4, 0);
static void write_event(enum log_level level, const char *module, const struct log_fields *fields,
			const char *fmt, va_list ap)
{
	char text[LINE_MAX_BYTES];
	int saved_errno = errno;
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	if (n < 0)
		n = snprintf(text, sizeof(text), "(a message that cannot be formatted: %s)", fmt);
	size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;

	if (!write_to_journal(level, module, fields, text, len))
		write_line(level, module, text, len);
	errno = saved_errno;
}

void log_write(enum log_level level, const char *module, const char *fmt, ...)
{
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	write_event(level, module, NULL, fmt, ap);
	va_end(ap);
}

void log_write_fields(enum log_level level, const char *module, const struct log_fields *fields,
		      const char *fmt, ...)
{
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	write_event(level, module, fields, fmt, ap);
	va_end(ap);
}
