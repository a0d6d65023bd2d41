/* SPDX-License-Identifier: MIT */
/* curl_memory: libcurl's memory, wiped when freed.  Private to src/http.
 *
 * libcurl copies the bearer token into its options and into each request, and
 * holds answers that are secrets; its own free() leaves them where they are. */
#ifndef HTTP_CURL_MEMORY_H
#define HTTP_CURL_MEMORY_H

#include "base/macros.h"

/* curl_global_init with that memory; pairs with curl_global_cleanup.  Counted,
 * and safe in any thread (libcurl 7.84 on).  -ENOMEM. */
NODISCARD int curl_memory_global_init(void);

#endif
