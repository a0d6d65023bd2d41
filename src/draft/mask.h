/* SPDX-License-Identifier: MIT */
/* mask: which values of a body are secret, and the body without them, to be
 * shown.
 *
 * Secret is what stands under a secret's name: lambda.secretAccessKey,
 * server.systemToken, and every string and number at or below a key that has
 * secret, password, token or key in it, in either case; accessKeyId is none.
 * Threads: any; no state. */
#ifndef DRAFT_MASK_H
#define DRAFT_MASK_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/macros.h"
#include "draft/document.h"
#include "draft/value.h"

/* Whether strings and numbers at v are secret; around: those of what v is in are. */
bool mask_is_secret(const struct value *v, bool around);

/* Append the body without white space, each secret replaced by the mask.  A
 * failure changes nothing in out.  -EBADMSG (not JSON, a key twice), -EFBIG,
 * -EMSGSIZE, -ENOMEM. */
NODISCARD int mask_secrets(struct document body, struct buf *out);

#endif
