/* SPDX-License-Identifier: MIT */
#include "draft/content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST_BYTES 4096

static size_t *used_by(struct budget *budget, enum content_use use)
{
	return use == CONTENT_DRAFT ? &budget->drafts : &budget->scratch;
}

size_t budget_free(const struct budget *budget, enum content_use use)
{
	size_t half = budget->limit / 2;
	size_t reserve = use == CONTENT_DRAFT           ? 0
			 : half < BUDGET_RESERVE_BYTES ? half
						       : BUDGET_RESERVE_BYTES;
	/* What drafts use comes out of their reserve first. */
	size_t kept = budget->drafts > reserve ? budget->drafts : reserve;
	size_t used = budget->scratch + kept;

	return used < budget->limit ? budget->limit - used : 0;
}

int content_new(struct budget *budget, enum content_use use, struct content **ret)
{
	struct content *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->budget = budget;
	c->use = use;
	*ret = c;
	return 0;
}

void content_free(struct content *c)
{
	if (!c)
		return;
	if (c->bytes)
		explicit_bzero(c->bytes, c->cap);
	free(c->bytes);
	*used_by(c->budget, c->use) -= c->cap;
	free(c);
}

/* Room for len bytes.  Doubling, and where that is too much half of what is left, so that a
 * file written in small pieces is not copied for each. */
static int reserve(struct content *c, size_t len)
{
	size_t cap = c->cap ? c->cap : SMALLEST_BYTES;
	size_t most = budget_free(c->budget, c->use);

	if (len <= c->cap)
		return 0;
	if (len - c->cap > most)
		return -ENOSPC;
	while (cap < len)
		cap *= 2;
	if (cap - c->cap > most)
		cap = c->cap + most / 2 > len ? c->cap + most / 2 : len;
	char *bytes = malloc(cap);
	if (!bytes)
		return -ENOMEM;
	if (c->bytes) {
		memcpy(bytes, c->bytes, c->len);
		explicit_bzero(c->bytes, c->cap);
		free(c->bytes);
	}
	c->bytes = bytes;
	*used_by(c->budget, c->use) += cap - c->cap;
	c->cap = cap;
	return 0;
}

int content_write(struct content *c, size_t offset, const void *bytes, size_t len,
		  size_t max_bytes)
{
	if (c->sink || len == 0)
		return 0;
	if (offset > max_bytes || len > max_bytes - offset)
		return -EFBIG;
	int r = reserve(c, offset + len);
	if (r < 0)
		return r;
	if (offset > c->len)
		memset(c->bytes + c->len, 0, offset - c->len);
	memcpy(c->bytes + offset, bytes, len);
	if (offset + len > c->len)
		c->len = offset + len;
	return 0;
}

int content_resize(struct content *c, size_t len, size_t max_bytes)
{
	if (c->sink)
		return 0;
	if (len > max_bytes)
		return -EFBIG;
	int r = reserve(c, len);
	if (r < 0)
		return r;
	if (len > c->len)
		memset(c->bytes + c->len, 0, len - c->len);
	else if (len < c->len)
		explicit_bzero(c->bytes + len, c->len - len);
	c->len = len;
	return 0;
}

void content_use_as(struct content *c, enum content_use use)
{
	*used_by(c->budget, c->use) -= c->cap;
	c->use = use;
	*used_by(c->budget, use) += c->cap;
}
