/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "clock.h"
#include "control.h"
#include "emulator.h"
#include "random.h"

enum { WIRE_BODY_MAX = 64 << 20 }; /* of an answer that is spoilt: it is made whole in memory */

static void on_log(void *arg, enum reqlog_event event, uint64_t seq)
{
	control_tell_waiters(arg, event, seq);
}

void emulator_init(struct emulator *e, const struct config *config, uint64_t seed)
{
	struct random r = random_of(seed);

	*e = (struct emulator){
		.config = *config,
		.account = account_new(seed),
		.faults = faults_new(seed),
		.cursor_key = random_next(&r),
	};
	e->log = reqlog_new(on_log, e);
	TAILQ_INIT(&e->waiters);
}

void emulator_done(struct emulator *e)
{
	free(e->config.token);
	account_free(e->account);
	faults_free(e->faults);
	reqlog_free(e->log);
}

static int lookup(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return (int)i;
	return -EINVAL;
}

int config_etag(const char *name, enum etag_mode *ret)
{
	static const char *const names[] = { "off", "strong", "weak" };
	int i = lookup(names, ARRAY_SIZE(names), name);

	if (i >= 0)
		*ret = (enum etag_mode)i;
	return i < 0 ? i : 0;
}

int config_paging(const char *name, enum paging *ret)
{
	static const char *const names[] = { "id", "offset" };
	int i = lookup(names, ARRAY_SIZE(names), name);

	if (i >= 0)
		*ret = (enum paging)i;
	return i < 0 ? i : 0;
}

/* --- the life of a request --- */

static void copy_reply(struct reply *to, const struct reply *from)
{
	reply_reset(to);
	to->status = from->status;
	to->repeat = from->repeat;
	for (unsigned i = 0; i < from->n_headers; i++)
		reply_header(to, from->headers[i].name, from->headers[i].value);
	buf_span(&to->body, buf_view(&from->body));
}

static enum verdict answer(struct emulator *e, struct exchange *x)
{
	reqlog_answered(e->log, x->seq, x->reply.status);
	return VERDICT_ANSWER;
}

/* The request's own answer, made now unless it has been already. */
static void carry_out(struct emulator *e, struct exchange *x)
{
	if (!x->reply.status)
		api_answer(e, x);
}

/* An answer of at most so many bytes of body (or in all), cut off or one byte at a time. */
static enum verdict wire_answer(struct emulator *e, struct exchange *x, size_t body_max,
				size_t total_max)
{
	struct wire *wire = &x->wire;

	if (body_max > WIRE_BODY_MAX)
		body_max = WIRE_BODY_MAX;
	reply_render(&x->reply, "Emulated", body_max, &wire->bytes, &wire->at_once);
	if (wire->bytes.len > total_max)
		wire->bytes.len = total_max;
	reqlog_answered(e->log, x->seq, x->reply.status);
	return VERDICT_WIRE;
}

static enum verdict hang(struct exchange *x)
{
	if (x->fault->removed)
		return VERDICT_CLOSE;
	x->phase = PHASE_HUNG;
	x->wake_ms = CLOCK_NEVER;
	return VERDICT_PARK;
}

static enum verdict garbage(struct exchange *x)
{
	static const char bytes[] = "\x16\x03\x01 this is not HTTP\r\n\xff\xfe\r\n\r\n";

	if (x->fault->has_reply)
		buf_span(&x->wire.bytes, buf_view(&x->fault->reply.body));
	else
		buf_add(&x->wire.bytes, bytes, sizeof(bytes) - 1);
	return VERDICT_WIRE;
}

/* Kinds that send an answer, or a part of one. */
static enum verdict spoil_answer(struct emulator *e, struct exchange *x)
{
	const struct fault *fault = x->fault;

	if (fault->has_reply)
		copy_reply(&x->reply, &fault->reply);
	else
		carry_out(e, x);
	switch (fault->kind) {
	case FAULT_TRUNCATE:
		return wire_answer(e, x, fault->at_byte, SIZE_MAX);
	case FAULT_DRIP:
		x->wire.drip_ms = fault->drip_ms ? fault->drip_ms : 1;
		return wire_answer(e, x, SIZE_MAX, SIZE_MAX);
	case FAULT_RESET:
		return wire_answer(e, x, fault->at_byte, fault->at_byte);
	default:
		return answer(e, x);
	}
}

static enum verdict finish(struct emulator *e, struct exchange *x)
{
	const struct fault *fault = x->fault;

	if (!fault) {
		carry_out(e, x);
		return answer(e, x);
	}
	x->wire.ending = fault->kind == FAULT_RESET ? END_RESET : END_CLOSE;
	switch (fault->kind) {
	case FAULT_HANG:
		return hang(x);
	case FAULT_DROP:
		return VERDICT_CLOSE;
	case FAULT_GARBAGE:
		return garbage(x);
	case FAULT_RESET:
		return fault->at_byte ? spoil_answer(e, x) : VERDICT_WIRE;
	default:
		return spoil_answer(e, x);
	}
}

static void meet_fault(struct emulator *e, struct exchange *x)
{
	CLEANUP(mem_freep) char *what = NULL;

	x->fault = faults_take(e->faults, &x->rq);
	if (!x->fault)
		return;
	what = mem_format("%u %s", x->fault->id, fault_kind_name(x->fault));
	reqlog_fault(e->log, x->seq, what);
	if (x->fault->apply)
		carry_out(e, x);
}

static enum verdict arrive(struct emulator *e, struct exchange *x)
{
	uint64_t delay;

	x->seq = reqlog_add(e->log, &x->rq, api_auth(e, &x->rq));
	api_note_misuse(e, x);
	meet_fault(e, x);
	reqlog_arrived(e->log, x->seq);
	delay = e->config.latency_ms + (x->fault ? x->fault->delay_ms : 0);
	if (!delay)
		return finish(e, x);
	x->phase = PHASE_DELAYED;
	x->wake_ms = clock_ms() + delay;
	return VERDICT_PARK;
}

enum verdict emulator_step(void *arg, struct exchange *x)
{
	struct emulator *e = arg;

	switch (x->phase) {
	case PHASE_DELAYED:
		return clock_ms() < x->wake_ms ? VERDICT_PARK : finish(e, x);
	case PHASE_HUNG:
		return hang(x);
	case PHASE_WAITING:
		return control_waited(e, x);
	default:
		return control_is_for(&x->rq) ? control_answer(e, x) : arrive(e, x);
	}
}

void emulator_gone(void *arg, struct exchange *x, bool answered)
{
	struct emulator *e = arg;

	if (x->seq && !answered && !x->fault)
		reqlog_note(e->log, x->seq, "info: the client left");
	reqlog_answered(e->log, x->seq, 0);
	control_forget(e, x);
	fault_unref(x->fault);
	x->fault = NULL;
}
