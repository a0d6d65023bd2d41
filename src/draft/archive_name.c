/* SPDX-License-Identifier: MIT */
#include "draft/archive_name.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/num.h"
#include "base/utf8.h"

#define TIME_CHARS     20 /* 20260131T235959.123Z */
#define STAMP_BYTES    (TIME_CHARS + sizeof("_99999"))
#define LOST_STACK_MAX (NAME_MAX_BYTES - STAMP_BYTES + 1 - strlen("-.json"))

int archive_stamp_compare(struct archive_stamp a, struct archive_stamp b)
{
	if (a.ms != b.ms)
		return a.ms < b.ms ? -1 : 1;
	return a.number < b.number ? -1 : a.number > b.number;
}

static void stamp_format(struct archive_stamp stamp, char out[STAMP_BYTES])
{
	int64_t ms = stamp.ms < 0                      ? 0
		     : stamp.ms > ARCHIVE_STAMP_MAX_MS ? ARCHIVE_STAMP_MAX_MS
						       : stamp.ms;
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	size_t at = strftime(out, STAMP_BYTES, "%Y%m%dT%H%M%S", &tm);
	at += (size_t)snprintf(out + at, STAMP_BYTES - at, ".%03uZ", (unsigned)(ms % 1000));
	if (stamp.number > 0)
		snprintf(out + at, STAMP_BYTES - at, "_%u", stamp.number);
}

static int two_digits(const char *s)
{
	uint64_t n = 0;

	return num_parse_u64(s, 2, 99, &n) < 0 ? -1 : (int)n;
}

/* The length of the stamp at the start of s, 0 if there is none.  Only what
 * formatting gives is one. */
static size_t stamp_parse(const char *s, struct archive_stamp *ret)
{
	char again[STAMP_BYTES];
	uint64_t year, fraction, number = 0;

	if (strnlen(s, TIME_CHARS) < TIME_CHARS || num_parse_u64(s, 4, 9999, &year) < 0 ||
	    num_parse_u64(s + 16, 3, 999, &fraction) < 0)
		return 0;
	struct tm tm = {
		.tm_year = (int)year - 1900,
		.tm_mon = two_digits(s + 4) - 1,
		.tm_mday = two_digits(s + 6),
		.tm_hour = two_digits(s + 9),
		.tm_min = two_digits(s + 11),
		.tm_sec = two_digits(s + 13),
	};
	const char *digits = s + TIME_CHARS + 1;
	if (s[TIME_CHARS] == '_' && num_parse_u64(digits, strspn(digits, "0123456789"),
						  ARCHIVE_STAMP_MAX_NUMBER, &number) < 0)
		return 0;
	ret->ms = (int64_t)timegm(&tm) * 1000 + (int64_t)fraction;
	ret->number = (unsigned)number;
	stamp_format(*ret, again);
	return strncmp(again, s, strlen(again)) == 0 ? strlen(again) : 0;
}

/* The bytes of s that are whole characters and fit in max. */
static size_t cut(const char *s, size_t max)
{
	size_t len = strlen(s), at = 0;

	while (at < len) {
		size_t n = utf8_length(s + at, len - at);

		n = n ? n : 1;
		if (at + n > max)
			break;
		at += n;
	}
	return at;
}

void archive_name_history(struct archive_stamp stamp, char out[NAME_MAX_BYTES + 1])
{
	char text[STAMP_BYTES];

	stamp_format(stamp, text);
	snprintf(out, NAME_MAX_BYTES + 1, "%s.json", text);
}

void archive_name_lost(struct archive_stamp stamp, const char *stack, char out[NAME_MAX_BYTES + 1])
{
	char text[STAMP_BYTES];
	struct stack_id id;
	const char *suffix = "";
	size_t len = strlen(stack);

	stamp_format(stamp, text);
	if (len > LOST_STACK_MAX && name_has_id(stack, &id))
		suffix = stack + len - NAME_SUFFIX_BYTES;
	snprintf(out, NAME_MAX_BYTES + 1, "%s-%.*s%s.json", text,
		 (int)cut(stack, LOST_STACK_MAX - strlen(suffix)), stack, suffix);
}

void archive_name_temporary(struct archive_stamp stamp, char out[NAME_MAX_BYTES + 1])
{
	char text[STAMP_BYTES];

	stamp_format(stamp, text);
	snprintf(out, NAME_MAX_BYTES + 1, ".%s.tmp", text);
}

bool archive_name_is_history(const char *name, struct archive_stamp *ret)
{
	size_t at = stamp_parse(name, ret);

	return at > 0 && strcmp(name + at, ".json") == 0;
}

bool archive_name_is_lost(const char *name, struct archive_stamp *ret)
{
	size_t len = strlen(name);
	size_t at = stamp_parse(name, ret);

	return at > 0 && name[at] == '-' && len >= at + strlen("-x.json") &&
	       strcmp(name + len - strlen(".json"), ".json") == 0;
}

bool archive_name_is_temporary(const char *name, struct archive_stamp *ret)
{
	size_t at = name[0] == '.' ? stamp_parse(name + 1, ret) : 0;

	return at > 0 && strcmp(name + 1 + at, ".tmp") == 0;
}
