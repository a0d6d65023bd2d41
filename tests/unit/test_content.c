/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "draft/content.h"

#define MIB (1u << 20)

static struct budget budget;

static int setup(void **state)
{
	budget = (struct budget){ .limit = 16 * MIB };
	return 0;
}

/* All that was counted is given back. */
static int teardown(void **state)
{
	assert_int_equal(budget.scratch, 0);
	assert_int_equal(budget.drafts, 0);
	return 0;
}

static struct content *new(enum content_use use)
{
	struct content *c;

	assert_int_equal(content_new(&budget, use, &c), 0);
	return c;
}

static int put(struct content *c, size_t offset, const char *text)
{
	return content_write(c, offset, text, strlen(text), MIB);
}

static void is(const struct content *c, const char *bytes, size_t len)
{
	assert_int_equal(c->len, len);
	assert_memory_equal(c->bytes, bytes, len);
}

static void test_writes(void **state)
{
	CLEANUP(content_freep) struct content *c = new(CONTENT_SCRATCH);

	assert_int_equal(put(c, 0, "hello"), 0);
	assert_int_equal(put(c, 1, "a"), 0);
	is(c, "hallo", 5);
	assert_int_equal(put(c, 5, "!"), 0);
	is(c, "hallo!", 6);
	assert_int_equal(put(c, 100, ""), 0); /* nothing is no hole */
	is(c, "hallo!", 6);
	assert_int_equal(put(c, 8, "x"), 0);
	is(c, "hallo!\0\0x", 9);
}

static void test_lengths(void **state)
{
	CLEANUP(content_freep) struct content *c = new(CONTENT_SCRATCH);

	assert_int_equal(content_resize(c, 3, MIB), 0);
	is(c, "\0\0\0", 3);
	assert_int_equal(put(c, 0, "secret"), 0);
	assert_int_equal(content_resize(c, 2, MIB), 0);
	assert_int_equal(content_resize(c, 6, MIB), 0);
	is(c, "se\0\0\0\0", 6); /* what was cut does not come back */
	assert_int_equal(content_resize(c, 0, MIB), 0);
	assert_int_equal(put(c, 2, "x"), 0);
	is(c, "\0\0x", 3);
}

static void test_the_greatest_length(void **state)
{
	CLEANUP(content_freep) struct content *c = new(CONTENT_DRAFT);

	assert_int_equal(put(c, 0, "text"), 0);
	assert_int_equal(put(c, MIB, "x"), -EFBIG);
	assert_int_equal(put(c, MIB - 1, "xy"), -EFBIG);
	assert_int_equal(put(c, SIZE_MAX, "x"), -EFBIG);
	assert_int_equal(content_resize(c, MIB + 1, MIB), -EFBIG);
	is(c, "text", 4);
	assert_int_equal(put(c, MIB - 1, "x"), 0);
	assert_int_equal(c->len, MIB);
	assert_int_equal(content_resize(c, MIB, MIB), 0);
}

