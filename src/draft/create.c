/* SPDX-License-Identifier: MIT */
/* A create goes
 *
 *     queued -> sent -> ended            the answer came
 *                |        ^
 *                v        |
 *     queued -> listing --+              the answer was lost, now or the last time
 *                 |
 *                 +----> sent            the last time, and there is nothing to adopt
 *
 * and its time is over at the same moment in each.  The head of the queue is the
 * one that is sent or listed for.  It stays the head until done has returned, so
 * that a create begun in there waits for its turn like any other. */
#include "draft/create.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "draft/mask.h"
#include "draft/outcome.h"
#include "draft/scrub.h"
#include "draft/versions.h"
#include "tree/tree.h"

#define REQUEST_LINE "POST /v1/stacks "
/* Of a body, each digit of which may be under a secret's name. */
#define MAX_SHOWN_BYTES (sizeof(REQUEST_LINE) + 8 * (size_t)DOCUMENT_MAX_BYTES)

enum create_state { CREATE_QUEUED, CREATE_LISTING, CREATE_SENT, CREATE_ENDED };

struct create {
	struct changes *changes;
	struct create *next; /* in the queue */
	enum create_state state;
	struct create_memory *memory;
	change_done_fn *done;
	void *arg;
	uint64_t deadline_ms;
	struct timer timer;
	struct store_wait wait; /* for a list */
	struct process who;
	struct buf body;         /* until it becomes memory->sent */
	struct buf own;          /* without the name that it was given; empty: the same */
	struct buf modified;     /* what the text names as its version */
	struct stack_id brought; /* its _id; zeroed: none */
	uint64_t cookie;        /* the newest stack's when it was sent */
	bool sent;
	struct api_error error; /* the POST's own */
};

static struct document document_of(const struct buf *buf)
{
	return (struct document){ buf->data, buf->len };
}

/* ---- memory ---- */

static void forget(struct create_memory *memory)
{
	buf_wipe(&memory->sent);
	*memory = (struct create_memory){ 0 };
}

void create_memory_done(struct create_memory *memory)
{
	forget(memory);
}

#define LEFT_MAX 8

struct create_left {
	struct create_left *next;
	uint64_t at_ms;
	struct create_memory memory;
};

static void drop_left(struct create_left **at)
{
	struct create_left *left = *at;

	*at = left->next;
	forget(&left->memory);
	free(left);
}

void create_memory_leave(struct changes *changes, struct create_memory *memory)
{
	struct create_left *left = memory->maybe_created ? calloc(1, sizeof(*left)) : NULL;
	struct create_left **at = &changes->left;

	if (!left) {
		forget(memory);
		return;
	}
	*left = (struct create_left){
		.next = changes->left,
		.at_ms = clock_now_ms(changes->clock),
		.memory = *memory,
	};
	*memory = (struct create_memory){ 0 };
	changes->left = left;
	for (unsigned n = 0; *at && n < LEFT_MAX; n++)
		at = &(*at)->next;
	if (*at)
		drop_left(at);
}

void create_forget_left(struct changes *changes)
{
	while (changes->left)
		drop_left(&changes->left);
}

/* Where what is older than the list begins: that has shown what came of it. */
static struct create_left **find_listed(struct changes *changes)
{
	struct create_left **at = &changes->left;
	struct store_stats stats;

	store_get_stats(changes->store, &stats);
	while (*at && (*at)->at_ms >= clock_now_ms(changes->clock) - stats.list_age_ms)
		at = &(*at)->next;
	return at;
}

/* The same was to be created before, in a directory that is gone. */
static void take_left(struct create *c)
{
	struct create_left **at = find_listed(c->changes);
	bool same = false;

	while (*at)
		drop_left(at);
	if (c->memory->maybe_created)
		return;
	for (at = &c->changes->left; *at; at = &(*at)->next) {
		const struct document sent = document_of(&(*at)->memory.sent);

		if (document_equal(document_of(&c->body), sent, &same) == 0 && same)
			break;
	}
	if (!*at)
		return;
	*c->memory = (*at)->memory;
	(*at)->memory = (struct create_memory){ 0 };
	drop_left(at);
}

static void remember(struct create *c)
{
	forget(c->memory);
	c->memory->maybe_created = true;
	c->memory->cookie = c->cookie;
	c->memory->sent = c->body;
	c->body = (struct buf){ 0 };
}

