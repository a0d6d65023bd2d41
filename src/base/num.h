/* SPDX-License-Identifier: MIT */
/* num: numbers from text, strictly: nothing before, nothing after, no sign,
 * no wrap-around, no locale (all of which strtoull(3) lets through). */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

/* s: len decimal digits; need not end in a NUL.  -EINVAL when it is empty or
 * has anything but digits, -ERANGE when the number is more than max. */
NODISCARD int num_parse_u64(const char *s, size_t len, uint64_t max, uint64_t *ret);

#endif
