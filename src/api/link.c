/* SPDX-License-Identifier: MIT */
/* The field is read strictly: what cannot be read could have been the link to
 * the next page, and a list is whole or an error. */
#include "api/link.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LIST_PATH "/v1/stacks"
#define MAX_URL   (2 * LINK_MAX_TARGET) /* with the scheme, host and base that are taken off */

/* A piece of the field; never NULL. */
struct span {
	const char *s;
	size_t len;
};

static struct span span_of(const char *from, const char *to)
{
	return (struct span){ from, (size_t)(to - from) };
}

static bool span_is(struct span a, const char *word)
{
	return a.len == strlen(word) && strncasecmp(a.s, word, a.len) == 0;
}

/* ---- the field: RFC 8288, section 3 ---- */

static void skip_space(const char **at)
{
	while (**at == ' ' || **at == '\t')
		(*at)++;
}

/* token = 1*tchar (RFC 9110, 5.6.2) */
static struct span take_token(const char **at)
{
	const char *from = *at;

	while (isalnum((unsigned char)**at) || (**at && strchr("!#$%&'*+-.^_`|~", **at)))
		(*at)++;
	return span_of(from, *at);
}

/* *at is at the first quote.  What is between the quotes, escapes as they are:
 * no relation that we know has a character that needs one. */
static int take_quoted(const char **at, struct span *ret)
{
	const char *from = ++*at;

	for (; **at != '"'; (*at)++) {
		if (**at == '\\' && (*at)[1])
			(*at)++;
		if (**at == '\0')
			return -EBADMSG;
	}
	*ret = span_of(from, *at);
	(*at)++;
	return 0;
}

/* *at is behind the ';'. */
static int take_parameter(const char **at, struct span *ret_name, struct span *ret_value)
{
	skip_space(at);
	*ret_name = take_token(at);
	*ret_value = span_of(*at, *at);
	skip_space(at);
	if (**at != '=')
		return 0;
	(*at)++;
	skip_space(at);
	if (**at == '"')
		return take_quoted(at, ret_value);
	*ret_value = take_token(at);
	return ret_value->len > 0 && ret_name->len > 0 ? 0 : -EBADMSG;
}

/* One link: "<target>; parameters".  Of several rel the first counts. */
static int take_link(const char **at, struct span *ret_target, struct span *ret_rel)
{
	struct span name, value;

	if (**at != '<')
		return -EBADMSG;
	const char *from = ++*at;
	const char *to = strchr(from, '>');
	if (!to)
		return -EBADMSG;
	*ret_target = span_of(from, to);
	*ret_rel = (struct span){ "", 0 };
	bool has_rel = false;

	for (*at = to + 1, skip_space(at); **at == ';'; skip_space(at)) {
		(*at)++;
		int r = take_parameter(at, &name, &value);
		if (r < 0)
			return r;
		if (!has_rel && span_is(name, "rel")) {
			*ret_rel = value;
			has_rel = true;
		}
	}
	return **at == '\0' || **at == ',' ? 0 : -EBADMSG;
}

static bool has_relation(struct span rel, const char *word)
{
	const char *end = rel.s + rel.len;

	for (const char *at = rel.s; at < end;) {
		const char *from = at;

		while (at < end && *at != ' ' && *at != '\t')
			at++;
		if (span_is(span_of(from, at), word))
			return true;
		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
	}
	return false;
}

static int find_next(const char *field, struct span *ret_target)
{
	const char *at = field;

	for (;;) {
		struct span target, rel;

		while (*at == ' ' || *at == '\t' || *at == ',')
			at++; /* a list may have empty elements (RFC 9110, 5.6.1) */
		if (*at == '\0')
			return -ENOENT;
		int r = take_link(&at, &target, &rel);
		if (r < 0)
			return r;
		if (has_relation(rel, "next")) {
			*ret_target = target;
			return 0;
		}
	}
}

/* ---- the target: RFC 3986 ---- */

