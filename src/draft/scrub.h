/* SPDX-License-Identifier: MIT */
/* scrub: take the secrets that were sent out of what is said about them.
 *
 * Secret is what the body has under a secret's name (mask.h).  Found are the
 * value itself, its forms in JSON and the one that api_error_text() makes of it;
 * where a message fills its room, and so may have been cut, also the beginning
 * of a value at its end.
 *
 * It fails safe: without memory, or of a body that is no JSON, nothing of the
 * message is left but ******.
 * Threads: any; no state. */
#ifndef DRAFT_SCRUB_H
#define DRAFT_SCRUB_H

#include <stddef.h>

#include "api/error.h"
#include "draft/document.h"

/* Replace each secret of body in message, in place, by ******.  size is the
 * message's room, its NUL included; at least 1.  What does not fit is cut. */
void scrub_message(struct document body, char *message, size_t size);

/* The same in an error's code, message and field. */
void scrub_error(struct document body, struct api_error *e);

#endif
