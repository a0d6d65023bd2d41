/* SPDX-License-Identifier: MIT */
/* content: the bytes of a file that is only here, and the room that all of them
 * have together.
 *
 * Bytes that go are wiped: a draft may hold a secret that was just typed.
 * Threads: inside the monitor only. */
#ifndef DRAFT_CONTENT_H
#define DRAFT_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "base/macros.h"

/* What scratch can never take from drafts. */
#define BUDGET_RESERVE_BYTES (4u << 20)

struct budget {
	size_t limit;   /* of scratch and drafts in all; bytes */
	size_t scratch; /* in use */
	size_t drafts;
};

enum content_use { CONTENT_SCRATCH, CONTENT_DRAFT };

struct content {
	struct budget *budget; /* borrowed */
	enum content_use use;
	bool sink;      /* what is written is forgotten */
	char *bytes;    /* len of them; NULL when there are none */
	size_t len;
	size_t cap;     /* what is counted */
	/* What stat(2) shows of scratch; a draft shows its record's. */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	struct timespec mtime;
};

NODISCARD int content_new(struct budget *budget, enum content_use use, struct content **ret); /* -ENOMEM */
void content_free(struct content *content); /* NULL is fine */
DEFINE_CLEANUP(struct content, content_free)

/* Write at offset; what lies between the end and there becomes zeros.  -EFBIG
 * (max_bytes), -ENOSPC (the budget), -ENOMEM; a failure changes nothing. */
NODISCARD int content_write(struct content *content, size_t offset, const void *bytes, size_t len,
			    size_t max_bytes);
/* Make it that long, by cutting or by zeros.  Errors as content_write. */
NODISCARD int content_resize(struct content *content, size_t len, size_t max_bytes);
/* Count it as the other; never fails: what was let in stays. */
void content_use_as(struct content *content, enum content_use use);

/* How much more can be written as that. */
size_t budget_free(const struct budget *budget, enum content_use use);

#endif
