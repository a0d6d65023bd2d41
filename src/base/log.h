/* SPDX-License-Identifier: MIT */
/* log: one line per event, to stderr, to syslog or to systemd's journal.
 *
 * A function either logs or returns an error, never both (debug excepted).
 * Never pass a secret or a file's content.  Control bytes in a line are
 * written as \xNN, so that no server's message can forge a second line.
 * Threads: any thread may call; log_setup before the first thread starts.
 *
 * A file that logs defines LOG_MODULE before it includes this header. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/macros.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above max_level are dropped.  to_syslog: openlog(3), facility daemon;
 * otherwise stderr. */
void log_setup(enum log_level max_level, bool to_syslog);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *module, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* What a line is about, for the journal, which keeps it as fields; elsewhere the
 * line alone has to say it.  NULL and 0 are left out. */
struct log_fields {
	const char *op, *path;
	int err; /* negative errno */
	unsigned long long request;
};

void log_write_fields(enum log_level level, const char *module, const struct log_fields *fields,
		      const char *fmt, ...) PRINTF_LIKE(4, 5);

#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Whether stderr leads to the journal ($JOURNAL_STREAM, systemd.exec(5)). */
bool log_stderr_is_journal(void);
/* Instead of log_setup: to the socket that the journal listens on.  A line that
 * it does not take at once goes to stderr.  -ENAMETOOLONG, or connect(2)'s. */
NODISCARD int log_setup_journal(enum log_level max_level, const char *socket_path);

#define log_error(...)   log_write(LOG_LEVEL_ERROR, LOG_MODULE, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, LOG_MODULE, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, LOG_MODULE, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_LEVEL_DEBUG))                                                  \
			log_write(LOG_LEVEL_DEBUG, LOG_MODULE, __VA_ARGS__);                       \
	} while (0)

#endif
