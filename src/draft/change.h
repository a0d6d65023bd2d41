/* SPDX-License-Identifier: MIT */
/* change: what all changes of the account through one mount share, and how one
 * ends.
 *
 * A change (save.h, create.h, remove.h) is begun inside the monitor and goes on
 * by itself: it reads, decides, sends, and settles what became of it.  It is
 * never abandoned; it ends within the timeout.
 *
 * Threads: inside the monitor only; answers are taken on the http thread, waits
 * end on the timers' thread, both inside the monitor. */
#ifndef DRAFT_CHANGE_H
#define DRAFT_CHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/monitor.h"
#include "base/timer.h"
#include "draft/archive.h"
#include "draft/document.h"
#include "draft/value.h"
#include "store/store.h"

struct versions;

#define CHANGES_CREATED 256 /* as many as there may be drafts */

struct changes {
	struct monitor *monitor; /* all borrowed */
	struct timers *timers;
	struct api *api;
	struct store *store;
	const struct clock *clock;
	struct archive *archive;
	struct versions *versions;
	unsigned timeout_ms; /* of one change, all its requests and waits together */
	bool overwrite;      /* -o overwrite: the last writer wins */
	bool dry_run;        /* nothing is sent */
	bool delete_in_use;  /* a stack that others depend on may be deleted */
	bool stopping;       /* nothing more is asked: the mount is ending (save_stop) */
	unsigned running;    /* private: changes that have not ended */
	struct create *creating; /* private: the head of the queue of create.c */
	struct create_left *left; /* private: what removed drafts remembered, the newest first */
	/* Private: the stacks that this mount has created, the last ones: none of them
	 * is what became of another draft's lost POST. */
	struct stack_id created[CHANGES_CREATED];
	unsigned n_created; /* ever */
	struct save *saving;     /* private: the saves of save.c, in the order of their coming */
};

/* How a change ended; all of it is borrowed for the callback. */
struct change_result {
	int err; /* 0, or what the system call returns: a negative errno */
	/* Why, when err: errno, status, code, message, field; secrets that were
	 * sent are taken out of it.  Of a refusal that can be forced the message
	 * says how. */
	struct api_error error;
	/* The stack as it is after a save or a create that succeeded; the store has
	 * it already.  NULL otherwise, and after a delete or a rotation. */
	struct stack *stack;
	/* Of a create that found what an earlier attempt had made, when the text has
	 * changed since: what is still to be saved into stack.  text is NULL otherwise. */
	struct document to_save;
	uint64_t deadline_ms; /* until when: all of it is one change */
	bool sent; /* a PUT, POST or DELETE has left */
	/* It was sent and nobody knows whether it was taken: err is -ETIMEDOUT or
	 * what the last attempt to find out has said. */
	bool unsettled;
	/* Another writer's change was in the way (err is -EBUSY). */
	bool conflict;
	/* Fields that were sent and that the answer lacks or has changed. */
	struct value_paths not_stored;
	/* dry_run: the request that would have been sent, "PUT /v1/stacks/<_id>
	 * {...}", secrets masked.  NULL otherwise.  err is -EROFS. */
	const char *would_send;
};

/* Exactly once for each change that was begun, inside the monitor; perhaps before
 * the call that begins it returns. */
typedef void change_done_fn(void *arg, const struct change_result *result);

#endif
