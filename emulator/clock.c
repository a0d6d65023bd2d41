/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"

double clock_precise_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

uint64_t clock_ms(void)
{
	return (uint64_t)clock_precise_ms();
}

uint64_t clock_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void clock_iso(uint64_t wall_ms, char ret[CLOCK_ISO_SIZE])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(ret, CLOCK_ISO_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret + n, CLOCK_ISO_SIZE - n, ".%03uZ", (unsigned)(wall_ms % 1000));
}

uint64_t clock_from_iso(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	time_t seconds;
	long ms = 0;

	if (!rest)
		return 0;
	if (*rest == '.')
		ms = strtol(rest + 1, NULL, 10);
	seconds = timegm(&tm);
	return seconds < 0 || ms < 0 || ms > 999 ? 0 : (uint64_t)seconds * 1000 + (uint64_t)ms;
}
