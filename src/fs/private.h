/* SPDX-License-Identifier: MIT */
/* What the files of fs share.  Everything here is called inside the monitor. */
#ifndef FS_PRIVATE_H
#define FS_PRIVATE_H

#include "fs/fs.h"
#include "fs/journal.h"
#include "tree/tree.h"

/* Names in the control directory hold for the life of the mount. */
#define FIXED_VALID_MS (3600 * 1000)

struct fs {
	struct monitor *monitor;
	struct http *http;
	struct api *api;
	const struct clock *clock;
	struct store *store;
	struct tree *tree;
	struct journal *journal;
	struct fs_kernel kernel;
	char *source, *mountpoint;
	uint64_t ttl_ms;
	uid_t uid;
	gid_t gid;
	mode_t umask;
	bool tokens;

	struct fs_op parked; /* ring */
	struct fs_handle *handles;
	uint64_t next_serial;
	uint64_t began_ms;         /* on the clock's scale, for the uptime */
	int64_t began_wall_ms;     /* Unix time, for files that have no other */
	int64_t names_changed_ms;  /* Unix time: the root's mtime */
	/* The text that the next open of these two takes: what their size,
	 * just given, was of. */
	struct blob *status, *errors;
};

struct fs_handle {
	struct fs *fs;
	struct fs_handle *prev, *next; /* of the fs, for an end with files still open */
	struct node *node;     /* counted by tree_open */
	struct blob *snapshot; /* of what is made anew for each open */
};

/* A handle of the node; NULL: no memory. */
struct fs_handle *handle_new(struct fs *fs, struct node *node);
void handle_free(struct fs_handle *handle); /* leaves the node's count to the caller */

/* A step: 0, a negative errno, or STORE_WAIT.  Run again from its start after a wait. */
typedef int fs_step(struct fs *fs, struct fs_op *op);
fs_step fs_step_lookup, fs_step_getattr, fs_step_readlink, fs_step_open, fs_step_read,
	fs_step_write, fs_step_opendir, fs_step_readdir, fs_step_getxattr, fs_step_listxattr,
	fs_step_statfs;

/* node.c: what a node is */

/* What a node shows must be fresh before its attributes are given or it is
 * opened.  -ESTALE when no path leads to it any more. */
NODISCARD int node_need(struct fs *fs, struct node *node, struct store_wait *w);
/* Bring node->record or node->blob up to the store's version.  True when the
 * kernel may hold attributes or pages of another one. */
bool node_update(struct node *node);
/* Attributes of what node_need has let pass, or of what a handle shows. */
void node_attr(struct fs *fs, const struct node *node, struct fs_entry *ret);
/* The text behind a node: that of node_update, or of the handle. */
void node_text(const struct node *node, const char **ret, size_t *ret_len);
bool node_is_dir(const struct node *node);
/* st_ino and the type of a stack's file that has no node. */
void node_bare_attr(const struct stack *stack, enum node_kind kind, struct stat *ret);
/* The target of a symlink node; NULL for others. */
const char *node_link(const struct node *node, char *out, size_t size);
const char *kind_name(enum node_kind kind);
enum store_part node_part(enum node_kind kind);
/* Whether the stack shows this file at all, by its type and the options. */
bool stack_shows(const struct fs *fs, const struct stack *stack, enum node_kind kind);

/* Fill in the entry of a node that the kernel is told of, and count it. */
void fs_give_entry(struct fs *fs, struct node *node, uint64_t entry_ms, struct fs_entry *ret);

/* control.c: what .stacksfs shows */
NODISCARD int control_snapshot(struct fs *fs, enum node_kind kind, struct blob **ret);
extern const char control_readme[];
size_t control_readme_len(void);

#endif
