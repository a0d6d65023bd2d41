/* SPDX-License-Identifier: MIT */
/* doctor: look at everything that mounting needs, a line each: well, or what
 * to do.  Nothing is mounted, made or changed, and no secret is printed.
 *
 * Nothing here waits longer than timeout= for one thing.
 * Threads: the process must have one only, and has so again afterwards. */
#ifndef DOCTOR_H
#define DOCTOR_H

#include <stdio.h>
#include <sys/types.h>

#include "base/macros.h"
#include "options.h"

/* What to exit with: 1 when mounting would fail. */
NODISCARD int doctor_run(const struct options *options, FILE *out);

/* ---- the parts, for doctor.c and tests ---- */

enum doctor_word {
	DOCTOR_OK,
	DOCTOR_NOTE, /* worth knowing, no hindrance */
	DOCTOR_FAIL, /* mounting would fail */
	DOCTOR_SKIP, /* cannot be told, because something before it failed */
};

struct doctor {
	const struct options *options;
	FILE *out;
	const char *root; /* before the system's own paths: "", or a test's directory */
	uid_t uid;        /* whose mount it would be */
	unsigned n_failed;
};

void doctor_say(struct doctor *d, enum doctor_word word, const char *name, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* This machine: the kernel, fusermount3, the mount point, the state directory. */
void doctor_check_machine(struct doctor *d);
/* The way to the API, the token, the account. */
void doctor_check_api(struct doctor *d);

#endif
