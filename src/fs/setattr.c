/* SPDX-License-Identifier: MIT */
/* Attributes that are set: what cannot be kept is accepted where tools insist
 * on it, and never where it would mean something. */
#include <errno.h>
#include <string.h>

#include "fs/private.h"

/* chown to whom it belongs already is what every cp -p does. */
static int check_owner(struct fs *fs, struct fs_op *op, const struct stat *shown)
{
	bool uid_ok = !(op->set & FS_SET_UID) || op->attr.st_uid == shown->st_uid ||
		      op->attr.st_uid == fs->uid;
	bool gid_ok = !(op->set & FS_SET_GID) || op->attr.st_gid == shown->st_gid ||
		      op->attr.st_gid == fs->gid;

	if (uid_ok && gid_ok)
		return 0;
	return op_refuse(op, -EPERM, "a file can be given only to whoever has mounted (-o uid=, gid=)");
}

/* By its path, when nobody has it open: no close will come to end the draft. */
static int resize_config(struct fs *fs, struct node *node, struct fs_op *op, uint64_t size)
{
	struct fs_handle *handle = (struct fs_handle *)(uintptr_t)op->handle;
	int r = !handle || handle->saw_record ? edit_from_record(fs, node) : 0;

	if (r == 0)
		r = edit_resize(fs, node, op, size);
	if (r == 0 && handle)
		handle->saw_record = false;
	if (r == 0 && node->writers == 0)
		edit_last_close(fs, node);
	return r;
}

static int resize(struct fs *fs, struct node *node, struct fs_op *op)
{
	uint64_t size = (uint64_t)op->attr.st_size;

	switch (node->kind) {
	case NODE_CONFIG:
		return op_no_room(op, resize_config(fs, node, op, size));
	case NODE_SCRATCH:
	case NODE_SINK:
		edit_scratch_changes(node);
		return op_no_room(op, content_resize(node->content, size, SIZE_MAX));
	case NODE_REFRESH:
		return 0;
	default:
		return node_is_dir(node) ? -EISDIR : -EACCES;
	}
}

static void set_scratch(struct content *content, const struct fs_op *op)
{
	if (op->set & FS_SET_MODE)
		content->mode = op->attr.st_mode & 07777;
	if (op->set & FS_SET_UID)
		content->uid = op->attr.st_uid;
	if (op->set & FS_SET_GID)
		content->gid = op->attr.st_gid;
	if (op->set & FS_SET_MTIME)
		content->mtime = op->attr.st_mtim;
}

static int set_config_mode(struct fs *fs, struct node *node, const struct fs_op *op)
{
	struct work *work = op->set & FS_SET_MODE ? work_get(fs, node->dir) : NULL;

	if (!(op->set & FS_SET_MODE))
		return 0;
	if (!work)
		return -ENOMEM;
	work->config_mode = op->attr.st_mode & 07777;
	work->has_config_mode = true;
	return 0;
}

/* Nothing is done to the two that the server makes; who has just copied a whole
 * directory is told so by nothing but their content. */
static int check_part(struct fs *fs, const struct node *node, struct fs_op *op,
		      const struct stat *shown)
{
	if (work_is_copier(node->dir, op))
		return 0;
	if (op->set & FS_SET_SIZE)
		return op_refuse(op, -EACCES, "the server makes %s; nobody writes to it",
				 kind_name(node->kind));
	if (op->set & (FS_SET_MODE | FS_SET_MTIME | FS_SET_ATIME))
		return op_refuse(op, -EPERM, "%s stays as it is", kind_name(node->kind));
	return check_owner(fs, op, shown);
}

/* All is checked before any of it is done. */
static int set_attributes(struct fs *fs, struct node *node, struct fs_op *op,
			  const struct stat *shown)
{
	int r;

	if (node->kind == NODE_TOKEN || node->kind == NODE_DEPENDENCIES)
		return check_part(fs, node, op, shown);
	r = check_owner(fs, op, shown);
	if (r < 0)
		return r;
	if (op->set & FS_SET_SIZE)
		r = resize(fs, node, op);
	if (r < 0)
		return r;
	if (node->content)
		set_scratch(node->content, op);
	if (node->kind == NODE_CONFIG)
		r = set_config_mode(fs, node, op);
	return r;
}

int fs_step_setattr(struct fs *fs, struct fs_op *op)
{
	const struct fs_handle *handle = (const struct fs_handle *)(uintptr_t)op->handle;
	struct node *node = handle ? handle->node : tree_node(fs->tree, op->node);
	struct fs_entry shown;

	if (!node)
		return -ESTALE;
	/* The kernel looks the path up again, and finds what is there now. */
	if (node->detached && !handle && !node->content && (op->set & FS_SET_SIZE))
		return -ESTALE;
	if (!node->detached && !edit_shows_draft(node)) {
		int r = node_need(fs, node, &op->wait);

		if (r != STORE_READY)
			return r;
		(void)node_update(node);
	}
	node_attr(fs, node, &shown);
	int r = set_attributes(fs, node, op, &shown.attr);
	if (r < 0)
		return r;
	node_attr(fs, node, &op->entry);
	return 0;
}
