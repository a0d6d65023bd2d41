/* SPDX-License-Identifier: MIT */
/* The http thread's side of http: which call runs next, what becomes of it
 * when a try has ended, and when to look again.
 *
 * A call goes
 *
 *     inbox -> queue of its class -> running -> done
 *                    ^                  |
 *                    +---- delayed <----+     a failure worth another try
 *                    +------------------+     a 401, and there is a new token
 *
 * and leaves from any place for done when it is cancelled or its deadline has
 * passed.  Callbacks may submit and cancel: both only write to the inbox's
 * side, so that no list changes here but by the function that is at work. */
#include "http/core.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http/header.h"
#include "http/retry.h"

#define NEVER UINT64_MAX

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- the end of a call ---- */

static bool result_is_failure(const struct http_result *result)
{
	if (result->err)
		return result->err != -ECANCELED;
	return retry_is_transient(0, result->status) || result->status >= 500;
}

static void count_end(struct http *h, const struct http_result *result)
{
	pthread_mutex_lock(&h->lock);
	h->n_calls--;
	h->stats.failures += result_is_failure(result);
	pthread_mutex_unlock(&h->lock);
}

static void end_call(struct http *h, struct http_call *call, struct http_result *result)
{
	result->processed_maybe = call->processed_maybe;
	result->began_ms = call->began_ms;
	result->took_ms = call->took_ms;
	result->tries = call->tries;
	result->call_no = call->call_no;
	result->token_no = call->token_no;
	call_remove(call);
	count_end(h, result);
	call->done(call->arg, result);

	/* Until here another thread may have named the call. */
	pthread_mutex_lock(&h->lock);
	if (call->news)
		TAILQ_REMOVE(&h->news, call, news_link);
	pthread_mutex_unlock(&h->lock);
	call_free(call);
}

/* Of an answer that is none, nothing is shown: it may be half.  What it says of the
 * time is the last try's alone. */
static void end_with_failure(struct http *h, struct http_call *call,
			     const struct transport_answer *answer, int64_t retry_in_ms)
{
	uint64_t began_ms = call->deadline_ms - call->spec.timeout_ms;
	char why[sizeof(answer->why) + 64];
	struct http_result result = {
		.err = answer->err,
		.retry_in_ms = retry_in_ms,
		.body = "",
		.why = answer->why,
	};

	if (answer->err == -ETIMEDOUT && call->tries > 1) {
		snprintf(why, sizeof(why), "%s (%u tries in %.1f s)", answer->why, call->tries,
			 (double)(clock_now_ms(h->clock) - began_ms) / 1000);
		result.why = why;
	}
	end_call(h, call, &result);
}

/* What a server says of a failure goes into logs, and it may repeat what it was
 * sent. */
static void hide_token(const struct http_call *call, struct transport_answer *answer)
{
	if (answer->status >= 400 && call->token && answer->body.len)
		secret_hide(call->token, answer->body.data, answer->body.len);
}

static void end_with_answer(struct http *h, struct http_call *call,
			    struct transport_answer *answer, int64_t retry_in_ms)
{
	hide_token(call, answer);
	struct http_result result = {
		.status = answer->status,
		.retry_in_ms = retry_in_ms,
		.etag = answer->etag[0] ? answer->etag : NULL,
		.link = answer->link.len ? answer->link.data : NULL,
		.body = answer->body.data ? answer->body.data : "",
		.body_len = answer->body.len,
		.why = "",
	};

	end_call(h, call, &result);
}

static void count_running(struct http *h, const struct http_call *call, int change)
{
	h->n_running += (unsigned)change;
	h->n_running_of[call->spec.kind] += (unsigned)change;
}

static struct breaker *breaker_of(struct http *h, const struct http_call *call)
{
	return &h->breaker_of[call->spec.kind];
}

static void judge_nothing(struct http *h, const struct http_call *call)
{
	uint64_t now_ms = clock_now_ms(h->clock);

	breaker_nothing(&h->breaker, now_ms, call->probe);
	breaker_nothing(breaker_of(h, call), now_ms, call->kind_probe);
}

