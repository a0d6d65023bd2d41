/* SPDX-License-Identifier: MIT */
/* Names that go.
 *
 * Many programs unlink a file before they write it anew.  So unlinking hides
 * config.json and dependencies for a while and asks nobody; a stack is deleted
 * only by a process that has listed its directory, hidden config.json first and
 * the rest after it, and then removes the directory: which is what rm -r does,
 * and nothing that only wants to replace a file. */
#include "draft/remove.h"

#include <errno.h>
#include <string.h>

#include "fs/private.h"

/* ---- files ---- */

/* A draft that is being saved stays where it is until then. */
static bool is_saving(struct node *node, struct fs_op *op)
{
	if (!node || !node->draft || !node->draft->saving)
		return false;
	op->awaits = node;
	return true;
}

static int unlink_config(struct fs *fs, struct fs_op *op, struct dir *dir)
{
	struct node *node = tree_peek(dir, NODE_CONFIG);

	if (!dir_shows(fs, dir, NODE_CONFIG))
		return -ENOENT;
	if (is_saving(node, op))
		return STORE_WAIT;
	if (dir->stack) {
		int r = work_hide(fs, dir, NODE_CONFIG, op_process(op));

		if (r < 0)
			return r;
	}
	if (node)
		tree_unlink(fs->tree, node);
	return 0;
}

static int unlink_dependencies(struct fs *fs, struct fs_op *op, struct dir *dir)
{
	if (!dir_shows(fs, dir, NODE_DEPENDENCIES))
		return -ENOENT;
	int r = work_hide(fs, dir, NODE_DEPENDENCIES, op_process(op));

	if (r == 0 && tree_peek(dir, NODE_DEPENDENCIES))
		tree_unlink(fs->tree, tree_peek(dir, NODE_DEPENDENCIES));
	return r;
}

static bool may_rotate(struct fs *fs, struct fs_op *op)
{
	const char *comm = op_comm(fs, op);
	size_t len = strlen(comm);

	for (const char *p = fs->rotate_by; len > 0 && *p;) {
		size_t n = strcspn(p, ":");

		if (n == len && memcmp(p, comm, n) == 0)
			return true;
		p += n + (p[n] == ':');
	}
	return false;
}

/* Without a request that left, it does not count.  Where UNLINK fails, the kernel
 * goes on holding what is another token by now, perhaps. */
static void rotated(void *arg, const struct change_result *result)
{
	struct fs_change *c = arg;

	c->dir->work->rotating = false;
	if (!result->sent) {
		limit_give_back(&c->fs->rotations);
	} else if (result->err) {
		fs_drop_file(c->fs, c->dir, NODE_TOKEN);
		fs_drop_listing(c->fs, c->dir);
	}
	change_ended(c, result);
}

static int unlink_token(struct fs *fs, struct fs_op *op, struct dir *dir)
{
	if (op->change)
		return change_wait(op->change);
	if (!dir_shows(fs, dir, NODE_TOKEN))
		return -ENOENT;
	if (work_hid_config(dir, op)) {
		int r = work_hide(fs, dir, NODE_TOKEN, op_process(op));

		if (r == 0 && tree_peek(dir, NODE_TOKEN))
			tree_unlink(fs->tree, tree_peek(dir, NODE_TOKEN));
		return r;
	}
	if (!may_rotate(fs, op))
		return op_refuse(op, -EPERM, "only rm rotates a token (-o rotate_by=), and %s is not",
				 op_comm(fs, op)[0] ? op_comm(fs, op) : "this program");
	if (work_removed_config(dir, op))
		return op_refuse(op, -EPERM, "config.json, which was removed before, is back "
					     "(-o grace=): this may be meant to remove all");
	if (dir->listed && /* asking by whom costs more */
	    openers_have(&fs->openers, dir->cookie, op_process(op)))
		return op_refuse(op, -EPERM, "this process has listed the directory, and may be meant "
					     "to remove all; rm of the file alone rotates");
	/* It may be all of the directory that is being removed, by several processes. */
	if (work_hides(dir, NODE_CONFIG))
		return op_refuse(op, -EPERM, "another process is replacing or removing config.json: "
					     "try again when it is back");
	if (!limit_take(&fs->rotations, clock_now_ms(fs->clock)))
		return op_refuse(op, -EPERM, "%u tokens were rotated within a minute (-o max_rotate=)",
				 fs->rotations.max);
	struct work *work = work_get(fs, dir);
	struct fs_change *c = work ? change_new(fs, op, NULL, dir, NODE_TOKEN, "unlink") : NULL;
	if (!c)
		return -ENOMEM;
	work->rotating = true;
	remove_token(&fs->changes, dir->stack, rotated, c);
	return change_wait(c);
}

