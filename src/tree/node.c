/* SPDX-License-Identifier: MIT */
/* Nodes.  A node id is a place in a table and the number of the node's turn in
 * that place, so no id ever comes back and finding a node is one step. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/private.h"

/* The roles' order is the order of inode numbers in a stack: who copies by
 * inode number (cp -r) takes config.json last. */
static const unsigned char role_of[NODE_N_SLOTS] = {
	[NODE_STACK - NODE_STACK] = 0,        [NODE_TOKEN - NODE_STACK] = 1,
	[NODE_DEPENDENCIES - NODE_STACK] = 2, [NODE_CONFIG - NODE_STACK] = 3,
	[NODE_ID_LINK - NODE_STACK] = 4,
};

#define FORESEEN 4 /* a directory and its files */

#define ROLE_BITS 3
#define OLD_NAME_ROLE 5
#define LOCAL_ROLE    6
#define DRAFT_ROLE    7

/* A well-mixed number of the twelve bytes (the finalizer of splitmix64). */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static uint64_t id_number(const struct stack_id *id)
{
	uint64_t high = 0, low = 0;

	for (unsigned i = 0; i < 8; i++)
		high = high << 8 | id->bytes[i];
	for (unsigned i = 8; i < 12; i++)
		low = low << 8 | id->bytes[i];
	return mix(mix(high) + low);
}

static uint64_t role_ino(const struct stack *stack, unsigned role)
{
	/* Positive for who keeps it in a signed number; away from the fixed ones. */
	uint64_t base = id_number(&stack->id) & (UINT64_MAX >> (1 + ROLE_BITS));

	return ((base | 16) << ROLE_BITS) + role;
}

uint64_t tree_stack_ino(const struct stack *stack, enum node_kind kind)
{
	return role_ino(stack, role_of[kind - NODE_STACK]);
}

/* Of what is only here: no two at once, and no stack's. */
static uint64_t local_ino(uint64_t number, unsigned role)
{
	return ((number << ROLE_BITS) & (UINT64_MAX >> 1)) + role;
}

uint64_t tree_ino(const struct node *node)
{
	if (node->kind < NODE_N_FIXED)
		return (uint64_t)node->kind + 1;
	if (node->kind > NODE_OLD_NAME || (!node->dir->stack && node->kind != NODE_STACK))
		return local_ino(node->id, LOCAL_ROLE);
	if (!node->dir->stack)
		return local_ino(node->dir->cookie, DRAFT_ROLE);
	if (node->kind == NODE_OLD_NAME)
		return role_ino(node->dir->stack, OLD_NAME_ROLE);
	return tree_stack_ino(node->dir->stack, node->kind);
}

/* ---- the table ---- */

static int grow(struct tree *tree)
{
	uint32_t cap = tree->cap_places ? tree->cap_places * 2 : 64;
	struct node_place *places;

	if (tree->cap_places > UINT32_MAX / 2)
		return -ENOMEM;
	places = realloc(tree->places, cap * sizeof(*places));
	if (!places)
		return -ENOMEM;
	memset(places + tree->cap_places, 0, (cap - tree->cap_places) * sizeof(*places));
	tree->places = places;
	tree->cap_places = cap;
	return 0;
}

static uint32_t take_place(struct tree *tree)
{
	uint32_t i = tree->free_place;

	if (i) {
		tree->free_place = tree->places[i].next_free;
		return i;
	}
	if (tree->n_places == tree->cap_places && grow(tree) < 0)
		return 0;
	return tree->n_places++;
}

struct node *node_new(struct tree *tree, enum node_kind kind, struct dir *dir)
{
	struct node *node = calloc(1, sizeof(*node));
	uint32_t i = node ? take_place(tree) : 0;

	if (!i) {
		free(node);
		return NULL;
	}
	node->id = (uint64_t)tree->places[i].generation << 32 | i;
	node->kind = kind;
	node->dir = dir;
	if (dir) {
		node->dir_cookie = dir->cookie;
		dir->refs++;
	}
	tree->places[i].node = node;
	return node;
}

