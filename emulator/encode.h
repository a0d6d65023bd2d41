/* SPDX-License-Identifier: MIT */
/* encode: gzip and base64. */
#ifndef EMULATOR_ENCODE_H
#define EMULATOR_ENCODE_H

#include "mem.h"

/* times copies of in, one after the other, as one gzip stream. */
void encode_gzip(struct buf *out, struct span in, uint64_t times);
/* Whether an Accept-Encoding header (may be NULL) asks for gzip. */
bool encode_accepts_gzip(const char *accept);
/* RFC 4648, padding optional.  -EBADMSG. */
NODISCARD int encode_from_base64(struct buf *out, struct span text);

#endif
