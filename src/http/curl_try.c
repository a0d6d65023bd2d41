/* SPDX-License-Identifier: MIT */
/* Every option that keeps the token, or the http thread, safe is set here and
 * stated even where it is libcurl's default.  What only the environment can
 * switch on is main's to remove: SSLKEYLOGFILE. */
#include "http/curl_try.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/num.h"
#include "http/curl_error.h"
#include "http/header.h"
#include "http/http.h"

#define ERROR_BODY_BYTES (64 * 1024) /* kept of an answer that is no 2xx */
#define CONNECT_TIMEOUT_MS 10000u
#define CHANGE_IDLE_S 20 /* since a connection was used, for it to carry a change */
#define UNACKED_TIMEOUT_MS 10000u /* what was sent and not acknowledged until then ends a connection */
#define LATE_MS 2000 /* libcurl counts a connection's age in whole seconds */
#define CODING_SLACK_BYTES (64 * 1024) /* by which gzip may be larger than what it holds */

static const char *const method_names[] = {
	[HTTP_GET] = "GET",
	[HTTP_PUT] = "PUT",
	[HTTP_POST] = "POST",
	[HTTP_DELETE] = "DELETE",
};

int curl_try_new(struct transport_try **ret)
{
	CLEANUP(curl_try_freep) struct transport_try *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->easy = curl_easy_init();
	if (!t->easy)
		return -ENOMEM;
	*ret = TAKE_PTR(t);
	return 0;
}

void curl_try_reset(struct transport_try *t)
{
	if (t->easy)
		curl_easy_reset(t->easy);
	curl_slist_free_all(t->headers); /* wiped: curl_memory.c */
	t->headers = NULL;
	buf_done(&t->answer.link);
	buf_wipe(&t->answer.body); /* may be a system token */
	memset(&t->answer, 0, sizeof(t->answer));
	memset(&t->request, 0, sizeof(t->request));
	t->error[0] = '\0';
	t->begun = 0;
	t->header_bytes = 0;
	t->announced_bytes = 0;
	t->status = 0;
	t->refused = 0;
	t->cut = false;
}

void curl_try_free(struct transport_try *t)
{
	if (!t)
		return;
	curl_try_reset(t);
	if (t->easy)
		curl_easy_cleanup(t->easy);
	free(t);
}

/* ---- what goes out ---- */

