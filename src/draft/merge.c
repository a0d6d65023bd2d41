/* SPDX-License-Identifier: MIT */
/* One walk down all three at once.  Objects are gone into without asking first
 * whether they are equal, so each value is compared at one level only and the
 * time does not grow with the nesting.
 *
 * A conflict does not end the walk, so that all fields are named at once; what
 * has been written by then is taken back. */
#include "draft/merge.h"

#include <errno.h>

struct merge {
	struct buf *out;
	struct value_paths *conflicts; /* NULL: ours is preferred */
};

static int merge_members(struct merge *m, const struct value *base, const struct value *ours,
			 const struct value *theirs, const struct value_path *up);

static void note_conflict(struct merge *m, const struct value_path *path)
{
	if (m->conflicts)
		value_paths_add(m->conflicts, path);
}

static bool is_same(const struct value *a, const struct value *b)
{
	return a && value_equal(a, b);
}

/* One side has the field and the other has not: base is what it was made of. */
static int merge_single(struct merge *m, const struct value *base, const struct value *field,
			bool is_ours, const struct value_path *up)
{
	struct value_path path = { .up = up, .at = field };

	if (!base)
		return value_write_member(field, m->out); /* added */
	if (value_equal(base, field))
		return 0; /* removed */
	note_conflict(m, &path);
	return is_ours && !m->conflicts ? value_write_member(field, m->out) : 0;
}

/* Both sides have the field. */
static int merge_field(struct merge *m, const struct value *base, const struct value *ours,
		       const struct value *theirs, const struct value_path *up)
{
	struct value_path path = { .up = up, .at = ours };
	bool objects = value_is_object(ours) && value_is_object(theirs);
	int r = value_lead(ours, m->out);

	if (r < 0)
		return r;
	if (objects && (!base || value_is_object(base)))
		return merge_members(m, base, ours, theirs, &path);
	if (is_same(base, theirs) || value_equal(ours, theirs))
		return value_write(ours, m->out);
	if (is_same(base, ours))
		return value_write(theirs, m->out);
	note_conflict(m, &path);
	return m->conflicts ? 0 : value_write(ours, m->out);
}

static int merge_members(struct merge *m, const struct value *base, const struct value *ours,
			 const struct value *theirs, const struct value_path *up)
{
	int r = value_open(ours, m->out);

	for (const struct value *o = value_first(ours); r == 0 && o < value_end(ours);
	     o = value_next(o)) {
		const struct value *t = value_like(theirs, o);
		const struct value *b = value_like(base, o);

		r = t ? merge_field(m, b, o, t, up) : merge_single(m, b, o, true, up);
	}
	for (const struct value *t = value_first(theirs); r == 0 && t < value_end(theirs);
	     t = value_next(t)) {
		if (!value_like(ours, t))
			r = merge_single(m, value_like(base, t), t, false, up);
	}
	return r < 0 ? r : value_close(ours, m->out);
}

static int merge_trees(struct merge *m, const struct value *base, const struct value *ours,
		       const struct value *theirs)
{
	size_t before = m->out->len;

	if (!value_is_object(base) || !value_is_object(ours) || !value_is_object(theirs))
		return -EBADMSG;
	int r = merge_members(m, base, ours, theirs, NULL);
	if (r == 0 && m->conflicts && m->conflicts->n > 0)
		r = -EBUSY;
	if (r == 0 && m->out->len - before > DOCUMENT_MAX_BYTES)
		r = -EFBIG;
	if (r < 0)
		buf_cut(m->out, before);
	if (r < 0 && r != -EBUSY && m->conflicts)
		m->conflicts->n = m->conflicts->more = 0;
	return r == -EMSGSIZE ? -EFBIG : r;
}

static int merge(struct merge *m, struct document base, struct document ours,
		 struct document theirs)
{
	CLEANUP(value_tree_done) struct value_tree b = { 0 };
	CLEANUP(value_tree_done) struct value_tree o = { 0 };
	CLEANUP(value_tree_done) struct value_tree t = { 0 };
	int r = value_tree_parse(&b, base.text, base.len);
	if (r == 0)
		r = value_tree_parse(&o, ours.text, ours.len);
	if (r == 0)
		r = value_tree_parse(&t, theirs.text, theirs.len);
	return r < 0 ? r : merge_trees(m, b.root, o.root, t.root);
}

int merge_three(struct document base, struct document ours, struct document theirs, struct buf *out,
		struct value_paths *ret_conflicts)
{
	struct merge m = { .out = out, .conflicts = ret_conflicts };

	ret_conflicts->n = ret_conflicts->more = 0;
	return merge(&m, base, ours, theirs);
}

int merge_preferring_ours(struct document base, struct document ours, struct document theirs,
			  struct buf *out)
{
	struct merge m = { .out = out };

	return merge(&m, base, ours, theirs);
}
