/* SPDX-License-Identifier: MIT */
/* Running operations, parking them, and passing on what has changed. */
#include "fs/fs.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "fs"
#include "base/log.h"
#include "fs/private.h"

/* ---- the one place that says what is not done to a stack ---- */

static int step_change(struct fs *fs, struct fs_op *op)
{
	return -EROFS;
}

static const struct {
	fs_step *step;
	const char *name;
} calls[FS_N_CALLS] = {
	[FS_LOOKUP] = { fs_step_lookup, "lookup" },
	[FS_GETATTR] = { fs_step_getattr, "getattr" },
	[FS_READLINK] = { fs_step_readlink, "readlink" },
	[FS_OPEN] = { fs_step_open, "open" },
	[FS_READ] = { fs_step_read, "read" },
	[FS_WRITE] = { fs_step_write, "write" },
	[FS_OPENDIR] = { fs_step_opendir, "opendir" },
	[FS_READDIR] = { fs_step_readdir, "readdir" },
	[FS_GETXATTR] = { fs_step_getxattr, "getxattr" },
	[FS_LISTXATTR] = { fs_step_listxattr, "listxattr" },
	[FS_STATFS] = { fs_step_statfs, "statfs" },
	[FS_CHANGE] = { step_change, "change" },
};

/* ---- operations ---- */

static void run_done(struct deferred *deferred)
{
	struct fs_op *op = CONTAINER_OF(deferred, struct fs_op, deferred);

	op->done(op);
}

static void unpark(struct fs_op *op)
{
	if (!op->next)
		return;
	op->prev->next = op->next;
	op->next->prev = op->prev;
	op->prev = op->next = NULL;
}

static void finish(struct fs *fs, struct fs_op *op, int err)
{
	unpark(op);
	op->err = err;
	op->deferred.run = run_done;
	monitor_defer(fs->monitor, &op->deferred);
}

static void path_of(const struct fs *fs, const struct fs_op *op, char *out, size_t size)
{
	const struct node *node = tree_node(fs->tree, op->node);
	const char *dir = node && node->dir ? node->dir->name : "";
	const char *file = node ? kind_name(node->kind) : "";
	bool named = op->call == FS_LOOKUP && op->name;

	snprintf(out, size, "%s%s%s%s%s%s", *dir ? "/" : "", dir, *file ? "/" : "", file,
		 named ? "/" : "", named ? op->name : "");
	if (!*out)
		snprintf(out, size, "/");
}

/* One line in the log and in .stacksfs/errors for each system call that a
 * request's failure has failed. */
static void fail(struct fs *fs, struct fs_op *op, int err, const struct api_error *cause)
{
	char path[600];

	path_of(fs, op, path, sizeof(path));
	journal_add(fs->journal, path, calls[op->call].name, err, cause);
	log_warning("%s %s: %s: %s%s%s%s (request %llu)", calls[op->call].name, path,
		    strerrorname_np(-err), cause->message, cause->code[0] ? " [" : "", cause->code,
		    cause->code[0] ? "]" : "", (unsigned long long)cause->call_no);
	finish(fs, op, err);
}

/* What a failed request makes of the call that waited for it. */
static int call_error(const struct api_error *error)
{
	return error->err == -ECANCELED ? -EIO : error->err;
}

static void park(struct fs *fs, struct fs_op *op)
{
	if (op->next)
		return;
	op->prev = fs->parked.prev;
	op->next = &fs->parked;
	op->prev->next = op;
	fs->parked.prev = op;
	if (op->parked) {
		op->parked(op);
		op->parked = NULL;
	}
}

static void run(struct fs *fs, struct fs_op *op)
{
	int r = calls[op->call].step(fs, op);

	if (r == STORE_WAIT)
		park(fs, op);
	else if (r < 0 && op->wait.error)
		fail(fs, op, r, op->wait.error);
	else
		finish(fs, op, r);
}

static void woken(struct store_wait *wait, const struct api_error *error)
{
	struct fs_op *op = CONTAINER_OF(wait, struct fs_op, wait);

	if (error)
		fail(op->fs, op, call_error(error), error);
	else
		run(op->fs, op);
}

