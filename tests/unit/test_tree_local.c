/* SPDX-License-Identifier: MIT */
/* What is only here: names of a directory's own, and directories without a stack. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_account.h"
#include "tree_events.h"

static struct fake_account a;
static struct tree *tree;
static struct dir *draft;
static unsigned nodes_detached, nodes_gone, dirs_gone;
static char names[1000]; /* that have changed */

static void on_name(void *arg, const char *name)
{
	size_t len = strlen(names);

	snprintf(names + len, sizeof(names) - len, " %s", name);
}

static void on_link(void *arg, struct node *node)
{
}

static void on_detached(void *arg, struct node *node)
{
	nodes_detached++;
}

static void on_node_gone(void *arg, struct node *node)
{
	nodes_gone++;
}

static void on_dir_gone(void *arg, struct dir *dir)
{
	dirs_gone++;
}

static int setup(void **state)
{
	const struct tree_events tree_events = { on_name, on_link, on_detached, on_node_gone, on_dir_gone,
						 NULL };
	const struct store_events events = tree_following(&tree);

	assert_int_equal(tree_new(&tree_events, &tree), 0);
	fake_account_init(&a, &events, 0, 0);
	fake_account_start(&a);
	fake_account_answer(&a, 0, 200, fake_list(1, fake_record(1, "one", "")));
	assert_int_equal(tree_add_draft(tree, "new", &draft), 0);
	nodes_detached = nodes_gone = dirs_gone = 0;
	names[0] = '\0';
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

static struct dir *find(const char *name)
{
	bool old;
	struct dir *dir = tree_find(tree, name, &old);

	return dir && !old ? dir : NULL;
}

static struct node *local(const char *name)
{
	struct node *node;

	assert_int_equal(tree_local_new(tree, draft, NODE_SCRATCH, name, &node), 0);
	tree_looked_up(node);
	return node;
}

/* " name name" */
static const char *listed(uint64_t after)
{
	static char text[200];
	const char *name;

	text[0] = '\0';
	while (tree_local_after(draft, after, &name, &after)) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, " %s", name);
	}
	return text;
}

/* ---- names in a directory ---- */

static void test_names(void **state)
{
	struct node *x = local("x"), *y = local("y");

	assert_ptr_equal(tree_local(draft, "x"), x);
	assert_ptr_equal(tree_local(draft, "y"), y);
	assert_null(tree_local(draft, "z"));
	assert_null(tree_local(draft, "X"));
	assert_string_equal(tree_local_name(y), "y");
	assert_string_equal(tree_local_name(tree_slot(tree, draft, NODE_CONFIG)), "");
	assert_int_not_equal(tree_ino(x), tree_ino(y));
	assert_string_equal(listed(0), " x y");
	assert_string_equal(names, ""); /* the kernel has made them */
}

static void test_it_lives_by_its_name(void **state)
{
	uint64_t id = local("x")->id;

	tree_forget(tree, tree_node(tree, id), 1);
	assert_non_null(tree_node(tree, id));
	tree_unlink(tree, tree_node(tree, id));
	assert_null(tree_node(tree, id));
	assert_int_equal(nodes_gone, 1);
	assert_int_equal(nodes_detached, 0);
	assert_string_equal(listed(0), "");
}

static void test_it_outlives_its_name_while_it_is_open(void **state)
{
	struct node *node = local("x");
	uint64_t id = node->id;

	tree_open(node);
	tree_unlink(tree, node);
	tree_unlink(tree, node); /* nothing more */
	assert_true(node->detached);
	assert_string_equal(tree_local_name(node), "");
	struct node *next = local("x");
	assert_ptr_not_equal(next, node);
	tree_forget(tree, node, 1);
	assert_ptr_equal(tree_node(tree, id), node);
	tree_close(tree, node);
	assert_null(tree_node(tree, id));
	assert_ptr_equal(tree_local(draft, "x"), next);
}

static void test_a_listing_goes_on_while_names_come_and_go(void **state)
{
	const char *name;
	uint64_t at;

	(void)local("a");
	(void)local("b");
	(void)local("c");
	assert_ptr_equal(tree_local_after(draft, 0, &name, &at), tree_local(draft, "a"));
	assert_true(at >= TREE_FIRST_COOKIE);
	tree_unlink(tree, tree_local(draft, "a"));
	tree_unlink(tree, tree_local(draft, "b"));
	(void)local("d");
	(void)local("a");
	assert_string_equal(listed(at), " c d a");
	assert_string_equal(listed(UINT64_MAX), "");
}

