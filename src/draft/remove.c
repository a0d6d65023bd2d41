/* SPDX-License-Identifier: MIT */
/* A delete goes: ask for dependents, keep the text, DELETE; a rotation: DELETE.
 * When the answer is lost, what is read afterwards decides. */
#include "draft/remove.h"

#define LOG_MODULE "remove"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "draft/outcome.h"
#include "http/retry.h"
#include "tree/tree.h"

struct removal {
	struct changes *changes;
	struct stack *stack; /* holds a reference */
	change_done_fn *done;
	void *arg;
	uint64_t deadline_ms;
	struct blob *before; /* the token as it was known; NULL: not, or a delete */
	unsigned rotations; /* that were sent */
	uint64_t tick; /* the reading that settles it */
	bool sent;
	struct api_error error; /* the DELETE's own */
};

/* ---- the end ---- */

static void removal_free(struct removal *x)
{
	stack_unref(x->stack);
	blob_unref(x->before);
	free(x);
}

static void end(struct removal *x, struct change_result *result)
{
	x->changes->running--;
	result->err = result->error.err;
	result->sent = x->sent;
	x->done(x->arg, result);
	removal_free(x);
}

static void fail(struct removal *x, const struct api_error *error)
{
	struct change_result result = { .error = *error };

	end(x, &result);
}

static void fail_here(struct removal *x, int err)
{
	struct api_error error;

	outcome_failed(err, &error);
	fail(x, &error);
}

static void fail_late(struct removal *x)
{
	struct api_error error;

	outcome_late(x->changes, "nothing was sent", &error);
	fail(x, &error);
}

static void fail_unsettled(struct removal *x, const char *what)
{
	struct change_result result = { .unsettled = true };

	outcome_unsettled(what, &x->error, &result.error);
	end(x, &result);
}

static void succeed(struct removal *x)
{
	struct change_result result = { 0 };

	end(x, &result);
}

/* What would be sent is told instead. */
static void end_dry(struct removal *x, const char *below)
{
	struct change_result result = { 0 };
	char hex[STACK_ID_HEX + 1], request[80];

	stack_id_format(&x->stack->id, hex);
	snprintf(request, sizeof(request), "DELETE /v1/stacks/%s%s", hex, below);
	api_error_set(&result.error, -EROFS, "not sent, because of -o dry_run");
	result.would_send = request;
	end(x, &result);
}

/* ---- the beginning ---- */

/* NULL: no memory, and done has been told. */
static struct removal *removal_new(struct changes *changes, struct stack *stack,
				   change_done_fn *done, void *arg)
{
	struct removal *x = calloc(1, sizeof(*x));
	struct change_result result = { .err = -ENOMEM };

	if (!x) {
		outcome_failed(-ENOMEM, &result.error);
		done(arg, &result);
		return NULL;
	}
	x->changes = changes;
	x->stack = stack_ref(stack);
	x->done = done;
	x->arg = arg;
	x->deadline_ms = clock_now_ms(changes->clock) + changes->timeout_ms;
	changes->running++;
	return x;
}

static struct api_budget budget_of(const struct removal *x)
{
	return (struct api_budget){ .timeout_ms = outcome_left_ms(x->changes, x->deadline_ms) };
}

/* ---- what became of a DELETE of the stack ---- */

static void deleted(struct removal *x)
{
	store_take_gone(x->changes->store, x->stack);
	succeed(x);
}

static void maybe_deleted(struct removal *x)
{
	store_expire_record(x->changes->store, x->stack);
	fail_unsettled(x, "may have been deleted");
}

static void read_afterwards(void *arg, const struct api_error *error, struct record *record,
			    const struct api_meta *meta)
{
	struct removal *x = arg;
	struct changes *changes = x->changes;

	monitor_enter(changes->monitor);
	if (store_believes_404(changes->store, meta, &error)) {
		deleted(x);
	} else if (error) {
		maybe_deleted(x);
	} else {
		if (store_take_answer(changes->store, record, meta, x->tick) < 0)
			store_expire_record(changes->store, x->stack);
		fail(x, &x->error);
	}
	monitor_leave(changes->monitor);
}

