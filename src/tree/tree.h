/* SPDX-License-Identifier: MIT */
/* tree: inodes and names: which node the kernel means, which stack a name
 * means.  No I/O, no time.
 *
 * A node is what the kernel holds under a node id that is never given out
 * again; a stack's config.json is a slot that points to a node.  When somebody
 * still reads a version that was replaced, the old node is detached from its
 * slot and keeps that version, and the path gets a new node.  st_ino does not
 * follow the node but the role, so it is the same on every mount.
 *
 * Threads: inside the monitor only. */
#ifndef TREE_TREE_H
#define TREE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/macros.h"
#include "store/store.h"
#include "tree/name.h"

enum node_kind {
	/* one each, with fixed node ids */
	NODE_ROOT,
	NODE_CONTROL, /* .stacksfs */
	NODE_STATUS,
	NODE_ERRORS,
	NODE_REFRESH,
	NODE_README,
	NODE_BY_ID,
	NODE_HISTORY, /* symlinks to what is kept on disk */
	NODE_LOST,
	NODE_N_FIXED,

	/* the slots of a stack */
	NODE_STACK = NODE_N_FIXED, /* its directory */
	NODE_CONFIG,
	NODE_DEPENDENCIES,
	NODE_TOKEN,
	NODE_ID_LINK, /* by-id/<_id> */
	NODE_END_SLOTS,

	NODE_OLD_NAME = NODE_END_SLOTS, /* a symlink in the root: the stack's name before */

	/* what is only here, by names of its own in a stack's directory */
	NODE_SCRATCH,      /* a file */
	NODE_SCRATCH_LINK, /* a symlink */
	NODE_SINK,         /* a file that forgets what is written to it */
};

#define NODE_N_SLOTS (NODE_END_SLOTS - NODE_STACK)

struct dir;
struct root_name;
struct local_name;
struct content; /* what upper layers keep with a node: see node_gone */
struct draft;

struct node {
	uint64_t id;            /* the kernel's name for it */
	enum node_kind kind;
	bool detached;          /* no path leads here any more */
	bool outdated;          /* ... because the record was replaced by another version */
	bool pages_valid;       /* pages that the kernel keeps are of this version */
	unsigned opens;         /* handles; counted by tree_open and tree_close */
	unsigned writers;       /* those of them that may change the file */
	uint64_t lookups;       /* references the kernel holds */
	/* Until when an open need ask for nothing, neither here nor of the store: what
	 * the kernel keeps, the listing of a directory (as long as all entries that it
	 * gave out are valid) or the pages of a file, is of the current version.  On the
	 * clock's scale; 0: ask. */
	uint64_t fresh_until_ms;
	uint64_t dir_cookie;    /* dir's: here, for who has no other need of dir */
	struct draft *draft;    /* NODE_CONFIG: what is being written, or NULL */
	struct draft *was;      /* NODE_SCRATCH: the refused draft that it was, or NULL */
	/* The version that the kernel was last told of, and that open handles read. */
	struct blob *blob;      /* NODE_TOKEN, NODE_DEPENDENCIES: holds a reference, or NULL */
	struct record *record;  /* NODE_CONFIG: likewise */
	struct dir *dir;        /* NULL for the fixed ones; holds a reference */
	struct local_name *local; /* its name, of what is only here */
	struct content *content;  /* NODE_SCRATCH, NODE_SCRATCH_LINK, NODE_SINK */
};

struct dir {
	struct stack *stack;    /* holds a reference; NULL: a draft, which is only here */
	const char *name;       /* its path component; "" once it is removed */
	char *made_as;          /* the one that mkdir gave it, before a stack needed that; or NULL */
	uint64_t cookie;        /* its place in listings; grows, never reused */
	struct node *slots[NODE_N_SLOTS]; /* see tree_slot */
	struct work *work;      /* the upper layer's: see dir_gone */
	bool listed;            /* likewise: somebody has opened it, ever */
	struct local_name *locals; /* private from here on */
	unsigned n_locals;
	uint64_t next_local_cookie;
	struct root_name *names;
	unsigned refs;
};

#define TREE_LOCALS_MAX 1024 /* in one directory */
#define TREE_OLD_NAMES_MAX 8 /* of one directory */
#define TREE_DRAFTS_MAX 256  /* directories that are only here */

struct tree;

struct tree_events {
	/* name means something else now, or nothing, or something at last. */
	void (*name_changed)(void *arg, const char *name);
	/* A symlink leads to another name now, and has another size. */
	void (*link_changed)(void *arg, struct node *node);
	/* node is no longer what its path leads to; it may be in use. */
	void (*detached)(void *arg, struct node *node);
	/* They are about to be freed, with what the upper layer keeps there. */
	void (*node_gone)(void *arg, struct node *node);
	void (*dir_gone)(void *arg, struct dir *dir);
	void *arg;
};

NODISCARD int tree_new(const struct tree_events *events, struct tree **ret); /* -ENOMEM */
void tree_free(struct tree *tree); /* whatever the kernel holds; NULL is fine */
DEFINE_CLEANUP(struct tree, tree_free)

/* ---- stacks ---- */

/* Give the stack a directory, in stack->user.  Where its plain name is taken
 * it gets "name~<_id>", and keeps that.  -ENOMEM. */
NODISCARD int tree_add(struct tree *tree, struct stack *stack);
/* Its record has another name: the directory follows it.  With keep_old the old
 * name stays as an unlisted symlink until another stack needs it, or it has been
 * renamed TREE_OLD_NAMES_MAX times more.  -ENOMEM. */
NODISCARD int tree_rename(struct tree *tree, struct stack *stack, bool keep_old);
/* Its directory, and all in it, is detached. */
void tree_remove(struct tree *tree, struct stack *stack);

