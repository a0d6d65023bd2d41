/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "options.h"

#define MAX_WORDS 16

/* Words are divided by spaces; "_" stands for an empty one. */
static int parse(const char *line, struct options *ret, struct message *why)
{
	char text[512];
	char *argv[MAX_WORDS] = { 0 };
	char *rest = text, *word;
	int argc = 0;

	snprintf(text, sizeof(text), "%s", line);
	why->text[0] = '\0';
	while ((word = strsep(&rest, " ")) && argc < MAX_WORDS)
		argv[argc++] = strcmp(word, "_") == 0 ? word + 1 : word;
	return options_parse(argc, argv, ret, why);
}

static struct options accept(const char *line)
{
	struct options o;
	struct message why;

	if (parse(line, &o, &why) != 0)
		fail_msg("%s: %s", line, why.text);
	return o;
}

static void refuse(const char *line, const char *expected)
{
	struct options o = { .ttl_s = 4711 };
	struct message why;

	if (parse(line, &o, &why) == 0)
		fail_msg("%s: accepted", line);
	assert_string_equal(why.text, expected);
	assert_int_equal(o.ttl_s, 4711); /* untouched */
}

static bool has_fuse_arg(const struct options *o, const char *arg)
{
	for (int i = 0; i < o->fuse_argc; i++)
		if (strcmp(o->fuse_argv[i], arg) == 0)
			return true;
	return false;
}

static int forget_environment(void **state)
{
	return unsetenv("CELIGO_BASE_URL");
}

static void test_defaults(void **state)
{
	struct options o = accept("stacksfs /mnt/s");

	assert_int_equal(o.command, OPTIONS_MOUNT);
	assert_string_equal(o.source, "us");
	assert_string_equal(o.mountpoint, "/mnt/s");
	assert_false(o.foreground || o.debug || o.fake || o.ro);
	assert_null(o.token_file);
	assert_null(o.cacert);
	assert_null(o.proxy);
	assert_int_equal(o.ttl_s, 30);
	assert_int_equal(o.stale_s, 3600);
	assert_int_equal(o.timeout_s, 30);
	assert_int_equal(o.rate_per_s, 100);
	assert_true(o.tokens);
	assert_int_equal(o.grace_s, 10);
	assert_string_equal(o.rotate_by, "rm:unlink");
	assert_null(o.state);
	assert_int_equal(o.scratch, 64 << 20);
	assert_int_equal(o.max_delete, 10);
	assert_int_equal(o.max_rotate, 10);
	assert_false(o.overwrite || o.dry_run || o.delete_in_use);
	assert_int_equal(o.uid, getuid());
	assert_int_equal(o.gid, getgid());
	assert_int_equal(o.umask, 077);
	assert_string_equal(o.fuse_argv[0], "stacksfs");
	assert_true(has_fuse_arg(&o, "-osubtype=stacksfs"));
	assert_true(has_fuse_arg(&o, "-odefault_permissions"));
	assert_true(has_fuse_arg(&o, "-ofsname=us"));
	assert_int_equal(o.fuse_argc, 4);
	assert_null(o.fuse_argv[o.fuse_argc]);
	options_done(&o);
}

static void test_source(void **state)
{
	static const struct {
		const char *variable, *line, *source, *fsname;
	} rows[] = {
		{ NULL, "stacksfs eu /m", "eu", "-ofsname=eu" },
		{ NULL, "stacksfs none /m", "us", "-ofsname=none" },
		{ NULL, "stacksfs _ /m", "us", "-ofsname=us" },
		{ "", "stacksfs /m", "us", "-ofsname=us" },
		{ "https://a.example/v1", "stacksfs /m", "https://a.example/v1",
		  "-ofsname=https://a.example/v1" },
		{ "https://a.example/v1", "stacksfs none /m", "https://a.example/v1",
		  "-ofsname=none" },
		{ "https://a.example/v1", "stacksfs eu /m", "eu", "-ofsname=eu" },
		{ NULL, "stacksfs eu /m -o fsname=a\\,b\\\\c", "eu", "-ofsname=a\\,b\\\\c" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].variable)
			setenv("CELIGO_BASE_URL", rows[i].variable, 1);
		struct options o = accept(rows[i].line);

		assert_string_equal(o.source, rows[i].source);
		assert_string_equal(o.mountpoint, "/m");
		assert_true(has_fuse_arg(&o, rows[i].fsname));
		options_done(&o);
		unsetenv("CELIGO_BASE_URL");
	}
}

