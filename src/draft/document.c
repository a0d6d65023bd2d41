/* SPDX-License-Identifier: MIT */
#include "draft/document.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static int parse_object(struct value_tree *tree, struct document doc)
{
	int r = value_tree_parse(tree, doc.text, doc.len);

	return r < 0 || value_is_object(tree->root) ? r : -EBADMSG;
}

/* What was written behind before becomes the result, or is taken back. */
static int finish(struct buf *out, size_t before, int r)
{
	if (r == 0 && out->len - before > DOCUMENT_MAX_BYTES)
		r = -EFBIG;
	if (r < 0)
		buf_cut(out, before);
	return r == -EMSGSIZE ? -EFBIG : r;
}

/* ---- what is a document ---- */

static size_t skip_space(struct document doc, size_t at)
{
	while (at < doc.len && memchr(" \t\r\n", doc.text[at], 4))
		at++;
	return at;
}

bool document_is_empty(struct document doc)
{
	return skip_space(doc, 0) == doc.len;
}

/* There is only white space before offset. */
static int refuse_at(struct document doc, size_t offset, const char *why, struct json_error *ret)
{
	*ret = (struct json_error){ .why = why, .line = 1, .column = 1, .offset = offset };
	for (size_t i = 0; i < offset; i++) {
		ret->column++;
		if (doc.text[i] == '\n') {
			ret->line++;
			ret->column = 1;
		}
	}
	return -EBADMSG;
}

int document_check(struct document doc, struct json_error *ret)
{
	size_t first = skip_space(doc, 0);

	if (doc.len > DOCUMENT_MAX_BYTES) {
		(void)refuse_at(doc, 0, "more than 1 MiB", ret);
		return -EFBIG;
	}
	int r = json_check(doc.text, doc.len, 0, ret);
	if (r == -ENOMEM)
		(void)refuse_at(doc, 0, "no memory", ret);
	if (r == -ENOMEM || first == doc.len || doc.text[first] == '{')
		return r;
	/* Nothing that could follow would make an object of it. */
	if (r == 0 || ret->incomplete)
		return refuse_at(doc, first, "not a JSON object", ret);
	return r;
}

/* ---- facts ---- */

static enum document_field take_string(const struct value *v, struct buf *ret, int *r)
{
	if (!v || v->type == JSON_NULL)
		return DOCUMENT_NONE;
	if (v->type != JSON_STRING)
		return DOCUMENT_WRONG;
	*r = buf_append(ret, v->bytes, v->n);
	return DOCUMENT_GIVEN;
}

static enum document_field take_id(const struct value *v, struct stack_id *ret)
{
	if (!v || v->type == JSON_NULL)
		return DOCUMENT_NONE;
	if (v->type != JSON_STRING || stack_id_parse(v->bytes, v->n, ret) < 0)
		return DOCUMENT_WRONG;
	return DOCUMENT_GIVEN;
}

int document_facts(struct document doc, struct document_facts *ret)
{
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	int r = parse_object(&tree, doc);

	*ret = (struct document_facts){
		.modified = BUF_INIT(DOCUMENT_MAX_BYTES),
		.name = BUF_INIT(DOCUMENT_MAX_BYTES),
	};
	if (r < 0)
		return r;
	ret->has_id = take_id(value_find(tree.root, "_id"), &ret->id);
	ret->has_modified = take_string(value_find(tree.root, "lastModified"), &ret->modified, &r);
	if (r == 0)
		ret->has_name = take_string(value_find(tree.root, "name"), &ret->name, &r);
	if (r < 0)
		document_facts_done(ret);
	return r;
}

void document_facts_done(struct document_facts *facts)
{
	buf_done(&facts->modified);
	buf_done(&facts->name);
}

/* ---- the body ---- */

/* What is left out of every body. */
static const struct {
	const char *object; /* NULL: the top */
	const char *key;
	bool only_masked;
} unsent[] = {
	{ NULL, "_id", false },
	{ NULL, "createdAt", false },
	{ NULL, "lastModified", false },
	{ "server", "systemToken", false },
	{ "lambda", "secretAccessKey", true },
};

struct body {
	struct buf *out;
	struct value_paths *masks; /* NULL: one that cannot be left out stays */
};

/* Where in the record the walk is. */
struct place {
	const struct value *shown; /* what the record has there; NULL: nothing */
	bool guarded;              /* in an array where the record shows a mask */
	bool same;                 /* what is here equals what is shown */
};

static int write_body(struct body *b, const struct value *v, struct place at,
		      const struct value_path *path);

static bool is_unsent(const struct value *v, const struct value_path *up)
{
	for (size_t i = 0; i < ARRAY_SIZE(unsent); i++) {
		const char *object = unsent[i].object;
		bool here = object ? up && !up->up && value_is_named(up->at, object) : !up;

		if (here && value_is_named(v, unsent[i].key))
			return !unsent[i].only_masked || value_is_mask(v);
	}
	return false;
}

