/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "command.h"
#include "fake_mount.h"
#include "mountpoint.h"
#include "status.h"

static const char full[] =
	"{\"version\":\"0.1.0\",\"source\":\"https://api.integrator.io\",\"mountpoint\":\"/mnt/s\","
	"\"pid\":1234,\"uptime_s\":90061,\"api\":{\"state\":\"stale\",\"since_s\":65,"
	"\"list_age_s\":312,\"list_took_ms\":340,\"ttl_s\":30,\"last_error\":"
	"{\"errno\":110,\"message\":\"no \\u001b[31manswer\",\"age_s\":3}},"
	"\"stacks\":{\"total\":42,\"server\":30,\"lambda\":12,\"other\":0},"
	"\"cache\":{\"hits\":1204,\"misses\":31,\"stale\":0},"
	"\"requests\":{\"list\":{\"200\":3,\"503\":1},\"record\":{},\"token\":{\"404\":2},"
	"\"dependencies\":{}},\"http\":{\"calls\":40,\"tries\":43,\"retries\":3,\"failures\":0,"
	"\"running\":2,\"queued\":0,\"received_bytes\":1258291,\"latency_ms\":"
	"{\"p50\":120,\"p90\":340,\"p99\":900}},\"scratch\":{\"bytes\":0,\"limit\":67108864},"
	"\"errors\":2,\"later\":[{\"pid\":1}],\"even\":{\"deeper\":{\"still\":{\"x\":{\"y\":1}}}}}"
	"\n";

static const char full_printed[] =
	"mount       /mnt/s, https://api.integrator.io\n"
	"state       stale, for 1 min 5 s\n"
	"list        5 min 12 s old, fresh for 30 s, took 340 ms\n"
	"last error  no ?[31manswer, 3 s ago\n"
	"stacks      42, 30 server, 12 lambda\n"
	"cache       1204 hits, 31 misses, 0 stale\n"
	"requests    list          200: 3, 503: 1\n"
	"            token         404: 2\n"
	"http        40 calls, 43 tries, 3 retries, 0 failures, 2 running, 0 queued, "
	"1.1 MiB received\n"
	"latency     half within 120 ms, 90 % within 340 ms, 99 % within 900 ms\n"
	"scratch     0 B of 64 MiB\n"
	"errors      2, see /mnt/s/.stacksfs/errors\n"
	"process     1234, up 1 d 1 h, stacksfs 0.1.0\n";

static char *print(const char *text)
{
	struct status s;
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	assert_int_equal(status_parse(text, strlen(text), &s), 0);
	status_print(&s, f);
	fclose(f);
	return out;
}