/* ---- the end ---- */

static void end(struct create *c, struct change_result *result)
{
	timer_cancel(c->changes->timers, &c->timer);
	c->state = CREATE_ENDED;
	c->changes->running--;
	result->err = result->error.err;
	result->sent = c->sent;
	c->done(c->arg, result);
}

static void fail(struct create *c, const struct api_error *error)
{
	struct change_result result = { .error = *error };

	end(c, &result);
}

/* Whether this attempt's POST was taken, or an earlier one's. */
static void fail_unsettled(struct create *c, const struct api_error *cause)
{
	struct change_result result = { .unsettled = true };

	outcome_unsettled("may have been created", cause, &result.error);
	end(c, &result);
}

/* There was no list to settle it by.  What the POST has failed by says more. */
static void fail_unlisted(struct create *c, const struct api_error *cause)
{
	fail_unsettled(c, c->sent ? &c->error : cause);
}

/* Another text than this one's may have made it, the last time: that one is in memory. */
static void note_maker(const struct create *c, const struct stack *stack, bool by_this)
{
	CLEANUP(buf_wipe) struct buf kept = BUF_INIT(DOCUMENT_MAX_BYTES);
	const struct buf *own = c->own.len ? &c->own : &c->body;
	const struct document modified = by_this ? document_of(&c->modified) : (struct document){ 0 };
	struct document record = { stack->record->text, stack->record->text_len };

	if (!by_this || own->len == 0)
		own = &c->memory->sent;
	if (document_record_body(record, &kept) < 0)
		return; /* no memory to go on from it */
	versions_made(c->changes->versions, stack, &c->who, &c->brought);
	versions_saved(c->changes->versions, stack, &c->who, document_of(own), document_of(&kept),
		       modified.len ? modified.text : "", modified.len, true);
}

static void succeed(struct create *c, struct change_result *result)
{
	struct changes *changes = c->changes;

	note_maker(c, result->stack, !result->to_save.text);
	changes->created[changes->n_created++ % CHANGES_CREATED] = result->stack->id;
	forget(c->memory);
	end(c, result);
}

static void create_free(struct create *c)
{
	if (!c)
		return;
	buf_wipe(&c->body);
	buf_wipe(&c->own);
	buf_done(&c->modified);
	free(c);
}
DEFINE_CLEANUP(struct create, create_free)

/* ---- what of the account came after the POST ---- */

static void find_newest(void *arg, struct stack *stack)
{
	const struct dir *dir = tree_dir(stack);
	uint64_t *newest = arg;

	if (dir && dir->cookie > *newest)
		*newest = dir->cookie;
}

static uint64_t newest_cookie(const struct store *store)
{
	uint64_t newest = 0;

	store_each(store, find_newest, &newest);
	return newest;
}

/* Whether it is known what it came from: not from a POST whose answer was lost. */
static bool is_accounted_for(const struct changes *changes, const struct stack_id *id)
{
	unsigned n = changes->n_created < CHANGES_CREATED ? changes->n_created : CHANGES_CREATED;

	for (unsigned i = 0; i < n; i++) {
		if (stack_id_compare(&changes->created[i], id) == 0)
			return true;
	}
	return false;
}

static int count_fields(struct document doc, uint32_t *ret)
{
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	int r = value_tree_parse(&tree, doc.text, doc.len);

	if (r == 0)
		*ret = tree.root->n;
	return r;
}

/* Whether the record has all that was sent, and no other field at the top. */
static int is_what_was_sent(struct document sent, const struct record *record, bool *ret)
{
	CLEANUP(buf_done) struct buf body = BUF_INIT(DOCUMENT_MAX_BYTES);
	struct document shown = { record->text, record->text_len };
	struct value_paths missing;
	uint32_t n_sent, n_shown;
	int r = document_not_stored(sent, shown, &missing);

	*ret = false;
	if (r < 0 || missing.n > 0)
		return r;
	r = document_record_body(shown, &body);
	if (r == 0)
		r = count_fields(document_of(&body), &n_shown);
	if (r == 0)
		r = count_fields(sent, &n_sent);
	if (r == 0)
		*ret = n_shown == n_sent;
	return r;
}

struct search {
	const struct create *create;
	struct stack *found;
	unsigned n;
	int err;
};

