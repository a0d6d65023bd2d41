/* SPDX-License-Identifier: MIT */
/* options: the command line as a struct.  One table of options drives the
 * parsing, --help, the shells' completions and the hint at what a mistyped
 * option may have meant.
 *
 * Only the arguments and CELIGO_BASE_URL are read; no file is touched and
 * nothing is printed but by options_help.
 * Threads: none of its own; call before the first thread starts. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/macros.h"
#include "message.h"

#define OPTIONS_MAX_TTL_S     86400u   /* a day */
#define OPTIONS_MAX_STALE_S   2592000u /* 30 days: in milliseconds still 32 bits */
#define OPTIONS_MAX_TIMEOUT_S 3600u
#define OPTIONS_MAX_RATE      10000u
#define OPTIONS_MAX_GRACE_S   3600u
#define OPTIONS_MAX_LIMIT     4096u

enum options_command {
	OPTIONS_MOUNT,
	OPTIONS_STATUS,
	OPTIONS_REFRESH,
	OPTIONS_DOCTOR,
	OPTIONS_HELP,
	OPTIONS_VERSION,
};

enum options_format { OPTIONS_FOR_PEOPLE, OPTIONS_JSON, OPTIONS_CHECK };

/* All strings are owned.  Times are in seconds. */
struct options {
	enum options_command command;
	enum options_format format; /* of status */

	char *source;     /* for origin_parse; NULL only for status, refresh, help and version */
	char *mountpoint; /* as it was written; NULL: status of every mount, doctor of none */

	bool foreground;
	bool debug; /* implies foreground */
	bool fake;  /* mount(8) -f: check everything, mount nothing */

	char *token_file; /* absolute, or NULL */
	char *cacert;     /* absolute, or NULL: the system's */
	char *proxy;      /* NULL: the environment's; "": none */
	char *fsname;     /* what df shows; part of fuse_argv */
	unsigned ttl_s;
	unsigned stale_s;
	unsigned timeout_s;
	unsigned rate_per_s; /* 0: no limit of our own */
	unsigned grace_s;
	bool overwrite;
	char *rotate_by; /* names, separated by ':' */
	char *state;     /* absolute, "none", or NULL: the default */
	unsigned scratch; /* bytes */
	bool tokens;
	bool ro; /* answered by us, hence not in fuse_argv */
	bool dry_run;
	bool delete_in_use;
	unsigned max_delete, max_rotate; /* 0: no limit */
	unsigned uid;
	unsigned gid;
	unsigned umask;

	/* For fuse_session_new: "stacksfs" and options, and a NULL after them. */
	char **fuse_argv;
	int fuse_argc;
};

/* Free the members; also of a struct that is all zeros. */
void options_done(struct options *options);

/* -EINVAL, -ENOMEM; *ret_why is set whenever it fails. */
NODISCARD int options_parse(int argc, char *const argv[], struct options *ret,
			    struct message *ret_why);

void options_help(FILE *out);

/* An option of -o that --help shows. */
struct options_entry {
	const char *name;
	const char *value; /* what --help calls it; NULL: it takes none */
	const char *help;  /* maybe several lines */
};

/* The i-th in the order of --help; false when there are no more. */
bool options_describe(size_t i, struct options_entry *ret);

#endif
