/* SPDX-License-Identifier: MIT */
/* curl_memory: libcurl's memory, wiped when freed.  Private to src/http.
 *
 * libcurl copies the bearer token into its options and into each request, and
 * holds answers that are secrets; its own free() leaves them where they are.
 * (What OpenSSL and nghttp2 keep of a request in their buffers is out of reach:
 * PR_SET_DUMPABLE and the end of the process are what covers that.) */
#ifndef HTTP_CURL_MEMORY_H
#define HTTP_CURL_MEMORY_H

#include "base/macros.h"

/* curl_global_init with that memory; pairs with curl_global_cleanup.  Counted,
 * and safe in any thread (libcurl 7.84 on).  -ENOMEM. */
NODISCARD int curl_memory_global_init(void);

#endif