static void stop_try(struct http *h, struct http_call *call)
{
	if (!call->try)
		return;
	h->transport->ops->cancel(h->transport, TAKE_PTR(call->try));
	count_running(h, call, -1);
	call->took_ms = clock_now_ms(h->clock) - call->began_ms;
	call->processed_maybe = true; /* nobody knows how far it got */
	judge_nothing(h, call);
}

static void end_early(struct http *h, struct http_call *call, int err, const char *why)
{
	struct http_result result = { .err = err, .retry_in_ms = -1, .body = "", .why = why };

	stop_try(h, call);
	end_call(h, call, &result);
}

/* ---- the circuit ----
 *
 * There is one for all, and one for each kind of what is asked: an endpoint that fails by
 * itself must not keep a save from being sent.  A service that cannot be reached fails for all, and
 * so does one that fails in more than one kind. */

/* Failures that are nobody's but our own, and an answer that is only too long. */
static bool shows_nothing(const struct http_call *call, int err)
{
	return err == -ENOMEM || err == -EINVAL || err == -EMSGSIZE ||
	       (err == -ETIMEDOUT && call->took_ms < BREAKER_MIN_TIMEOUT_MS);
}

/* Whether the circuit of its kind keeps the next one like it back. */
static bool keeps_back(struct http *h, const struct http_call *call)
{
	return breaker_of(h, call)->open && call->spec.class != HTTP_CLASS_SAVE;
}

/* reached: it may be this kind's alone.  Then, where it was the probe, one of another kind
 * may be that at once: who asks for what goes on failing, again and again, would be the
 * probe each time. */
static void judge_error(struct http *h, const struct http_call *call, int err, bool reached,
			const char *why)
{
	uint64_t now_ms = clock_now_ms(h->clock);

	if (shows_nothing(call, err)) {
		judge_nothing(h, call);
		return;
	}
	h->failed_kinds |= reached ? 1u << call->spec.kind : ~0u;
	bool by_itself = (h->failed_kinds & (h->failed_kinds - 1)) == 0;
	if (reached)
		breaker_failure(breaker_of(h, call), now_ms, call->kind_probe, true, err, why);
	else
		breaker_nothing(breaker_of(h, call), now_ms, call->kind_probe);
	if (call->probe && by_itself && keeps_back(h, call)) {
		breaker_nothing(&h->breaker, now_ms, true);
		return;
	}
	breaker_failure(&h->breaker, now_ms, call->probe, !by_itself, err, why);
	if (h->breaker.open)
		h->failed_kinds = 0;
}

/* A connection carries many tries, and its end ends them all: the first of them counts. */
static bool counts(struct http *h, const struct http_call *call, int err)
{
	if (err != -EIO || call->probe || call->kind_probe)
		return true;
	if (call->try_no <= h->cut_off_no)
		return false;
	h->cut_off_no = h->last_try_no;
	return true;
}

static void judge_success(struct http *h, const struct http_call *call)
{
	uint64_t now_ms = clock_now_ms(h->clock);

	h->failed_kinds = 0;
	breaker_success(breaker_of(h, call), now_ms);
	/* After that it is back, and none of its kinds has been seen to fail by itself. */
	for (unsigned i = 0; h->breaker.open && i < HTTP_MAX_KINDS; i++)
		breaker_success(&h->breaker_of[i], now_ms);
	breaker_success(&h->breaker, now_ms);
}

static void judge_try(struct http *h, const struct http_call *call,
		      const struct transport_answer *answer)
{
	char why[64];

	if (answer->err) {
		if (counts(h, call, answer->err))
			judge_error(h, call, answer->err, answer->sent, answer->why);
	} else if (answer->status >= 500) {
		snprintf(why, sizeof(why), "the service answered %d", answer->status);
		judge_error(h, call, -EIO, true, why);
	} else {
		judge_success(h, call);
	}
}

/* The one that lets nothing be asked, or NULL. */
static const struct breaker *blocker(const struct http *h, const struct http_call *call,
				     uint64_t now_ms)
{
	const struct breaker *of_kind = &h->breaker_of[call->spec.kind];

	if (breaker_ask(&h->breaker, now_ms) == BREAKER_WAIT)
		return &h->breaker;
	/* One stack may be what fails, and another is being saved. */
	if (call->spec.class == HTTP_CLASS_SAVE)
		return NULL;
	return breaker_ask(of_kind, now_ms) == BREAKER_WAIT ? of_kind : NULL;
}

