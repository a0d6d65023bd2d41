/* SPDX-License-Identifier: MIT */
/* Which waiting requests end because their caller was signalled.
 *
 * The kernel says once for each request that its caller has a signal pending,
 * and not which: the timers of git and Go must not break a read, Ctrl-C must.
 * So from then on the caller's pending signals are read from /proc (proc(5)),
 * until the request is answered or one of those is pending that mean it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fuse/private.h"

#define LOOK_EVERY_MS 100

struct watched {
	struct watched *prev, *next;
	uint64_t serial; /* of the fs_op */
	pid_t tid;
	bool interrupted;
};

struct interrupts {
	struct fs *fs;
	pthread_mutex_t lock; /* a leaf; libfuse's own locks and the monitor may be held */
	pthread_cond_t changed;
	struct watched ring; /* guarded by lock */
	bool stop;           /* guarded by lock */
	bool started;
	pthread_t thread;
};

int interrupts_new(struct fs *fs, struct interrupts **ret)
{
	struct interrupts *in = calloc(1, sizeof(*in));
	pthread_condattr_t attr;

	if (!in)
		return -ENOMEM;
	in->fs = fs;
	in->ring.prev = in->ring.next = &in->ring;
	pthread_mutex_init(&in->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&in->changed, &attr);
	pthread_condattr_destroy(&attr);
	*ret = in;
	return 0;
}

static struct watched *find(struct interrupts *in, uint64_t serial)
{
	struct watched *w = in->ring.next;

	while (w != &in->ring && w->serial != serial)
		w = w->next;
	return w == &in->ring ? NULL : w;
}

/* libfuse calls this with its locks held, on the thread that read the
 * INTERRUPT, perhaps while another thread replies: so the request is named by
 * a number, and may be gone. */
static void interrupted(fuse_req_t req, void *data)
{
	struct mount *mount = fuse_req_userdata(req);
	struct interrupts *in = mount->interrupts;

	pthread_mutex_lock(&in->lock);
	struct watched *w = find(in, (uintptr_t)data);
	if (w) {
		w->interrupted = true;
		pthread_cond_signal(&in->changed);
	}
	pthread_mutex_unlock(&in->lock);
}

void interrupts_watch(struct interrupts *in, fuse_req_t req, uint64_t serial, pid_t tid)
{
	struct watched *w = calloc(1, sizeof(*w));

	if (!w)
		return; /* it waits until its answer comes, within the timeout */
	w->serial = serial;
	w->tid = tid;
	pthread_mutex_lock(&in->lock);
	w->prev = in->ring.prev;
	w->next = &in->ring;
	w->prev->next = w;
	in->ring.prev = w;
	pthread_mutex_unlock(&in->lock);
	fuse_req_interrupt_func(req, interrupted, (void *)(uintptr_t)serial);
}

void interrupts_forget(struct interrupts *in, uint64_t serial)
{
	pthread_mutex_lock(&in->lock);
	struct watched *w = find(in, serial);
	if (w) {
		w->prev->next = w->next;
		w->next->prev = w->prev;
	}
	pthread_mutex_unlock(&in->lock);
	free(w);
}

/* ---- what is pending ---- */

static uint64_t hex_field(const char *status, const char *key)
{
	const char *p = strstr(status, key);
	uint64_t value = 0;

	if (!p)
		return 0;
	for (p += strlen(key); *p == ' ' || *p == '\t'; p++)
		;
	for (; *p; p++) {
		if (*p >= '0' && *p <= '9')
			value = value << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			value = value << 4 | (uint64_t)(*p - 'a' + 10);
		else
			break;
	}
	return value;
}

static uint64_t bit(int signal)
{
	return (uint64_t)1 << (signal - 1);
}

/* A caller that cannot be looked at (it has ended, or lives in a pid namespace
 * that is not ours) is not made to wait. */
static bool wants_out(pid_t tid)
{
	const uint64_t meant =
		bit(SIGKILL) | bit(SIGINT) | bit(SIGTERM) | bit(SIGQUIT) | bit(SIGHUP);
	char path[64], status[4096];

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	int fd = tid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return true;
	ssize_t n = read(fd, status, sizeof(status) - 1);
	close(fd);
	if (n <= 0)
		return true;
	status[n] = '\0';

	uint64_t pending = hex_field(status, "\nSigPnd:") | hex_field(status, "\nShdPnd:");
	return pending & ~hex_field(status, "\nSigBlk:") & meant;
}

/* ---- the thread ---- */

/* The interrupted one with the lowest serial above the given. */
static bool next_interrupted(struct interrupts *in, uint64_t after, uint64_t *ret, pid_t *ret_tid)
{
	const struct watched *best = NULL;

	for (struct watched *w = in->ring.next; w != &in->ring; w = w->next) {
		if (w->interrupted && w->serial > after && (!best || w->serial < best->serial))
			best = w;
	}
	if (!best)
		return false;
	*ret = best->serial;
	*ret_tid = best->tid;
	return true;
}

/* Look at each once.  lock is held, but not while looking. */
static void look(struct interrupts *in)
{
	uint64_t serial = 0;
	pid_t tid;

	while (next_interrupted(in, serial, &serial, &tid)) {
		pthread_mutex_unlock(&in->lock);
		if (wants_out(tid))
			fs_interrupt(in->fs, serial);
		pthread_mutex_lock(&in->lock);
	}
}

static void wait_a_little(struct interrupts *in)
{
	const struct timespec until = clock_after_ms(LOOK_EVERY_MS);

	pthread_cond_timedwait(&in->changed, &in->lock, &until);
}

static void *interrupts_thread(void *arg)
{
	struct interrupts *in = arg;
	uint64_t serial;
	pid_t tid;

	pthread_mutex_lock(&in->lock);
	while (!in->stop) {
		if (!next_interrupted(in, 0, &serial, &tid)) {
			pthread_cond_wait(&in->changed, &in->lock);
			continue;
		}
		look(in);
		if (!in->stop)
			wait_a_little(in);
	}
	pthread_mutex_unlock(&in->lock);
	return NULL;
}

int interrupts_start(struct interrupts *in)
{
	int r = -pthread_create(&in->thread, NULL, interrupts_thread, in);

	in->started = r == 0;
	return r;
}

void interrupts_free(struct interrupts *in)
{
	if (!in)
		return;
	if (in->started) {
		pthread_mutex_lock(&in->lock);
		in->stop = true;
		pthread_cond_signal(&in->changed);
		pthread_mutex_unlock(&in->lock);
		pthread_join(in->thread, NULL);
	}
	while (in->ring.next != &in->ring)
		interrupts_forget(in, in->ring.next->serial);
	pthread_cond_destroy(&in->changed);
	pthread_mutex_destroy(&in->lock);
	free(in);
}
