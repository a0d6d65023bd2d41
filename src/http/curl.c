/* SPDX-License-Identifier: MIT */
/* The engine: one multi handle for all tries, and a pool of easy handles. */
#include "http/curl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/curl_memory.h"
#include "http/curl_try.h"

#define LOG_MODULE "http"
#include "base/log.h"

#define MAX_TRIES 64 /* at once: as many streams, or connections of a server without HTTP/2 */
#define SLEPT_LONG_MS 10000 /* while a machine sleeps, for its connections to be doubted */
#define MAX_SHARED 8 /* connections that carry streams, or that may yet turn out to */

TAILQ_HEAD(try_list, transport_try);

struct curl_transport {
	struct transport base;
	struct curl_setup setup;
	bool debug;
	CURLM *multi;
	struct try_list running;
	bool begun;           /* a try that has not been run yet */
	int wake_fd;          /* an eventfd(2) */
	struct try_list idle; /* reset; at most as many as once ran together */
	unsigned connections; /* that there may be */
	int64_t late_ms;      /* CLOCK_MONOTONIC: when connections were doubted last; 0: never */
	int64_t slept_ms;     /* since the machine was booted, when the last try was begun */
	unsigned capacity;
};

static struct curl_transport *from_base(const struct transport *t)
{
	return CONTAINER_OF(t, struct curl_transport, base);
}

/* ---- tries ---- */

static int take_idle(struct curl_transport *c, struct transport_try **ret)
{
	struct transport_try *t = TAILQ_FIRST(&c->idle);

	if (!t)
		return curl_try_new(ret);
	TAILQ_REMOVE(&c->idle, t, link);
	*ret = t;
	return 0;
}

static void put_idle(struct curl_transport *c, struct transport_try *t)
{
	curl_try_reset(t);
	TAILQ_INSERT_TAIL(&c->idle, t, link);
}

/* A connection that carries many streams is kept by libcurl when one of them has got no answer
 * in time, and new ones go on it as before, also where it is what has died.  So none that was
 * there at such a time is used again once it carries nothing. */
static void note_late(struct curl_transport *c, const struct transport_try *t)
{
	if (curl_try_is_late(t))
		c->late_ms = clock_read_ms(CLOCK_MONOTONIC);
}

static int64_t read_slept_ms(void)
{
	int64_t awake_ms = clock_read_ms(CLOCK_MONOTONIC);

	return clock_read_ms(CLOCK_BOOTTIME) - awake_ms;
}

/* Connections age by a clock that stands still in a suspend, at whose end most of them are no
 * more: given up by the other side, or of another network. */
static void note_sleep(struct curl_transport *c)
{
	int64_t before_ms = c->slept_ms;

	c->slept_ms = read_slept_ms();
	if (c->slept_ms - before_ms >= SLEPT_LONG_MS)
		c->late_ms = clock_read_ms(CLOCK_MONOTONIC);
}

static void set_connection_age(struct curl_transport *c)
{
	int64_t since_ms = clock_read_ms(CLOCK_MONOTONIC) - c->late_ms;

	if (c->late_ms) /* rounded up, and never 0 */
		c->setup.max_connection_s = since_ms / 1000 + 1;
}

static int transport_start(struct transport *base, const struct transport_request *request,
			   transport_done_fn *done, void *arg, struct transport_try **ret)
{
	struct curl_transport *c = from_base(base);
	struct transport_try *t;
	int r = take_idle(c, &t);

	if (r < 0)
		return r;
	t->done = done;
	t->arg = arg;
	note_sleep(c);
	set_connection_age(c);
	r = curl_try_setup(t, &c->setup, request);
	if (r == 0 && curl_multi_add_handle(c->multi, t->easy) != CURLM_OK)
		r = -ENOMEM;
	if (r < 0) {
		put_idle(c, t);
		return r;
	}
	TAILQ_INSERT_TAIL(&c->running, t, link);
	c->begun = true;
	*ret = t;
	return 0;
}

static void leave_multi(struct curl_transport *c, struct transport_try *t)
{
	curl_multi_remove_handle(c->multi, t->easy);
	TAILQ_REMOVE(&c->running, t, link);
}

static void transport_cancel(struct transport *base, struct transport_try *t)
{
	struct curl_transport *c = from_base(base);

	note_late(c, t);
	leave_multi(c, t);
	put_idle(c, t);
}

static CURLMcode set_connections(struct curl_transport *c, unsigned n)
{
	c->connections = n;
	return curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)n);
}

static void note_version(struct curl_transport *c, struct transport_try *t)
{
	long version = 0;

	if (t->answer.err)
		return;
	curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
	unsigned n = version == CURL_HTTP_VERSION_2_0 ? MAX_SHARED : MAX_TRIES;
	if (n != c->connections)
		(void)set_connections(c, n);
	c->capacity = MAX_TRIES;
}

/* Of the headers and bodies, which hold secrets, nothing. */
static void log_exchange(struct transport_try *t)
{
	static const char *const names[] = { "GET", "PUT", "POST", "DELETE" };
	const struct transport_answer *answer = &t->answer;
	curl_off_t took_us = 0;

	curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &took_us);
	log_debug("#%" PRIu64 " %s %s: %d, %zu bytes, %" CURL_FORMAT_CURL_OFF_T " ms%s%s",
		  t->request.call_no, names[t->request.method], t->request.target, answer->status,
		  answer->body.len, took_us / 1000, answer->err ? ": " : "",
		  answer->err ? answer->why : "");
}