/* A stack may be called ******. */
static bool is_name(const struct value *v, const struct value_path *up)
{
	return !up && value_is_named(v, "name");
}

static bool has_mask(const struct value *v)
{
	for (const struct value *inner = v; v && inner < value_end(v); inner++) {
		if (value_is_mask(inner))
			return true;
	}
	return false;
}

static int write_masked(struct body *b, const struct value *v, const struct value_path *path)
{
	if (!b->masks)
		return value_write_member(v, b->out);
	value_paths_add(b->masks, path);
	return 0;
}

static int write_member(struct body *b, const struct value *v, struct place in,
			const struct value_path *up)
{
	const struct value *shown = value_like(in.shown, v);
	struct place at = { .shown = shown, .guarded = in.guarded, .same = in.same };
	struct value_path path = { .up = up, .at = v };

	if (is_unsent(v, up))
		return 0;
	if (value_is_mask(v) && !is_name(v, up)) {
		if (value_is_mask(shown))
			return 0;
		if (in.guarded)
			return write_masked(b, v, &path);
	}
	int r = value_lead(v, b->out);
	return r < 0 ? r : write_body(b, v, at, &path);
}

static int write_members(struct body *b, const struct value *v, struct place at,
			 const struct value_path *path)
{
	int r = value_open(v, b->out);

	for (const struct value *m = value_first(v); r == 0 && m < value_end(v); m = value_next(m))
		r = write_member(b, m, at, path);
	return r < 0 ? r : value_close(v, b->out);
}

static int write_element(struct body *b, const struct value *v, struct place at,
			 const struct value_path *path)
{
	if (at.guarded && value_is_mask(v))
		return write_masked(b, v, path);
	/* Whether they are the same is asked of the outermost array's elements only. */
	if (!at.same && at.shown)
		at.same = value_equal(v, at.shown);
	if (!at.same)
		at.shown = NULL;
	int r = value_lead(v, b->out);
	return r < 0 ? r : write_body(b, v, at, path);
}

static int write_elements(struct body *b, const struct value *v, struct place in,
			  const struct value_path *up)
{
	const struct value *shown = value_is_array(in.shown) ? value_first(in.shown) : NULL;
	struct value_path path = { .up = up };
	int r = value_open(v, b->out);

	for (const struct value *e = value_first(v); r == 0 && e < value_end(v);
	     e = value_next(e)) {
		struct place at = { .guarded = in.guarded, .same = in.same };

		if (shown && shown < value_end(in.shown)) {
			at.shown = shown;
			shown = value_next(shown);
		} else {
			at.same = false;
		}
		path.at = e;
		r = write_element(b, e, at, &path);
		path.index++;
	}
	return r < 0 ? r : value_close(v, b->out);
}

static int write_body(struct body *b, const struct value *v, struct place at,
		      const struct value_path *path)
{
	if (value_is_object(v))
		return write_members(b, v, at, path);
	if (!value_is_array(v))
		return value_write(v, b->out);
	if (!at.guarded)
		at.guarded = value_is_array(at.shown) && has_mask(at.shown);
	return at.guarded ? write_elements(b, v, at, path) : value_write(v, b->out);
}

static int body_of(const struct value *root, const struct value *record, struct buf *out,
		   struct value_paths *masks)
{
	struct body b = { .out = out, .masks = masks };
	struct place top = { .shown = record, .same = root == record };
	size_t before = out->len;
	int r = write_body(&b, root, top, NULL);

	if (r == 0 && masks && masks->n > 0)
		r = -EBADMSG;
	else if (r < 0 && masks)
		masks->n = masks->more = 0;
	return finish(out, before, r);
}

int document_body(struct document doc, struct document record, struct buf *out,
		  struct value_paths *ret_masks)
{
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	CLEANUP(value_tree_done) struct value_tree shown = { 0 };

	ret_masks->n = ret_masks->more = 0;
	int r = parse_object(&tree, doc);
	if (r == 0 && record.text)
		r = parse_object(&shown, record);
	return r < 0 ? r : body_of(tree.root, shown.root, out, ret_masks);
}

int document_record_body(struct document record, struct buf *out)
{
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	int r = parse_object(&tree, record);

	return r < 0 ? r : body_of(tree.root, tree.root, out, NULL);
}

/* ---- comparing ---- */

static int parse_two(struct value_tree *x, struct document a, struct value_tree *y,
		     struct document b)
{
	int r = parse_object(x, a);

	return r < 0 ? r : parse_object(y, b);
}

int document_equal(struct document a, struct document b, bool *ret)
{
	CLEANUP(value_tree_done) struct value_tree x = { 0 };
	CLEANUP(value_tree_done) struct value_tree y = { 0 };
	int r = parse_two(&x, a, &y, b);

	if (r == 0)
		*ret = value_equal(x.root, y.root);
	return r;
}

