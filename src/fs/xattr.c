/* SPDX-License-Identifier: MIT */
/* Extended attributes and statfs: answered from what is there, never by a
 * request. */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "fs/private.h"

#define LIST_MAX_BYTES 256
#define PREFIX "user.stacksfs."
#define FREE_FILES 65536 /* as if: nothing is counted */

/* The value, or NULL where the node has none. */
static const char *value_of(struct fs *fs, const struct node *node, const char *name,
			    char hex[STACK_ID_HEX + 1])
{
	const struct stack *stack = node->dir ? node->dir->stack : NULL;

	if (strcmp(name, "error") == 0 && node->dir && node->dir->work &&
	    (node->kind == NODE_CONFIG || strcmp(tree_local_name(node), REFUSED_NAME) == 0))
		return node->dir->work->error;
	if (!stack || (node->kind != NODE_STACK && node->kind != NODE_CONFIG))
		return NULL;
	if (strcmp(name, "stale") == 0)
		return store_record_stale(fs->store, stack) ? "1" : NULL;
	if (node->kind != NODE_STACK)
		return NULL;
	if (strcmp(name, "type") == 0)
		return stack_type_name(stack->record->type);
	if (strcmp(name, "id") != 0)
		return NULL;
	stack_id_format(&stack->id, hex);
	return hex;
}

int fs_step_getxattr(struct fs *fs, struct fs_op *op)
{
	const struct node *node = tree_node(fs->tree, op->node);
	char hex[STACK_ID_HEX + 1];

	if (!node)
		return -ESTALE;
	/* Outside "user." EOPNOTSUPP, which ls remembers for the whole device;
	 * never ENOSYS, which the kernel would remember for ours too. */
	if (strncmp(op->name, "user.", 5) != 0)
		return -EOPNOTSUPP;
	if (strncmp(op->name, PREFIX, strlen(PREFIX)) != 0)
		return -ENODATA;
	const char *value = value_of(fs, node, op->name + strlen(PREFIX), hex);
	if (!value)
		return -ENODATA;
	op->own = strdup(value);
	if (!op->own)
		return -ENOMEM;
	op->data = op->own;
	op->data_len = strlen(value);
	return 0;
}

int fs_step_listxattr(struct fs *fs, struct fs_op *op)
{
	static const char *const names[] = { "id", "type", "stale", "error" };
	const struct node *node = tree_node(fs->tree, op->node);
	CLEANUP(buf_done) struct buf list = BUF_INIT(LIST_MAX_BYTES);
	char hex[STACK_ID_HEX + 1];

	if (!node)
		return -ESTALE;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (value_of(fs, node, names[i], hex) &&
		    (buf_puts(&list, PREFIX) < 0 ||
		     buf_append(&list, names[i], strlen(names[i]) + 1) < 0))
			return -ENOMEM;
	}
	op->data_len = list.len;
	op->data = op->own = buf_steal(&list);
	return 0;
}

/* The room is that of scratch: programs that write refuse to on a full disk. */
int fs_step_statfs(struct fs *fs, struct fs_op *op)
{
	const fsblkcnt_t blocks = fs->budget.limit / 4096;
	const fsblkcnt_t free = budget_free(&fs->budget, CONTENT_SCRATCH) / 4096;

	op->statvfs = (struct statvfs){
		.f_bsize = 4096,
		.f_frsize = 4096,
		.f_blocks = blocks,
		.f_bfree = free,
		.f_bavail = free,
		.f_files = 4 * tree_size(fs->tree) + NODE_N_FIXED + FREE_FILES,
		.f_ffree = FREE_FILES,
		.f_favail = FREE_FILES,
		.f_namemax = NAME_MAX_BYTES,
	};
	return 0;
}
