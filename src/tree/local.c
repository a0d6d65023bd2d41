/* SPDX-License-Identifier: MIT */
/* What is only here: scratch files of editors, by their names in a stack's
 * directory.  They are few, so a list does. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/private.h"

struct node *tree_local(const struct dir *dir, const char *name)
{
	for (struct local_name *l = dir->locals; l; l = l->next) {
		if (strcmp(l->name, name) == 0)
			return l->node;
	}
	return NULL;
}

struct node *tree_local_after(const struct dir *dir, uint64_t cookie, const char **ret_name,
			      uint64_t *ret_cookie)
{
	struct local_name *l = dir->locals;

	while (l && l->cookie <= cookie)
		l = l->next;
	if (!l)
		return NULL;
	*ret_name = l->name;
	*ret_cookie = l->cookie;
	return l->node;
}

const char *tree_local_name(const struct node *node)
{
	return node->local ? node->local->name : "";
}

/* instead: another name goes for it. */
static int name_new(struct dir *dir, const char *name, bool instead, struct local_name **ret)
{
	size_t size = strlen(name) + 1;
	struct local_name *l;

	if (dir->n_locals == TREE_LOCALS_MAX && !instead)
		return -ENOSPC;
	l = calloc(1, sizeof(*l) + size);
	if (!l)
		return -ENOMEM;
	memcpy(l->name, name, size);
	*ret = l;
	return 0;
}

static void enter(struct dir *dir, struct local_name *l, struct node *node)
{
	struct local_name **at = &dir->locals;

	while (*at)
		at = &(*at)->next;
	*at = l;
	l->node = node;
	l->cookie = dir->next_local_cookie++;
	node->local = l;
	dir->n_locals++;
}

void local_remove(struct node *node)
{
	struct dir *dir = node->dir;
	struct local_name **at = &dir->locals;

	while (*at != node->local)
		at = &(*at)->next;
	*at = node->local->next;
	free(node->local);
	node->local = NULL;
	dir->n_locals--;
}

int tree_local_new(struct tree *tree, struct dir *dir, enum node_kind kind, const char *name,
		   struct node **ret)
{
	struct local_name *l;
	int r = name_new(dir, name, false, &l);

	if (r < 0)
		return r;
	struct node *node = node_new(tree, kind, dir);
	if (!node) {
		free(l);
		return -ENOMEM;
	}
	enter(dir, l, node);
	*ret = node;
	return 0;
}

struct node *tree_sink(struct tree *tree, struct dir *dir)
{
	struct node *node = node_new(tree, NODE_SINK, dir);

	if (node)
		node->detached = true;
	return node;
}

void tree_unlink(struct tree *tree, struct node *node)
{
	if (node->detached)
		return;
	node_leave_place(tree, node);
	node->detached = true;
	tree_reap(tree, node);
}

int tree_move_to_local(struct tree *tree, struct node *node, enum node_kind kind, const char *name)
{
	struct node *there = tree_local(node->dir, name);
	struct local_name *l;

	assert(!node->detached);
	if (there == node)
		return 0;
	int r = name_new(node->dir, name, node->local || there, &l);
	if (r < 0)
		return r;
	if (there)
		tree_unlink(tree, there);
	node_leave_place(tree, node);
	node->kind = kind;
	enter(node->dir, l, node);
	return 0;
}

void tree_move_to_slot(struct tree *tree, struct node *node, enum node_kind kind)
{
	struct node *there = tree_peek(node->dir, kind);

	assert(!node->detached);
	if (there == node)
		return;
	if (there)
		tree_unlink(tree, there);
	node_leave_place(tree, node);
	node->kind = kind;
	node->dir->slots[kind - NODE_STACK] = node;
}
