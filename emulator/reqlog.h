/* SPDX-License-Identifier: MIT */
/* reqlog: what was asked, in the order in which it arrived, for the tests to read.
 * Entries are named by their number (from 1, never used again) because old ones make room for new
 * ones.  Each arrival and each answer is told to one listener.  Threads: none here. */
#ifndef EMULATOR_REQLOG_H
#define EMULATOR_REQLOG_H

#include "exchange.h"

enum {
	REQLOG_ENTRIES_MAX = 200000,
	REQLOG_BYTES_MAX = 256 << 20, /* of bodies; older entries go first */
};

enum auth { AUTH_NONE, AUTH_BAD, AUTH_OK };
enum reqlog_event { REQLOG_ARRIVED, REQLOG_ANSWERED };

struct reqlog;

/* Which entries are meant: NULL is any method, any path; path may be a glob. */
struct reqlog_filter {
	char *method, *path;
	uint64_t since; /* entries after this one */
	bool answered;	/* only those that are done with */
};

typedef void reqlog_listener_fn(void *arg, enum reqlog_event event, uint64_t seq);

struct reqlog *reqlog_new(reqlog_listener_fn *listener, void *arg);
void reqlog_free(struct reqlog *log);

/* Returns the entry's number.  The listener hears of it from reqlog_arrived(), after the notes. */
uint64_t reqlog_add(struct reqlog *log, const struct request *rq, enum auth auth);
void reqlog_arrived(struct reqlog *log, uint64_t seq);
/* status 0: the exchange ended without an answer.  Only the first call for an entry counts. */
void reqlog_answered(struct reqlog *log, uint64_t seq, int status);
void reqlog_fault(struct reqlog *log, uint64_t seq, const char *what);
/* A misuse of the API unless it starts with "info: ". */
void reqlog_note(struct reqlog *log, uint64_t seq, const char *fmt, ...) PRINTF_LIKE(3, 4);

void reqlog_clear(struct reqlog *log);
uint64_t reqlog_last(const struct reqlog *log);
bool reqlog_matches(const struct reqlog *log, uint64_t seq, const struct reqlog_filter *f);
uint64_t reqlog_count(const struct reqlog *log, const struct reqlog_filter *f);
/* A JSON array of the entries after that one. */
void reqlog_dump(const struct reqlog *log, uint64_t since, struct buf *out);

#endif