/* A directory that is only here; the name is not in use, but for an old one.
 * -ENOSPC (TREE_DRAFTS_MAX), -ENOMEM. */
NODISCARD int tree_add_draft(struct tree *tree, const char *name, struct dir **ret);
NODISCARD int tree_rename_draft(struct tree *tree, struct dir *dir, const char *name); /* -ENOMEM */
void tree_remove_draft(struct tree *tree, struct dir *dir);
/* The draft becomes the stack's directory, and is renamed after it; one that the
 * stack has already is removed.  -ENOMEM. */
NODISCARD int tree_adopt(struct tree *tree, struct dir *draft, struct stack *stack);
size_t tree_n_drafts(const struct tree *tree);

static inline struct dir *tree_dir(const struct stack *stack)
{
	return stack->user;
}

/* The stack's directory, or an old name's; NULL when the name means nothing. */
struct dir *tree_find(const struct tree *tree, const char *name, bool *ret_old);

/* The old name means nothing any more.  The kernel knows already. */
void tree_drop_old_name(struct tree *tree, const char *name);

/* A directory stays, without a name and a place, while somebody refers to it. */
struct dir *tree_dir_ref(struct dir *dir);
void tree_dir_unref(struct tree *tree, struct dir *dir); /* NULL is fine */

/* The first stack whose cookie is greater; NULL at the end.  Cookies begin at
 * TREE_FIRST_COOKIE. */
struct dir *tree_after(const struct tree *tree, uint64_t cookie);
#define TREE_FIRST_COOKIE 16
size_t tree_size(const struct tree *tree);

/* The orders in which programs go through the root. */
enum tree_order {
	TREE_BY_BYTES, /* of the names: sorted(), a shell's glob in the C locale */
	TREE_BY_PATH,  /* the same with a slash behind: rsync, git */
	TREE_COLLATED, /* about as other locales have them */
	TREE_BY_INO,   /* of the inode numbers: cp -r */
	TREE_N_SORTED,
	TREE_LISTED = TREE_N_SORTED, /* as readdir does: tar, grep, find, rm */
	TREE_LISTED_BACK, /* the other way round: bash, for what follows a glob in a path */
	TREE_N_ORDERS,
};
/* The next ones after dir, at most n, drafts too; how many there are in out. */
size_t tree_upcoming(struct tree *tree, const struct dir *dir, enum tree_order order,
		      struct dir **out, size_t n);

/* ---- nodes ---- */

/* NULL when the kernel names what we do not have. */
struct node *tree_node(const struct tree *tree, uint64_t id);
struct node *tree_fixed(const struct tree *tree, enum node_kind kind);
/* Have the nodes that were made next after that one at hand, in the processor's caches: who
 * goes through directories opens them next, and to fetch a node from memory takes longer than
 * all else of an open. */
void tree_foresee(const struct tree *tree, uint64_t id);
/* All of them; see must not make or free any. */
void tree_each_node(const struct tree *tree, void (*see)(void *arg, struct node *node), void *arg);
/* Its id; the only thing here that may be asked outside the monitor. */
static inline uint64_t tree_fixed_id(enum node_kind kind)
{
	return (uint64_t)kind + 1; /* the root's is 1, as the kernel wants it */
}
/* The node of a slot, made when there is none.  NULL: no memory. */
struct node *tree_slot(struct tree *tree, struct dir *dir, enum node_kind kind);
/* The same without making one: NULL also when there is none. */
struct node *tree_peek(const struct dir *dir, enum node_kind kind);
/* The symlink node of an old name.  NULL: no memory, or no such old name. */
struct node *tree_old_name(struct tree *tree, const char *name);
/* The path gets a new node when it is next looked up. */
void tree_detach(struct tree *tree, struct node *node);

/* ---- what is only here ---- */

/* The node of that name in the directory; NULL when there is none. */
struct node *tree_local(const struct dir *dir, const char *name);
/* The first whose cookie is greater; NULL at the end. */
struct node *tree_local_after(const struct dir *dir, uint64_t cookie, const char **ret_name,
			      uint64_t *ret_cookie);
/* Make one.  The name is free.  -ENOSPC (TREE_LOCALS_MAX), -ENOMEM. */
NODISCARD int tree_local_new(struct tree *tree, struct dir *dir, enum node_kind kind,
			     const char *name, struct node **ret);
/* A NODE_SINK that no path leads to.  NULL: no memory. */
struct node *tree_sink(struct tree *tree, struct dir *dir);
/* Move a node within its directory: to a name of its own, as that kind, or into a
 * slot.  Who was there is detached.  The kernel knows already: no events.
 * -ENOSPC, -ENOMEM. */
NODISCARD int tree_move_to_local(struct tree *tree, struct node *node, enum node_kind kind,
				 const char *name);
void tree_move_to_slot(struct tree *tree, struct node *node, enum node_kind kind);
/* Detach a node; the kernel knows already: no events.  It may be freed. */
void tree_unlink(struct tree *tree, struct node *node);
/* Free the node if nothing knows it any more: after its draft has ended. */
void tree_reap(struct tree *tree, struct node *node);
const char *tree_local_name(const struct node *node); /* "" when it has none */

void tree_looked_up(struct node *node);
void tree_forget(struct tree *tree, struct node *node, uint64_t n);
void tree_open(struct node *node);
void tree_close(struct tree *tree, struct node *node);

/* st_ino: from the _id and the role, equal on every mount of the account; in
 * one stack token < dependencies < config.json. */
uint64_t tree_ino(const struct node *node);
uint64_t tree_stack_ino(const struct stack *stack, enum node_kind kind);

#endif