void fs_submit(struct fs *fs, struct fs_op *op)
{
	op->fs = fs;
	op->wait.wake = woken;
	monitor_enter(fs->monitor);
	op->serial = ++fs->next_serial;
	run(fs, op);
	monitor_leave(fs->monitor);
}

void fs_op_end(struct fs_op *op)
{
	record_unref(op->held_record);
	blob_unref(op->held_blob);
	op->held_record = NULL;
	op->held_blob = NULL;
}

void fs_interrupt(struct fs *fs, uint64_t serial)
{
	monitor_enter(fs->monitor);
	struct fs_op *op = fs->parked.next;

	while (op != &fs->parked && op->serial != serial)
		op = op->next;
	if (op != &fs->parked) {
		store_unwait(fs->store, &op->wait);
		finish(fs, op, -EINTR);
	}
	monitor_leave(fs->monitor);
}

void fs_end_parked(struct fs *fs, int err)
{
	monitor_enter(fs->monitor);
	while (fs->parked.next != &fs->parked) {
		struct fs_op *op = fs->parked.next;

		store_unwait(fs->store, &op->wait);
		finish(fs, op, err);
	}
	monitor_leave(fs->monitor);
}

void fs_forget(struct fs *fs, uint64_t id, uint64_t n_lookups)
{
	monitor_enter(fs->monitor);
	struct node *node = tree_node(fs->tree, id);

	if (node)
		tree_forget(fs->tree, node, n_lookups);
	monitor_leave(fs->monitor);
}

static void refresh_done(struct fs_op *op)
{
	if (op->err == 0)
		log_info("refreshed");
	fs_op_end(op);
	free(op);
}

void fs_refresh(struct fs *fs)
{
	struct fs_op *op = calloc(1, sizeof(*op));

	if (!op)
		return;
	op->call = FS_WRITE;
	op->node = tree_fixed_id(NODE_REFRESH);
	op->done = refresh_done;
	fs_submit(fs, op);
}

/* ---- what the store and the tree tell us ---- */

static void drop_node(struct fs *fs, struct node *node)
{
	node->listed_until_ms = 0;
	node->pages_valid = false;
	if (node->lookups > 0 && fs->kernel.drop_node)
		fs->kernel.drop_node(fs->kernel.arg, node->id);
}

static void name_changed(void *arg, const char *name)
{
	struct fs *fs = arg;
	struct node *root = tree_fixed(fs->tree, NODE_ROOT);

	if (!store_has_list(fs->store) || !fs->kernel.drop_name)
		return; /* nobody was told any name yet */
	fs->names_changed_ms = clock_wall_ms(fs->clock);
	root->listed_until_ms = 0;
	tree_fixed(fs->tree, NODE_BY_ID)->listed_until_ms = 0;
	fs->kernel.drop_name(fs->kernel.arg, root->id, name);
	fs->kernel.drop_node(fs->kernel.arg, root->id);
}

/* Its path has, or will have, another node: the kernel must look again. */
static void detached(void *arg, struct node *node)
{
	struct fs *fs = arg;

	if (node->kind == NODE_STACK || node->kind == NODE_OLD_NAME || !fs->kernel.drop_name)
		return; /* the name itself has changed: see name_changed */
	const struct node *parent = node->kind == NODE_ID_LINK
					    ? tree_fixed(fs->tree, NODE_BY_ID)
					    : tree_peek(node->dir, NODE_STACK);
	if (parent)
		fs->kernel.drop_name(fs->kernel.arg, parent->id, kind_name(node->kind));
}

static void stack_added(void *arg, struct stack *stack)
{
	struct fs *fs = arg;

	if (!store_has_list(fs->store) && stack->record->created_ms > fs->names_changed_ms)
		fs->names_changed_ms = stack->record->created_ms;
	if (tree_add(fs->tree, stack) < 0)
		log_error("no memory for another stack's directory");
}

/* A node whose version was replaced: who reads it goes on with the old one. */
static void replace_version(struct fs *fs, struct node *node)
{
	if (!node)
		return;
	if (node->opens > 0)
		tree_detach(fs->tree, node);
	else
		drop_node(fs, node);
}

