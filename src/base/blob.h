/* SPDX-License-Identifier: MIT */
/* blob: immutable bytes, counted: what a file shows.
 *
 * Threads: any thread may ref and unref. */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct blob;

/* Copies the bytes.  -ENOMEM. */
NODISCARD int blob_new(const void *bytes, size_t len, struct blob **ret);
/* The same for bytes that must not leak: they are kept as a secret.
 * -ENOMEM, -EMSGSIZE (SECRET_MAX_BYTES). */
NODISCARD int blob_new_secret(const void *bytes, size_t len, struct blob **ret);
struct blob *blob_ref(struct blob *blob); /* NULL gives NULL */
void blob_unref(struct blob *blob);       /* NULL is fine */
DEFINE_CLEANUP(struct blob, blob_unref)

/* Borrowed; followed by a NUL. */
const char *blob_bytes(const struct blob *blob);
size_t blob_len(const struct blob *blob);
/* 64 bits that depend on every byte; the same on every machine, but no defence
 * against who wants two contents to collide (FNV-1a). */
uint64_t blob_hash(const struct blob *blob);
uint64_t blob_hash_of(const void *bytes, size_t len); /* the same of bytes that are no blob */

#endif