static void test_print(void **state)
{
	static const struct {
		const char *text, *printed;
	} rows[] = {
		{ full, full_printed },
		{ "{}", "" },
		{ "{\"pid\":7}", "process     7\n" },
		{ "{\"api\":{\"state\":\"stale\",\"last_error\":{\"message\":\"away\",\"age_s\":7200}},"
		  "\"http\":{\"running\":0,\"queued\":0}}",
		  "state       stale\n"
		  "last error  away, 2 h ago, and not tried again since (stacksfs refresh asks)\n"
		  "http        0 running, 0 queued\n" },
		{ "{\"api\":{\"state\":\"ok\",\"last_error\":null}}", "state       ok\n" },
		{ "{\"api\":null,\"pid\":\"7\",\"version\":7,\"stacks\":[1],\"errors\":0}",
		  "errors      0\n" },
		{ "{\"pid\":-7,\"uptime_s\":1e3,\"errors\":2.9}", "errors      2\n" },
		{ "{\"errors\":99999999999999999999}", "" },
		{ "{\"scratch\":{\"bytes\":0,\"limit\":0}}", "" },
		{ "{\"mountpoint\":\"/m\",\"refused\":[\"/a/config.json.refused\",[\"x\"],7,"
		  "\"/b\\n/config.json.refused\"],\"drafts\":[\"/c/config.json\"],\"lost\":3,"
		  "\"changes\":2,\"api\":{\"refused\":[\"no\"]}}",
		  "mount       /m\n"
		  "changes     2 under way\n"
		  "refused     /m/a/config.json.refused\n"
		  "            /m/b?/config.json.refused\n"
		  "unsaved     /m/c/config.json\n"
		  "lost        3 texts, see /m/.stacksfs/lost\n" },
		{ "{\"refused\":[],\"drafts\":\"/c\",\"lost\":0,\"changes\":0}",
		  "unsaved     /c\n" },
		{ "{\"requests\":{\"200\":3,\"list\":{\"200\":\"x\"}}}", "" },
		{ "{\"version\":\"12345678901234567890123456789\\u00e4\\u00e4\"}",
		  "process     stacksfs 12345678901234567890123456789\u00e4\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *printed = print(rows[i].text);

		assert_string_equal(printed, rows[i].printed);
		free(printed);
	}
}

static void test_not_json(void **state)
{
	static const char *const texts[] = { "", "[]", "7", "{", "{\"a\":}", "{\"a\":{\"b\":1}" };
	struct status s;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(status_parse(texts[i], strlen(texts[i]), &s), -EBADMSG);
}

/* More endpoints than there is room for: the rest is left out. */
static void test_many_requests(void **state)
{
	struct buf text = BUF_INIT(STATUS_MAX_BYTES);
	static struct status s;

	assert_int_equal(buf_puts(&text, "{\"requests\":{\"x\":{\"0\":0"), 0);
	for (int i = 1; i < 1000; i++)
		assert_int_equal(buf_printf(&text, ",\"%d\":%d", i, i), 0);
	assert_int_equal(buf_puts(&text, "}}}"), 0);
	assert_int_equal(status_parse(text.data, text.len, &s), 0);
	assert_int_equal(s.n_requests, STATUS_MAX_REQUESTS);
	assert_string_equal(s.requests[63].status, "63");
	buf_done(&text);
}

/* More refused saves than are shown: the rest is counted. */
static void test_many_paths(void **state)
{
	struct buf text = BUF_INIT(STATUS_MAX_BYTES);

	assert_int_equal(buf_puts(&text, "{\"refused\":[\"/0\""), 0);
	for (int i = 1; i < 1000; i++)
		assert_int_equal(buf_printf(&text, ",\"/%d\"", i), 0);
	assert_int_equal(buf_puts(&text, "]}"), 0);
	char *printed = print(text.data);

	assert_non_null(strstr(printed, "            /19\n            and 980 more\n"));
	free(printed);
	buf_done(&text);
}

static void test_units(void **state)
{
	char text[STATUS_TEXT_BYTES];

	assert_string_equal(status_duration(0, text), "0 s");
	assert_string_equal(status_duration(59, text), "59 s");
	assert_string_equal(status_duration(60, text), "1 min");
	assert_string_equal(status_duration(3661, text), "1 h 1 min");
	assert_string_equal(status_duration(3601, text), "1 h");
	assert_string_equal(status_duration(UINT64_MAX - 1, text), "213503982334601 d 7 h");
	assert_string_equal(status_bytes(0, text), "0 B");
	assert_string_equal(status_bytes(1023, text), "1023 B");
	assert_string_equal(status_bytes(1024, text), "1 KiB");
	assert_string_equal(status_bytes(1536, text), "1.5 KiB");
	assert_string_equal(status_bytes(UINT64_MAX, text), "16777215.9 TiB");
}

static void test_member(void **state)
{
	static const char line[] = "{\"time\":1,\"in\":{\"message\":\"x\"},\"message\":\"a\\nb\"}";
	char text[8];

	assert_int_equal(status_member(line, strlen(line), "message", text, sizeof(text)), 0);
	assert_string_equal(text, "a?b");
	assert_int_equal(status_member(line, strlen(line), "none", text, sizeof(text)), 0);
	assert_string_equal(text, "");
	assert_int_equal(status_member("x", 1, "message", text, sizeof(text)), -EBADMSG);
}

/* ---- on mounts ---- */

struct run {
	int status;
	char *out, *err;
};

static void run_done(struct run *r)
{
	free(r->out);
	free(r->err);
}

static struct run run(enum options_command command, enum options_format format, const char *path)
{
	struct options o = { .command = command, .format = format, .mountpoint = (char *)path };
	struct run r = { 0 };
	size_t out_len, err_len;
	FILE *out = open_memstream(&r.out, &out_len), *err = open_memstream(&r.err, &err_len);

	r.status =
		command == OPTIONS_STATUS ? command_status(&o, out, err) : command_refresh(&o, err);
	fclose(out);
	fclose(err);
	return r;
}

/* "%s" in what is expected stands for dir. */
static void expect(enum options_command command, enum options_format format, const char *dir,
		   int status, const char *out, const char *err)
{
	CLEANUP(run_done) struct run r = run(command, format, dir);
	const char *const expected[] = { out, err };
	const char *const got[] = { r.out, r.err };

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		struct buf text = BUF_INIT(STATUS_MAX_BYTES);

		for (const char *at = expected[i]; *at; at++) {
			bool path = at[0] == '%' && at[1] == 's';

			assert_int_equal(path ? buf_puts(&text, dir) : buf_append(&text, at, 1), 0);
			at += path;
		}
		assert_string_equal(got[i], text.data ? text.data : "");
		buf_done(&text);
	}
	assert_int_equal(r.status, status);
}

