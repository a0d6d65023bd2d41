/* SPDX-License-Identifier: MIT */
/* work: what is going on in a stack's directory beside the stack itself: what is
 * hidden and by whom, who made it, what was refused; and the guards that keep a
 * tool which unlinks before it writes from deleting anything.
 *
 * Threads: inside the monitor only. */
#ifndef FS_WORK_H
#define FS_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/process.h"
#include "base/timer.h"
#include "draft/create.h"
#include "tree/tree.h"

struct fs;
struct fs_op;

#define WORK_N_FILES 3 /* config.json, dependencies, systemToken */
#define WORK_N_REMOVERS 8

/* A file that a process has unlinked or renamed away, and that is still there. */
struct hidden {
	struct process by;
	unsigned turn; /* 1: the first in this directory; 0: it is not hidden */
};

struct work {
	struct fs *fs;
	struct dir *dir;
	struct hidden hidden[WORK_N_FILES];
	unsigned turns;
	struct process removers[WORK_N_REMOVERS]; /* have hidden config.json, although it may be back */
	unsigned n_removers;     /* ever: a ring */
	uint64_t hider_ms;       /* last request of a process that hid something */
	struct timer grace;
	/* Who made the draft that this was: it sees the other two files as absent
	 * until it has created them itself. */
	struct process creator;
	bool created[WORK_N_FILES];
	uint64_t became_ms;      /* when the draft became a stack; 0: it was none */
	int64_t made_wall_ms;
	struct create_memory memory;
	/* The last save that was refused. */
	char *error;             /* user.stacksfs.error, or NULL */
	uint64_t refused_by;     /* the serial of the draft; 0: of none */
	struct process refused_writer;
	size_t refused_len;      /* of its text, which whoever likes may edit since */
	uint64_t refused_hash;
	mode_t config_mode;      /* permission bits; chmod's, for the mount's life */
	bool has_config_mode;
	/* What the kernel is doing itself, and is not to be told of: */
	char *renaming; /* RENAME of the directory to that name, or NULL */
	const struct node *replacing; /* RENAME of that file onto config.json, or NULL */
	bool removing;  /* RMDIR */
	bool rotating;  /* UNLINK of systemToken */
};

/* The directory's, made when there is none.  NULL: no memory. */
struct work *work_get(struct fs *fs, struct dir *dir);
void work_free(struct work *work); /* NULL is fine */

bool work_hides(const struct dir *dir, enum node_kind kind);
bool work_hides_any(const struct dir *dir);
/* -ENOMEM. */
NODISCARD int work_hide(struct fs *fs, struct dir *dir, enum node_kind kind,
			const struct process *by);
void work_show(struct dir *dir, enum node_kind kind);
void work_show_all(struct dir *dir);
/* Whether the op's process hid config.json here; or was the last that did, whether or
 * not it is still hidden. */
bool work_hid_config(const struct dir *dir, struct fs_op *op);
bool work_removed_config(const struct dir *dir, struct fs_op *op);
/* A request in the directory: what its process has hidden stays so for longer. */
void work_touched(struct fs *fs, const struct dir *dir, struct fs_op *op);
/* Whether it was a draft until less than grace ago. */
bool work_just_became(const struct dir *dir);
/* Whether the op's process made the draft that this is, or was until a moment ago:
 * it may be copying a whole directory. */
bool work_is_copier(const struct dir *dir, struct fs_op *op);
/* The same, and it has not created that file yet: then it may. */
bool work_may_create(const struct dir *dir, enum node_kind kind, struct fs_op *op);
/* What it has created is gone. */
void work_may_create_again(const struct dir *dir, enum node_kind kind);
/* Whether the op, a lookup, is to find nothing for that. */
bool work_sees_absent(const struct dir *dir, enum node_kind kind, struct fs_op *op);

/* At most max events a minute. */
#define LIMIT_WINDOW_MS 60000
#define LIMIT_MAX       4096
struct limit {
	unsigned max; /* 0: no limit */
	uint64_t *at_ms; /* ring of max */
	uint64_t n;
};
NODISCARD int limit_init(struct limit *limit, unsigned max); /* -ENOMEM */
void limit_done(struct limit *limit);
/* Count one more, or false. */
bool limit_take(struct limit *limit, uint64_t now_ms);
/* The one just counted did not happen. */
void limit_give_back(struct limit *limit);

/* The last directories that were opened, and by which threads. */
#define OPENERS_MAX 4096
struct openers {
	struct opener {
		uint64_t cookie; /* of the directory; 0: none */
		pid_t tid;
	} ring[OPENERS_MAX];
	unsigned next;
};
void openers_add(struct openers *openers, uint64_t cookie, pid_t tid);
bool openers_have(const struct openers *openers, uint64_t cookie, const struct process *process);

#endif