static void consider(void *arg, struct stack *stack)
{
	struct search *s = arg;
	const struct create_memory *memory = s->create->memory;
	const struct dir *dir = tree_dir(stack);
	bool same;

	if (!dir || dir->cookie <= memory->cookie ||
	    is_accounted_for(s->create->changes, &stack->id))
		return;
	int r = is_what_was_sent(document_of(&memory->sent), stack->record, &same);
	if (r < 0) {
		s->err = r;
	} else if (same) {
		s->found = stack;
		s->n++;
	}
}

/* ---- asking ---- */

/* The answer's record is what the service has made of the text. */
static void take_created(struct create *c, struct record *record, const struct api_meta *meta)
{
	struct change_result result = { 0 };
	struct document shown = { record->text, record->text_len };
	int r = store_take_change(c->changes->store, record, meta->etag, &result.stack);

	if (r < 0) {
		outcome_failed(r, &c->error);
		remember(c);
		fail_unsettled(c, &c->error);
		return;
	}
	if (document_not_stored(document_of(&c->body), shown, &result.not_stored) < 0)
		result.not_stored.n = 0; /* no memory to tell it */
	succeed(c, &result);
}

static void begin_list(struct create *c);
static void run_queue(struct changes *changes);

static void posted(void *arg, const struct api_error *error, struct record *record,
		   const struct api_meta *meta)
{
	struct create *c = arg;
	struct changes *changes = c->changes;

	monitor_enter(changes->monitor);
	c->sent = outcome_has_left(error);
	if (!error) {
		take_created(c, record, meta);
	} else {
		c->error = *error;
		scrub_error(document_of(&c->body), &c->error);
		if (error->processed_maybe) {
			remember(c);
			begin_list(c);
		} else {
			if (error->err == -EACCES)
				store_look_at_account(changes->store);
			fail(c, &c->error);
		}
	}
	run_queue(changes);
	monitor_leave(changes->monitor);
}

static void send_post(struct create *c)
{
	struct changes *changes = c->changes;
	struct api_budget budget = { .timeout_ms = outcome_left_ms(changes, c->deadline_ms) };
	int r;

	if (!budget.timeout_ms || changes->stopping) {
		outcome_late(changes, "nothing was sent", &c->error);
		fail(c, &c->error);
		return;
	}
	/* A new token may be another account's, which must not get the stack. */
	budget.pinned = true;
	budget.token_no = store_token_no(changes->store);
	/* What is remembered stays until this one has succeeded, or is remembered itself. */
	c->cookie = newest_cookie(changes->store);
	c->state = CREATE_SENT;
	r = api_post_within(changes->api, c->body.data, c->body.len, &budget, posted, c);
	if (r < 0) {
		outcome_failed(r, &c->error);
		fail(c, &c->error);
	}
}

/* ---- what became of a POST ---- */

/* Another text than the one that was sent then is the caller's to save. */
static void adopt(struct create *c, struct stack *stack)
{
	struct change_result result = { .stack = stack };
	bool same = c->sent;

	if (!c->sent &&
	    document_equal(document_of(&c->body), document_of(&c->memory->sent), &same) < 0)
		same = false;
	if (!same)
		result.to_save = document_of(&c->body);
	result.deadline_ms = c->deadline_ms;
	succeed(c, &result);
}

static void settle(struct create *c)
{
	struct search s = { .create = c };
	struct api_error why;

	store_each(c->changes->store, consider, &s);
	if (s.err < 0) {
		outcome_failed(s.err, &why);
		fail_unlisted(c, &why);
	} else if (s.n == 1) {
		adopt(c, s.found);
	} else if (s.n > 1) {
		why = c->error;
		api_error_set(&why, -ETIMEDOUT,
			      "%u new stacks equal what was sent; keep one of them, and remove "
			      "this draft",
			      s.n);
		fail_unsettled(c, &why);
	} else if (c->sent) {
		fail(c, &c->error);
	} else {
		send_post(c);
	}
}

static void listed(struct store_wait *wait, const struct api_error *error)
{
	struct create *c = CONTAINER_OF(wait, struct create, wait);
	struct changes *changes = c->changes;

	if (error)
		fail_unlisted(c, error);
	else
		settle(c);
	run_queue(changes);
}

