/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_account.h"
#include "tree_events.h"

#define ID_2 "600000000000000000000002"

static struct fake_account a;
static struct tree *tree;
static unsigned names_changed, nodes_detached;

static void on_name(void *arg, const char *name)
{
	names_changed++;
}

static void on_link(void *arg, struct node *node)
{
}

static void on_detached(void *arg, struct node *node)
{
	nodes_detached++;
}

static int setup(void **state)
{
	const struct tree_events tree_events = { .name_changed = on_name, .link_changed = on_link, .detached = on_detached };
	const struct store_events events = tree_following(&tree);

	assert_int_equal(tree_new(&tree_events, &tree), 0);
	fake_account_init(&a, &events, 0, 0);
	fake_account_start(&a);
	names_changed = nodes_detached = 0;
	return 0;
}

static int teardown(void **state)
{
	http_free(a.http);
	a.http = NULL;
	tree_free(tree);
	fake_account_done(&a);
	return 0;
}

static struct stack *stack_of(unsigned id)
{
	return fake_account_stack(&a, id);
}

static struct dir *dir_of(unsigned id)
{
	return tree_dir(stack_of(id));
}

static void woken(struct store_wait *wait, const struct api_error *error)
{
}

/* One more list, in which the given records are all there is. */
static void relist(const char *list)
{
	static struct store_wait wait;
	size_t next = fake_account_tries(&a);

	wait = (struct store_wait){ .wake = woken };
	fake_account_advance(&a, 1);
	monitor_enter(a.monitor);
	assert_int_equal(store_need_list(a.store, &wait), STORE_WAIT);
	monitor_leave(a.monitor);
	fake_account_answer(&a, next, 200, list);
}

static void answer_404_to_the_rest(void)
{
	for (size_t i = 0; i < fake_account_tries(&a); i++) {
		if (!fake_transport_try(a.transport, i)->answered)
			fake_account_answer(&a, i, 404, "");
	}
}

static void test_oldest_keeps_the_plain_name(void **state)
{
	bool old;

	fake_account_answer(&a, 0, 200,
			    fake_list(3, fake_record(3, "x", ""), fake_record(2, "x", ""),
				      fake_record(1, "y", "")));
	assert_string_equal(dir_of(2)->name, "x");
	assert_string_equal(dir_of(3)->name, "x~600000000000000000000003");
	assert_ptr_equal(tree_find(tree, "y", &old), dir_of(1));
	assert_false(old);
	assert_null(tree_find(tree, "z", &old));
}

/* mkdir takes "NAME~<_id>": a backup is being copied back, and the stack is there again. */
static void test_a_draft_gives_way_to_the_stack_of_its_name(void **state)
{
	struct dir *draft, *other;
	bool old;

	fake_account_answer(&a, 0, 200, fake_list(1, fake_record(1, "x", "")));
	assert_int_equal(tree_add_draft(tree, "x~" ID_2, &draft), 0);
	assert_int_equal(tree_add_draft(tree, "draft-1", &other), 0);
	relist(fake_list(2, fake_record(1, "x", ""), fake_record(2, "x", "")));
	assert_string_equal(dir_of(2)->name, "x~" ID_2);
	assert_ptr_equal(tree_find(tree, "x~" ID_2, &old), dir_of(2));
	assert_string_equal(draft->name, "draft-2");
	assert_string_equal(draft->made_as, "x~" ID_2);
	assert_null(other->made_as);
	assert_ptr_equal(tree_find(tree, "draft-2", &old), draft);
	tree_remove_draft(tree, draft);
	tree_remove_draft(tree, other);
}

static void test_names_stay_when_the_plain_one_goes(void **state)
{
	bool old;

	fake_account_answer(&a, 0, 200,
			    fake_list(2, fake_record(1, "x", ""), fake_record(2, "x", "")));
	relist(fake_list(1, fake_record(2, "x", "")));
	answer_404_to_the_rest();
	assert_null(stack_of(1));
	assert_string_equal(dir_of(2)->name, "x~" ID_2);
	assert_null(tree_find(tree, "x", &old));
	/* The plain name is free for who comes next. */
	relist(fake_list(2, fake_record(2, "x", ",\"a\":1"), fake_record(9, "x", "")));
	assert_string_equal(dir_of(2)->name, "x~" ID_2);
	assert_string_equal(dir_of(9)->name, "x");
}

/* A service that renames everything again and again must not fill the process. */
static void test_old_names_have_a_bound(void **state)
{
	const unsigned n = TREE_OLD_NAMES_MAX + 3;
	char name[16];
	bool old;

	fake_account_answer(&a, 0, 200, fake_list(1, fake_record(1, "name-0", "")));
	for (unsigned i = 1; i < n; i++) {
		snprintf(name, sizeof(name), "name-%u", i);
		relist(fake_list(1, fake_record(1, name, "")));
		if (i == 1)
			tree_looked_up(tree_old_name(tree, "name-0"));
	}
	assert_int_equal(nodes_detached, 1);
	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "name-%u", i);
		struct dir *dir = tree_find(tree, name, &old);

		assert_true(i < 2 ? !dir : dir == dir_of(1) && old == (i < n - 1));
	}
}

