/* SPDX-License-Identifier: MIT */
/* The way of a save:
 *
 *     wait for an earlier save of the stack
 *       -> read -> compose -> send -> stored
 *            ^                 |
 *            +---- delay <-----+     412, a failure that may pass, a lost answer
 *
 * Every round begins with the text and a record just read, so that a change that
 * somebody made in between is merged and not overwritten.  After a PUT that may
 * have been processed, that reading is also what settles it.
 *
 * Each function below ends the save, or has asked for what goes on with it; after
 * either the save may be gone. */
#include "draft/save.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draft/mask.h"
#include "draft/merge.h"
#include "draft/scrub.h"
#include "draft/versions.h"
#include "http/retry.h"
#include "tree/tree.h"

/* Of the time that is left a PUT gets all but a quarter, and but this at most: an
 * answer that does not come is settled by reading, within the same deadline. */
#define SETTLE_RESERVE_MS 5000

/* A secret of one byte is shown as eight. */
#define MASKED_MAX_BYTES (8 * DOCUMENT_MAX_BYTES + 64)

struct save {
	struct changes *changes;
	struct save *next; /* in changes->saving */
	bool waits;        /* for an earlier one of the same stack */
	bool delayed;      /* the timer is armed */
	struct stack *stack;
	change_done_fn *done;
	void *arg;
	struct timer timer;
	uint64_t deadline_ms;

	struct buf text; /* or the new name */
	bool naming;
	struct process who;
	struct buf modified; /* what the text names as its version */
	bool is_anothers;    /* its _id is of no stack here */

	struct record *fresh;        /* as it was read last; holds a reference */
	char etag[API_MAX_ETAG + 1]; /* its strong one, or "" */
	struct buf ours;             /* the body of the text */
	struct buf kept;             /* the same, with what the server made of the last one; or empty */
	struct buf theirs;           /* the body of fresh */
	struct buf body;             /* what is sent */

	uint64_t tick; /* the reading under way */
	unsigned puts;
	bool settling; /* nobody knows what became of the last PUT; put_error says why */
	struct api_error put_error;
	struct buf shown; /* dry_run */
	struct change_result result;
};

static struct document text_of(const struct buf *buf)
{
	return (struct document){ buf->data, buf->len };
}

static struct document record_text(const struct record *record)
{
	return (struct document){ record->text, record->text_len };
}

static unsigned left_ms(const struct save *s)
{
	uint64_t now = clock_now_ms(s->changes->clock);

	return now < s->deadline_ms ? (unsigned)(s->deadline_ms - now) : 0;
}

static void wipe_bodies(struct save *s)
{
	buf_wipe(&s->ours);
	buf_wipe(&s->kept);
	buf_wipe(&s->theirs);
	buf_wipe(&s->body);
}

static void save_free(struct save *s)
{
	wipe_bodies(s);
	buf_wipe(&s->text);
	buf_wipe(&s->modified);
	buf_wipe(&s->shown);
	record_unref(s->fresh);
	stack_unref(s->stack);
	free(s);
}

/* ---- one after the other ---- */

static void read_afresh(struct save *s);

static void timer_fired(struct timer *timer)
{
	struct save *s = CONTAINER_OF(timer, struct save, timer);

	s->delayed = false;
	read_afresh(s);
}

static void go_on_in_ms(struct save *s, uint64_t ms)
{
	s->delayed = true;
	timer_arm(s->changes->timers, &s->timer, clock_now_ms(s->changes->clock) + ms, timer_fired);
}

static bool same_stack(const struct save *a, const struct save *b)
{
	return stack_id_compare(&a->stack->id, &b->stack->id) == 0;
}

static struct save *first_of_stack(const struct save *s)
{
	struct save *first = s->changes->saving;

	while (first && !same_stack(first, s))
		first = first->next;
	return first;
}

static void queue_up(struct save *s)
{
	struct save **end = &s->changes->saving;

	s->waits = first_of_stack(s) != NULL;
	while (*end)
		end = &(*end)->next;
	*end = s;
}

/* The next one is begun by the timers' thread, so that a queue of saves that end
 * at once is no recursion. */