/* pid 0: it is dead already. */
static void end_mount(pid_t pid, char *dir)
{
	if (pid > 0)
		fake_mount_kill(pid);
	assert_int_equal(mountpoint_detach(dir), 0);
	fake_dir_remove(dir);
}

static void test_status(void **state)
{
	static const struct {
		const char *text, *check;
		int check_status;
	} rows[] = {
		{ "{\"api\":{\"state\":\"ok\",\"list_age_s\":12}}\n", "ok: %s, list 12 s old\n",
		  0 },
		{ "{\"api\":{\"state\":\"ok\"}}\n", "ok: %s\n", 0 },
		{ full, "stale: %s, list 5 min 12 s old: no ?[31manswer, 3 s ago\n", 1 },
		{ "{\"api\":{\"state\":\"stale\",\"last_error\":{\"message\":\"away\",\"age_s\":7200}},"
		  "\"http\":{\"running\":0,\"queued\":0}}\n",
		  "stale: %s: away, 2 h ago, and not tried again since\n", 1 },
		{ "{\"api\":{\"state\":\"error\",\"last_error\":{\"message\":\"away\",\"age_s\":20}},"
		  "\"http\":{\"running\":1,\"queued\":0}}\n",
		  "error: %s: away, 20 s ago\n", 1 },
		{ "{\"api\":{\"state\":\"ok\"},\"refused\":[\"/a/config.json.refused\"]}\n",
		  "refused: %s: 1 save refused, %s/a/config.json.refused\n", 1 },
		{ "{\"refused\":[\"/a\",\"/b\"],\"api\":{\"state\":\"ok\",\"list_age_s\":3}}\n",
		  "refused: %s, list 3 s old: 2 saves refused, the first: %s/a\n", 1 },
		{ "{\"api\":{\"state\":\"error\"}}\n", "error: %s: no reason given\n", 1 },
		{ "{}\n", "error: %s: no reason given\n", 1 },
	};

	if (!fake_mount_possible())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *dir = fake_dir();
		struct fake_mount spec = { .dir = dir, .status = rows[i].text };
		pid_t pid = fake_mount_start(&spec);
		char *printed = print(rows[i].text);

		expect(OPTIONS_STATUS, OPTIONS_CHECK, dir, rows[i].check_status, rows[i].check, "");
		expect(OPTIONS_STATUS, OPTIONS_JSON, dir, 0, rows[i].text, "");
		expect(OPTIONS_STATUS, OPTIONS_FOR_PEOPLE, dir, 0, printed, "");
		free(printed);
		end_mount(pid, dir);
	}
}

