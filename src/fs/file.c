/* SPDX-License-Identifier: MIT */
/* Handles: open, read, release, and the one file that takes a write. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/private.h"

static struct fs_handle *handle_of(const struct fs_op *op)
{
	return (struct fs_handle *)(uintptr_t)op->handle;
}

struct fs_handle *handle_new(struct fs *fs, struct node *node)
{
	struct fs_handle *handle = calloc(1, sizeof(*handle));

	if (!handle)
		return NULL;
	handle->next = fs->handles;
	if (fs->handles)
		fs->handles->prev = handle;
	fs->handles = handle;
	handle->fs = fs;
	handle->node = node;
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
	op->direct_io = true; /* two opens show two texts: no page is shared */
	return 0;
}

static bool writes(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

int fs_step_open(struct fs *fs, struct fs_op *op)
{
	struct node *node = tree_node(fs->tree, op->node);
	int r;

	if (!node)
		return -ESTALE;
	if (node->kind == NODE_REFRESH) {
		op->direct_io = true;
		return make_handle(fs, node, op);
	}
	if (writes(op->flags))
		return -EROFS;
	if (node->kind == NODE_STATUS || node->kind == NODE_ERRORS)
		return take_snapshot(fs, node, op);

	r = node_need(fs, node, &op->wait);
	if (r != STORE_READY)
		return r;
	/* Attributes of another version would cut or stretch what read gives. */
	if (node_update(node) && node->opens == 0)
		op->drop_node = node->id;
	op->keep_cache = node->pages_valid && node->kind != NODE_TOKEN;
	r = make_handle(fs, node, op);
	if (r == 0)
		node->pages_valid = true;
	return r;
}

int fs_step_read(struct fs *fs, struct fs_op *op)
{
	const struct fs_handle *handle = handle_of(op);
	const char *text;
	size_t len;

	if (handle->snapshot) {
		op->held_blob = blob_ref(handle->snapshot);
		text = blob_bytes(handle->snapshot);
		len = blob_len(handle->snapshot);
	} else {
		if (handle->node->record)
			op->held_record = record_ref(handle->node->record);
		op->held_blob = blob_ref(handle->node->blob);
		node_text(handle->node, &text, &len);
	}
	if (op->offset >= len)
		return 0;
	op->data = text + op->offset;
	op->data_len = len - op->offset < op->size ? len - op->offset : op->size;
	return 0;
}

/* What the kernel has cached of a stack's parts is as old as they are. */
static void drop_parts(struct fs *fs, const struct dir *dir)
{
	static const enum node_kind kinds[] = { NODE_TOKEN, NODE_DEPENDENCIES };
	const struct node *parent = tree_peek(dir, NODE_STACK);

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct node *node = tree_peek(dir, kinds[i]);

		if (node)
			fs->kernel.drop_node(fs->kernel.arg, node->id);
		else if (parent && store_part_known(fs->store, dir->stack, node_part(kinds[i])))
			fs->kernel.drop_name(fs->kernel.arg, parent->id,
					     kind_name(kinds[i]));
	}
}

/* A write to .stacksfs/refresh, whatever it says. */
int fs_step_write(struct fs *fs, struct fs_op *op)
{
	int r = store_refresh(fs->store, &op->wait);

	if (r != STORE_READY || !fs->kernel.drop_node)
		return r;
	/* The reply follows everything that the kernel is told to drop. */
	op->drop_node = tree_fixed_id(NODE_REFRESH);
	for (const struct dir *dir = tree_after(fs->tree, 0); dir;
	     dir = tree_after(fs->tree, dir->cookie))
		drop_parts(fs, dir);
	return 0;
}

int fs_step_readlink(struct fs *fs, struct fs_op *op)
{
	struct node *node = tree_node(fs->tree, op->node);

	if (!node || node->detached)
		return -ESTALE;
	op->data = node_link(node, op->small, sizeof(op->small));
	if (!op->data)
		return -EINVAL;
	op->data_len = strlen(op->data);
	return 0;
}

void fs_release(struct fs *fs, uint64_t id)
{
	struct fs_handle *handle = (struct fs_handle *)(uintptr_t)id;

	monitor_enter(fs->monitor);
	struct node *node = handle->node;
	bool drop = node->kind == NODE_TOKEN && node->opens == 1 && node->lookups > 0;
	uint64_t node_id = node->id;

	handle_free(handle);
	if (drop)
		node->pages_valid = false;
	tree_close(fs->tree, node);
	if (drop && fs->kernel.drop_node)
		fs->kernel.drop_node(fs->kernel.arg, node_id);
	monitor_leave(fs->monitor);
}