static void end_unasked(struct http *h, struct http_call *call, const struct breaker *b)
{
	char why[sizeof(b->why) + 64];

	snprintf(why, sizeof(why), "%s (not asked again yet, after %u failures in a row)", b->why,
		 BREAKER_FAILURES);
	end_early(h, call, b->err, why);
}

static bool is_refused(const struct http *h, const struct http_call *call, uint64_t now_ms)
{
	return !call->spec.patient && blocker(h, call, now_ms);
}

static bool ask_as_probe(struct breaker *b, uint64_t now_ms)
{
	bool probe = breaker_ask(b, now_ms) == BREAKER_PROBE;

	if (probe)
		breaker_probe(b, now_ms);
	return probe;
}

/* ---- a service that wants to be left alone ----
 *
 * A 429 is no failure of the service, and no circuit's.  But where it says to wait for longer
 * than a call can, to ask for the next of that kind would only be one request more.  It may
 * be wrong, so it is asked again from time to time; what is saved is asked for at once. */

/* Not by what is saved, either: such a call has what others of the save have left it. */
static void note_wish(struct http *h, const struct http_call *call,
		      const struct transport_answer *answer)
{
	uint64_t wish_ms = (uint64_t)answer->retry_after_ms;

	if (answer->status == 429 && answer->retry_after_ms > 0 &&
	    wish_ms >= call->spec.timeout_ms && call->spec.class != HTTP_CLASS_SAVE)
		h->alone_until_ms[call->spec.kind] =
			clock_now_ms(h->clock) + min_u64(wish_ms, HTTP_ALONE_MAX_MS);
}

static bool is_unwanted(const struct http *h, const struct http_call *call, uint64_t now_ms)
{
	return call->spec.class != HTTP_CLASS_SAVE && now_ms < h->alone_until_ms[call->spec.kind];
}

static void end_unwanted(struct http *h, struct http_call *call, uint64_t now_ms)
{
	uint64_t left_ms = h->alone_until_ms[call->spec.kind] - now_ms;
	char why[96];

	snprintf(why, sizeof(why),
		 "too many requests, the service answered 429 (not asked again for %u s)",
		 (unsigned)(left_ms + 999) / 1000);
	end_early(h, call, -EBUSY, why);
}

/* ---- deadlines ---- */

static void end_late(struct http *h, struct http_call *call)
{
	char why[96];

	snprintf(why, sizeof(why), "no answer within %.1f s (%s)", call->spec.timeout_ms / 1000.0,
		 call->try	 ? "the server was asked" :
		 call->tries > 0 ? "waiting for another try" :
				   "waiting for a turn");
	if (call->try) {
		call->took_ms = clock_now_ms(h->clock) - call->began_ms;
		judge_error(h, call, -ETIMEDOUT, true, why);
		call->probe = call->kind_probe = false;
	}
	end_early(h, call, -ETIMEDOUT, why);
}

/* ---- the end of a try ---- */

static bool same_secret(const struct secret *a, const struct secret *b)
{
	return secret_len(a) == secret_len(b) &&
	       memcmp(secret_bytes(a), secret_bytes(b), secret_len(a)) == 0;
}

static void replace_token(struct http *h, struct secret *token)
{
	if (!same_secret(h->token, token))
		h->token_no++;
	secret_unref(h->token);
	h->token = token;
}

/* Ask the source once, on behalf of every call that was begun before now. */
static void load_token(struct http *h)
{
	struct secret *token = NULL;

	h->loads++;
	if (!h->reload.load || h->reload.load(h->reload.arg, &token) < 0)
		return;
	if (header_is_visible(secret_bytes(token), secret_len(token)))
		replace_token(h, token);
	else
		secret_unref(token);
}

/* After a 401: whether there is another token than the refused one. */
static bool has_new_token(struct http *h, struct http_call *call)
{
	if (call->renewed)
		return false;
	call->renewed = true;
	if (call->loads == h->loads)
		load_token(h);
	if (call->spec.pinned)
		return false;
	return !same_secret(call->token, h->token);
}

