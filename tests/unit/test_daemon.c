/* SPDX-License-Identifier: MIT */
/* Each case runs in a process of its own, as the program would, which forks
 * again.  What the daemon sees comes back through shared memory, because its
 * descriptors are closed. */
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
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon.h"
#include "fake_mount.h"
#include "message.h"

static struct shared {
	_Atomic bool done;
	_Atomic bool go;
	int start, ready;
	char cwd[64];
	bool fd_open, own_session, stderr_was_open;
	ino_t stdio[3]; /* after daemon_ready */
	bool environment;
} * shared;

struct outcome {
	int status;      /* of the program */
	char text[4096]; /* on its stderr */
};

static int set_up(void **state)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	return shared == MAP_FAILED ? -1 : 0;
}

static int clear(void **state)
{
	memset(shared, 0, sizeof(*shared));
	unsetenv("NOTIFY_SOCKET");
	return 0;
}

static void await(const _Atomic bool *flag)
{
	for (int i = 0; i < 2000 && !*flag; i++)
		poll(NULL, 0, 10);
}

/* Run program with stdout and stderr in a pipe, until it has exited and every
 * copy of the pipe is closed. */
static void run(void (*program)(void), struct outcome *ret)
{
	int fds[2];
	size_t len = 0;
	ssize_t n;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		program();
		_exit(99);
	}
	close(fds[1]);
	while ((n = read(fds[0], ret->text + len, sizeof(ret->text) - 1 - len)) > 0)
		len += (size_t)n;
	ret->text[len] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &ret->status, 0), pid);
}

/* The parent exits here, as main does. */
static struct daemon start(bool foreground)
{
	struct daemon d;
	int status = 98;

	shared->start = daemon_start(foreground, &d, &status);
	if (shared->start != 0)
		_exit(status);
	return d;
}

static void note_stdio(void)
{
	struct stat st;

	for (int i = 0; i < 3; i++)
		shared->stdio[i] = fstat(i, &st) == 0 ? st.st_ino : 0;
}

/* ---- it works ---- */

static void good_program(void)
{
	int extra = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct daemon d = start(false);

	shared->fd_open = fcntl(extra, F_GETFD) >= 0;
	shared->stderr_was_open = dprintf(STDERR_FILENO, "a warning\n") > 0;
	if (!getcwd(shared->cwd, sizeof(shared->cwd)))
		_exit(1);
	shared->ready = daemon_ready(&d);
	shared->own_session = getsid(0) == getpid();
	note_stdio();
	await(&shared->go); /* still there after the program has exited */
	shared->done = true;
	_exit(0);
}

static void test_ready(void **state)
{
	struct outcome o;
	struct stat null;

	run(good_program, &o);
	assert_true(WIFEXITED(o.status));
	assert_int_equal(WEXITSTATUS(o.status), 0);
	assert_string_equal(o.text, "a warning\n");
	assert_false(shared->done);
	shared->go = true;
	await(&shared->done);
	assert_true(shared->done);
	assert_int_equal(shared->ready, 0);
	assert_string_equal(shared->cwd, "/");
	assert_false(shared->fd_open);
	assert_true(shared->stderr_was_open);
	assert_true(shared->own_session);
	assert_int_equal(stat("/dev/null", &null), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(shared->stdio[i], null.st_ino);
}

static void closed_program(void)
{
	for (int i = 0; i < 3; i++)
		close(i);
	struct daemon d = start(false);

	shared->fd_open = d.fd > STDERR_FILENO;
	shared->ready = daemon_ready(&d);
	shared->done = true;
	_exit(0);
}

/* Started with 0, 1 and 2 closed, as some init scripts do. */
static void test_without_stdio(void **state)
{
	struct outcome o;

	run(closed_program, &o);
	assert_int_equal(WEXITSTATUS(o.status), 0);
	await(&shared->done);
	assert_true(shared->fd_open);
	assert_int_equal(shared->ready, 0);
}

/* ---- it does not ---- */

static void failing_program(void)
{
	struct daemon d = start(false);

	daemon_failed(&d, "token refused");
	daemon_failed(&d, "said once only");
	_exit(0);
}

static void long_failing_program(void)
{
	static char text[3 * MESSAGE_MAX_BYTES];
	struct daemon d = start(false);

	memset(text, 'x', sizeof(text) - 1);
	daemon_failed(&d, text);
	_exit(0);
}

static void dying_program(void)
{
	start(false);
	_exit(0); /* without a word, so it is no success */
}

static void killed_program(void)
{
	start(false);
	kill(getpid(), SIGKILL);
}

static void test_failures(void **state)
{
	static const struct {
		void (*program)(void);
		const char *text;
	} rows[] = {
		{ failing_program, "stacksfs: token refused\n" },
		{ dying_program, "stacksfs: died before the mount was ready\n" },
		{ killed_program, "stacksfs: died before the mount was ready: Killed\n" },
	};
	struct outcome o;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		run(rows[i].program, &o);
		assert_true(WIFEXITED(o.status));
		assert_int_equal(WEXITSTATUS(o.status), 1);
		assert_string_equal(o.text, rows[i].text);
	}
	run(long_failing_program, &o);
	assert_int_equal(WEXITSTATUS(o.status), 1);
	assert_int_equal(strlen(o.text), strlen("stacksfs: \n") + MESSAGE_MAX_BYTES);
}

