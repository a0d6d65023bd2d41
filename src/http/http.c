/* SPDX-License-Identifier: MIT */
/* Other threads' side of http: they leave calls and cancellations under the
 * lock and wake the http thread, which alone touches everything else. */
#include "http/http.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "http/core.h"
#include "http/header.h"

static void init_lists(struct http *h)
{
	TAILQ_INIT(&h->inbox);
	TAILQ_INIT(&h->news);
	for (int p = 0; p < N_PLACES; p++)
		TAILQ_INIT(&h->places[p]);
}

static bool options_are_good(const struct http_options *options)
{
	return options->transport && options->clock && options->token &&
	       header_is_visible(secret_bytes(options->token), secret_len(options->token)) &&
	       options->timeout_ms > 0 && options->timeout_ms <= HTTP_MAX_TIMEOUT_MS;
}

int http_new(const struct http_options *options, struct http **ret)
{
	if (!options_are_good(options))
		return -EINVAL;
	struct http *h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;

	pthread_mutex_init(&h->lock, NULL);
	init_lists(h);
	h->transport = options->transport;
	h->clock = options->clock;
	h->token = secret_ref(options->token);
	h->reload = options->reload;
	h->timeout_ms = options->timeout_ms;
	h->random = options->random_seed;
	rate_init(&h->rate, options->rate_per_s, clock_now_ms(h->clock));
	breaker_init(&h->breaker, clock_now_ms(h->clock));
	for (unsigned i = 0; i < HTTP_MAX_KINDS; i++)
		breaker_init(&h->breaker_of[i], clock_now_ms(h->clock));
	h->rate_shown = h->rate;
	h->circuit_shown.since_ms = h->breaker.since_ms;
	*ret = h;
	return 0;
}

static void set_waiting(struct http *h, bool waiting)
{
	pthread_mutex_lock(&h->lock);
	h->waiting = waiting;
	pthread_mutex_unlock(&h->lock);
}

/* What is left in the inbox while data is moved wakes nobody: it is found before
 * the next wait.  What has ended a wait is begun before data is moved, which costs
 * as much for one try as for many. */
void http_turn(struct http *h)
{
	set_waiting(h, true);
	(void)dispatch_take_news(h);
	unsigned wait_ms = dispatch_advance(h);

	h->transport->ops->wait(h->transport, wait_ms);
	set_waiting(h, false);
	if (dispatch_take_news(h))
		(void)dispatch_advance(h);
	h->transport->ops->run(h->transport);
}

static void *thread_main(void *arg)
{
	struct http *h = arg;

	while (!atomic_load(&h->stopping))
		http_turn(h);
	return NULL;
}

int http_start(struct http *h)
{
	sigset_t all, old;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = pthread_create(&h->thread, NULL, thread_main, h);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return -r;
	pthread_setname_np(h->thread, "stacksfs-http");
	h->started = true;
	return 0;
}

static void stop(struct http *h)
{
	pthread_mutex_lock(&h->lock); /* what is submitted is either seen below or refused */
	atomic_store(&h->stopping, true);
	pthread_mutex_unlock(&h->lock);
	h->transport->ops->wake(h->transport);
	if (h->started)
		pthread_join(h->thread, NULL);
}

void http_free(struct http *h)
{
	if (!h)
		return;
	stop(h);
	dispatch_cancel_all(h);
	h->transport->ops->free(h->transport);
	secret_unref(h->token);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* There is something for the thread now: wake it, if it waits and nobody has yet. */
static void unlock_and_wake(struct http *h)
{
	bool waiting = h->waiting;

	h->waiting = false;
	pthread_mutex_unlock(&h->lock);
	if (waiting)
		h->transport->ops->wake(h->transport);
}

/* 0 and the call is the http thread's, or why not.  *ret_call is set before it
 * is: once it is there it may be done, and the place freed, at any time. */
static int post(struct http *h, struct http_call *call, struct http_call **ret_call)
{
	int r = 0;

	pthread_mutex_lock(&h->lock);
	if (atomic_load(&h->stopping))
		r = -ESHUTDOWN;
	else if (h->n_calls >= HTTP_MAX_CALLS)
		r = -ENOMEM;
	if (r < 0) {
		pthread_mutex_unlock(&h->lock);
		return r;
	}
	h->n_calls++;
	call->call_no = ++h->stats.calls;
	if (ret_call)
		*ret_call = call;
	call_move_last(call, &h->inbox);
	unlock_and_wake(h);
	return 0;
}

int http_submit(struct http *h, const struct http_spec *spec, http_done_fn *done, void *arg,
		struct http_call **ret_call)
{
	CLEANUP(call_freep) struct http_call *call = NULL;
	int r = call_new(spec, &call);

	if (r < 0)
		return r;
	call->http = h;
	call->done = done;
	call->arg = arg;
	if (call->spec.timeout_ms == 0)
		call->spec.timeout_ms = h->timeout_ms;
	call->deadline_ms = clock_now_ms(h->clock) + call->spec.timeout_ms;
	r = post(h, call, ret_call);
	if (r < 0)
		return r;
	call = NULL;
	return 0;
}

static void tell(struct http *h, struct http_call *call, enum call_news news)
{
	pthread_mutex_lock(&h->lock);
	if (!call->news)
		TAILQ_INSERT_TAIL(&h->news, call, news_link);
	call->news |= news;
	unlock_and_wake(h);
}

void http_cancel(struct http *h, struct http_call *call)
{
	tell(h, call, CALL_CANCELLED);
}

void http_hurry(struct http *h, struct http_call *call)
{
	tell(h, call, CALL_HURRIED);
}

void http_get_stats(struct http *h, struct http_stats *ret)
{
	static const unsigned percent[] = { 50, 90, 99 };
	unsigned quantile_ms[ARRAY_SIZE(percent)];

	pthread_mutex_lock(&h->lock);
	*ret = h->stats;
	ret->rate_per_s = h->rate.per_s; /* set once, by http_new */
	ret->queued = h->n_calls > ret->running ? h->n_calls - ret->running : 0;
	struct latency latency = h->latency;
	struct rate rate = h->rate_shown;
	const struct breaker_shown circuit = h->circuit_shown;
	pthread_mutex_unlock(&h->lock);

	uint64_t now_ms = clock_now_ms(h->clock);
	ret->rate_burst = rate.per_s * RATE_BURST_S;
	ret->rate_left = rate_left(&rate, now_ms);
	ret->circuit_open = now_ms < circuit.open_until_ms;
	ret->circuit_opened = circuit.opened;
	ret->circuit_ms = now_ms - circuit.since_ms;

	latency_quantiles(&latency, percent, quantile_ms, ARRAY_SIZE(percent));
	ret->latency_p50_ms = quantile_ms[0];
	ret->latency_p90_ms = quantile_ms[1];
	ret->latency_p99_ms = quantile_ms[2];
}