static void leave_queue(struct save *s)
{
	struct save **at = &s->changes->saving;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;

	struct save *next = first_of_stack(s);
	if (next && next->waits) {
		next->waits = false;
		go_on_in_ms(next, 0);
	}
}

/* ---- the end ---- */

static void end(struct save *s, int err)
{
	if (err < 0 && !s->naming && !s->stack->gone)
		versions_refused(s->changes->versions, s->stack, &s->who, text_of(&s->text));
	s->result.err = err;
	leave_queue(s);
	s->changes->running--;
	s->done(s->arg, &s->result);
	save_free(s);
}

/* What the server has made of what was sent, done to the text as it was written: what
 * somebody else had changed before is as in the text still. */
static struct document as_kept(const struct save *s, const struct record *answer, struct buf *out)
{
	CLEANUP(buf_wipe) struct buf body = BUF_INIT(DOCUMENT_MAX_BYTES);
	const struct buf *before = s->kept.len ? &s->kept : &s->ours;
	int r = answer ? document_record_body(record_text(answer), &body) : -ENOENT;

	if (r == 0)
		r = merge_preferring_ours(text_of(&s->body), text_of(&body), text_of(before), out);
	return text_of(r < 0 ? before : out);
}

/* answer: to a PUT; NULL: there was nothing to send. */
static void end_well(struct save *s, struct stack *stack, const struct record *answer)
{
	CLEANUP(buf_wipe) struct buf kept = BUF_INIT(DOCUMENT_MAX_BYTES);

	if (!s->naming)
		versions_saved(s->changes->versions, s->stack, &s->who, text_of(&s->ours),
			       as_kept(s, answer, &kept),
			       s->modified.len ? s->modified.data : "", s->modified.len,
			       s->result.sent);
	s->result.stack = stack;
	end(s, 0);
}

static void end_badly(struct save *s, const struct api_error *error)
{
	s->result.error = *error;
	end(s, error->err);
}

/* Failures that have no words of their own; the first match. */
static const struct {
	int err;
	const char *why;
} plain_failures[] = {
	{ -ENOMEM, "out of memory" },
	{ -EFBIG, "the record would have more than 1 MiB" },
	{ -ETIMEDOUT, "the time for it is over" },
	{ -ESHUTDOWN, "the mount is ending" },
	{ 0, "it could not be sent" }, /* all others */
};

static void end_because(struct save *s, int r)
{
	size_t i = 0;

	while (plain_failures[i].err && plain_failures[i].err != r)
		i++;
	api_error_set(&s->result.error, r, "%s", plain_failures[i].why);
	end(s, r);
}

static void end_deleted(struct save *s, const struct api_error *error)
{
	if (error)
		s->result.error = *error;
	api_error_set(&s->result.error, -ENOENT, "the stack was deleted");
	store_take_gone(s->changes->store, s->stack);
	end(s, -ENOENT);
}

static void end_unsettled(struct save *s)
{
	s->result.error = s->put_error;
	s->result.unsettled = true;
	api_error_set(&s->result.error, -ETIMEDOUT, "may have been stored: %s",
		      s->put_error.message);
	store_expire_record(s->changes->store, s->stack);
	end(s, -ETIMEDOUT);
}

/* ---- refusing ---- */

