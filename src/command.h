/* SPDX-License-Identifier: MIT */
/* command: the subcommands that look at mounts or speak to them, through files
 * below .stacksfs: status and refresh.
 *
 * Neither hangs on a mount that does not answer.
 * Threads: the process must have one only. */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdio.h>

#include "base/macros.h"
#include "options.h"

/* Each returns what to exit with: 0, or 1 after a line on err that says why
 * (status --check says it on out: monitoring shows that). */
NODISCARD int command_status(const struct options *options, FILE *out, FILE *err);
NODISCARD int command_refresh(const struct options *options, FILE *err);

#endif
