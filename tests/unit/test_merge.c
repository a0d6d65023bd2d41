/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "draft/merge.h"

static struct document doc(const char *text)
{
	return (struct document){ text, strlen(text) };
}

/* A copy without room behind it, so that a sanitizer sees a read past len. */
static struct document exact(struct document d)
{
	char *copy = malloc(d.len ? d.len : 1);

	assert_non_null(copy);
	memcpy(copy, d.text, d.len);
	return (struct document){ copy, d.len };
}

static int merge(const char *base, const char *ours, const char *theirs, struct buf *out,
		 struct value_paths *conflicts)
{
	struct document b = exact(doc(base)), o = exact(doc(ours)), t = exact(doc(theirs));
	struct json_error e;
	int r = merge_three(b, o, t, out, conflicts);

	if (r == 0) {
		assert_int_equal(conflicts->n, 0);
		assert_int_equal(document_check((struct document){ out->data, out->len }, &e), 0);
	} else {
		assert_int_equal(out->len, 0);
	}
	free((char *)b.text);
	free((char *)o.text);
	free((char *)t.text);
	return r;
}

static const struct {
	const char *base, *ours, *theirs;
	const char *merged; /* NULL: refused */
	const char *conflicts;
} cases[] = {
	/* Nothing, and one side only. */
	{ "{}", "{}", "{}", "{}", NULL },
	{ "{\"a\":1}", "{\"a\":2}", "{\"a\":1}", "{\"a\":2}", NULL },
	{ "{\"a\":1}", "{\"a\":1}", "{\"a\":2}", "{\"a\":2}", NULL },
	{ "{\"a\":1}", "{\"a\":1}", "{}", "{}", NULL },
	{ "{\"a\":1}", "{}", "{\"a\":1}", "{}", NULL },
	{ "{}", "{\"a\":1}", "{}", "{\"a\":1}", NULL },
	{ "{}", "{}", "{\"a\":1}", "{\"a\":1}", NULL },
	{ "{\"a\":1}", "{}", "{}", "{}", NULL },
	{ "{\"a\":1}", "{\"a\":[]}", "{\"a\":1}", "{\"a\":[]}", NULL },
	{ "{\"a\":{\"x\":1}}", "{\"a\":{\"x\":1}}", "{\"a\":2}", "{\"a\":2}", NULL },
	{ "{\"a\":{\"x\":1}}", "{\"a\":null}", "{\"a\":{\"x\":1.0}}", "{\"a\":null}", NULL },
	{ "{\"a\":1}", "{\"a\":{\"x\":1}}", "{\"a\":1}", "{\"a\":{\"x\":1}}", NULL },
	/* Both to the same: as ours has it. */
	{ "{\"a\":1}", "{\"a\":2.0}", "{\"a\":2}", "{\"a\":2.0}", NULL },
	{ "{}", "{\"a\":\"\\u0062\"}", "{\"a\":\"b\"}", "{\"a\":\"\\u0062\"}", NULL },
	{ "{\"a\":1.10}", "{\"a\":1.1}", "{\"a\":11e-1}", "{\"a\":1.1}", NULL },
	{ "{\"a\":1}", "{\"a\":{\"x\":1}}", "{\"a\":{\"x\":1}}", "{\"a\":{\"x\":1}}", NULL },
	/* Different fields. */
	{ "{\"a\":1,\"b\":1}", "{\"b\":1,\"a\":2}", "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":2}",
	  NULL },
	{ "{\"s\":{\"h\":1,\"i\":[1]},\"n\":1}", "{\"n\":1,\"s\":{\"h\":2,\"i\":[1]}}",
	  "{\"s\":{\"h\":1,\"i\":[1,2]},\"n\":2}", "{\"n\":2,\"s\":{\"h\":2,\"i\":[1,2]}}", NULL },
	{ "{\"a\":1,\"b\":1}", "{\"a\":1}", "{\"b\":1}", "{}", NULL },
	{ "{\"a\":{\"x\":1}}", "{\"a\":{\"x\":1,\"p\":1}}", "{\"a\":{\"x\":1,\"q\":1}}",
	  "{\"a\":{\"x\":1,\"p\":1,\"q\":1}}", NULL },
	{ "{\"a\":{\"x\":1}}", "{\"a\":{}}", "{\"a\":{\"x\":1,\"q\":1}}", "{\"a\":{\"q\":1}}",
	  NULL },
	/* Objects that both added. */
	{ "{}", "{\"a\":{\"x\":1}}", "{\"a\":{\"y\":1}}", "{\"a\":{\"x\":1,\"y\":1}}", NULL },
	{ "{}", "{\"a\":{\"x\":{\"p\":1}}}", "{\"a\":{\"x\":{\"p\":1.0,\"q\":1}}}",
	  "{\"a\":{\"x\":{\"p\":1,\"q\":1}}}", NULL },
	{ "{}", "{\"a\":{\"x\":1}}", "{\"a\":{\"x\":2}}", NULL, "a.x" },
	/* Names that are the same without their escapes. */
	{ "{\"\\u0061\":1,\"b\":1}", "{\"a\":1,\"b\":2}", "{\"a\":2,\"\\u0062\":1}",
	  "{\"a\":2,\"b\":2}", NULL },
	{ "{\"a\":1}", "{\"\\u0061\":2}", "{\"a\":3}", NULL, "a" },
	/* Tokens. */
	{ "{\"a\":1,\"c\":{ }}", "{ \"a\" : 1.10, \"c\" : { } }",
	  "{\"a\":1,\"c\":{},\"\\/\" : [ 1E5 ,\"\\u00e9\" ]}",
	  "{\"a\":1.10,\"c\":{},\"\\/\":[1E5,\"\\u00e9\"]}", NULL },
	{ "{\"a\":9007199254740992}", "{\"a\":9007199254740993}", "{\"a\":9007199254740992.0}",
	  "{\"a\":9007199254740993}", NULL },
	/* Conflicts. */
	{ "{\"a\":1}", "{\"a\":2}", "{\"a\":3}", NULL, "a" },
	{ "{}", "{\"a\":2}", "{\"a\":3}", NULL, "a" },
	{ "{\"a\":1}", "{}", "{\"a\":3}", NULL, "a" },
	{ "{\"a\":1}", "{\"a\":3}", "{}", NULL, "a" },
	{ "{\"a\":{\"x\":1}}", "{}", "{\"a\":{\"x\":1,\"y\":2}}", NULL, "a" },
	{ "{\"a\":{\"x\":1}}", "{\"a\":{\"x\":2}}", "{\"a\":5}", NULL, "a" },
	{ "{\"a\":{\"x\":1}}", "{\"a\":[]}", "{\"a\":{\"x\":2}}", NULL, "a" },
	{ "{\"a\":1}", "{\"a\":{\"x\":1}}", "{\"a\":{\"y\":1}}", NULL, "a" },
	{ "{\"a\":1}", "{\"a\":{}}", "{\"a\":2}", NULL, "a" },
	{ "{\"a\":[1,2]}", "{\"a\":[1,3]}", "{\"a\":[2,2]}", NULL, "a" },
	{ "{\"a\":9007199254740992}", "{\"a\":9007199254740993}", "{\"a\":9007199254740994}", NULL,
	  "a" },
	{ "{\"s\":{\"h\":1,\"i\":1,\"j\":1},\"n\":1}", "{\"s\":{\"h\":2,\"j\":2},\"n\":2}",
	  "{\"s\":{\"h\":3,\"i\":3,\"j\":1},\"n\":3}", NULL, "s.h, s.i, n" },
};

