/* SPDX-License-Identifier: MIT */
/* mem: memory, bytes that grow, and views of bytes.
 * Out of memory ends the program with one line: an emulator has nothing to save, and every caller
 * stays free of a branch that no test could reach.  Threads: none here. */
#ifndef EMULATOR_MEM_H
#define EMULATOR_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

void *mem_zalloc(size_t n);
void *mem_grow(void *p, size_t n);
/* A copy of n bytes with a NUL after them. */
char *mem_dup(const void *p, size_t n);
char *mem_dups(const char *s); /* NULL stays NULL */
void mem_free(char *p);
DEFINE_CLEANUP(char, mem_free)

/* Borrowed bytes.  p == NULL means absent. */
struct span {
	const char *p;
	size_t len;
};

static inline struct span span_of(const char *p, size_t len)
{
	return (struct span){ p, len };
}

struct span span_str(const char *s);
bool span_is(struct span s, const char *text);
bool span_same(struct span a, struct span b); /* an absent one is like none */

/* Zero-initialised is empty.  A NUL follows the bytes whenever data is set. */
struct buf {
	char *data;
	size_t len, cap;
};

void buf_done(struct buf *b);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_span(struct buf *b, struct span s);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The bytes with a NUL, owned by the caller; b is empty afterwards. */
char *buf_take(struct buf *b);
struct span buf_view(const struct buf *b);
char *mem_format(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
