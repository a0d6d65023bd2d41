/* SPDX-License-Identifier: MIT */
/* What the files of fs share.  Everything here is called inside the monitor. */
#ifndef FS_PRIVATE_H
#define FS_PRIVATE_H

#include "draft/change.h"
#include "draft/content.h"
#include "draft/create.h"
#include "draft/document.h"
#include "draft/versions.h"
#include "fs/fs.h"
#include "fs/journal.h"
#include "fs/work.h"
#include "tree/tree.h"

/* Names in the control directory hold for the life of the mount. */
#define FIXED_VALID_MS (3600 * 1000)

#define FAILED_LOOKUP_MS 500 /* the kernel's second LOOKUP follows at once */

/* A failure that the kernel is about to ask for again; see lookup.c. */
struct failed_lookup {
	pid_t tid; /* of the caller; 0: none */
	uint64_t parent;
	uint64_t at_ms;
	int err;
	char name[NAME_MAX_BYTES + 1];
};

struct fs {
	struct monitor *monitor;
	struct timers *timers;
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
	bool tokens, ro;
	uint64_t grace_ms;
	char *rotate_by;

	struct changes changes;
	struct budget budget;
	struct limit deletes, rotations;
	struct process_comms comms; /* of who rotates */
	struct openers openers;
	unsigned n_hidden; /* files, of any stack: see work_hide */
	/* The kernel is told nothing of names that change now: it asked for it. */
	bool kernel_knows;

	struct fs_op parked; /* ring */
	struct fs_handle *handles;
	uint64_t next_serial;
	uint64_t began_ms;         /* on the clock's scale, for the uptime */
	int64_t began_wall_ms;     /* Unix time, for files that have no other */
	int64_t names_changed_ms;  /* Unix time: the root's mtime */
	/* The text that the next open of these two takes: what their size,
	 * just given, was of, and the thread that was given it last. */
	struct blob *status, *errors;
	pid_t snapshot_tid;
	struct failed_lookup failed[64]; /* by tid; who shares a place asks twice */
};

struct fs_handle {
	struct fs *fs;
	struct fs_handle *prev, *next; /* of the fs, for an end with files still open */
	struct node *node;     /* counted by tree_open */
	struct blob *snapshot; /* of what is made anew for each open */
	pid_t tid;             /* who has opened it; 0: not known */
	bool writes;           /* it may change the file, and counts in node->writers */
	/* It was opened, or last read, after a save, while the writer had it open still, and has
	 * not changed the file since. */
	bool saw_record;
};

/* Who may remove the stack: the node is its directory's. */
void note_opener(struct fs *fs, struct node *node, pid_t tid);
/* A handle of the node; NULL: no memory. */
struct fs_handle *handle_new(struct fs *fs, struct node *node);
void handle_free(struct fs_handle *handle); /* leaves the node's count to the caller */

/* A step: 0, a negative errno, or STORE_WAIT.  Run again from its start after a wait. */
typedef int fs_step(struct fs *fs, struct fs_op *op);
fs_step fs_step_lookup, fs_step_getattr, fs_step_readlink, fs_step_open, fs_step_read,
	fs_step_write, fs_step_opendir, fs_step_readdir, fs_step_getxattr, fs_step_listxattr,
	fs_step_statfs, fs_step_setattr, fs_step_create, fs_step_mknod, fs_step_mkdir,
	fs_step_symlink, fs_step_link, fs_step_unlink, fs_step_rmdir, fs_step_rename,
	fs_step_flush, fs_step_fsync;