/* What comes of a failed try.  -1: nothing, it is the call's end. */
static int64_t next_try_in_ms(struct http *h, struct http_call *call,
			      const struct transport_answer *answer)
{
	uint64_t now_ms = clock_now_ms(h->clock);
	uint64_t delay_ms;
	struct retry_case ended = {
		.mode = call->spec.retry,
		.err = answer->err,
		.sent = answer->sent,
		.status = answer->status,
		.retry_after_ms = answer->retry_after_ms,
		.tries = call->spec.tries_before + call->tries,
		.left_ms = call->deadline_ms > now_ms ? call->deadline_ms - now_ms : 0,
	};

	if (!answer->err && answer->status == 401)
		return ended.tries < RETRY_MAX_TRIES && has_new_token(h, call) ? 0 : -1;
	return retry_decide(&ended, &h->random, &delay_ms) ? (int64_t)delay_ms : -1;
}

static void delay_call(struct http *h, struct http_call *call, uint64_t delay_ms)
{
	call->ready_ms = clock_now_ms(h->clock) + delay_ms;
	call_move_last(call, &h->places[PLACE_DELAYED]);
}

static void count_try_end(struct http *h, const struct http_call *call,
			  const struct transport_answer *answer, bool again)
{
	pthread_mutex_lock(&h->lock);
	h->stats.retries += again;
	h->stats.received_bytes += answer->body.len;
	if (!answer->err)
		latency_add(&h->latency, call->took_ms);
	pthread_mutex_unlock(&h->lock);
}

/* The machine has slept meanwhile: what came before that is as old as the night. */
static void refuse_late(const struct http *h, const struct http_call *call,
			struct transport_answer *answer)
{
	if (answer->err || call->spec.method != HTTP_GET ||
	    clock_now_ms(h->clock) <= call->deadline_ms)
		return;
	answer->err = -ETIMEDOUT;
	answer->sent = true;
	answer->status = 0;
	snprintf(answer->why, sizeof(answer->why), "an answer, but not within %.1f s",
		 call->spec.timeout_ms / 1000.0);
}

static void try_done(void *arg, struct transport_answer *answer)
{
	struct http_call *call = arg;
	struct http *h = call->http;

	call->try = NULL;
	count_running(h, call, -1);
	call->took_ms = clock_now_ms(h->clock) - call->began_ms;
	call->processed_maybe |= retry_maybe_processed(answer->err, answer->sent, answer->status);
	judge_try(h, call, answer);
	refuse_late(h, call, answer);
	call->unanswered |= answer->err == -ETIMEDOUT && answer->sent;

	int64_t next_ms = next_try_in_ms(h, call, answer);
	/* When this has opened the circuit, the failure itself says more than that. */
	bool again = next_ms >= 0 && call->spec.retry != HTTP_RETRY_NEVER &&
		     !is_refused(h, call, clock_now_ms(h->clock));
	count_try_end(h, call, answer, again);
	note_wish(h, call, answer);
	if (again)
		delay_call(h, call, (uint64_t)next_ms);
	else if (answer->err)
		end_with_failure(h, call, answer, next_ms);
	else
		end_with_answer(h, call, answer, next_ms);
}

/* ---- the beginning of a try ---- */

static unsigned n_slots(const struct http *h)
{
	unsigned n = h->transport->ops->capacity(h->transport);

	return n < HTTP_MAX_RUNNING ? n : HTTP_MAX_RUNNING;
}

/* Slots that a class may fill: the last ones are kept for those before it, so
 * that a save never waits for a slot that readahead holds. */
static unsigned window(const struct http *h, enum http_class class)
{
	static const unsigned kept_eighths[] = {
		[HTTP_CLASS_SAVE] = 0,
		[HTTP_CLASS_USER] = 1,
		[HTTP_CLASS_READAHEAD] = 2,
	};
	unsigned n = n_slots(h);

	return n - n * kept_eighths[class] / 8;
}

/* The last few of those are for kinds that have hardly any: endpoints that hang must not
 * hang the rest. */
static bool kind_is_full(const struct http *h, const struct http_call *call)
{
	const struct http_spec *spec = &call->spec;
	unsigned n = window(h, spec->class), kept = n_slots(h) / 16;

	return spec->class != HTTP_CLASS_SAVE && h->n_running < n && h->n_running >= n - kept &&
	       h->n_running_of[spec->kind] >= (kept + 1) / 2;
}

