/* SPDX-License-Identifier: MIT */
#include "bounded.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

/* How long a child that was killed is waited for: it may be where no signal
 * reaches it, and is left to init then. */
#define REAP_TRIES   50
#define REAP_STEP_MS 10

/* What goes through the pipe: this, and len bytes.  No padding, which would be
 * bytes that nobody has set. */
struct result {
	int64_t r;
	uint64_t len;
};

static int write_all(int fd, const void *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)bytes + done, len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

static void run_child(bounded_fn *fn, void *arg, struct buf *out, int fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);

	struct result result = { .r = fn(arg, out) };
	if (result.r == 0)
		result.len = out->len;
	if (write_all(fd, &result, sizeof(result)) == 0)
		(void)write_all(fd, out->data, result.len);
}

/* Until the end of file or the deadline. */
static int collect(int fd, uint64_t deadline_ms, struct buf *out)
{
	for (;;) {
		uint64_t now = clock_now_ms(&clock_system);
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char chunk[4096];

		if (now >= deadline_ms)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)(deadline_ms - now)) <= 0)
			continue; /* time, EINTR: the deadline decides */
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n == 0)
			return 0;
		int r = n < 0 ? -errno : buf_append(out, chunk, (size_t)n);
		if (r < 0 && r != -EINTR)
			return r;
	}
}

static void kill_and_reap(pid_t pid)
{
	kill(pid, SIGKILL);
	for (int i = 0; i < REAP_TRIES && waitpid(pid, NULL, WNOHANG) == 0; i++)
		poll(NULL, 0, REAP_STEP_MS);
}

/* A child that crashed has sent less than it said. */
static int take_result(const struct buf *raw, struct buf *out)
{
	struct result result;

	if (raw->len < sizeof(result))
		return -EIO;
	memcpy(&result, raw->data, sizeof(result));
	if (result.r == 0 && raw->len - sizeof(result) != result.len)
		return -EIO;
	if (result.r < 0 || result.len == 0)
		return (int)result.r;
	return buf_append(out, raw->data + sizeof(result), result.len);
}

int bounded_run(bounded_fn *fn, void *arg, unsigned timeout_ms, struct buf *out)
{
	uint64_t deadline_ms = clock_now_ms(&clock_system) + timeout_ms;
	size_t room = out->max_bytes - out->len;
	CLEANUP(buf_done) struct buf raw = BUF_INIT(sizeof(struct result) + room);
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		struct buf fresh = BUF_INIT(room);

		run_child(fn, arg, &fresh, fds[1]);
		_exit(0);
	}
	int r = pid < 0 ? -errno : 0;

	close(fds[1]);
	if (r == 0)
		r = collect(fds[0], deadline_ms, &raw);
	close(fds[0]);
	if (pid < 0)
		return r;
	if (r < 0) {
		kill_and_reap(pid);
		return r;
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		; /* it is about to end: only that closes its pipe */
	return take_result(&raw, out);
}

int bounded_get(bounded_fn *fn, void *arg, unsigned timeout_ms, void *ret, size_t size)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(size);
	int r = bounded_run(fn, arg, timeout_ms, &out);

	if (r < 0)
		return r;
	if (out.len != size)
		return -EIO;
	memcpy(ret, out.data, size);
	return 0;
}