/* Only a list that is begun from now on can tell. */
static void begin_list(struct create *c)
{
	struct store *store = c->changes->store;
	struct api_error late;

	c->state = CREATE_LISTING;
	c->wait = (struct store_wait){ .wake = listed };
	if (!outcome_left_ms(c->changes, c->deadline_ms) || c->changes->stopping) {
		outcome_late(c->changes, "the account was to be listed", &late);
		fail_unlisted(c, &late);
	} else if (store_refresh(store, &c->wait) < 0) {
		fail_unlisted(c, c->wait.error);
	}
}

/* ---- the queue ---- */

static void begin(struct create *c)
{
	if (c->memory->maybe_created)
		begin_list(c);
	else
		send_post(c);
}

static void run_queue(struct changes *changes)
{
	struct create *c;

	while ((c = changes->creating) && c->state == CREATE_ENDED) {
		changes->creating = c->next;
		create_free(c);
		if (changes->creating)
			begin(changes->creating);
	}
}

static void leave_queue(struct create *c)
{
	struct create **at = &c->changes->creating;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
}

static void time_is_over(struct timer *timer)
{
	struct create *c = CONTAINER_OF(timer, struct create, timer);
	struct changes *changes = c->changes;
	struct api_error late;

	if (c->state == CREATE_QUEUED) {
		leave_queue(c);
		outcome_late(changes, "waiting for another create", &late);
		if (c->memory->maybe_created)
			fail_unsettled(c, &late);
		else
			fail(c, &late);
		create_free(c);
	} else if (c->state == CREATE_LISTING) {
		store_unwait(changes->store, &c->wait);
		outcome_late(changes, "waiting for the list", &late);
		fail_unlisted(c, &late);
		run_queue(changes);
	}
	/* A POST ends by itself at the same time. */
}

static void join_queue(struct create *c)
{
	struct changes *changes = c->changes;
	struct create **at = &changes->creating;

	while (*at)
		at = &(*at)->next;
	*at = c;
	changes->running++;
	timer_arm(changes->timers, &c->timer, c->deadline_ms, time_is_over);
	if (changes->creating == c) {
		begin(c);
		run_queue(changes);
	}
}

/* ---- the body ---- */

/* Why a text was refused here. */
static int refuse_text(const struct json_error *bad, int err, struct api_error *e)
{
	if (err == -ENOMEM)
		outcome_failed(err, e);
	else
		api_error_set(e, err, "line %u, column %u: %s", bad->line, bad->column, bad->why);
	return err;
}

/* Whether the directory is called what a stack of that name and _id is. */
static bool is_called_so(const char *component, const struct document_facts *facts)
{
	const char *name = facts->name.data ? facts->name.data : "";
	char encoded[NAME_MAX_BYTES + 1];

	for (int with_id = 0; with_id < 2; with_id++) {
		name_encode(name, facts->name.len, &facts->id, with_id, encoded);
		if (strcmp(component, encoded) == 0)
			return true;
	}
	return false;
}

static bool keeps_its_name(const char *component, const struct document_facts *facts)
{
	if (facts->has_id == DOCUMENT_NONE)
		return facts->has_name == DOCUMENT_GIVEN;
	return facts->has_id == DOCUMENT_GIVEN && is_called_so(component, facts);
}

/* What the directory's name stands for; an "~<_id>" behind it is no part of it. */
static int name_of(const char *component, char out[NAME_MAX_BYTES + 1], size_t *ret_len)
{
	char plain[NAME_MAX_BYTES + 1];
	struct stack_id id;
	size_t len = strlen(component);
	int r = name_decode(component, out, ret_len);

	if (r == 0 || len > NAME_MAX_BYTES || !name_has_id(component, &id))
		return r;
	len -= NAME_SUFFIX_BYTES;
	memcpy(plain, component, len);
	plain[len] = '\0';
	return name_decode(plain, out, ret_len);
}

static int give_name(const char *component, struct document text, struct buf *out,
		     struct api_error *e)
{
	char name[NAME_MAX_BYTES + 1];
	size_t len;
	int r = name_of(component, name, &len);

	if (r == 0)
		r = document_with_name(text, name, len, out);
	if (r == -EINVAL)
		api_error_set(e, r = -EBADMSG, "the directory's name stands for no stack's name");
	else if (r == -EILSEQ)
		api_error_set(e, r = -EBADMSG,
			      "the directory's name is not UTF-8, and so cannot be sent");
	else if (r < 0)
		outcome_failed(r, e);
	return r;
}

