/* SPDX-License-Identifier: MIT */
/* Members are looked up by binary search in a sorted array rather than in a
 * hash table: no text, however it was made, can make that slow. */
#include "draft/value.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/error.h"

/* ---- reading ---- */

struct reader {
	struct json_scan scan;
	struct value_tree *tree;
	size_t room;
	size_t members;
	/* The key that the next value belongs to, or NULL. */
	const char *key;
	size_t key_len;
	/* By depth: the node of the container that is open there. */
	size_t open[JSON_MAX_DEPTH + 1];
};

static bool has_escape(const char *token, size_t len)
{
	return memchr(token, '\\', len) != NULL;
}

/* Where the bytes of a string token are: in the text, or with those that were
 * unescaped.  Those may still move, so their place is filled in at the end. */
static int take_bytes(struct reader *rd, const char *token, size_t len, const char **ret,
		      uint32_t *ret_len)
{
	struct buf *unescaped = &rd->tree->unescaped;
	size_t before = unescaped->len;

	*ret = token + 1;
	*ret_len = (uint32_t)len - 2;
	if (!has_escape(token, len))
		return 0;
	int r = json_unescape(token, len, unescaped);
	*ret = NULL;
	*ret_len = (uint32_t)(unescaped->len - before);
	return r;
}

static int make_room(struct reader *rd)
{
	struct value_tree *tree = rd->tree;

	if (tree->n < rd->room)
		return 0;
	size_t room = rd->room ? rd->room * 2 : 64;
	struct value *all = reallocarray(tree->root, room, sizeof(*all));
	if (!all)
		return -ENOMEM;
	tree->root = all;
	rd->room = room;
	return 0;
}

static int take_key(struct reader *rd, struct value *v)
{
	if (!rd->key)
		return 0;
	v->key = rd->key;
	v->key_len = (uint32_t)rd->key_len;
	rd->key = NULL;
	rd->members++;
	return take_bytes(rd, v->key, v->key_len, &v->name, &v->name_len);
}

static int take_value(struct reader *rd, int event)
{
	const struct json_scan *scan = &rd->scan;
	int r = make_room(rd);

	if (r < 0)
		return r;
	struct value *v = &rd->tree->root[rd->tree->n];
	*v = (struct value){
		.token = scan->token,
		.len = (uint32_t)scan->token_len,
		.span = 1,
		.type = (uint8_t)event,
	};
	if (scan->depth > 0)
		rd->tree->root[rd->open[scan->depth]].n++;
	if (event == JSON_OBJECT_BEGIN || event == JSON_ARRAY_BEGIN)
		rd->open[scan->depth + 1] = rd->tree->n;
	rd->tree->n++;
	r = take_key(rd, v);
	if (r == 0 && event == JSON_STRING)
		r = take_bytes(rd, v->token, v->len, &v->bytes, &v->n);
	return r;
}

static void close_container(struct reader *rd)
{
	const struct json_scan *scan = &rd->scan;
	size_t at = rd->open[scan->depth + 1];
	struct value *v = &rd->tree->root[at];

	v->len = (uint32_t)(scan->token + scan->token_len - v->token);
	v->span = (uint32_t)(rd->tree->n - at);
}

static int read_values(struct reader *rd)
{
	int r = 0, event;

	while (r == 0 && (event = json_next(&rd->scan)) != JSON_END) {
		if (event < 0)
			return event;
		if (event == JSON_OBJECT_END || event == JSON_ARRAY_END) {
			close_container(rd);
		} else if (event == JSON_KEY) {
			rd->key = rd->scan.token;
			rd->key_len = rd->scan.token_len;
		} else {
			r = take_value(rd, event);
		}
	}
	return r;
}

/* They were unescaped in the order in which they come here. */
static void place_unescaped(struct value_tree *tree)
{
	const char *at = tree->unescaped.data;

	for (struct value *v = tree->root; v < tree->root + tree->n; v++) {
		if (v->key && !v->name) {
			v->name = at;
			at += v->name_len;
		}
		if (v->type == JSON_STRING && !v->bytes) {
			v->bytes = at;
			at += v->n;
		}
	}
}

/* ---- members by name ---- */

static int compare_name(const char *name, size_t len, const struct value *v)
{
	if (len != v->name_len)
		return len < v->name_len ? -1 : 1;
	return len ? memcmp(name, v->name, len) : 0;
}

static int compare_members(const void *x, const void *y)
{
	const struct value *const *a = x, *const *b = y;

	return compare_name((*a)->name, (*a)->name_len, *b);
}

static int sort_members(struct value *object, const struct value **sorted)
{
	size_t n = 0;

	object->sorted = sorted;
	for (const struct value *m = value_first(object); m < value_end(object); m = value_next(m))
		sorted[n++] = m;
	qsort(sorted, n, sizeof(struct value *), compare_members);
	for (size_t i = 1; i < n; i++) {
		if (compare_members(&sorted[i - 1], &sorted[i]) == 0)
			return -EBADMSG;
	}
	return 0;
}

