/* SPDX-License-Identifier: MIT */
/* From a name to a node, and its attributes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/private.h"

/* There is none, and the kernel may remember that for a while. */
static int absent(struct fs_op *op, uint64_t valid_ms)
{
	op->entry = (struct fs_entry){ .entry_ms = valid_ms };
	return 0;
}

static int present(struct fs *fs, struct fs_op *op, struct node *node, uint64_t valid_ms)
{
	if (!node)
		return -ENOMEM;
	fs_give_entry(fs, node, valid_ms, &op->entry);
	return 0;
}

/* What can be no stack's directory costs no request: desktops look for
 * .DS_Store, .Trash-1000, .hidden, .git and the like all the time. */
static bool may_be_stack(const char *name)
{
	static const char *const never[] = { "autorun.inf", "desktop.ini", "Thumbs.db" };
	char decoded[NAME_MAX_BYTES + 1];
	struct stack_id id;
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		if (strcmp(name, never[i]) == 0)
			return false;
	}
	return name_decode(name, decoded, &len) == 0 || name_has_id(name, &id);
}

static int lookup_root(struct fs *fs, struct fs_op *op)
{
	bool old;
	int r;

	if (strcmp(op->name, kind_name(NODE_CONTROL)) == 0)
		return present(fs, op, tree_fixed(fs->tree, NODE_CONTROL), FIXED_VALID_MS);
	r = store_need_names(fs->store, &op->wait);
	if (r != STORE_READY)
		return r;

	struct dir *dir = tree_find(fs->tree, op->name, &old);
	if (!dir) {
		if (!may_be_stack(op->name))
			return absent(op, fs->ttl_ms / 2);
		r = store_need_list(fs->store, &op->wait);
		if (r != STORE_READY)
			return r;
		return absent(op, store_list_valid_ms(fs->store));
	}

	if (!dir->stack)
		return present(fs, op, tree_slot(fs->tree, dir, NODE_STACK), 0);
	r = store_need_record(fs->store, dir->stack, &op->wait);
	if (r != STORE_READY)
		return r;
	uint64_t valid_ms = store_record_valid_ms(fs->store, dir->stack);
	if (old)
		return present(fs, op, tree_old_name(fs->tree, op->name), valid_ms);
	return present(fs, op, tree_slot(fs->tree, dir, NODE_STACK), valid_ms);
}

/* A name that is, or could be, only here.  What was refused appears without the
 * kernel's doing, so that it is absent is not to be remembered. */
static int lookup_local(struct fs *fs, struct fs_op *op, struct dir *dir)
{
	struct node *node = tree_local(dir, op->name);

	if (node)
		return present(fs, op, node, 0);
	return absent(op, strcmp(op->name, REFUSED_NAME) == 0 || !dir->stack ? 0 : fs->ttl_ms / 2);
}

static int lookup_draft(struct fs *fs, struct fs_op *op, struct dir *dir)
{
	if (kind_by_name(op->name) == NODE_CONFIG && tree_peek(dir, NODE_CONFIG))
		return present(fs, op, tree_peek(dir, NODE_CONFIG), 0);
	return lookup_local(fs, op, dir);
}

static int lookup_part(struct fs *fs, struct fs_op *op, struct dir *dir, enum node_kind kind)
{
	struct stack *stack = dir->stack;
	int r = store_need_part(fs->store, stack, node_part(kind), &op->wait);
	uint64_t valid_ms = store_part_valid_ms(fs->store, stack, node_part(kind));

	if (r != STORE_READY)
		return r;
	if (!store_part_blob(stack, node_part(kind)))
		return absent(op, valid_ms);
	return present(fs, op, tree_slot(fs->tree, dir, kind), valid_ms);
}

