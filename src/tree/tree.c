/* SPDX-License-Identifier: MIT */
/* Names and listings; nodes are in node.c.
 *
 * Listings go by a number that each stack gets when it is added: it is the
 * cookie of readdir, so a listing that goes on while stacks come and go neither
 * skips nor repeats one. */
#include "tree/tree.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "tree"
#include "base/log.h"
#include "tree/private.h"

int tree_new(const struct tree_events *events, struct tree **ret)
{
	CLEANUP(tree_freep) struct tree *tree = calloc(1, sizeof(*tree));

	if (!tree)
		return -ENOMEM;
	tree->events = *events;
	tree->next_cookie = TREE_FIRST_COOKIE;
	int r = nodes_init(tree);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(tree);
	return 0;
}

static void name_free(struct tree *tree, struct root_name *name)
{
	struct root_name **at = &name->dir->names;

	while (*at != name)
		at = &(*at)->next;
	*at = name->next;
	HASH_DEL(tree->names, name);
	if (name->link)
		tree_detach(tree, name->link);
	free(name);
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < tree->n_order; i++) {
		struct dir *dir = tree->order[i];

		while (dir->locals)
			tree_unlink(tree, dir->locals->node);
		while (dir->names)
			name_free(tree, dir->names);
		tree_dir_unref(tree, dir);
	}
	nodes_done(tree);
	order_done(tree);
	free(tree->order);
	free(tree);
}

void tree_dir_unref(struct tree *tree, struct dir *dir)
{
	if (!dir || --dir->refs > 0)
		return;
	if (tree->events.dir_gone)
		tree->events.dir_gone(tree->events.arg, dir);
	stack_unref(dir->stack);
	free(dir->made_as);
	free(dir);
}

struct dir *tree_dir_ref(struct dir *dir)
{
	dir->refs++;
	return dir;
}

static struct root_name *find_name(const struct tree *tree, const char *s)
{
	struct root_name *name;

	HASH_FIND_STR(tree->names, s, name);
	return name;
}

struct dir *tree_find(const struct tree *tree, const char *s, bool *ret_old)
{
	struct root_name *name = find_name(tree, s);

	if (!name)
		return NULL;
	*ret_old = name->old;
	return name->dir;
}

struct node *tree_old_name(struct tree *tree, const char *s)
{
	struct root_name *name = find_name(tree, s);

	if (!name || !name->old)
		return NULL;
	if (!name->link)
		name->link = node_new(tree, NODE_OLD_NAME, name->dir);
	return name->link;
}

void tree_drop_old_name(struct tree *tree, const char *s)
{
	struct root_name *name = find_name(tree, s);

	if (name && name->old)
		name_free(tree, name);
}

/* Enter a name for dir, in the place of an old one.  -ENOMEM. */
static int enter_name(struct tree *tree, struct dir *dir, const char *s)
{
	size_t size = strlen(s) + 1;
	struct root_name *name = calloc(1, sizeof(*name) + size);

	if (!name)
		return -ENOMEM;
	memcpy(name->name, s, size);
	name->dir = dir;

	struct root_name *before = find_name(tree, s);
	assert(!before || before->old);
	if (before)
		name_free(tree, before);
	HASH_ADD_STR(tree->names, name, name);
	if (!name->hh.tbl) {
		free(name);
		return -ENOMEM;
	}
	name->next = dir->names;
	dir->names = name;
	if (dir->name)
		order_leave(tree, dir);
	dir->name = name->name;
	order_enter(tree, dir);
	tree->events.name_changed(tree->events.arg, s);
	return 0;
}

/* The name that no other stack can have: mkdir may have given it to a draft. */
static int make_way(struct tree *tree, const char *s)
{
	struct root_name *taken = find_name(tree, s);
	char other[32];

	if (!taken || taken->old || taken->dir->stack)
		return 0;
	for (unsigned i = 1; i == 1 || find_name(tree, other); i++)
		snprintf(other, sizeof(other), "draft-%u", i);
	char *made_as = strdup(s);
	struct dir *draft = taken->dir;
	int r = made_as ? tree_rename_draft(tree, draft, other) : -ENOMEM;
	if (r < 0) {
		free(made_as);
		return r;
	}
	draft->made_as = made_as;
	log_warning("the directory %s has no stack yet: it is called %s now, for a stack needs its "
		    "name", made_as, other);
	return 0;
}

/* The stack's plain name, or with its id where another stack has the plain one. */
static int choose_name(struct tree *tree, const struct stack *stack, char out[NAME_MAX_BYTES + 1])
{
	const struct record *record = stack->record;

	name_encode(record->name, record->name_len, &stack->id, false, out);
	struct root_name *taken = find_name(tree, out);
	if (taken && !taken->old && taken->dir->stack != stack)
		name_encode(record->name, record->name_len, &stack->id, true, out);
	return make_way(tree, out);
}

static int append_order(struct tree *tree, struct dir *dir)
{
	if (tree->n_order == tree->cap_order) {
		size_t cap = tree->cap_order ? tree->cap_order * 2 : 64;
		struct dir **order = realloc(tree->order, cap * sizeof(*order));

		if (!order)
			return -ENOMEM;
		tree->order = order;
		tree->cap_order = cap;
	}
	tree->order[tree->n_order++] = dir;
	return 0;
}

