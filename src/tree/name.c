/* SPDX-License-Identifier: MIT */
#include "tree/name.h"

#include <errno.h>
#include <string.h>

#include "base/utf8.h"

static const char upper_hex[] = "0123456789ABCDEF";

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool is_escape(const char *s, size_t len)
{
	return len >= 3 && s[0] == '%' && hex_value(s[1]) >= 0 && hex_value(s[2]) >= 0;
}

static bool is_id_suffix(const char *s, size_t len)
{
	struct stack_id id;

	return len == NAME_SUFFIX_BYTES && s[0] == '~' && stack_id_parse(s + 1, len - 1, &id) == 0;
}

/* How many bytes at s stand for themselves; 0: the first one must be escaped. */
static size_t plain_length(const char *s, size_t len, bool first)
{
	unsigned char c = (unsigned char)s[0];

	if (c < 0x20 || c == 0x7f || c == '/' || (c == '.' && first))
		return 0;
	if (is_escape(s, len) || is_id_suffix(s, len))
		return 0;
	return utf8_length(s, len);
}

void name_encode(const char *name, size_t len, const struct stack_id *id, bool with_id,
		 char out[NAME_MAX_BYTES + 1])
{
	size_t at = 0;
	size_t fits = 0; /* how much of out may stay when the suffix must follow */
	bool cut = false;

	for (size_t i = 0; i < len && !cut;) {
		size_t n = plain_length(name + i, len - i, i == 0);
		char piece[4];
		size_t piece_len = n ? n : 3;

		if (n) {
			memcpy(piece, name + i, n);
		} else {
			unsigned char c = (unsigned char)name[i];

			piece[0] = '%';
			piece[1] = upper_hex[c >> 4];
			piece[2] = upper_hex[c & 15];
		}
		cut = at + piece_len > NAME_MAX_BYTES;
		if (cut)
			break;
		memcpy(out + at, piece, piece_len);
		at += piece_len;
		if (at <= NAME_MAX_BYTES - NAME_SUFFIX_BYTES)
			fits = at;
		i += n ? n : 1;
	}

	if (len == 0) {
		stack_id_format(id, out);
		at = fits = STACK_ID_HEX;
	}
	if (cut || with_id) {
		out[fits] = '~';
		stack_id_format(id, out + fits + 1);
		at = fits + NAME_SUFFIX_BYTES;
	}
	out[at] = '\0';
}

int name_decode(const char *component, char out[NAME_MAX_BYTES + 1], size_t *ret_len)
{
	static const struct stack_id none;
	char again[NAME_MAX_BYTES + 1];
	size_t len = strlen(component);
	size_t at = 0;

	if (len == 0 || len > NAME_MAX_BYTES)
		return -EINVAL;
	for (size_t i = 0; i < len;) {
		if (is_escape(component + i, len - i)) {
			out[at++] = (char)(hex_value(component[i + 1]) << 4 |
					   hex_value(component[i + 2]));
			i += 3;
		} else {
			out[at++] = component[i++];
		}
	}
	out[at] = '\0';

	/* Only the form that encoding gives is one: else two components would
	 * stand for one name. */
	name_encode(out, at, &none, false, again);
	if (strcmp(again, component) != 0)
		return -EINVAL;
	*ret_len = at;
	return 0;
}

bool name_has_id(const char *component, struct stack_id *ret)
{
	size_t len = strlen(component);

	if (len < NAME_SUFFIX_BYTES)
		return false;
	const char *suffix = component + len - NAME_SUFFIX_BYTES;
	return suffix[0] == '~' && stack_id_parse(suffix + 1, STACK_ID_HEX, ret) == 0;
}
