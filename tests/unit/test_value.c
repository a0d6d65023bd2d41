/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "draft/value.h"

#define ESCAPED_A                                                                                  \
	"\\"                                                                                       \
	"u0061"

/* A copy without room behind it, so that a sanitizer sees a read past len. */
static char *exact(const char *text, size_t len)
{
	char *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, text, len);
	return copy;
}

static bool equal(const char *a, const char *b)
{
	CLEANUP(value_tree_done) struct value_tree x = { 0 };
	CLEANUP(value_tree_done) struct value_tree y = { 0 };
	char *p = exact(a, strlen(a)), *q = exact(b, strlen(b));

	assert_int_equal(value_tree_parse(&x, p, strlen(a)), 0);
	assert_int_equal(value_tree_parse(&y, q, strlen(b)), 0);
	bool same = value_equal(x.root, y.root);
	assert_int_equal(same, value_equal(y.root, x.root));
	assert_true(value_equal(x.root, x.root));
	assert_true(value_equal(y.root, y.root));
	free(p);
	free(q);
	return same;
}

/* ---- the tree ---- */

static void test_nodes(void **state)
{
	static const char text[] =
		" { \"a\" : [ 1 , {\"b\":null} ], \"" ESCAPED_A "b\\n\":\"x\\\"\" } ";
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };

	assert_int_equal(value_tree_parse(&tree, text, strlen(text)), 0);
	const struct value *root = tree.root;
	assert_int_equal(tree.n, 6);
	assert_int_equal(root->span, 6);
	assert_int_equal(root->n, 2);
	assert_int_equal(root->len, strlen(text) - 2);
	assert_null(root->key);

	const struct value *a = value_first(root);
	assert_ptr_equal(value_find(root, "a"), a);
	assert_true(value_is_array(a));
	assert_int_equal(a->n, 2);
	assert_memory_equal(a->token, "[ 1 , {\"b\":null} ]", a->len);
	assert_memory_equal(a->key, "\"a\"", a->key_len);
	assert_true(value_first(a)->type == JSON_NUMBER);
	assert_true(value_is_object(value_next(value_first(a))));
	assert_true(value_next(value_next(value_first(a))) == value_end(a));

	const struct value *b = value_next(a);
	assert_ptr_equal(value_find(root, "ab\n"), b);
	assert_true(value_is_named(b, "ab\n"));
	assert_int_equal(b->n, 2);
	assert_memory_equal(b->bytes, "x\"", 2);
	assert_memory_equal(b->key, "\"" ESCAPED_A "b\\n\"", b->key_len);
	assert_true(value_next(b) == value_end(root));
	assert_ptr_equal(value_like(root, b), b);

	assert_null(value_find(root, "b"));
	assert_null(value_find(a, "b"));
	assert_null(value_find(NULL, "b"));
	assert_false(value_is_named(root, ""));
}

static void test_scalars_and_empty_containers(void **state)
{
	static const char *const texts[] = {
		"null", "true", "false", "-1.5e3", "\"\"", "{}", "[]"
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		CLEANUP(value_tree_done) struct value_tree tree = { 0 };

		assert_int_equal(value_tree_parse(&tree, texts[i], strlen(texts[i])), 0);
		assert_int_equal(tree.n, 1);
		assert_int_equal(tree.root->n, 0);
		assert_int_equal(tree.root->len, strlen(texts[i]));
	}
}

static void test_refused_texts(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"[1",
		"{\"a\":}",
		"01",
		"nul",
		"{} {}",
		"\"",
		"{\"a\":1,\"a\":2}",
		"{\"a\":1,\"" ESCAPED_A "\":2}",
		"[{\"x\":{\"\":1,\"b\":2,\"\":3}}]",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct value_tree tree;
		char *copy = exact(bad[i], strlen(bad[i]));

		assert_int_equal(value_tree_parse(&tree, copy, strlen(bad[i])), -EBADMSG);
		assert_null(tree.root);
		assert_int_equal(tree.n, 0);
		value_tree_done(&tree);
		free(copy);
	}
}

/* The same name in another object is another name; case counts. */
static void test_names_that_are_not_twice(void **state)
{
	static const char text[] = "{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":1}],\"A\":1,\"aa\":1}";
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };

	assert_int_equal(value_tree_parse(&tree, text, strlen(text)), 0);
	assert_true(value_is_object(value_find(tree.root, "a")));
}