static void test_rules(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(buf_done) struct buf out = BUF_INIT(10000);
		CLEANUP(buf_done) struct buf back = BUF_INIT(10000);
		struct value_paths conflicts, other;
		char line[256];
		int r = merge(cases[i].base, cases[i].ours, cases[i].theirs, &out, &conflicts);

		value_paths_text(&conflicts, line, sizeof(line));
		if (cases[i].merged && (r != 0 || strcmp(out.data, cases[i].merged) != 0))
			fail_msg("%zu: %d %s %s", i, r, line, r == 0 ? out.data : "");
		if (!cases[i].merged && (r != -EBUSY || strcmp(line, cases[i].conflicts) != 0))
			fail_msg("%zu: %d %s", i, r, line);
		assert_int_equal(
			merge(cases[i].base, cases[i].theirs, cases[i].ours, &back, &other), r);
		assert_int_equal(other.n, conflicts.n);
	}
}

/* Where both have changed a field ours stays, also where ours has none. */
static void test_ours_preferred(void **state)
{
	static const char *const rows[][4] = {
		{ "{\"a\":1,\"b\":1}", "{\"a\":2,\"b\":1}", "{\"a\":3,\"b\":3}", "{\"a\":2,\"b\":3}" },
		{ "{\"a\":1}", "{}", "{\"a\":2}", "{}" },
		{ "{\"a\":1}", "{\"a\":2}", "{}", "{\"a\":2}" },
		{ "{\"o\":{\"a\":1,\"b\":1}}", "{\"o\":{\"a\":2,\"b\":1}}", "{\"o\":{\"a\":3}}",
		  "{\"o\":{\"a\":2}}" },
		{ "{\"a\":1}", "{\"a\":{\"x\":1}}", "{\"a\":[2]}", "{\"a\":{\"x\":1}}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(buf_done) struct buf out = BUF_INIT(DOCUMENT_MAX_BYTES);

		assert_int_equal(merge_preferring_ours(doc(rows[i][0]), doc(rows[i][1]),
						       doc(rows[i][2]), &out),
				 0);
		assert_string_equal(out.data, rows[i][3]);
	}
}

static void test_errors(void **state)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(12);
	struct value_paths conflicts = { .n = 3 };

	assert_int_equal(merge("[]", "{}", "{}", &out, &conflicts), -EBADMSG);
	assert_int_equal(conflicts.n, 0);
	assert_int_equal(merge("{}", "1", "{}", &out, &conflicts), -EBADMSG);
	assert_int_equal(merge("{}", "{}", "\"\"", &out, &conflicts), -EBADMSG);
	assert_int_equal(merge("{}", "{}", "{", &out, &conflicts), -EBADMSG);
	assert_int_equal(merge("{}", "{\"a\":1,\"a\":2}", "{}", &out, &conflicts), -EBADMSG);
	assert_int_equal(merge("{}", "{\"a\":1}", "{\"b\":1}", &out, &conflicts), -EFBIG);
	assert_int_equal(merge("{}", "{\"a\":1}", "{\"a\":2}", &out, &conflicts), -EBUSY);
	assert_int_equal(merge("{}", "{\"a\":1}", "{\"b\":1}", &out, &conflicts), -EFBIG);
	assert_int_equal(conflicts.n, 0);
}

