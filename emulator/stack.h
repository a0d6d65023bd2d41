/* SPDX-License-Identifier: MIT */
/* stack: one record.
 * It is kept as the text that the API shows, its two secrets apart: an answer is a copy of bytes,
 * and no secret can slip into one.  All texts are JSON that json_check() has passed.
 * Threads: none here. */
#ifndef EMULATOR_STACK_H
#define EMULATOR_STACK_H

#include "json.h"

#define STACK_MASK "\"******\""
enum { STACK_ID_LEN = 24 };

struct stack {
	char *id;
	struct buf shown;     /* the record, secrets masked */
	char *token, *secret; /* JSON text of server.systemToken, lambda.secretAccessKey; or NULL */
	char *dependencies;   /* JSON text; NULL: none */
	bool deleted;	      /* in the recycle bin: kept, invisible */
	bool server;	      /* type is "server" */
	uint64_t modified_ms; /* lastModified; 0 when the record's is no date */
	unsigned rotations;
};

/* The record of that text; secrets are taken out of it, all else stays byte for byte. */
struct stack *stack_new(const char *id, struct span text);
void stack_free(struct stack *s);

/* Replaces the record's text as stack_new() does.  Secrets that the text does not have stay. */
void stack_set_text(struct stack *s, struct span text);
/* Moves the members `dependencies` and `deleted` of an account file out of the text. */
void stack_take_state(struct stack *s);
void stack_set_dependencies(struct stack *s, struct span map);
/* The text with its secrets; with_state adds dependencies and deleted. */
void stack_reveal(const struct stack *s, bool with_state, struct buf *out);

struct span stack_shown(const struct stack *s);
/* Replaces the token: as long as it was, the same for the same seed, id, token and count. */
void stack_rotate(struct stack *s, uint64_t seed);
/* Gives a server stack that has none a token. */
void stack_ensure_token(struct stack *s, uint64_t seed);
/* Moves lastModified to now, or 1 ms past what it was, whichever is later. */
uint64_t stack_next_modified(const struct stack *s);

bool stack_id_is_wellformed(struct span id);

#endif
