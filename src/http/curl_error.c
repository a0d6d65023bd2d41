/* SPDX-License-Identifier: MIT */
#include "http/curl_error.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/macros.h"

static const struct {
	CURLcode code;
	int err;
	const char *what;
} codes[] = {
	{ CURLE_COULDNT_RESOLVE_PROXY, EHOSTUNREACH, "could not find the proxy for" },
	{ CURLE_COULDNT_RESOLVE_HOST, EHOSTUNREACH, "could not find" },
	{ CURLE_PROXY, EHOSTUNREACH, "the proxy refused the way to" },
	{ CURLE_OPERATION_TIMEDOUT, ETIMEDOUT, "no answer in time from" },

	{ CURLE_SSL_CONNECT_ERROR, EPROTO, "no TLS connection to" },
	{ CURLE_SSL_ENGINE_NOTFOUND, EPROTO, "no TLS connection to" },
	{ CURLE_SSL_ENGINE_SETFAILED, EPROTO, "no TLS connection to" },
	{ CURLE_SSL_ENGINE_INITFAILED, EPROTO, "no TLS connection to" },
	{ CURLE_SSL_CIPHER, EPROTO, "no TLS connection to" },
	{ CURLE_USE_SSL_FAILED, EPROTO, "no TLS connection to" },
	{ CURLE_SSL_SHUTDOWN_FAILED, EPROTO, "no TLS connection to" },
	{ CURLE_SSL_CLIENTCERT, EPROTO, "a client certificate is asked for by" },
	{ CURLE_SSL_CERTPROBLEM, EPROTO, "no trusted certificate from" },
	{ CURLE_PEER_FAILED_VERIFICATION, EPROTO, "no trusted certificate from" },
	{ CURLE_SSL_ISSUER_ERROR, EPROTO, "no trusted certificate from" },
	{ CURLE_SSL_PINNEDPUBKEYNOTMATCH, EPROTO, "no trusted certificate from" },
	{ CURLE_SSL_INVALIDCERTSTATUS, EPROTO, "no trusted certificate from" },
	{ CURLE_SSL_CACERT_BADFILE, EPROTO, "cannot read the certificates to trust for" },
	{ CURLE_SSL_CRL_BADFILE, EPROTO, "cannot read the certificates to trust for" },

	{ CURLE_FILESIZE_EXCEEDED, EMSGSIZE, "answer too large from" },
	{ CURLE_OUT_OF_MEMORY, ENOMEM, "out of memory while asking" },

	{ CURLE_WEIRD_SERVER_REPLY, EIO, "broken answer from" },
	{ CURLE_GOT_NOTHING, EIO, "connection closed without an answer by" },
	{ CURLE_PARTIAL_FILE, EIO, "answer cut short from" },
	/* Stopped by us, ahead of the second request that it wanted to send. */
	{ CURLE_ABORTED_BY_CALLBACK, EIO, "connection closed without an answer by" },
	{ CURLE_SEND_ERROR, EIO, "connection lost while sending to" },
	{ CURLE_RECV_ERROR, EIO, "connection lost while receiving from" },
	{ CURLE_BAD_CONTENT_ENCODING, EIO, "answer cannot be decompressed from" },
	{ CURLE_HTTP2, EIO, "broken HTTP/2 from" },
	{ CURLE_HTTP2_STREAM, EIO, "broken HTTP/2 from" },
};

/* For CURLE_COULDNT_CONNECT. */
static const struct {
	int os_errno;
	int err;
} connect_errors[] = {
	{ ECONNREFUSED, ECONNREFUSED },
	{ ENETUNREACH, ENETUNREACH },
	{ ENETDOWN, ENETUNREACH },
	{ EADDRNOTAVAIL, ENETUNREACH }, /* no address of our own, IPv6 switched off say */
	{ ETIMEDOUT, ETIMEDOUT },
	{ ECONNRESET, ECONNREFUSED },
};	/* no row: -EHOSTUNREACH */

static int map_connect_error(long os_errno)
{
	for (size_t i = 0; i < ARRAY_SIZE(connect_errors); i++) {
		if (connect_errors[i].os_errno == os_errno)
			return -connect_errors[i].err;
	}
	return -EHOSTUNREACH;
}

/* No code tells it from a server that is silent, which has another remedy. */
static bool is_lookup_timeout(int code, const char *detail)
{
	static const char begin[] = "Resolving timed out";

	return code == CURLE_OPERATION_TIMEDOUT && strncmp(detail, begin, strlen(begin)) == 0;
}

/* Nor a proxy that gives no way from a connection that is lost. */
static bool is_tunnel_failure(const char *detail)
{
	static const char *const begins[] = { "CONNECT tunnel failed", "Proxy CONNECT aborted" };

	for (size_t i = 0; i < ARRAY_SIZE(begins); i++) {
		if (strncmp(detail, begins[i], strlen(begins[i])) == 0)
			return true;
	}
	return false;
}

int curl_error_map(int code, long os_errno, const char *detail, const char **ret_what)
{
	if (is_lookup_timeout(code, detail)) {
		*ret_what = "no name server answers, to find";
		return -ETIMEDOUT;
	}
	if (is_tunnel_failure(detail)) {
		bool late = code == CURLE_OPERATION_TIMEDOUT;

		*ret_what = late ? "no answer in time from the proxy for"
				 : "the proxy refused the way to";
		return late ? -ETIMEDOUT : -EHOSTUNREACH;
	}
	if (code == CURLE_COULDNT_CONNECT) {
		*ret_what = "could not connect to";
		return map_connect_error(os_errno);
	}
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		if ((int)codes[i].code == code) {
			*ret_what = codes[i].what;
			return -codes[i].err;
		}
	}
	*ret_what = "failed transfer with";
	return -EIO;
}
