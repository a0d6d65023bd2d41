/* SPDX-License-Identifier: MIT */
#include "http/retry.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>

#include "base/num.h"

/* TLS failures (EPROTO) and answers that are too large (EMSGSIZE) are missing
 * on purpose: the next try would end the same way. */
static const int transient_errors[] = {
	ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT, EIO,
};
static const int transient_statuses[] = { 408, 429, 500, 502, 503, 504 };

static bool is_among(int value, const int *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (values[i] == value)
			return true;
	}
	return false;
}

bool retry_is_transient(int err, int status)
{
	if (err)
		return is_among(-err, transient_errors, ARRAY_SIZE(transient_errors));
	return is_among(status, transient_statuses, ARRAY_SIZE(transient_statuses));
}

/* Only two failures surely left nothing behind: one before anything was sent,
 * and an answer that refused the request (4xx; 429 is the transient one).  A
 * 408 or 5xx, a 503 with Retry-After too, may come from a gateway that gave up
 * on a server which then did the work: RFC 9110, 15.6, promises nothing here. */
bool retry_maybe_processed(int err, bool sent, int status)
{
	if (err)
		return sent;
	return status == 408 || status >= 500;
}

/* splitmix64 (Steele, Lea, Flood, 2014): jitter needs to be spread, not secret. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t retry_backoff_ms(unsigned tries, uint64_t *random)
{
	uint64_t limit = RETRY_BASE_MS;

	while (tries > 1 && limit < RETRY_CAP_MS) {
		limit *= 2;
		tries--;
	}
	if (limit > RETRY_CAP_MS)
		limit = RETRY_CAP_MS;
	return next_random(random) % (limit + 1);
}

/* The server's wish, and a little more: those it sent away together shall not
 * come back together.  That little more must not cost the try itself. */
static bool delay_as_told(const struct retry_case *c, uint64_t *random, uint64_t *ret_delay_ms)
{
	uint64_t told_ms = (uint64_t)c->retry_after_ms;

	if (told_ms >= c->left_ms)
		return false;
	uint64_t delay_ms = told_ms + retry_backoff_ms(1, random);
	*ret_delay_ms = delay_ms < c->left_ms ? delay_ms : told_ms;
	return true;
}

bool retry_decide(const struct retry_case *c, uint64_t *random, uint64_t *ret_delay_ms)
{
	if (c->tries >= RETRY_MAX_TRIES || !retry_is_transient(c->err, c->status))
		return false;
	if (c->mode == HTTP_RETRY_UNPROCESSED && retry_maybe_processed(c->err, c->sent, c->status))
		return false;
	if (!c->err && c->retry_after_ms >= 0)
		return delay_as_told(c, random, ret_delay_ms);

	uint64_t delay_ms = retry_backoff_ms(c->tries, random);
	if (delay_ms + RETRY_MIN_LEFT_MS >= c->left_ms)
		return false;
	*ret_delay_ms = delay_ms;
	return true;
}

/* curl_getdate knows the three forms of an HTTP-date, whatever the locale, but
 * also takes half a date; an HTTP-date always has a time of day. */
static int64_t date_after_ms(const char *value, size_t len, int64_t wall_ms)
{
	char text[64];

	if (len >= sizeof(text) || !memchr(value, ':', len) || memchr(value, '\0', len))
		return -1;
	memcpy(text, value, len);
	text[len] = '\0';

	time_t at_s = curl_getdate(text, NULL);
	if (at_s == -1)
		return -1;
	if (at_s <= wall_ms / 1000)
		return 0;
	if (at_s - wall_ms / 1000 > RETRY_AFTER_MAX_MS / 1000)
		return RETRY_AFTER_MAX_MS;
	int64_t after_ms = (int64_t)at_s * 1000 - wall_ms;
	return after_ms < RETRY_AFTER_MAX_MS ? after_ms : RETRY_AFTER_MAX_MS;
}

int64_t retry_after_parse(const char *value, size_t len, int64_t wall_ms)
{
	uint64_t seconds;
	int r = num_parse_u64(value, len, RETRY_AFTER_MAX_MS / 1000, &seconds);

	if (r == -ERANGE)
		return RETRY_AFTER_MAX_MS;
	if (r < 0)
		return date_after_ms(value, len, wall_ms);
	return (int64_t)seconds * 1000;
}
