/* SPDX-License-Identifier: MIT */
/* What was written -> what is sent.  The input is a text and the record. */
#include <string.h>

#include "draft/document.h"
#include "draft/mask.h"
#include "fuzz.h"

static bool is_document(struct document doc)
{
	struct json_error bad = { 0 };
	int r = document_check(doc, &bad);

	fuzz_check(r == 0 || bad.why);
	return r == 0;
}

static void check_body(struct document body, struct document record)
{
	struct buf again = BUF_INIT(DOCUMENT_MAX_BYTES), masked = BUF_INIT(8 * DOCUMENT_MAX_BYTES);
	struct document_facts facts;
	struct value_paths masks;
	bool same = false;

	fuzz_check(is_document(body));
	fuzz_check(document_facts(body, &facts) == 0);
	fuzz_check(facts.has_id == DOCUMENT_NONE && facts.has_modified == DOCUMENT_NONE);
	document_facts_done(&facts);

	/* A body given again comes out as it is. */
	fuzz_check(document_body(body, record, &again, &masks) == 0);
	fuzz_check(again.len == body.len && memcmp(again.data, body.text, body.len) == 0);
	fuzz_check(document_equal(body, (struct document){ again.data, again.len }, &same) == 0);
	fuzz_check(same);
	fuzz_check(mask_secrets(body, &masked) == 0);
	buf_done(&again);
	buf_done(&masked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf body = BUF_INIT(DOCUMENT_MAX_BYTES);
	struct value_paths masks;
	struct fuzz_part part[2];

	if (!fuzz_split(data, size, part, 2))
		return 0;
	struct document doc = { part[0].s, part[0].len }, record = { part[1].s, part[1].len };
	if (!is_document(doc) || (record.len && !is_document(record)))
		return 0;
	if (record.len == 0)
		record.text = NULL; /* a new stack */

	int r = document_body(doc, record, &body, &masks);
	fuzz_check(r == 0 || body.len == 0);
	fuzz_check(r < 0 || masks.n == 0);
	if (r == 0)
		check_body((struct document){ body.data, body.len }, record);
	buf_wipe(&body);
	return 0;
}