static void end_try(struct curl_transport *c, struct transport_try *t, CURLcode code)
{
	curl_try_conclude(t, code);
	note_version(c, t);
	if (code == CURLE_OPERATION_TIMEDOUT)
		note_late(c, t);
	if (c->debug)
		log_exchange(t);
	leave_multi(c, t);
	t->done(t->arg, &t->answer);
	put_idle(c, t);
}

/* ---- the loop's part ---- */

static void end_finished(struct curl_transport *c)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(c->multi, &left))) {
		struct transport_try *t = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		end_try(c, t, code); /* message is gone after that */
	}
}

static void transport_wait(struct transport *base, unsigned max_wait_ms)
{
	struct curl_transport *c = from_base(base);
	struct curl_waitfd woken = { .fd = c->wake_fd, .events = CURL_WAIT_POLLIN };
	uint64_t n_wakes;

	if (c->begun)
		return;
	curl_multi_poll(c->multi, &woken, 1, (int)max_wait_ms, NULL);
	if (woken.revents)
		(void)!read(c->wake_fd, &n_wakes, sizeof(n_wakes));
}

static void transport_run(struct transport *base)
{
	struct curl_transport *c = from_base(base);
	int n_running;

	c->begun = false;
	curl_multi_perform(c->multi, &n_running);
	end_finished(c);
}

/* Not by curl_multi_wakeup: its pair of sockets costs more, and libcurl 8.21.0 may lose
 * what comes while data is moved (https://github.com/curl/curl/issues/22272). */
static void transport_wake(struct transport *base)
{
	const uint64_t one = 1;

	(void)!write(from_base(base)->wake_fd, &one, sizeof(one));
}

/* Never more than libcurl can start at once: what waits inside it has no
 * deadline.  Until the server is known, each try may need a connection. */
static unsigned transport_capacity(const struct transport *base)
{
	return from_base(base)->capacity;
}

static void free_idle(struct curl_transport *c)
{
	struct transport_try *t;

	while ((t = TAILQ_FIRST(&c->idle))) {
		TAILQ_REMOVE(&c->idle, t, link);
		curl_try_free(t);
	}
}

static void transport_free(struct transport *base)
{
	struct curl_transport *c = from_base(base);
	struct transport_try *t;

	while ((t = TAILQ_FIRST(&c->running)))
		transport_cancel(base, t);
	free_idle(c);
	if (c->multi)
		curl_multi_cleanup(c->multi);
	if (c->wake_fd >= 0)
		close(c->wake_fd);
	free(c->setup.cacert);
	free(c->setup.proxy);
	free(c);
	curl_global_cleanup();
}

/* ---- making one ---- */

static const struct transport_ops ops = {
	.start = transport_start,
	.cancel = transport_cancel,
	.wait = transport_wait,
	.run = transport_run,
	.wake = transport_wake,
	.capacity = transport_capacity,
	.free = transport_free,
};

/* What was built against may not be what runs. */
static int check_libcurl(const struct origin *origin)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	if (info->version_num < 0x075700) /* 7.87: CURLOPT_QUICK_EXIT */
		return -EINVAL;
	if (!(info->features & CURL_VERSION_ASYNCHDNS))
		return -EINVAL; /* a name look-up would stop every transfer */
	if (strcmp(origin->scheme, "https") == 0 && !(info->features & CURL_VERSION_SSL))
		return -EINVAL;
	return 0;
}

static int copy_string(const char *s, char **ret)
{
	if (!s)
		return 0;
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

static int fill_setup(struct curl_setup *setup, const struct curl_options *options)
{
	bool v6 = strchr(options->origin->host, ':') != NULL;

	setup->origin = *options->origin;
	snprintf(setup->place, sizeof(setup->place), v6 ? "[%s]:%u" : "%s:%u",
		 setup->origin.host, setup->origin.port);
	int r = copy_string(options->cacert, &setup->cacert);
	return r < 0 ? r : copy_string(options->proxy, &setup->proxy);
}

static int make_multi(struct curl_transport *c)
{
	static const struct {
		CURLMoption option;
		long value;
	} options[] = {
		{ CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX },
		{ CURLMOPT_MAXCONNECTS, MAX_TRIES + MAX_SHARED },
		{ CURLMOPT_MAX_CONCURRENT_STREAMS, MAX_TRIES },
	};

	c->multi = curl_multi_init();
	if (!c->multi)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (curl_multi_setopt(c->multi, options[i].option, options[i].value) != CURLM_OK)
			return -EINVAL;
	}
	c->capacity = MAX_SHARED;
	return set_connections(c, MAX_SHARED) == CURLM_OK ? 0 : -EINVAL;
}

int curl_transport_new(const struct curl_options *options, struct transport **ret)
{
	int r = check_libcurl(options->origin);

	if (r < 0)
		return r;
	struct curl_transport *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	r = curl_memory_global_init();
	if (r < 0) {
		free(c);
		return r;
	}
	c->base.ops = &ops;
	c->debug = options->debug;
	c->slept_ms = read_slept_ms();
	TAILQ_INIT(&c->running);
	TAILQ_INIT(&c->idle);
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = c->wake_fd < 0 ? -errno : fill_setup(&c->setup, options);
	if (r == 0)
		r = make_multi(c);
	if (r < 0) {
		transport_free(&c->base);
		return r;
	}
	*ret = &c->base;
	return 0;
}