static void test_rename_leaves_a_link(void **state)
{
	bool old;

	fake_account_answer(&a, 0, 200, fake_list(1, fake_record(1, "before", "")));
	struct node *node = tree_slot(tree, dir_of(1), NODE_STACK);
	tree_looked_up(node);
	relist(fake_list(1, fake_record(1, "after", "")));
	assert_string_equal(dir_of(1)->name, "after");
	assert_ptr_equal(tree_find(tree, "after", &old), dir_of(1));
	assert_false(old);
	assert_ptr_equal(tree_find(tree, "before", &old), dir_of(1));
	assert_true(old);
	assert_ptr_equal(tree_slot(tree, dir_of(1), NODE_STACK), node); /* the same directory */
	assert_int_equal(tree_old_name(tree, "before")->kind, NODE_OLD_NAME);
	assert_null(tree_old_name(tree, "after"));

	/* Another stack needs the name. */
	relist(fake_list(2, fake_record(1, "after", ""), fake_record(2, "before", "")));
	assert_ptr_equal(tree_find(tree, "before", &old), dir_of(2));
	assert_false(old);
	/* And back. */
	relist(fake_list(2, fake_record(1, "before", ",\"b\":2"), fake_record(2, "before", "")));
	assert_string_equal(dir_of(1)->name, "before~600000000000000000000001");
}

static void test_node_ids_never_come_back(void **state)
{
	fake_account_answer(&a, 0, 200, fake_list(1, fake_record(1, "x", "")));
	uint64_t last = 0;

	for (unsigned i = 0; i < 100; i++) {
		struct node *node = tree_slot(tree, dir_of(1), NODE_CONFIG);

		assert_int_not_equal(node->id, last);
		last = node->id;
		tree_looked_up(node);
		assert_ptr_equal(tree_node(tree, last), node);
		tree_forget(tree, node, 1);
		assert_null(tree_node(tree, last));
		assert_null(tree_peek(dir_of(1), NODE_CONFIG));
	}
	assert_int_equal(tree_fixed(tree, NODE_ROOT)->id, 1);
	assert_null(tree_node(tree, 0));
	assert_null(tree_node(tree, UINT64_MAX));
}

static void test_detached_node_lives_while_it_is_used(void **state)
{
	fake_account_answer(&a, 0, 200, fake_list(1, fake_record(1, "x", "")));
	struct node *node = tree_slot(tree, dir_of(1), NODE_CONFIG);
	uint64_t id = node->id;

	tree_looked_up(node);
	tree_open(node);
	tree_detach(tree, node);
	assert_int_equal(nodes_detached, 1);
	struct node *next = tree_slot(tree, dir_of(1), NODE_CONFIG);
	assert_ptr_not_equal(next, node);
	assert_int_equal(tree_ino(next), tree_ino(node));
	tree_looked_up(next);
	tree_forget(tree, node, 1);
	assert_ptr_equal(tree_node(tree, id), node);
	tree_close(tree, node);
	assert_null(tree_node(tree, id));
	assert_ptr_equal(tree_peek(dir_of(1), NODE_CONFIG), next);
}

static void test_inode_numbers(void **state)
{
	fake_account_answer(&a, 0, 200,
			    fake_list(2, fake_record(1, "x", ""), fake_record(2, "y", "")));
	for (unsigned id = 1; id <= 2; id++) {
		const struct stack *stack = stack_of(id);

		assert_true(tree_stack_ino(stack, NODE_TOKEN) <
			    tree_stack_ino(stack, NODE_DEPENDENCIES));
		assert_true(tree_stack_ino(stack, NODE_DEPENDENCIES) <
			    tree_stack_ino(stack, NODE_CONFIG));
		assert_true(tree_stack_ino(stack, NODE_STACK) > 100);
		assert_true(tree_stack_ino(stack, NODE_CONFIG) <= INT64_MAX);
	}
	assert_int_not_equal(tree_stack_ino(stack_of(1), NODE_STACK),
			     tree_stack_ino(stack_of(2), NODE_STACK));
	/* Part of the format of a backup: it must never change. */
	assert_int_equal(tree_stack_ino(stack_of(1), NODE_STACK), 0x5d0dc0db9bc17180);
}

static void test_listing_goes_on_while_stacks_come_and_go(void **state)
{
	fake_account_answer(&a, 0, 200,
			    fake_list(3, fake_record(1, "a", ""), fake_record(2, "b", ""),
				      fake_record(3, "c", "")));
	struct dir *first = tree_after(tree, 0);
	assert_ptr_equal(first, dir_of(1));
	assert_int_equal(first->cookie, TREE_FIRST_COOKIE);
	relist(fake_list(2, fake_record(3, "c", ""), fake_record(4, "d", "")));
	answer_404_to_the_rest();
	assert_int_equal(tree_size(tree), 2);
	struct dir *next = tree_after(tree, TREE_FIRST_COOKIE);
	assert_ptr_equal(next, dir_of(3));
	next = tree_after(tree, next->cookie);
	assert_ptr_equal(next, dir_of(4));
	assert_null(tree_after(tree, next->cookie));
}

