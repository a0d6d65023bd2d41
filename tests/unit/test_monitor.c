/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/monitor.h"

struct work {
	struct deferred deferred;
	struct monitor *monitor;
	char letter;
	struct work *then; /* deferred by run */
};

static char order[16];
static size_t n_run;

static void run(struct deferred *self)
{
	struct work *w = CONTAINER_OF(self, struct work, deferred);

	assert_false(monitor_inside(w->monitor));
	order[n_run++] = w->letter;
	if (w->then) {
		monitor_enter(w->monitor);
		monitor_defer(w->monitor, &w->then->deferred);
		monitor_leave(w->monitor);
	}
	free(w);
}

static struct work *work_new(struct monitor *m, char letter)
{
	struct work *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->deferred.run = run;
	w->monitor = m;
	w->letter = letter;
	return w;
}

/* In order, outside, and what deferred work defers runs too. */
static void test_deferred(void **state)
{
	CLEANUP(monitor_freep) struct monitor *m = NULL;
	struct work *a, *b;

	assert_int_equal(monitor_new(&m), 0);
	assert_false(monitor_inside(m));
	monitor_enter(m);
	assert_true(monitor_inside(m));
	monitor_defer(m, &(a = work_new(m, 'a'))->deferred);
	monitor_defer(m, &(b = work_new(m, 'b'))->deferred);
	a->then = work_new(m, 'x');
	assert_int_equal(n_run, 0);
	monitor_leave(m);
	assert_string_equal(order, "axb");
	assert_false(monitor_inside(m));

	monitor_enter(m); /* and nothing runs twice */
	monitor_leave(m);
	assert_int_equal(n_run, 3);
	monitor_free(NULL);
}

struct guest {
	struct monitor *monitor;
	_Atomic bool was_in;
};

static void *visit(void *arg)
{
	struct guest *g = arg;

	monitor_enter(g->monitor);
	g->was_in = true;
	monitor_leave(g->monitor);
	return NULL;
}

/* Who waits gets in although the monitor is taken again at once. */
static void test_breathe(void **state)
{
	CLEANUP(monitor_freep) struct monitor *m = NULL;
	struct guest guest = { 0 };
	pthread_t thread;

	assert_int_equal(monitor_new(&m), 0);
	guest.monitor = m;
	monitor_enter(m);
	monitor_breathe(m); /* nobody waits */
	assert_true(monitor_inside(m));
	assert_int_equal(pthread_create(&thread, NULL, visit, &guest), 0);
	while (!guest.was_in) {
		assert_true(monitor_inside(m));
		monitor_breathe(m);
	}
	monitor_leave(m);
	pthread_join(thread, NULL);
}

struct shared {
	struct monitor *monitor;
	unsigned count; /* guarded by monitor */
};

static void *add(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < 20000; i++) {
		if (monitor_inside(s->monitor))
			return arg;
		monitor_enter(s->monitor);
		s->count++;
		if (!monitor_inside(s->monitor))
			return arg;
		monitor_leave(s->monitor);
	}
	return NULL;
}

static void test_threads(void **state)
{
	CLEANUP(monitor_freep) struct monitor *m = NULL;
	pthread_t threads[4];

	assert_int_equal(monitor_new(&m), 0);
	struct shared s = { .monitor = m };
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add, &s), 0);
	for (int i = 0; i < 4; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(s.count, 80000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deferred),
		cmocka_unit_test(test_breathe),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
