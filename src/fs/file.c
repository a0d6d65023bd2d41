/* SPDX-License-Identifier: MIT */
/* Handles: open, read, write, release. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fs/private.h"

#define TOKEN_PAGES 4096 /* bytes; a longer one is read as any other file is */

static struct fs_handle *handle_of(const struct fs_op *op)
{
	return (struct fs_handle *)(uintptr_t)op->handle;
}

struct fs_handle *handle_new(struct fs *fs, struct node *node)
{
	struct fs_handle *handle = malloc(sizeof(*handle));

	if (!handle)
		return NULL;
	*handle = (struct fs_handle){ .fs = fs, .next = fs->handles, .node = node };
	if (fs->handles)
		fs->handles->prev = handle;
	fs->handles = handle;
	tree_open(node);
	return handle;
}

void handle_free(struct fs_handle *handle)
{
	if (handle->prev)
		handle->prev->next = handle->next;
	else
		handle->fs->handles = handle->next;
	if (handle->next)
		handle->next->prev = handle->prev;
	blob_unref(handle->snapshot);
	free(handle);
}

static int make_handle(struct fs *fs, struct node *node, struct fs_op *op)
{
	op->handle = (uintptr_t)handle_new(fs, node);
	return op->handle ? 0 : -ENOMEM;
}

/* A text made for the stat before this open is what this open shows. */
static int take_snapshot(struct fs *fs, struct node *node, struct fs_op *op)
{
	struct blob **kept = node->kind == NODE_STATUS ? &fs->status : &fs->errors;
	CLEANUP(blob_unrefp) struct blob *blob = TAKE_PTR(*kept);
	int r = blob ? 0 : control_snapshot(fs, node->kind, &blob);

	if (r < 0)
		return r;
	r = make_handle(fs, node, op);
	if (r < 0)
		return r;
	handle_of(op)->snapshot = TAKE_PTR(blob);
	handle_of(op)->tid = op->tid;
	op->direct_io = true; /* two opens show two texts: no page is shared */
	return 0;
}

