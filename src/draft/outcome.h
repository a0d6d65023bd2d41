/* SPDX-License-Identifier: MIT */
/* outcome: what the changes share in how they end: what is left of their time,
 * and the words for what went wrong.
 *
 * Threads: any; no state. */
#ifndef DRAFT_OUTCOME_H
#define DRAFT_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "draft/change.h"

/* Of the time until then; 0: nothing. */
unsigned outcome_left_ms(const struct changes *changes, uint64_t deadline_ms);

/* Whether a request has left that ended so; NULL: it succeeded. */
bool outcome_has_left(const struct api_error *error);

/* A failure of this machine. */
void outcome_failed(int err, struct api_error *ret);
/* Its time was over; doing: "waiting for the list". */
void outcome_late(const struct changes *changes, const char *doing, struct api_error *ret);
/* Nobody knows whether it "may have been created"; cause, scrubbed, is why. */
void outcome_unsettled(const char *what, const struct api_error *cause, struct api_error *ret);

#endif
