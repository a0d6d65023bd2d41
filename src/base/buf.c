/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

void buf_done(struct buf *buf)
{
	free(buf->data);
	buf->data = NULL;
	buf->len = 0;
	buf->cap = 0;
}

void buf_wipe(struct buf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->cap);
	buf_done(buf);
}

/* Room for extra more bytes and the closing NUL. */
static int reserve(struct buf *buf, size_t extra)
{
	if (extra > buf->max_bytes - buf->len)
		return -EMSGSIZE;
	size_t need = buf->len + extra + 1;
	if (need <= buf->cap)
		return 0;

	size_t cap = buf->cap ? buf->cap : 64;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	if (cap > buf->max_bytes + 1)
		cap = buf->max_bytes + 1;

	/* Not realloc: what a wiped buffer once held must not stay behind. */
	char *data = malloc(cap);
	if (!data)
		return -ENOMEM;
	if (buf->data) {
		memcpy(data, buf->data, buf->len);
		explicit_bzero(buf->data, buf->len);
		free(buf->data);
	}
	buf->data = data;
	buf->cap = cap;
	return 0;
}

int buf_append(struct buf *buf, const void *bytes, size_t len)
{
	int r = reserve(buf, len);

	if (r < 0)
		return r;
	if (len)
		memcpy(buf->data + buf->len, bytes, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int buf_puts(struct buf *buf, const char *s)
{
	return buf_append(buf, s, strlen(s));
}

int buf_vprintf(struct buf *buf, const char *fmt, va_list ap)
{
	va_list again;

	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return -EINVAL;

	int r = reserve(buf, (size_t)n);
	if (r < 0)
		return r;
	vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, ap);
	buf->len += (size_t)n;
	return 0;
}

int buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int r = buf_vprintf(buf, fmt, ap);
	va_end(ap);
	return r;
}

static int append_escaped(struct buf *buf, unsigned char c)
{
	switch (c) {
	case '"':
		return buf_puts(buf, "\\\"");
	case '\\':
		return buf_puts(buf, "\\\\");
	case '\n':
		return buf_puts(buf, "\\n");
	case '\t':
		return buf_puts(buf, "\\t");
	}
	if (c < 0x20 || c == 0x7f)
		return buf_printf(buf, "\\u%04x", c);
	return buf_append(buf, &c, 1);
}

void buf_cut(struct buf *buf, size_t len)
{
	buf->len = len;
	if (buf->data)
		buf->data[len] = '\0';
}

static int append_json_string(struct buf *buf, const char *s, size_t len)
{
	int r = buf_puts(buf, "\"");

	for (size_t i = 0; r == 0 && i < len;) {
		size_t n = utf8_length(s + i, len - i);

		if (n == 1)
			r = append_escaped(buf, (unsigned char)s[i]);
		else if (n > 1)
			r = buf_append(buf, s + i, n);
		else
			r = buf_puts(buf, "\\ufffd");
		i += n ? n : 1;
	}
	return r < 0 ? r : buf_puts(buf, "\"");
}

int buf_json_string(struct buf *buf, const char *s, size_t len)
{
	size_t before = buf->len;
	int r = append_json_string(buf, s, len);

	if (r < 0)
		buf_cut(buf, before);
	return r;
}

char *buf_steal(struct buf *buf)
{
	char *data = TAKE_PTR(buf->data);

	buf->len = 0;
	buf->cap = 0;
	return data;
}
