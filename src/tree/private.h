/* SPDX-License-Identifier: MIT */
/* What the files of tree share. */
#ifndef TREE_PRIVATE_H
#define TREE_PRIVATE_H

/* A file system must not exit because a table could not grow. */
#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION HASH_FNV /* the default's switch falls through, of which clang warns */
#include <uthash.h>

#include "tree/tree.h"

struct root_name {
	UT_hash_handle hh;
	struct dir *dir;
	struct root_name *next; /* of the same dir */
	struct node *link; /* of an old name, once looked up */
	bool old;
	char name[];
};

struct local_name {
	struct local_name *next; /* of the same dir, by cookie */
	struct node *node;
	uint64_t cookie;
	char name[];
};

struct node_place {
	struct node *node;   /* NULL: free */
	uint32_t generation; /* of the next node here */
	uint32_t next_free;  /* index, 0: none */
};

/* All of tree->order in another order; dirs is NULL until somebody asks. */
struct sorted {
	struct dir **dirs;
	size_t n, room;
};

struct tree {
	struct tree_events events;
	struct root_name *names;
	struct dir **order; /* by cookie */
	size_t n_order, cap_order;
	struct sorted sorted[TREE_N_SORTED]; /* by enum tree_order */
	size_t n_drafts;
	uint64_t next_cookie;

	struct node_place *places; /* by the lower half of a node id; [0] is not used */
	uint32_t n_places, cap_places;
	uint32_t free_place;
};

NODISCARD int nodes_init(struct tree *tree);
void nodes_done(struct tree *tree);
struct node *node_new(struct tree *tree, enum node_kind kind, struct dir *dir);
void node_leave_place(struct tree *tree, struct node *node);

/* tree.c: the first in tree->order whose cookie is greater. */
size_t order_index(const struct tree *tree, uint64_t cookie);

/* order.c: dir has its name and its stack; dir is about to lose one of them */
void order_enter(struct tree *tree, struct dir *dir);
void order_leave(struct tree *tree, const struct dir *dir);
void order_done(struct tree *tree);

/* local.c */
void local_remove(struct node *node);

#endif
