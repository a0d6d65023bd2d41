/* SPDX-License-Identifier: MIT */
#include "http/origin.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_accepted(void **state)
{
	static const struct {
		const char *source, *url, *scheme, *host;
		unsigned port;
		bool loopback;
		const char *base_path;
	} rows[] = {
		{ "us", "https://api.integrator.io", "https", "api.integrator.io", 443, false, "" },
		{ "eu", "https://api.eu.integrator.io", "https", "api.eu.integrator.io", 443, false,
		  "" },
		{ "https://api.integrator.io/", "https://api.integrator.io", "https",
		  "api.integrator.io", 443, false, "" },
		{ "https://api.integrator.io/v1", "https://api.integrator.io", "https",
		  "api.integrator.io", 443, false, "" },
		{ "https://h/v1/", "https://h", "https", "h", 443, false, "" },
		{ "https://h/x/y", "https://h/x/y", "https", "h", 443, false, "/x/y" },
		{ "https://h/x/y/v1//", "https://h/x/y", "https", "h", 443, false, "/x/y" },
		{ "https://h/xv1", "https://h/xv1", "https", "h", 443, false, "/xv1" },
		{ "https://h/a/../b", "https://h/b", "https", "h", 443, false, "/b" },
		{ "HTTPS://API.Example:443", "https://api.example", "https", "api.example", 443,
		  false, "" },
		{ "https://h:8443", "https://h:8443", "https", "h", 8443, false, "" },
		{ "https://h:80", "https://h:80", "https", "h", 80, false, "" },
		{ "https://[2001:db8::1]/v1", "https://[2001:db8::1]", "https", "2001:db8::1", 443,
		  false, "" },
		{ "http://127.0.0.1:8080", "http://127.0.0.1:8080", "http", "127.0.0.1", 8080, true,
		  "" },
		{ "http://127.200.3.4", "http://127.200.3.4", "http", "127.200.3.4", 80, true, "" },
		{ "http://localhost:1/x", "http://localhost:1/x", "http", "localhost", 1, true,
		  "/x" },
		{ "http://LocalHost", "http://localhost", "http", "localhost", 80, true, "" },
		{ "http://[::1]:80", "http://[::1]", "http", "::1", 80, true, "" },
		{ "https://localhost", "https://localhost", "https", "localhost", 443, true, "" },
		/* Another spelling of 127.0.0.1, which is what would be connected to. */
		{ "http://2130706433", "http://127.0.0.1", "http", "127.0.0.1", 80, true, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct origin o;
		const char *why = NULL;
		int r = origin_parse(rows[i].source, &o, &why);

		if (r < 0)
			print_error("%s: %d %s\n", rows[i].source, r, why);
		assert_int_equal(r, 0);
		assert_string_equal(o.url, rows[i].url);
		assert_string_equal(o.scheme, rows[i].scheme);
		assert_string_equal(o.host, rows[i].host);
		assert_int_equal(o.port, rows[i].port);
		assert_int_equal(o.loopback, rows[i].loopback);
		assert_string_equal(o.base_path, rows[i].base_path);
		assert_null(why);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *source;
		int err;
	} rows[] = {
		{ "", -EINVAL },
		{ "none", -EINVAL },
		{ "US", -EINVAL },
		{ "api.integrator.io", -EINVAL },
		{ "https:/host", -EINVAL },
		{ "https://", -EINVAL },
		{ "https:///host", -EINVAL },
		{ "://host", -EINVAL },
		{ "ftp://host", -EINVAL },
		{ "file:///etc/passwd", -EINVAL },
		{ "gopher://127.0.0.1", -EINVAL },
		{ "https://user@host", -EINVAL },
		{ "https://user:pw@host", -EINVAL },
		{ "https://:pw@host", -EINVAL },
		{ "https://@host", -EINVAL },
		{ "https://host?x", -EINVAL },
		{ "https://host/?x=1", -EINVAL },
		{ "https://host/?", -EINVAL },
		{ "https://host#f", -EINVAL },
		{ "https://ho st", -EINVAL },
		{ "https://host\r\nX: y", -EINVAL },
		{ "https://h\xc3\xb6st", -EINVAL },
		{ "https://h%c3%b6st", -EINVAL },
		{ "https://host:0", -EINVAL },
		{ "https://host:65536", -EINVAL },
		{ "https://host:x", -EINVAL },
		{ "https://[::1", -EINVAL },
		{ "https://[fe80::1%25eth0]", -EINVAL },
		{ "http://api.integrator.io", -EACCES },
		{ "http://128.0.0.1", -EACCES },
		{ "http://10.0.0.1", -EACCES },
		{ "http://[::2]", -EACCES },
		{ "http://[::ffff:127.0.0.1]", -EACCES },
		{ "http://localhost.example", -EACCES },
		{ "http://127.0.0.1.example", -EACCES },
		{ "http://0.0.0.0", -EACCES },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct origin o;
		const char *why = NULL;
		int r;

		memset(&o, 0x5a, sizeof(o));
		r = origin_parse(rows[i].source, &o, &why);
		if (r != rows[i].err)
			print_error("%s: %d\n", rows[i].source, r);
		assert_int_equal(r, rows[i].err);
		assert_non_null(why);
		assert_int_equal(o.scheme[0], 0x5a); /* untouched */
	}
}

static int parse_long(size_t host_len, size_t path_len, struct origin *ret)
{
	char source[2048];
	const char *why = NULL;
	size_t n = (size_t)snprintf(source, sizeof(source), "https://");

	memset(source + n, 'h', host_len);
	n += host_len;
	source[n++] = '/';
	memset(source + n, 'p', path_len);
	source[n + path_len] = '\0';
	return origin_parse(source, ret, &why);
}

static void test_bounds(void **state)
{
	struct origin o;

	assert_int_equal(parse_long(255, 510, &o), 0);
	assert_int_equal(strlen(o.host), 255);
	assert_int_equal(strlen(o.base_path), 511);
	assert_int_equal(parse_long(256, 1, &o), -ENAMETOOLONG);
	assert_int_equal(parse_long(1, 511, &o), -ENAMETOOLONG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
