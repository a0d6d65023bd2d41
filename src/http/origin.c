/* SPDX-License-Identifier: MIT */
/* The parsing itself is libcurl's, so that what is checked here is what will
 * be connected to: two parsers that read one URL differently are how requests
 * end at another host. */
#include "http/origin.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

DEFINE_CLEANUP(CURLU, curl_url_cleanup)
DEFINE_CLEANUP(char, curl_free)

static const struct {
	const char *name;
	const char *url;
} regions[] = {
	{ "us", "https://api.integrator.io" },
	{ "eu", "https://api.eu.integrator.io" },
};

static const char *region_url(const char *source)
{
	for (size_t i = 0; i < ARRAY_SIZE(regions); i++) {
		if (strcmp(source, regions[i].name) == 0)
			return regions[i].url;
	}
	return source;
}

static int fail(int err, const char *why, const char **ret_why)
{
	*ret_why = why;
	return err;
}

/* libcurl forgives "https:/host" and "https:////host"; a typing error in the
 * address that gets the bearer token is better not guessed at. */
static int check_text(const char *source, const char **ret_why)
{
	const char *slashes = strstr(source, "://");

	if (!slashes || slashes[3] == '\0' || slashes[3] == '/')
		return fail(-EINVAL, "not us, eu or a URL like https://host", ret_why);
	if (strpbrk(source, "?#"))
		return fail(-EINVAL, "a query or fragment is not possible", ret_why);
	for (const char *c = source; *c; c++) {
		if (*c < 0x21 || *c > 0x7e)
			return fail(-EINVAL, "a character that no URL has", ret_why);
	}
	return 0;
}

static int check_parts(CURLU *url, const char **ret_why)
{
	static const CURLUPart unwanted[] = { CURLUPART_USER, CURLUPART_PASSWORD,
					      CURLUPART_OPTIONS };
	CLEANUP(curl_freep) char *zone = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(unwanted); i++) {
		CLEANUP(curl_freep) char *part = NULL;

		if (curl_url_get(url, unwanted[i], &part, 0) == CURLUE_OK)
			return fail(-EINVAL, "a user name or password is not possible", ret_why);
	}
	if (curl_url_get(url, CURLUPART_ZONEID, &zone, 0) == CURLUE_OK)
		return fail(-EINVAL, "an IPv6 zone is not possible", ret_why);
	return 0;
}

/* Copy a part; one that cannot be had or is too long for the field fails. */
static int get_part(CURLU *url, CURLUPart which, unsigned flags, char *ret, size_t size)
{
	CLEANUP(curl_freep) char *part = NULL;
	CURLUcode code = curl_url_get(url, which, &part, flags);

	if (code == CURLUE_OUT_OF_MEMORY)
		return -ENOMEM;
	if (code != CURLUE_OK)
		return -EINVAL;
	size_t len = strlen(part);
	if (len >= size)
		return -ENAMETOOLONG;
	memcpy(ret, part, len + 1);
	return 0;
}

static int get_scheme(CURLU *url, struct origin *o, const char **ret_why)
{
	int r = get_part(url, CURLUPART_SCHEME, 0, o->scheme, sizeof(o->scheme));

	if (r < 0 || (strcmp(o->scheme, "https") != 0 && strcmp(o->scheme, "http") != 0))
		return fail(r == -ENOMEM ? r : -EINVAL, "neither https nor http", ret_why);
	return 0;
}

static int get_host(CURLU *url, struct origin *o, const char **ret_why)
{
	int r = get_part(url, CURLUPART_HOST, 0, o->host, sizeof(o->host));

	if (r < 0)
		return fail(r, "no host name, or one that is too long", ret_why);
	size_t len = strlen(o->host);
	if (o->host[0] == '[' && len > 2) {
		memmove(o->host, o->host + 1, len - 2);
		o->host[len - 2] = '\0';
	}
	for (char *c = o->host; *c; c++) {
		/* libcurl has undone %XX in it */
		if (*c < 0x21 || *c > 0x7e)
			return fail(-EINVAL, "a host name must be ASCII", ret_why);
		*c = (char)tolower((unsigned char)*c);
	}
	return 0;
}

static int get_port(CURLU *url, struct origin *o, const char **ret_why)
{
	char text[16];
	uint64_t port;
	int r = get_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, text, sizeof(text));

	if (r == 0)
		r = num_parse_u64(text, strlen(text), 65535, &port);
	if (r < 0 || port == 0)
		return fail(r == -ENOMEM ? r : -EINVAL, "not a port number", ret_why);
	o->port = (unsigned)port;
	return 0;
}

static void trim_slashes(char *path)
{
	size_t len = strlen(path);

	while (len > 0 && path[len - 1] == '/')
		path[--len] = '\0';
}

/* Requests begin with /v1 themselves. */
static int get_base_path(CURLU *url, struct origin *o, const char **ret_why)
{
	int r = get_part(url, CURLUPART_PATH, 0, o->base_path, sizeof(o->base_path));

	if (r < 0)
		return fail(r, "the path is too long", ret_why);
	trim_slashes(o->base_path);
	size_t len = strlen(o->base_path);
	if (len >= 3 && strcmp(o->base_path + len - 3, "/v1") == 0)
		o->base_path[len - 3] = '\0';
	trim_slashes(o->base_path);
	return 0;
}

static bool is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (strcmp(host, "localhost") == 0)
		return true; /* libcurl resolves it without asking anybody */
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static int build_url(struct origin *o, const char **ret_why)
{
	bool v6 = strchr(o->host, ':') != NULL;
	bool usual = o->port == (strcmp(o->scheme, "https") == 0 ? 443 : 80);
	char port[16] = "";

	if (!usual)
		snprintf(port, sizeof(port), ":%u", o->port);
	int n = snprintf(o->url, sizeof(o->url), "%s://%s%s%s%s%s", o->scheme, v6 ? "[" : "",
			 o->host, v6 ? "]" : "", port, o->base_path);
	if (n < 0 || (size_t)n >= sizeof(o->url))
		return fail(-ENAMETOOLONG, "the URL is too long", ret_why);
	return 0;
}

static int read_url(CURLU *url, struct origin *o, const char **ret_why)
{
	static int (*const steps[])(CURLU *url, struct origin *o, const char **ret_why) = {
		get_scheme, get_host, get_port, get_base_path,
	};
	int r = check_parts(url, ret_why);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
		r = steps[i](url, o, ret_why);
	if (r < 0)
		return r;
	o->loopback = is_loopback(o->host);
	if (!o->loopback && strcmp(o->scheme, "http") == 0)
		return fail(-EACCES, "http is for loopback addresses only: use https", ret_why);
	return build_url(o, ret_why);
}

int origin_parse(const char *source, struct origin *ret, const char **ret_why)
{
	const char *text = region_url(source);
	int r = check_text(text, ret_why);

	if (r < 0)
		return r;
	CLEANUP(curl_url_cleanupp) CURLU *url = curl_url();
	if (!url)
		return fail(-ENOMEM, "out of memory", ret_why);
	CURLUcode code = curl_url_set(url, CURLUPART_URL, text, 0);
	if (code == CURLUE_OUT_OF_MEMORY)
		return fail(-ENOMEM, "out of memory", ret_why);
	if (code == CURLUE_UNSUPPORTED_SCHEME)
		return fail(-EINVAL, "neither https nor http", ret_why);
	if (code != CURLUE_OK)
		return fail(-EINVAL, "not a valid URL", ret_why);

	struct origin o = { 0 };
	r = read_url(url, &o, ret_why);
	if (r == 0)
		*ret = o;
	return r;
}
