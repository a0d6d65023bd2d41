/* SPDX-License-Identifier: MIT */
/* raw_server: a server on 127.0.0.1 that says byte for byte what the test wants
 * said, right or wrong, for one HTTP/1.1 client.
 *
 * Threads: a thread accepts, and each connection has one; answer is called on
 * the connection's thread, the rest may be called by any thread. */
#ifndef TESTS_RAW_SERVER_H
#define TESTS_RAW_SERVER_H

#include <stdbool.h>
#include <stddef.h>

struct raw_server;

struct raw_request {
	int fd;            /* of the connection; answer writes to it */
	unsigned conn_no;  /* from 1 */
	unsigned no;       /* of the request on its connection, from 1 */
	unsigned total;    /* of the request, over all connections, from 1 */
	const char *text;  /* header and body, with a NUL behind */
	size_t len;
};

/* What becomes of the connection after an answer. */
enum raw_then { RAW_KEEP, RAW_CLOSE, RAW_RESET };

typedef enum raw_then raw_answer_fn(void *arg, const struct raw_request *request);

struct raw_server *raw_server_new(raw_answer_fn *answer, const void *arg);
/* Ends all connections and threads; answer must return soon by itself, as it
 * does when it waits by raw_wait_end. */
void raw_server_free(struct raw_server *server);

unsigned raw_server_port(const struct raw_server *server);
unsigned raw_server_requests(struct raw_server *server);    /* complete ones so far */
unsigned raw_server_connections(struct raw_server *server); /* accepted so far */
/* All requests' texts so far, one behind the other; to be freed. */
char *raw_server_log(struct raw_server *server);

/* Wait until n requests have come. */
void raw_server_wait_requests(struct raw_server *server, unsigned n);
/* From answer: wait until the client closes the connection or the server ends. */
void raw_wait_end(const struct raw_request *request);
/* From answer: write all; a client that has gone is fine. */
void raw_write(int fd, const void *bytes, size_t len);
void raw_puts(int fd, const char *s);

/* A port of 127.0.0.1 on which nobody listens. */
unsigned raw_closed_port(void);

#endif