static int lookup_stack(struct fs *fs, struct fs_op *op, struct node *parent)
{
	struct dir *dir = parent->dir;
	enum node_kind kind = kind_by_name(op->name);

	if (parent->detached)
		return -ESTALE;
	if (!dir->stack)
		return lookup_draft(fs, op, dir);
	if (kind == NODE_ROOT)
		return lookup_local(fs, op, dir);
	if (work_hides(dir, kind) || work_sees_absent(dir, kind, op))
		return absent(op, 0);
	if (kind != NODE_CONFIG && stack_shows(fs, dir->stack, kind))
		return lookup_part(fs, op, dir, kind);

	struct node *node = tree_peek(dir, NODE_CONFIG);
	if (kind == NODE_CONFIG && node && edit_shows_draft(node))
		return present(fs, op, node, 0);
	int r = store_need_record(fs->store, dir->stack, &op->wait);
	uint64_t valid_ms = store_record_valid_ms(fs->store, dir->stack);
	if (r != STORE_READY)
		return r;
	if (!stack_shows(fs, dir->stack, kind))
		return absent(op, valid_ms);
	return present(fs, op, tree_slot(fs->tree, dir, kind), valid_ms);
}

static struct blob **next_snapshot(struct fs *fs, const struct node *node)
{
	return node->kind == NODE_STATUS ? &fs->status : &fs->errors;
}

/* Their size is that of a text which the open that follows will show. */
static int make_snapshot(struct fs *fs, const struct fs_op *op, const struct node *node)
{
	struct blob **keep = next_snapshot(fs, node);
	struct blob *blob;
	int r = control_snapshot(fs, node->kind, &blob);

	if (r < 0)
		return r;
	blob_unref(*keep);
	*keep = blob;
	fs->snapshot_tid = op->tid;
	return 0;
}

static void snapshot_attr(const struct blob *blob, struct fs_entry *entry)
{
	entry->attr.st_size = (off_t)blob_len(blob);
	entry->attr.st_blocks = (entry->attr.st_size + 511) / 512;
}

static bool is_snapshot(const struct node *node)
{
	return node->kind == NODE_STATUS || node->kind == NODE_ERRORS;
}

static int give_control(struct fs *fs, struct fs_op *op, struct node *node)
{
	if (!is_snapshot(node))
		return present(fs, op, node, FIXED_VALID_MS);
	int r = make_snapshot(fs, op, node);
	if (r < 0)
		return r;
	r = present(fs, op, node, 0);
	snapshot_attr(*next_snapshot(fs, node), &op->entry);
	return r;
}

static int lookup_control(struct fs *fs, struct fs_op *op)
{
	const size_t prefix = strlen(".stacksfs/");

	for (enum node_kind kind = NODE_STATUS; kind < NODE_N_FIXED; kind++) {
		struct node *node = tree_fixed(fs->tree, kind);

		if (strcmp(op->name, kind_name(kind) + prefix) == 0 && control_shows(fs, kind))
			return give_control(fs, op, node);
	}
	return absent(op, FIXED_VALID_MS);
}

static int lookup_by_id(struct fs *fs, struct fs_op *op)
{
	struct stack_id id;
	char canonical[STACK_ID_HEX + 1];

	if (stack_id_parse(op->name, strlen(op->name), &id) < 0)
		return absent(op, FIXED_VALID_MS);
	stack_id_format(&id, canonical);
	if (strcmp(canonical, op->name) != 0)
		return absent(op, FIXED_VALID_MS);

	int r = store_need_names(fs->store, &op->wait);
	if (r != STORE_READY)
		return r;
	struct stack *stack = store_find(fs->store, &id);
	struct dir *dir = stack ? tree_dir(stack) : NULL;
	if (!dir) {
		r = store_need_list(fs->store, &op->wait);
		return r != STORE_READY ? r : absent(op, store_list_valid_ms(fs->store));
	}
	r = store_need_record(fs->store, stack, &op->wait);
	if (r != STORE_READY)
		return r;
	return present(fs, op, tree_slot(fs->tree, dir, NODE_ID_LINK),
		       store_record_valid_ms(fs->store, stack));
}

/* ---- failures that are asked about twice ----
 *
 * When the LOOKUP of a name that the kernel holds, but for too long, fails, the
 * kernel drops the name and sends the same LOOKUP once more for the same system
 * call (fs/fuse/dir.c, fuse_dentry_revalidate).  That one ends with the first
 * one's error: else it would cost a second request, and a second timeout. */

