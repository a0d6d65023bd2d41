/* SPDX-License-Identifier: MIT */
/* change_world: an account with a tree of names and all that a change needs, and
 * how changes have ended.
 *
 * One at a time: the world is cw.  What cannot be, a helper that fails, aborts. */
#ifndef TESTS_CHANGE_WORLD_H
#define TESTS_CHANGE_WORLD_H

#include "draft/change.h"
#include "fake_account.h"
#include "tree/tree.h"

#define CHANGE_TIMEOUT_MS 30000

struct change_world {
	struct fake_account account;
	struct tree *tree;
	struct changes changes;
	unsigned part_changed;
};

extern struct change_world cw;

/* How a change has ended; the texts are copies. */
struct ended {
	unsigned times; /* done was called */
	struct change_result result;
	char would_send[512], to_save[512]; /* "" for NULL */
	void (*then)(struct ended *self); /* called last in done */
	void *then_arg;
};

/* archive_dir: NULL: nowhere.  Stacks 1 "one" and 2 "two" are listed by the answer
 * of try 0, and a second has passed. */
void change_world_begin(const char *archive_dir);
/* Ends http inside the test, so that what that does to changes can be seen. */
void change_world_end_http(void);
void change_world_end(void);
/* For cmocka: an archive that is nowhere. */
int change_world_setup(void **state);
int change_world_teardown(void **state);

void cw_ended(void *arg, const struct change_result *result); /* a change_done_fn */

struct stack *cw_stack(unsigned id); /* NULL: not in the store */
size_t cw_tries(void);
const struct transport_request *cw_request(size_t i);
void cw_answer(size_t i, int status, const char *body);
void cw_lose(size_t i); /* it was sent, and no answer came */
void cw_advance(uint64_t ms);
/* Try i asks for this. */
bool cw_asks(size_t i, enum http_method method, const char *target);

#endif
