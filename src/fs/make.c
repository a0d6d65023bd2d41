/* SPDX-License-Identifier: MIT */
/* New names: files, symlinks and copies in a stack's directory, which are only
 * here; directories of stacks that are still to be. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/private.h"

/* The directory of a stack, or of a draft, that a name is to be made in. */
static int parent_of(struct fs *fs, struct fs_op *op, struct node **ret)
{
	struct node *parent = tree_node(fs->tree, op->node);

	if (!parent || parent->detached)
		return -ESTALE;
	if (strlen(op->name) > NAME_MAX_BYTES)
		return -ENAMETOOLONG;
	if (parent->kind == NODE_STACK) {
		*ret = parent;
		return 0;
	}
	if (parent->kind != NODE_ROOT)
		return op_refuse(op, -EPERM, "nothing can be made in .stacksfs");
	return op_refuse(op, -EPERM,
			 strcmp(op->name, ".git") == 0
				 ? "only stacks live here; keep git's directory elsewhere "
				   "(git --git-dir, core.worktree)"
				 : "only stacks' directories live here: mkdir makes one");
}

static struct fs_handle *writing_handle(struct fs *fs, struct node *node, pid_t tid)
{
	struct fs_handle *handle = handle_new(fs, node);

	if (handle) {
		handle->tid = tid;
		handle->writes = true;
		node->writers++;
	}
	return handle;
}

/* The reply of CREATE: the entry, which holds for this once, and a handle. */
static int created(struct fs *fs, struct fs_op *op, struct node *node)
{
	op->handle = (uintptr_t)writing_handle(fs, node, op->tid);
	if (!op->handle)
		return -ENOMEM;
	fs_give_entry(fs, node, 0, &op->entry);
	return 0;
}

/* Something of that name is there already. */
static int open_existing(struct fs *fs, struct fs_op *op, struct node *node)
{
	if (op->flags & O_EXCL)
		return -EEXIST;
	if (node->kind == NODE_SCRATCH_LINK)
		return -ELOOP;
	uint64_t parent = op->node;
	op->node = node->id;
	int r = fs_step_open(fs, op);
	op->node = parent; /* it may have to wait, and is run again then */
	if (r == 0)
		fs_give_entry(fs, node, 0, &op->entry);
	return r;
}

/* ---- files ---- */

int make_local(struct fs *fs, struct fs_op *op, struct dir *dir, enum node_kind kind,
	       const char *name, struct node **ret)
{
	CLEANUP(content_freep) struct content *content = NULL;
	int r = content_new(&fs->budget, CONTENT_SCRATCH, &content);

	if (r == 0)
		r = tree_local_new(fs->tree, dir, kind, name, ret);
	if (r == -ENOSPC)
		return op_refuse(op, r, "too many files in one stack's directory");
	if (r < 0)
		return r;
	content->sink = kind == NODE_SINK;
	content->mode = op->mode & 07777;
	content->uid = op->uid;
	content->gid = op->gid;
	clock_gettime(CLOCK_REALTIME, &content->mtime);
	(*ret)->content = TAKE_PTR(content);
	return 0;
}

static int create_scratch(struct fs *fs, struct fs_op *op, struct dir *dir)
{
	struct node *node = tree_local(dir, op->name);

	if (node)
		return open_existing(fs, op, node);
	int r = make_local(fs, op, dir, NODE_SCRATCH, op->name, &node);
	if (r < 0)
		return r;
	r = created(fs, op, node);
	if (r < 0)
		tree_unlink(fs->tree, node);
	return r;
}

/* Hidden before, or new in a draft: an empty file that nobody has saved yet. */
static int create_config(struct fs *fs, struct fs_op *op, struct dir *dir)
{
	struct node *node = tree_peek(dir, NODE_CONFIG);

	if (dir_shows(fs, dir, NODE_CONFIG)) {
		node = tree_slot(fs->tree, dir, NODE_CONFIG);
		return node ? open_existing(fs, op, node) : -ENOMEM;
	}
	if (node)
		tree_unlink(fs->tree, node);
	node = tree_slot(fs->tree, dir, NODE_CONFIG);
	int r = node ? edit_begin_empty(fs, node, op) : -ENOMEM;
	if (r == 0)
		r = created(fs, op, node);
	if (r < 0) {
		if (node) {
			edit_free(TAKE_PTR(node->draft));
			tree_reap(fs->tree, node);
		}
		return r;
	}
	work_show(dir, NODE_CONFIG);
	if (dir->stack)
		(void)node_update(node);
	return 0;
}

/* Who made the draft copies a whole directory: what it writes to the other two is
 * dropped, for the server makes those. */
static int create_sink(struct fs *fs, struct fs_op *op, struct dir *dir, enum node_kind kind)
{
	struct node *node;

	dir->work->created[kind - NODE_CONFIG] = true;
	if (!dir->stack) {
		int r = make_local(fs, op, dir, NODE_SINK, op->name, &node);

		return r < 0 ? r : created(fs, op, node);
	}
	node = tree_sink(fs->tree, dir);
	if (!node || content_new(&fs->budget, CONTENT_SCRATCH, &node->content) < 0)
		return -ENOMEM;
	node->content->sink = true;
	node->content->mode = op->mode & 07777;
	node->content->uid = op->uid;
	node->content->gid = op->gid;
	return created(fs, op, node);
}

