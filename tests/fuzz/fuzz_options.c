/* SPDX-License-Identifier: MIT */
/* A command line, one argument a line. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "http/origin.h"
#include "options.h"

#define MAX_ARGUMENTS 32

static void check_good(const struct options *o)
{
	struct origin origin;
	const char *why = NULL;

	fuzz_check(o->ttl_s <= OPTIONS_MAX_TTL_S && o->stale_s <= OPTIONS_MAX_STALE_S);
	fuzz_check(o->timeout_s <= OPTIONS_MAX_TIMEOUT_S && o->rate_per_s <= OPTIONS_MAX_RATE);
	if (o->command != OPTIONS_MOUNT)
		return;
	fuzz_check(o->mountpoint && o->source && o->timeout_s > 0);
	fuzz_check(o->fuse_argv && o->fuse_argc > 0 && !o->fuse_argv[o->fuse_argc]);
	if (origin_parse(o->source, &origin, &why) < 0)
		fuzz_check(why != NULL);
	else
		fuzz_check(strcmp(origin.scheme, "https") == 0 || origin.loopback);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char name[] = "stacksfs";
	char *argv[MAX_ARGUMENTS + 1] = { name };
	struct options options = { 0 };
	struct message why = { "" };
	int argc = 1;

	if (memchr(data, '\0', size))
		return 0;
	char *text = strndup((const char *)data, size), *rest = text, *argument;
	fuzz_check(text != NULL);
	while (argc < MAX_ARGUMENTS && (argument = strsep(&rest, "\n")))
		argv[argc++] = argument;
	if (options_parse(argc, argv, &options, &why) < 0)
		fuzz_check(why.text[0]);
	else
		check_good(&options);
	options_done(&options);
	free(text);
	return 0;
}