static void settle_delete(struct removal *x)
{
	struct api_budget budget = budget_of(x);

	x->tick = store_tick(x->changes->store);
	budget.patient = true; /* it is to be known what became of the DELETE */
	if (!budget.timeout_ms || api_get_within(x->changes->api, HTTP_CLASS_SAVE, &x->stack->id,
						 NULL, &budget, read_afterwards, x) < 0)
		maybe_deleted(x);
}

/* A 404 on a repeated try is a success by then; on the first it was gone before. */
static void delete_done(void *arg, const struct api_error *error, const struct api_meta *meta)
{
	struct removal *x = arg;
	struct changes *changes = x->changes;

	monitor_enter(changes->monitor);
	x->sent = outcome_has_left(error);
	(void)store_believes_404(changes->store, meta, &error);
	if (error)
		x->error = *error;
	if (!error) {
		deleted(x);
	} else if (error->processed_maybe) {
		settle_delete(x);
	} else {
		if (error->status == 404)
			store_take_gone(changes->store, x->stack);
		fail(x, &x->error);
	}
	monitor_leave(changes->monitor);
}

/* ---- its way there ---- */

/* What the archive cannot take keeps nobody from deleting: the service's recycle
 * bin has the stack, too. */
static void keep_text(struct removal *x)
{
	const struct record *record = x->stack->record;
	const struct dir *dir = tree_dir(x->stack);
	int r = -ENOENT;

	if (dir)
		r = archive_history(x->changes->archive, dir->name, record->text, record->text_len,
				    NULL, NULL);
	if (r < 0)
		log_warning("history lacks a stack that is being deleted: %s", strerror(-r));
}

static void send_delete(struct removal *x)
{
	struct api_budget budget = budget_of(x);

	if (x->stack->gone) {
		fail_here(x, -ENOENT);
		return;
	}
	if (x->changes->dry_run) {
		end_dry(x, "");
		return;
	}
	if (!budget.timeout_ms) {
		fail_late(x);
		return;
	}
	keep_text(x);
	int r = api_delete_within(x->changes->api, &x->stack->id, &budget, delete_done, x);
	if (r < 0)
		fail_here(x, r);
}

/* Some of the dependents, as many as there is room for. */
struct names {
	char text[160];
	size_t len;
	unsigned more; /* did not fit */
};

static void copy_string(const struct value *v, char *out, size_t size)
{
	if (v && v->type == JSON_STRING)
		api_error_text(out, size, v->bytes, v->n);
	else
		api_error_text(out, size, "?", 1);
}

static void add_name(struct names *names, const struct value *type, const struct value *dependent)
{
	size_t room = sizeof(names->text) - names->len;
	char kind[32], name[48];

	api_error_text(kind, sizeof(kind), type->name, type->name_len);
	copy_string(value_find(dependent, "name"), name, sizeof(name));
	int n = snprintf(names->text + names->len, room, "%s%s \"%s\"", names->len ? ", " : "",
			 kind, name);

	if (names->more == 0 && n > 0 && (size_t)n < room) {
		names->len += (size_t)n;
		return;
	}
	names->text[names->len] = '\0';
	names->more++;
}

/* From the map of types to arrays of dependents. */
static void find_names(const char *text, size_t len, struct names *ret)
{
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	const struct value *root;

	*ret = (struct names){ 0 };
	if (value_tree_parse(&tree, text, len) < 0 || !value_is_object(tree.root))
		return;
	root = tree.root;
	for (const struct value *t = value_first(root); t < value_end(root); t = value_next(t)) {
		if (!value_is_array(t))
			continue;
		for (const struct value *d = value_first(t); d < value_end(t); d = value_next(d))
			add_name(ret, t, d);
	}
}

static void refuse_in_use(struct removal *x, const char *text, size_t len)
{
	static const char how[] = "-o delete_in_use deletes it all the same";
	struct api_error error = { 0 };
	struct names names;

	find_names(text, len, &names);
	if (names.len == 0)
		api_error_set(&error, -EBUSY, "it is not clear that nothing depends on it; %s",
			      how);
	else if (names.more == 0)
		api_error_set(&error, -EBUSY, "in use by %s; %s", names.text, how);
	else
		api_error_set(&error, -EBUSY, "in use by %s and %u more; %s", names.text,
			      names.more, how);
	fail(x, &error);
}