static int from_code(CURLcode code)
{
	if (code == CURLE_OK)
		return 0;
	return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

struct long_option {
	CURLoption option;
	long value;
};

static int set_longs(CURL *easy, const struct long_option *options, size_t n)
{
	CURLcode code = CURLE_OK;

	for (size_t i = 0; code == CURLE_OK && i < n; i++)
		code = curl_easy_setopt(easy, options[i].option, options[i].value);
	return from_code(code);
}

/* A pointer option; NULL leaves libcurl's default. */
static int set_pointer(CURL *easy, CURLoption option, const void *value)
{
	return value ? from_code(curl_easy_setopt(easy, option, value)) : 0;
}

static int set_fixed(struct transport_try *t)
{
	static const struct long_option fixed[] = {
		/* Without it a dead name server stops perform itself. */
		{ CURLOPT_QUICK_EXIT, 1 },
		{ CURLOPT_NOSIGNAL, 1 },
		{ CURLOPT_NOPROGRESS, 1 },
		{ CURLOPT_FOLLOWLOCATION, 0 },
		{ CURLOPT_PATH_AS_IS, 1 },
		{ CURLOPT_SSL_VERIFYPEER, 1 },
		{ CURLOPT_SSL_VERIFYHOST, 2 },
		{ CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
		{ CURLOPT_NETRC, CURL_NETRC_IGNORED },
		{ CURLOPT_TCP_KEEPALIVE, 1 },
		{ CURLOPT_SUPPRESS_CONNECT_HEADERS, 1 },
		/* The token is among the headers: none of them is a proxy's. */
		{ CURLOPT_HEADEROPT, CURLHEADER_SEPARATE },
	};

	return set_longs(t->easy, fixed, ARRAY_SIZE(fixed));
}

/* TLS tells at once whether a connection can be shared, so a try may wait for
 * that.  Without TLS it would wait for the first answer of all, which may take
 * as long as a list does. */
static int set_version(struct transport_try *t)
{
	bool tls = strcmp(t->setup->origin.scheme, "https") == 0;
	const struct long_option options[] = {
		{ CURLOPT_HTTP_VERSION, tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1 },
		{ CURLOPT_PIPEWAIT, tls },
	};

	return set_longs(t->easy, options, ARRAY_SIZE(options));
}

/* A third for connecting and, where asking again does no harm, half for a
 * silence: so a dead address or a stalled server leaves time for another try. */
static int set_deadlines(struct transport_try *t)
{
	unsigned timeout_ms = t->request.timeout_ms ? t->request.timeout_ms : 1;
	unsigned connect_ms = timeout_ms / 3 + 1;
	bool repeatable = t->request.method == HTTP_GET;
	const struct long_option options[] = {
		{ CURLOPT_TIMEOUT_MS, (long)timeout_ms },
		{ CURLOPT_CONNECTTIMEOUT_MS,
		  connect_ms < CONNECT_TIMEOUT_MS ? (long)connect_ms : (long)CONNECT_TIMEOUT_MS },
		{ CURLOPT_LOW_SPEED_LIMIT, 1 },
		{ CURLOPT_LOW_SPEED_TIME, repeatable ? (long)(timeout_ms / 2 + 999) / 1000 : 0 },
	};

	return set_longs(t->easy, options, ARRAY_SIZE(options));
}

static bool has_body(const struct transport_request *request)
{
	return request->method == HTTP_PUT || request->method == HTTP_POST;
}

static int set_body(struct transport_try *t)
{
	const struct transport_request *request = &t->request;
	int r = from_code(curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE,
					   (curl_off_t)request->body_len));

	return r < 0 ? r
		     : set_pointer(t->easy, CURLOPT_POSTFIELDS,
				   request->body_len ? request->body : "");
}

/* Called ahead of each request that libcurl is about to write to the server, be it
 * through a proxy.
 *
 * libcurl sends a request again, without a word, when a connection that was used
 * before is closed ahead of the first byte of the answer, even after the server
 * has read all of it.  What changes something is stopped there, and whoever has
 * begun it reads what became of it. */
static int before_request(void *arg, char *ip, char *own_ip, int port, int own_port)
{
	struct transport_try *t = arg;

	t->begun++;
	return t->begun == 1 || t->request.method == HTTP_GET ? CURL_PREREQFUNC_OK
							      : CURL_PREREQFUNC_ABORT;
}

/* What changes something rather takes no connection that may have died in silence; a
 * POST, for which that means a whole list, only a new one.  libcurl does not only pass
 * over what is older, it closes it, and with the name server away there may be no
 * other: not for what takes a new one anyway. */
static int set_age(struct transport_try *t)
{
	if (t->request.method == HTTP_GET || t->request.fresh_connection)
		return 0;
	return from_code(curl_easy_setopt(t->easy, CURLOPT_MAXAGE_CONN, (long)CHANGE_IDLE_S));
}

/* CUSTOMREQUEST and POST, not UPLOAD: that would wait for a 100. */
static int set_method(struct transport_try *t)
{
	const struct transport_request *request = &t->request;
	const struct long_option options[] = {
		{ CURLOPT_FRESH_CONNECT, request->fresh_connection },
		{ CURLOPT_MAXLIFETIME_CONN, t->setup->max_connection_s },
		{ has_body(request) ? CURLOPT_POST : CURLOPT_HTTPGET, 1 },
	};
	int r = set_longs(t->easy, options, ARRAY_SIZE(options));

	if (r == 0)
		r = set_pointer(t->easy, CURLOPT_CUSTOMREQUEST, method_names[request->method]);
	return r < 0 || !has_body(request) ? r : set_body(t);
}

static int set_url(struct transport_try *t)
{
	char url[sizeof(t->setup->origin.url) + HTTP_MAX_TARGET_BYTES + 1];
	int n = snprintf(url, sizeof(url), "%s%s", t->setup->origin.url, t->request.target);

	/* The slash ends the authority, so no target can name another host. */
	if (n < 0 || (size_t)n >= sizeof(url) || t->request.target[0] != '/')
		return -EINVAL;
	return set_pointer(t->easy, CURLOPT_URL, url);
}

static int set_route(struct transport_try *t)
{
	const struct curl_setup *setup = t->setup;
	const struct {
		CURLoption option;
		const char *value;
	} options[] = {
		{ CURLOPT_PROTOCOLS_STR, setup->origin.scheme },
		{ CURLOPT_PROXY, setup->origin.loopback ? "" : setup->proxy },
		{ CURLOPT_CAINFO, setup->cacert },
		{ CURLOPT_PROXY_CAINFO, setup->cacert },
		{ CURLOPT_ACCEPT_ENCODING, "gzip" }, /* one decoder, not all of them */
		{ CURLOPT_USERAGENT, "stacksfs/" STACKSFS_VERSION },
	};
	int r = set_url(t);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(options); i++)
		r = set_pointer(t->easy, options[i].option, options[i].value);
	return r;
}