static bool can_write(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

/* Whether the file may be opened for writing; root is not asked by the kernel. */
static int may_write(const struct fs *fs, struct fs_op *op, const struct node *node)
{
	if (node->kind == NODE_REFRESH)
		return 0;
	if (fs->ro)
		return op_refuse(op, -EROFS, "mounted with -o ro");
	if (node->kind == NODE_CONFIG || node->kind == NODE_SCRATCH || node->kind == NODE_SINK)
		return 0;
	if (node->dir)
		return op_refuse(op, -EACCES, "the server makes %s; nobody writes to it",
				 kind_name(node->kind));
	return -EACCES;
}

static int truncate_opened(struct fs *fs, struct node *node, struct fs_op *op)
{
	if (!(op->flags & O_TRUNC))
		return 0;
	if (node->kind == NODE_CONFIG)
		return edit_resize(fs, node, op, 0);
	edit_scratch_changes(node);
	return content_resize(node->content, 0, SIZE_MAX);
}

/* With as many bytes as the token has.  While another has it open, it cannot be. */
static bool fill_token(const struct fs *fs, const struct node *node, const char *bytes)
{
	size_t len = blob_len(node->blob);

	return node->opens == 1 && len <= TOKEN_PAGES && fs->kernel.fill &&
	       fs->kernel.fill(fs->kernel.arg, node->id, bytes, len);
}

/* Whether whoever has just opened it need not read it from here.  A token is in the
 * kernel's pages only while somebody has it open. */
static bool may_keep_pages(const struct fs *fs, const struct node *node)
{
	return node->pages_valid && !node->draft &&
	       (node->kind != NODE_TOKEN || fill_token(fs, node, blob_bytes(node->blob)));
}

/* The record, although there is a draft. */
static bool shows_saved(const struct node *node)
{
	return node->draft && !edit_shows_draft(node);
}

static int open_file(struct fs *fs, struct node *node, struct fs_op *op)
{
	/* Attributes of another version would cut or stretch what read gives. */
	if (!edit_shows_draft(node) && node_update(node) && node->opens == 0)
		op->drop_node = node->id;
	int r = op_no_room(op, truncate_opened(fs, node, op));
	if (r == 0)
		r = make_handle(fs, node, op);
	if (r < 0)
		return r;
	op->keep_cache = may_keep_pages(fs, node);
	node->pages_valid = true;
	node->fresh_until_ms = clock_now_ms(fs->clock) + node_valid_ms(fs, node);
	handle_of(op)->tid = op->tid;
	handle_of(op)->writes = can_write(op->flags);
	handle_of(op)->saw_record = shows_saved(node);
	node->writers += handle_of(op)->writes;
	return 0;
}

int fs_step_open(struct fs *fs, struct fs_op *op)
{
	struct node *node = tree_node(fs->tree, op->node);
	int r;

	if (!node)
		return -ESTALE;
	r = can_write(op->flags) ? may_write(fs, op, node) : 0;
	if (r < 0)
		return r;
	if (node->kind == NODE_REFRESH) {
		op->direct_io = true;
		return make_handle(fs, node, op);
	}
	if (node->kind == NODE_STATUS || node->kind == NODE_ERRORS)
		return take_snapshot(fs, node, op);
	if (!edit_shows_draft(node) && (!node->detached || !node->content)) {
		r = node_need(fs, node, &op->wait);
		if (r != STORE_READY)
			return r;
	}
	return open_file(fs, node, op);
}

/* The last one closes it.  To drop the pages would be to drop the attributes, too. */
static void wipe_token(struct fs *fs, struct node *node)
{
	static const char zeros[TOKEN_PAGES];

	if (!fill_token(fs, node, zeros))
		fs_drop_node(fs, node);
}

static void release(struct fs *fs, struct fs_handle *handle)
{
	struct node *node = handle->node;
	bool wrote = handle->writes;

	handle_free(handle);
	if (node->kind == NODE_TOKEN && node->opens == 1 && node->lookups > 0)
		wipe_token(fs, node);
	if (wrote && --node->writers == 0)
		edit_last_close(fs, node);
	tree_close(fs->tree, node);
}

static bool is_fresh(const struct fs *fs, const struct node *node)
{
	if (clock_now_ms(fs->clock) >= node->fresh_until_ms)
		return false;
	if (node->kind == NODE_STACK)
		return true;
	return node->kind >= NODE_CONFIG && node->kind <= NODE_TOKEN && node->pages_valid &&
	       !node->draft;
}

/* It takes a microsecond or two more of the caller's time to look at the directory and
 * at the store, whose memory is cold: so this does not, but where something is hidden
 * somewhere, of which whoever hid it may be the caller. */
bool fs_open_fresh(struct fs *fs, uint64_t id, int flags, pid_t tid,
		   bool (*answer)(void *arg, uint64_t handle, bool keep_cache), void *arg)
{
	struct fs_handle *handle = NULL;

	if (can_write(flags) || log_enabled(LOG_LEVEL_DEBUG))
		return false;
	monitor_enter(fs->monitor);
	struct node *node = tree_node(fs->tree, id);

	if (node && fs->n_hidden == 0 && is_fresh(fs, node))
		handle = handle_new(fs, node);
	if (handle) {
		bool keep_cache = node->kind == NODE_STACK || may_keep_pages(fs, node);
		bool taken = answer(arg, (uintptr_t)handle, keep_cache);

		store_hit(fs->store);
		if (node->kind == NODE_STACK)
			note_opener(fs, node, tid);
		if (!taken)
			release(fs, handle);
		tree_foresee(fs->tree, id);
	}
	monitor_leave(fs->monitor);
	return handle != NULL;
}

/* A text that may change before the reply has left is copied. */
static int give_copy(struct fs_op *op)
{
	if (op->data_len == 0)
		return 0;
	op->own = malloc(op->data_len);
	if (!op->own)
		return -ENOMEM;
	memcpy(op->own, op->data, op->data_len);
	op->data = op->own;
	return 0;
}

int fs_step_read(struct fs *fs, struct fs_op *op)
{
	struct fs_handle *handle = handle_of(op);
	const struct node *node = handle->node;
	const char *text;
	size_t len;

	handle->saw_record = shows_saved(node);
	if (handle->snapshot) {
		op->held_blob = blob_ref(handle->snapshot);
		text = blob_bytes(handle->snapshot);
		len = blob_len(handle->snapshot);
	} else {
		if (node->record)
			op->held_record = record_ref(node->record);
		op->held_blob = blob_ref(node->blob);
		node_text(node, &text, &len);
	}
	if (op->offset >= len)
		return 0;
	op->data = text + op->offset;
	op->data_len = len - op->offset < op->size ? len - op->offset : op->size;
	return node->content || edit_shows_draft(node) ? give_copy(op) : 0;
}

/* What the kernel has cached of a stack's parts is as old as they are, also that
 * there is none. */
static void drop_parts(struct fs *fs, const struct dir *dir)
{
	static const enum node_kind kinds[] = { NODE_TOKEN, NODE_DEPENDENCIES };

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct node *node = tree_peek(dir, kinds[i]);

		if (node)
			fs_drop_node(fs, node);
		else if (store_part_absent(dir->stack, node_part(kinds[i])))
			fs_drop_file(fs, dir, kinds[i]);
	}
}