/* The byte that the three characters "%XX" at s stand for, or -1. */
static int percent_value(const char *s)
{
	int value = 0;

	for (int i = 1; i < 3; i++) {
		unsigned char c = (unsigned char)s[i];

		if (!isxdigit(c))
			return -1; /* the end of the string too */
		value = value << 4 | (isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return value;
}

static bool has_url_bytes_only(const char *url)
{
	for (; *url; url++) {
		if (*url == '%' && percent_value(url) < 0)
			return false;
		if (!isalnum((unsigned char)*url) && !strchr("-._~:/?#[]@!$&'()*+,;=%", *url))
			return false;
	}
	return true;
}

/* Take scheme and host off: who is asked is not the server's choice. */
static int drop_host(const char *url, const char **ret)
{
	size_t colon = strcspn(url, ":/?");
	bool has_scheme = url[colon] == ':';

	if (has_scheme) {
		struct span scheme = { url, colon };

		if (!span_is(scheme, "https") && !span_is(scheme, "http"))
			return -EBADMSG;
		url += colon + 1;
	}
	if (strncmp(url, "//", 2) != 0) {
		*ret = url;
		return has_scheme ? -EBADMSG : 0;
	}
	*ret = url + 2 + strcspn(url + 2, "/?");
	return **ret == '/' ? 0 : -EBADMSG;
}

/* Make what drop_host left into an absolute path and query below the origin's
 * base.  What is relative is relative to the list. */
static int resolve(const char *rest, const char *base_path, char *out, size_t size)
{
	size_t base = strlen(base_path);
	const char *head = "";

	if (*rest == '?' || *rest == '\0')
		head = LIST_PATH;
	else if (*rest != '/')
		head = "/v1/";
	else if (strncmp(rest, base_path, base) == 0 && rest[base] == '/')
		rest += base;
	int n = snprintf(out, size, "%s%s", head, rest);
	return n >= 0 && (size_t)n < size ? 0 : -EMSGSIZE;
}

/* How the segment of len bytes at s reads when "%2e" is a dot. */
static bool is_dot_segment(const char *s, size_t len)
{
	unsigned dots = 0;

	for (const char *end = s + len; s < end; dots++) {
		if (*s == '.')
			s++;
		else if (*s == '%' && percent_value(s) == '.')
			s += 3;
		else
			return false;
	}
	return dots == 1 || dots == 2;
}

/* Below the list, without a dot segment, and without a slash or a NUL in
 * disguise: what is judged here must be what the server, or a proxy before it,
 * makes of the path. */
static bool is_path_allowed(const char *target)
{
	size_t root = strlen(LIST_PATH), len = strcspn(target, "?");

	if (strncmp(target, LIST_PATH, root) != 0 || (len != root && target[root] != '/'))
		return false;
	for (const char *at = target; at < target + len; at++) {
		int c = *at == '%' ? percent_value(at) : 'x';

		if (c == '/' || c == '\\' || c == '\0')
			return false;
		/* Some servers cut a segment's ";parameters" off first. */
		if (*at == '/' && is_dot_segment(at + 1, strcspn(at + 1, "/?;")))
			return false;
	}
	return true;
}

int link_next(const char *field, const char *base_path, char *out, size_t size)
{
	char url[MAX_URL + 1], target[MAX_URL + sizeof(LIST_PATH)];
	struct span found;
	const char *rest;
	int r = find_next(field, &found);

	if (r < 0)
		return r;
	if (found.len > MAX_URL)
		return -EMSGSIZE;
	memcpy(url, found.s, found.len);
	url[found.len] = '\0';
	if (!has_url_bytes_only(url))
		return -EBADMSG;
	url[strcspn(url, "#")] = '\0';
	r = drop_host(url, &rest);
	if (r == 0)
		r = resolve(rest, base_path, target, sizeof(target));
	if (r < 0)
		return r;
	if (!is_path_allowed(target))
		return -EBADMSG;
	size_t len = strlen(target);
	if (len >= size)
		return -EMSGSIZE;
	memcpy(out, target, len + 1);
	return 0;
}