/* stack NULL: a draft. */
static int add_dir(struct tree *tree, struct stack *stack, const char *name, struct dir **ret)
{
	struct dir *dir = calloc(1, sizeof(*dir));

	if (!dir)
		return -ENOMEM;
	dir->refs = 1;
	dir->stack = stack ? stack_ref(stack) : NULL;
	dir->cookie = tree->next_cookie;
	dir->next_local_cookie = TREE_FIRST_COOKIE;

	int r = append_order(tree, dir);
	if (r == 0) {
		r = enter_name(tree, dir, name);
		if (r < 0)
			tree->n_order--;
	}
	if (r < 0) {
		tree_dir_unref(tree, dir);
		return r;
	}
	tree->next_cookie++;
	*ret = dir;
	return 0;
}

int tree_add(struct tree *tree, struct stack *stack)
{
	char name[NAME_MAX_BYTES + 1];
	struct dir *dir;

	int r = choose_name(tree, stack, name);
	if (r == 0)
		r = add_dir(tree, stack, name, &dir);
	if (r == 0)
		stack->user = dir;
	return r;
}

static void give_up_name(struct tree *tree, struct root_name *name)
{
	tree->events.name_changed(tree->events.arg, name->name);
	name_free(tree, name);
}

/* The newest come first; those beyond the bound mean nothing any more. */
static void bound_old_names(struct tree *tree, struct dir *dir)
{
	struct root_name *next;
	unsigned n = 0;

	for (struct root_name *name = dir->names; name; name = next) {
		next = name->next;
		if (name->old && ++n > TREE_OLD_NAMES_MAX)
			give_up_name(tree, name);
	}
}

/* The name that dir had until now. */
static void leave_name(struct tree *tree, struct root_name *old, bool keep)
{
	struct dir *dir = old->dir;

	if (!keep) {
		give_up_name(tree, old);
		return;
	}
	old->old = true;
	tree->events.name_changed(tree->events.arg, old->name);
	bound_old_names(tree, dir);
}

/* The symlinks that lead to dir lead elsewhere now, and have another size. */
static void relink(struct tree *tree, struct dir *dir)
{
	struct node *by_id = tree_peek(dir, NODE_ID_LINK);

	if (by_id)
		tree->events.link_changed(tree->events.arg, by_id);
	for (const struct root_name *name = dir->names; name; name = name->next) {
		if (name->link)
			tree->events.link_changed(tree->events.arg, name->link);
	}
}

int tree_rename(struct tree *tree, struct stack *stack, bool keep_old)
{
	struct dir *dir = tree_dir(stack);
	char plain[NAME_MAX_BYTES + 1], name[NAME_MAX_BYTES + 1];

	if (!dir)
		return tree_add(tree, stack);
	int r = choose_name(tree, stack, plain);
	if (r < 0)
		return r;
	name_encode(stack->record->name, stack->record->name_len, &stack->id, true, name);
	/* Whether a stack carries its id stays as it is while its name does. */
	if (strcmp(dir->name, plain) == 0 || strcmp(dir->name, name) == 0)
		return 0;

	struct root_name *old = find_name(tree, dir->name);
	r = enter_name(tree, dir, plain);
	if (r < 0)
		return r;
	relink(tree, dir);
	leave_name(tree, old, keep_old);
	return 0;
}

size_t order_index(const struct tree *tree, uint64_t cookie)
{
	size_t lo = 0, hi = tree->n_order;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (tree->order[mid]->cookie <= cookie)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void remove_dir(struct tree *tree, struct dir *dir)
{
	for (unsigned i = 0; i < NODE_N_SLOTS; i++) {
		if (dir->slots[i])
			tree_detach(tree, dir->slots[i]);
	}
	while (dir->locals)
		tree_unlink(tree, dir->locals->node);
	order_leave(tree, dir);
	while (dir->names)
		give_up_name(tree, dir->names);
	dir->name = "";

	size_t i = order_index(tree, dir->cookie) - 1;
	assert(tree->order[i] == dir);
	memmove(tree->order + i, tree->order + i + 1, (tree->n_order - i - 1) * sizeof(dir));
	tree->n_order--;
	tree_dir_unref(tree, dir);
}

void tree_remove(struct tree *tree, struct stack *stack)
{
	struct dir *dir = tree_dir(stack);

	if (!dir)
		return;
	stack->user = NULL;
	remove_dir(tree, dir);
}

/* ---- drafts ---- */

int tree_add_draft(struct tree *tree, const char *name, struct dir **ret)
{
	if (tree->n_drafts == TREE_DRAFTS_MAX)
		return -ENOSPC;
	int r = add_dir(tree, NULL, name, ret);
	if (r == 0)
		tree->n_drafts++;
	return r;
}

int tree_rename_draft(struct tree *tree, struct dir *dir, const char *name)
{
	struct root_name *old = find_name(tree, dir->name);
	int r = enter_name(tree, dir, name);

	if (r < 0)
		return r;
	leave_name(tree, old, false);
	free(TAKE_PTR(dir->made_as));
	return 0;
}

void tree_remove_draft(struct tree *tree, struct dir *dir)
{
	assert(!dir->stack);
	tree->n_drafts--;
	remove_dir(tree, dir);
}

int tree_adopt(struct tree *tree, struct dir *draft, struct stack *stack)
{
	/* A list was quicker than the answer to our own request. */
	tree_remove(tree, stack);
	order_leave(tree, draft);
	draft->stack = stack_ref(stack);
	order_enter(tree, draft);
	stack->user = draft;
	tree->n_drafts--;
	return tree_rename(tree, stack, true);
}

size_t tree_n_drafts(const struct tree *tree)
{
	return tree->n_drafts;
}

struct dir *tree_after(const struct tree *tree, uint64_t cookie)
{
	size_t i = order_index(tree, cookie);

	return i < tree->n_order ? tree->order[i] : NULL;
}

size_t tree_size(const struct tree *tree)
{
	return tree->n_order;
}
