/* SPDX-License-Identifier: MIT */
/* A stack's name <-> a path component. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "tree/name.h"

static void check_component(const char *c)
{
	fuzz_check(c[0] && c[0] != '.' && strlen(c) <= NAME_MAX_BYTES);
	for (const char *at = c; *at; at++)
		fuzz_check(*at != '/' && (unsigned char)*at >= 0x20 && *at != 0x7f);
}

static void check_name(const char *name, size_t len)
{
	const struct stack_id id = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 } };
	char component[NAME_MAX_BYTES + 1], with_id[NAME_MAX_BYTES + 1];
	char decoded[NAME_MAX_BYTES + 1];
	struct stack_id found;
	size_t decoded_len;

	name_encode(name, len, &id, false, component);
	check_component(component);
	if (len > 0 && !name_has_id(component, &found)) {
		fuzz_check(name_decode(component, decoded, &decoded_len) == 0);
		fuzz_check(decoded_len == len && memcmp(decoded, name, len) == 0);
	}
	name_encode(name, len, &id, true, with_id);
	check_component(with_id);
	fuzz_check(name_has_id(with_id, &found) && stack_id_compare(&found, &id) == 0);
}

/* A component that is some name's is that name's only one. */
static void check_inverse(const char *component)
{
	const struct stack_id id = { { 0 } };
	char decoded[NAME_MAX_BYTES + 1], encoded[NAME_MAX_BYTES + 1];
	struct stack_id found;
	size_t len;

	if (!component[0] || strlen(component) > NAME_MAX_BYTES || name_has_id(component, &found))
		return;
	if (name_decode(component, decoded, &len) < 0)
		return;
	name_encode(decoded, len, &id, false, encoded);
	fuzz_check(strcmp(encoded, component) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	fuzz_check(text != NULL);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	check_name(text, size);
	if (strlen(text) == size && !strchr(text, '/'))
		check_inverse(text);
	free(text);
	return 0;
}
