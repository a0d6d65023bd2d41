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
#include "draft/save.h"
#include "fs/private.h"

static const struct {
	fs_step *step;
	const char *name;
	bool changes; /* what -o ro refuses */
} calls[FS_N_CALLS] = {
	[FS_LOOKUP] = { fs_step_lookup, "lookup", false },
	[FS_GETATTR] = { fs_step_getattr, "getattr", false },
	[FS_READLINK] = { fs_step_readlink, "readlink", false },
	[FS_OPEN] = { fs_step_open, "open", false },
	[FS_READ] = { fs_step_read, "read", false },
	[FS_WRITE] = { fs_step_write, "write", false },
	[FS_FLUSH] = { fs_step_flush, "flush", false },
	[FS_FSYNC] = { fs_step_fsync, "fsync", false },
	[FS_OPENDIR] = { fs_step_opendir, "opendir", false },
	[FS_READDIR] = { fs_step_readdir, "readdir", false },
	[FS_GETXATTR] = { fs_step_getxattr, "getxattr", false },
	[FS_LISTXATTR] = { fs_step_listxattr, "listxattr", false },
	[FS_STATFS] = { fs_step_statfs, "statfs", false },
	[FS_SETATTR] = { fs_step_setattr, "setattr", true },
	[FS_CREATE] = { fs_step_create, "create", true },
	[FS_MKNOD] = { fs_step_mknod, "mknod", true },
	[FS_MKDIR] = { fs_step_mkdir, "mkdir", true },
	[FS_SYMLINK] = { fs_step_symlink, "symlink", true },
	[FS_LINK] = { fs_step_link, "link", true },
	[FS_UNLINK] = { fs_step_unlink, "unlink", true },
	[FS_RMDIR] = { fs_step_rmdir, "rmdir", true },
	[FS_RENAME] = { fs_step_rename, "rename", true },
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

/* What the op is about, as a path from the mount's root. */
static void path_of(const struct fs *fs, const struct fs_op *op, char *out, size_t size)
{
	/* Of a rename the name that is more than a scratch file's. */
	bool onto = op->call == FS_RENAME && kind_by_name(op->new_name) != NODE_ROOT;
	const struct node *node = tree_node(fs->tree, onto ? op->to : op->node);
	const char *name = onto ? op->new_name : op->name;
	const char *dir = node && node->dir ? node->dir->name : "";
	const char *file = !node ? "" : node->local ? tree_local_name(node) : kind_name(node->kind);
	bool named = name && op->call != FS_GETXATTR;

	snprintf(out, size, "%s%s%s%s%s%s", *dir ? "/" : "", dir, *file ? "/" : "", file,
		 named ? "/" : "", named ? name : "");
	if (!*out)
		snprintf(out, size, "/");
}

static void log_op(const struct fs *fs, const struct fs_op *op, int err)
{
	char path[600];

	path_of(fs, op, path, sizeof(path));
	log_debug("%s %s: %s", calls[op->call].name, path, err ? strerrorname_np(-err) : "ok");
}

static void finish(struct fs *fs, struct fs_op *op, int err)
{
	if (log_enabled(LOG_LEVEL_DEBUG))
		log_op(fs, op, err);
	unpark(op);
	change_leave(op);
	op->err = err;
	op->deferred.run = run_done;
	monitor_defer(fs->monitor, &op->deferred);
}

/* One line in the log and in .stacksfs/errors for each system call that a
 * request's failure has failed. */
static void fail(struct fs *fs, struct fs_op *op, int err, const struct api_error *cause)
{
	char path[600];

	if (op->call == FS_LOOKUP)
		fs_lookup_failed(fs, op, err);
	path_of(fs, op, path, sizeof(path));
	journal_add(fs->journal, path, calls[op->call].name, err, cause, NULL);
	note_log(calls[op->call].name, path, err, cause);
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
	if (!op->deadline_ms)
		op->deadline_ms = clock_now_ms(fs->clock) + fs->changes.timeout_ms;
	op->prev = fs->parked.prev;
	op->next = &fs->parked;
	op->prev->next = op;
	fs->parked.prev = op;
	if (op->parked) {
		op->parked(op);
		op->parked = NULL;
	}
}

const struct process *op_process(struct fs_op *op)
{
	if (!op->process_known)
		process_of_thread(op->tid, &op->process);
	op->process_known = true;
	return &op->process;
}

const char *op_comm(struct fs *fs, struct fs_op *op)
{
	if (!op->process_known)
		process_comm_of_thread(&fs->comms, op->tid, op->process.comm);
	return op->process.comm;
}

int op_refuse(struct fs_op *op, int err, const char *fmt, ...)
{
	va_list ap;

	if (!op->reason)
		op->reason = calloc(1, sizeof(*op->reason));
	if (!op->reason)
		return err;
	va_start(ap, fmt);
	vsnprintf(op->reason->message, sizeof(op->reason->message), fmt, ap);
	va_end(ap);
	op->reason->err = err;
	return err;
}

int op_no_room(struct fs_op *op, int r)
{
	if (r == -ENOSPC)
		return op_refuse(op, r, "scratch files and drafts have used up their room: remove "
					"some, or mount with more (-o scratch=)");
	return r == -EFBIG ? op_refuse(op, r, "larger than 1 MiB") : r;
}

static int step(struct fs *fs, struct fs_op *op)
{
	const struct node *node = tree_node(fs->tree, op->node);

	if (fs->ro && calls[op->call].changes)
		return op_refuse(op, -EROFS, "mounted with -o ro");
	if (node && node->dir)
		work_touched(fs, node->dir, op);
	return calls[op->call].step(fs, op);
}

void fs_run(struct fs *fs, struct fs_op *op)
{
	op->awaits = NULL;
	int r = step(fs, op);

	if (r == STORE_WAIT)
		park(fs, op);
	else if (r < 0 && op->reason)
		fail(fs, op, r, op->reason);
	else if (r < 0 && op->wait.error)
		fail(fs, op, r, op->wait.error);
	else
		finish(fs, op, r);
}

/* Those that wait for a text which has been saved by now have their answer. */
void fs_wake_awaiting(struct fs *fs, const struct node *node)
{
	struct fs_op *again = NULL, *next;

	for (struct fs_op *op = fs->parked.next; op != &fs->parked; op = next) {
		next = op->next;
		if (op->awaits != node)
			continue;
		op->awaits = NULL;
		if (op->generation && node->draft && node->draft->ended >= op->generation) {
			op->drop_node = node->draft->result == 0 ? node->id : 0;
			finish(fs, op, node->draft->result);
		} else {
			op->wake_next = again;
			again = op;
		}
	}
	for (; again; again = next) {
		next = again->wake_next;
		fs_run(fs, again);
	}
}

static void woken(struct store_wait *wait, const struct api_error *error)
{
	struct fs_op *op = CONTAINER_OF(wait, struct fs_op, wait);

	if (error)
		fail(op->fs, op, call_error(error), error);
	else
		fs_run(op->fs, op);
}

void fs_submit(struct fs *fs, struct fs_op *op)
{
	op->fs = fs;
	op->wait.wake = woken;
	monitor_enter(fs->monitor);
	op->serial = ++fs->next_serial;
	fs_run(fs, op);
	monitor_leave(fs->monitor);
}

void fs_op_end(struct fs_op *op)
{
	record_unref(op->held_record);
	blob_unref(op->held_blob);
	free(op->own);
	free(op->reason);
	op->held_record = NULL;
	op->held_blob = NULL;
	op->own = NULL;
	op->reason = NULL;
}

void fs_interrupt(struct fs *fs, uint64_t serial)
{
	monitor_enter(fs->monitor);
	struct fs_op *op = fs->parked.next;

	while (op != &fs->parked && op->serial != serial)
		op = op->next;
	/* A change is never abandoned: whoever waits for one hears how it ended. */
	if (op != &fs->parked && !op->change && !op->awaits) {
		store_unwait(fs->store, &op->wait);
		finish(fs, op, -EINTR);
	}
	monitor_leave(fs->monitor);
}

void fs_end_parked(struct fs *fs, int err)
{
	monitor_enter(fs->monitor);
	save_stop(&fs->changes);
	while (fs->parked.next != &fs->parked) {
		struct fs_op *op = fs->parked.next;

		store_unwait(fs->store, &op->wait);
		finish(fs, op, err);
	}
	monitor_leave(fs->monitor);
}

unsigned fs_n_changes(struct fs *fs)
{
	monitor_enter(fs->monitor);
	unsigned n = fs->changes.running;
	monitor_leave(fs->monitor);
	return n;
}

/* Of a file that no path leads to any more. */
static void keep_detached(struct fs *fs)
{
	for (const struct fs_handle *handle = fs->handles; handle; handle = handle->next) {
		struct draft *d = handle->node->draft;

		if (!handle->node->detached || !d || (d->generation == d->ended && !d->incomplete))
			continue;
		refuse_lose(fs, handle->node->dir, d->content);
		d->ended = d->generation; /* once, however many have it open */
		d->result = -EBUSY;
		d->incomplete = false;
	}
}

void fs_keep_drafts(struct fs *fs)
{
	monitor_enter(fs->monitor);
	keep_detached(fs);
	for (struct dir *dir = tree_after(fs->tree, 0); dir;
	     dir = tree_after(fs->tree, dir->cookie)) {
		const struct node *node = tree_peek(dir, NODE_CONFIG);

		if (node && node->draft && edit_shows_draft(node) && node->draft->generation > 0)
			refuse_lose(fs, dir, node->draft->content);
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

void fs_drop_node(struct fs *fs, struct node *node)
{
	node->fresh_until_ms = 0;
	node->pages_valid = false;
	if (node->lookups > 0 && fs->kernel.drop_node)
		fs->kernel.drop_node(fs->kernel.arg, node->id);
}

/* A draft's attributes are not kept, and its pages are the writer's. */
static void drop_what_is_kept(void *arg, struct node *node)
{
	if (!node->draft)
		fs_drop_node(arg, node);
}

void fs_woke(struct fs *fs)
{
	monitor_enter(fs->monitor);
	tree_each_node(fs->tree, drop_what_is_kept, fs);
	/* The kernel has never looked it up, and so is not said to hold it. */
	if (fs->kernel.drop_node)
		fs->kernel.drop_node(fs->kernel.arg, tree_fixed_id(NODE_ROOT));
	monitor_leave(fs->monitor);
}

void fs_drop_file(struct fs *fs, const struct dir *dir, enum node_kind kind)
{
	const struct node *parent = kind == NODE_ID_LINK ? tree_fixed(fs->tree, NODE_BY_ID)
							 : tree_peek(dir, NODE_STACK);
	char id[STACK_ID_HEX + 1] = "";

	if (kind == NODE_ID_LINK && dir->stack)
		stack_id_format(&dir->stack->id, id);
	if (parent && fs->kernel.drop_name)
		fs->kernel.drop_name(fs->kernel.arg, parent->id, id[0] ? id : kind_name(kind));
}

void fs_drop_listing(struct fs *fs, const struct dir *dir)
{
	struct node *node = tree_peek(dir, NODE_STACK);

	if (node)
		fs_drop_node(fs, node);
}

static void name_changed(void *arg, const char *name)
{
	struct fs *fs = arg;
	struct node *root = tree_fixed(fs->tree, NODE_ROOT);

	if (!store_has_list(fs->store) || !fs->kernel.drop_name)
		return; /* nobody was told any name yet */
	fs->names_changed_ms = clock_wall_ms(fs->clock);
	root->fresh_until_ms = 0;
	tree_fixed(fs->tree, NODE_BY_ID)->fresh_until_ms = 0;
	if (fs->kernel_knows)
		return;
	fs->kernel.drop_name(fs->kernel.arg, root->id, name);
	fs->kernel.drop_node(fs->kernel.arg, root->id);
}

static void link_changed(void *arg, struct node *node)
{
	fs_drop_node(arg, node);
}

/* Its path has, or will have, another node: the kernel must look again. */
static void detached(void *arg, struct node *node)
{
	struct fs *fs = arg;

	/* Of a directory the name itself has changed: see name_changed. */
	if (node->kind != NODE_STACK && node->kind != NODE_OLD_NAME)
		fs_drop_file(fs, node->dir, node->kind);
}

static void node_gone(void *arg, struct node *node)
{
	content_free(node->content);
	edit_free(node->draft);
	edit_free(node->was);
}

static void dir_gone(void *arg, struct dir *dir)
{
	work_free(dir->work);
}

static void stack_added(void *arg, struct stack *stack)
{
	struct fs *fs = arg;

	if (!store_has_list(fs->store) && stack->record->created_ms > fs->names_changed_ms)
		fs->names_changed_ms = stack->record->created_ms;
	if (tree_add(fs->tree, stack) < 0)
		log_error("no memory for another stack's directory");
	else if (store_has_list(fs->store) && tree_fixed(fs->tree, NODE_BY_ID)->lookups > 0)
		fs_drop_file(fs, tree_dir(stack), NODE_ID_LINK); /* that there was none */
}

/* A node whose version was replaced: who reads it goes on with the old one.  One
 * that is being written shows that, and is the writer's also afterwards. */
void fs_replace_version(struct fs *fs, struct node *node)
{
	if (!node)
		return;
	if (node->draft) {
		fs_drop_node(fs, node);
		return;
	}
	if (node->opens > 0) {
		node->outdated = true;
		tree_detach(fs->tree, node);
	} else {
		fs_drop_node(fs, node);
	}
}

/* Whether the name that the stack has now is the one that the kernel is moving its
 * directory to; somebody else may have renamed it meanwhile. */
static bool kernel_renames(const struct work *work, const struct stack *stack)
{
	const struct record *record = stack->record;
	char name[NAME_MAX_BYTES + 1];

	if (!work || !work->renaming)
		return false;
	name_encode(record->name, record->name_len, &stack->id, false, name);
	return strcmp(name, work->renaming) == 0;
}

static void stack_changed(void *arg, struct stack *stack, struct record *old)
{
	struct fs *fs = arg;
	struct dir *dir = tree_dir(stack);

	const struct work *work = dir ? dir->work : NULL;

	versions_replaced(fs->changes.versions, stack, old);
	fs->kernel_knows = kernel_renames(work, stack);
	if (tree_rename(fs->tree, stack, !fs->kernel_knows) < 0)
		log_error("no memory for a stack's new name");
	fs->kernel_knows = false;
	if (!dir)
		return;
	if (!work || !work->replacing)
		fs_replace_version(fs, tree_peek(dir, NODE_CONFIG));
	fs_drop_listing(fs, dir);
	if (old->type == stack->record->type)
		return;
	if (tree_peek(dir, NODE_TOKEN))
		tree_detach(fs->tree, tree_peek(dir, NODE_TOKEN));
	else
		fs_drop_file(fs, dir, NODE_TOKEN); /* that there was none */
}

static void record_expired(void *arg, struct stack *stack)
{
	const struct dir *dir = tree_dir(stack);
	struct node *node = dir ? tree_peek(dir, NODE_CONFIG) : NULL;

	if (node)
		node->fresh_until_ms = 0;
}

static void stack_gone(void *arg, struct stack *stack)
{
	struct fs *fs = arg;
	const struct dir *dir = tree_dir(stack);

	versions_forget(fs->changes.versions, stack);
	fs->kernel_knows = dir && dir->work && dir->work->removing;
	tree_remove(fs->tree, stack);
	fs->kernel_knows = false;
}

/* Its file in dir, if there is a node for it. */
static struct node *peek_part(const struct dir *dir, enum store_part part)
{
	return tree_peek(dir, part == STORE_TOKEN ? NODE_TOKEN : NODE_DEPENDENCIES);
}

static void part_changed(void *arg, struct stack *stack, enum store_part part)
{
	struct fs *fs = arg;
	struct dir *dir = tree_dir(stack);

	if (!dir)
		return;
	struct node *node = peek_part(dir, part);
	bool gone = !store_part_blob(stack, part);
	if (gone && part == STORE_TOKEN && dir->work && dir->work->rotating) {
		if (node)
			tree_unlink(fs->tree, node);
		return;
	}
	if (node && gone)
		tree_detach(fs->tree, node);
	else
		fs_replace_version(fs, node);
	fs_drop_listing(fs, dir);
}

/* What the kernel has of it goes, too: nothing would tell any more whether that is of the
 * version which comes next. */
static bool part_evicted(void *arg, struct stack *stack, enum store_part part)
{
	const struct dir *dir = tree_dir(stack);
	struct node *node = dir ? peek_part(dir, part) : NULL;

	if (!node)
		return true;
	if (node->opens > 0)
		return false;
	fs_drop_node(arg, node);
	blob_unref(node->blob);
	node->blob = NULL;
	return true;
}

static size_t upcoming(void *arg, const struct stack *stack, unsigned order, struct stack **out,
		       size_t n)
{
	struct fs *fs = arg;
	const struct dir *dir = tree_dir(stack);
	struct dir *next[64];
	size_t found = 0;
	size_t got = dir ? tree_upcoming(fs->tree, dir, (enum tree_order)order, next,
					 n < ARRAY_SIZE(next) ? n : ARRAY_SIZE(next))
			 : 0;

	for (size_t i = 0; i < got; i++) {
		if (next[i]->stack) /* and is no draft */
			out[found++] = next[i]->stack;
	}
	return found;
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
		.events = {
			.stack_added = stack_added,
			.stack_changed = stack_changed,
			.record_expired = record_expired,
			.stack_gone = stack_gone,
			.part_changed = part_changed,
			.part_evicted = part_evicted,
			.upcoming = upcoming,
			.n_orders = TREE_N_ORDERS,
			.arg = fs,
		},
	};

	return store_new(&options, &fs->store);
}

static int make_changes(struct fs *fs, const struct fs_options *o)
{
	fs->changes = (struct changes){
		.monitor = o->monitor,
		.timers = o->timers,
		.api = o->api,
		.store = fs->store,
		.clock = o->clock,
		.archive = o->archive,
		.timeout_ms = o->timeout_ms,
		.overwrite = o->overwrite,
		.dry_run = o->dry_run,
		.delete_in_use = o->delete_in_use,
	};
	return versions_new(&fs->changes.versions);
}

int fs_new(const struct fs_options *o, struct fs **ret)
{
	CLEANUP(fs_freep) struct fs *fs = calloc(1, sizeof(*fs));
	const struct tree_events events = { name_changed, link_changed, detached,
					     node_gone,	   dir_gone,	 fs };
	int r;

	if (!fs)
		return -ENOMEM;
	fs->parked.prev = fs->parked.next = &fs->parked;
	fs->monitor = o->monitor;
	fs->timers = o->timers;
	fs->http = o->http;
	fs->api = o->api;
	fs->clock = o->clock;
	fs->ttl_ms = o->ttl_ms;
	fs->uid = o->uid;
	fs->gid = o->gid;
	fs->umask = o->umask;
	fs->tokens = o->tokens;
	fs->ro = o->ro;
	fs->grace_ms = o->grace_ms;
	fs->budget.limit = o->scratch_bytes;
	fs->began_ms = clock_now_ms(o->clock);
	fs->began_wall_ms = clock_wall_ms(o->clock);
	fs->source = strdup(o->source);
	fs->mountpoint = strdup(o->mountpoint);
	fs->rotate_by = strdup(o->rotate_by);
	if (!fs->source || !fs->mountpoint || !fs->rotate_by)
		return -ENOMEM;
	if ((r = limit_init(&fs->deletes, o->max_delete)) < 0 ||
	    (r = limit_init(&fs->rotations, o->max_rotate)) < 0 ||
	    (r = journal_new(o->clock, &fs->journal)) < 0 ||
	    (r = tree_new(&events, &fs->tree)) < 0 || (r = make_store(fs, o)) < 0 ||
	    (r = make_changes(fs, o)) < 0)
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
	monitor_enter(fs->monitor); /* for the timers of its directories */
	tree_free(fs->tree);
	monitor_leave(fs->monitor);
	store_free(fs->store);
	create_forget_left(&fs->changes);
	versions_free(fs->changes.versions);
	limit_done(&fs->deletes);
	limit_done(&fs->rotations);
	process_comms_done(&fs->comms);
	journal_free(fs->journal);
	blob_unref(fs->status);
	blob_unref(fs->errors);
	free(fs->source);
	free(fs->mountpoint);
	free(fs->rotate_by);
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
