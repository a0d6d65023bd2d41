/* SPDX-License-Identifier: MIT */
/* All places are marked before the first is replaced: one secret may be part of
 * another, or reach into it. */
#include "draft/scrub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "draft/mask.h"
#include "draft/value.h"

struct scrub {
	const char *message;
	size_t len;
	bool may_be_cut;
	unsigned char *marks; /* one a byte of the message */
	struct buf form;      /* of the secret at hand */
	size_t size;
};

/* ---- where they are in the message ---- */

static void mark(struct scrub *s, const char *secret, size_t len)
{
	const char *at = s->message, *end = s->message + s->len;

	if (len == 0)
		return;
	while ((at = memmem(at, (size_t)(end - at), secret, len))) {
		memset(s->marks + (at - s->message), 1, len);
		at++;
	}
	if (!s->may_be_cut)
		return;
	for (size_t n = len < s->len ? len : s->len; n > 0; n--) {
		if (memcmp(end - n, secret, n) == 0) {
			memset(s->marks + s->len - n, 1, n);
			return;
		}
	}
}

/* As the encoders of some languages write a string, which escape the slash too. */
static int mark_slashed(struct scrub *s, const char *escaped, size_t len)
{
	CLEANUP(buf_wipe) struct buf form = BUF_INIT(2 * len);
	int r = 0;

	for (size_t i = 0; r == 0 && i < len; i++) {
		if (escaped[i] == '/' && (i == 0 || escaped[i - 1] != '\\'))
			r = buf_append(&form, "\\", 1);
		if (r == 0)
			r = buf_append(&form, escaped + i, 1);
	}
	if (r == 0)
		mark(s, form.data, form.len);
	return r;
}

static int mark_escaped(struct scrub *s, const char *bytes, size_t len)
{
	buf_cut(&s->form, 0);
	int r = buf_json_string(&s->form, bytes, len);

	if (r < 0)
		return r;
	mark(s, s->form.data + 1, s->form.len - 2);
	if (!memchr(bytes, '/', len))
		return 0;
	return mark_slashed(s, s->form.data + 1, s->form.len - 2);
}

/* As it is when the message has been through api_error_text(). */
static int mark_cleaned(struct scrub *s, const char *bytes, size_t len)
{
	buf_cut(&s->form, 0);
	int r = buf_append(&s->form, bytes, len);

	if (r < 0)
		return r;
	api_error_text(s->form.data, len + 1, bytes, len);
	mark(s, s->form.data, strlen(s->form.data));
	return 0;
}

static size_t at_most(size_t len, size_t max)
{
	return len < max ? len : max;
}

static int mark_value(struct scrub *s, const struct value *v)
{
	if (v->type == JSON_NUMBER)
		mark(s, v->token, v->len);
	if (v->type != JSON_STRING)
		return 0;
	/* Of one that is longer than the message only the beginning can be there. */
	size_t len = at_most(v->n, s->size);

	mark(s, v->bytes, len);
	/* Where C strings are at work it ends at a NUL. */
	mark(s, v->bytes, strnlen(v->bytes, len));
	mark(s, v->token + 1, at_most(v->len - 2, s->size));
	int r = mark_escaped(s, v->bytes, len);
	return r < 0 ? r : mark_cleaned(s, v->bytes, len);
}

static int mark_all(struct scrub *s, const struct value *v, bool secret)
{
	int r = secret ? mark_value(s, v) : 0;

	if (!value_is_object(v) && !value_is_array(v))
		return r;
	for (const struct value *m = value_first(v); r == 0 && m < value_end(v); m = value_next(m))
		r = mark_all(s, m, mask_is_secret(m, secret));
	return r;
}

/* ---- replacing ---- */

static int replace_marked(const struct scrub *s, struct buf *out)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->len; i++) {
		if (!s->marks[i])
			r = buf_append(out, s->message + i, 1);
		else if (i == 0 || !s->marks[i - 1])
			r = buf_puts(out, VALUE_MASK);
	}
	return r;
}

static int scrub(const struct value *root, char *message, size_t size)
{
	size_t len = strlen(message);
	CLEANUP(buf_wipe) struct buf out = BUF_INIT(len * sizeof(VALUE_MASK));
	struct scrub s = {
		.message = message,
		.len = len,
		/* The last character that did not fit has up to four bytes. */
		.may_be_cut = len + 4 >= size,
		.marks = calloc(len + 1, 1),
		.form = BUF_INIT(size * 6 + 2),
		.size = size,
	};
	int r = s.marks ? mark_all(&s, root, false) : -ENOMEM;

	if (r == 0 && memchr(s.marks, 1, len)) {
		r = replace_marked(&s, &out);
		if (r == 0)
			api_error_text(message, size, out.data, out.len);
	}
	free(s.marks);
	buf_wipe(&s.form);
	return r;
}

static void scrub_all(struct document body, char *const messages[], const size_t sizes[], size_t n)
{
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	int r = value_tree_parse(&tree, body.text, body.len);

	for (size_t i = 0; i < n; i++) {
		int error = r == 0 ? scrub(tree.root, messages[i], sizes[i]) : r;

		if (error < 0 && messages[i][0])
			api_error_text(messages[i], sizes[i], VALUE_MASK, strlen(VALUE_MASK));
	}
}

void scrub_message(struct document body, char *message, size_t size)
{
	scrub_all(body, &message, &size, 1);
}

void scrub_error(struct document body, struct api_error *e)
{
	char *const messages[] = { e->code, e->message, e->field };
	const size_t sizes[] = { sizeof(e->code), sizeof(e->message), sizeof(e->field) };

	scrub_all(body, messages, sizes, ARRAY_SIZE(messages));
}