/* Offsets and lengths come from whoever makes the system call. */
static void test_no_room_for_any_length(void **state)
{
	static const size_t ends[] = { 16 * MIB + 1, 1ull << 32, INT64_MAX,
				       (1ull << 63) + 1, SIZE_MAX };
	CLEANUP(content_freep) struct content *c = new(CONTENT_SCRATCH);

	assert_int_equal(put(c, 0, "text"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		assert_int_equal(content_write(c, ends[i] - 1, "x", 1, SIZE_MAX), -ENOSPC);
		assert_int_equal(content_resize(c, ends[i], SIZE_MAX), -ENOSPC);
		is(c, "text", 4);
	}
}

static void test_small_pieces_are_not_copied_each_time(void **state)
{
	CLEANUP(content_freep) struct content *c = new(CONTENT_SCRATCH);
	unsigned moved = 0;

	for (size_t i = 0; i < MIB; i += 64) {
		size_t cap = c->cap;

		assert_int_equal(content_write(c, i, &(char[64]){ 1 }, 64, MIB), 0);
		moved += c->cap != cap;
	}
	assert_true(moved < 12);
	assert_int_equal(budget.scratch, c->cap);
}

/* Where twice as much is not left. */
static void test_small_pieces_up_to_the_limit(void **state)
{
	CLEANUP(content_freep) struct content *c = new(CONTENT_SCRATCH);
	const size_t most = budget_free(&budget, CONTENT_SCRATCH);
	unsigned moved = 0;

	for (size_t i = 0; i + 64 <= most; i += 64) {
		size_t cap = c->cap;

		assert_int_equal(content_write(c, i, &(char[64]){ 1 }, 64, SIZE_MAX), 0);
		moved += c->cap != cap;
	}
	assert_true(moved < 50);
	assert_true(budget_free(&budget, CONTENT_SCRATCH) < 64);
}

static void test_scratch_leaves_room_for_drafts(void **state)
{
	CLEANUP(content_freep) struct content *scratch = new(CONTENT_SCRATCH);
	CLEANUP(content_freep) struct content *draft = new(CONTENT_DRAFT);
	const size_t most = budget.limit - BUDGET_RESERVE_BYTES;

	assert_int_equal(budget_free(&budget, CONTENT_SCRATCH), most);
	assert_int_equal(budget_free(&budget, CONTENT_DRAFT), budget.limit);
	assert_int_equal(content_resize(scratch, most + 1, SIZE_MAX), -ENOSPC);
	assert_int_equal(content_resize(scratch, most, SIZE_MAX), 0); /* without doubling */
	assert_int_equal(budget_free(&budget, CONTENT_SCRATCH), 0);
	assert_int_equal(budget_free(&budget, CONTENT_DRAFT), BUDGET_RESERVE_BYTES);
	/* A draft within the reserve takes nothing from scratch. */
	assert_int_equal(content_resize(draft, BUDGET_RESERVE_BYTES, SIZE_MAX), 0);
	assert_int_equal(budget_free(&budget, CONTENT_DRAFT), 0);
	assert_int_equal(content_resize(draft, BUDGET_RESERVE_BYTES + 1, SIZE_MAX), -ENOSPC);
	assert_int_equal(draft->len, BUDGET_RESERVE_BYTES);
}

static void test_drafts_beyond_their_reserve(void **state)
{
	CLEANUP(content_freep) struct content *draft = new(CONTENT_DRAFT);

	assert_int_equal(content_resize(draft, 8 * MIB, SIZE_MAX), 0);
	assert_int_equal(budget_free(&budget, CONTENT_SCRATCH), 8 * MIB);
	assert_int_equal(budget_free(&budget, CONTENT_DRAFT), 8 * MIB);
}

static void test_half_of_a_small_budget_is_kept(void **state)
{
	budget.limit = 6 * MIB;
	assert_int_equal(budget_free(&budget, CONTENT_SCRATCH), 3 * MIB);
	budget.limit = 0;
	assert_int_equal(budget_free(&budget, CONTENT_SCRATCH), 0);
	assert_int_equal(budget_free(&budget, CONTENT_DRAFT), 0);
	CLEANUP(content_freep) struct content *c = new(CONTENT_DRAFT);
	assert_int_equal(put(c, 0, "x"), -ENOSPC);
	assert_int_equal(content_resize(c, 0, MIB), 0);
	assert_int_equal(c->len, 0);
}

/* A draft becomes scratch even where there is no room for more scratch. */
static void test_counting_as_the_other(void **state)
{
	CLEANUP(content_freep) struct content *scratch = new(CONTENT_SCRATCH);
	CLEANUP(content_freep) struct content *draft = new(CONTENT_DRAFT);

	assert_int_equal(content_resize(scratch, 12 * MIB, SIZE_MAX), 0);
	assert_int_equal(content_resize(draft, 2 * MIB, SIZE_MAX), 0);
	content_use_as(draft, CONTENT_SCRATCH);
	assert_int_equal(budget.drafts, 0);
	assert_int_equal(budget.scratch, 14 * MIB);
	assert_int_equal(budget_free(&budget, CONTENT_SCRATCH), 0);
	assert_int_equal(budget_free(&budget, CONTENT_DRAFT), 2 * MIB);
	content_use_as(draft, CONTENT_DRAFT);
	assert_int_equal(budget.drafts, 2 * MIB);
}

static void test_a_sink_holds_nothing(void **state)
{
	CLEANUP(content_freep) struct content *c = new(CONTENT_SCRATCH);

	c->sink = true;
	assert_int_equal(put(c, 0, "text"), 0);
	assert_int_equal(put(c, 2 * MIB, "text"), 0);
	assert_int_equal(content_resize(c, SIZE_MAX, MIB), 0);
	assert_int_equal(c->len, 0);
	assert_int_equal(budget.scratch, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_writes),
		TEST(test_lengths),
		TEST(test_the_greatest_length),
		TEST(test_no_room_for_any_length),
		TEST(test_small_pieces_are_not_copied_each_time),
		TEST(test_small_pieces_up_to_the_limit),
		TEST(test_scratch_leaves_room_for_drafts),
		TEST(test_drafts_beyond_their_reserve),
		TEST(test_half_of_a_small_budget_is_kept),
		TEST(test_counting_as_the_other),
		TEST(test_a_sink_holds_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
