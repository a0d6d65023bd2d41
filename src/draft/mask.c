/* SPDX-License-Identifier: MIT */
#include "draft/mask.h"

/* ---- which values are secret ---- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool begins_with(const char *s, size_t len, const char *word)
{
	for (; *word; word++, s++, len--) {
		if (len == 0 || lower(*s) != *word)
			return false;
	}
	return true;
}

static bool is_secret_name(const struct value *member)
{
	static const char *const words[] = { "secret", "password", "token", "key" };
	const char *name = member->name;
	size_t len = member->name_len;

	for (size_t i = 0; i < len; i++) {
		for (size_t w = 0; w < ARRAY_SIZE(words); w++) {
			if (begins_with(name + i, len - i, words[w]))
				return true;
		}
	}
	return false;
}

static bool is_public_name(const struct value *member)
{
	static const char name[] = "accesskeyid";

	return member->name_len == sizeof(name) - 1 &&
	       begins_with(member->name, member->name_len, name);
}

bool mask_is_secret(const struct value *v, bool around)
{
	if (!v->key)
		return around;
	return (around || is_secret_name(v)) && !is_public_name(v);
}

/* ---- the body without them ---- */

static int write_masked(const struct value *v, bool secret, struct buf *out)
{
	if (!value_is_object(v) && !value_is_array(v)) {
		bool shown = !secret || (v->type != JSON_STRING && v->type != JSON_NUMBER);

		return shown ? value_write(v, out) : buf_puts(out, "\"" VALUE_MASK "\"");
	}
	int r = value_open(v, out);

	for (const struct value *m = value_first(v); r == 0 && m < value_end(v);
	     m = value_next(m)) {
		r = value_lead(m, out);
		if (r == 0)
			r = write_masked(m, mask_is_secret(m, secret), out);
	}
	return r < 0 ? r : value_close(v, out);
}

int mask_secrets(struct document body, struct buf *out)
{
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	size_t before = out->len;
	int r = value_tree_parse(&tree, body.text, body.len);

	if (r == 0)
		r = write_masked(tree.root, false, out);
	if (r < 0)
		buf_cut(out, before);
	return r;
}