static void test_status_no_json(void **state)
{
	if (!fake_mount_possible())
		skip();
	char *dir = fake_dir();
	struct fake_mount spec = { .dir = dir, .status = "nonsense" };
	pid_t pid = fake_mount_start(&spec);

	expect(OPTIONS_STATUS, OPTIONS_CHECK, dir, 1, "error: %s: its status is no JSON\n", "");
	expect(OPTIONS_STATUS, OPTIONS_FOR_PEOPLE, dir, 1,
	       "mount       %s, us\nstate       error: its status is no JSON\n", "");
	end_mount(pid, dir);
}

static void test_not_mounted(void **state)
{
	char *dir = fake_dir();

	expect(OPTIONS_STATUS, OPTIONS_FOR_PEOPLE, dir, 1, "",
	       "stacksfs: %s: not a stacksfs mount\n");
	expect(OPTIONS_STATUS, OPTIONS_CHECK, dir, 1, "error: %s: not a stacksfs mount\n", "");
	expect(OPTIONS_REFRESH, OPTIONS_FOR_PEOPLE, dir, 1, "",
	       "stacksfs: %s: not a stacksfs mount\n");
	expect(OPTIONS_STATUS, OPTIONS_FOR_PEOPLE, "/nonexistent", 1, "",
	       "stacksfs: %s: no such directory\n");
	fake_dir_remove(dir);
}

static void test_dead_and_hung(void **state)
{
	static const struct {
		int signal;
		const char *check, *json, *people, *refresh;
	} rows[] = {
		{ SIGKILL, "dead: %s: its process is gone; to clear it: fusermount3 -u -z %s\n",
		  "{\n  \"mountpoint\": \"%s\",\n  \"api\": {\n    \"state\": \"dead\"\n  }\n}\n",
		  "mount       %s, us\n"
		  "state       dead: its process is gone; to clear it: fusermount3 -u -z %s\n",
		  "stacksfs: %s: not refreshed: its process is gone; "
		  "to clear it: fusermount3 -u -z %s\n" },
		{ SIGSTOP, "silent: %s: its process is there but does not answer\n",
		  "{\n  \"mountpoint\": \"%s\",\n  \"api\": {\n    \"state\": \"silent\"\n  }\n}\n",
		  "mount       %s, us\nstate       silent: its process is there but does not "
		  "answer\n",
		  "stacksfs: %s: not refreshed: its process does not answer\n" },
	};

	if (!fake_mount_possible())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *dir = fake_dir();
		struct fake_mount spec = { .dir = dir };
		pid_t pid = fake_mount_start(&spec);

		if (rows[i].signal == SIGKILL)
			fake_mount_kill(pid);
		else
			kill(pid, rows[i].signal);
		expect(OPTIONS_STATUS, OPTIONS_CHECK, dir, 1, rows[i].check, "");
		expect(OPTIONS_STATUS, OPTIONS_JSON, dir, 1, rows[i].json, "");
		expect(OPTIONS_STATUS, OPTIONS_FOR_PEOPLE, dir, 1, rows[i].people, "");
		expect(OPTIONS_REFRESH, OPTIONS_FOR_PEOPLE, dir, 1, "", rows[i].refresh);
		end_mount(rows[i].signal == SIGKILL ? 0 : pid, dir);
	}
}