static void test_mask(void **state)
{
	static const struct {
		const char *text;
		bool mask;
	} cases[] = {
		{ "\"******\"", true },   { "\"\\u002a*****\"", true },   { "\"*****\"", false },
		{ "\"*******\"", false }, { "\"******\\u0000\"", false }, { "[\"******\"]", false },
		{ "123456", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(value_tree_done) struct value_tree tree = { 0 };

		assert_int_equal(value_tree_parse(&tree, cases[i].text, strlen(cases[i].text)), 0);
		assert_int_equal(value_is_mask(tree.root), cases[i].mask);
	}
	assert_false(value_is_mask(NULL));
}

static void test_write(void **state)
{
	static const char text[] = "{ \"a\" : [ ] , \"b\\u0062\":[ 1.10, { }, [ [ ] ], \"\\/\" "
				   "],\n\"c\":{\"[\":\"{\", \"d\" : 1E5}}";
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	CLEANUP(buf_done) struct buf out = BUF_INIT(1000);

	assert_int_equal(value_tree_parse(&tree, text, strlen(text)), 0);
	assert_int_equal(value_write(tree.root, &out), 0);
	assert_string_equal(
		out.data,
		"{\"a\":[],\"b\\u0062\":[1.10,{},[[]],\"\\/\"],\"c\":{\"[\":\"{\",\"d\":1E5}}");
	for (size_t max = 0; max < out.len; max++) {
		CLEANUP(buf_done) struct buf small = BUF_INIT(max);

		assert_int_equal(value_write(tree.root, &small), -EMSGSIZE);
	}
}

/* ---- equality ---- */

/* The members of a row are equal, and differ from those of all other rows. */
static const char *const classes[][8] = {
	{ "0", "-0", "0.0", "-0.000", "0e5", "0E-99999999999999999999999", "0.00e+7" },
	{ "1", "1.0", "10e-1", "0.1e1", "1e0", "1E+00", "100e-2", "0.001E3" },
	{ "-1", "-1.0", "-10e-1", "-0.1e1" },
	{ "1.1", "1.10", "11e-1", "0.11e1", "110e-2", "0.00110e3", "1.1e00" },
	{ "11", "1.1e1", "110e-1" },
	{ "1.01", "101e-2" },
	{ "101", "1.01e2", "101.00" },
	{ "1001", "100.1e1" },
	{ "9007199254740992", "9007199254740992.0", "9.007199254740992e15" },
	{ "9007199254740993", "9007199254740993e0" },
	{ "1e400", "10e399", "0.1e401", "100e398" },
	{ "1e-400", "10e-401", "0.1e-399" },
	{ "1e9223372036854775808", "10e9223372036854775807", "0.1e+9223372036854775809" },
	{ "1e9223372036854775809", "0.01e9223372036854775811", "1e0009223372036854775809" },
	{ "1e-9223372036854775808", "10e-9223372036854775809" },
	{ "1e99999999999999999999", "0.1e100000000000000000000" },
	{ "1e-99999999999999999999", "10e-100000000000000000000" },
	{ "1e5", "100000", "10000.0e1", "0.0000001e12" },
	{ "1e10", "10000000000" },
	{ "null" },
	{ "true" },
	{ "false" },
	{ "\"\"" },
	{ "\"1\"", "\"\\u0031\"" },
	{ "\"a\"", "\"\\u0061\"" },
	{ "\"/\"", "\"\\/\"" },
	{ "\"\xc3\xa9\"", "\"\\u00e9\"", "\"\\u00E9\"" },
	{ "\"\xf0\x9f\x98\x80\"", "\"\\ud83d\\ude00\"" },
	{ "\"a\\u0000b\"" },
	{ "\"a\\u0000c\"" },
	{ "\"a\\n\"", "\"a\\u000a\"", "\"\\u0061\\u000A\"" },
	{ "[]", "[ ]" },
	{ "{}", "{ }" },
	{ "[1,2]", "[1.0, 20e-1]" },
	{ "[2,1]" },
	{ "[1,2,2]" },
	{ "[[1],2]" },
	{ "[[1,2]]" },
	{ "{\"a\":1,\"b\":2}", "{\"b\":2.0,\"\\u0061\":1}" },
	{ "{\"a\":2,\"b\":1}" },
	{ "{\"a\":1,\"b\":2,\"c\":3}" },
	{ "{\"a\":1}" },
	{ "{\"A\":1}" },
	{ "{\"a\":null}" },
	{ "{\"b\":null}" },
	{ "{\"a\":{\"x\":[{\"p\":1,\"q\":2}]}}", "{\"a\": {\"x\": [{\"q\":2,\"p\":1.0}]}}" },
	{ "{\"a\":{\"x\":[{\"p\":1,\"q\":3}]}}" },
};

static void test_equal(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(classes); j++) {
			for (size_t k = 0; k < 8 && classes[i][k]; k++) {
				for (size_t l = 0; l < 8 && classes[j][l]; l++) {
					if (equal(classes[i][k], classes[j][l]) != (i == j))
						fail_msg("%s and %s", classes[i][k], classes[j][l]);
				}
			}
		}
	}
}

