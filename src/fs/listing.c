/* SPDX-License-Identifier: MIT */
/* Directories.
 *
 * The kernel keeps a listing as long as we let it; but a kept listing is no
 * good once the entries that came with it have run out, for then each one is
 * looked up alone.  So a directory remembers until when they hold. */
#include <errno.h>

#include "fs/private.h"

enum { COOKIE_DOT = 1, COOKIE_DOTDOT, COOKIE_FIRST };

struct listing {
	struct fs *fs;
	struct fs_op *op;
	struct node *dir;
	bool full;
};

void note_opener(struct fs *fs, struct node *node, pid_t tid)
{
	node->dir->listed = true;
	openers_add(&fs->openers, node->dir_cookie, tid);
}

int fs_step_opendir(struct fs *fs, struct fs_op *op)
{
	struct node *node = tree_node(fs->tree, op->node);
	int r;

	if (!node)
		return -ESTALE;
	bool fresh = clock_now_ms(fs->clock) < node->fresh_until_ms;
	if (node->kind == NODE_ROOT || node->kind == NODE_BY_ID)
		r = store_need_list(fs->store, &op->wait);
	else
		r = node_need(fs, node, &op->wait);
	if (r != STORE_READY)
		return r;

	op->handle = (uintptr_t)handle_new(fs, node);
	if (!op->handle)
		return -ENOMEM;
	if (node->kind == NODE_STACK)
		note_opener(fs, node, op->tid);
	op->keep_cache = fresh;
	return 0;
}

/* Whoever asks for entry is given it with a reference, which is taken back
 * when there was no room. */
static void emit(struct listing *l, const char *name, uint64_t cookie, struct fs_entry *entry)
{
	struct fs_dirent dirent = { .name = name, .cookie = cookie, .entry = *entry };

	if (l->full || cookie <= l->op->offset)
		return;
	l->full = !l->op->emit(l->op, &dirent);
}

/* An entry whose attributes the caller is given along with it. */
static void emit_node(struct listing *l, const char *name, uint64_t cookie, struct node *node,
		      uint64_t valid_ms)
{
	struct fs_entry entry = { 0 };

	if (l->full || cookie <= l->op->offset || !node)
		return;
	fs_give_entry(l->fs, node, valid_ms, &entry);
	emit(l, name, cookie, &entry);
	if (l->full)
		tree_forget(l->fs->tree, node, 1);

	uint64_t until = clock_now_ms(l->fs->clock) + valid_ms;
	if (until < l->dir->fresh_until_ms)
		l->dir->fresh_until_ms = until;
}

/* The same, or without attributes where none are asked for. */
static void emit_local(struct listing *l, const char *name, uint64_t cookie, struct node *node)
{
	struct fs_entry entry = { 0 };

	if (l->op->plus) {
		emit_node(l, name, cookie, node, 0);
	} else if (node) {
		node_attr(l->fs, node, &entry);
		emit(l, name, cookie, &entry);
	}
}

/* An entry of which only the inode number and the type are known. */
static void emit_bare(struct listing *l, const char *name, uint64_t cookie,
		      const struct stack *stack, enum node_kind kind)
{
	struct fs_entry entry = { 0 };

	node_bare_attr(stack, kind, &entry.attr);
	emit(l, name, cookie, &entry);
}

static void emit_dots(struct listing *l)
{
	struct fs_entry entry = { .attr = { .st_ino = tree_ino(l->dir), .st_mode = S_IFDIR } };

	emit(l, ".", COOKIE_DOT, &entry);
	if (l->dir->kind != NODE_ROOT) {
		const struct node *up = tree_fixed(l->fs->tree, l->dir->kind == NODE_BY_ID
									? NODE_CONTROL
									: NODE_ROOT);
		entry.attr.st_ino = tree_ino(up);
	}
	emit(l, "..", COOKIE_DOTDOT, &entry);
}

