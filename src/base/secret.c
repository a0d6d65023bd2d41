/* SPDX-License-Identifier: MIT */
/* Secrets live in slots of a power-of-two size, cut from mappings of their own
 * that are locked and left out of core dumps; malloc'd memory could share its
 * pages with anything.  A slot that is given back is wiped and used again by
 * the next secret of its size; mappings are kept until the process ends. */
#include "base/secret.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_BYTES    (64 * 1024)
#define SLOT_MIN_BYTES 64
#define N_CLASSES      12 /* 64 bytes to 128 KiB */

struct secret {
	union {
		_Atomic unsigned refs;
		struct secret *next_free; /* guarded by arena.lock */
	};
	uint32_t len;
	uint32_t class;
	char bytes[];
};

_Static_assert(sizeof(struct secret) + SECRET_MAX_BYTES + 1 <= (size_t)SLOT_MIN_BYTES
								       << (N_CLASSES - 1),
	       "the largest secret has a slot");

struct chunk {
	struct chunk *next;
	size_t size;
};

static struct {
	pthread_mutex_t lock;
	struct chunk *chunks;             /* guarded by lock */
	struct secret *unused[N_CLASSES]; /* guarded by lock */
} arena = { .lock = PTHREAD_MUTEX_INITIALIZER };

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
	pthread_mutex_lock(&arena.lock);
}

static void after_fork_in_parent(void)
{
	pthread_mutex_unlock(&arena.lock);
}

/* A child does not inherit memory locks (mlock(2)), and the daemon is one. */
static void after_fork_in_child(void)
{
	for (struct chunk *c = arena.chunks; c; c = c->next)
		(void)mlock(c, c->size);
	pthread_mutex_unlock(&arena.lock);
}

static void watch_forks(void)
{
	/* Fails only for want of memory; then the child's memory is not locked. */
	(void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* lock is held. */
static int add_chunk(uint32_t class)
{
	size_t slot = (size_t)SLOT_MIN_BYTES << class;
	size_t size = slot + SLOT_MIN_BYTES > CHUNK_BYTES ? slot + SLOT_MIN_BYTES : CHUNK_BYTES;
	char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED)
		return -ENOMEM;
	(void)mlock(base, size); /* RLIMIT_MEMLOCK may be small: best effort */
	(void)madvise(base, size, MADV_DONTDUMP);

	struct chunk *chunk = (struct chunk *)base;
	*chunk = (struct chunk){ arena.chunks, size };
	arena.chunks = chunk;
	for (size_t at = SLOT_MIN_BYTES; at + slot <= size; at += slot) {
		struct secret *s = (struct secret *)(base + at);

		s->next_free = arena.unused[class];
		arena.unused[class] = s;
	}
	return 0;
}

static int take_slot(uint32_t class, struct secret **ret)
{
	int r = 0;

	pthread_mutex_lock(&arena.lock);
	if (!arena.unused[class])
		r = add_chunk(class);
	if (r == 0) {
		*ret = arena.unused[class];
		arena.unused[class] = (*ret)->next_free;
	}
	pthread_mutex_unlock(&arena.lock);
	return r;
}

int secret_new(const void *bytes, size_t len, struct secret **ret)
{
	struct secret *s;
	uint32_t class = 0;

	if (len > SECRET_MAX_BYTES)
		return -EMSGSIZE;
	pthread_once(&fork_once, watch_forks);
	while ((size_t)SLOT_MIN_BYTES << class < sizeof(*s) + len + 1)
		class ++;
	int r = take_slot(class, &s);
	if (r < 0)
		return r;

	s->refs = 1;
	s->len = (uint32_t)len;
	s->class = class;
	if (len)
		memcpy(s->bytes, bytes, len);
	s->bytes[len] = '\0';
	*ret = s;
	return 0;
}

struct secret *secret_ref(struct secret *s)
{
	if (s)
		atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void secret_unref(struct secret *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	uint32_t class = s->class;

	explicit_bzero(s, (size_t)SLOT_MIN_BYTES << class);
	pthread_mutex_lock(&arena.lock);
	s->next_free = arena.unused[class];
	arena.unused[class] = s;
	pthread_mutex_unlock(&arena.lock);
}

const char *secret_bytes(const struct secret *s)
{
	return s->bytes;
}

size_t secret_len(const struct secret *s)
{
	return s->len;
}

/* How many bytes at text are the secret's, slashes escaped or not; 0: they are not. */
static size_t match(const struct secret *s, const char *text, size_t len)
{
	size_t at = 0;

	for (size_t i = 0; i < s->len; i++) {
		if (s->bytes[i] == '/' && len - at > 1 && text[at] == '\\' && text[at + 1] == '/')
			at++;
		if (at >= len || text[at] != s->bytes[i])
			return 0;
		at++;
	}
	return at;
}

void secret_hide(const struct secret *s, char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t n = match(s, text + at, len - at);

		if (n)
			memset(text + at, '*', n);
		at += n ? n : 1;
	}
}
