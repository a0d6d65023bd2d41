/* SPDX-License-Identifier: MIT */
#include "api/date.h"

#include <errno.h>
#include <stdbool.h>

/* What is left to read; bad once something was not as it must be. */
struct reader {
	const char *at, *end;
	bool bad;
};

static char peek(const struct reader *r)
{
	return r->at < r->end ? *r->at : '\0';
}

static void expect(struct reader *r, bool found)
{
	if (found && r->at < r->end)
		r->at++;
	else
		r->bad = true;
}

/* Exactly n digits. */
static int number(struct reader *r, int n, int min, int max)
{
	int value = 0;

	for (int i = 0; i < n; i++) {
		char c = peek(r);

		expect(r, c >= '0' && c <= '9');
		if (r->bad)
			return min;
		value = value * 10 + (c - '0');
	}
	r->bad = r->bad || value < min || value > max;
	return value;
}

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01. */
static int64_t day_number(int year, int month, int day)
{
	int64_t before = year + 399; /* years before this one, counted from -399: never negative */
	int64_t days = before * 365 + before / 4 - before / 100 + before / 400;

	for (int m = 1; m < month; m++)
		days += days_in(year, m);
	return days + day - 1 - 865259; /* 1970 */
}

static int64_t read_date(struct reader *r)
{
	int year = number(r, 4, 0, 9999);
	expect(r, peek(r) == '-');
	int month = number(r, 2, 1, 12);
	expect(r, peek(r) == '-');
	int day = number(r, 2, 1, 31);

	if (r->bad || day > days_in(year, month)) {
		r->bad = true;
		return 0;
	}
	return day_number(year, month, day) * 86400;
}

/* Second 60 is a leap second, and becomes the one after it. */
static int64_t read_time(struct reader *r)
{
	int hours = number(r, 2, 0, 23);
	expect(r, peek(r) == ':');
	int minutes = number(r, 2, 0, 59);
	expect(r, peek(r) == ':');
	int seconds = number(r, 2, 0, 60);

	return hours * 3600 + minutes * 60 + seconds;
}

static int64_t read_fraction_ms(struct reader *r)
{
	int64_t ms = 0;
	int weight = 100;

	if (peek(r) != '.')
		return 0;
	expect(r, true);
	do {
		ms += (int64_t)number(r, 1, 0, 9) * weight;
		weight /= 10;
	} while (!r->bad && peek(r) >= '0' && peek(r) <= '9');
	return ms;
}

static int64_t read_offset(struct reader *r)
{
	char c = peek(r);

	expect(r, c == 'Z' || c == 'z' || c == '+' || c == '-');
	if (c == 'Z' || c == 'z')
		return 0;
	int hours = number(r, 2, 0, 23);
	expect(r, peek(r) == ':');
	int minutes = number(r, 2, 0, 59);
	int seconds = hours * 3600 + minutes * 60;
	return c == '-' ? -seconds : seconds;
}

int date_parse(const char *s, size_t len, int64_t *ret_ms)
{
	struct reader r = { s, s + len, false };
	int64_t seconds = read_date(&r);

	expect(&r, peek(&r) == 'T' || peek(&r) == 't');
	seconds += read_time(&r);
	int64_t ms = read_fraction_ms(&r);
	seconds -= read_offset(&r);
	if (r.bad || r.at != r.end)
		return -EINVAL;
	*ret_ms = seconds * 1000 + ms;
	return 0;
}
