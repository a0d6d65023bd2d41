/* SPDX-License-Identifier: MIT */
#include "base/blob.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

struct blob {
	_Atomic unsigned refs;
	size_t len;
	struct secret *secret; /* holds the bytes instead, where set */
	char bytes[];
};

static struct blob *blob_alloc(size_t room)
{
	struct blob *b = malloc(sizeof(*b) + room);

	if (!b)
		return NULL;
	b->refs = 1;
	b->len = 0;
	b->secret = NULL;
	return b;
}

int blob_new(const void *bytes, size_t len, struct blob **ret)
{
	struct blob *b = blob_alloc(len + 1);

	if (!b)
		return -ENOMEM;
	if (len)
		memcpy(b->bytes, bytes, len);
	b->bytes[len] = '\0';
	b->len = len;
	*ret = b;
	return 0;
}

int blob_new_secret(const void *bytes, size_t len, struct blob **ret)
{
	CLEANUP(blob_unrefp) struct blob *b = blob_alloc(0);

	if (!b)
		return -ENOMEM;
	int r = secret_new(bytes, len, &b->secret);
	if (r < 0)
		return r;
	b->len = len;
	*ret = TAKE_PTR(b);
	return 0;
}

struct blob *blob_ref(struct blob *b)
{
	if (b)
		atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void blob_unref(struct blob *b)
{
	if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	secret_unref(b->secret);
	free(b);
}

const char *blob_bytes(const struct blob *b)
{
	return b->secret ? secret_bytes(b->secret) : b->bytes;
}

size_t blob_len(const struct blob *b)
{
	return b->len;
}

uint64_t blob_hash_of(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

uint64_t blob_hash(const struct blob *b)
{
	return blob_hash_of(blob_bytes(b), b->len);
}
