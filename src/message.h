/* SPDX-License-Identifier: MIT */
/* message: one line for people that says why something failed and, where it
 * can, what to do.  Without the program's name, which whoever prints it puts
 * before it, and without a final newline.
 * Threads: none of its own. */
#ifndef MESSAGE_H
#define MESSAGE_H

#include "base/macros.h"

#define MESSAGE_MAX_BYTES 1024

struct message {
	char text[MESSAGE_MAX_BYTES]; /* cut when it is longer; no control bytes */
};

void message_set(struct message *ret, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* message_set, and gives err back, to be written as one return statement. */
int message_fail(struct message *ret, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* What to do about a request to the API that failed with err; never NULL. */
const char *message_advice(int err);

/* Overwrite control bytes by '?': a path or a server's text must neither make
 * a second line nor speak to the terminal. */
void message_clean(char *text);

#endif
