/* SPDX-License-Identifier: MIT */
/* curl_error: libcurl's failures as errno.  Pure; private to src/http. */
#ifndef HTTP_CURL_ERROR_H
#define HTTP_CURL_ERROR_H

/* code: a CURLcode that is not CURLE_OK; os_errno: CURLINFO_OS_ERRNO; detail: what
 * libcurl put into CURLOPT_ERRORBUFFER.  The negative errno, and a phrase that
 * "HOST:PORT: details" can follow. */
int curl_error_map(int code, long os_errno, const char *detail, const char **ret_what);

#endif
