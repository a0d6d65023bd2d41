/* SPDX-License-Identifier: MIT */
/* secret: bytes that must not leak: the bearer token, system tokens.
 *
 * They live in memory that is locked where the kernel allows it (mlock(2),
 * best effort), left out of core dumps (madvise(2), MADV_DONTDUMP) and wiped
 * when the last reference goes.  There is no way to print one by accident:
 * the type is opaque and log has no format for it.
 * Threads: any thread may call; a secret is immutable. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stddef.h>

#include "base/macros.h"

#define SECRET_MAX_BYTES 65536

struct secret;

/* Copies the bytes; the caller wipes its own.  -EMSGSIZE, -ENOMEM. */
NODISCARD int secret_new(const void *bytes, size_t len, struct secret **ret);
struct secret *secret_ref(struct secret *secret);
void secret_unref(struct secret *secret); /* NULL is fine */
DEFINE_CLEANUP(struct secret, secret_unref)

/* Followed by a NUL; borrowed, valid while a reference is held. */
const char *secret_bytes(const struct secret *secret);
size_t secret_len(const struct secret *secret);

/* Overwrite the secret, wherever it stands in text, by asterisks; also as a JSON
 * string with escaped slashes has it.  One of no bytes is nowhere. */
void secret_hide(const struct secret *s, char *text, size_t len);

#endif