static void test_values(void **state)
{
	struct options o =
		accept("stacksfs -fd us /m -o ttl=0,stale=2592000 -otimeout=1,rate=0 "
		       "-o tokens=no,ro,uid=7,gid=4294967294,umask=022 "
		       "-o token_file=/t\\,1,cacert=/c,proxy=http://p:1,allow_other,noexec");

	assert_true(o.foreground && o.debug);
	assert_int_equal(o.ttl_s, 0);
	assert_int_equal(o.stale_s, 2592000);
	assert_int_equal(o.timeout_s, 1);
	assert_int_equal(o.rate_per_s, 0);
	assert_false(o.tokens);
	assert_true(o.ro);
	assert_int_equal(o.uid, 7);
	assert_true(o.gid == 4294967294u);
	assert_int_equal(o.umask, 022);
	assert_string_equal(o.token_file, "/t,1");
	assert_string_equal(o.cacert, "/c");
	assert_string_equal(o.proxy, "http://p:1");
	assert_true(has_fuse_arg(&o, "-oallow_other"));
	assert_true(has_fuse_arg(&o, "-onoexec"));
	assert_false(has_fuse_arg(&o, "-oro"));
	options_done(&o);
}

static void test_last_one_counts(void **state)
{
	struct options o = accept("stacksfs /m -o ro,ttl=1,proxy=a,tokens=no -o ttl=2,rw,proxy=,,"
				  "tokens=yes,");

	assert_int_equal(o.ttl_s, 2);
	assert_false(o.ro);
	assert_true(o.tokens);
	assert_string_equal(o.proxy, "");
	options_done(&o);
}

static void test_paths_become_absolute(void **state)
{
	char *cwd = getcwd(NULL, 0);
	char expected[4200];
	struct options o = accept("stacksfs /m -o token_file=t,cacert=d/c");

	snprintf(expected, sizeof(expected), "%s/t", cwd);
	assert_string_equal(o.token_file, expected);
	snprintf(expected, sizeof(expected), "%s/d/c", cwd);
	assert_string_equal(o.cacert, expected);
	options_done(&o);
	free(cwd);
}

static void test_mount_helper(void **state)
{
	struct options o = accept("/sbin/mount.stacksfs none /m -v -s -n -t fuse.stacksfs "
				  "-o rw,noexec,nosuid,nodev,_netdev,nofail,x-systemd.automount,"
				  "user=joe,comment=a,nonsense,relatime,defaults,ttl=5");

	assert_int_equal(o.ttl_s, 5);
	assert_false(o.fake || o.foreground);
	assert_true(has_fuse_arg(&o, "-onoexec"));
	options_done(&o);

	o = accept("/sbin/mount.fuse.stacksfs us /m -fv -o rw");
	assert_true(o.fake);
	assert_false(o.foreground);
	options_done(&o);

	o = accept("mount.stacksfs status /m"); /* a SOURCE, if not a good one */
	assert_int_equal(o.command, OPTIONS_MOUNT);
	assert_string_equal(o.source, "status");
	options_done(&o);

	/* Type fuse.stacksfs without the link: mount.fuse3 runs us by our name. */
	o = accept("stacksfs none /m -o rw,dev,suid");
	assert_string_equal(o.source, "us");
	options_done(&o);

	refuse("mount.stacksfs us /m -o remount,ro,ttl=5",
	       "the options of a mount cannot be changed while it is there; unmount and mount anew");
	refuse("mount.stacksfs us /m -N ns", "-N: cannot mount in another namespace");
	refuse("mount.stacksfs us /m -o rw,nonsense", "unknown option 'nonsense'");
}

