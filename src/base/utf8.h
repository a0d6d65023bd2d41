/* SPDX-License-Identifier: MIT */
/* utf8: where characters begin and end (RFC 3629). */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the well-formed character at s, 1 to 4; 0 when the bytes there are
 * no character (overlong forms, surrogates and what lies past U+10FFFF are
 * none) or len is 0. */
size_t utf8_length(const char *s, size_t len);

/* Write code (up to U+10FFFF) to out and return its length, 1 to 4.  A
 * surrogate is written in the same three-byte form, which utf8_length then
 * calls malformed: the caller can tell, and nothing is lost. */
size_t utf8_encode(uint32_t code, char out[4]);

#endif
