/* SPDX-License-Identifier: MIT */
#include "http/header.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "http/retry.h"

bool header_is_visible(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] < 0x21 || s[i] > 0x7e)
			return false;
	}
	return len > 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool header_value(const char *line, size_t len, const char *name, const char **ret,
		  size_t *ret_len)
{
	size_t at = strlen(name);

	if (len <= at || line[at] != ':' || strncasecmp(line, name, at) != 0)
		return false;
	at++;
	while (at < len && is_space(line[at]))
		at++;
	while (len > at && is_space(line[len - 1]))
		len--;
	*ret = line + at;
	*ret_len = len - at;
	return true;
}

bool header_is_etag(const char *value, size_t len)
{
	if (len >= 2 && memcmp(value, "W/", 2) == 0) {
		value += 2;
		len -= 2;
	}
	if (len < 2 || value[0] != '"' || value[len - 1] != '"')
		return false;
	for (size_t i = 1; i < len - 1; i++) {
		unsigned char c = (unsigned char)value[i];

		if (c <= 0x20 || c == '"' || c == 0x7f)
			return false;
	}
	return true;
}

/* One that is no ETag, is too long or comes twice is as good as none: it only
 * saves work when it can be trusted. */
static int take_etag(struct transport_answer *answer, const char *value, size_t len,
		     int64_t wall_ms)
{
	bool again = answer->etag[0] != '\0';

	answer->etag[0] = '\0';
	if (again || len >= sizeof(answer->etag) || !header_is_etag(value, len))
		return 0;
	memcpy(answer->etag, value, len);
	answer->etag[len] = '\0';
	return 0;
}

/* A Link that cannot be kept whole is an error, not a missing next page. */
static int take_link(struct transport_answer *answer, const char *value, size_t len,
		     int64_t wall_ms)
{
	if (memchr(value, '\0', len))
		return -EIO;
	int r = answer->link.len ? buf_puts(&answer->link, ", ") : 0;
	return r < 0 ? r : buf_append(&answer->link, value, len);
}

static int take_retry_after(struct transport_answer *answer, const char *value, size_t len,
			    int64_t wall_ms)
{
	answer->retry_after_ms = retry_after_parse(value, len, wall_ms);
	return 0;
}

/* libcurl undoes every coding that it was built with, asked for or not, and
 * chains of them; only the one decoder that was asked for shall see data. */
static int take_content_encoding(struct transport_answer *answer, const char *value, size_t len,
				 int64_t wall_ms)
{
	static const char *const known[] = { "gzip", "x-gzip", "identity" };
	bool again = answer->coded;

	answer->coded = true;
	for (size_t i = 0; !again && i < ARRAY_SIZE(known); i++) {
		if (len == strlen(known[i]) && strncasecmp(value, known[i], len) == 0)
			return 0;
	}
	return -EIO;
}

static const struct {
	const char *name;
	int (*take)(struct transport_answer *answer, const char *value, size_t len,
		    int64_t wall_ms);
} fields[] = {
	{ "etag", take_etag },
	{ "link", take_link },
	{ "retry-after", take_retry_after },
	{ "content-encoding", take_content_encoding },
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A field that goes on, which libcurl gives as a line of its own: RFC 9112, 5.2.  Of those
 * that are of use here only a Link is so long, and half of one would be half a list. */
static int go_on(struct transport_answer *answer, const char *line, size_t len)
{
	if (!answer->in_link)
		return 0;
	while (len > 0 && is_blank(*line)) {
		line++;
		len--;
	}
	while (len > 0 && is_blank(line[len - 1]))
		len--;
	if (memchr(line, '\0', len))
		return -EIO;
	int r = buf_puts(&answer->link, " ");
	return r < 0 ? r : buf_append(&answer->link, line, len);
}

int header_take(struct transport_answer *answer, const char *line, size_t len, int64_t wall_ms)
{
	if (len > 0 && (line[0] == ' ' || line[0] == '\t'))
		return go_on(answer, line, len);
	answer->in_link = false;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const char *value;
		size_t value_len;

		if (!header_value(line, len, fields[i].name, &value, &value_len))
			continue;
		answer->in_link = fields[i].take == take_link;
		return fields[i].take(answer, value, value_len, wall_ms);
	}
	return 0;
}

void header_reset(struct transport_answer *answer)
{
	answer->etag[0] = '\0';
	answer->retry_after_ms = -1;
	answer->coded = false;
	answer->in_link = false;
	buf_done(&answer->link);
}