/* The names from the first of them on, with a space behind each. */
static const char *names_in(enum tree_order order, struct dir *first)
{
	static char out[256];
	struct dir *next[16];
	size_t n = tree_upcoming(tree, first, order, next, 16);
	int at = snprintf(out, sizeof(out), "%s ", first->name);

	for (size_t i = 0; i < n; i++)
		at += snprintf(out + at, sizeof(out) - (size_t)at, "%s ", next[i]->name);
	return out;
}

static void test_orders(void **state)
{
	fake_account_answer(&a, 0, 200,
			    fake_list(5, fake_record(1, "b", ""), fake_record(2, "A-x", ""),
				      fake_record(3, "a", ""), fake_record(4, "a-b", ""),
				      fake_record(5, "B", "")));
	assert_string_equal(names_in(TREE_LISTED, dir_of(1)), "b A-x a a-b B ");
	assert_string_equal(names_in(TREE_LISTED_BACK, dir_of(4)), "a-b a A-x b ");
	assert_string_equal(names_in(TREE_LISTED_BACK, dir_of(1)), "b ");
	assert_string_equal(names_in(TREE_BY_BYTES, dir_of(2)), "A-x B a a-b b ");
	assert_string_equal(names_in(TREE_BY_PATH, dir_of(2)), "A-x B a-b a b ");
	assert_string_equal(names_in(TREE_COLLATED, dir_of(3)), "a a-b A-x B b ");
	struct dir *next[16];
	for (unsigned id = 1; id <= 5; id++) {
		size_t n = tree_upcoming(tree, dir_of(id), TREE_BY_INO, next, 16);
		uint64_t ino = tree_stack_ino(stack_of(id), NODE_STACK);

		for (size_t i = 0; i < n; i++) {
			assert_true(tree_stack_ino(next[i]->stack, NODE_STACK) > ino);
			ino = tree_stack_ino(next[i]->stack, NODE_STACK);
		}
	}
	assert_int_equal(tree_upcoming(tree, dir_of(2), TREE_BY_BYTES, next, 2), 2);
	assert_ptr_equal(next[1], dir_of(3));
	assert_int_equal(tree_upcoming(tree, dir_of(1), TREE_BY_BYTES, next, 2), 0);
}

/* They follow what comes, goes and is renamed after somebody has asked for them. */
static void test_orders_stay_in_step(void **state)
{
	fake_account_answer(&a, 0, 200,
			    fake_list(3, fake_record(1, "c", ""), fake_record(2, "e", ""),
				      fake_record(3, "g", "")));
	assert_string_equal(names_in(TREE_BY_BYTES, dir_of(1)), "c e g ");
	relist(fake_list(3, fake_record(1, "c", ""), fake_record(2, "z", ""),
			 fake_record(4, "d", "")));
	answer_404_to_the_rest();
	assert_string_equal(names_in(TREE_BY_BYTES, dir_of(1)), "c d z ");
	assert_string_equal(names_in(TREE_LISTED, dir_of(1)), "c z d ");

	struct dir *draft;
	assert_int_equal(tree_add_draft(tree, "cc", &draft), 0);
	assert_string_equal(names_in(TREE_BY_BYTES, dir_of(1)), "c cc d z ");
	assert_int_equal(tree_rename_draft(tree, draft, "x"), 0);
	assert_string_equal(names_in(TREE_BY_BYTES, dir_of(1)), "c d x z ");
	tree_remove_draft(tree, draft);
	assert_string_equal(names_in(TREE_BY_BYTES, dir_of(1)), "c d z ");
	/* More than there is room for. */
	for (unsigned i = 0; i < 200; i++) {
		char name[8];

		snprintf(name, sizeof(name), "n%03u", 199 - i);
		assert_int_equal(tree_add_draft(tree, name, &draft), 0);
	}
	struct dir *next[300];
	assert_int_equal(tree_upcoming(tree, dir_of(1), TREE_BY_BYTES, next, 300), 202);
	assert_string_equal(next[1]->name, "n000");
	assert_string_equal(next[200]->name, "n199");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_oldest_keeps_the_plain_name),
		TEST(test_names_stay_when_the_plain_one_goes),
		TEST(test_a_draft_gives_way_to_the_stack_of_its_name),
		TEST(test_old_names_have_a_bound),
		TEST(test_rename_leaves_a_link),
		TEST(test_node_ids_never_come_back),
		TEST(test_detached_node_lives_while_it_is_used),
		TEST(test_inode_numbers),
		TEST(test_listing_goes_on_while_stacks_come_and_go),
		TEST(test_orders),
		TEST(test_orders_stay_in_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
