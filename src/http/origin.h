/* SPDX-License-Identifier: MIT */
/* origin: where the API is: a checked base URL (RFC 3986). */
#ifndef HTTP_ORIGIN_H
#define HTTP_ORIGIN_H

#include <stdbool.h>

#include "base/macros.h"

struct origin {
	char scheme[8];      /* "https", or "http" to a loopback address */
	char host[256];      /* lower case, without brackets */
	unsigned port;       /* always set */
	bool loopback;       /* 127.0.0.0/8, ::1 or "localhost" */
	char base_path[512]; /* "" or "/x/y", no trailing slash; part of every request */
	char url[1024];      /* scheme://host[:port]base_path, for curl and for people */
};

/* source: "us", "eu", or a URL; a trailing "/v1" or "/" is taken off.
 * -EINVAL (no URL, userinfo, query, fragment, another scheme), -EACCES (http to
 * what is no loopback address), -ENAMETOOLONG, -ENOMEM; *ret_why then says why,
 * a constant. */
NODISCARD int origin_parse(const char *source, struct origin *ret, const char **ret_why);

#endif
