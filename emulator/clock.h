/* SPDX-License-Identifier: MIT */
/* clock: the two clocks, and the service's way to write a date. */
#ifndef EMULATOR_CLOCK_H
#define EMULATOR_CLOCK_H

#include "mem.h"

#define CLOCK_NEVER UINT64_MAX

enum { CLOCK_ISO_SIZE = 32 };

uint64_t clock_ms(void);       /* monotonic */
double clock_precise_ms(void); /* the same with a fraction, for the log */
uint64_t clock_wall_ms(void);  /* since 1970 */

/* 2024-05-01T12:34:56.789Z */
void clock_iso(uint64_t wall_ms, char ret[CLOCK_ISO_SIZE]);
/* 0 when the text is none. */
uint64_t clock_from_iso(const char *text);

#endif