/* It has no _id yet. */
static void list_draft(struct listing *l, struct dir *dir)
{
	if (l->dir->kind == NODE_ROOT)
		emit_local(l, dir->name, dir->cookie, tree_slot(l->fs->tree, dir, NODE_STACK));
}

static void list_stacks(struct listing *l)
{
	uint64_t at = l->op->offset < TREE_FIRST_COOKIE ? 0 : l->op->offset;
	struct dir *dir;

	while (!l->full && (dir = tree_after(l->fs->tree, at))) {
		at = dir->cookie;
		if (!dir->stack) {
			list_draft(l, dir);
		} else if (l->dir->kind == NODE_BY_ID) {
			char hex[STACK_ID_HEX + 1];

			stack_id_format(&dir->stack->id, hex);
			emit_bare(l, hex, at, dir->stack, NODE_ID_LINK);
		} else if (l->op->plus) {
			emit_node(l, dir->name, at, tree_slot(l->fs->tree, dir, NODE_STACK),
				  store_record_valid_ms(l->fs->store, dir->stack));
		} else {
			emit_bare(l, dir->name, at, dir->stack, NODE_STACK);
		}
	}
}

/* What is only here; its attributes hold for this once. */
static void list_locals(struct listing *l)
{
	const struct dir *dir = l->dir->dir;
	uint64_t at = l->op->offset < TREE_FIRST_COOKIE ? 0 : l->op->offset;
	const char *name;
	struct node *node;

	while (!l->full && (node = tree_local_after(dir, at, &name, &at)))
		emit_local(l, name, at, node);
}

/* config.json first: who removes in this order (rm -r) hides it before the
 * rest.  The two others come with attributes only where those are known. */
static void list_stack(struct listing *l)
{
	struct stack *stack = l->dir->dir->stack;

	for (enum node_kind kind = NODE_CONFIG; kind <= NODE_TOKEN; kind++) {
		uint64_t cookie = COOKIE_FIRST + (kind - NODE_CONFIG);
		bool known = kind == NODE_CONFIG;
		uint64_t valid_ms = stack ? store_record_valid_ms(l->fs->store, stack) : 0;

		if (!dir_shows(l->fs, l->dir->dir, kind))
			continue;
		if (!known && store_part_known(l->fs->store, stack, node_part(kind))) {
			known = true;
			valid_ms = store_part_valid_ms(l->fs->store, stack, node_part(kind));
		}
		if (!stack)
			emit_local(l, kind_name(kind), cookie, tree_peek(l->dir->dir, kind));
		else if (known && l->op->plus)
			emit_node(l, kind_name(kind), cookie,
				  tree_slot(l->fs->tree, l->dir->dir, kind), valid_ms);
		else
			emit_bare(l, kind_name(kind), cookie, stack, kind);
	}
	list_locals(l);
}

static void list_control(struct listing *l)
{
	for (enum node_kind kind = NODE_STATUS; kind < NODE_N_FIXED; kind++) {
		const struct node *node = tree_fixed(l->fs->tree, kind);
		struct fs_entry entry = { .attr = { .st_ino = tree_ino(node),
						    .st_mode = kind_type(kind) } };

		if (!control_shows(l->fs, kind))
			continue;
		emit(l, kind_name(node->kind) + sizeof(".stacksfs/") - 1, COOKIE_FIRST + kind, &entry);
	}
}

int fs_step_readdir(struct fs *fs, struct fs_op *op)
{
	const struct fs_handle *handle = (const struct fs_handle *)(uintptr_t)op->handle;
	struct listing l = { .fs = fs, .op = op, .dir = handle->node };

	if (op->offset == 0)
		l.dir->fresh_until_ms = op->plus ? UINT64_MAX : 0;
	emit_dots(&l);
	if (l.dir->kind == NODE_CONTROL)
		list_control(&l);
	else if (l.dir->kind == NODE_STACK && !l.dir->detached)
		list_stack(&l);
	else if (l.dir->kind == NODE_ROOT || l.dir->kind == NODE_BY_ID)
		list_stacks(&l);
	return 0;
}
