/* SPDX-License-Identifier: MIT */
/* What goes from the child to the parent: one byte, the exit status, and the
 * text to print, until the end of file.  It is a socket pair, not a pipe,
 * because send(2) can be told to raise no SIGPIPE. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "message.h"

#define NOTIFY_VARIABLE "NOTIFY_SOCKET"

/* Whoever started us may have closed 0, 1 or 2: without this, the next file
 * opened would take that number, and be written to as stderr. */
static int fill_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static void drop_standard_fds(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return; /* then the caller's stay in use, which is no reason to fail */
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
		(void)dup2(fd, i);
	close(fd);
}

/* Taken out of the environment while there is one thread: neither fusermount3
 * nor anything else of ours has a say in what systemd believes. */
static void take_notify_socket(struct daemon *d)
{
	const char *path = getenv(NOTIFY_VARIABLE);

	if (path && strlen(path) < sizeof(d->notify_socket))
		memcpy(d->notify_socket, path, strlen(path) + 1);
	unsetenv(NOTIFY_VARIABLE);
}

/* Nobody may be listening, and no answer comes: failures do not matter. */
static void notify(const struct daemon *d, const char *state)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = strlen(d->notify_socket);

	if (len == 0 || len > sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, d->notify_socket, len);
	if (to.sun_path[0] == '@')
		to.sun_path[0] = '\0'; /* the abstract namespace, unix(7) */
	else if (to.sun_path[0] != '/')
		return;

	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

/* ---- the parent ---- */

/* As much of the report as there is room for; its length. */
static size_t read_report(int fd, char *report, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = recv(fd, report + len, size - len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	return len;
}

static int say_death(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		fprintf(stderr, "stacksfs: died before the mount was ready: %s\n",
			strsignal(WTERMSIG(status)));
	else
		fputs("stacksfs: died before the mount was ready\n", stderr);
	return 1;
}

static int await_child(int fd, pid_t pid)
{
	char report[1 + MESSAGE_MAX_BYTES + 1] = { 0 };
	size_t len = read_report(fd, report, sizeof(report) - 1);

	if (len == 0)
		return say_death(pid);
	if (report[1])
		fprintf(stderr, "stacksfs: %s\n", report + 1);
	return (unsigned char)report[0];
}

/* ---- the child ---- */

static int settle_child(int fd)
{
	if (chdir("/") < 0)
		return -errno;
	if (fd > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
	close_range((unsigned)fd + 1, ~0u, 0);
	return 0;
}

static int start_in_background(struct daemon *d, int *ret_status)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid < 0) {
		int r = -errno;

		close(fds[0]);
		close(fds[1]);
		return r;
	}
	close(fds[pid == 0 ? 0 : 1]);
	if (pid > 0) {
		*ret_status = await_child(fds[0], pid);
		close(fds[0]);
		return 1;
	}
	d->fd = fds[1];
	return settle_child(d->fd);
}

int daemon_start(bool foreground, struct daemon *ret, int *ret_status)
{
	struct daemon d = { .fd = -1, .foreground = foreground };
	int r = fill_standard_fds();

	if (r < 0)
		return r;
	if (foreground)
		close_range(STDERR_FILENO + 1, ~0u, 0);
	else
		r = start_in_background(&d, ret_status);
	if (r != 0)
		return r;
	take_notify_socket(&d);
	*ret = d;
	return 0;
}

/* The status byte and the text are one message: a parent that has read the
 * byte has the text too, or waits for the end of file. */
static int report(struct daemon *d, char status, const char *text)
{
	struct iovec parts[] = {
		{ .iov_base = &status, .iov_len = 1 },
		{ .iov_base = (void *)text, .iov_len = strnlen(text, MESSAGE_MAX_BYTES) },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts) };
	ssize_t n;

	do {
		n = sendmsg(d->fd, &message, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	int r = n < 0 ? -errno : 0;

	close(d->fd);
	d->fd = -1;
	return r;
}

int daemon_ready(struct daemon *d)
{
	int r = 0;

	if (!d->foreground) {
		drop_standard_fds();
		(void)setsid(); /* cannot fail: a forked child leads no group */
		r = report(d, 0, "");
	}
	if (r == 0)
		notify(d, "READY=1");
	return r == -ECONNRESET ? -EPIPE : r;
}

void daemon_failed(struct daemon *d, const char *why)
{
	if (d->foreground)
		fprintf(stderr, "stacksfs: %s\n", why);
	else if (d->fd >= 0)
		(void)report(d, 1, why); /* a parent that has gone needs no reason */
}
