/* SPDX-License-Identifier: MIT */
/* link: the next page, from a Link header (RFC 8288). */
#ifndef API_LINK_H
#define API_LINK_H

#include <stddef.h>

#include "base/macros.h"

#define LINK_MAX_TARGET 2048

/* Find rel=next in a Link field value and write the target to be asked on the
 * configured origin: its path and query whatever host it names, base_path taken
 * off where it is there.  0: out is set; -ENOENT: there is no next page;
 * -EBADMSG: the target is not below /v1/stacks (dot segments and %2e decoded
 * first), holds bytes that no URL has, or the field cannot be read;
 * -EMSGSIZE: longer than out. */
NODISCARD int link_next(const char *field, const char *base_path, char *out, size_t size);

#endif