static int PRINTF_LIKE(3, 4) refuse(struct save *s, const char *field, const char *fmt, ...)
{
	struct api_error *e = &s->result.error;
	char text[sizeof(e->message)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	api_error_set(e, -EBADMSG, "%s", text);
	api_error_text(e->field, sizeof(e->field), field, strlen(field));
	return -EBADMSG;
}

/* As many of the fields as there is room for, and how many more there are. */
static void list_fields(const struct value_paths *fields, char *out, size_t size)
{
	char all[VALUE_PATHS_MAX * (VALUE_PATH_BYTES + 2) + 64];
	struct value_paths some = *fields;

	value_paths_text(&some, all, sizeof(all));
	while (some.n > 1 && strlen(all) >= size) {
		some.n--;
		some.more++;
		value_paths_text(&some, all, sizeof(all));
	}
	api_error_text(out, size, all, strlen(all));
}

/* Fields are cut when they are too many; what to do about it is not. */
static int refuse_fields(struct save *s, int err, const char *why, const struct value_paths *fields,
			 const char *advice)
{
	struct api_error *e = &s->result.error;
	char list[sizeof(e->message)];
	size_t others = strlen(why) + strlen(": ; ") + strlen(advice);

	list_fields(fields, list, sizeof(list) - others);
	api_error_set(e, err, "%s: %s; %s", why, list, advice);
	api_error_text(e->field, sizeof(e->field), fields->path[0], strlen(fields->path[0]));
	return err;
}

static int refuse_conflict(struct save *s, const char *why, const struct value_paths *fields)
{
	s->result.conflict = true;
	return refuse_fields(s, -EBUSY, why, fields,
			     s->modified.len ? "reload and make the change again, or remove the "
					       "\"lastModified\" line to overwrite"
					     : "reload and make the change again");
}

static int refuse_masks(struct save *s, const struct value_paths *masks)
{
	return refuse_fields(s, -EBADMSG, "a mask (" VALUE_MASK ") where a secret has to be", masks,
			     "write the secret itself, or leave the array as it was");
}

static int refuse_other_id(struct save *s, const struct stack *other)
{
	const struct dir *dir = tree_dir(other);

	return refuse(s, "_id", "the _id is that of another stack: %s",
		      dir ? dir->name : "one without a directory");
}

/* An _id is never sent, so one that nobody has does no harm; but one that is
 * misspelt may be meant to be another stack's. */
static int check_facts(struct save *s, const struct document_facts *facts)
{
	struct stack *other = NULL;

	if (facts->has_id == DOCUMENT_WRONG)
		return refuse(s, "_id", "the _id is none: 24 hex digits, or no such line");
	if (facts->has_modified == DOCUMENT_WRONG)
		return refuse(s, "lastModified", "lastModified is no string");
	if (facts->has_name == DOCUMENT_WRONG)
		return refuse(s, "name", "name is no string");
	if (facts->has_id == DOCUMENT_GIVEN)
		other = store_find(s->changes->store, &facts->id);
	if (other && stack_id_compare(&other->id, &s->stack->id) != 0 &&
	    !versions_brought(s->changes->versions, s->stack, &s->who, &facts->id))
		return refuse_other_id(s, other);
	s->is_anothers = facts->has_id == DOCUMENT_GIVEN && !other;
	return 0;
}

static int check_text(struct save *s, struct document text)
{
	struct document_facts facts;
	struct json_error bad;
	int r = document_check(text, &bad);

	if (r < 0) {
		api_error_set(&s->result.error, r, "line %u, column %u: %s", bad.line, bad.column,
			      bad.why);
		return r;
	}
	r = document_facts(text, &facts);
	if (r < 0)
		return r;
	r = check_facts(s, &facts);
	if (r == 0 && facts.has_modified == DOCUMENT_GIVEN)
		r = buf_append(&s->modified, facts.modified.data, facts.modified.len);
	document_facts_done(&facts);
	return r;
}

/* ---- composing what is sent ---- */

/* A mask in the text stands for what was shown where the text was made from, and
 * for what is shown now. */
static int make_ours(struct save *s, const struct record *shown)
{
	CLEANUP(buf_wipe) struct buf once = BUF_INIT(DOCUMENT_MAX_BYTES);
	const struct record *first = shown ? shown : s->fresh;
	struct value_paths masks;
	int r = document_body(text_of(&s->text), record_text(first), &once, &masks);

	if (r == 0)
		r = document_body(text_of(&once), record_text(s->fresh), &s->ours, &masks);
	return r < 0 && masks.n > 0 ? refuse_masks(s, &masks) : r;
}

static int take_merged(struct save *s, struct document merged)
{
	struct value_paths masks;
	int r = document_body(merged, record_text(s->fresh), &s->body, &masks);

	return r < 0 && masks.n > 0 ? refuse_masks(s, &masks) : r;
}

static int merge_with(struct save *s, struct document base, struct document ours)
{
	CLEANUP(buf_wipe) struct buf merged = BUF_INIT(DOCUMENT_MAX_BYTES);
	struct value_paths conflicts;
	int r = merge_three(base, ours, text_of(&s->theirs), &merged, &conflicts);

	if (r == -EBUSY)
		return refuse_conflict(s, "changed by somebody else meanwhile", &conflicts);
	return r < 0 ? r : take_merged(s, text_of(&merged));
}

/* What the server has made of the last text is nobody's change: the base is as it keeps
 * it, and so is the text where that is as it was. */
static int merge_with_kept(struct save *s, struct document base, struct document kept)
{
	int r = merge_preferring_ours(base, text_of(&s->ours), kept, &s->kept);

	return r < 0 ? r : merge_with(s, kept, text_of(&s->kept));
}

static int take_theirs(struct save *s)
{
	return buf_append(&s->body, s->theirs.data, s->theirs.len);
}

static const char *why_without_base(const struct save *s, enum versions_base kind)
{
	if (kind == VERSIONS_UNSURE)
		return "an earlier save may have been stored, and may have been overwritten since; "
		       "this text differs in";
	return s->is_anothers ? "by its _id it is of no stack of this account; it differs in"
			      : "made from a version not known here, it differs in";
}

static int merge_without_base(struct save *s, enum versions_base kind)
{
	struct value_paths fields;
	int r = document_differing(text_of(&s->ours), text_of(&s->theirs), &fields);

	if (r == 0 && fields.n > 0)
		return refuse_conflict(s, why_without_base(s, kind), &fields);
	return r < 0 ? r : take_theirs(s);
}

/* As the process wrote it when it made the stack, or since, and it names no version of the
 * stack: that says all that the record is to have, and no change which others left alone. */
static int check_written_again(struct save *s, struct document base, struct document kept)
{
	struct value_paths fields;
	bool same;
	int r = document_equal(text_of(&s->ours), base, &same);

	if (r < 0 || !same)
		return r;
	r = document_differing(kept, text_of(&s->theirs), &fields);
	if (r == 0 && fields.n > 0)
		return refuse_conflict(s, "changed by somebody else meanwhile, and not by this text",
				       &fields);
	return r;
}

static int merge_text(struct save *s)
{
	CLEANUP(buf_wipe) struct buf base = BUF_INIT(DOCUMENT_MAX_BYTES);
	CLEANUP(buf_wipe) struct buf kept = BUF_INIT(DOCUMENT_MAX_BYTES);
	const struct record *shown;
	enum versions_base kind;
	int r = versions_find(s->changes->versions, s->stack, s->fresh, &s->who, text_of(&s->text),
			      &base, &kept, &shown, &kind);

	if (r == 0)
		r = make_ours(s, shown);
	if (r < 0)
		return r;
	if (s->changes->overwrite || kind == VERSIONS_FRESH)
		return merge_with(s, text_of(&s->theirs), text_of(&s->ours));
	if (kind == VERSIONS_UNKNOWN || kind == VERSIONS_UNSURE)
		return merge_without_base(s, kind);
	if (kind == VERSIONS_OWN)
		r = check_written_again(s, text_of(&base), text_of(kept.len ? &kept : &base));
	if (r < 0)
		return r;
	return kept.len ? merge_with_kept(s, text_of(&base), text_of(&kept))
			: merge_with(s, text_of(&base), text_of(&s->ours));
}

/* A text that is the record's needs no look at its masks. */
static int compose_text(struct save *s)
{
	bool same;
	int r = document_equal(text_of(&s->text), record_text(s->fresh), &same);

	if (r < 0)
		return r;
	if (!same)
		return merge_text(s);
	r = buf_append(&s->ours, s->theirs.data, s->theirs.len);
	return r < 0 ? r : take_theirs(s);
}

static int compose_name(struct save *s)
{
	CLEANUP(buf_wipe) struct buf named = BUF_INIT(DOCUMENT_MAX_BYTES);
	int r = document_with_name(record_text(s->fresh), s->text.len ? s->text.data : "",
				   s->text.len, &named);

	if (r == -EILSEQ)
		return refuse(s, "name", "the name is not UTF-8");
	return r < 0 ? r : take_merged(s, text_of(&named));
}

/* Whether there is something to send, in s->body. */
static int compose(struct save *s, bool *ret)
{
	bool same;

	wipe_bodies(s);
	int r = document_record_body(record_text(s->fresh), &s->theirs);
	if (r == 0)
		r = s->naming ? compose_name(s) : compose_text(s);
	if (r == 0)
		r = document_equal(text_of(&s->body), text_of(&s->theirs), &same);
	if (r == 0)
		*ret = !same;
	return r;
}

/* ---- sending ---- */

/* Disk errors are the archive's to count: a save does not fail for them. */
static void keep_history(struct save *s)
{
	const struct record *fresh = s->fresh;
	const struct dir *dir = tree_dir(s->stack);
	char name[NAME_MAX_BYTES + 1];

	if (!dir)
		name_encode(fresh->name, fresh->name_len, &fresh->id, true, name);
	int r = archive_history(s->changes->archive, dir ? dir->name : name, fresh->text,
				fresh->text_len, NULL, NULL);
	(void)r;
}

static void end_dry(struct save *s)
{
	char id[STACK_ID_HEX + 1];

	stack_id_format(&s->stack->id, id);
	int r = buf_printf(&s->shown, "PUT /v1/stacks/%s ", id);
	if (r == 0)
		r = mask_secrets(text_of(&s->body), &s->shown);
	if (r < 0) {
		end_because(s, r == -ENOMEM ? r : -EFBIG);
		return;
	}
	s->result.would_send = s->shown.data;
	api_error_set(&s->result.error, -EROFS, "dry_run: nothing was sent");
	end(s, -EROFS);
}

static bool same_text(const struct record *a, const struct record *b)
{
	return a->text_len == b->text_len && memcmp(a->text, b->text, a->text_len) == 0;
}

static void stored(struct save *s, struct record *answer, const char *etag)
{
	struct changes *changes = s->changes;
	struct stack *stack = s->stack;
	struct value_paths *not_stored = &s->result.not_stored;
	/* What was read since it was sent may be what came of it, and may be from after that. */
	const bool was_read = !same_text(stack->record, s->fresh) &&
			      !same_text(stack->record, answer);

	if (document_not_stored(text_of(&s->body), record_text(answer), not_stored) < 0)
		not_stored->n = 0; /* it is stored all the same */
	if (store_take_change(changes->store, answer, etag, &stack) < 0 || was_read)
		store_expire_record(changes->store, s->stack);
	versions_replaced_plainly(changes->versions, s->stack, s->fresh, &s->who);
	end_well(s, stack, answer);
}

static void put_failed(struct save *s, const struct api_error *error)
{
	struct api_error *e = &s->put_error;

	*e = *error;
	scrub_error(text_of(&s->body), e);
	s->result.sent |= e->status || e->processed_maybe;
	s->settling = e->processed_maybe;
	if (s->settling && !s->stack->gone)
		versions_unsettled(s->changes->versions, s->stack, s->fresh, &s->who, text_of(&s->body));
	if (e->status == 404) {
		end_deleted(s, e);
	} else if (e->may_retry && !s->changes->stopping) {
		go_on_in_ms(s, e->retry_in_ms);
	} else if (s->settling || (e->status == 412 && s->puts < RETRY_MAX_TRIES)) {
		read_afresh(s);
	} else {
		s->result.conflict = e->status == 409 || e->status == 412;
		end_badly(s, e);
	}
}

static void put_done(void *arg, const struct api_error *error, struct record *record,
		     const struct api_meta *meta)
{
	struct save *s = arg;
	struct monitor *monitor = s->changes->monitor;

	monitor_enter(monitor);
	(void)store_believes_404(s->changes->store, meta, &error);
	if (error) {
		put_failed(s, error);
	} else {
		s->result.sent = true;
		stored(s, record, meta->etag);
	}
	monitor_leave(monitor);
}

static unsigned put_timeout_ms(const struct save *s)
{
	unsigned left = left_ms(s), reserve = left / 4;

	return left - (reserve < SETTLE_RESERVE_MS ? reserve : SETTLE_RESERVE_MS);
}

static void send_body(struct save *s)
{
	const struct api_budget budget = {
		.timeout_ms = put_timeout_ms(s),
		.tries_before = s->puts,
	};

	if (budget.timeout_ms == 0) {
		end_because(s, -ETIMEDOUT);
		return;
	}
	keep_history(s);
	int r = api_put_within(s->changes->api, &s->stack->id, s->etag[0] ? s->etag : NULL,
			       s->body.data, s->body.len, &budget, put_done, s);
	if (r < 0)
		end_because(s, r);
	else
		s->puts++;
}

static void compose_and_send(struct save *s)
{
	bool differs = false;
	int r = compose(s, &differs);

	if (r < 0 && s->result.error.err == r)
		end(s, r);
	else if (r < 0)
		end_because(s, r);
	else if (!differs)
		end_well(s, s->stack, NULL);
	else if (s->changes->dry_run)
		end_dry(s);
	else
		send_body(s);
}

/* ---- reading, and settling ---- */

/* Whether the record shows what was sent and nothing else: less than all of it would
 * not tell.  So it never does where a new secret was sent; that the record is another
 * one by now may be due to somebody else, who has changed what is not shown either. */
static bool has_what_was_sent(const struct save *s, const struct record *now)
{
	CLEANUP(buf_wipe) struct buf body = BUF_INIT(DOCUMENT_MAX_BYTES);
	bool same = false;
	int r = document_record_body(record_text(now), &body);

	if (r == 0)
		r = document_equal(text_of(&s->body), text_of(&body), &same);
	return r == 0 && same;
}

/* What became of the last PUT.  True: this has ended the save; false: it goes on
 * with this record, and finds out when merging what is left to be done. */
static bool settle(struct save *s, struct record *now, const struct api_meta *meta)
{
	bool same = same_text(now, s->fresh);

	s->settling = false;
	if (!same && has_what_was_sent(s, now)) {
		stored(s, now, meta->etag);
		return true;
	}
	if (s->put_error.may_retry)
		return false;
	if (same)
		end_badly(s, &s->put_error);
	else
		end_unsettled(s);
	return true;
}

static void take_fresh(struct save *s, struct record *record, const char *etag)
{
	size_t len = etag ? strlen(etag) : 0;
	bool strong = len > 0 && len < sizeof(s->etag) && etag[0] == '"';

	record_unref(s->fresh);
	s->fresh = record_ref(record);
	memcpy(s->etag, strong ? etag : "", strong ? len + 1 : 1);
}

static void take_read(struct save *s, struct record *record, const struct api_meta *meta)
{
	int r = store_take_answer(s->changes->store, record, meta, s->tick);

	if (s->stack->gone) {
		end_deleted(s, NULL);
	} else if (r < 0 && s->settling) {
		end_unsettled(s);
	} else if (r < 0) {
		end_because(s, r);
	} else if (!same_text(s->stack->record, record)) {
		read_afresh(s); /* the store has a newer one by now */
	} else if (!s->settling || !settle(s, record, meta)) {
		take_fresh(s, record, meta->etag);
		compose_and_send(s);
	}
}

static void read_failed(struct save *s, const struct api_error *error)
{
	if (error->status == 404)
		end_deleted(s, error);
	else if (s->settling)
		end_unsettled(s);
	else
		end_badly(s, error);
}

static void read_done(void *arg, const struct api_error *error, struct record *record,
		      const struct api_meta *meta)
{
	struct save *s = arg;
	struct monitor *monitor = s->changes->monitor;

	monitor_enter(monitor);
	(void)store_believes_404(s->changes->store, meta, &error);
	if (error)
		read_failed(s, error);
	else
		take_read(s, record, meta);
	monitor_leave(monitor);
}

static void read_afresh(struct save *s)
{
	const struct api_budget budget = { .timeout_ms = left_ms(s), .patient = s->settling };

	if (s->stack->gone) {
		end_deleted(s, NULL);
		return;
	}
	s->tick = store_tick(s->changes->store);
	int r = s->changes->stopping ? -ESHUTDOWN : budget.timeout_ms == 0 ? -ETIMEDOUT : 0;
	if (r == 0)
		r = api_get_within(s->changes->api, HTTP_CLASS_SAVE, &s->stack->id, NULL, &budget,
				   read_done, s);
	if (r < 0 && s->settling)
		end_unsettled(s);
	else if (r < 0)
		end_because(s, r);
}

/* ---- the beginning ---- */

static struct save *save_new(struct changes *changes, struct stack *stack, struct document bytes,
			     uint64_t deadline_ms, change_done_fn *done, void *arg)
{
	struct save *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->text.max_bytes = s->modified.max_bytes = DOCUMENT_MAX_BYTES;
	s->ours.max_bytes = s->kept.max_bytes = DOCUMENT_MAX_BYTES;
	s->theirs.max_bytes = s->body.max_bytes = DOCUMENT_MAX_BYTES;
	s->shown.max_bytes = MASKED_MAX_BYTES;
	if (bytes.len <= DOCUMENT_MAX_BYTES && buf_append(&s->text, bytes.text, bytes.len) < 0) {
		free(s);
		return NULL;
	}
	s->changes = changes;
	s->stack = stack_ref(stack);
	s->done = done;
	s->arg = arg;
	s->deadline_ms = deadline_ms ? deadline_ms
				     : clock_now_ms(changes->clock) + changes->timeout_ms;
	return s;
}

static void begin(struct save *s, int r)
{
	s->changes->running++;
	queue_up(s);
	if (r < 0 && s->result.error.err == r)
		end(s, r);
	else if (r < 0)
		end_because(s, r);
	else if (s->waits && !s->changes->stopping)
		go_on_in_ms(s, left_ms(s));
	else
		read_afresh(s);
}

/* What the record has to the letter needs no request: whatever it was made from,
 * it says that nothing is to be changed; unless nobody knows what the record is.  An
 * editor that puts back what it has found there says nothing in any case. */
static bool says_nothing_new(const struct save *s)
{
	const struct record *record = s->stack->record;

	if (s->changes->overwrite || s->stack->gone || s->text.len != record->text_len ||
	    memcmp(s->text.data, record->text, s->text.len) != 0)
		return false;
	return !store_record_unknown(s->stack) ||
	       versions_may_be_put_back(s->changes->versions, s->stack, &s->who,
					text_of(&s->text));
}

/* It is no save of the process's: an editor puts the old file back like that. */
static void end_unchanged(struct save *s)
{
	s->changes->running++;
	queue_up(s);
	versions_put_back(s->changes->versions, s->stack, &s->who);
	s->result.stack = s->stack;
	end(s, 0);
}

static void end_unbegun(change_done_fn *done, void *arg)
{
	struct change_result result = { .err = -ENOMEM };

	api_error_set(&result.error, -ENOMEM, "out of memory");
	done(arg, &result);
}

void save_text(struct changes *changes, struct stack *stack, struct document text,
	       const struct process *who, uint64_t deadline_ms, change_done_fn *done, void *arg)
{
	struct save *s = save_new(changes, stack, text, deadline_ms, done, arg);

	if (!s) {
		end_unbegun(done, arg);
		return;
	}
	s->who = *who;
	int r = check_text(s, text);
	if (r == 0 && says_nothing_new(s))
		end_unchanged(s);
	else
		begin(s, r);
}

void save_name(struct changes *changes, struct stack *stack, const char *name, size_t len,
	       uint64_t deadline_ms, change_done_fn *done, void *arg)
{
	struct save *s = save_new(changes, stack, (struct document){ name, len }, deadline_ms, done,
				  arg);

	if (!s) {
		end_unbegun(done, arg);
		return;
	}
	s->naming = true;
	begin(s, len > DOCUMENT_MAX_BYTES ? -EFBIG : 0);
}

static struct save *first_delayed(const struct changes *changes)
{
	struct save *s = changes->saving;

	while (s && !s->delayed)
		s = s->next;
	return s;
}

void save_stop(struct changes *changes)
{
	struct save *s;

	changes->stopping = true;
	while ((s = first_delayed(changes))) {
		timer_cancel(changes->timers, &s->timer);
		timer_fired(&s->timer);
	}
}
