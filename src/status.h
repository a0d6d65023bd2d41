/* SPDX-License-Identifier: MIT */
/* status: the text of .stacksfs/status, taken apart and written for people.
 *
 * What is missing there is not shown, and what is unknown is passed over: the
 * mount may be an older or a newer stacksfs.
 * Threads: none of its own. */
#ifndef STATUS_H
#define STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/macros.h"

#define STATUS_MAX_BYTES    (1024 * 1024)
#define STATUS_MAX_REQUESTS 64
#define STATUS_MAX_PATHS    20  /* of a kind that are kept; all are counted */
#define STATUS_PATH_BYTES   320 /* a stack's name and what comes after it */
#define STATUS_UNKNOWN      UINT64_MAX

/* How often an endpoint answered with a status. */
struct status_requests {
	char endpoint[24];
	char status[16]; /* "200", or what stands for no answer */
	uint64_t count;
};

/* Paths below the mount point, "/billing/config.json". */
struct status_paths {
	size_t n; /* in all */
	char paths[STATUS_MAX_PATHS][STATUS_PATH_BYTES];
};

/* Strings are "", numbers STATUS_UNKNOWN where the text says nothing. */
struct status {
	char version[32];
	char source[512];
	char mountpoint[4096];
	uint64_t pid, uptime_s;
	struct {
		char state[16]; /* ok, stale, error */
		uint64_t since_s, list_age_s, list_took_ms, ttl_s;
		char error[512];
		uint64_t error_age_s;
	} api;
	struct {
		uint64_t total, server, lambda, other;
	} stacks;
	struct {
		uint64_t hits, misses, stale;
	} cache;
	struct {
		uint64_t calls, tries, retries, failures, running, queued, received_bytes;
		uint64_t p50_ms, p90_ms, p99_ms;
		uint64_t rate_per_s, rate_burst, rate_left;
		char circuit[16]; /* open, closed */
		uint64_t circuit_since_s, circuit_opened;
	} http;
	struct {
		uint64_t bytes, limit;
	} scratch;
	struct status_paths refused, drafts;
	uint64_t lost, changes;
	uint64_t unwritten; /* texts that are in neither history nor lost */
	char unwritten_why[128];
	uint64_t errors;
	struct status_requests requests[STATUS_MAX_REQUESTS];
	size_t n_requests;
};

/* -EBADMSG: not a JSON object. */
NODISCARD int status_parse(const char *text, size_t len, struct status *ret);

/* Whether the state, which is not ok, is that of a while ago, because nobody has used
 * the mount since: it asks nothing by itself. */
bool status_is_idle(const struct status *status);

/* Aligned lines, "name  value". */
void status_print(const struct status *status, FILE *out);

/* "5 min 3 s", "1.5 MiB": with two figures at most. */
#define STATUS_TEXT_BYTES 32
const char *status_duration(uint64_t seconds, char text[STATUS_TEXT_BYTES]);
const char *status_bytes(uint64_t bytes, char text[STATUS_TEXT_BYTES]);

/* The string member of that name in an object, as text that may be printed,
 * cut to size; "" when it is not there.  -EBADMSG: not a JSON object. */
NODISCARD int status_member(const char *text, size_t len, const char *name, char *ret, size_t size);

#endif
