/* SPDX-License-Identifier: MIT */
/* Names that become others.
 *
 * A node is what the kernel holds, and a rename moves it: from a scratch name
 * onto config.json, which saves its text, or from config.json to a scratch name,
 * which makes a backup of it and hides the record. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draft/save.h"
#include "fs/private.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

/* ---- within a stack's directory ---- */

/* What config.json says now, as a scratch file's content; *ret is NULL where the
 * draft's will do, which is taken only when nothing can fail any more. */
static int copy_config(struct fs *fs, const struct node *node, bool leave_draft,
		       struct content **ret)
{
	CLEANUP(content_freep) struct content *c = NULL;
	const char *text;
	size_t len;

	*ret = NULL;
	if (edit_shows_draft(node) && !leave_draft)
		return 0;
	int r = content_new(&fs->budget, CONTENT_SCRATCH, &c);
	node_text(node, &text, &len);
	if (r == 0)
		r = content_write(c, 0, text, len, SIZE_MAX);
	if (r == 0)
		*ret = TAKE_PTR(c);
	return r;
}

static void become_scratch(struct node *node, struct content *content, const struct stat *shown)
{
	node->content = content;
	edit_free(TAKE_PTR(node->draft));
	node->content->mode = shown->st_mode & 07777;
	node->content->uid = shown->st_uid;
	node->content->gid = shown->st_gid;
	node->content->mtime = shown->st_mtim;
	record_unref(node->record);
	node->record = NULL;
}

/* Whether another process than this one has it open, who may write to it as yet. */
static bool is_opened_by_another(const struct fs *fs, const struct node *node,
				 const struct process *by)
{
	const struct fs_handle *handle = fs->handles;

	while (handle && (handle->node != node || !handle->writes ||
			  process_has_thread(by, handle->tid)))
		handle = handle->next;
	return handle != NULL;
}

/* Whether another process than this one is still writing it, or is about to. */
static bool is_anothers(const struct fs *fs, const struct node *node, struct fs_op *op)
{
	const struct draft *d = node->draft;
	const struct process *by = node->writers > 0 ? op_process(op) : NULL;

	if (!by || !by->pid)
		return false;
	bool wrote = d && d->generation > 0 && d->writer.pid && !process_same(&d->writer, by);

	return wrote || is_opened_by_another(fs, node, by);
}

/* The file of that name is a new one.  The writer stays with the old one, as if that
 * had been unlinked: what was moved along would be saved by nobody, and whoever moved it
 * removes it with the backup. */
static int copy_away(struct fs *fs, struct fs_op *op, struct node *node, struct content *content,
		     const struct stat *shown)
{
	struct node *there = tree_local(node->dir, op->new_name), *copy;

	if (there)
		tree_unlink(fs->tree, there);
	int r = tree_local_new(fs->tree, node->dir, NODE_SCRATCH, op->new_name, &copy);
	if (r < 0)
		return r;
	become_scratch(copy, content, shown);
	tree_unlink(fs->tree, node);
	/* The kernel moves the old one, and has to look again. */
	if (fs->kernel.drop_name)
		fs->kernel.drop_name(fs->kernel.arg, op->node, op->new_name);
	return 0;
}

static int move_away(struct fs *fs, struct fs_op *op, struct node *node, struct content *content,
		     const struct stat *shown)
{
	int r = tree_move_to_local(fs->tree, node, NODE_SCRATCH, op->new_name);

	if (r == 0)
		become_scratch(node, content ? content : edit_take(node, op_process(op)), shown);
	return r;
}

/* An editor makes room for the file that it is about to write. */
static int rename_config_away(struct fs *fs, struct fs_op *op, struct dir *dir)
{
	struct node *node = work_get(fs, dir) ? tree_slot(fs->tree, dir, NODE_CONFIG) : NULL;
	struct content *content;
	struct fs_entry shown;

	if (!node)
		return -ENOMEM;
	if (node->draft && node->draft->saving) {
		op->awaits = node;
		return STORE_WAIT;
	}
	if (dir->stack && !edit_shows_draft(node))
		(void)node_update(node);
	node_attr(fs, node, &shown);
	bool stays = is_anothers(fs, node, op);
	int r = op_no_room(op, copy_config(fs, node, stays, &content));
	if (r == 0)
		r = stays ? copy_away(fs, op, node, content, &shown.attr)
			  : move_away(fs, op, node, content, &shown.attr);
	if (r < 0) {
		content_free(content);
		return r;
	}
	return dir->stack ? work_hide(fs, dir, NODE_CONFIG, op_process(op)) : 0;
}