static int create_part(struct fs *fs, struct fs_op *op, struct dir *dir, enum node_kind kind)
{
	struct node *node = tree_local(dir, op->name);

	if (node)
		return open_existing(fs, op, node);
	if (work_may_create(dir, kind, op))
		return create_sink(fs, op, dir, kind);
	if ((op->flags & O_EXCL) && dir_shows(fs, dir, kind))
		return -EEXIST;
	return op_refuse(op, -EACCES, "the server makes %s; nobody writes to it", op->name);
}

int fs_step_create(struct fs *fs, struct fs_op *op)
{
	struct node *parent;
	int r = parent_of(fs, op, &parent);

	if (r < 0)
		return r;
	enum node_kind kind = kind_by_name(op->name);
	if (kind == NODE_CONFIG)
		return create_config(fs, op, parent->dir);
	if (kind != NODE_ROOT)
		return create_part(fs, op, parent->dir, kind);
	return create_scratch(fs, op, parent->dir);
}

int fs_step_mknod(struct fs *fs, struct fs_op *op)
{
	return op_refuse(op, -EPERM, "no devices, pipes or sockets here");
}

int fs_step_symlink(struct fs *fs, struct fs_op *op)
{
	struct node *parent, *node;
	int r = parent_of(fs, op, &parent);

	if (r < 0)
		return r;
	if (kind_by_name(op->name) != NODE_ROOT)
		return op_refuse(op, -EPERM, "%s cannot be a symlink", op->name);
	if (tree_local(parent->dir, op->name))
		return -EEXIST;
	r = make_local(fs, op, parent->dir, NODE_SCRATCH_LINK, op->name, &node);
	if (r < 0)
		return r;
	r = content_write(node->content, 0, op->target, strlen(op->target), SIZE_MAX);
	if (r < 0) {
		tree_unlink(fs->tree, node);
		return op_no_room(op, r);
	}
	fs_give_entry(fs, node, 0, &op->entry);
	return 0;
}

/* ---- a copy, which is what backups are made by ---- */

int fs_step_link(struct fs *fs, struct fs_op *op)
{
	struct node *source = tree_node(fs->tree, op->source);
	struct node *parent, *node;
	const char *text;
	size_t len;
	int r = parent_of(fs, op, &parent);

	if (r < 0)
		return r;
	if (!source || source->detached)
		return -ESTALE;
	if (source->dir != parent->dir)
		return -EXDEV;
	if ((source->kind != NODE_CONFIG && source->kind != NODE_SCRATCH) ||
	    kind_by_name(op->name) != NODE_ROOT)
		return op_refuse(op, -EPERM, "only config.json and scratch files can be linked, "
					     "as copies under a name of their own");
	if (tree_local(parent->dir, op->name))
		return -EEXIST;
	r = node_need(fs, source, &op->wait);
	if (r != STORE_READY)
		return r;
	(void)node_update(source);
	struct fs_entry shown;
	node_attr(fs, source, &shown);
	op->mode = shown.attr.st_mode;
	r = make_local(fs, op, parent->dir, NODE_SCRATCH, op->name, &node);
	if (r < 0)
		return r;
	node_text(source, &text, &len);
	r = content_write(node->content, 0, text, len, SIZE_MAX);
	if (r < 0) {
		tree_unlink(fs->tree, node);
		return op_no_room(op, r);
	}
	node->content->mtime = shown.attr.st_mtim;
	fs_give_entry(fs, node, 0, &op->entry);
	return 0;
}

/* ---- directories ---- */

/* "NAME~<_id>" too: the directory of a stack that is copied back. */
static bool is_directory_name(const char *component)
{
	char decoded[NAME_MAX_BYTES + 1], plain[NAME_MAX_BYTES + 1];
	struct stack_id id;
	size_t len;

	if (name_decode(component, decoded, &len) == 0)
		return true;
	if (!name_has_id(component, &id))
		return false;
	len = strlen(component) - NAME_SUFFIX_BYTES;
	memcpy(plain, component, len);
	plain[len] = '\0';
	return len == 0 || name_decode(plain, decoded, &len) == 0;
}

int fs_step_mkdir(struct fs *fs, struct fs_op *op)
{
	struct node *parent = tree_node(fs->tree, op->node);
	struct dir *dir;
	bool old;

	if (!parent || parent->detached)
		return -ESTALE;
	if (strlen(op->name) > NAME_MAX_BYTES)
		return -ENAMETOOLONG;
	if (parent->kind != NODE_ROOT)
		return op_refuse(op, -EPERM, "a stack has no directories");
	if (op->name[0] == '.')
		return op_refuse(op, -EPERM, "a stack's directory cannot begin with a dot");
	if (!is_directory_name(op->name))
		return op_refuse(op, -EINVAL, "not the form in which a stack's name is written here: "
					      "see .stacksfs/README");
	if (tree_find(fs->tree, op->name, &old) && !old)
		return -EEXIST;

	fs->kernel_knows = true;
	int r = tree_add_draft(fs->tree, op->name, &dir);
	fs->kernel_knows = false;
	if (r == -ENOSPC)
		return op_refuse(op, r, "%zu directories wait for their config.json already",
				 tree_n_drafts(fs->tree));
	if (r < 0)
		return r;
	struct work *work = work_get(fs, dir);
	struct node *node = work ? tree_slot(fs->tree, dir, NODE_STACK) : NULL;
	if (!node) {
		tree_remove_draft(fs->tree, dir);
		return -ENOMEM;
	}
	work->creator = *op_process(op);
	fs_give_entry(fs, node, 0, &op->entry);
	return 0;
}