static void stack_changed(void *arg, struct stack *stack, struct record *old)
{
	struct fs *fs = arg;
	struct dir *dir = tree_dir(stack);

	if (tree_rename(fs->tree, stack) < 0)
		log_error("no memory for a stack's new name");
	if (!dir)
		return;
	replace_version(fs, tree_peek(dir, NODE_CONFIG));
	if (tree_peek(dir, NODE_STACK))
		drop_node(fs, tree_peek(dir, NODE_STACK));
	if (old->type != stack->record->type && tree_peek(dir, NODE_TOKEN))
		tree_detach(fs->tree, tree_peek(dir, NODE_TOKEN));
}

static void stack_gone(void *arg, struct stack *stack)
{
	struct fs *fs = arg;

	tree_remove(fs->tree, stack);
}

static void part_changed(void *arg, struct stack *stack, enum store_part part)
{
	struct fs *fs = arg;
	struct dir *dir = tree_dir(stack);
	enum node_kind kind = part == STORE_TOKEN ? NODE_TOKEN : NODE_DEPENDENCIES;

	if (!dir)
		return;
	struct node *node = tree_peek(dir, kind);
	if (node && !store_part_blob(stack, part))
		tree_detach(fs->tree, node);
	else
		replace_version(fs, node);
	if (tree_peek(dir, NODE_STACK))
		drop_node(fs, tree_peek(dir, NODE_STACK));
}

/* ---- life ---- */

static int make_store(struct fs *fs, const struct fs_options *o)
{
	const struct store_options options = {
		.monitor = o->monitor,
		.timers = o->timers,
		.api = o->api,
		.clock = o->clock,
		.ttl_ms = o->ttl_ms,
		.stale_ms = o->stale_ms,
		.events = { stack_added, stack_changed, stack_gone, part_changed, fs },
	};

	return store_new(&options, &fs->store);
}

int fs_new(const struct fs_options *o, struct fs **ret)
{
	CLEANUP(fs_freep) struct fs *fs = calloc(1, sizeof(*fs));
	const struct tree_events events = { name_changed, detached, fs };
	int r;

	if (!fs)
		return -ENOMEM;
	fs->parked.prev = fs->parked.next = &fs->parked;
	fs->monitor = o->monitor;
	fs->http = o->http;
	fs->api = o->api;
	fs->clock = o->clock;
	fs->ttl_ms = o->ttl_ms;
	fs->uid = o->uid;
	fs->gid = o->gid;
	fs->umask = o->umask;
	fs->tokens = o->tokens;
	fs->began_ms = clock_now_ms(o->clock);
	fs->began_wall_ms = clock_wall_ms(o->clock);
	fs->source = strdup(o->source);
	fs->mountpoint = strdup(o->mountpoint);
	if (!fs->source || !fs->mountpoint)
		return -ENOMEM;
	if ((r = journal_new(o->clock, &fs->journal)) < 0 ||
	    (r = tree_new(&events, &fs->tree)) < 0 || (r = make_store(fs, o)) < 0)
		return r;
	*ret = TAKE_PTR(fs);
	return 0;
}

void fs_free(struct fs *fs)
{
	if (!fs)
		return;
	assert(fs->parked.next == &fs->parked);
	fs->kernel = (struct fs_kernel){ 0 };
	while (fs->handles)
		handle_free(fs->handles);
	tree_free(fs->tree);
	store_free(fs->store);
	journal_free(fs->journal);
	blob_unref(fs->status);
	blob_unref(fs->errors);
	free(fs->source);
	free(fs->mountpoint);
	free(fs);
}

int fs_start(struct fs *fs, void (*first_page)(void *arg, const struct api_error *error), void *arg)
{
	monitor_enter(fs->monitor);
	int r = store_start(fs->store, first_page, arg);
	monitor_leave(fs->monitor);
	return r;
}

void fs_set_kernel(struct fs *fs, const struct fs_kernel *kernel)
{
	monitor_enter(fs->monitor);
	fs->kernel = *kernel;
	monitor_leave(fs->monitor);
}