int fs_step_unlink(struct fs *fs, struct fs_op *op)
{
	struct node *parent = tree_node(fs->tree, op->node);
	bool old;

	if (!parent || (parent->detached && !op->change))
		return -ESTALE;
	if (parent->kind == NODE_ROOT) {
		/* An old name is only a help for who still uses it. */
		if (!tree_find(fs->tree, op->name, &old))
			return -ENOENT;
		if (!old)
			return -EISDIR;
		tree_drop_old_name(fs->tree, op->name);
		return 0;
	}
	if (parent->kind != NODE_STACK)
		return op_refuse(op, -EPERM, "nothing can be removed from .stacksfs");

	struct dir *dir = parent->dir;
	struct node *node = tree_local(dir, op->name);
	if (node) {
		if (node->kind == NODE_SINK)
			work_may_create_again(dir, kind_by_name(op->name));
		if (strcmp(op->name, REFUSED_NAME) == 0)
			refuse_forget(dir);
		tree_unlink(fs->tree, node);
		return 0;
	}
	switch (kind_by_name(op->name)) {
	case NODE_CONFIG:
		return unlink_config(fs, op, dir);
	case NODE_DEPENDENCIES:
		return unlink_dependencies(fs, op, dir);
	case NODE_TOKEN:
		return unlink_token(fs, op, dir);
	default:
		return -ENOENT;
	}
}

/* ---- directories ---- */

/* Whether all that the directory shows was hidden by the process, config.json
 * first. */
static bool all_hidden_by(struct fs *fs, const struct dir *dir, struct fs_op *op)
{
	if (!work_hid_config(dir, op) || dir->work->hidden[0].turn != 1)
		return false;
	for (enum node_kind kind = NODE_CONFIG; kind <= NODE_TOKEN; kind++) {
		if (dir_shows(fs, dir, kind))
			return false;
		const struct hidden *hidden = &dir->work->hidden[kind - NODE_CONFIG];
		if (hidden->turn && !process_same(&hidden->by, op_process(op)))
			return false;
	}
	return true;
}

/* What was hidden is back before the caller hears of it. */
static int keep(struct dir *dir, int err)
{
	work_show_all(dir);
	return err;
}

static void removed(void *arg, const struct change_result *result)
{
	struct fs_change *c = arg;

	if (!result->sent)
		limit_give_back(&c->fs->deletes);
	if (c->dir->work)
		c->dir->work->removing = false;
	change_ended(c, result);
}

static int delete_stack(struct fs *fs, struct fs_op *op, struct dir *dir)
{
	/* A plain rmdir has its answer in the errno; whoever has begun to empty the
	 * directory is told why that was not enough. */
	if (!work_hides_any(dir))
		return -ENOTEMPTY;
	if (dir->locals || !all_hidden_by(fs, dir, op) ||
	    !openers_have(&fs->openers, dir->cookie, op_process(op)))
		return keep(dir, op_refuse(op, -ENOTEMPTY,
					   "a stack is deleted only by who lists its directory and "
					   "removes all that is in it, config.json first (rm -r)"));
	if (!limit_take(&fs->deletes, clock_now_ms(fs->clock)))
		return keep(dir, op_refuse(op, -EPERM,
					   "%u stacks were deleted within a minute (-o max_delete=)",
					   fs->deletes.max));
	struct fs_change *c = change_new(fs, op, NULL, dir, NODE_ROOT, "rmdir");
	if (!c)
		return keep(dir, -ENOMEM);
	dir->work->removing = true;
	remove_stack(&fs->changes, dir->stack, removed, c);
	int r = change_wait(c);
	return r < 0 ? keep(dir, r) : r;
}

static int remove_draft(struct fs *fs, struct dir *dir)
{
	if (dir->locals || dir_shows(fs, dir, NODE_CONFIG))
		return -ENOTEMPTY;
	if (dir->work)
		create_memory_leave(&fs->changes, &dir->work->memory);
	fs->kernel_knows = true;
	tree_remove_draft(fs->tree, dir);
	fs->kernel_knows = false;
	return 0;
}

int fs_step_rmdir(struct fs *fs, struct fs_op *op)
{
	struct node *parent = tree_node(fs->tree, op->node);
	struct fs_change *c = op->change;
	bool old;

	if (c) {
		int r = change_wait(c);

		return r < 0 ? keep(c->dir, r) : r;
	}
	if (!parent || parent->detached)
		return -ESTALE;
	if (parent->kind == NODE_CONTROL)
		return op_refuse(op, -EPERM, "nothing can be removed from .stacksfs");
	if (parent->kind != NODE_ROOT)
		return -ENOTDIR;
	if (strcmp(op->name, kind_name(NODE_CONTROL)) == 0)
		return op_refuse(op, -EPERM, ".stacksfs is part of the mount");
	struct dir *dir = tree_find(fs->tree, op->name, &old);
	if (!dir)
		return -ENOENT;
	if (old)
		return -ENOTDIR;
	return dir->stack ? delete_stack(fs, op, dir) : remove_draft(fs, dir);
}