/* In one walk down both; what b alone has comes after a's. */
static void list_differing(const struct value *a, const struct value *b,
			   const struct value_path *up, struct value_paths *ret)
{
	for (const struct value *m = value_first(a); m < value_end(a); m = value_next(m)) {
		const struct value *other = value_like(b, m);
		struct value_path path = { .up = up, .at = m };

		if (value_is_object(m) && value_is_object(other))
			list_differing(m, other, &path, ret);
		else if (!other || !value_equal(m, other))
			value_paths_add(ret, &path);
	}
	for (const struct value *m = value_first(b); m < value_end(b); m = value_next(m)) {
		struct value_path path = { .up = up, .at = m };

		if (!value_like(a, m))
			value_paths_add(ret, &path);
	}
}

/* Adds the paths of what list finds at and below two objects. */
typedef void list_paths(const struct value *a, const struct value *b, const struct value_path *up,
			struct value_paths *ret);

static int list_by(list_paths *list, struct document a, struct document b, struct value_paths *ret)
{
	CLEANUP(value_tree_done) struct value_tree x = { 0 };
	CLEANUP(value_tree_done) struct value_tree y = { 0 };
	int r = parse_two(&x, a, &y, b);

	ret->n = ret->more = 0;
	if (r == 0)
		list(x.root, y.root, NULL, ret);
	return r;
}

int document_differing(struct document a, struct document b, struct value_paths *ret)
{
	return list_by(list_differing, a, b, ret);
}

static bool is_stored(const struct value *sent, const struct value *shown);

static bool all_members_stored(const struct value *sent, const struct value *shown)
{
	for (const struct value *m = value_first(sent); m < value_end(sent); m = value_next(m)) {
		const struct value *other = value_like(shown, m);

		if (!other || !is_stored(m, other))
			return false;
	}
	return true;
}

static bool all_elements_stored(const struct value *sent, const struct value *shown)
{
	const struct value *f = value_first(shown);

	if (sent->n != shown->n)
		return false;
	for (const struct value *e = value_first(sent); e < value_end(sent); e = value_next(e)) {
		if (!is_stored(e, f))
			return false;
		f = value_next(f);
	}
	return true;
}

static bool is_stored(const struct value *sent, const struct value *shown)
{
	if (value_is_mask(shown))
		return true;
	if (value_is_object(sent) && value_is_object(shown))
		return all_members_stored(sent, shown);
	if (value_is_array(sent) && value_is_array(shown))
		return all_elements_stored(sent, shown);
	return value_equal(sent, shown);
}

static void list_not_stored(const struct value *sent, const struct value *shown,
			    const struct value_path *up, struct value_paths *ret)
{
	for (const struct value *m = value_first(sent); m < value_end(sent); m = value_next(m)) {
		const struct value *other = value_like(shown, m);
		struct value_path path = { .up = up, .at = m };

		if (value_is_object(m) && value_is_object(other))
			list_not_stored(m, other, &path, ret);
		else if (!other || !(is_name(m, up) ? value_equal(m, other) : is_stored(m, other)))
			value_paths_add(ret, &path);
	}
}

int document_not_stored(struct document sent, struct document answer, struct value_paths *ret)
{
	return list_by(list_not_stored, sent, answer, ret);
}

/* ---- another name ---- */

static bool is_utf8(const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = utf8_length(s + i, len - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

/* In front of the first member, and laid out as that one is. */
static int insert_name(struct document doc, const struct value *root, const char *name, size_t len,
		       struct buf *out)
{
	size_t open = (size_t)(root->token - doc.text) + 1;
	size_t rest = skip_space(doc, open);
	const struct value *first = value_first(root);
	bool spaced = root->n > 0 && first->token[-1] == ' ';
	int r = buf_append(out, doc.text, root->n > 0 ? rest : open);

	if (r == 0)
		r = buf_puts(out, spaced ? "\"name\": " : "\"name\":");
	if (r == 0)
		r = buf_json_string(out, name, len);
	if (r == 0 && root->n > 0)
		r = buf_puts(out, ",");
	return r < 0 ? r : buf_append(out, doc.text + open, doc.len - open);
}

static int replace_name(struct document doc, const struct value *old, const char *name, size_t len,
			struct buf *out)
{
	size_t at = (size_t)(old->token - doc.text), behind = at + old->len;
	int r = buf_append(out, doc.text, at);

	if (r == 0)
		r = buf_json_string(out, name, len);
	return r < 0 ? r : buf_append(out, doc.text + behind, doc.len - behind);
}

int document_with_name(struct document doc, const char *name, size_t len, struct buf *out)
{
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	size_t before = out->len;
	int r = parse_object(&tree, doc);

	if (r < 0)
		return r;
	const struct value *old = value_find(tree.root, "name");
	if (old && old->type == JSON_STRING && old->n == len && memcmp(old->bytes, name, len) == 0)
		r = buf_append(out, doc.text, doc.len);
	else if (!is_utf8(name, len))
		r = -EILSEQ;
	else if (old)
		r = replace_name(doc, old, name, len, out);
	else
		r = insert_name(doc, tree.root, name, len, out);
	return finish(out, before, r);
}
