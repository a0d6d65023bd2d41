/* SPDX-License-Identifier: MIT */
#include "http/probe.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http/curl_error.h"
#include "http/curl_memory.h"
#include "http/header.h"

#define TARGET "/v1/stacks"

DEFINE_CLEANUP(CURL, curl_easy_cleanup)

/* As strict as a try with a token is (curl_try.c): what fails there must fail
 * here too. */
static CURLcode set_options(CURL *easy, const struct curl_options *options, unsigned timeout_ms)
{
	const struct {
		CURLoption option;
		long value;
	} longs[] = {
		/* A dead name server must not hold up the end of it. */
		{ CURLOPT_QUICK_EXIT, 1 },
		{ CURLOPT_NOSIGNAL, 1 },
		{ CURLOPT_NOPROGRESS, 1 },
		{ CURLOPT_FOLLOWLOCATION, 0 },
		{ CURLOPT_SSL_VERIFYPEER, 1 },
		{ CURLOPT_SSL_VERIFYHOST, 2 },
		{ CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
		{ CURLOPT_NETRC, CURL_NETRC_IGNORED },
		{ CURLOPT_CERTINFO, 1 },
		{ CURLOPT_TIMEOUT_MS, (long)timeout_ms },
	};
	char url[sizeof(options->origin->url) + sizeof(TARGET)];
	const struct {
		CURLoption option;
		const char *value; /* NULL leaves libcurl's default */
	} texts[] = {
		{ CURLOPT_URL, url },
		{ CURLOPT_PROTOCOLS_STR, options->origin->scheme },
		{ CURLOPT_PROXY, options->origin->loopback ? "" : options->proxy },
		{ CURLOPT_CAINFO, options->cacert },
		{ CURLOPT_PROXY_CAINFO, options->cacert },
		{ CURLOPT_USERAGENT, "stacksfs/" STACKSFS_VERSION },
	};
	CURLcode code = CURLE_OK;

	snprintf(url, sizeof(url), "%s" TARGET, options->origin->url);
	for (size_t i = 0; code == CURLE_OK && i < ARRAY_SIZE(longs); i++)
		code = curl_easy_setopt(easy, longs[i].option, longs[i].value);
	for (size_t i = 0; code == CURLE_OK && i < ARRAY_SIZE(texts); i++)
		if (texts[i].value)
			code = curl_easy_setopt(easy, texts[i].option, texts[i].value);
	return code;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct http_probe *p = arg;
	const char *value;
	size_t len;
	char text[64];

	if (!header_value(line, size * n, "date", &value, &len) || len >= sizeof(text))
		return size * n;
	snprintf(text, sizeof(text), "%.*s", (int)len, value);
	time_t at = curl_getdate(text, NULL);
	if (at >= 0)
		p->date_ms = (int64_t)at * 1000;
	return size * n;
}

/* The body is of no interest; the end of the header is the end that is wanted. */
static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	return 0;
}

static CURLcode set_callbacks(CURL *easy, struct http_probe *p)
{
	CURLcode code = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);

	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_HEADERDATA, p);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	return code;
}

/* "Issuer:..." and "Expire date:..." of the first certificate, the server's own. */
static void take_certificate(CURL *easy, struct http_probe *p)
{
	static const char issuer[] = "Issuer:", expires[] = "Expire date:";
	struct curl_certinfo *info = NULL;

	if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &info) != CURLE_OK || !info ||
	    info->num_of_certs < 1)
		return;
	for (const struct curl_slist *s = info->certinfo[0]; s; s = s->next) {
		if (strncmp(s->data, issuer, strlen(issuer)) == 0)
			snprintf(p->issuer, sizeof(p->issuer), "%s", s->data + strlen(issuer));
		if (strncmp(s->data, expires, strlen(expires)) != 0)
			continue;
		time_t at = curl_getdate(s->data + strlen(expires), NULL);
		if (at >= 0)
			p->expires_ms = (int64_t)at * 1000;
	}
}

static void take_times(CURL *easy, struct http_probe *p)
{
	curl_off_t sent_us = 0, answered_us = 0;

	curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
	curl_easy_getinfo(easy, CURLINFO_STARTTRANSFER_TIME_T, &answered_us);
	p->took_ms = (uint64_t)answered_us / 1000;
	p->answer_ms = (uint64_t)(answered_us > sent_us ? answered_us - sent_us : 0) / 1000;
}

static int fail(CURL *easy, CURLcode code, const char *detail, const struct curl_options *options,
		struct http_probe *p)
{
	long os_errno = 0;
	const char *what;

	curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_errno);
	int r = curl_error_map((int)code, os_errno, detail, &what);
	snprintf(p->why, sizeof(p->why), "%s %s: %s", what, options->origin->host,
		 detail[0] ? detail : curl_easy_strerror(code));
	return r;
}

static int run(const struct curl_options *options, unsigned timeout_ms, struct http_probe *p)
{
	CLEANUP(curl_easy_cleanupp) CURL *easy = curl_easy_init();
	char detail[CURL_ERROR_SIZE] = "";
	long status = 0;

	if (!easy)
		return -ENOMEM;
	CURLcode code = set_options(easy, options, timeout_ms);
	if (code == CURLE_OK)
		code = set_callbacks(easy, p);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail);
	if (code == CURLE_OK)
		code = curl_easy_perform(easy);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && status >= 200))
		return fail(easy, code, detail, options, p);
	p->status = (int)status;
	take_certificate(easy, p);
	take_times(easy, p);
	return 0;
}

int http_probe(const struct curl_options *options, unsigned timeout_ms, struct http_probe *ret)
{
	struct http_probe p = { .date_ms = -1, .expires_ms = -1 };
	int r = curl_memory_global_init();

	if (r < 0)
		return r;
	r = run(options, timeout_ms, &p);
	curl_global_cleanup();
	*ret = p;
	return r;
}
