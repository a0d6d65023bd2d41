/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_mount.h"
#include "token.h"

static char *dir;
static const char *self; /* argv[0] */

static int set_up(void **state)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	dup2(null, STDIN_FILENO); /* no prompt, wherever this test is run */
	close(null);
	unsetenv("CELIGO_API_TOKEN");
	unsetenv("CREDENTIALS_DIRECTORY");
	dir = fake_dir();
	return dir ? 0 : -1;
}

static int tear_down(void **state)
{
	fake_dir_remove(dir);
	return 0;
}

static void expect(const char *file, const char *token)
{
	struct token source;
	struct message why;
	struct secret *secret;

	if (token_find(file, &source, &secret, &why) != 0)
		fail_msg("%s", why.text);
	assert_string_equal(secret_bytes(secret), token);
	secret_unref(secret);
	token_done(&source);
}

/* why may be the end of the message. */
static void expect_failure(const char *file, int err, const char *why_end)
{
	struct token source;
	struct message why;
	struct secret *secret = NULL;

	assert_int_equal(token_find(file, &source, &secret, &why), err);
	assert_null(secret);
	assert_true(strlen(why.text) >= strlen(why_end));
	assert_string_equal(why.text + strlen(why.text) - strlen(why_end), why_end);
	assert_null(strstr(why.text, "canary"));
}

static void test_file(void **state)
{
	expect(fake_file(dir, "t", "abc.DEF-123", 0600), "abc.DEF-123");
	expect(fake_file(dir, "t", "abc \t\r\n\n", 0400), "abc");
}

static void test_bad_files(void **state)
{
	static const struct {
		const char *content, *why;
	} rows[] = {
		{ "", ": no token in it, only blanks" },
		{ " \n\n", ": no token in it, only blanks" },
		{ "canary\nsecond\n", ": more than one line, not a token" },
		{ "canary second", ": byte 7 cannot be part of a token" },
		{ " canary", ": byte 1 cannot be part of a token" },
		{ "canary\x7f", ": byte 7 cannot be part of a token" },
		{ "canary\xc3\xa4", ": byte 7 cannot be part of a token" },
		{ "canary\rx", ": byte 7 cannot be part of a token" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect_failure(fake_file(dir, "t", rows[i].content, 0600), -EBADMSG, rows[i].why);
	expect_failure("/nonexistent/t", -ENOENT, "/nonexistent/t: No such file or directory");
	expect_failure(dir, -EINVAL, ": not a regular file");
}

static void test_modes(void **state)
{
	static const mode_t open_to_others[] = { 0640, 0604, 0644, 0620, 0602 };

	for (size_t i = 0; i < ARRAY_SIZE(open_to_others); i++) {
		const char *path = fake_file(dir, "m", "canary", open_to_others[i]);
		char why[4200];

		snprintf(why, sizeof(why), "run: chmod 600 %s", path);
		expect_failure(path, -EPERM, why);
	}
}

static void test_fifo_does_not_block(void **state)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_failure(path, -EINVAL, ": not a regular file");
}

static void test_symlink(void **state)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/link", dir);
	fake_file(dir, "target", "abc", 0600);
	assert_int_equal(symlink("target", path), 0);
	expect(path, "abc");
}

static void test_largest(void **state)
{
	char *text = malloc(SECRET_MAX_BYTES + 3);

	memset(text, 'x', SECRET_MAX_BYTES + 2);
	text[SECRET_MAX_BYTES] = '\0';
	expect(fake_file(dir, "big", text, 0600), text);
	text[SECRET_MAX_BYTES] = 'x';
	text[SECRET_MAX_BYTES + 1] = '\0';
	expect_failure(fake_file(dir, "big", text, 0600), -EBADMSG,
		       ": more than 64 KiB, not a token");
	free(text);
}

static void test_reload(void **state)
{
	struct token source;
	struct message why;
	struct secret *secret;

	assert_int_equal(token_find(fake_file(dir, "r", "one", 0600), &source, &secret, &why), 0);
	secret_unref(secret);
	fake_file(dir, "r", "two\n", 0600);
	assert_int_equal(token_load(&source, &secret), 0);
	assert_string_equal(secret_bytes(secret), "two");
	secret_unref(secret);
	fake_file(dir, "r", "three", 0644);
	assert_int_equal(token_load(&source, &secret), -EPERM);
	token_done(&source);
}

static void test_credential(void **state)
{
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	setenv("CELIGO_API_TOKEN", "from-environment", 1);
	expect(NULL, "from-environment"); /* no such file in it */

	fake_file(dir, "stacksfs.token", "from-credential\n", 0444);
	setenv("CELIGO_API_TOKEN", "from-environment", 1);
	expect(NULL, "from-credential");
	assert_null(getenv("CELIGO_API_TOKEN")); /* wiped though not used */
	expect(fake_file(dir, "t", "from-file", 0600), "from-file");

	fake_file(dir, "stacksfs.token", "", 0444); /* there, so it counts */
	setenv("CELIGO_API_TOKEN", "from-environment", 1);
	expect_failure(NULL, -EBADMSG, ": no token in it, only blanks");
	unsetenv("CREDENTIALS_DIRECTORY");
}

static void test_environment(void **state)
{
	struct token source;
	struct message why;
	struct secret *secret;

	setenv("CELIGO_API_TOKEN", "abc\n", 1);
	assert_int_equal(token_find(NULL, &source, &secret, &why), 0);
	assert_string_equal(secret_bytes(secret), "abc");
	secret_unref(secret);
	assert_int_equal(token_load(&source, &secret), -ENOENT);
	token_done(&source);

	setenv("CELIGO_API_TOKEN", "canary canary", 1);
	expect_failure(NULL, -EBADMSG, "CELIGO_API_TOKEN: byte 7 cannot be part of a token");
	setenv("CELIGO_API_TOKEN", "", 1);
	expect_failure(NULL, -ENOENT, "no token: set CELIGO_API_TOKEN or give -o token_file=FILE");
	expect_failure(NULL, -ENOENT, "no token: set CELIGO_API_TOKEN or give -o token_file=FILE");
}

