/* SPDX-License-Identifier: MIT */
#include "fake_transport.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct transport_try {
	struct fake_try seen;
	transport_done_fn *done;
	void *arg;
	struct transport_answer answer;
	bool running;
};

struct fake {
	struct fake_transport pub;
	struct transport_try *tries[FAKE_TRANSPORT_MAX_TRIES];
	size_t n_tries;
	struct transport_try *answered[FAKE_TRANSPORT_MAX_TRIES]; /* to be delivered */
	size_t n_answered;
};

static void *checked(void *p)
{
	assert(p);
	return p;
}

static char *copy_string(const char *s)
{
	return s ? checked(strdup(s)) : NULL;
}

static struct fake *from_base(const struct transport *t)
{
	return (struct fake *)t;
}

static void copy_request(struct transport_request *to, const struct transport_request *from)
{
	*to = *from;
	to->target = copy_string(from->target);
	to->if_none_match = copy_string(from->if_none_match);
	to->if_match = copy_string(from->if_match);
	to->token = secret_ref(from->token);
	if (from->body) {
		char *body = checked(calloc(1, from->body_len + 1));

		memcpy(body, from->body, from->body_len);
		to->body = body;
	}
}

static int fake_start(struct transport *base, const struct transport_request *request,
		      transport_done_fn *done, void *arg, struct transport_try **ret)
{
	struct fake *f = from_base(base);

	if (f->pub.start_error)
		return f->pub.start_error;
	assert(f->n_tries < FAKE_TRANSPORT_MAX_TRIES);
	struct transport_try *t = checked(calloc(1, sizeof(*t)));
	copy_request(&t->seen.request, request);
	t->done = done;
	t->arg = arg;
	t->running = true;
	f->tries[f->n_tries++] = t;
	if (++f->pub.running > f->pub.max_running)
		f->pub.max_running = f->pub.running;
	*ret = t;
	return 0;
}

static void fake_cancel(struct transport *base, struct transport_try *t)
{
	struct fake *f = from_base(base);

	assert(t->running);
	t->running = false;
	t->seen.cancelled = true;
	f->pub.running--;
}

static void fake_wait(struct transport *base, unsigned max_wait_ms)
{
	struct fake *f = from_base(base);

	f->pub.last_wait_ms = max_wait_ms;
	if (f->pub.while_waiting)
		f->pub.while_waiting();
}

static void fake_run(struct transport *base)
{
	struct fake *f = from_base(base);

	for (size_t i = 0; i < f->n_answered; i++) {
		struct transport_try *t = f->answered[i];

		if (!t->running)
			continue; /* cancelled since */
		t->running = false;
		f->pub.running--;
		t->done(t->arg, &t->answer);
	}
	f->n_answered = 0;
}

static void fake_wake(struct transport *base)
{
	from_base(base)->pub.wakes++;
}

static unsigned fake_capacity(const struct transport *base)
{
	return from_base(base)->pub.capacity;
}

static void free_try(struct transport_try *t)
{
	free((char *)t->seen.request.target);
	free((char *)t->seen.request.if_none_match);
	free((char *)t->seen.request.if_match);
	free((char *)t->seen.request.body);
	secret_unref(t->seen.request.token);
	buf_done(&t->answer.link);
	buf_done(&t->answer.body);
	free(t);
}

static void fake_free(struct transport *base)
{
	struct fake *f = from_base(base);

	assert(f->pub.running == 0); /* http ends every call first */
	for (size_t i = 0; i < f->n_tries; i++)
		free_try(f->tries[i]);
	free(f);
}

static const struct transport_ops ops = {
	.start = fake_start,
	.cancel = fake_cancel,
	.wait = fake_wait,
	.run = fake_run,
	.wake = fake_wake,
	.capacity = fake_capacity,
	.free = fake_free,
};

struct fake_transport *fake_transport_new(unsigned capacity)
{
	struct fake *f = checked(calloc(1, sizeof(*f)));

	f->pub.base.ops = &ops;
	f->pub.capacity = capacity;
	return &f->pub;
}

size_t fake_transport_count(const struct fake_transport *fake)
{
	return from_base(&fake->base)->n_tries;
}

const struct fake_try *fake_transport_try(const struct fake_transport *fake, size_t i)
{
	struct fake *f = from_base(&fake->base);

	assert(i < f->n_tries);
	return &f->tries[i]->seen;
}

static void fill(struct buf *buf, const char *bytes, size_t len)
{
	int r = 0;

	buf->max_bytes = SIZE_MAX / 4;
	if (bytes)
		r = buf_append(buf, bytes, len ? len : strlen(bytes));
	assert(r == 0);
	(void)r;
}

void fake_transport_answer(struct fake_transport *fake, size_t i, const struct fake_answer *answer)
{
	struct fake *f = from_base(&fake->base);

	assert(i < f->n_tries);
	struct transport_try *t = f->tries[i];
	assert(t->running && !t->seen.answered);
	t->seen.answered = true;
	t->answer.err = answer->err;
	t->answer.sent = answer->sent || answer->err == 0;
	t->answer.status = answer->status;
	t->answer.retry_after_ms = answer->retry_after_ms;
	snprintf(t->answer.etag, sizeof(t->answer.etag), "%s", answer->etag ? answer->etag : "");
	fill(&t->answer.link, answer->link, 0);
	fill(&t->answer.body, answer->body, answer->body_len);
	if (answer->err)
		snprintf(t->answer.why, sizeof(t->answer.why), "fake failure %d", answer->err);
	f->answered[f->n_answered++] = t;
}

void fake_transport_status(struct fake_transport *fake, size_t i, int status, const char *body)
{
	fake_transport_answer(
		fake, i,
		&(struct fake_answer){ .status = status, .body = body, .retry_after_ms = -1 });
}

void fake_transport_fail(struct fake_transport *fake, size_t i, int err, bool sent)
{
	fake_transport_answer(
		fake, i, &(struct fake_answer){ .err = err, .sent = sent, .retry_after_ms = -1 });
}