/* An exponent as long as a text may be. */
static void test_equal_long_numbers(void **state)
{
	size_t len = VALUE_MAX_BYTES;
	char *a = malloc(len), *b = malloc(len);
	CLEANUP(value_tree_done) struct value_tree x = { 0 };
	CLEANUP(value_tree_done) struct value_tree y = { 0 };

	assert_non_null(a);
	assert_non_null(b);
	memset(a, '9', len);
	memcpy(a, "1e", 2);
	memset(b, '9', len);
	memcpy(b, "10e", 3);
	b[len - 1] = '8';
	assert_int_equal(value_tree_parse(&x, a, len), 0);
	assert_int_equal(value_tree_parse(&y, b, len), 0);
	assert_false(value_equal(x.root, y.root)); /* one digit fewer */
	b[2] = '0';
	memcpy(b, "1e0", 3);
	assert_false(value_equal(x.root, y.root));
	memset(a, '0', len);
	a[0] = '1';
	memset(b, '0', len);
	b[0] = '1';
	b[1] = '.';
	value_tree_done(&x);
	value_tree_done(&y);
	assert_int_equal(value_tree_parse(&x, a, len), 0);
	assert_int_equal(value_tree_parse(&y, b, len), 0);
	assert_false(value_equal(x.root, y.root));
	value_tree_done(&x);
	assert_int_equal(value_tree_parse(&x, "1", 1), 0);
	assert_true(value_equal(x.root, y.root));
	free(a);
	free(b);
}

/* ---- bounds ---- */

static char *nested(unsigned depth, const char *inner, size_t *ret_len)
{
	CLEANUP(buf_done) struct buf out = BUF_INIT(100000);

	for (unsigned i = 0; i < depth; i++)
		assert_int_equal(buf_puts(&out, i % 2 ? "[" : "{\"a\":"), 0);
	assert_int_equal(buf_puts(&out, inner), 0);
	for (unsigned i = depth; i-- > 0;)
		assert_int_equal(buf_puts(&out, i % 2 ? "]" : "}"), 0);
	*ret_len = out.len;
	return buf_steal(&out);
}

static void test_depth(void **state)
{
	for (unsigned depth = JSON_MAX_DEPTH - 1; depth <= JSON_MAX_DEPTH + 1; depth++) {
		struct value_tree tree;
		CLEANUP(buf_done) struct buf out = BUF_INIT(100000);
		size_t len;
		char *text = nested(depth, "1", &len);
		int r = value_tree_parse(&tree, text, len);

		assert_int_equal(r, depth > JSON_MAX_DEPTH ? -EBADMSG : 0);
		if (r == 0) {
			assert_int_equal(tree.n, depth + 1);
			assert_int_equal(value_write(tree.root, &out), 0);
			assert_string_equal(out.data, text);
		}
		value_tree_done(&tree);
		free(text);
	}
}