/* What /proc/PID/environ shows are the bytes at the start of the process, so
 * this program starts itself; see main. */
static void test_proc_environ(void **state)
{
	char *env[] = { (char[]){ "CELIGO_API_TOKEN=canary-first" }, (char[]){ "OTHER=kept" },
			(char[]){ "CELIGO_API_TOKEN=canary-second" }, NULL };
	char *argv[] = { (char[]){ "self" }, (char[]){ "environ" }, NULL };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execve(self, argv, env);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int check_proc_environ(void)
{
	struct token source;
	struct message why;
	struct secret *secret;
	char text[4096];

	if (token_find(NULL, &source, &secret, &why) != 0)
		return 1;
	if (strcmp(secret_bytes(secret), "canary-first") != 0)
		return 2;
	secret_unref(secret);
	int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text));
	close(fd);
	if (n <= 0 || !memmem(text, (size_t)n, "OTHER=kept", 10))
		return 3;
	return memmem(text, (size_t)n, "canary", 6) ? 4 : 0;
}

/* ---- the prompt ---- */

struct terminal {
	int master, slave;
	pid_t pid;
	char seen[1024];
	size_t len;
};

/* A child with a terminal of its own asks for the token; it exits with 0 when
 * it is "abc", with the error's number when there is none. */
static void terminal_start(struct terminal *t)
{
	*t = (struct terminal){ .master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC) };
	assert_true(t->master >= 0);
	assert_int_equal(grantpt(t->master) | unlockpt(t->master), 0);
	t->slave = open(ptsname(t->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(t->slave >= 0);
	t->pid = fork();
	if (t->pid == 0) {
		struct token source;
		struct message why;
		struct secret *secret;

		setsid();
		ioctl(t->slave, TIOCSCTTY, 0);
		dup2(t->slave, STDIN_FILENO);
		int r = token_find(NULL, &source, &secret, &why);
		if (r < 0)
			_exit(-r);
		_exit(strcmp(secret_bytes(secret), "abc") == 0 ? 0 : 255);
	}
}

static void terminal_await(struct terminal *t, const char *text)
{
	while (!memmem(t->seen, t->len, text, strlen(text))) {
		struct pollfd fd = { .fd = t->master, .events = POLLIN };

		assert_int_equal(poll(&fd, 1, 20000), 1);
		ssize_t n = read(t->master, t->seen + t->len, sizeof(t->seen) - t->len);
		assert_true(n > 0);
		t->len += (size_t)n;
	}
}

static void terminal_type(struct terminal *t, const char *keys)
{
	assert_int_equal(write(t->master, keys, strlen(keys)), strlen(keys));
}

static bool terminal_echoes(const struct terminal *t)
{
	struct termios termios;

	assert_int_equal(tcgetattr(t->slave, &termios), 0);
	return termios.c_lflag & ECHO;
}

static int terminal_end(struct terminal *t)
{
	int status;

	assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
	assert_true(terminal_echoes(t));
	close(t->slave);
	close(t->master);
	return status;
}

static void test_prompt(void **state)
{
	struct terminal t;

	terminal_start(&t);
	terminal_await(&t, "account: ");
	assert_false(terminal_echoes(&t));
	terminal_type(&t, "abc\n");
	terminal_await(&t, "\r\n");
	assert_null(memmem(t.seen, t.len, "abc", 3));
	assert_int_equal(terminal_end(&t), 0);
}

static void test_prompt_end_of_file(void **state)
{
	struct terminal t;

	terminal_start(&t);
	terminal_await(&t, "account: ");
	terminal_type(&t, "\x04");
	int status = terminal_end(&t);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EBADMSG);
}

/* Ctrl-C ends us as it would anybody, and the terminal echoes again. */
static void test_prompt_interrupted(void **state)
{
	static const struct {
		const char *key;
		int signal;
	} rows[] = { { "\x03", SIGINT }, { "\x1c", SIGQUIT }, { NULL, SIGTERM }, { NULL, SIGHUP } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct terminal t;

		terminal_start(&t);
		terminal_await(&t, "account: ");
		if (rows[i].key)
			terminal_type(&t, rows[i].key);
		else
			kill(t.pid, rows[i].signal);
		int status = terminal_end(&t);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), rows[i].signal);
	}
}

/* Stopped at the prompt, and continued: it asks again.  (The kernel does not
 * stop an orphaned process group, which this one is: it goes on at once.) */
static void test_prompt_continued(void **state)
{
	struct terminal t;

	terminal_start(&t);
	terminal_await(&t, "account: ");
	kill(t.pid, SIGTSTP);
	terminal_await(&t, "account: \r\nBearer");
	terminal_await(&t, "\nBearer token of the integrator.io account: ");
	terminal_type(&t, "abc\n");
	assert_int_equal(terminal_end(&t), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_fifo_does_not_block),
		cmocka_unit_test(test_symlink),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_credential),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_proc_environ),
		cmocka_unit_test(test_prompt),
		cmocka_unit_test(test_prompt_end_of_file),
		cmocka_unit_test(test_prompt_interrupted),
		cmocka_unit_test(test_prompt_continued),
	};

	self = argv[0];
	if (argc > 1)
		return check_proc_environ();
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
