/* SPDX-License-Identifier: MIT */
/* fuzz: what the fuzz targets share.  A target is one file that defines
 * LLVMFuzzerTestOneInput and says by fuzz_check what must be true of any input.
 * Linked with libFuzzer (scripts/fuzz) it looks for inputs of its own; linked
 * with driver.c it runs those that are kept, as a unit test. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_check(ok) fuzz_check_at(ok, #ok, __FILE__, __LINE__)
void fuzz_check_at(bool ok, const char *what, const char *file, int line);

/* Cut the input at its NULs into n parts, the last of which keeps any further ones.
 * False: there are fewer. */
struct fuzz_part {
	const char *s;
	size_t len;
};
bool fuzz_split(const uint8_t *data, size_t size, struct fuzz_part *ret, size_t n);

#endif