/* rsync of a whole backup ends well: what it brings for the two other files is
 * either what they hold, or was made by another stack's life. */
static int rename_onto_part(struct fs *fs, struct fs_op *op, struct node *node,
			    enum node_kind kind)
{
	struct dir *dir = node->dir;
	struct blob *blob = dir->stack ? store_part_blob(dir->stack, node_part(kind)) : NULL;
	const struct content *content = node->content;
	bool same = blob && content && blob_len(blob) == content->len &&
		    memcmp(blob_bytes(blob), content->bytes, content->len) == 0;

	if (node->kind != NODE_SCRATCH || (dir->stack && !same && !work_just_became(dir)))
		return op_refuse(op, -EACCES, "the server makes %s; nobody writes to it",
				 op->new_name);
	note_error(fs, dir, op->new_name, "rename",
		   &(struct api_error){ .message = "accepted, and nothing done: the server makes it" },
		   NULL);
	tree_unlink(fs->tree, node);
	return 0;
}

/* What is no copy of a part any more keeps what is written to it. */
static int rename_to_scratch(struct fs *fs, struct fs_op *op, struct node *node)
{
	bool sink = node->kind == NODE_SINK;
	int r = tree_move_to_local(fs->tree, node, sink ? NODE_SCRATCH : node->kind, op->new_name);

	if (r < 0 || !sink)
		return r;
	node->content->sink = false;
	work_may_create_again(node->dir, kind_by_name(op->name));
	return 0;
}

static int rename_local(struct fs *fs, struct fs_op *op, struct node *node)
{
	struct dir *dir = node->dir;
	enum node_kind onto = kind_by_name(op->new_name);

	if (onto == NODE_DEPENDENCIES || onto == NODE_TOKEN)
		return rename_onto_part(fs, op, node, onto);
	if (onto == NODE_ROOT)
		return rename_to_scratch(fs, op, node);
	if (node->kind != NODE_SCRATCH)
		return op_refuse(op, -EPERM, "config.json cannot be a symlink");
	struct node *there = tree_peek(dir, NODE_CONFIG);
	if (there && there->draft && there->draft->saving) {
		op->awaits = there;
		return STORE_WAIT;
	}
	return edit_replace(fs, node, op);
}

static bool is_taken(const struct fs *fs, const struct dir *dir, const char *name)
{
	enum node_kind kind = kind_by_name(name);

	return tree_local(dir, name) || (kind != NODE_ROOT && dir_shows(fs, dir, kind));
}

static int rename_file(struct fs *fs, struct fs_op *op, struct node *parent)
{
	struct dir *dir = parent->dir;
	struct node *node = tree_local(dir, op->name);
	enum node_kind kind = kind_by_name(op->name);

	if ((op->flags & RENAME_NOREPLACE) && is_taken(fs, dir, op->new_name))
		return -EEXIST;
	if (node)
		return rename_local(fs, op, node);
	if (kind == NODE_ROOT || !dir_shows(fs, dir, kind))
		return -ENOENT;
	if (kind != NODE_CONFIG)
		return op_refuse(op, -EACCES, "%s cannot be renamed", op->name);
	if (kind_by_name(op->new_name) != NODE_ROOT)
		return op_refuse(op, -EACCES, "the server makes %s; nobody writes to it",
				 op->new_name);
	return rename_config_away(fs, op, dir);
}

/* ---- stacks ---- */

static void renamed(void *arg, const struct change_result *result)
{
	struct fs_change *c = arg;

	free(c->dir->work->renaming);
	c->dir->work->renaming = NULL;
	change_ended(c, result);
}

