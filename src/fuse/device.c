/* SPDX-License-Identifier: MIT */
/* The traffic with /dev/fuse, for what libfuse does not do. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "fuse/private.h"

#define LINGER_NS       20000
#define LINGER_SCAN_NS 100000
#define LOOKS             16 /* at once; some 3 us */
#define CROWDED_NS      4000 /* longer than it takes to find nobody who wants the core */
#define MOVE_EVERY_NS 5000000
#define SMALL_REPLY      512
#define REFUSED_AT_ONCE 1000

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static ssize_t look(int fd, void *buf, size_t len)
{
	ssize_t n;

	for (unsigned i = 0; (n = read(fd, buf, len)) < 0 && errno == EAGAIN && i < LOOKS; i++)
		;
	return n;
}

/* Leave the core to whoever else wants it; whether somebody did. */
static bool give_way(int64_t *now)
{
	int64_t before = *now;

	sched_yield();
	*now = now_ns();
	return *now - before > CROWDED_NS;
}

/* Whoever has been on our core while we were looking may be the program that we look
 * for: then each of us keeps the other waiting, perhaps beside an idle core, and the
 * scheduler takes its time to see it. */
static void change_core(void)
{
	cpu_set_t all, others;
	int here = sched_getcpu();

	if (here < 0 || sched_getaffinity(0, sizeof(all), &all) < 0 || CPU_COUNT(&all) < 2)
		return;
	others = all;
	CPU_CLR((unsigned)here, &others);
	if (sched_setaffinity(0, sizeof(others), &others) == 0)
		(void)sched_setaffinity(0, sizeof(all), &all);
}

static bool has_one_core(void)
{
	cpu_set_t cores;

	return sched_getaffinity(0, sizeof(cores), &cores) == 0 && CPU_COUNT(&cores) == 1;
}

/* A program that goes through files asks for the next one some microseconds after
 * it has the last.  To fall asleep and be woken takes longer, and much longer
 * where a core has to come out of its idle state; so we look for a while before
 * we sleep.  How long depends on whether the last request was worth to be waited for;
 * and whoever is still waiting for an answer sends no other, so that there is nothing
 * to look for, and others need the core.  Where it is the only one, who would send the next
 * request is who we keep from it. */
static ssize_t linger(const struct mount *mount, int fd, void *buf, size_t len, bool *crowded)
{
	int64_t began_ns = now_ns(), now = began_ns;
	ssize_t n = -1;

	errno = EAGAIN;
	while (n < 0 && errno == EAGAIN && mount->may_linger &&
	       now - began_ns < mount->linger_ns) {
		n = look(fd, buf, len);
		if (n < 0 && errno == EAGAIN)
			*crowded |= give_way(&now);
	}
	return n;
}

/* Nobody waits for a node to be forgotten, and nobody's next request follows it. */
static bool is_forget(const struct fuse_in_header *in)
{
	return in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET;
}

static ssize_t next_request(struct mount *mount, int fd, void *buf, size_t len)
{
	struct pollfd device = { .fd = fd, .events = POLLIN };
	bool crowded = false;
	ssize_t n = read(fd, buf, len);

	if (n >= 0 || errno != EAGAIN)
		return n;
	shortcut_settle(mount);
	int64_t began_ns = now_ns();

	n = linger(mount, fd, buf, len, &crowded);
	while (n < 0 && errno == EAGAIN) {
		if (poll(&device, 1, -1) < 0)
			return -1; /* EINTR: mount_abort */
		n = read(fd, buf, len);
	}
	int64_t now = now_ns();
	if (n > 0 && !is_forget(buf))
		mount->linger_ns = now - began_ns < LINGER_SCAN_NS ? LINGER_SCAN_NS : LINGER_NS;
	if (crowded && now >= mount->may_move_ns) {
		change_core();
		mount->may_move_ns = now + MOVE_EVERY_NS;
	}
	return n;
}

/* Nobody waits for an answer to the others. */
static void refuse(int fd, const struct fuse_in_header *in)
{
	const struct fuse_out_header reply = {
		.len = sizeof(reply),
		.error = -ENOTCONN,
		.unique = in->unique,
	};

	if (!is_forget(in) && in->opcode != FUSE_INTERRUPT)
		(void)!write(fd, &reply, sizeof(reply));
}

/* What libfuse is to see, or the end of the loop, after which libfuse drops what was read. */
static ssize_t device_read(int fd, void *buf, size_t len, void *userdata)
{
	struct mount *mount = userdata;
	ssize_t n;

	mount->read_bytes = len;
	while ((n = next_request(mount, fd, buf, len)) > 0) {
		bool taken = shortcut_take(mount, buf, (size_t)n);

		if (fuse_session_exited(mount->session)) {
			if (!taken)
				refuse(fd, buf);
			errno = EINTR;
			return -1;
		}
		if (!taken)
			break;
	}
	return n;
}

void device_refuse(struct mount *mount)
{
	int fd = fuse_session_fd(mount->session);
	void *request = mount->read_bytes ? malloc(mount->read_bytes) : NULL;

	for (unsigned n = 0; n < REFUSED_AT_ONCE && request; n++) {
		if (read(fd, request, mount->read_bytes) <= 0)
			break;
		refuse(fd, request);
	}
	free(request);
}

/* The kernel takes one piece quicker than two.  What comes behind the headers may be
 * secret. */
static ssize_t write_small(int fd, const struct iovec *iov, int count)
{
	char all[SMALL_REPLY];
	size_t len = 0;

	for (int i = 0; i < count; i++) {
		if (iov[i].iov_len > sizeof(all) - len)
			return writev(fd, iov, count);
		memcpy(all + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	ssize_t n = write(fd, all, len);
	explicit_bzero(all, len);
	return n;
}

/* libfuse up to 3.16 asks for FUSE_PARALLEL_DIROPS and then does not tell the
 * kernel (fixed upstream in 3.17.1).  Without it one lookup that waits for the
 * API stops every other one in its directory.  So its flag is put into the reply
 * to INIT, which is the one message with a fuse_init_out behind its header. */
static ssize_t device_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct mount *mount = userdata;

	if (mount->want_parallel_dirops && count == 2 &&
	    iov[1].iov_len == sizeof(struct fuse_init_out)) {
		struct fuse_init_out init;

		mount->want_parallel_dirops = false;
		memcpy(&init, iov[1].iov_base, sizeof(init));
		init.flags |= FUSE_PARALLEL_DIROPS;
		struct iovec patched[2] = { iov[0], { &init, sizeof(init) } };
		return writev(fd, patched, count);
	}
	return write_small(fd, iov, count);
}

int device_take(struct mount *mount)
{
	static const struct fuse_custom_io io = { .read = device_read, .writev = device_writev };

	int fd = fuse_session_fd(mount->session);
	int flags = fcntl(fd, F_GETFL);

	mount->may_linger = !has_one_core();

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return fuse_session_custom_io(mount->session, &io, fd);
}

/* Give up the connection without unmounting by path: fuse_session_unmount looks
 * for POLLERR and otherwise unmounts whatever is at the mount point by now,
 * which may be somebody else's.  A pipe that nobody reads has POLLERR. */
void device_sever(struct mount *mount)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	close(ends[0]);
	(void)dup3(ends[1], fuse_session_fd(mount->session), O_CLOEXEC);
	close(ends[1]);
}
