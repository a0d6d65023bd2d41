/* SPDX-License-Identifier: MIT */
/* http with its thread and the real transport, used by several threads at once:
 * what ThreadSanitizer is for. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http_client.h"
#include "raw_server.h"

#define N_THREADS 4
#define N_CALLS 100 /* of each thread */

static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";

static enum raw_then say(void *arg, const struct raw_request *request)
{
	raw_puts(request->fd, arg);
	return RAW_KEEP;
}

static enum raw_then say_nothing(void *arg, const struct raw_request *request)
{
	raw_wait_end(request);
	return RAW_CLOSE;
}

static void submit(struct http *http, struct reply *reply, struct http_call **ret_call)
{
	struct http_spec spec = client_get("/v1/stacks", 100);

	reply_init(reply);
	assert_int_equal(http_submit(http, &spec, reply_done, reply, ret_call), 0);
}

/* The idle thread sleeps for a minute; a submission must not wait for that. */
static void test_submit_wakes_the_thread(void **state)
{
	struct raw_server *server = raw_server_new(say, ok);
	struct http *http = client_new_port(raw_server_port(server));
	uint64_t began_ms = clock_now_ms(&clock_system);

	for (int i = 0; i < 50; i++) {
		struct reply reply;

		submit(http, &reply, NULL);
		reply_wait(&reply);
		assert_int_equal(reply.status, 200);
		reply_free(&reply);
	}
	assert_in_range(clock_now_ms(&clock_system) - began_ms, 0, 30000);
	assert_int_equal(raw_server_connections(server), 1); /* kept and used again */
	http_free(http);
	raw_server_free(server);
}

/* Every done is called once, with an answer or as cancelled. */
static void *use(void *arg)
{
	struct http *http = arg;
	static _Thread_local struct reply replies[N_CALLS];
	struct http_call *calls[N_CALLS];
	long bad = 0;

	for (int i = 0; i < N_CALLS; i++) {
		struct http_spec spec = client_get("/v1/stacks", 100);

		reply_init(&replies[i]);
		bad += http_submit(http, &spec, reply_done, &replies[i], &calls[i]) != 0;
		/* Only the thread that has seen no done yet may cancel: the lock
		 * that done takes is what callers have for that. */
		pthread_mutex_lock(&replies[i].lock);
		if (i % 3 == 0 && replies[i].times == 0)
			http_cancel(http, calls[i]);
		pthread_mutex_unlock(&replies[i].lock);
	}
	for (int i = 0; i < N_CALLS; i++) {
		reply_wait(&replies[i]);
		bad += replies[i].times != 1;
		bad += replies[i].err ? replies[i].err != -ECANCELED || i % 3 != 0
				      : replies[i].status != 200;
		reply_free(&replies[i]);
	}
	return (void *)bad;
}

static void test_many_threads(void **state)
{
	struct raw_server *server = raw_server_new(say, ok);
	struct http *http = client_new_port(raw_server_port(server));
	pthread_t threads[N_THREADS];
	struct http_stats stats;

	for (int i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use, http), 0);
	for (int i = 0; i < 100; i++)
		http_get_stats(http, &stats);
	for (int i = 0; i < N_THREADS; i++) {
		void *bad;

		assert_int_equal(pthread_join(threads[i], &bad), 0);
		assert_null(bad);
	}
	http_get_stats(http, &stats);
	assert_int_equal(stats.calls, N_THREADS * N_CALLS);
	http_free(http);
	raw_server_free(server);
}

/* Cancelled tries close their connections, so only uncancelled ones count here. */
static void test_connections_are_bounded(void **state)
{
	static struct reply replies[200];
	struct raw_server *server = raw_server_new(say, ok);
	struct http *http = client_new_port(raw_server_port(server));

	for (size_t i = 0; i < ARRAY_SIZE(replies); i++)
		submit(http, &replies[i], NULL);
	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		reply_wait(&replies[i]);
		assert_int_equal(replies[i].status, 200);
		reply_free(&replies[i]);
	}
	assert_in_range(raw_server_connections(server), 1, 64);
	http_free(http);
	raw_server_free(server);
}

/* The server would never answer; the connection's end is what it waits for. */
static void test_cancel_in_flight(void **state)
{
	struct raw_server *server = raw_server_new(say_nothing, NULL);
	struct http *http = client_new_port(raw_server_port(server));
	struct http_call *call;
	struct reply reply;

	submit(http, &reply, &call);
	raw_server_wait_requests(server, 1);
	http_cancel(http, call);
	reply_wait(&reply);
	assert_int_equal(reply.err, -ECANCELED);
	assert_true(reply.processed_maybe);
	reply_free(&reply);
	http_free(http);
	raw_server_free(server);
}

/* That the first server's answer is slow holds nobody else up. */
static void test_free_in_flight(void **state)
{
	static struct reply replies[20];
	struct raw_server *server = raw_server_new(say_nothing, NULL);
	struct http *http = client_new_port(raw_server_port(server));

	for (size_t i = 0; i < ARRAY_SIZE(replies); i++)
		submit(http, &replies[i], NULL);
	raw_server_wait_requests(server, 7);
	http_free(http);
	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		assert_int_equal(replies[i].times, 1);
		assert_int_equal(replies[i].err, -ECANCELED);
		reply_free(&replies[i]);
	}
	raw_server_free(server);
}

static void test_free_unused(void **state)
{
	struct http *http = client_new("https://stacks.invalid", NULL);

	http_free(http);
	http_free(NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_submit_wakes_the_thread),
		cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_connections_are_bounded),
		cmocka_unit_test(test_cancel_in_flight),
		cmocka_unit_test(test_free_in_flight),
		cmocka_unit_test(test_free_unused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
