/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

static void *check(void *p)
{
	if (p)
		return p;
	fprintf(stderr, "stacks-emulator: out of memory\n");
	exit(1);
}

void *mem_zalloc(size_t n)
{
	return check(calloc(1, n ? n : 1));
}

void *mem_grow(void *p, size_t n)
{
	return check(realloc(p, n ? n : 1));
}

char *mem_dup(const void *p, size_t n)
{
	char *copy = check(malloc(n + 1));

	if (n)
		memcpy(copy, p, n);
	copy[n] = '\0';
	return copy;
}

char *mem_dups(const char *s)
{
	return s ? mem_dup(s, strlen(s)) : NULL;
}

void mem_free(char *p)
{
	free(p);
}

struct span span_str(const char *s)
{
	return span_of(s, s ? strlen(s) : 0);
}

bool span_same(struct span a, struct span b)
{
	return a.p && b.p && a.len == b.len && !memcmp(a.p, b.p, a.len);
}

bool span_is(struct span s, const char *text)
{
	return span_same(s, span_str(text));
}

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

static void reserve(struct buf *b, size_t n)
{
	size_t need = b->len + n + 1;

	if (need <= b->cap)
		return;
	b->cap = need > 2 * b->cap ? need : 2 * b->cap;
	b->data = mem_grow(b->data, b->cap);
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	reserve(b, n);
	if (n)
		memcpy(b->data + b->len, p, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_span(struct buf *b, struct span s)
{
	buf_add(b, s.p, s.len);
}

PRINTF_LIKE(2, 0) static void add_formatted(struct buf *b, const char *fmt, va_list ap)
{
	char *text = NULL;
	int n = vasprintf(&text, fmt, ap);

	if (n < 0)
		check(NULL); /* a broken format would be ours, and the compiler sees those */
	buf_add(b, text, (size_t)n);
	free(text);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_formatted(b, fmt, ap);
	va_end(ap);
}

char *buf_take(struct buf *b)
{
	char *data = b->data ? b->data : mem_dup("", 0);

	*b = (struct buf){ 0 };
	return data;
}

struct span buf_view(const struct buf *b)
{
	return span_of(b->data ? b->data : "", b->len);
}

char *mem_format(const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	add_formatted(&b, fmt, ap);
	va_end(ap);
	return buf_take(&b);
}