static int sort_all(struct value_tree *tree, size_t members)
{
	size_t used = 0;

	tree->sorted = calloc(members ? members : 1, sizeof(struct value *));
	if (!tree->sorted)
		return -ENOMEM;
	for (struct value *v = tree->root; v < tree->root + tree->n; v++) {
		if (!value_is_object(v))
			continue;
		int r = sort_members(v, tree->sorted + used);

		if (r < 0)
			return r;
		used += v->n;
	}
	return 0;
}

int value_tree_parse(struct value_tree *tree, const char *text, size_t len)
{
	struct reader rd = { .tree = tree };

	*tree = (struct value_tree){ .unescaped = BUF_INIT(len) };
	if (len > VALUE_MAX_BYTES)
		return -EFBIG;
	json_scan_init(&rd.scan, text, len, JSON_ANY_BYTES);
	int r = read_values(&rd);
	if (r == 0) {
		place_unescaped(tree);
		r = sort_all(tree, rd.members);
	}
	if (r < 0)
		value_tree_done(tree);
	return r;
}

void value_tree_done(struct value_tree *tree)
{
	free(tree->root);
	free(tree->sorted);
	buf_wipe(&tree->unescaped);
	tree->root = NULL;
	tree->sorted = NULL;
	tree->n = 0;
}

bool value_is_object(const struct value *v)
{
	return v && v->type == JSON_OBJECT_BEGIN;
}

bool value_is_array(const struct value *v)
{
	return v && v->type == JSON_ARRAY_BEGIN;
}

bool value_is_mask(const struct value *v)
{
	return v && v->type == JSON_STRING && v->n == sizeof(VALUE_MASK) - 1 &&
	       memcmp(v->bytes, VALUE_MASK, v->n) == 0;
}

bool value_is_named(const struct value *v, const char *name)
{
	return v->key && compare_name(name, strlen(name), v) == 0;
}

