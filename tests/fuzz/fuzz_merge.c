/* SPDX-License-Identifier: MIT */
/* Three bodies -> one, or the fields in conflict. */
#include <errno.h>
#include <string.h>

#include "draft/merge.h"
#include "fuzz.h"

static bool is_document(struct document doc)
{
	struct json_error bad;

	return document_check(doc, &bad) == 0;
}

/* Merging these gives what means the same as wanted. */
static void check_gives(struct document base, struct document ours, struct document theirs,
			struct document wanted)
{
	struct buf out = BUF_INIT(DOCUMENT_MAX_BYTES);
	struct value_paths conflicts;
	bool same = false;

	fuzz_check(merge_three(base, ours, theirs, &out, &conflicts) == 0);
	fuzz_check(document_equal((struct document){ out.data, out.len }, wanted, &same) == 0);
	fuzz_check(same);
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = BUF_INIT(DOCUMENT_MAX_BYTES), other = BUF_INIT(DOCUMENT_MAX_BYTES);
	struct value_paths conflicts, mirrored;
	struct fuzz_part part[3];
	struct document d[3];

	if (!fuzz_split(data, size, part, 3))
		return 0;
	for (size_t i = 0; i < 3; i++) {
		d[i] = (struct document){ part[i].s, part[i].len };
		if (!is_document(d[i]))
			return 0;
	}
	check_gives(d[0], d[1], d[0], d[1]); /* only ours changed */
	check_gives(d[0], d[0], d[2], d[2]); /* only theirs */
	check_gives(d[0], d[1], d[1], d[1]); /* both to the same */

	int r = merge_three(d[0], d[1], d[2], &out, &conflicts);
	int m = merge_three(d[0], d[2], d[1], &other, &mirrored);
	fuzz_check((r == -EBUSY) == (m == -EBUSY));
	fuzz_check((r == -EBUSY) == (conflicts.n > 0));
	fuzz_check(r == 0 || out.len == 0);
	if (r == 0 && m == 0) {
		struct document a = { out.data, out.len }, b = { other.data, other.len };
		bool same = false;

		fuzz_check(is_document(a));
		fuzz_check(document_equal(a, b, &same) == 0 && same);
	}
	buf_done(&out);
	buf_done(&other);
	return 0;
}