static void left_program(void)
{
	pid_t caller = getpid();
	struct daemon d = start(false);

	kill(caller, SIGKILL);
	while (getppid() == caller)
		poll(NULL, 0, 10);
	shared->ready = daemon_ready(&d);
	shared->done = true;
	_exit(0);
}

/* The caller was killed: nobody knows of the mount, so it is to be undone. */
static void test_caller_gone(void **state)
{
	struct outcome o;

	run(left_program, &o);
	assert_true(WIFSIGNALED(o.status));
	await(&shared->done);
	assert_int_equal(shared->ready, -EPIPE);
}

/* ---- in the foreground ---- */

static void foreground_program(void)
{
	int extra = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pid_t before = getpid();
	struct daemon d = start(true);

	shared->fd_open = fcntl(extra, F_GETFD) >= 0;
	shared->ready = daemon_ready(&d);
	dprintf(STDERR_FILENO, "%s\n", getpid() == before ? "same process" : "another");
	daemon_failed(&d, "some reason");
	_exit(3);
}

static void test_foreground(void **state)
{
	struct outcome o;

	run(foreground_program, &o);
	assert_int_equal(WEXITSTATUS(o.status), 3);
	assert_string_equal(o.text, "same process\nstacksfs: some reason\n");
	assert_false(shared->fd_open); /* nor does it keep what its caller had open */
}

/* ---- sd_notify ---- */

static void notifying_program(void)
{
	struct daemon d = start(true);

	shared->environment = getenv("NOTIFY_SOCKET");
	shared->ready = daemon_ready(&d);
	_exit(0);
}

/* name: as in the variable. */
static int listen_at(const char *name)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(name) < sizeof(at.sun_path));
	memcpy(at.sun_path, name, strlen(name));
	if (name[0] == '@')
		at.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&at,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	return fd;
}

static void test_notify(void **state)
{
	char *dir = fake_dir();
	char paths[2][200];

	assert_int_equal(chdir(dir), 0); /* sun_path is short */
	snprintf(paths[0], sizeof(paths[0]), "/proc/self/cwd/notify");
	snprintf(paths[1], sizeof(paths[1]), "@stacksfs-test-%d", getpid());
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		int fd = listen_at(paths[i]);
		struct outcome o;
		char text[64];

		setenv("NOTIFY_SOCKET", paths[i], 1);
		run(notifying_program, &o);
		assert_int_equal(WEXITSTATUS(o.status), 0);
		assert_false(shared->environment);
		ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
		assert_int_equal(n, strlen("READY=1"));
		assert_memory_equal(text, "READY=1", strlen("READY=1"));
		close(fd);
	}
	assert_int_equal(chdir(".."), 0);
	fake_dir_remove(dir);
}

/* Nonsense there harms nobody. */
static void test_notify_nowhere(void **state)
{
	static char long_name[300] = "/";
	const char *const names[] = { "", "relative", "/nonexistent/socket", long_name };

	memset(long_name + 1, 'x', sizeof(long_name) - 2);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct outcome o;

		setenv("NOTIFY_SOCKET", names[i], 1);
		run(notifying_program, &o);
		assert_int_equal(WEXITSTATUS(o.status), 0);
		assert_int_equal(shared->ready, 0);
		assert_false(shared->environment);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_ready, clear),
		cmocka_unit_test_setup(test_without_stdio, clear),
		cmocka_unit_test_setup(test_failures, clear),
		cmocka_unit_test_setup(test_caller_gone, clear),
		cmocka_unit_test_setup(test_foreground, clear),
		cmocka_unit_test_setup(test_notify, clear),
		cmocka_unit_test_setup(test_notify_nowhere, clear),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
