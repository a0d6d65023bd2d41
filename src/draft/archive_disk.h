/* SPDX-License-Identifier: MIT */
/* archive_disk: the archive's directories and files, and which of them go.
 *
 * Threads: none of its own; one user at a time.  All of it waits for the disk. */
#ifndef DRAFT_ARCHIVE_DISK_H
#define DRAFT_ARCHIVE_DISK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/macros.h"

struct archive_disk;

struct archive_text {
	bool lost; /* else history */
	const char *stack;
	int64_t wall_ms;
	unsigned number; /* the first to be tried */
	const char *bytes;
	size_t len;
};

/* dir and clock are borrowed and outlive *ret; dir has no slash at its end.
 * Errors and why as archive_new. */
NODISCARD int archive_disk_new(const char *dir, const struct clock *clock,
			       struct archive_disk **ret, char *ret_why);
/* Whether archive_disk_new could, for a dir that is there; nothing is made or changed. */
NODISCARD int archive_disk_check(const char *dir, char *ret_why);
void archive_disk_free(struct archive_disk *disk); /* NULL is fine */
DEFINE_CLEANUP(struct archive_disk, archive_disk_free)

/* 1: it is on disk; 0: the newest file had it already (history only); else
 * errors as archive_done_fn. */
NODISCARD int archive_disk_put(struct archive_disk *disk, const struct archive_text *text);
/* After a put that gave 1: the directory that it wrote to; once in a while, all. */
void archive_disk_prune(struct archive_disk *disk, const atomic_bool *stop);
/* Gives up when *stop becomes true. */
void archive_disk_prune_all(struct archive_disk *disk, const atomic_bool *stop);

#endif
