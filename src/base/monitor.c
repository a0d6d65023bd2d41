/* SPDX-License-Identifier: MIT */
#include "base/monitor.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct monitor {
	pthread_mutex_t lock;
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
	pthread_mutex_lock(&m->lock);
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

void monitor_defer(struct monitor *m, struct deferred *work)
{
	assert(monitor_inside(m));
	work->next = NULL;
	*m->tail = work;
	m->tail = &work->next;
}
