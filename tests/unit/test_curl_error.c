/* SPDX-License-Identifier: MIT */
#include "http/curl_error.h"

#include <curl/curl.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"

static void assert_maps(int code, long os_errno, int err)
{
	const char *what = NULL;
	int r = curl_error_map(code, os_errno, "", &what);

	if (r != -err)
		print_error("CURLcode %d, errno %ld: %d\n", code, os_errno, r);
	assert_int_equal(r, -err);
	assert_non_null(what);
}

static void test_every_code(void **state)
{
	static const struct {
		CURLcode code;
		int err;
	} rows[] = {
		{ CURLE_COULDNT_RESOLVE_PROXY, EHOSTUNREACH },
		{ CURLE_COULDNT_RESOLVE_HOST, EHOSTUNREACH },
		{ CURLE_PROXY, EHOSTUNREACH },
		{ CURLE_OPERATION_TIMEDOUT, ETIMEDOUT },
		{ CURLE_SSL_CONNECT_ERROR, EPROTO },
		{ CURLE_SSL_ENGINE_NOTFOUND, EPROTO },
		{ CURLE_SSL_ENGINE_SETFAILED, EPROTO },
		{ CURLE_SSL_ENGINE_INITFAILED, EPROTO },
		{ CURLE_SSL_CIPHER, EPROTO },
		{ CURLE_USE_SSL_FAILED, EPROTO },
		{ CURLE_SSL_SHUTDOWN_FAILED, EPROTO },
		{ CURLE_SSL_CLIENTCERT, EPROTO },
		{ CURLE_SSL_CERTPROBLEM, EPROTO },
		{ CURLE_PEER_FAILED_VERIFICATION, EPROTO },
		{ CURLE_SSL_ISSUER_ERROR, EPROTO },
		{ CURLE_SSL_PINNEDPUBKEYNOTMATCH, EPROTO },
		{ CURLE_SSL_INVALIDCERTSTATUS, EPROTO },
		{ CURLE_SSL_CACERT_BADFILE, EPROTO },
		{ CURLE_SSL_CRL_BADFILE, EPROTO },
		{ CURLE_FILESIZE_EXCEEDED, EMSGSIZE },
		{ CURLE_OUT_OF_MEMORY, ENOMEM },
		{ CURLE_WEIRD_SERVER_REPLY, EIO },
		{ CURLE_GOT_NOTHING, EIO },
		{ CURLE_PARTIAL_FILE, EIO },
		{ CURLE_SEND_ERROR, EIO },
		{ CURLE_RECV_ERROR, EIO },
		{ CURLE_BAD_CONTENT_ENCODING, EIO },
		{ CURLE_HTTP2, EIO },
		{ CURLE_HTTP2_STREAM, EIO },
		/* no rows of their own */
		{ CURLE_WRITE_ERROR, EIO },
		{ CURLE_UNSUPPORTED_PROTOCOL, EIO },
		{ CURLE_UNRECOVERABLE_POLL, EIO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_maps(rows[i].code, 0, rows[i].err);
	assert_maps(9999, 0, EIO);
}

static void test_connect_errors(void **state)
{
	static const struct {
		int os_errno;
		int err;
	} rows[] = {
		{ ECONNREFUSED, ECONNREFUSED }, { ENETUNREACH, ENETUNREACH },
		{ ENETDOWN, ENETUNREACH },	{ EADDRNOTAVAIL, ENETUNREACH },
		{ ETIMEDOUT, ETIMEDOUT },	{ ECONNRESET, ECONNREFUSED },
		{ EHOSTUNREACH, EHOSTUNREACH }, { EACCES, EHOSTUNREACH },
		{ 0, EHOSTUNREACH },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_maps(CURLE_COULDNT_CONNECT, rows[i].os_errno, rows[i].err);
}

static void test_a_silent_name_server(void **state)
{
	const char *what = NULL;

	assert_int_equal(curl_error_map(CURLE_OPERATION_TIMEDOUT, 0,
					"Resolving timed out after 1000 milliseconds", &what),
			 -ETIMEDOUT);
	assert_string_equal(what, "no name server answers, to find");
	assert_int_equal(curl_error_map(CURLE_OPERATION_TIMEDOUT, 0,
					"Connection timed out after 1000 milliseconds", &what),
			 -ETIMEDOUT);
	assert_string_equal(what, "no answer in time from");
}

/* As the versions of libcurl call it. */
static void test_a_proxy_that_gives_no_way(void **state)
{
	static const char *const details[] = {
		"CONNECT tunnel failed, response 407",
		"Proxy CONNECT aborted",
	};
	const char *what = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(details); i++) {
		assert_int_equal(curl_error_map(CURLE_RECV_ERROR, 0, details[i], &what),
				 -EHOSTUNREACH);
		assert_string_equal(what, "the proxy refused the way to");
		assert_int_equal(curl_error_map(CURLE_COULDNT_CONNECT, 0, details[i], &what),
				 -EHOSTUNREACH);
	}
	assert_int_equal(curl_error_map(CURLE_OPERATION_TIMEDOUT, 0,
					"Proxy CONNECT aborted due to timeout", &what),
			 -ETIMEDOUT);
	assert_string_equal(what, "no answer in time from the proxy for");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_code),
		cmocka_unit_test(test_connect_errors),
		cmocka_unit_test(test_a_silent_name_server),
		cmocka_unit_test(test_a_proxy_that_gives_no_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