/* The record that the text is a copy of, as far as it is known: it tells what of
 * the text is a mask. */
static struct document original_of(const struct changes *changes,
				   const struct document_facts *facts)
{
	const struct stack *stack = NULL;

	if (facts->has_id == DOCUMENT_GIVEN)
		stack = store_find(changes->store, &facts->id);
	if (!stack)
		return (struct document){ 0 };
	return (struct document){ stack->record->text, stack->record->text_len };
}

static int write_body(struct document text, struct document original, struct buf *out,
		      struct api_error *e)
{
	struct value_paths masks;
	char paths[sizeof(e->message) / 2];
	int r = document_body(text, original, out, &masks);

	if (r == 0)
		return 0;
	outcome_failed(r, e);
	if (masks.n > 0) {
		value_paths_text(&masks, paths, sizeof(paths));
		api_error_set(e, r, "a mask stands for no secret here: %s", paths);
	}
	return r;
}

/* The body that is sent for a text, or *e. */
static int make_body(struct create *c, const char *component, struct document text,
		     struct api_error *e)
{
	CLEANUP(document_facts_done) struct document_facts facts = { 0 };
	CLEANUP(buf_wipe) struct buf named = BUF_INIT(DOCUMENT_MAX_BYTES);
	struct json_error bad;
	int r = document_check(text, &bad);

	if (r < 0)
		return refuse_text(&bad, r, e);
	r = document_facts(text, &facts);
	if (r < 0) {
		outcome_failed(r, e);
		return r;
	}
	if (facts.has_name == DOCUMENT_WRONG) {
		api_error_set(e, -EBADMSG, "name is not a string");
		memcpy(e->field, "name", sizeof("name"));
		return e->err;
	}
	const struct document original = original_of(c->changes, &facts);

	if (facts.has_id == DOCUMENT_GIVEN)
		c->brought = facts.id;
	r = buf_append(&c->modified, facts.modified.data, facts.modified.len);
	if (r < 0)
		outcome_failed(r, e);
	if (r == 0 && !keeps_its_name(component, &facts)) {
		r = write_body(text, original, &c->own, e);
		if (r == 0)
			r = give_name(component, text, &named, e);
		text = document_of(&named);
	}
	return r < 0 ? r : write_body(text, original, &c->body, e);
}

/* ---- the beginning ---- */

static void show_request(const struct create *c, struct change_result *result, struct buf *out)
{
	int r = buf_puts(out, REQUEST_LINE);

	if (r == 0)
		r = mask_secrets(document_of(&c->body), out);
	if (r < 0) {
		outcome_failed(r, &result->error);
		return;
	}
	api_error_set(&result->error, -EROFS, "not sent, because of -o dry_run");
	result->would_send = out->data;
}

/* What needs no request: a text that is refused, a dry run. */
static void end_at_once(struct create *c, struct change_result *result)
{
	c->changes->running++;
	end(c, result);
}

void create_stack(struct changes *changes, const char *component, struct document text,
		  struct create_memory *memory, const struct process *who, uint64_t deadline_ms,
		  change_done_fn *done, void *arg)
{
	CLEANUP(create_freep) struct create *c = calloc(1, sizeof(*c));
	CLEANUP(buf_done) struct buf shown = BUF_INIT(MAX_SHOWN_BYTES);
	struct change_result result = { 0 };

	if (!c) {
		outcome_failed(-ENOMEM, &result.error);
		result.err = -ENOMEM;
		done(arg, &result);
		return;
	}
	c->changes = changes;
	c->memory = memory;
	c->deadline_ms = deadline_ms ? deadline_ms : clock_now_ms(changes->clock) + changes->timeout_ms;
	c->done = done;
	c->arg = arg;
	c->who = *who;
	c->body = c->own = c->modified = (struct buf)BUF_INIT(DOCUMENT_MAX_BYTES);
	if (make_body(c, component, text, &result.error) < 0) {
		end_at_once(c, &result);
	} else if (changes->dry_run) {
		show_request(c, &result, &shown);
		end_at_once(c, &result);
	} else {
		take_left(c);
		join_queue(TAKE_PTR(c));
	}
}