/* Whether this call may begin a try now: the one place that decides it.  If
 * not, *ret_wait_ms is when to ask again; NEVER: when something has ended. */
static bool may_begin(struct http *h, const struct http_call *call, uint64_t now_ms,
		      uint64_t *ret_wait_ms)
{
	*ret_wait_ms = NEVER;
	if (h->n_running >= window(h, call->spec.class))
		return false;
	*ret_wait_ms = rate_wait_ms(&h->rate, now_ms);
	return *ret_wait_ms == 0;
}

static void count_try(struct http *h)
{
	pthread_mutex_lock(&h->lock);
	h->stats.tries++;
	pthread_mutex_unlock(&h->lock);
}

static void take_token(struct http *h, struct http_call *call)
{
	secret_unref(call->token);
	call->token = secret_ref(h->token);
	call->loads = h->loads;
	call->token_no = h->token_no;
}

static struct transport_request request_of(const struct http_call *call, uint64_t now_ms)
{
	const struct http_spec *spec = &call->spec;

	return (struct transport_request){
		.method = spec->method,
		.target = spec->target,
		.if_none_match = spec->if_none_match,
		.if_match = spec->if_match,
		.body = spec->body,
		.body_len = spec->body_len,
		.max_body_bytes = spec->max_body_bytes,
		.timeout_ms = (unsigned)(call->deadline_ms - now_ms),
		.fresh_connection = spec->method == HTTP_POST || call->unanswered,
		.token = call->token,
		.call_no = call->call_no,
	};
}

static void begin_try(struct http *h, struct http_call *call, uint64_t now_ms)
{
	call->probe = ask_as_probe(&h->breaker, now_ms);
	call->kind_probe = ask_as_probe(breaker_of(h, call), now_ms);
	take_token(h, call);
	rate_take(&h->rate);
	count_try(h);
	call->tries++;
	call->try_no = ++h->last_try_no;
	call->began_ms = now_ms;

	struct transport_request request = request_of(call, now_ms);
	int r = h->transport->ops->start(h->transport, &request, try_done, call, &call->try);
	if (r < 0) {
		judge_nothing(h, call);
		end_early(h, call, r, "the request could not be set up");
		return;
	}
	count_running(h, call, 1);
	call_move_last(call, &h->places[PLACE_RUNNING]);
}

/* Begin what may begin, the most urgent first; how long until the next may. */
static uint64_t begin_queued(struct http *h, uint64_t now_ms)
{
	uint64_t probe_ms = NEVER; /* for which the patient wait */

	for (enum place p = PLACE_SAVE; p <= PLACE_READAHEAD; p++) {
		struct http_call *call, *next;
		uint64_t wait_ms;

		for (call = TAILQ_FIRST(&h->places[p]); call; call = next) {
			next = TAILQ_NEXT(call, link);
			const struct breaker *b = blocker(h, call, now_ms);
			if (b && call->spec.patient) {
				probe_ms = min_u64(probe_ms, b->next_probe_ms - now_ms);
				continue;
			}
			if (b) {
				end_unasked(h, call, b);
				continue;
			}
			if (is_unwanted(h, call, now_ms)) {
				end_unwanted(h, call, now_ms);
				continue;
			}
			if (kind_is_full(h, call))
				continue;
			/* Who comes later must not overtake, but for other kinds. */
			if (!may_begin(h, call, now_ms, &wait_ms))
				return min_u64(wait_ms, probe_ms);
			if (call->spec.pinned && call->spec.token_no != h->token_no)
				end_early(h, call, -EACCES,
					  "the token has been replaced, and it is not known yet "
					  "whether it is of the same account: try again");
			else
				begin_try(h, call, now_ms);
		}
	}
	return probe_ms;
}

/* ---- time ---- */

/* Calls whose delay is over go to the head of their queue: they are older than
 * what is there.  So do those that the open circuit ends. */
static void end_delays(struct http *h, uint64_t now_ms)
{
	struct http_call *next;

	for (struct http_call *c = TAILQ_FIRST(&h->places[PLACE_DELAYED]); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->ready_ms <= now_ms || is_refused(h, c, now_ms))
			call_move_first(c, &h->places[c->spec.class]);
	}
}

