/* SPDX-License-Identifier: MIT */
/* server: HTTP, and how to break it; the only code that knows libmicrohttpd.
 * libmicrohttpd parses and answers; we own the event loop.  A request that must wait is suspended
 * there and parked here, so nothing but memory and a descriptor is spent on it, however many there
 * are.  An answer that is not HTTP is written to the socket of a suspended connection.
 * Threads: one, the caller of server_run(). */
#ifndef EMULATOR_SERVER_H
#define EMULATOR_SERVER_H

#include "exchange.h"

struct server;

struct server_ops {
	/* What to do with an exchange: when its request is complete and whenever it is woken. */
	enum verdict (*step)(void *arg, struct exchange *x);
	/* Its last call, always made: answered is false if the client left or we closed first. */
	void (*gone)(void *arg, struct exchange *x, bool answered);
};

/* Serves on a listening socket, which stays the caller's, until SIGTERM or SIGINT.  ops and arg are
 * borrowed.  *ret is set on success only.  -errno. */
NODISCARD int server_new(int listen_fd, const struct server_ops *ops, void *arg,
			 struct server **ret);
void server_free(struct server *s);
DEFINE_CLEANUP(struct server, server_free)
NODISCARD int server_run(struct server *s);

/* Has a parked exchange asked again soon.  From within step() of another one too. */
void server_wake(struct server *s, struct exchange *x);
/* Every parked exchange that the test says yes to. */
void server_wake_if(struct server *s, bool (*test)(const struct exchange *x));

#endif
