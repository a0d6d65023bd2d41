/* SPDX-License-Identifier: MIT */
/* emulator: what the service is and what becomes of each request.
 * emulator_step() is the server's one question.  A request for /_emulator/ goes to control.c; any
 * other is logged, meets its fault if there is one, and goes to api.c.  Threads: none here. */
#ifndef EMULATOR_EMULATOR_H
#define EMULATOR_EMULATOR_H

#include <sys/queue.h>

#include "account.h"
#include "exchange.h"
#include "fault.h"
#include "reqlog.h"

enum etag_mode { ETAG_OFF, ETAG_STRONG, ETAG_WEAK };
enum paging { PAGING_ID, PAGING_OFFSET };

struct config {
	char *token;
	uint64_t page_size, latency_ms;
	enum etag_mode etag;
	enum paging paging; /* offset: pages drift while others add and delete */
	bool gzip;
	uint64_t rate, burst; /* leaky bucket: refilled per second (0: off), and in all */
};

struct bucket {
	double level;
	double at_ms;
};

TAILQ_HEAD(waiters, waiter);

struct server;

struct emulator {
	struct config config;
	struct account *account;
	struct reqlog *log;
	struct faults *faults;
	struct bucket bucket;
	struct waiters waiters;
	struct server *server; /* borrowed, set once it is there */
	uint64_t cursor_key;   /* tells our cursors from made-up ones */
};

/* config is copied; its token, if any, is e's from now on. */
void emulator_init(struct emulator *e, const struct config *config, uint64_t seed);
void emulator_done(struct emulator *e);

/* struct server_ops */
enum verdict emulator_step(void *arg, struct exchange *x);
void emulator_gone(void *arg, struct exchange *x, bool answered);

/* "off", "strong", "weak"; "id", "offset".  -EINVAL. */
NODISCARD int config_etag(const char *name, enum etag_mode *ret);
NODISCARD int config_paging(const char *name, enum paging *ret);

#endif
