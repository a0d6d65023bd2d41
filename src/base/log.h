/* SPDX-License-Identifier: MIT */
/* log: one line per event, to stderr or to syslog.
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

#define log_error(...)   log_write(LOG_LEVEL_ERROR, LOG_MODULE, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, LOG_MODULE, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, LOG_MODULE, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_LEVEL_DEBUG))                                                  \
			log_write(LOG_LEVEL_DEBUG, LOG_MODULE, __VA_ARGS__);                       \
	} while (0)

#endif