static void test_out_is_appended_to(void **state)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(100);
	struct value_paths conflicts;

	assert_int_equal(buf_puts(&out, "x"), 0);
	assert_int_equal(
		merge_three(doc("{}"), doc("{\"a\":1}"), doc("{\"a\":2}"), &out, &conflicts),
		-EBUSY);
	assert_string_equal(out.data, "x");
	assert_int_equal(merge_three(doc("{}"), doc("{\"a\":1}"), doc("{}"), &out, &conflicts), 0);
	assert_string_equal(out.data, "x{\"a\":1}");
}

static void fill(struct buf *out, unsigned n, const char *key, const char *value)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(buf_printf(out, "%s\"%s%u\":%s", i ? "," : "{", key, i, value), 0);
	assert_int_equal(buf_puts(out, "}"), 0);
}

static void test_conflicts_beyond_the_list(void **state)
{
	CLEANUP(buf_done) struct buf ours = BUF_INIT(10000);
	CLEANUP(buf_done) struct buf theirs = BUF_INIT(10000);
	CLEANUP(buf_done) struct buf out = BUF_INIT(10000);
	struct value_paths conflicts;

	fill(&ours, 20, "f", "1");
	fill(&theirs, 20, "f", "2");
	assert_int_equal(merge("{}", ours.data, theirs.data, &out, &conflicts), -EBUSY);
	assert_int_equal(conflicts.n, VALUE_PATHS_MAX);
	assert_int_equal(conflicts.more, 4);
	assert_string_equal(conflicts.path[15], "f15");
}

