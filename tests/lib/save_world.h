/* SPDX-License-Identifier: MIT */
/* save_world: an account of two stacks, "one" and "two", what changes share over
 * it, and saves of "one" whose requests are expected and answered one by one.
 *
 * One at a time.  What is not as it has to be fails the test that runs. */
#ifndef TESTS_SAVE_WORLD_H
#define TESTS_SAVE_WORLD_H

#include <stdbool.h>
#include <stddef.h>

#include "draft/change.h"
#include "draft/save.h"
#include "draft/versions.h"
#include "fake_account.h"
#include "tree/tree.h"

#define ONE        "\"_id\":\"600000000000000000000001\",\"name\":\"one\",\"type\":\"server\""
#define PUT_ONE    "{\"name\":\"one\",\"type\":\"server\""
#define MASK       "\"******\""
#define TIMEOUT_MS 30000

/* How one save has ended. */
struct ended {
	unsigned calls;
	int err;
	struct api_error error;
	struct stack *stack;
	bool sent, unsettled, conflict;
	struct value_paths not_stored;
	char would_send[500];
};

struct save_world {
	struct fake_account a;
	struct tree *tree;
	struct changes changes;
	struct stack *one;
	size_t next_try;   /* the first that the test has not answered */
	struct ended last; /* of save, save_by and rename_to */
};

extern struct save_world sw;
extern const struct process vim, cp, git;

/* For cmocka: with an archive that is nowhere, or with archive_world's. */
int save_world_setup(void **state);
int save_world_teardown(void **state);
int save_world_setup_archive(void **state);
int save_world_teardown_archive(void **state);
/* Ends http inside the test. */
void end_http(void);

/* A record's or a text's JSON: modified is its date, "" for none.  Static; eight
 * live at a time. */
const char *json(const char *modified, const char *fields);
/* What config.json shows, without its white space.  Static. */
const char *shown(void);

/* A change_done_fn for a struct ended. */
void ended_done(void *arg, const struct change_result *result);
/* Begin a save; e is filled in when it ends. */
void begin(const struct process *who, const char *text, struct ended *e);
void save_by(const struct process *who, const char *text);
void save(const char *text); /* by cp */
void rename_to(const char *name);

/* The next request, which is the only one that waits for an answer. */
const struct transport_request *next_request(void);
void expect_get(void);
void expect_put(const char *body);
void expect_no_request(void);
/* Answer it. */
void answer(int status, const char *body);
void answer_etag(const char *body, const char *etag);
void give(const struct fake_answer *given);
void lose_answer(int err);
/* Let time go on until the save asks again by itself. */
void wait_for_request(void);
/* Expect a request and answer it by 200. */
void get(const char *record);
void put(const char *body, const char *record);

void expect_success(bool sent);
void expect_failure(int err, const char *message);
/* A save from beginning to end. */
void whole_save(const struct process *who, const char *text, const char *fresh, const char *sent,
		const char *stored);

#endif