/* Whose system call it is; all zeros when that cannot be seen. */
const struct process *op_process(struct fs_op *op);
/* What ps shows of it, without asking for the rest; "" when that cannot be seen. */
const char *op_comm(struct fs *fs, struct fs_op *op);
/* Refuse with a reason for .stacksfs/errors; returns err. */
int op_refuse(struct fs_op *op, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same for what the content functions return; returns r, whatever it is. */
int op_no_room(struct fs_op *op, int r);
/* Run the parked ops that wait for the node's text, or the one of the change. */
void fs_wake_awaiting(struct fs *fs, const struct node *node);
void fs_run(struct fs *fs, struct fs_op *op);
/* The kernel forgets attributes, pages, a listing. */
void fs_drop_node(struct fs *fs, struct node *node);
void fs_drop_listing(struct fs *fs, const struct dir *dir);
/* ... a name: of a stack's file, or its by-id link. */
void fs_drop_file(struct fs *fs, const struct dir *dir, enum node_kind kind);
/* The node's record is, or may be, another one now.  NULL is fine. */
void fs_replace_version(struct fs *fs, struct node *node);

/* change.c: changes of the account, and who waits for them */

/* A change that an op, or a node's draft, has begun. */
struct fs_change {
	struct fs *fs;
	struct fs_op *op;      /* that waits for it alone; NULL: none, or no more */
	struct node *node;     /* counted by tree_open, or NULL */
	struct dir *dir;
	enum node_kind file;   /* that it is about; NODE_ROOT: the directory */
	const char *call;      /* for the journal */
	uint64_t generation;   /* of the draft */
	uint64_t deadline_ms;  /* of what began it; 0: it has not waited */
	bool began;            /* the call that begins it has returned */
	bool ended;
	int err;
	struct content *text;  /* what is being saved, or NULL */
	struct process who;    /* wrote it */
	struct stack *stack;   /* holds a reference, or NULL */
};

/* NULL: no memory.  The op (may be NULL) owns it until it has ended. */
struct fs_change *change_new(struct fs *fs, struct fs_op *op, struct node *node, struct dir *dir,
			     enum node_kind file, const char *call);
/* Journal the end and note it; the common beginning of every change_done_fn here. */
void change_note(struct fs_change *c, const struct change_result *result);
/* Wake who waits; frees what nobody waits for. */
void change_over(struct fs_change *c);
/* The change was begun: STORE_WAIT, or how it has ended already. */
int change_wait(struct fs_change *c);
/* The op is over. */
void change_leave(struct fs_op *op);
/* For a change that is its op's alone and needs no more than that. */
change_done_fn change_ended;
void note_no_memory(struct fs *fs, const struct dir *dir);
/* The line in the log for a failed operation. */
void note_log(const char *call, const char *path, int err, const struct api_error *why);
/* A line in errors that no op's failure makes. */
void note_error(struct fs *fs, const struct dir *dir, const char *file, const char *call,
		const struct api_error *why, const char *would_send);

/* edit.c: config.json as it is being written */

struct draft {
	uint64_t serial;      /* no other has had it */
	struct content *content;
	uint64_t generation;  /* of the text; 0: as the record has it */
	uint64_t ended;       /* the generation that the last save was of */
	int result;           /* of that save */
	bool saving;
	bool incomplete;      /* it was refused as half a document, and is that still */
	struct process writer;
	struct api_error why; /* of result */
};

/* Whether the text that is shown is the draft's and not the record's. */
bool edit_shows_draft(const struct node *node);
/* Make a draft of the text that is shown.  -ENOMEM, -ENOSPC. */
NODISCARD int edit_begin(struct fs *fs, struct node *node);
/* The same for a file that is new and empty. */
NODISCARD int edit_begin_empty(struct fs *fs, struct node *node, struct fs_op *op);
/* What the handle is about to change is what it has seen: the record, although
 * there is a draft, which was saved.  -ENOMEM, -ENOSPC. */
NODISCARD int edit_from_record(struct fs *fs, struct node *node);
NODISCARD int edit_write(struct fs *fs, struct node *node, struct fs_op *op);
NODISCARD int edit_resize(struct fs *fs, struct node *node, struct fs_op *op, uint64_t size);
/* Save what is not: a step's end. */
int edit_flush(struct fs *fs, struct node *node, struct fs_op *op);
void edit_last_close(struct fs *fs, struct node *node);
/* The node's file gets another name: the draft ends, and this is its text.  A refused one
 * of a draft directory is remembered, in case the same process puts the file back. */
struct content *edit_take(struct node *node, const struct process *by);
/* The text of a file that is only here is about to change. */
void edit_scratch_changes(struct node *node);
void edit_free(struct draft *draft); /* NULL is fine */
DEFINE_CLEANUP(struct draft, edit_free)
/* Save the scratch file's content in place of config.json: a step's end. */
int edit_replace(struct fs *fs, struct node *scratch, struct fs_op *op);
/* The file of a draft directory of which a stack is being made, or NULL; those that await
 * it go on when that has ended. */
const struct node *edit_maker(const struct dir *dir);
/* What the node's file says, for a scratch file or a draft. */
struct document content_document(const struct content *content);

/* refuse.c: texts that could not be saved */
#define REFUSED_NAME "config.json.refused"

void refuse_keep(struct fs *fs, struct dir *dir, const struct content *text, const struct draft *by,
		 const struct process *who, const struct api_error *why);
/* A text was saved: by that draft (may be NULL) and that process, or that very text. */
void refuse_settled(struct fs *fs, struct dir *dir, const struct content *text,
		    const struct draft *by, const struct process *who);
/* The draft, whose save was refused before another's was, is there again. */
void refuse_again(struct dir *dir, const struct draft *by);
/* Nothing refused is left there: somebody has removed it. */
void refuse_forget(struct dir *dir);
/* It goes to lost only. */
void refuse_lose(struct fs *fs, const struct dir *dir, const struct content *text);

/* A request's failure has failed this lookup: remember it for the next one. */
void fs_lookup_failed(struct fs *fs, const struct fs_op *op, int err);

/* node.c: what a node is */

/* What a node shows must be fresh before its attributes are given or it is
 * opened.  -ESTALE when no path leads to it any more. */
NODISCARD int node_need(struct fs *fs, struct node *node, struct store_wait *w);
/* Bring node->record or node->blob up to the store's version.  True when the
 * kernel may hold attributes or pages of another one. */
bool node_update(struct node *node);
/* Attributes of what node_need has let pass, or of what a handle shows. */
void node_attr(struct fs *fs, const struct node *node, struct fs_entry *ret);
/* How long the kernel may keep the attributes; ms. */
uint64_t node_valid_ms(const struct fs *fs, const struct node *node);
/* The text behind a node: that of node_update, or of the handle. */
void node_text(const struct node *node, const char **ret, size_t *ret_len);
bool node_is_dir(const struct node *node);
/* st_ino and the type of a stack's file that has no node. */
void node_bare_attr(const struct stack *stack, enum node_kind kind, struct stat *ret);
#define NODE_LINK_SIZE (NAME_MAX_BYTES + sizeof("../../"))
/* The target of a symlink to a stack's directory; false for others. */
bool node_link(const struct node *node, char out[NODE_LINK_SIZE]);
/* Its name, or the one that it had as a stack's, once it is gone; "" of a draft then.  out may be
 * what is returned. */
const char *dir_name(const struct dir *dir, char out[NAME_MAX_BYTES + 1]);
/* How long its target is; -EINVAL for what is no symlink of ours. */
int node_link_length(const struct fs *fs, const struct node *node, size_t *ret);
const char *kind_name(enum node_kind kind);
/* NODE_ROOT: a stack has no file of that name. */
enum node_kind kind_by_name(const char *name);
mode_t kind_type(enum node_kind kind); /* S_IF... */
bool node_is_local(const struct node *node);
/* Whether the directory shows the file: it is there and not hidden. */
bool dir_shows(const struct fs *fs, const struct dir *dir, enum node_kind kind);
enum store_part node_part(enum node_kind kind);
/* Whether the stack shows this file at all, by its type and the options. */
bool stack_shows(const struct fs *fs, const struct stack *stack, enum node_kind kind);

/* Fill in the entry of a node that the kernel is told of, and count it. */
void fs_give_entry(struct fs *fs, struct node *node, uint64_t entry_ms, struct fs_entry *ret);

/* make.c */
NODISCARD int make_local(struct fs *fs, struct fs_op *op, struct dir *dir, enum node_kind kind,
			 const char *name, struct node **ret);

/* control.c: what .stacksfs shows */
bool control_shows(const struct fs *fs, enum node_kind kind);
NODISCARD int control_snapshot(struct fs *fs, enum node_kind kind, struct blob **ret);
extern const char control_readme[];
size_t control_readme_len(void);

#endif
