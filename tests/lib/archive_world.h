/* SPDX-License-Identifier: MIT */
/* archive_world: an archive on real files below a directory of the test's own,
 * and a fake clock.
 *
 * One at a time.  What cannot be, a helper that fails, aborts. */
#ifndef TESTS_ARCHIVE_WORLD_H
#define TESTS_ARCHIVE_WORLD_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/macros.h"
#include "draft/archive.h"
#include "fake_clock.h"

/* What the clock says at first. */
#define NOW_MS 1769903999123
#define NOW    "20260131T235959.123Z"
#define DAY_MS 86400000ll
#define WAIT   60000

struct archive_world {
	char top[PATH_MAX];       /* below $TEST_DIR or the working directory; removed at the end */
	char state[2 * PATH_MAX]; /* top/state; not there at first */
	struct fake_clock clock;
};

extern struct archive_world aw;

/* For cmocka. */
int archive_world_setup(void **state);
int archive_world_teardown(void **state);

/* Below top.  Static; four live at a time. */
const char *path_of(const char *fmt, ...) PRINTF_LIKE(1, 2);
void make_dir(const char *path, mode_t mode);
void make_link(const char *target, const char *path);
/* size: with a hole behind the text; 0: only the text. */
void make_file(const char *path, const char *text, off_t size);
/* The directories of an archive, and history of a stack "billing". */
void make_state(void);
void remove_tree(const char *path);
bool exists(const char *path);
mode_t mode_of(const char *path);
/* Whether it is a file, not a link, of just this text. */
bool has_content(const char *path, const char *text);
/* "." and ".." apart; -1: no such directory. */
int entries_in(const char *path);

struct archive *open_archive(void); /* on state */
void flush(struct archive *a);
void history(struct archive *a, const char *stack, const char *text);
const char *lost(struct archive *a, const char *stack, const char *text); /* static */

struct outcome {
	_Atomic unsigned calls;
	_Atomic int err;
};

#define OUTCOME_INIT { 0, 1 }

void note(void *arg, int err); /* an archive_done_fn for a struct outcome */
/* What done has said. */
int put_history(struct archive *a, const char *stack, const char *text);
bool stats_are(struct archive *a, uint64_t in_history, uint64_t in_lost, uint64_t failures,
	       int last_errno);

#endif