static void test_refresh(void **state)
{
	static const struct {
		int error;
		const char *errors, *err;
	} rows[] = {
		{ 0, "{\"message\":\"old\"}\n", "" },
		{ -EACCES,
		  "{\"message\":\"older\"}\n{\"errno\":13,\"message\":\"token refused\"}\n",
		  "stacksfs: %s: not refreshed: token refused\n" },
		{ -EHOSTUNREACH, "", "stacksfs: %s: not refreshed: No route to host\n" },
		{ -EIO, "broken\n", "stacksfs: %s: not refreshed: Input/output error\n" },
		{ -EIO, "{\"message\":\"cut", "stacksfs: %s: not refreshed: Input/output error\n" },
	};

	if (!fake_mount_possible())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *dir = fake_dir();
		struct fake_mount spec = { .dir = dir,
					   .refresh_error = rows[i].error,
					   .errors = rows[i].errors };
		pid_t pid = fake_mount_start(&spec);

		expect(OPTIONS_REFRESH, OPTIONS_FOR_PEOPLE, dir, rows[i].error ? 1 : 0, "",
		       rows[i].err);
		end_mount(pid, dir);
	}
}

/* A long file of errors: its end is read. */
static void test_refresh_long_errors(void **state)
{
	if (!fake_mount_possible())
		skip();
	char *dir = fake_dir();
	struct buf errors = BUF_INIT(STATUS_MAX_BYTES);

	for (int i = 0; i < 10000; i++)
		assert_int_equal(buf_printf(&errors, "{\"message\":\"number %d\"}\n", i), 0);
	struct fake_mount spec = { .dir = dir, .refresh_error = -EIO, .errors = errors.data };
	pid_t pid = fake_mount_start(&spec);

	expect(OPTIONS_REFRESH, OPTIONS_FOR_PEOPLE, dir, 1, "",
	       "stacksfs: %s: not refreshed: number 9999\n");
	end_mount(pid, dir);
	buf_done(&errors);
}

static void test_status_of_none(void **state)
{
	if (!fake_mount_possible())
		skip();
	expect(OPTIONS_STATUS, OPTIONS_FOR_PEOPLE, NULL, 0, "no stacksfs mount\n", "");
	expect(OPTIONS_STATUS, OPTIONS_CHECK, NULL, 1, "no stacksfs mount\n", "");
	expect(OPTIONS_STATUS, OPTIONS_JSON, NULL, 0, "", "");
}

/* Without MOUNTPOINT: all of them. */
static void test_status_of_all(void **state)
{
	if (!fake_mount_possible())
		skip();
	char *dirs[] = { fake_dir(), fake_dir() };
	struct fake_mount specs[] = {
		{ .dir = dirs[0], .status = "{\"api\":{\"state\":\"ok\"}}" },
		{ .dir = dirs[1], .status = full },
	};
	pid_t pids[] = { fake_mount_start(&specs[0]), fake_mount_start(&specs[1]) };
	char line[4200];

	struct run r = run(OPTIONS_STATUS, OPTIONS_CHECK, NULL);
	assert_int_equal(r.status, 1);
	snprintf(line, sizeof(line), "ok: %s\nstale: %s, list 5 min 12 s old: ", dirs[0], dirs[1]);
	assert_non_null(strstr(r.out, line));
	run_done(&r);

	r = run(OPTIONS_STATUS, OPTIONS_JSON, NULL);
	assert_non_null(strstr(r.out, "{\"api\":{\"state\":\"ok\"}}\n{\"version\""));
	run_done(&r);
	r = run(OPTIONS_STATUS, OPTIONS_FOR_PEOPLE, NULL);
	assert_non_null(strstr(r.out, "state       ok\n\nmount "));
	run_done(&r);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		end_mount(pids[i], dirs[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_not_json),
		cmocka_unit_test(test_many_requests),
		cmocka_unit_test(test_many_paths),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_member),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_status_no_json),
		cmocka_unit_test(test_not_mounted),
		cmocka_unit_test(test_dead_and_hung),
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_refresh_long_errors),
		cmocka_unit_test(test_status_of_none),
		cmocka_unit_test(test_status_of_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
