/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/link.h"

static int next(const char *field, const char *base, char out[LINK_MAX_TARGET])
{
	char *exact = strdup(field);

	assert_non_null(exact);
	int r = link_next(exact, base, out, LINK_MAX_TARGET);
	free(exact);
	return r;
}

static void test_found(void **state)
{
	static const struct {
		const char *field, *target;
	} rows[] = {
		{ "<https://api.integrator.io/v1/stacks?p=2>; rel=\"next\"", "/v1/stacks?p=2" },
		{ "<http://10.0.0.1:8080/v1/stacks?p=2>;rel=next", "/v1/stacks?p=2" },
		{ "<HTTPS://evil.example/v1/stacks?p=2>; rel=next", "/v1/stacks?p=2" },
		{ "<https://user:pw@[::1]:1/v1/stacks?p=2>; rel=next", "/v1/stacks?p=2" },
		{ "<//other.host/v1/stacks?p=2>; rel=next", "/v1/stacks?p=2" },
		{ "</v1/stacks?p=2>; rel=next", "/v1/stacks?p=2" },
		{ "</v1/stacks>; rel=next", "/v1/stacks" },
		{ "</v1/stacks/page/2>; rel=next", "/v1/stacks/page/2" },
		{ "<?p=2>; rel=next", "/v1/stacks?p=2" },
		{ "<>; rel=next", "/v1/stacks" },
		{ "<stacks?p=2>; rel=next", "/v1/stacks?p=2" },
		{ "</v1/stacks?p=2#top>; rel=next", "/v1/stacks?p=2" },
		{ "</v1/stacks?a=%2e%2e/..&b=[x]:@!$'()*+,;=~>; rel=next",
		  "/v1/stacks?a=%2e%2e/..&b=[x]:@!$'()*+,;=~" },
		{ "</v1/stacks?a,b;c>; rel=next", "/v1/stacks?a,b;c" },
		{ "</v1/stacks?p=2>; REL=NEXT", "/v1/stacks?p=2" },
		{ "</v1/stacks?p=2>; rel=\"prev Next\tlast\"", "/v1/stacks?p=2" },
		{ "</v1/stacks?p=2>;title=\"a, <b>; rel=\\\"prev\\\"\" ; rel=next", "/v1/stacks?p=2" },
		{ "</v1/stacks?p=2> ; foo ; bar= \"x\" ;rel = next", "/v1/stacks?p=2" },
		{ "</v1/stacks?p=2>; rel=next; rel=prev", "/v1/stacks?p=2" },
		{ "</v1/stacks?p=2>; rel=next; title*=UTF-8''%e2%82%ac", "/v1/stacks?p=2" },
		{ ", ,</v1/stacks?p=1>; rel=prev ,, </v1/stacks?p=3>; rel=next", "/v1/stacks?p=3" },
		{ "</v1/stacks?p=1>, </v1/stacks?p=3>; rel=next", "/v1/stacks?p=3" },
		{ "</v1/stacks?p=3>; rel=next, <https://x/else>; rel=next", "/v1/stacks?p=3" },
		{ "</x>; rel=\"prev\", </y>; rel=first; title=\",rel=next\", </v1/stacks?p=3>; rel=next",
		  "/v1/stacks?p=3" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char out[LINK_MAX_TARGET];

		if (next(rows[i].field, "", out) != 0)
			fail_msg("refused: %s", rows[i].field);
		assert_string_equal(out, rows[i].target);
	}
}

static void test_none(void **state)
{
	static const char *const fields[] = {
		"", " , ", "</v1/stacks?p=1>", "</v1/stacks?p=1>; rel=prev", "</v1/stacks>; rel=nextish",
		"</v1/stacks>; rel=\"next-archive\"", "</v1/stacks>; rel=\"\"", "</v1/stacks>; rel",
		"</v1/stacks>; rel=prev; rel=next", "</v1/stacks>; rel*=next", "</v1/stacks>; rev=next",
		"</v1/stacks>; title=\"rel=next\"", "</v1/stacks>; title=\"; rel=next\"",
		"</v1/stacks>; title=next", "<https://elsewhere/>; rel=\"preload\"; as=style",
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		char out[LINK_MAX_TARGET] = "untouched";

		assert_int_equal(next(fields[i], "", out), -ENOENT);
		assert_string_equal(out, "untouched");
	}
}

static void test_refused(void **state)
{
	static const char *const fields[] = {
		/* not below the list */
		"</v1/users>; rel=next", "</v1/stacksx?p=2>; rel=next", "</v1/stack>; rel=next",
		"</>; rel=next", "</v1>; rel=next", "</v1/>; rel=next", "<https://h>; rel=next",
		"<https://h?p=2>; rel=next", "<//h>; rel=next", "</V1/stacks>; rel=next",
		"<//v1/stacks>; rel=next", "</v1//stacks>; rel=next", "</x/v1/stacks>; rel=next",
		"</v1/%73tacks>; rel=next", "<users>; rel=next", "<../v1/stacks>; rel=next",
		/* dot segments, and what may become one */
		"</v1/stacks/../users>; rel=next", "</v1/stacks/..>; rel=next",
		"</v1/stacks/.?p=2>; rel=next", "</v1/stacks/%2e%2e/users>; rel=next",
		"</v1/stacks/%2E./users>; rel=next", "</v1/stacks/.%2e>; rel=next",
		"</v1/./stacks>; rel=next", "</v1/stacks%2f..%2fusers>; rel=next",
		"</v1/stacks/..%2Fusers>; rel=next", "</v1/stacks/x%5c..%5cusers>; rel=next",
		"</v1/stacks/x%00y>; rel=next", "</v1/stacks/..;a=b/users>; rel=next",
		/* another scheme, or none at all where there must be one */
		"<ftp://h/v1/stacks>; rel=next", "<javascript:alert(1)>; rel=next",
		"<https:/v1/stacks>; rel=next", "<https:v1/stacks>; rel=next",
		"<file:///v1/stacks>; rel=next", "<h:80/v1/stacks>; rel=next",
		/* bytes that no URL has */
		"</v1/stacks?a b>; rel=next", "</v1/stacks?a\r\nX: y>; rel=next",
		"</v1/stacks?\x7f>; rel=next", "</v1/stacks?\xc3\xa9>; rel=next",
		"</v1/stacks?a\"b>; rel=next", "</v1/stacks?a\\b>; rel=next",
		"</v1/stacks?a|b>; rel=next", "</v1/stacks?{}>; rel=next", "</v1/stacks?^`>; rel=next",
		"</v1/stacks?<b>; rel=next",
		"</v1/stacks?%>; rel=next", "</v1/stacks?%2>; rel=next", "</v1/stacks?%zz>; rel=next",
		/* a field that cannot be read */
		"/v1/stacks?p=2; rel=next", "</v1/stacks?p=2; rel=next", "<", "x", ";", "</a> x",
		"</a>; rel=\"next", "</a>; rel=\"next\\", "</a>; rel=\"next\\\"", "</a>; rel=",
		"</a>; =next", "</a>; rel=next\xff", "</a>; rel=next</b>",
		"</a>; rel=prev </v1/stacks>; rel=next", "</a>; rel=\"prev\"x, </v1/stacks>; rel=next",
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		char out[LINK_MAX_TARGET] = "untouched";

		if (next(fields[i], "", out) != -EBADMSG)
			fail_msg("taken: %s as %s", fields[i], out);
		assert_string_equal(out, "untouched");
	}
}

static void test_base_path(void **state)
{
	static const struct {
		const char *field, *base, *target;
	} rows[] = {
		{ "<https://h/proxy/x/v1/stacks?p=2>; rel=next", "/proxy/x", "/v1/stacks?p=2" },
		{ "</proxy/x/v1/stacks?p=2>; rel=next", "/proxy/x", "/v1/stacks?p=2" },
		{ "<https://h/v1/stacks?p=2>; rel=next", "/proxy/x", "/v1/stacks?p=2" },
		{ "<?p=2>; rel=next", "/proxy/x", "/v1/stacks?p=2" },
		{ "<stacks?p=2>; rel=next", "/proxy/x", "/v1/stacks?p=2" },
		{ "</proxy/xv1/stacks?p=2>; rel=next", "/proxy/x", NULL },
		{ "</proxy/x>; rel=next", "/proxy/x", NULL },
		{ "</proxy/x/../v1/stacks>; rel=next", "/proxy/x", NULL },
		{ "</proxy/x/proxy/x/v1/stacks>; rel=next", "/proxy/x", NULL },
		{ "</proxy/v1/stacks>; rel=next", "", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char out[LINK_MAX_TARGET];
		int r = next(rows[i].field, rows[i].base, out);

		assert_int_equal(r, rows[i].target ? 0 : -EBADMSG);
		if (rows[i].target)
			assert_string_equal(out, rows[i].target);
	}
}

/* A field whose target, host included, has len bytes. */
static int next_of_length(const char *head, size_t len, size_t size)
{
	size_t head_len = strlen(head);
	char *field = malloc(len + 20), *out = malloc(size);

	assert_non_null(field);
	assert_non_null(out);
	field[0] = '<';
	memcpy(field + 1, head, head_len);
	memset(field + 1 + head_len, 'x', len - head_len);
	memcpy(field + 1 + len, ">; rel=next", sizeof(">; rel=next"));
	int r = link_next(field, "", out, size);
	if (r == 0)
		assert_true(strlen(out) < size);
	free(field);
	free(out);
	return r;
}

static void test_length(void **state)
{
	static const char path[] = "/v1/stacks?p=", url[] = "https://host/v1/stacks?p=";

	assert_int_equal(next_of_length(path, 20, 21), 0);
	assert_int_equal(next_of_length(path, 20, 20), -EMSGSIZE);
	assert_int_equal(next_of_length(path, LINK_MAX_TARGET - 1, LINK_MAX_TARGET), 0);
	assert_int_equal(next_of_length(path, LINK_MAX_TARGET, LINK_MAX_TARGET), -EMSGSIZE);
	assert_int_equal(next_of_length(url, LINK_MAX_TARGET + 11, LINK_MAX_TARGET), 0);
	assert_int_equal(next_of_length(url, LINK_MAX_TARGET + 12, LINK_MAX_TARGET), -EMSGSIZE);
	assert_int_equal(next_of_length("?p=", 2 * LINK_MAX_TARGET, LINK_MAX_TARGET), -EMSGSIZE);
	assert_int_equal(next_of_length(path, 3 * 1024 * 1024, LINK_MAX_TARGET), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_base_path),
		cmocka_unit_test(test_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
