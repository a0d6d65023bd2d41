/* SPDX-License-Identifier: MIT */
#include "base/wake.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"

/* Between the readings of two clocks this thread may be kept waiting. */
#define SLEEP_LEAST_MS 100

struct wake {
	void (*woken)(void *arg);
	void *arg;
	int timer; /* that never comes, but is cancelled when a clock is set */
	int stop;
	int64_t slept_ms; /* since the machine was booted */
	bool started;
	pthread_t thread;
};

static int64_t slept_ms(void)
{
	int64_t awake_ms = clock_read_ms(CLOCK_MONOTONIC);

	return clock_read_ms(CLOCK_BOOTTIME) - awake_ms;
}

/* One that was cancelled may have to be told so once before it is armed. */
static void arm(const struct wake *wake)
{
	const struct itimerspec never = { .it_value.tv_sec = INT64_MAX / 1000000000 };

	while (timerfd_settime(wake->timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never,
			       NULL) < 0 &&
	       errno == ECANCELED)
		;
}

/* Somebody may merely have set the wall clock. */
static void look(struct wake *wake)
{
	int64_t before_ms = wake->slept_ms;

	wake->slept_ms = slept_ms();
	if (wake->slept_ms - before_ms >= SLEEP_LEAST_MS)
		wake->woken(wake->arg);
}

static void *thread_main(void *arg)
{
	struct wake *wake = arg;
	struct pollfd fds[] = {
		{ .fd = wake->stop, .events = POLLIN },
		{ .fd = wake->timer, .events = POLLIN },
	};
	uint64_t ignored;

	for (;;) {
		/* Looked at when it is armed, so that no sleep falls in between. */
		arm(wake);
		look(wake);
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue; /* EINTR */
		if (fds[0].revents)
			return NULL;
		(void)!read(wake->timer, &ignored, sizeof(ignored)); /* ECANCELED */
	}
}

int wake_new(void (*woken)(void *arg), void *arg, struct wake **ret)
{
	CLEANUP(wake_freep) struct wake *wake = calloc(1, sizeof(*wake));

	if (!wake)
		return -ENOMEM;
	wake->woken = woken;
	wake->arg = arg;
	wake->slept_ms = slept_ms();
	wake->stop = eventfd(0, EFD_CLOEXEC);
	wake->timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (wake->stop < 0 || wake->timer < 0)
		return -errno;
	int r = -pthread_create(&wake->thread, NULL, thread_main, wake);
	if (r < 0)
		return r;
	wake->started = true;
	*ret = TAKE_PTR(wake);
	return 0;
}

void wake_free(struct wake *wake)
{
	if (!wake)
		return;
	if (wake->started) {
		(void)eventfd_write(wake->stop, 1);
		pthread_join(wake->thread, NULL);
	}
	if (wake->stop >= 0)
		close(wake->stop);
	if (wake->timer >= 0)
		close(wake->timer);
	free(wake);
}
