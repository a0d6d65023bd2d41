/* SPDX-License-Identifier: MIT */
/* curl: the transport that carries tries over libcurl's multi interface. */
#ifndef HTTP_CURL_H
#define HTTP_CURL_H

#include "base/macros.h"
#include "http/origin.h"
#include "http/transport.h"

struct curl_options {
	const struct origin *origin; /* copied */
	const char *cacert;          /* a PEM file, or NULL: the system's; copied */
	const char *proxy;           /* or NULL: the environment's; none for a loopback origin */
	bool debug;                  /* log each exchange, redacted */
};

/* -ENOMEM; -EINVAL when libcurl lacks what is needed.  No thread is made. */
NODISCARD int curl_transport_new(const struct curl_options *options, struct transport **ret);

#endif