const struct value *value_get(const struct value *object, const char *name, size_t len)
{
	size_t low = 0, high = value_is_object(object) ? object->n : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int c = compare_name(name, len, object->sorted[middle]);

		if (c == 0)
			return object->sorted[middle];
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const struct value *value_find(const struct value *object, const char *name)
{
	return value_get(object, name, strlen(name));
}

const struct value *value_like(const struct value *object, const struct value *member)
{
	return value_get(object, member->name, member->name_len);
}

/* ---- numbers ---- */

/* A number is digits * 10^(exponent + shift), where digits neither begin nor
 * end with 0 and may have a point among them that does not count.  Both can be
 * as long as the text, so neither fits a machine's number. */
struct number {
	const char *digits, *digits_end;
	const char *exponent, *exponent_end;
	long shift;
	bool negative;
	bool exponent_negative;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t count_digits(const char *from, const char *to)
{
	size_t n = 0;

	for (; from < to; from++)
		n += is_digit(*from);
	return n;
}

static void take_exponent(struct number *x, const char *at, const char *end)
{
	x->exponent = x->exponent_end = end;
	if (at == end)
		return;
	x->exponent_negative = at[1] == '-';
	x->exponent = at + 1 + !is_digit(at[1]);
}

static struct number number_of(const struct value *v)
{
	const char *at = v->token, *end = v->token + v->len;
	struct number x = { .negative = *at == '-' };
	const char *mantissa_end = at;

	while (mantissa_end < end && *mantissa_end != 'e' && *mantissa_end != 'E')
		mantissa_end++;
	take_exponent(&x, mantissa_end, end);

	const char *point = memchr(at, '.', (size_t)(mantissa_end - at));
	if (point)
		x.shift -= mantissa_end - point - 1;
	at += x.negative;
	while (at < mantissa_end && (*at == '0' || *at == '.'))
		at++;
	const char *last = mantissa_end;
	while (last > at && (last[-1] == '0' || last[-1] == '.'))
		last--;
	x.shift += (long)count_digits(last, mantissa_end);
	x.digits = at;
	x.digits_end = last;
	return x;
}

static bool same_digits(const struct number *a, const struct number *b)
{
	const char *p = a->digits, *q = b->digits;

	for (;;) {
		p += p < a->digits_end && *p == '.';
		q += q < b->digits_end && *q == '.';
		if (p == a->digits_end || q == b->digits_end)
			return p == a->digits_end && q == b->digits_end;
		if (*p++ != *q++)
			return false;
	}
}

/* The exponent's next digit from the right, with its sign; 0 past the left. */
static long next_exponent_digit(const struct number *x, const char **at)
{
	if (*at == x->exponent)
		return 0;
	long digit = *--*at - '0';
	return x->exponent_negative ? -digit : digit;
}

/* Whether a's power of ten less b's is 0, worked out digit by digit. */
static bool same_power(const struct number *a, const struct number *b)
{
	const char *p = a->exponent_end, *q = b->exponent_end;
	long rest = a->shift - b->shift;

	while (p > a->exponent || q > b->exponent) {
		rest += next_exponent_digit(a, &p) - next_exponent_digit(b, &q);
		if (rest % 10 != 0)
			return false;
		rest /= 10;
	}
	return rest == 0;
}

static bool same_number(const struct value *v, const struct value *w)
{
	struct number a = number_of(v), b = number_of(w);
	bool a_zero = a.digits == a.digits_end, b_zero = b.digits == b.digits_end;

	if (a_zero || b_zero)
		return a_zero && b_zero;
	return a.negative == b.negative && same_digits(&a, &b) && same_power(&a, &b);
}

/* ---- equality ---- */

static bool same_members(const struct value *a, const struct value *b)
{
	for (const struct value *m = value_first(a); m < value_end(a); m = value_next(m)) {
		const struct value *other = value_like(b, m);

		if (!other || !value_equal(m, other))
			return false;
	}
	return true;
}

static bool same_elements(const struct value *a, const struct value *b)
{
	const struct value *f = value_first(b);

	for (const struct value *e = value_first(a); e < value_end(a); e = value_next(e)) {
		if (!value_equal(e, f))
			return false;
		f = value_next(f);
	}
	return true;
}

bool value_equal(const struct value *a, const struct value *b)
{
	if (a->type != b->type)
		return false;
	if (a->len == b->len && memcmp(a->token, b->token, a->len) == 0)
		return true;
	if (a->type == JSON_NUMBER)
		return same_number(a, b);
	if (a->n != b->n)
		return false;
	switch (a->type) {
	case JSON_STRING:
		return memcmp(a->bytes, b->bytes, a->n) == 0;
	case JSON_OBJECT_BEGIN:
		return same_members(a, b);
	case JSON_ARRAY_BEGIN:
		return same_elements(a, b);
	}
	return true; /* true, false, null */
}

/* ---- writing ---- */

int value_open(const struct value *v, struct buf *out)
{
	return buf_append(out, v->token, 1);
}

int value_close(const struct value *v, struct buf *out)
{
	return buf_append(out, v->token + v->len - 1, 1);
}

/* No value ends with a bracket that opens, so one in front is the container's. */
int value_lead(const struct value *v, struct buf *out)
{
	char before = out->len > 0 ? out->data[out->len - 1] : '{';
	int r = before == '{' || before == '[' ? 0 : buf_append(out, ",", 1);

	if (r == 0 && v->key)
		r = buf_append(out, v->key, v->key_len);
	if (r == 0 && v->key)
		r = buf_append(out, ":", 1);
	return r;
}

int value_write_member(const struct value *v, struct buf *out)
{
	int r = value_lead(v, out);

	return r < 0 ? r : value_write(v, out);
}

int value_write(const struct value *v, struct buf *out)
{
	if (!value_is_object(v) && !value_is_array(v))
		return buf_append(out, v->token, v->len);
	int r = value_open(v, out);
	for (const struct value *m = value_first(v); r == 0 && m < value_end(v); m = value_next(m))
		r = value_write_member(m, out);
	return r < 0 ? r : value_close(v, out);
}

/* ---- where a value is ---- */

static void put(char *out, const char *s, size_t len)
{
	size_t at = strlen(out);

	api_error_text(out + at, VALUE_PATH_BYTES - at, s, len);
}

static void path_text(const struct value_path *path, char *out)
{
	char index[32];

	out[0] = '\0';
	if (path->up) {
		path_text(path->up, out);
		if (path->at->key)
			put(out, ".", 1);
	}
	if (path->at->key) {
		put(out, path->at->name, path->at->name_len);
	} else {
		int n = snprintf(index, sizeof(index), "[%zu]", path->index);

		put(out, index, (size_t)n);
	}
}

void value_paths_add(struct value_paths *paths, const struct value_path *path)
{
	if (paths->n == VALUE_PATHS_MAX)
		paths->more++;
	else
		path_text(path, paths->path[paths->n++]);
}

void value_paths_text(const struct value_paths *paths, char *out, size_t size)
{
	CLEANUP(buf_done) struct buf line = BUF_INIT(VALUE_PATHS_MAX * (VALUE_PATH_BYTES + 2) + 64);
	int r = 0;

	for (unsigned i = 0; r == 0 && i < paths->n; i++)
		r = buf_printf(&line, "%s%s", i ? ", " : "", paths->path[i]);
	if (r == 0 && paths->more)
		r = buf_printf(&line, " and %u more", paths->more);
	/* Only memory can fail here; what there is then is still true. */
	(void)r;
	api_error_text(out, size, line.data ? line.data : "", line.len);
}
