/* SPDX-License-Identifier: MIT */
/* exchange: one request and what is to be answered, as plain data.
 * server.c fills in the request and sends the answer; everything between knows no sockets.
 * Threads: the program has one. */
#ifndef EMULATOR_EXCHANGE_H
#define EMULATOR_EXCHANGE_H

#include "mem.h"

enum {
	API_BODY_MAX = 4 << 20,
	CONTROL_BODY_MAX = 1 << 30, /* a whole account */
	REPLY_HEADERS_MAX = 32,
};

struct request {
	char *method;
	char *path, *query; /* as sent, not decoded; query is NULL without a '?' */
	const char *protocol;
	char *host, *authorization, *content_type, *accept_encoding;
	char *if_match, *if_none_match, *forwarded_proto;
	struct buf body;
	bool has_body, too_large;
	unsigned connection; /* a number of its own for each connection */
};

struct header {
	char *name, *value;
};

struct reply {
	int status;
	struct header headers[REPLY_HEADERS_MAX];
	unsigned n_headers;
	struct buf body;
	uint64_t repeat; /* the body is sent that often; 0 is 1 */
};

/* What the server is to do next with an exchange. */
enum verdict {
	VERDICT_ANSWER, /* send reply */
	VERDICT_PARK,	/* ask again at wake_ms or after server_wake() */
	VERDICT_CLOSE,	/* close the connection without a byte */
	VERDICT_WIRE,	/* send wire.bytes as they are, then close */
};

enum ending { END_CLOSE, END_RESET };

struct wire {
	struct buf bytes;
	size_t at_once;	  /* of them; the rest goes byte by byte */
	uint64_t drip_ms; /* 0: all at once */
	enum ending ending;
};

enum phase { PHASE_ARRIVED, PHASE_DELAYED, PHASE_HUNG, PHASE_WAITING };

struct fault;
struct waiter;

struct exchange {
	struct request rq;
	struct reply reply;
	struct wire wire;
	uint64_t wake_ms;
	/* emulator.c's */
	enum phase phase;
	uint64_t seq;	       /* in the request log; 0: not in it */
	struct fault *fault;   /* a reference, or NULL */
	struct waiter *waiter; /* owned by control.c, or NULL */
};

void exchange_done(struct exchange *x);

/* Ignored when there are REPLY_HEADERS_MAX already. */
void reply_header(struct reply *reply, const char *name, const char *value);
/* Sets status and Content-Type; the body is the caller's. */
void reply_json(struct reply *reply, int status);
/* {"errors":[{"code":…,"message":…,"field":…}]}; field may be NULL. */
void reply_error(struct reply *reply, int status, const char *code, const char *field,
		 const char *fmt, ...) PRINTF_LIKE(5, 6);
void reply_reset(struct reply *reply);
/* Headers and body as HTTP/1.1 bytes with Connection: close; *ret_head is the headers' length.
 * At most limit bytes of body. */
void reply_render(const struct reply *reply, const char *reason, size_t limit, struct buf *out,
		  size_t *ret_head);

#endif