static void node_free(struct tree *tree, struct node *node)
{
	uint32_t i = (uint32_t)node->id;
	struct node_place *place = &tree->places[i];

	if (tree->events.node_gone)
		tree->events.node_gone(tree->events.arg, node);
	place->node = NULL;
	/* After 2^32 turns the place is not used again. */
	if (++place->generation != 0) {
		place->next_free = tree->free_place;
		tree->free_place = i;
	}
	record_unref(node->record);
	blob_unref(node->blob);
	tree_dir_unref(tree, node->dir);
	free(node);
}

int nodes_init(struct tree *tree)
{
	tree->n_places = 1;
	if (grow(tree) < 0)
		return -ENOMEM;
	for (unsigned kind = 0; kind < NODE_N_FIXED; kind++) {
		struct node *node = node_new(tree, kind, NULL);

		if (!node)
			return -ENOMEM;
		assert(node->id == tree_fixed_id(kind));
	}
	return 0;
}

void nodes_done(struct tree *tree)
{
	for (uint32_t i = 0; i < tree->n_places; i++) {
		struct node *node = tree->places[i].node;

		if (node)
			node_free(tree, node);
	}
	free(tree->places);
}

struct node *tree_node(const struct tree *tree, uint64_t id)
{
	uint32_t i = (uint32_t)id;
	struct node *node = i < tree->n_places ? tree->places[i].node : NULL;

	return node && node->id == id ? node : NULL;
}

void tree_foresee(const struct tree *tree, uint64_t id)
{
	uint32_t next = (uint32_t)id + 1;

	for (uint32_t i = next; i < next + FORESEEN && i < tree->n_places; i++) {
		const struct node *node = tree->places[i].node;

		if (node) {
			__builtin_prefetch(&node->id, 1);
			__builtin_prefetch(&node->dir_cookie, 1);
		}
	}
}

void tree_each_node(const struct tree *tree, void (*see)(void *arg, struct node *node), void *arg)
{
	for (uint32_t i = 0; i < tree->n_places; i++) {
		if (tree->places[i].node)
			see(arg, tree->places[i].node);
	}
}

struct node *tree_fixed(const struct tree *tree, enum node_kind kind)
{
	return tree->places[kind + 1].node;
}

/* ---- slots and references ---- */

struct node *tree_peek(const struct dir *dir, enum node_kind kind)
{
	return dir->slots[kind - NODE_STACK];
}

struct node *tree_slot(struct tree *tree, struct dir *dir, enum node_kind kind)
{
	struct node **slot = &dir->slots[kind - NODE_STACK];

	if (!*slot)
		*slot = node_new(tree, kind, dir);
	return *slot;
}

void node_leave_place(struct tree *tree, struct node *node)
{
	node->fresh_until_ms = 0;
	if (node->local) {
		local_remove(node);
		return;
	}
	if (node->kind != NODE_OLD_NAME) {
		node->dir->slots[node->kind - NODE_STACK] = NULL;
		return;
	}
	for (struct root_name *name = node->dir->names; name; name = name->next) {
		if (name->link == node)
			name->link = NULL;
	}
}

/* Gone when neither the kernel nor a handle knows it. */
void tree_reap(struct tree *tree, struct node *node)
{
	if (node->kind < NODE_N_FIXED || node->lookups > 0 || node->opens > 0)
		return;
	/* What is only here lives by its name, an unsaved text by its place. */
	if (!node->detached && (node->local || node->draft))
		return;
	if (!node->detached)
		node_leave_place(tree, node);
	node_free(tree, node);
}

void tree_detach(struct tree *tree, struct node *node)
{
	if (node->detached)
		return;
	node_leave_place(tree, node);
	node->detached = true;
	tree->events.detached(tree->events.arg, node);
	tree_reap(tree, node);
}

void tree_looked_up(struct node *node)
{
	node->lookups++;
}

void tree_forget(struct tree *tree, struct node *node, uint64_t n)
{
	node->lookups -= n < node->lookups ? n : node->lookups;
	tree_reap(tree, node);
}

void tree_open(struct node *node)
{
	node->opens++;
}

void tree_close(struct tree *tree, struct node *node)
{
	assert(node->opens > 0);
	node->opens--;
	tree_reap(tree, node);
}
