/* SPDX-License-Identifier: MIT */
/* date: date-times as the API writes them (RFC 3339, section 5.6). */
#ifndef API_DATE_H
#define API_DATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

/* "2024-01-31T23:59:59.123Z", with or without a fraction, Z or an offset: Unix
 * time in milliseconds; digits beyond the third of a fraction are cut off.
 * -EINVAL for anything else, a 30th of February too. */
NODISCARD int date_parse(const char *s, size_t len, int64_t *ret_ms);

#endif