static int rename_stack(struct fs *fs, struct fs_op *op, struct dir *dir)
{
	char name[NAME_MAX_BYTES + 1];
	size_t len;
	struct work *work = work_get(fs, dir);

	if (name_decode(op->new_name, name, &len) < 0)
		return -EINVAL; /* checked before */
	char *renaming = work ? strdup(op->new_name) : NULL;
	struct fs_change *c = renaming ? change_new(fs, op, NULL, dir, NODE_ROOT, "rename")
				       : NULL;
	if (!c) {
		free(renaming);
		return -ENOMEM;
	}
	free(work->renaming);
	work->renaming = renaming;
	save_name(&fs->changes, dir->stack, name, len, op->deadline_ms, renamed, c);
	return change_wait(c);
}

/* The kernel has moved the directory to the name that it knows. */
static int stack_renamed(struct fs *fs, struct fs_op *op)
{
	struct dir *dir = op->change->dir;
	const struct node *node = tree_peek(dir, NODE_STACK);
	int r = change_wait(op->change);

	if (r < 0)
		return r;
	if (strcmp(dir->name, op->new_name) != 0 && fs->kernel.drop_name)
		fs->kernel.drop_name(fs->kernel.arg, FS_ROOT, op->new_name);
	/* Its record, and so the size of config.json and of what links to it, is another
	 * one: the kernel has dropped all that when it hears that the name is. */
	if (node)
		op->drop_node = node->id;
	return 0;
}

static int rename_dir(struct fs *fs, struct fs_op *op)
{
	char decoded[NAME_MAX_BYTES + 1];
	size_t len;
	bool old;

	if (op->change)
		return stack_renamed(fs, op);
	struct dir *dir = tree_find(fs->tree, op->name, &old);
	if (strcmp(op->name, kind_name(NODE_CONTROL)) == 0 ||
	    strcmp(op->new_name, kind_name(NODE_CONTROL)) == 0)
		return op_refuse(op, -EPERM, ".stacksfs is part of the mount");
	if (!dir)
		return -ENOENT;
	if (old)
		return op_refuse(op, -EPERM, "an old name cannot be renamed");
	if (op->awaits_dir && op->awaits_dir != dir->cookie)
		return op_refuse(op, -ESTALE, "another directory has that name by now");
	struct dir *there = tree_find(fs->tree, op->new_name, &old);
	if (there && !old)
		return there == dir ? 0
				    : op_refuse(op, -EEXIST, "a %s of that name is there",
						there->stack ? "stack" : "directory");
	if (op->new_name[0] == '.')
		return op_refuse(op, -EPERM, "a stack's directory cannot begin with a dot");
	if (name_decode(op->new_name, decoded, &len) < 0)
		return op_refuse(op, -EINVAL, "not the form in which a stack's name is written here: "
					      "see .stacksfs/README");
	if (dir->stack)
		return rename_stack(fs, op, dir);
	/* By a name of its own: what it is called here then would be forgotten. */
	op->awaits = edit_maker(dir);
	if (op->awaits) {
		op->awaits_dir = dir->cookie;
		return STORE_WAIT;
	}
	fs->kernel_knows = true;
	int r = tree_rename_draft(fs->tree, dir, op->new_name);
	fs->kernel_knows = false;
	return r;
}

int fs_step_rename(struct fs *fs, struct fs_op *op)
{
	struct node *from = tree_node(fs->tree, op->node), *to = tree_node(fs->tree, op->to);
	bool old;

	if (op->change && op->change->node)
		return change_wait(op->change); /* edit_replace's */
	if (!from || !to || from->detached || to->detached)
		return -ESTALE;
	if (strlen(op->new_name) > NAME_MAX_BYTES)
		return -ENAMETOOLONG;
	if (op->flags & ~RENAME_NOREPLACE)
		return -EINVAL;
	if (from->kind == NODE_ROOT && to->kind == NODE_ROOT)
		return rename_dir(fs, op);
	if (from->kind == NODE_ROOT && to->kind == NODE_STACK &&
	    tree_find(fs->tree, op->name, &old))
		return op_refuse(op, -EPERM, "a stack cannot lie in another one's directory");
	if (from->kind != NODE_STACK || to->kind != NODE_STACK)
		return from->kind == NODE_STACK ? -EXDEV
						: op_refuse(op, -EPERM, "not in .stacksfs");
	return from == to ? rename_file(fs, op, from) : -EXDEV;
}
