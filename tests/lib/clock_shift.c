/* SPDX-License-Identifier: MIT */
/* clock_shift: to be preloaded, so that a test can turn the clocks of a program.
 *
 * $CLOCK_SHIFT is a file of two numbers of 64 bits, the milliseconds that
 * CLOCK_BOOTTIME and CLOCK_REALTIME are off by; they may be written at any time.
 * What a suspended machine looks like to a program is a CLOCK_BOOTTIME that has
 * gone on while CLOCK_MONOTONIC, and what the kernel counts by jiffies, stood.
 *
 * The kernel tells of a clock that was set, or has gone on so, by a timerfd
 * (TFD_TIMER_CANCEL_ON_SET).  Instead of one the program gets the FIFO
 * $CLOCK_SHIFT.set; a test writes eight bytes into it. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { SHIFT_BOOTTIME, SHIFT_REALTIME, N_SHIFTS };

static const _Atomic int64_t *shifts_ms;
static int fifo = -1;

__attribute__((constructor)) static void map_shifts(void)
{
	const char *path = getenv("CLOCK_SHIFT");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at = MAP_FAILED;

	if (fd >= 0) {
		at = mmap(NULL, N_SHIFTS * sizeof(*shifts_ms), PROT_READ, MAP_SHARED, fd, 0);
		close(fd);
	}
	if (at == MAP_FAILED) {
		fprintf(stderr, "clock_shift: no CLOCK_SHIFT\n");
		abort();
	}
	shifts_ms = at;
}

/* No dlsym: whoever else stands in for this function, may ask it while it starts. */
EXPORT int clock_gettime(clockid_t id, struct timespec *ts)
{
	if (syscall(SYS_clock_gettime, id, ts) < 0)
		return -1;
	if (!shifts_ms || (id != CLOCK_BOOTTIME && id != CLOCK_REALTIME))
		return 0;
	int64_t ms = shifts_ms[id == CLOCK_BOOTTIME ? SHIFT_BOOTTIME : SHIFT_REALTIME];

	ts->tv_sec += (time_t)(ms / 1000);
	ts->tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts->tv_nsec < 0 || ts->tv_nsec >= 1000000000) {
		ts->tv_sec += ts->tv_nsec < 0 ? -1 : 1;
		ts->tv_nsec += ts->tv_nsec < 0 ? 1000000000 : -1000000000;
	}
	return 0;
}

EXPORT time_t time(time_t *ret)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ret)
		*ret = ts.tv_sec;
	return ts.tv_sec;
}

EXPORT int timerfd_create(int id, int flags)
{
	char path[4096];

	if (id != CLOCK_REALTIME)
		return (int)syscall(SYS_timerfd_create, id, flags);
	snprintf(path, sizeof(path), "%s.set", getenv("CLOCK_SHIFT"));
	/* For both: no end of file while the test has not opened it yet. */
	fifo = open(path, O_RDWR | O_CLOEXEC | (flags & TFD_NONBLOCK ? O_NONBLOCK : 0));
	return fifo;
}

EXPORT int timerfd_settime(int fd, int flags, const struct itimerspec *spec,
			   struct itimerspec *old)
{
	if (fd == fifo)
		return 0;
	return (int)syscall(SYS_timerfd_settime, fd, flags, spec, old);
}