/* ---- at random ---- */

static uint64_t seed;

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static void put(struct buf *out, const char *s)
{
	assert_int_equal(buf_puts(out, s), 0);
}

static void put_value(struct buf *out, unsigned depth);

static void put_array(struct buf *out, unsigned depth)
{
	put(out, "[");
	for (unsigned n = below(3), i = 0; i < n; i++) {
		put(out, i ? " ," : "");
		put_value(out, depth + 1);
	}
	put(out, "]");
}

/* Few names, each in two forms, so that both sides meet often. */
static void put_object(struct buf *out, unsigned depth)
{
	static const char *const names[][2] = {
		{ "\"a\"", "\"\\u0061\"" }, { "\"b\"", "\"\\u0062\"" },        { "\"\"", "\"\"" },
		{ "\"/\"", "\"\\/\"" },     { "\"\xc3\xa9\"", "\"\\u00e9\"" },
	};
	unsigned first = below(ARRAY_SIZE(names)), n = 0;

	put(out, below(2) ? "{" : "{ ");
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (below(3) == 0)
			continue;
		put(out, n++ ? "," : "");
		put(out, names[(first + i) % ARRAY_SIZE(names)][below(2)]);
		put(out, below(2) ? ":" : " : ");
		put_value(out, depth + 1);
	}
	put(out, "}");
}

static void put_value(struct buf *out, unsigned depth)
{
	static const char *const scalars[] = { "1",     "1.0",         "2",    "20e-1",
					       "\"x\"", "\"\\u0078\"", "null", "true" };
	unsigned kind = below(depth < 4 ? 6 : 3);

	if (kind < 3)
		put(out, scalars[below(ARRAY_SIZE(scalars))]);
	else if (kind < 5)
		put_object(out, depth);
	else
		put_array(out, depth);
}

static bool same(const char *a, const char *b)
{
	bool r = false;

	assert_int_equal(document_equal(doc(a), doc(b), &r), 0);
	return r;
}

static void expect(const char *base, const char *ours, const char *theirs, const char *result)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(100000);
	struct value_paths conflicts;

	if (merge(base, ours, theirs, &out, &conflicts) != 0 || !same(out.data, result))
		fail_msg("base %s ours %s theirs %s", base, ours, theirs);
}

static void check_symmetry(const char *base, const char *ours, const char *theirs)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(100000);
	CLEANUP(buf_done) struct buf back = BUF_INIT(100000);
	struct value_paths conflicts, other;
	int r = merge(base, ours, theirs, &out, &conflicts);

	if (merge(base, theirs, ours, &back, &other) != r || other.n != conflicts.n ||
	    other.more != conflicts.more || (r == 0 && !same(out.data, back.data)))
		fail_msg("base %s ours %s theirs %s", base, ours, theirs);
	assert_true(r == 0 || (r == -EBUSY && conflicts.n > 0));
}

