/* SPDX-License-Identifier: MIT */
/* query: the parameters that the document has, and the cursor that our own Link headers carry. */
#ifndef EMULATOR_QUERY_H
#define EMULATOR_QUERY_H

#include "mem.h"

struct query {
	char *include, *exclude, *cursor; /* decoded; NULL: not given */
	char *unknown;			  /* the first parameter that is none of these */
	char *repeated;			  /* the first one that was given twice */
};

void query_parse(const char *text, struct query *ret); /* text may be NULL */
void query_done(struct query *q);
/* %XX and + undone; a % without two hex digits stays. */
char *query_decode(struct span text);

#endif