/* A write to .stacksfs/refresh, whatever it says. */
static int refresh(struct fs *fs, struct fs_op *op)
{
	int r = store_refresh(fs->store, &op->wait);

	if (r != STORE_READY || !fs->kernel.drop_node)
		return r;
	/* The reply follows everything that the kernel is told to drop. */
	op->drop_node = tree_fixed_id(NODE_REFRESH);
	op->drop_names = true;
	for (const struct dir *dir = tree_after(fs->tree, 0); dir;
	     dir = tree_after(fs->tree, dir->cookie)) {
		if (dir->stack)
			drop_parts(fs, dir);
	}
	return 0;
}

static int write_scratch(struct fs *fs, struct node *node, struct fs_op *op)
{
	struct content *content = node->content;

	if ((op->flags & O_APPEND) && op->offset != content->len && !content->sink) {
		op->offset = content->len;
		fs_drop_node(fs, node);
	}
	edit_scratch_changes(node);
	return content_write(content, op->offset, op->bytes, op->size, SIZE_MAX);
}

static int write_config(struct fs *fs, struct node *node, struct fs_handle *handle,
			struct fs_op *op)
{
	int r = handle->saw_record ? edit_from_record(fs, node) : 0;

	if (r == 0)
		r = edit_write(fs, node, op);
	if (r == 0)
		handle->saw_record = false;
	return r;
}

int fs_step_write(struct fs *fs, struct fs_op *op)
{
	struct fs_handle *handle = handle_of(op);
	struct node *node = handle ? handle->node : tree_node(fs->tree, op->node);

	switch (node->kind) {
	case NODE_REFRESH:
		return refresh(fs, op);
	case NODE_CONFIG:
		return op_no_room(op, write_config(fs, node, handle, op));
	case NODE_SCRATCH:
	case NODE_SINK:
		return op_no_room(op, write_scratch(fs, node, op));
	default:
		return -EBADF;
	}
}

int fs_step_flush(struct fs *fs, struct fs_op *op)
{
	const struct fs_handle *handle = handle_of(op);

	return handle->writes ? edit_flush(fs, handle->node, op) : 0;
}

/* Nothing but config.json has a better place to be than here. */
int fs_step_fsync(struct fs *fs, struct fs_op *op)
{
	return fs_step_flush(fs, op);
}

int fs_step_readlink(struct fs *fs, struct fs_op *op)
{
	struct node *node = tree_node(fs->tree, op->node);
	char link[NODE_LINK_SIZE];

	if (!node || node->detached)
		return -ESTALE;
	if (node->kind == NODE_SCRATCH_LINK) {
		if (asprintf(&op->own, "%.*s", (int)node->content->len, node->content->bytes) < 0)
			op->own = NULL;
	} else if (node->kind == NODE_HISTORY || node->kind == NODE_LOST) {
		const char *name = kind_name(node->kind) + strlen(kind_name(NODE_CONTROL));

		if (asprintf(&op->own, "%s%s", archive_dir(fs->changes.archive), name) < 0)
			op->own = NULL;
	} else if (node_link(node, link)) {
		op->own = strdup(link);
	} else {
		return -EINVAL;
	}
	op->data = op->own;
	return op->own ? 0 : -ENOMEM;
}

bool fs_writes(uint64_t id)
{
	const struct fs_handle *handle = (const struct fs_handle *)(uintptr_t)id;

	return handle->writes;
}

void fs_release(struct fs *fs, uint64_t id)
{
	monitor_enter(fs->monitor);
	release(fs, (struct fs_handle *)(uintptr_t)id);
	monitor_leave(fs->monitor);
}