static void test_renames(void **state)
{
	struct node *x = local("x"), *y = local("y");
	uint64_t id = y->id;

	assert_int_equal(tree_move_to_local(tree, x, NODE_SCRATCH, "z"), 0);
	assert_null(tree_local(draft, "x"));
	assert_string_equal(tree_local_name(x), "z");
	assert_int_equal(tree_move_to_local(tree, x, NODE_SCRATCH, "z"), 0); /* onto itself */
	assert_ptr_equal(tree_local(draft, "z"), x);
	assert_false(x->detached);

	tree_open(y);
	assert_int_equal(tree_move_to_local(tree, x, NODE_SCRATCH, "y"), 0); /* onto another */
	assert_ptr_equal(tree_local(draft, "y"), x);
	assert_true(y->detached);
	assert_string_equal(listed(0), " y");
	tree_close(tree, y);
	assert_ptr_equal(tree_node(tree, id), y); /* the kernel still knows it */
	assert_int_equal(nodes_detached, 0);
}

static void test_into_a_slot_and_out_of_it(void **state)
{
	struct node *x = local("x");
	struct node *config = tree_slot(tree, draft, NODE_CONFIG);
	uint64_t id = config->id;

	tree_move_to_slot(tree, x, NODE_CONFIG);
	assert_null(tree_node(tree, id)); /* nobody knew it */
	assert_ptr_equal(tree_peek(draft, NODE_CONFIG), x);
	assert_int_equal(x->kind, NODE_CONFIG);
	assert_string_equal(listed(0), "");
	tree_move_to_slot(tree, x, NODE_CONFIG);
	assert_false(x->detached);

	assert_int_equal(tree_move_to_local(tree, x, NODE_SCRATCH, "x~"), 0);
	assert_null(tree_peek(draft, NODE_CONFIG));
	assert_int_equal(x->kind, NODE_SCRATCH);
	assert_string_equal(listed(0), " x~");
	assert_ptr_not_equal(tree_slot(tree, draft, NODE_CONFIG), x);
}

static void fill(void)
{
	char name[20];

	for (unsigned i = 0; i < TREE_LOCALS_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		(void)local(name);
	}
}

static void test_as_many_as_there_may_be(void **state)
{
	struct node *node = tree_slot(tree, draft, NODE_CONFIG), *made = NULL;

	tree_looked_up(node);
	fill();
	assert_int_equal(tree_local_new(tree, draft, NODE_SCRATCH, "x", &made), -ENOSPC);
	assert_null(made);
	assert_int_equal(tree_move_to_local(tree, node, NODE_SCRATCH, "x"), -ENOSPC);
	assert_ptr_equal(tree_peek(draft, NODE_CONFIG), node);
	assert_int_equal(node->kind, NODE_CONFIG);
	tree_unlink(tree, tree_local(draft, "7"));
	assert_int_equal(tree_move_to_local(tree, node, NODE_SCRATCH, "x"), 0);
}

/* One of them gives way to another: there are no more afterwards. */
static void test_renames_among_as_many_as_there_may_be(void **state)
{
	fill();
	struct node *node = tree_local(draft, "1");
	assert_int_equal(tree_move_to_local(tree, node, NODE_SCRATCH, "x"), 0);
	assert_int_equal(tree_move_to_local(tree, node, NODE_SCRATCH, "2"), 0);
	assert_ptr_equal(tree_local(draft, "2"), node);
	assert_int_equal(draft->n_locals, TREE_LOCALS_MAX - 1);
}

static void test_the_longest_name(void **state)
{
	char name[NAME_MAX_BYTES + 1];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	struct node *node = local(name);
	assert_ptr_equal(tree_local(draft, name), node);
	assert_string_equal(tree_local_name(node), name);
}

static void test_a_sink_has_no_place(void **state)
{
	struct node *node = tree_sink(tree, draft);

	assert_true(node->detached);
	assert_string_equal(listed(0), "");
	tree_looked_up(node);
	tree_forget(tree, node, 1);
	assert_int_equal(nodes_gone, 1);
}

/* ---- directories ---- */

static void test_a_draft_is_listed_like_a_stack(void **state)
{
	assert_ptr_equal(find("new"), draft);
	assert_null(draft->stack);
	assert_int_equal(tree_n_drafts(tree), 1);
	assert_int_equal(tree_size(tree), 2);
	assert_ptr_equal(tree_after(tree, tree_dir(stack_of(1))->cookie), draft);
}

static void test_renamed_drafts_leave_no_link(void **state)
{
	bool old;

	assert_int_equal(tree_rename_draft(tree, draft, "newer"), 0);
	assert_ptr_equal(find("newer"), draft);
	assert_null(tree_find(tree, "new", &old));
	assert_string_equal(draft->name, "newer");
	assert_string_equal(names, " newer new");
}

