/* SPDX-License-Identifier: MIT */
/* That nobody gets the token who cannot show a certificate for the origin. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <microhttpd.h>

#include "http_client.h"
#include "tls_keys.h"

static _Atomic unsigned n_requests;

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *data,
			      size_t *data_size, void **state)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(2, (void *)"[]", MHD_RESPMEM_PERSISTENT);
	enum MHD_Result r = MHD_queue_response(connection, 200, response);

	n_requests++;
	MHD_destroy_response(response);
	return r;
}

static struct MHD_Daemon *server_new(const char *cert, const char *key)
{
	struct MHD_Daemon *server = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_TLS, 0, NULL, NULL, answer, NULL,
		MHD_OPTION_HTTPS_MEM_CERT, cert, MHD_OPTION_HTTPS_MEM_KEY, key, MHD_OPTION_END);

	assert_non_null(server);
	n_requests = 0;
	return server;
}

/* libcurl takes the authorities from a file. */
static void ca_path(char *path, size_t size, int *ret_fd)
{
	int fd = memfd_create("ca", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, tls_ca, sizeof(tls_ca) - 1), sizeof(tls_ca) - 1);
	snprintf(path, size, "/proc/self/fd/%d", fd);
	*ret_fd = fd;
}

static void get(const char *cert, const char *key, const char *cacert, int *ret_err,
		int *ret_status)
{
	struct MHD_Daemon *server = server_new(cert, key);
	struct http_spec spec = client_get("/v1/stacks", 100);
	struct reply reply;
	char url[64];

	snprintf(url, sizeof(url), "https://127.0.0.1:%u",
		 MHD_get_daemon_info(server, MHD_DAEMON_INFO_BIND_PORT)->port);
	struct http *http = client_new(url, &(struct curl_options){ .cacert = cacert });
	client_call(http, &spec, &reply);
	*ret_err = reply.err;
	*ret_status = reply.status;
	assert_false(reply.processed_maybe);
	reply_free(&reply);
	http_free(http);
	MHD_stop_daemon(server);
}

static void test_trusted(void **state)
{
	char path[64];
	int fd, err, status;

	ca_path(path, sizeof(path), &fd);
	get(tls_local_cert, tls_local_key, path, &err, &status);
	assert_int_equal(err, 0);
	assert_int_equal(status, 200);
	assert_int_equal(n_requests, 1);
	close(fd);
}

static void assert_refused(const char *cert, const char *key, const char *cacert)
{
	int err, status;

	get(cert, key, cacert, &err, &status);
	assert_int_equal(err, -EPROTO);
	assert_int_equal(status, 0);
	assert_int_equal(n_requests, 0);
}

static void test_unknown_authority(void **state)
{
	assert_refused(tls_local_cert, tls_local_key, NULL);
}

static void test_other_host(void **state)
{
	char path[64];
	int fd;

	ca_path(path, sizeof(path), &fd);
	assert_refused(tls_other_cert, tls_other_key, path);
	close(fd);
}

static void test_no_such_authority_file(void **state)
{
	assert_refused(tls_local_cert, tls_local_key, "/proc/self/no-such-file");
}

int main(void)
{
	if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
		return 77; /* skipped */
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trusted),
		cmocka_unit_test(test_unknown_authority),
		cmocka_unit_test(test_other_host),
		cmocka_unit_test(test_no_such_authority_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
