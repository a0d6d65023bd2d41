/* SPDX-License-Identifier: MIT */
/* The armed timers are a list in order of time, guarded by the monitor: there
 * are never more than a few.  lock guards only what the sleeping thread needs
 * to know: when to wake, and whether to end. */
#include "base/timer.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct timers {
	struct monitor *monitor;
	const struct clock *clock;
	struct timer head; /* ring; guarded by monitor */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t wake_ms; /* guarded by lock; UINT64_MAX: nothing is armed */
	bool stop;        /* guarded by lock */
	bool started;
	pthread_t thread;
};

int timers_new(struct monitor *monitor, const struct clock *clock, struct timers **ret)
{
	struct timers *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->monitor = monitor;
	t->clock = clock;
	t->head.prev = t->head.next = &t->head;
	t->wake_ms = UINT64_MAX;

	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&t->lock, NULL);
	*ret = t;
	return 0;
}

/* Tell the thread when the first armed timer is due. */
static void publish(struct timers *t)
{
	uint64_t wake = t->head.next == &t->head ? UINT64_MAX : t->head.next->at_ms;

	pthread_mutex_lock(&t->lock);
	if (t->wake_ms != wake) {
		t->wake_ms = wake;
		pthread_cond_signal(&t->changed);
	}
	pthread_mutex_unlock(&t->lock);
}

static void unlink_timer(struct timer *timer)
{
	timer->prev->next = timer->next;
	timer->next->prev = timer->prev;
	timer->prev = timer->next = NULL;
}

void timer_arm(struct timers *t, struct timer *timer, uint64_t at_ms,
	       void (*fire)(struct timer *self))
{
	assert(monitor_inside(t->monitor));
	if (timer->next)
		unlink_timer(timer);
	timer->at_ms = at_ms;
	timer->fire = fire;

	struct timer *before = t->head.prev;
	while (before != &t->head && before->at_ms > at_ms)
		before = before->prev;
	timer->prev = before;
	timer->next = before->next;
	before->next->prev = timer;
	before->next = timer;
	publish(t);
}

void timer_cancel(struct timers *t, struct timer *timer)
{
	assert(monitor_inside(t->monitor));
	if (!timer->next)
		return;
	unlink_timer(timer);
	publish(t);
}

void timers_run(struct timers *t)
{
	monitor_enter(t->monitor);
	uint64_t now = clock_now_ms(t->clock);

	while (t->head.next != &t->head && t->head.next->at_ms <= now) {
		struct timer *due = t->head.next;

		unlink_timer(due);
		due->fire(due);
	}
	publish(t);
	monitor_leave(t->monitor);
}

/* Sleep until wake_ms on the injected clock, or until something changed. */
static void sleep_until(struct timers *t)
{
	if (t->wake_ms == UINT64_MAX) {
		pthread_cond_wait(&t->changed, &t->lock);
		return;
	}
	uint64_t now = clock_now_ms(t->clock);
	uint64_t left = t->wake_ms > now ? t->wake_ms - now : 0;
	const struct timespec until = clock_after_ms(left);

	pthread_cond_timedwait(&t->changed, &t->lock, &until);
}

static void *timers_thread(void *arg)
{
	struct timers *t = arg;

	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		if (t->wake_ms > clock_now_ms(t->clock)) {
			sleep_until(t);
			continue;
		}
		pthread_mutex_unlock(&t->lock);
		timers_run(t);
		pthread_mutex_lock(&t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* It sleeps by a clock that stands still in a suspend. */
void timers_look(struct timers *t)
{
	pthread_mutex_lock(&t->lock);
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

int timers_start(struct timers *t)
{
	int r = -pthread_create(&t->thread, NULL, timers_thread, t);

	t->started = r == 0;
	return r;
}

static void end_thread(struct timers *t)
{
	if (!t->started)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	t->started = false;
}

void timers_stop(struct timers *t)
{
	if (!t)
		return;
	end_thread(t);
	monitor_enter(t->monitor);
	/* One that is armed anew by this goes to the end, and stays there. */
	size_t n = 0;
	for (struct timer *timer = t->head.next; timer != &t->head; timer = timer->next) {
		timer->at_ms = 0;
		n++;
	}
	for (; n > 0 && t->head.next != &t->head && t->head.next->at_ms == 0; n--) {
		struct timer *due = t->head.next;

		unlink_timer(due);
		due->fire(due);
	}
	monitor_leave(t->monitor);
}

void timers_free(struct timers *t)
{
	if (!t)
		return;
	end_thread(t);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