static bool kernel_holds(const struct fs *fs, const struct fs_op *op)
{
	const struct node *parent = tree_node(fs->tree, op->node), *node = NULL;
	bool old;

	if (parent && parent->kind == NODE_ROOT) {
		const struct dir *dir = tree_find(fs->tree, op->name, &old);

		node = dir && !old ? tree_peek(dir, NODE_STACK) : NULL;
	} else if (parent && parent->kind == NODE_STACK && !parent->detached) {
		enum node_kind kind = kind_by_name(op->name);

		node = kind != NODE_ROOT ? tree_peek(parent->dir, kind) : NULL;
	}
	return node && node->lookups > 0;
}

void fs_lookup_failed(struct fs *fs, const struct fs_op *op, int err)
{
	struct failed_lookup *f = &fs->failed[(size_t)op->tid % ARRAY_SIZE(fs->failed)];

	if (op->tid <= 0 || !kernel_holds(fs, op))
		return;
	f->tid = op->tid;
	f->parent = op->node;
	f->at_ms = clock_now_ms(fs->clock);
	f->err = err;
	snprintf(f->name, sizeof(f->name), "%s", op->name);
}

/* The error of the same caller's same LOOKUP just before this one, once; or 0. */
static int failed_before(struct fs *fs, const struct fs_op *op)
{
	struct failed_lookup *f = &fs->failed[(size_t)op->tid % ARRAY_SIZE(fs->failed)];

	if (op->tid <= 0 || f->tid != op->tid || f->parent != op->node ||
	    strcmp(f->name, op->name) != 0)
		return 0;
	f->tid = 0;
	return clock_now_ms(fs->clock) - f->at_ms < FAILED_LOOKUP_MS ? f->err : 0;
}

int fs_step_lookup(struct fs *fs, struct fs_op *op)
{
	struct node *parent = tree_node(fs->tree, op->node);

	if (!parent)
		return -ESTALE;
	if (strlen(op->name) > NAME_MAX_BYTES)
		return -ENAMETOOLONG;
	int r = failed_before(fs, op);
	if (r < 0)
		return r;
	switch (parent->kind) {
	case NODE_ROOT:
		return lookup_root(fs, op);
	case NODE_CONTROL:
		return lookup_control(fs, op);
	case NODE_BY_ID:
		return lookup_by_id(fs, op);
	case NODE_STACK:
		return lookup_stack(fs, op, parent);
	default:
		return -ENOTDIR;
	}
}

/* The newest that the caller has open. */
static const struct fs_handle *opened_by(const struct fs *fs, const struct node *node, pid_t tid)
{
	const struct fs_handle *handle = fs->handles;

	while (handle && (handle->node != node || !handle->snapshot || handle->tid != tid))
		handle = handle->next;
	return handle;
}

/* Who has just looked the path up is told of the text that was made for that.  Who
 * has not means, by fstat(2), which comes without a handle, the one that it has open. */
static int getattr_snapshot(struct fs *fs, struct fs_op *op, const struct node *node,
			    const struct fs_handle *handle)
{
	struct blob **next = next_snapshot(fs, node);
	bool looked_up = *next && fs->snapshot_tid == op->tid;

	if (!handle && !looked_up)
		handle = opened_by(fs, node, op->tid);
	int r = handle || looked_up ? 0 : make_snapshot(fs, op, node);
	if (r < 0)
		return r;
	node_attr(fs, node, &op->entry);
	snapshot_attr(handle ? handle->snapshot : *next, &op->entry);
	return 0;
}

int fs_step_getattr(struct fs *fs, struct fs_op *op)
{
	const struct fs_handle *handle = (const struct fs_handle *)(uintptr_t)op->handle;
	struct node *node = handle ? handle->node : tree_node(fs->tree, op->node);
	int r;

	if (!node)
		return -ESTALE;
	/* fstat(2) comes without a handle: who has the old version open may ask. */
	if (node->detached && node->opens == 0 && !node->content)
		return -ESTALE;
	if (is_snapshot(node))
		return getattr_snapshot(fs, op, node, handle);
	if (!node->detached && !edit_shows_draft(node)) {
		r = node_need(fs, node, &op->wait);
		if (r != STORE_READY)
			return r;
		(void)node_update(node);
	}
	node_attr(fs, node, &op->entry);
	return 0;
}
