/* SPDX-License-Identifier: MIT */
/* A record's JSON -> its text as config.json shows it. */
#include <string.h>

#include "api/record.h"
#include "base/json.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record *once, *again;
	struct json_error bad;
	char why[160] = "";

	if (record_parse((const char *)data, size, &once, why, sizeof(why)) < 0) {
		fuzz_check(why[0] && memchr(why, '\0', sizeof(why)));
		return 0;
	}
	fuzz_check(once->text_len > 0 && once->text[once->text_len - 1] == '\n');
	fuzz_check(json_check(once->text, once->text_len, JSON_ANY_BYTES, &bad) == 0);

	/* What is laid out is laid out already. */
	fuzz_check(record_parse(once->text, once->text_len, &again, why, sizeof(why)) == 0);
	fuzz_check(again->text_len == once->text_len);
	fuzz_check(memcmp(again->text, once->text, once->text_len) == 0);
	fuzz_check(stack_id_compare(&again->id, &once->id) == 0);
	fuzz_check(again->name_len == once->name_len && again->type == once->type);
	fuzz_check(memcmp(again->name, once->name, once->name_len) == 0);
	fuzz_check(again->modified_ms == once->modified_ms &&
		   again->created_ms == once->created_ms);
	record_unref(again);
	record_unref(once);
	return 0;
}
