/* SPDX-License-Identifier: MIT */
/* fault: misbehaviour on request.
 * A test says which requests (method, path, query), how many of them, and what is to go wrong; the
 * first fault that fits a request takes it.  Faults are shared: a request under way holds a
 * reference, so that removing a fault releases what hangs on it.  Threads: none here. */
#ifndef EMULATOR_FAULT_H
#define EMULATOR_FAULT_H

#include "exchange.h"

enum fault_kind {
	FAULT_STATUS,	/* the given status instead of an answer */
	FAULT_BODY,	/* 200 with the given body */
	FAULT_DELAY,	/* the answer comes late */
	FAULT_HANG,	/* no answer until the fault is removed */
	FAULT_RESET,	/* RST, after at_byte bytes of the answer */
	FAULT_TRUNCATE, /* the true Content-Length, at_byte bytes of body, the end */
	FAULT_GARBAGE,	/* bytes that are not HTTP */
	FAULT_DROP,	/* done, but never answered: the connection closes */
	FAULT_DRIP,	/* one byte of body each drip_ms */
};

struct fault {
	unsigned id, refs;
	char *spec; /* the JSON that made it */
	enum fault_kind kind;
	char *method, *path, *query; /* NULL: any */
	uint64_t times;		     /* how many more it takes; meaningful if limited */
	bool limited;
	uint64_t skip;	 /* how many it still lets pass */
	uint64_t one_in; /* of so many it takes one, by chance; 0: every one */
	uint64_t taken;
	bool apply; /* the request is carried out before anything goes wrong */
	bool removed;
	uint64_t delay_ms, drip_ms;
	size_t at_byte;
	struct reply reply; /* status and body: what is sent */
	bool has_reply;
};

struct faults;

struct faults *faults_new(uint64_t seed);
void faults_free(struct faults *f);

/* From a checked JSON text.  -EINVAL, and *ret_why is a constant that says what is wrong. */
NODISCARD int faults_add(struct faults *f, struct span spec, unsigned *ret_id,
			 const char **ret_why);
/* 0: all.  -ENOENT. */
int faults_remove(struct faults *f, unsigned id);
void faults_dump(const struct faults *f, struct buf *out);

/* The fault that takes this request, counted, as a reference; or NULL. */
struct fault *faults_take(struct faults *f, const struct request *rq);
void fault_unref(struct fault *fault);
const char *fault_kind_name(const struct fault *fault);

#endif