static int add_line(struct transport_try *t, const char *line)
{
	struct curl_slist *list = curl_slist_append(t->headers, line);

	if (!list)
		return -ENOMEM;
	t->headers = list;
	return 0;
}

/* libcurl puts it into a header line as it is.  Not by CURLOPT_XOAUTH2_BEARER:
 * of that each connection keeps a copy for as long as it lives. */
static int set_token(struct transport_try *t)
{
	const struct secret *token = t->request.token;
	CLEANUP(buf_wipe) struct buf line = BUF_INIT(SECRET_MAX_BYTES + 64);

	if (!token || !header_is_visible(secret_bytes(token), secret_len(token)))
		return -EINVAL;
	int r = buf_puts(&line, "Authorization: Bearer ");
	if (r == 0)
		r = buf_append(&line, secret_bytes(token), secret_len(token));
	return r < 0 ? r : add_line(t, line.data);
}

static int add_header(struct transport_try *t, const char *name, const char *value)
{
	char line[sizeof(t->answer.etag) + 32];
	int n = snprintf(line, sizeof(line), "%s:%s%s", name, value[0] ? " " : "", value);

	if (n < 0 || (size_t)n >= sizeof(line))
		return -EINVAL;
	return add_line(t, line);
}

static int set_headers(struct transport_try *t)
{
	const struct transport_request *request = &t->request;
	const struct {
		const char *name;
		const char *value; /* NULL: not sent by us; "": not sent by libcurl either */
	} fields[] = {
		{ "Accept", "application/json" },
		{ "Expect", "" },
		{ "Content-Type", has_body(request) ? "application/json" : NULL },
		{ "If-None-Match", request->if_none_match },
		{ "If-Match", request->if_match },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		int r = fields[i].value ? add_header(t, fields[i].name, fields[i].value) : 0;

		if (r < 0)
			return r;
	}
	return set_pointer(t->easy, CURLOPT_HTTPHEADER, t->headers);
}

/* ---- what comes in ---- */

static bool is_success(long status)
{
	return status >= 200 && status < 300;
}

static int end_of_header(struct transport_try *t)
{
	long status = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200)
		return 0; /* another header follows */
	t->status = status;
	t->answer.body.max_bytes =
		is_success(status) ? t->request.max_body_bytes : ERROR_BODY_BYTES;
	if (is_success(status) && t->announced_bytes > CODING_SLACK_BYTES &&
	    t->announced_bytes - CODING_SLACK_BYTES > t->request.max_body_bytes)
		return -EMSGSIZE;
	return 0;
}

static void take_length(struct transport_try *t, const char *line, size_t len)
{
	const char *value;
	size_t value_len;

	if (!header_value(line, len, "content-length", &value, &value_len))
		return;
	int r = num_parse_u64(value, value_len, UINT64_MAX, &t->announced_bytes);
	if (r == -ERANGE)
		t->announced_bytes = UINT64_MAX;
}

static int take_line(struct transport_try *t, const char *line, size_t len)
{
	t->header_bytes += len;
	if (t->header_bytes > HEADER_MAX_BYTES)
		return -EMSGSIZE;
	if (t->status)
		return 0; /* a trailer; nothing in it is trusted to speak for the header */
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		header_reset(&t->answer);
		t->announced_bytes = 0;
		return 0;
	}
	if (line[0] == '\r' || line[0] == '\n')
		return end_of_header(t);
	take_length(t, line, len);
	return header_take(&t->answer, line, len, clock_wall_ms(&clock_system));
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct transport_try *t = arg;
	size_t len = size * n;

	if (len == 0)
		return 0;
	t->refused = take_line(t, line, len);
	return t->refused ? 0 : len; /* less than len stops the transfer */
}

/* The bound counts decoded bytes: here is the only place where they are seen
 * before they are kept. */
static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct transport_try *t = arg;
	struct buf *body = &t->answer.body;
	size_t len = size * n;
	size_t room = body->max_bytes - body->len;

	t->cut = !is_success(t->status) && len > room;
	int r = buf_append(body, bytes, t->cut ? room : len);
	if (r < 0)
		t->refused = r;
	return t->cut || r < 0 ? 0 : len;
}

