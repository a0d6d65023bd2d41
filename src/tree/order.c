/* SPDX-License-Identifier: MIT */
/* The orders in which programs go through the directories of the root.
 *
 * That of the listing is there anyhow.  The others are sorted arrays, made
 * when somebody first asks and kept in step from then on. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tree/private.h"

typedef int compare_fn(const struct dir *a, const struct dir *b);

/* What a dictionary's order makes of a character: punctuation, digits, letters. */
static int weight(unsigned char c)
{
	int class = isalpha(c) || c >= 0x80 ? 2 : isdigit(c) ? 1 : 0;

	return class << 8 | tolower(c);
}

/* Near enough to strcoll in the common locales of glibc: which one the caller has
 * is not known here, and a scan may skip a few. */
static int compare_collated(const struct dir *a, const struct dir *b)
{
	const unsigned char *x = (const unsigned char *)a->name;
	const unsigned char *y = (const unsigned char *)b->name;

	while (*x && weight(*x) == weight(*y)) {
		x++;
		y++;
	}
	if (*x && *y)
		return weight(*x) - weight(*y);
	return *x || *y ? *x - *y : strcmp(a->name, b->name);
}

/* "a-b/" comes before "a/". */
static int compare_paths(const struct dir *a, const struct dir *b)
{
	const unsigned char *x = (const unsigned char *)a->name;
	const unsigned char *y = (const unsigned char *)b->name;

	while (*x && *x == *y) {
		x++;
		y++;
	}
	return (*x ? *x : '/') - (*y ? *y : '/');
}

static int compare_bytes(const struct dir *a, const struct dir *b)
{
	return strcmp(a->name, b->name);
}

static uint64_t ino_of(const struct dir *dir)
{
	return dir->stack ? tree_stack_ino(dir->stack, NODE_STACK) : 0;
}

static int compare_inos(const struct dir *a, const struct dir *b)
{
	uint64_t x = ino_of(a), y = ino_of(b);

	if (x != y)
		return x < y ? -1 : 1;
	return a->cookie < b->cookie ? -1 : a->cookie > b->cookie;
}

static compare_fn *const compare[TREE_N_SORTED] = {
	[TREE_BY_BYTES] = compare_bytes,
	[TREE_BY_PATH] = compare_paths,
	[TREE_COLLATED] = compare_collated,
	[TREE_BY_INO] = compare_inos,
};

static int compare_dirs(const void *a, const void *b, void *arg)
{
	const struct dir *const *x = a, *const *y = b;

	return (*(compare_fn **)arg)(*x, *y);
}

/* Where dir is, or would be. */
static size_t place_of(const struct sorted *s, compare_fn *cmp, const struct dir *dir)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (cmp(s->dirs[mid], dir) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool sorted_make(struct tree *tree, enum tree_order order)
{
	struct sorted *s = &tree->sorted[order];
	compare_fn *cmp = compare[order];

	if (s->dirs)
		return true;
	s->room = tree->n_order + 64;
	s->dirs = malloc(s->room * sizeof(*s->dirs));
	if (!s->dirs)
		return false;
	s->n = tree->n_order;
	memcpy(s->dirs, tree->order, s->n * sizeof(*s->dirs));
	qsort_r(s->dirs, s->n, sizeof(*s->dirs), compare_dirs, &cmp);
	return true;
}

static void sorted_drop(struct sorted *s)
{
	free(s->dirs);
	*s = (struct sorted){ 0 };
}

void order_done(struct tree *tree)
{
	for (unsigned i = 0; i < TREE_N_SORTED; i++)
		sorted_drop(&tree->sorted[i]);
}

void order_enter(struct tree *tree, struct dir *dir)
{
	for (unsigned i = 0; i < TREE_N_SORTED; i++) {
		struct sorted *s = &tree->sorted[i];

		if (!s->dirs)
			continue;
		if (s->n == s->room) {
			sorted_drop(s); /* and made anew, with more room, when next needed */
			continue;
		}
		size_t at = place_of(s, compare[i], dir);
		memmove(s->dirs + at + 1, s->dirs + at, (s->n - at) * sizeof(*s->dirs));
		s->dirs[at] = dir;
		s->n++;
	}
}

void order_leave(struct tree *tree, const struct dir *dir)
{
	for (unsigned i = 0; i < TREE_N_SORTED; i++) {
		struct sorted *s = &tree->sorted[i];

		if (!s->dirs)
			continue;
		size_t at = place_of(s, compare[i], dir);
		if (at == s->n || s->dirs[at] != dir)
			continue; /* it was never entered */
		s->n--;
		memmove(s->dirs + at, s->dirs + at + 1, (s->n - at) * sizeof(*s->dirs));
	}
}

/* At most n of them from there on. */
static size_t copy(struct dir *const *dirs, size_t n_dirs, size_t from, struct dir **out, size_t n)
{
	size_t left = from < n_dirs ? n_dirs - from : 0;

	if (n > left)
		n = left;
	if (n > 0)
		memcpy(out, dirs + from, n * sizeof(*out));
	return n;
}

/* At most n of those before end, the last first. */
static size_t copy_back(struct dir *const *dirs, size_t end, struct dir **out, size_t n)
{
	if (n > end)
		n = end;
	for (size_t i = 0; i < n; i++)
		out[i] = dirs[end - 1 - i];
	return n;
}

size_t tree_upcoming(struct tree *tree, const struct dir *dir, enum tree_order order,
		      struct dir **out, size_t n)
{
	if (order == TREE_LISTED)
		return copy(tree->order, tree->n_order, order_index(tree, dir->cookie), out, n);
	if (order == TREE_LISTED_BACK)
		return copy_back(tree->order, order_index(tree, dir->cookie - 1), out, n);
	if (!sorted_make(tree, order))
		return 0;
	const struct sorted *s = &tree->sorted[order];
	return copy(s->dirs, s->n, place_of(s, compare[order], dir) + 1, out, n);
}