static void test_laws(void **state)
{
	for (unsigned i = 0; i < 3000; i++) {
		CLEANUP(buf_done) struct buf b = BUF_INIT(100000);
		CLEANUP(buf_done) struct buf o = BUF_INIT(100000);
		CLEANUP(buf_done) struct buf t = BUF_INIT(100000);

		put_object(&b, 0);
		put_object(&o, 0);
		put_object(&t, 0);
		expect(b.data, b.data, t.data, t.data);
		expect(b.data, o.data, b.data, o.data);
		expect(b.data, o.data, o.data, o.data);
		check_symmetry(b.data, o.data, t.data);
		check_symmetry("{}", o.data, t.data);
		assert_true(same(o.data, t.data) == same(t.data, o.data));
		if (same(b.data, o.data) && same(o.data, t.data))
			assert_true(same(b.data, t.data));
	}
}

/* Each field of a stack has one of few values, or none: 0.  The merge of all of
 * them is known field by field. */
#define FIELDS 12

static void put_stack(struct buf *out, const unsigned char fields[FIELDS])
{
	unsigned turn = below(FIELDS / 2), n = 0;

	put(out, "{");
	for (unsigned i = 0; i < FIELDS / 2; i++) {
		unsigned f = (i + turn) % (FIELDS / 2);

		if (fields[f])
			assert_int_equal(buf_printf(out, "\"f%u\":%u,", f, fields[f]), 0);
	}
	put(out, "\"s\":{");
	for (unsigned f = FIELDS / 2; f < FIELDS; f++) {
		if (fields[f])
			assert_int_equal(
				buf_printf(out, "%s\"f%u\":[%u.0]", n++ ? "," : "", f, fields[f]),
				0);
	}
	put(out, "}}");
}

static void change(unsigned char fields[FIELDS])
{
	for (unsigned n = below(4); n > 0; n--)
		fields[below(FIELDS)] = (unsigned char)below(4);
}

static void test_fields_against_a_model(void **state)
{
	for (unsigned i = 0; i < 5000; i++) {
		unsigned char b[FIELDS], o[FIELDS], t[FIELDS], m[FIELDS];
		CLEANUP(buf_done) struct buf base = BUF_INIT(10000);
		CLEANUP(buf_done) struct buf ours = BUF_INIT(10000);
		CLEANUP(buf_done) struct buf theirs = BUF_INIT(10000);
		CLEANUP(buf_done) struct buf model = BUF_INIT(10000);
		CLEANUP(buf_done) struct buf out = BUF_INIT(10000);
		struct value_paths conflicts;
		unsigned n = 0;

		for (unsigned f = 0; f < FIELDS; f++)
			b[f] = o[f] = t[f] = (unsigned char)below(4);
		change(o);
		change(t);
		for (unsigned f = 0; f < FIELDS; f++) {
			m[f] = o[f] == b[f] ? t[f] : o[f];
			n += o[f] != b[f] && t[f] != b[f] && o[f] != t[f];
		}
		put_stack(&base, b);
		put_stack(&ours, o);
		put_stack(&theirs, t);
		put_stack(&model, m);
		int r = merge(base.data, ours.data, theirs.data, &out, &conflicts);
		assert_int_equal(r, n ? -EBUSY : 0);
		assert_int_equal(conflicts.n, n);
		if (r == 0 && !same(out.data, model.data))
			fail_msg("%s and %s", out.data, model.data);
	}
}

/* ---- bounds ---- */

static char *nested(unsigned depth, const char *name, const char *inner)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(100000);

	for (unsigned i = 1; i < depth; i++)
		put(&out, "{\"a\":");
	assert_int_equal(buf_printf(&out, "{\"%s\":%s}", name, inner), 0);
	for (unsigned i = 1; i < depth; i++)
		put(&out, "}");
	return buf_steal(&out);
}