static void dependents_came(void *arg, const struct api_error *error, const char *text, size_t len,
			    bool empty, const struct api_meta *meta)
{
	struct removal *x = arg;
	struct changes *changes = x->changes;

	monitor_enter(changes->monitor);
	if (error)
		fail(x, error);
	else if (!empty)
		refuse_in_use(x, text, len);
	else
		send_delete(x);
	monitor_leave(changes->monitor);
}

void remove_stack(struct changes *changes, struct stack *stack, change_done_fn *done, void *arg)
{
	struct removal *x = removal_new(changes, stack, done, arg);

	if (!x)
		return;
	if (stack->gone || changes->delete_in_use) {
		send_delete(x);
		return;
	}
	struct api_budget budget = budget_of(x);
	int r = api_get_dependencies_within(changes->api, HTTP_CLASS_SAVE, &stack->id, NULL,
					    &budget, dependents_came, x);
	if (r < 0)
		fail_here(x, r);
}

/* ---- a token ---- */

static void send_rotation(struct removal *x);

static void maybe_rotated(struct removal *x)
{
	fail_unsettled(x, "may have been rotated");
}

/* What is known of a token is its file's text, with a newline behind it. */
static bool is_before(const struct blob *before, const struct secret *token)
{
	size_t len = secret_len(token);

	return blob_len(before) == len + 1 &&
	       memcmp(blob_bytes(before), secret_bytes(token), len) == 0;
}

/* Servers end connections that have had their number of requests, and the last ones may not have
 * been looked at (RFC 9113, 6.8): libcurl does not say which, but the token that is still there
 * does.  An answer, or none in time, may yet be followed by the rotation. */
static bool may_rotate_again(const struct removal *x)
{
	return x->error.err == -EIO && x->error.status == 0 && x->rotations < RETRY_MAX_TRIES &&
	       outcome_left_ms(x->changes, x->deadline_ms) > 0 && !x->changes->stopping;
}

static void token_came(void *arg, const struct api_error *error, struct secret *token,
		       const struct api_meta *meta)
{
	struct removal *x = arg;
	struct changes *changes = x->changes;

	monitor_enter(changes->monitor);
	if (error)
		maybe_rotated(x);
	else if (!is_before(x->before, token))
		succeed(x);
	else if (may_rotate_again(x))
		send_rotation(x);
	else
		fail(x, &x->error);
	monitor_leave(changes->monitor);
}

/* Without the token from before there is nothing to ask. */
static void settle_rotation(struct removal *x)
{
	struct api_budget budget = budget_of(x);

	budget.patient = true;
	if (!x->before || !budget.timeout_ms ||
	    api_get_token_within(x->changes->api, HTTP_CLASS_SAVE, &x->stack->id, NULL, &budget,
				 token_came, x) < 0)
		maybe_rotated(x);
}

static void rotate_done(void *arg, const struct api_error *error, const struct api_meta *meta)
{
	struct removal *x = arg;
	struct changes *changes = x->changes;

	monitor_enter(changes->monitor);
	x->sent |= outcome_has_left(error);
	if (x->sent)
		store_drop_part(changes->store, x->stack, STORE_TOKEN);
	if (error)
		x->error = *error;
	if (!error)
		succeed(x);
	else if (error->processed_maybe)
		settle_rotation(x);
	else
		fail(x, &x->error);
	monitor_leave(changes->monitor);
}

static void send_rotation(struct removal *x)
{
	struct api_budget budget = budget_of(x);

	budget.tries_before = x->rotations++;
	int r = api_rotate_token_within(x->changes->api, &x->stack->id, &budget, rotate_done, x);
	if (r < 0)
		fail_here(x, r);
}

void remove_token(struct changes *changes, struct stack *stack, change_done_fn *done, void *arg)
{
	struct removal *x = removal_new(changes, stack, done, arg);

	if (!x)
		return;
	if (stack->gone) {
		fail_here(x, -ENOENT);
		return;
	}
	if (changes->dry_run) {
		end_dry(x, "/systemToken");
		return;
	}
	/* An older answer may be another token than the one that is there now. */
	if (store_part_known(changes->store, stack, STORE_TOKEN))
		x->before = blob_ref(store_part_blob(stack, STORE_TOKEN));
	send_rotation(x);
}