static void test_size(void **state)
{
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	char *text = malloc(VALUE_MAX_BYTES + 1);

	assert_non_null(text);
	for (size_t i = 0; i < VALUE_MAX_BYTES; i++)
		text[i] = i % 2 ? '1' : ',';
	text[0] = '[';
	text[VALUE_MAX_BYTES - 1] = ']';
	text[VALUE_MAX_BYTES - 2] = '2';
	text[VALUE_MAX_BYTES] = ' ';
	assert_int_equal(value_tree_parse(&tree, text, VALUE_MAX_BYTES), 0);
	assert_int_equal(tree.root->n, VALUE_MAX_BYTES / 2 - 1);
	value_tree_done(&tree);
	assert_int_equal(value_tree_parse(&tree, text, VALUE_MAX_BYTES + 1), -EFBIG);
	assert_null(tree.root);
	free(text);
}

static void test_many_members(void **state)
{
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	CLEANUP(buf_done) struct buf text = BUF_INIT(VALUE_MAX_BYTES);
	char name[16];

	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(buf_printf(&text, "%s\"%x\":1", i ? "," : "{", i), 0);
	assert_int_equal(buf_puts(&text, "}"), 0);
	assert_int_equal(value_tree_parse(&tree, text.data, text.len), 0);
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "%x", i);
		const struct value *v = value_find(tree.root, name);

		assert_non_null(v);
		assert_int_equal(v - tree.root, i + 1);
	}
	assert_null(value_find(tree.root, "x"));
}

/* What a record may have and a document may not. */
static void test_any_bytes(void **state)
{
	static const char text[] = "{\"\xff\":\"\xc3\",\"s\":\"\\ud800\"}";
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	CLEANUP(buf_done) struct buf out = BUF_INIT(1000);

	assert_int_equal(value_tree_parse(&tree, text, strlen(text)), 0);
	assert_int_equal(value_write(tree.root, &out), 0);
	assert_string_equal(out.data, text);
	assert_non_null(value_find(tree.root, "\xff"));
}

/* ---- paths ---- */

static void test_paths(void **state)
{
	static const char text[] = "{\"server\":{\"ip\\nRanges\":[1,[2,{\"x\":3}]]}}";
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	struct value_paths paths = { 0 };

	assert_int_equal(value_tree_parse(&tree, text, strlen(text)), 0);
	const struct value *v = value_first(tree.root);
	struct value_path server = { .at = v };
	struct value_path ranges = { .up = &server, .at = v + 1 };
	struct value_path second = { .up = &ranges, .at = v + 3, .index = 1 };
	struct value_path inner = { .up = &second, .at = v + 5, .index = 1 };
	struct value_path x = { .up = &inner, .at = v + 6 };
	value_paths_add(&paths, &server);
	value_paths_add(&paths, &ranges);
	value_paths_add(&paths, &x);
	assert_int_equal(paths.n, 3);
	assert_string_equal(paths.path[0], "server");
	assert_string_equal(paths.path[1], "server.ip Ranges");
	assert_string_equal(paths.path[2], "server.ip Ranges[1][1].x");
}

static void test_paths_are_bounded(void **state)
{
	struct value_paths paths = { 0 };
	char name[1000], line[64];
	struct value v = { .key = "", .name = name, .name_len = sizeof(name), .type = JSON_NULL };
	struct value_path up = { .at = &v }, path = { .up = &up, .at = &v };

	value_paths_text(&paths, line, sizeof(line));
	assert_string_equal(line, "");
	memset(name, 'n', sizeof(name));
	for (unsigned i = 0; i < VALUE_PATHS_MAX + 5; i++)
		value_paths_add(&paths, &path);
	assert_int_equal(paths.n, VALUE_PATHS_MAX);
	assert_int_equal(paths.more, 5);
	for (unsigned i = 0; i < paths.n; i++) {
		assert_int_equal(strlen(paths.path[i]), VALUE_PATH_BYTES - 1);
		snprintf(paths.path[i], VALUE_PATH_BYTES, "f%u", i);
	}
	value_paths_text(&paths, line, sizeof(line));
	assert_int_equal(strlen(line), sizeof(line) - 1);
	assert_memory_equal(line, "f0, f1, f2, ", 12);
	char all[256];
	value_paths_text(&paths, all, sizeof(all));
	assert_non_null(strstr(all, "f14, f15 and 5 more"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_scalars_and_empty_containers),
		cmocka_unit_test(test_refused_texts),
		cmocka_unit_test(test_names_that_are_not_twice),
		cmocka_unit_test(test_mask),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_equal_long_numbers),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_many_members),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_paths_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