/* libcurl's own way leaves it open to programs that are started: fusermount3.
 *
 * Where the way to a server is gone without a word (another network, a VPN, a firewall that has
 * forgotten), the kernel would send for a quarter of an hour, and all streams would stay on that
 * connection: tcp(7), TCP_USER_TIMEOUT. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	const unsigned timeout_ms = UNACKED_TIMEOUT_MS;
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	if (fd >= 0)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
	return fd;
}

static int set_callbacks(struct transport_try *t)
{
	int r = set_pointer(t->easy, CURLOPT_PRIVATE, t);

	if (r == 0)
		r = set_pointer(t->easy, CURLOPT_ERRORBUFFER, t->error);
	if (r == 0)
		r = set_pointer(t->easy, CURLOPT_HEADERDATA, t);
	if (r == 0)
		r = set_pointer(t->easy, CURLOPT_WRITEDATA, t);
	if (r == 0)
		r = set_pointer(t->easy, CURLOPT_PREREQDATA, t);
	if (r == 0)
		r = from_code(curl_easy_setopt(t->easy, CURLOPT_PREREQFUNCTION, before_request));
	if (r == 0)
		r = from_code(curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket));
	if (r == 0)
		r = from_code(curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header));
	if (r == 0)
		r = from_code(curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body));
	return r;
}

int curl_try_setup(struct transport_try *t, const struct curl_setup *setup,
		   const struct transport_request *request)
{
	static int (*const steps[])(struct transport_try *t) = {
		set_fixed, set_version, set_deadlines, set_method,    set_age,
		set_route, set_token,	set_headers,   set_callbacks,
	};
	int r = 0;

	t->setup = setup;
	t->request = *request;
	t->began_ms = clock_read_ms(CLOCK_MONOTONIC);
	t->answer.retry_after_ms = -1;
	t->answer.link.max_bytes = HEADER_MAX_LINK_BYTES;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
		r = steps[i](t);
	return r;
}

/* ---- how it ended ---- */

/* Whether a byte may have reached the server; in doubt yes.  Not by libcurl's own
 * figures: they count what a proxy is asked for the way, too. */
static bool was_sent(const struct transport_try *t)
{
	return t->begun > 0;
}

bool curl_try_is_late(const struct transport_try *t)
{
	return clock_read_ms(CLOCK_MONOTONIC) - t->began_ms >= LATE_MS && was_sent(t);
}

static const char *refusal_name(int err)
{
	switch (err) {
	case -EMSGSIZE:
		return "answer too large from";
	case -ENOMEM:
		return "out of memory while asking";
	}
	return "broken answer from";
}

/* Time may be over while a try waits to share the connection that another is opening
 * (CURLOPT_PIPEWAIT).  libcurl finds that when it turns to the name, and says so. */
static const char *detail_of(const struct transport_try *t, CURLcode code)
{
	static const char begin[] = "Failed to resolve host";

	if (code == CURLE_OPERATION_TIMEDOUT && strncmp(t->error, begin, strlen(begin)) == 0)
		return "no connection came about";
	return t->error[0] ? t->error : curl_easy_strerror(code);
}

static void conclude_failure(struct transport_try *t, CURLcode code)
{
	struct transport_answer *answer = &t->answer;
	const char *what = refusal_name(t->refused);
	const char *detail = detail_of(t, code);
	bool ours = t->refused || code == CURLE_ABORTED_BY_CALLBACK;
	long os_errno = 0;

	curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os_errno);
	answer->err = t->refused;
	if (!answer->err)
		answer->err = curl_error_map(code, os_errno, t->error, &what);
	snprintf(answer->why, sizeof(answer->why), "%s %s%s%s", what, t->setup->place,
		 ours ? "" : ": ", ours ? "" : detail);
}

void curl_try_conclude(struct transport_try *t, CURLcode code)
{
	struct transport_answer *answer = &t->answer;

	answer->sent = was_sent(t);
	if (code != CURLE_OK && !t->cut) {
		conclude_failure(t, code);
		return;
	}
	if (t->status < 200 || t->status > 599) {
		answer->err = -EIO;
		snprintf(answer->why, sizeof(answer->why), "no HTTP status from %s",
			 t->setup->place);
		return;
	}
	answer->status = (int)t->status;
}
