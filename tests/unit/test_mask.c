/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "draft/mask.h"

static void check(const char *body, const char *shown)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(4096);

	assert_int_equal(buf_puts(&out, "PUT x "), 0);
	assert_int_equal(mask_secrets((struct document){ body, strlen(body) }, &out), 0);
	assert_memory_equal(out.data, "PUT x ", 6);
	assert_string_equal(out.data + 6, shown);
}

static void test_secrets_are_masked(void **state)
{
	check("{}", "{}");
	check("{\"name\":\"a\\u0062\",\"n\":1.50,\"l\":[1,null,{}]}",
	      "{\"name\":\"a\\u0062\",\"n\":1.50,\"l\":[1,null,{}]}");
	check("{\"lambda\":{\"accessKeyId\":\"id\",\"secretAccessKey\":\"canary\"}}",
	      "{\"lambda\":{\"accessKeyId\":\"id\",\"secretAccessKey\":\"******\"}}");
	check("{\"server\":{\"systemToken\":\"canary\",\"hostURI\":\"https://x\"}}",
	      "{\"server\":{\"systemToken\":\"******\",\"hostURI\":\"https://x\"}}");
}

static void test_all_below_a_secret_name_is(void **state)
{
	check("{\"dbPassword\":{\"a\":\"canary\",\"b\":[12,true,null,[\"canary\"]],"
	      "\"accessKeyId\":\"id\"}}",
	      "{\"dbPassword\":{\"a\":\"******\",\"b\":[\"******\",true,null,[\"******\"]],"
	      "\"accessKeyId\":\"id\"}}");
	check("{\"l\":[{\"to\\u006ben\":\"canary\"},\"open\"]}",
	      "{\"l\":[{\"to\\u006ben\":\"******\"},\"open\"]}");
}

static void test_failures_leave_nothing(void **state)
{
	static const char secret[] = "{\"key\":\"canary\"}";
	struct document body = { secret, strlen(secret) };
	struct buf out = BUF_INIT(10);

	assert_int_equal(buf_puts(&out, "x"), 0);
	assert_int_equal(mask_secrets(body, &out), -EMSGSIZE);
	assert_string_equal(out.data, "x");
	body.len--;
	assert_int_equal(mask_secrets(body, &out), -EBADMSG);
	assert_string_equal(out.data, "x");
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secrets_are_masked),
		cmocka_unit_test(test_all_below_a_secret_name_is),
		cmocka_unit_test(test_failures_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