static void test_subcommands(void **state)
{
	static const struct {
		const char *line;
		enum options_command command;
		enum options_format format;
		const char *mountpoint;
	} rows[] = {
		{ "stacksfs status", OPTIONS_STATUS, OPTIONS_FOR_PEOPLE, NULL },
		{ "stacksfs status /m", OPTIONS_STATUS, OPTIONS_FOR_PEOPLE, "/m" },
		{ "stacksfs status --json /m", OPTIONS_STATUS, OPTIONS_JSON, "/m" },
		{ "stacksfs status /m --check", OPTIONS_STATUS, OPTIONS_CHECK, "/m" },
		{ "stacksfs status -- --json", OPTIONS_STATUS, OPTIONS_FOR_PEOPLE, "--json" },
		{ "stacksfs refresh /m", OPTIONS_REFRESH, OPTIONS_FOR_PEOPLE, "/m" },
		{ "stacksfs doctor", OPTIONS_DOCTOR, OPTIONS_FOR_PEOPLE, NULL },
		{ "stacksfs doctor eu", OPTIONS_DOCTOR, OPTIONS_FOR_PEOPLE, NULL },
		{ "stacksfs doctor ./eu -o ro", OPTIONS_DOCTOR, OPTIONS_FOR_PEOPLE, "./eu" },
		{ "stacksfs doctor x /m", OPTIONS_DOCTOR, OPTIONS_FOR_PEOPLE, "/m" },
		{ "stacksfs us status", OPTIONS_MOUNT, OPTIONS_FOR_PEOPLE, "status" },
		{ "stacksfs -f status", OPTIONS_MOUNT, OPTIONS_FOR_PEOPLE, "status" },
		{ "stacksfs -- status", OPTIONS_MOUNT, OPTIONS_FOR_PEOPLE, "status" },
		{ "stacksfs -", OPTIONS_MOUNT, OPTIONS_FOR_PEOPLE, "-" },
		{ "stacksfs --help", OPTIONS_HELP, OPTIONS_FOR_PEOPLE, NULL },
		{ "stacksfs status --help", OPTIONS_HELP, OPTIONS_FOR_PEOPLE, NULL },
		{ "stacksfs us /m -o nonsense -h", OPTIONS_HELP, OPTIONS_FOR_PEOPLE, NULL },
		{ "stacksfs --version", OPTIONS_VERSION, OPTIONS_FOR_PEOPLE, NULL },
		{ "mount.stacksfs -V", OPTIONS_VERSION, OPTIONS_FOR_PEOPLE, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct options o = accept(rows[i].line);

		assert_int_equal(o.command, rows[i].command);
		assert_int_equal(o.format, rows[i].format);
		if (rows[i].mountpoint)
			assert_string_equal(o.mountpoint, rows[i].mountpoint);
		else
			assert_null(o.mountpoint);
		options_done(&o);
	}
}

/* Of doctor both operands may be missing. */
static void test_doctor(void **state)
{
	static const struct {
		const char *line, *source, *mountpoint;
	} rows[] = {
		{ "stacksfs doctor", "us", NULL },
		{ "stacksfs doctor none", "us", NULL },
		{ "stacksfs doctor eu", "eu", NULL },
		{ "stacksfs doctor https://a.example", "https://a.example", NULL },
		{ "stacksfs doctor /m", "us", "/m" },
		{ "stacksfs doctor eu eu", "eu", "eu" },
		{ "stacksfs doctor nonsense /m", "nonsense", "/m" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct options o = accept(rows[i].line);

		assert_string_equal(o.source, rows[i].source);
		if (rows[i].mountpoint)
			assert_string_equal(o.mountpoint, rows[i].mountpoint);
		else
			assert_null(o.mountpoint);
		options_done(&o);
	}
	struct options o = accept("stacksfs doctor /m -o ttl=3,allow_other");
	assert_int_equal(o.ttl_s, 3);
	assert_true(has_fuse_arg(&o, "-oallow_other"));
	options_done(&o);
	refuse("stacksfs doctor eu _", "the MOUNTPOINT is empty");
	refuse("stacksfs doctor a b c", "one operand too many: 'c'");
	refuse("stacksfs doctor -f", "unknown option -f");
}

static void test_refused(void **state)
{
	static const struct {
		const char *line, *why;
	} rows[] = {
		{ "stacksfs", "no MOUNTPOINT given" },
		{ "stacksfs us _", "the MOUNTPOINT is empty" },
		{ "stacksfs refresh", "no MOUNTPOINT given" },
		{ "stacksfs us /m /n", "one operand too many: '/n'" },
		{ "stacksfs status /m /n", "one operand too many: '/n'" },
		{ "stacksfs -x /m", "unknown option -x" },
		{ "stacksfs -fx /m", "unknown option -x" },
		{ "stacksfs -v /m", "unknown option -v" },
		{ "stacksfs --foo /m", "unknown option --foo" },
		{ "stacksfs --json /m", "unknown option --json" },
		{ "stacksfs status -o ro", "unknown option -o" },
		{ "stacksfs refresh -f /m", "unknown option -f" },
		{ "stacksfs status --json --check", "--json or --check, not both" },
		{ "stacksfs /m -o", "-o needs a value" },
		{ "stacksfs /m -o ttl", "ttl needs a value: ttl=SECONDS" },
		{ "stacksfs /m -o ttl=", "ttl=: not a number of seconds" },
		{ "stacksfs /m -o ttl=abc", "ttl=abc: not a number of seconds" },
		{ "stacksfs /m -o ttl=-1", "ttl=-1: not a number of seconds" },
		{ "stacksfs /m -o ttl=3s", "ttl=3s: not a number of seconds" },
		{ "stacksfs /m -o ttl=86401", "ttl=86401: not between 0 and 86400" },
		{ "stacksfs /m -o timeout=0", "timeout=0: not between 1 and 3600" },
		{ "stacksfs /m -o rate=99999999999999999999",
		  "rate=99999999999999999999: not between 0 and 10000" },
		{ "stacksfs /m -o rate=x", "rate=x: not a number of requests per second" },
		{ "stacksfs /m -o uid=root", "uid=root: not a numeric user id" },
		{ "stacksfs /m -o uid=4294967295", "uid=4294967295: not between 0 and 4294967294" },
		{ "stacksfs /m -o umask=8", "umask=8: not an octal number up to 777" },
		{ "stacksfs /m -o umask=1000", "umask=1000: not an octal number up to 777" },
		{ "stacksfs /m -o umask=", "umask=: not an octal number up to 777" },
		{ "stacksfs /m -o tokens=maybe", "tokens= takes yes or no" },
		{ "stacksfs /m -o tokens", "tokens needs a value: tokens=no" },
		{ "stacksfs /m -o ro=1", "ro takes no value" },
		{ "stacksfs /m -o allow_other=1", "allow_other takes no value" },
		{ "stacksfs /m -o context", "context needs a value: context=CONTEXT" },
		{ "stacksfs /m -o token_file=", "token_file= needs a value" },
		{ "stacksfs /m -o fsname=", "fsname= needs a value" },
		{ "stacksfs /m -o tll=3", "unknown option 'tll'; is 'ttl' meant?" },
		{ "stacksfs /m -o TTL=3", "unknown option 'TTL'; is 'ttl' meant?" },
		{ "stacksfs /m -o allowother",
		  "unknown option 'allowother'; is 'allow_other' meant?" },
		{ "stacksfs /m -o =3", "unknown option ''" },
		{ "stacksfs /m -o a\tb", "unknown option 'a?b'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		refuse(rows[i].line, rows[i].why);
}

static void test_changes(void **state)
{
	struct options o = accept("stacksfs /m -o grace=1,overwrite,rotate_by=rm,state=none,scratch=2M,"
				  "dry_run,delete_in_use,max_delete=0,max_rotate=7");

	assert_int_equal(o.grace_s, 1);
	assert_true(o.overwrite && o.dry_run && o.delete_in_use);
	assert_string_equal(o.rotate_by, "rm");
	assert_string_equal(o.state, "none");
	assert_int_equal(o.scratch, 2 << 20);
	assert_int_equal(o.max_delete, 0);
	assert_int_equal(o.max_rotate, 7);
	options_done(&o);

	o = accept("stacksfs /m -o state=/var/x,scratch=1048576,rotate_by=");
	assert_string_equal(o.state, "/var/x");
	assert_int_equal(o.scratch, 1 << 20);
	assert_string_equal(o.rotate_by, "");
	options_done(&o);

	refuse("stacksfs /m -o scratch=1M1",
	       "scratch=1M1: not a number of bytes (K, M or G may follow)");
	refuse("stacksfs /m -o scratch=M", "scratch=M: not a number of bytes (K, M or G may follow)");
	refuse("stacksfs /m -o scratch=1K", "scratch=1K: not between 1048576 and 1073741824");
	refuse("stacksfs /m -o scratch=4000000G",
	       "scratch=4000000G: not between 1048576 and 1073741824");
	refuse("stacksfs /m -o state=", "state= needs a value");
	refuse("stacksfs /m -o max_delete=5000", "max_delete=5000: not between 0 and 4096");
}

static void test_no_token_in_messages(void **state)
{
	static const char *const lines[] = { "stacksfs /m -o token=canary-secret",
					     "stacksfs /m -o tokens=canary-secret",
					     "stacksfs /m -o tokn=canary-secret",
					     "stacksfs /m -o allow_other=canary-secret" };

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct options o;
		struct message why;

		assert_int_equal(parse(lines[i], &o, &why), -EINVAL);
		assert_null(strstr(why.text, "canary"));
	}
	refuse("stacksfs /m -o token=x", "token= would show the token to every user of this "
					 "machine; give token_file=FILE or set CELIGO_API_TOKEN");
}

static void test_too_long(void **state)
{
	char *value = malloc(20000);
	const char *const words[] = { "stacksfs", "/m", "-o", value, NULL };
	char *const *argv = (char *const *)words;
	struct options o;
	struct message why;

	memset(value, 'x', 19999);
	value[19999] = '\0';
	assert_int_equal(options_parse(4, argv, &o, &why), -EINVAL);
	assert_int_equal(strlen(why.text), MESSAGE_MAX_BYTES - 1);
	memcpy(value, "fsname=", 7);
	assert_int_equal(options_parse(4, argv, &o, &why), -EINVAL);
	assert_string_equal(why.text, "fsname: the value is too long");
	assert_int_equal(options_parse(0, argv, &o, &why), -EINVAL); /* execve with no argv */
	free(value);
}

/* Under 80 columns, and every option that it names is one. */
static void test_help(void **state)
{
	char *text = NULL, *rest, *line;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	unsigned options = 0;

	options_help(f);
	fclose(f);
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		char name[64];
		size_t n = strspn(line + (strncmp(line, "  ", 2) == 0 ? 2 : 0),
				  "abcdefghijklmnopqrstuvwxyz_");

		assert_true(strlen(line) < 80);
		if (strncmp(line, "  ", 2) != 0 || n == 0)
			continue;
		snprintf(name, sizeof(name), "stacksfs /m -o %.*s%s", (int)n, line + 2,
			 line[2 + n] == '=' ? "=1" : "");
		struct options o;
		struct message why;
		if (parse(name, &o, &why) == 0)
			options_done(&o);
		else
			assert_null(strstr(why.text, "unknown"));
		options++;
	}
	assert_int_equal(options, 25);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_last_one_counts),
		cmocka_unit_test(test_paths_become_absolute),
		cmocka_unit_test(test_mount_helper),
		cmocka_unit_test(test_subcommands),
		cmocka_unit_test(test_doctor),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_no_token_in_messages),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_help),
	};

	return cmocka_run_group_tests(tests, forget_environment, NULL);
}
