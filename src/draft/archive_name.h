/* SPDX-License-Identifier: MIT */
/* archive_name: the names of the archive's files.  Age is in the name, so that
 * files can be pruned without a stat; what is not exactly of these forms is
 * none of ours.
 *
 *   20260131T235959.123Z.json           history
 *   20260131T235959.123Z-billing.json   lost
 *   .20260131T235959.123Z.tmp           not yet whole
 *
 * Threads: pure. */
#ifndef DRAFT_ARCHIVE_NAME_H
#define DRAFT_ARCHIVE_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "tree/name.h"

#define ARCHIVE_STAMP_MAX_NUMBER 99999
#define ARCHIVE_STAMP_MAX_MS     253402300799999 /* of the year 9999 */

struct archive_stamp {
	int64_t ms;      /* Unix time; shown as one of the years 1970 to 9999 */
	unsigned number; /* "_1" ...; 0 is not shown */
};

int archive_stamp_compare(struct archive_stamp a, struct archive_stamp b); /* the older first */

void archive_name_history(struct archive_stamp stamp, char out[NAME_MAX_BYTES + 1]);
/* A stack's name that is too long is cut at a character; its ~<_id> stays. */
void archive_name_lost(struct archive_stamp stamp, const char *stack, char out[NAME_MAX_BYTES + 1]);
void archive_name_temporary(struct archive_stamp stamp, char out[NAME_MAX_BYTES + 1]);

/* Whether it is such a name, and of when. */
bool archive_name_is_history(const char *name, struct archive_stamp *ret);
bool archive_name_is_lost(const char *name, struct archive_stamp *ret);
bool archive_name_is_temporary(const char *name, struct archive_stamp *ret);

#endif