static void test_removed_drafts_are_gone_with_all_in_them(void **state)
{
	struct node *dir = tree_slot(tree, draft, NODE_STACK), *x = local("x");
	bool old;

	tree_looked_up(dir);
	tree_open(x);
	(void)local("y");
	tree_dir_ref(draft);
	tree_remove_draft(tree, draft);
	assert_null(tree_find(tree, "new", &old));
	assert_int_equal(tree_n_drafts(tree), 0);
	assert_int_equal(tree_size(tree), 1);
	assert_string_equal(draft->name, "");
	assert_true(dir->detached && x->detached);
	assert_int_equal(dirs_gone, 0);
	tree_dir_unref(tree, draft);
	tree_close(tree, x);
	assert_int_equal(dirs_gone, 0); /* the kernel knows three of its nodes */
	tree_forget(tree, x, 1);
	tree_forget(tree, dir, 1);
	assert_int_equal(dirs_gone, 0);
}

static void test_as_many_drafts_as_there_may_be(void **state)
{
	struct dir *dir = NULL;
	char name[20];

	for (unsigned i = 1; i < TREE_DRAFTS_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(tree_add_draft(tree, name, &dir), 0);
	}
	dir = NULL;
	assert_int_equal(tree_add_draft(tree, "x", &dir), -ENOSPC);
	assert_null(dir);
	assert_null(find("x"));
	tree_remove_draft(tree, draft);
	assert_int_equal(tree_add_draft(tree, "x", &dir), 0);
}

static void woken(struct store_wait *wait, const struct api_error *error)
{
}

/* One more list. */
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

static void test_a_stack_gives_way_to_a_draft_of_its_name(void **state)
{
	relist(fake_list(2, fake_record(1, "one", ""), fake_record(2, "new", "")));
	assert_ptr_equal(find("new"), draft);
	assert_ptr_equal(find("new~600000000000000000000002"), tree_dir(stack_of(2)));
}

/* A list was quicker than the answer to the request that has made it. */
static void test_a_draft_becomes_the_stacks(void **state)
{
	bool old;

	relist(fake_list(2, fake_record(1, "one", ""), fake_record(2, "new", "")));
	struct node *twin = tree_slot(tree, tree_dir(stack_of(2)), NODE_STACK);
	struct node *dir = tree_slot(tree, draft, NODE_STACK), *x = local("x");

	tree_looked_up(twin);
	tree_looked_up(dir);
	names[0] = '\0';
	assert_int_equal(tree_adopt(tree, draft, stack_of(2)), 0);
	assert_ptr_equal(tree_dir(stack_of(2)), draft);
	assert_ptr_equal(draft->stack, stack_of(2));
	assert_ptr_equal(find("new"), draft);
	assert_null(tree_find(tree, "new~600000000000000000000002", &old));
	assert_string_equal(names, " new~600000000000000000000002");
	assert_true(twin->detached);
	/* The kernel's nodes are the same; the inode number is the stack's now. */
	assert_ptr_equal(tree_peek(draft, NODE_STACK), dir);
	assert_int_equal(tree_ino(dir), tree_stack_ino(stack_of(2), NODE_STACK));
	assert_ptr_equal(tree_local(draft, "x"), x);
	assert_int_equal(tree_n_drafts(tree), 0);
	assert_int_equal(tree_size(tree), 2);
}

static void test_a_draft_follows_the_name_in_its_text(void **state)
{
	bool old;

	relist(fake_list(2, fake_record(1, "one", ""), fake_record(2, "other", "")));
	assert_int_equal(tree_adopt(tree, draft, stack_of(2)), 0);
	assert_ptr_equal(find("other"), draft);
	assert_ptr_equal(tree_find(tree, "new", &old), draft);
	assert_true(old);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names),
		TEST(test_it_lives_by_its_name),
		TEST(test_it_outlives_its_name_while_it_is_open),
		TEST(test_a_listing_goes_on_while_names_come_and_go),
		TEST(test_renames),
		TEST(test_into_a_slot_and_out_of_it),
		TEST(test_as_many_as_there_may_be),
		TEST(test_renames_among_as_many_as_there_may_be),
		TEST(test_the_longest_name),
		TEST(test_a_sink_has_no_place),
		TEST(test_a_draft_is_listed_like_a_stack),
		TEST(test_renamed_drafts_leave_no_link),
		TEST(test_removed_drafts_are_gone_with_all_in_them),
		TEST(test_as_many_drafts_as_there_may_be),
		TEST(test_a_stack_gives_way_to_a_draft_of_its_name),
		TEST(test_a_draft_becomes_the_stacks),
		TEST(test_a_draft_follows_the_name_in_its_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