static void test_depth(void **state)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(100000);
	struct value_paths conflicts;
	char *ours = nested(JSON_MAX_DEPTH, "x", "1"), *theirs = nested(JSON_MAX_DEPTH, "y", "2");
	char *other = nested(JSON_MAX_DEPTH, "x", "2"),
	     *merged = nested(JSON_MAX_DEPTH, "x", "1,\"y\":2");

	assert_int_equal(merge("{}", ours, theirs, &out, &conflicts), 0);
	assert_string_equal(out.data, merged);
	buf_cut(&out, 0);
	assert_int_equal(merge("{}", ours, other, &out, &conflicts), -EBUSY);
	assert_int_equal(strlen(conflicts.path[0]), VALUE_PATH_BYTES - 1);
	free(ours);
	free(theirs);
	free(other);
	free(merged);
}

/* A side that is nested deep and is another at the bottom is compared once. */
static void test_deep_and_long(void **state)
{
	CLEANUP(buf_done) struct buf inner = BUF_INIT(DOCUMENT_MAX_BYTES);
	CLEANUP(buf_done) struct buf out = BUF_INIT(DOCUMENT_MAX_BYTES);
	struct value_paths conflicts;

	put(&inner, "[0");
	for (unsigned i = 0; i < 20000; i++)
		put(&inner, ",1");
	put(&inner, "]");
	char *base = nested(JSON_MAX_DEPTH - 1, "x", inner.data);
	buf_cut(&inner, inner.len - 1);
	put(&inner, ",1]");
	char *ours = nested(JSON_MAX_DEPTH - 1, "x", inner.data);
	assert_int_equal(merge(base, ours, base, &out, &conflicts), 0);
	assert_string_equal(out.data, ours);
	free(base);
	free(ours);
}

static void test_many_members(void **state)
{
	CLEANUP(buf_done) struct buf base = BUF_INIT(DOCUMENT_MAX_BYTES);
	CLEANUP(buf_done) struct buf ours = BUF_INIT(DOCUMENT_MAX_BYTES);
	CLEANUP(buf_done) struct buf theirs = BUF_INIT(DOCUMENT_MAX_BYTES);
	CLEANUP(buf_done) struct buf out = BUF_INIT(DOCUMENT_MAX_BYTES);
	struct value_paths conflicts;

	for (unsigned i = 0; i < 100000; i++) {
		const char *comma = i ? "," : "{";

		assert_int_equal(buf_printf(&base, "%s\"%u\":1", comma, i), 0);
		assert_int_equal(buf_printf(&ours, "%s\"%u\":%u", comma, 99999 - i, 1 + (i & 1)),
				 0);
		assert_int_equal(buf_printf(&theirs, "%s\"%u\":%u", comma, i, 1 + (i & 1)), 0);
	}
	put(&base, "}");
	put(&ours, "}");
	put(&theirs, "}");
	assert_int_equal(merge(base.data, ours.data, theirs.data, &out, &conflicts), 0);
	assert_memory_equal(out.data, "{\"99999\":2,\"99998\":2,", 21);
	assert_int_equal(out.len, base.len);
}

static void test_result_keeps_the_limit(void **state)
{
	CLEANUP(buf_done) struct buf ours = BUF_INIT(DOCUMENT_MAX_BYTES);
	CLEANUP(buf_done) struct buf theirs = BUF_INIT(DOCUMENT_MAX_BYTES);
	CLEANUP(buf_done) struct buf out = BUF_INIT(3 * DOCUMENT_MAX_BYTES);
	struct value_paths conflicts;

	fill(&ours, 50000, "o", "1");
	fill(&theirs, 50000, "t", "1");
	assert_int_equal(merge("{}", ours.data, theirs.data, &out, &conflicts), -EFBIG);
}

int main(void)
{
	const char *given = getenv("TEST_SEED");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_ours_preferred),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_out_is_appended_to),
		cmocka_unit_test(test_conflicts_beyond_the_list),
		cmocka_unit_test(test_laws),
		cmocka_unit_test(test_fields_against_a_model),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_deep_and_long),
		cmocka_unit_test(test_many_members),
		cmocka_unit_test(test_result_keeps_the_limit),
	};

	seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	seed += !seed;
	print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
