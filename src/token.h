/* SPDX-License-Identifier: MIT */
/* token: where the bearer token comes from: -o token_file=, a credential of
 * systemd, CELIGO_API_TOKEN, or a prompt; never the command line, which every
 * user of the machine can read.
 *
 * Threads: token_find before the first thread starts (it changes the
 * environment, and takes signals while it prompts); token_load anywhere. */
#ifndef TOKEN_H
#define TOKEN_H

#include <stdbool.h>

#include "base/macros.h"
#include "base/secret.h"
#include "message.h"

/* Where it came from, so that it can be had again. */
struct token {
	char *path;      /* owned; NULL: from the environment or a prompt */
	bool credential; /* in $CREDENTIALS_DIRECTORY, whose modes are not judged */
	struct message said; /* of the last token_load, which has logged it */
};

void token_done(struct token *token); /* of zeros too */

/* file: of -o token_file=, or NULL.  The first source that is there counts, and
 * if it is no good, it is an error.  CELIGO_API_TOKEN is wiped from the
 * environment in any case, /proc/PID/environ included.
 * -ENOENT: there is no token; -EPERM: others could read it; -EBADMSG: it cannot
 * be a token; -EINTR: a signal at the prompt; and open(2)'s.  *ret_why is set. */
NODISCARD int token_find(const char *file, struct token *ret_source, struct secret **ret,
			 struct message *ret_why);

/* Once more from the same place; for struct http_token_source, arg is the
 * struct token.  Why it could not be read is logged, once until that changes.  -ENOENT when
 * it was no file. */
NODISCARD int token_load(void *arg, struct secret **ret);

#endif
