/* SPDX-License-Identifier: MIT */
#include "base/monitor.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define BREATH_US  50 /* in which who was waiting gets in */
#define MAX_BREATHS 20

struct monitor {
	pthread_mutex_t lock;
	_Atomic unsigned waiting;  /* threads in monitor_enter */
	_Atomic(pthread_t) owner;  /* meaningful only to the owner itself */
	struct deferred *head;     /* guarded by lock */
	struct deferred **tail;    /* guarded by lock */
};

int monitor_new(struct monitor **ret)
{
	struct monitor *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	pthread_mutex_init(&m->lock, NULL);
	m->tail = &m->head;
	*ret = m;
	return 0;
}

void monitor_free(struct monitor *m)
{
	if (!m)
		return;
	assert(!m->head);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

bool monitor_inside(const struct monitor *m)
{
	return pthread_equal(atomic_load_explicit(&m->owner, memory_order_relaxed),
			     pthread_self());
}

void monitor_enter(struct monitor *m)
{
	assert(!monitor_inside(m));
	if (pthread_mutex_trylock(&m->lock) != 0) {
		m->waiting++;
		pthread_mutex_lock(&m->lock);
		m->waiting--;
	}
	atomic_store_explicit(&m->owner, pthread_self(), memory_order_relaxed);
}

void monitor_leave(struct monitor *m)
{
	assert(monitor_inside(m));
	struct deferred *work = m->head;

	m->head = NULL;
	m->tail = &m->head;
	atomic_store_explicit(&m->owner, (pthread_t)0, memory_order_relaxed);
	pthread_mutex_unlock(&m->lock);

	while (work) {
		struct deferred *next = work->next; /* run may free work */

		work->run(work);
		work = next;
	}
}

/* A mutex is not fair: who gives it back and takes it again at once is faster than
 * who has to wake up first. */
void monitor_breathe(struct monitor *m)
{
	const struct timespec breath = { .tv_nsec = BREATH_US * 1000 };

	if (m->waiting == 0)
		return;
	monitor_leave(m);
	for (unsigned i = 0; m->waiting > 0 && i < MAX_BREATHS; i++)
		nanosleep(&breath, NULL);
	monitor_enter(m);
}

void monitor_defer(struct monitor *m, struct deferred *work)
{
	assert(monitor_inside(m));
	work->next = NULL;
	*m->tail = work;
	m->tail = &work->next;
}