static void end_overdue(struct http *h, uint64_t now_ms)
{
	for (int p = 0; p < N_PLACES; p++) {
		struct http_call *next;

		for (struct http_call *c = TAILQ_FIRST(&h->places[p]); c; c = next) {
			next = TAILQ_NEXT(c, link);
			if (c->deadline_ms <= now_ms)
				end_late(h, c);
		}
	}
}

/* When the next deadline or delay ends. */
static uint64_t next_event_ms(const struct http *h)
{
	uint64_t at_ms = NEVER;
	const struct http_call *c;

	for (int p = 0; p < N_PLACES; p++) {
		TAILQ_FOREACH(c, &h->places[p], link)
		{
			at_ms = min_u64(at_ms, c->deadline_ms);
			if (p == PLACE_DELAYED)
				at_ms = min_u64(at_ms, c->ready_ms);
		}
	}
	return at_ms;
}

/* As one: open where any is. */
static void show_circuit(struct http *h)
{
	struct breaker_shown shown = {
		.open_until_ms = h->breaker.open ? NEVER : 0,
		.opened = h->breaker.opened,
		.since_ms = h->breaker.since_ms,
	};

	for (unsigned i = 0; i < HTTP_MAX_KINDS; i++) {
		const struct breaker *b = &h->breaker_of[i];

		shown.opened += b->opened;
		if (b->open && b->next_probe_ms > shown.open_until_ms) {
			shown.open_until_ms = b->next_probe_ms;
			shown.since_ms = b->since_ms;
		}
	}
	h->circuit_shown = shown;
}

static void publish_running(struct http *h)
{
	pthread_mutex_lock(&h->lock);
	h->stats.running = h->n_running;
	h->rate_shown = h->rate;
	show_circuit(h);
	pthread_mutex_unlock(&h->lock);
}

unsigned dispatch_advance(struct http *h)
{
	uint64_t now_ms = clock_now_ms(h->clock);

	end_overdue(h, now_ms);
	end_delays(h, now_ms);
	uint64_t wait_ms = begin_queued(h, now_ms);
	publish_running(h);

	uint64_t at_ms = next_event_ms(h);
	if (at_ms == NEVER)
		return DISPATCH_IDLE_WAIT_MS;
	wait_ms = min_u64(wait_ms, at_ms > now_ms ? at_ms - now_ms : 0);
	return (unsigned)min_u64(wait_ms, DISPATCH_MAX_WAIT_MS);
}

/* ---- news from other threads ---- */

static void hurry(struct http *h, struct http_call *call)
{
	if (call->spec.class != HTTP_CLASS_READAHEAD)
		return;
	call->spec.class = HTTP_CLASS_USER;
	if (call->list == &h->places[PLACE_READAHEAD])
		call_move_last(call, &h->places[PLACE_USER]);
}

/* Bring all new calls in, and give one that there is news of, or NULL.  Both in one
 * go: such a call is not in the inbox any more when it is given.  *any: whether there
 * was something. */
static struct http_call *take_news(struct http *h, unsigned *ret_news, bool *any)
{
	struct http_call *call;

	pthread_mutex_lock(&h->lock);
	while ((call = TAILQ_FIRST(&h->inbox))) {
		call_move_last(call, &h->places[call->spec.class]);
		*any = true;
	}
	call = TAILQ_FIRST(&h->news);
	if (call) {
		TAILQ_REMOVE(&h->news, call, news_link);
		*ret_news = call->news;
		call->news = 0;
		*any = true;
	}
	pthread_mutex_unlock(&h->lock);
	return call;
}

bool dispatch_take_news(struct http *h)
{
	struct http_call *call;
	bool any = false;
	unsigned news;

	while ((call = take_news(h, &news, &any))) {
		if (news & CALL_CANCELLED)
			end_early(h, call, -ECANCELED, "cancelled");
		else
			hurry(h, call);
	}
	return any;
}

void dispatch_cancel_all(struct http *h)
{
	struct http_call *call;

	(void)dispatch_take_news(h);
	for (int p = 0; p < N_PLACES; p++) {
		while ((call = TAILQ_FIRST(&h->places[p])))
			end_early(h, call, -ECANCELED, "shutting down");
	}
}
