/* SPDX-License-Identifier: MIT */
/* journal: the last failures, as .stacksfs/errors shows them: JSON lines,
 * newest last, bounded.
 *
 * Threads: inside the monitor only. */
#ifndef FS_JOURNAL_H
#define FS_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "api/error.h"
#include "base/clock.h"
#include "base/macros.h"
#include "fs/text.h"

#define JOURNAL_MAX_LINES 4096
#define JOURNAL_MAX_BYTES (3 * 1024 * 1024)

struct journal;

NODISCARD int journal_new(const struct clock *clock, struct journal **ret); /* -ENOMEM */
void journal_free(struct journal *journal); /* NULL is fine */
DEFINE_CLEANUP(struct journal, journal_free)

/* err: what the system call returned, a negative errno; 0: it succeeded, and this
 * is a warning.  would_send: the request that a dry run has not sent, or NULL; one of
 * more than 128 KiB is cut, and the line says so.  A line that cannot be kept for
 * want of memory is dropped. */
void journal_add(struct journal *journal, const char *path, const char *op, int err,
		 const struct api_error *cause, const char *would_send);
size_t journal_total(const struct journal *journal); /* ever added */
void journal_print(const struct journal *journal, struct text *out);

#endif
