/* SPDX-License-Identifier: MIT */
/* The orders in which programs go through the directories of the root.
 *
 * That of the listing is there anyhow.  Those by name are sorted arrays, made
 * when somebody first asks and kept in step from then on. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tree/private.h"

typedef int compare_fn(const char *a, const char *b);

/* What a dictionary's order makes of a character: punctuation, digits, letters. */
static int weight(unsigned char c)
{
	int class = isalpha(c) || c >= 0x80 ? 2 : isdigit(c) ? 1 : 0;

	return class << 8 | tolower(c);
}

/* Near enough to strcoll in the common locales of glibc: which one the caller has
 * is not known here, and a scan may skip a few. */
static int compare_collated(const char *a, const char *b)
{
	const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;

	while (*x && weight(*x) == weight(*y)) {
		x++;
		y++;
	}
	if (*x && *y)
		return weight(*x) - weight(*y);
	return *x || *y ? *x - *y : strcmp(a, b);
}

/* "a-b/" comes before "a/". */
static int compare_paths(const char *a, const char *b)
{
	const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;

	while (*x && *x == *y) {
		x++;
		y++;
	}
	return (*x ? *x : '/') - (*y ? *y : '/');
}

static compare_fn *const compare[TREE_N_SORTED] = {
	[TREE_BY_BYTES] = strcmp,
	[TREE_BY_PATH] = compare_paths,
	[TREE_COLLATED] = compare_collated,
};

static int compare_dirs(const void *a, const void *b, void *arg)
{
	const struct dir *const *x = a, *const *y = b;

	return (*(compare_fn **)arg)((*x)->name, (*y)->name);
}

/* Where the name is, or would be. */
static size_t place_of(const struct sorted *s, compare_fn *cmp, const char *name)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (cmp(s->dirs[mid]->name, name) < 0)
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
		size_t at = place_of(s, compare[i], dir->name);
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
		size_t at = place_of(s, compare[i], dir->name);
		if (at == s->n || s->dirs[at] != dir)
			continue; /* it was never entered */
		s->n--;
		memmove(s->dirs + at, s->dirs + at + 1, (s->n - at) * sizeof(*s->dirs));
	}
}

size_t tree_upcoming(struct tree *tree, const struct dir *dir, enum tree_order order,
		      struct dir **out, size_t n)
{
	struct dir *const *dirs = tree->order;
	size_t n_dirs = tree->n_order, at;

	if (order == TREE_LISTED) {
		at = order_index(tree, dir->cookie);
	} else {
		const struct sorted *s = &tree->sorted[order];

		if (!sorted_make(tree, order))
			return 0;
		dirs = s->dirs;
		n_dirs = s->n;
		at = place_of(s, compare[order], dir->name) + 1;
	}
	if (at >= n_dirs)
		return 0;
	if (n > n_dirs - at)
		n = n_dirs - at;
	memcpy(out, dirs + at, n * sizeof(*out));
	return n;
}
