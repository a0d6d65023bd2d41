/* SPDX-License-Identifier: MIT */
/* The real transport against a server that misbehaves: what goes out, what is
 * believed of what comes in, and how each failure ends. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/log.h"
#include "http_client.h"
#include "raw_server.h"

#define BOUND 1000 /* max_body_bytes of most calls here */

/* ---- servers ---- */

static enum raw_then say(void *arg, const struct raw_request *request)
{
	raw_puts(request->fd, arg);
	return RAW_KEEP;
}

static enum raw_then say_and_close(void *arg, const struct raw_request *request)
{
	raw_puts(request->fd, arg);
	return RAW_CLOSE;
}

static enum raw_then say_and_reset(void *arg, const struct raw_request *request)
{
	raw_puts(request->fd, arg);
	return RAW_RESET;
}

static enum raw_then say_and_wait(void *arg, const struct raw_request *request)
{
	raw_puts(request->fd, arg);
	raw_wait_end(request);
	return RAW_CLOSE;
}

static enum raw_then say_close_after_first(void *arg, const struct raw_request *request)
{
	if (request->total > 1)
		return RAW_CLOSE;
	raw_puts(request->fd, arg);
	return RAW_KEEP;
}

/* One GET of at most BOUND bytes against a server that answers so. */
static void get_from(raw_answer_fn *answer, const void *arg, struct reply *ret)
{
	struct raw_server *server = raw_server_new(answer, arg);
	struct http *http = client_new_port(raw_server_port(server));
	struct http_spec spec = client_get("/v1/stacks", BOUND);

	client_call(http, &spec, ret);
	assert_int_equal(ret->times, 1);
	http_free(http);
	raw_server_free(server);
}

static void assert_get(raw_answer_fn *answer, const void *arg, int err, int status)
{
	struct reply reply;

	get_from(answer, arg, &reply);
	if (reply.err != err)
		print_error("%.60s: %d %s\n", (const char *)arg, reply.err, reply.why);
	assert_int_equal(reply.err, err);
	assert_int_equal(reply.status, status);
	assert_int_equal(reply.why[0] != '\0', err != 0);
	reply_free(&reply);
}

/* ---- what goes out ---- */

/* The requests that a server at a base path gets for spec, to be freed. */
static char *request_of(const struct http_spec *spec)
{
	struct raw_server *server =
		raw_server_new(say, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	char url[64];
	struct reply reply;

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/base/", raw_server_port(server));
	struct http *http = client_new(url, NULL);
	client_call(http, spec, &reply);
	assert_int_equal(reply.err, 0);
	reply_free(&reply);
	http_free(http);
	char *log = raw_server_log(server);
	raw_server_free(server);
	return log;
}

static void assert_has(const char *text, const char *part)
{
	if (!strcasestr(text, part))
		print_error("no \"%s\" in:\n%s\n", part, text);
	assert_non_null(strcasestr(text, part));
}

static void test_get_request(void **state)
{
	struct http_spec spec = client_get("/v1/stacks/a/../%2e%2e/b?limit=1", BOUND);

	spec.if_none_match = "W/\"1\"";
	char *request = request_of(&spec);
	assert_has(request, "GET /base/v1/stacks/a/../%2e%2e/b?limit=1 HTTP/1.1\r\n");
	assert_has(request, "\r\nAuthorization: Bearer " CLIENT_TOKEN "\r\n");
	assert_has(request, "\r\nAccept: application/json\r\n");
	assert_has(request, "\r\nAccept-Encoding: gzip\r\n");
	assert_has(request, "\r\nUser-Agent: stacksfs/" STACKSFS_VERSION "\r\n");
	assert_has(request, "\r\nIf-None-Match: W/\"1\"\r\n");
	assert_null(strcasestr(request, "If-Match"));
	assert_null(strcasestr(request, "Content-Type"));
	assert_null(strcasestr(request, "Expect"));
	assert_null(strcasestr(request, "Cookie"));
	free(request);
}

static void test_put_request(void **state)
{
	struct http_spec spec = client_put("{\"a\":\"\\u0000\"}", 14);

	spec.if_match = "\"7\"";
	char *request = request_of(&spec);
	assert_has(request, "PUT /base/v1/stacks/1 HTTP/1.1\r\n");
	assert_has(request, "\r\nContent-Type: application/json\r\n");
	assert_has(request, "\r\nContent-Length: 14\r\n");
	assert_has(request, "\r\nIf-Match: \"7\"\r\n");
	assert_has(request, "\r\n\r\n{\"a\":\"\\u0000\"}");
	assert_null(strcasestr(request, "Expect"));
	free(request);
}

static void test_methods(void **state)
{
	struct http_spec spec = client_put("x", 1);

	spec.method = HTTP_POST;
	char *request = request_of(&spec);
	assert_int_equal(strncmp(request, "POST /base/v1/stacks/1 HTTP/1.1\r\n", 33), 0);
	free(request);

	spec = client_get("/v1/x", BOUND);
	spec.method = HTTP_DELETE;
	request = request_of(&spec);
	assert_int_equal(strncmp(request, "DELETE /base/v1/x HTTP/1.1\r\n", 28), 0);
	assert_null(strcasestr(request, "Content-Length"));
	free(request);
}

/* libcurl would wait a second for "100 Continue" with a body of this size. */
static void test_large_body_is_not_held_back(void **state)
{
	size_t len = 2 * 1024 * 1024;
	char *body = malloc(len);

	assert_non_null(body);
	memset(body, 'x', len);
	struct http_spec spec = client_put(body, len);
	char *request = request_of(&spec);
	assert_null(strcasestr(request, "Expect"));
	assert_in_range(strlen(request), len, len + 1000);
	free(request);
	free(body);
}

/* ---- what comes in ---- */

static void test_answer(void **state)
{
	struct reply reply;

	get_from(say,
		 "HTTP/1.1 200 OK\r\nETag: \"5\"\r\nLink: </a>; rel=next\r\n"
		 "Link: </b>; rel=prev\r\nContent-Length: 2\r\n\r\n[]",
		 &reply);
	assert_int_equal(reply.status, 200);
	assert_string_equal(reply.body, "[]");
	assert_string_equal(reply.etag, "\"5\"");
	assert_string_equal(reply.link, "</a>; rel=next, </b>; rel=prev");
	reply_free(&reply);
}

/* Neither an interim answer nor a trailer speaks for the answer. */
static void test_other_headers(void **state)
{
	struct reply reply;

	get_from(say,
		 "HTTP/1.1 103 Early Hints\r\nETag: \"early\"\r\nLink: </early>; rel=next\r\n\r\n"
		 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: ETag\r\n\r\n"
		 "2\r\n{}\r\n0\r\nETag: \"late\"\r\n\r\n",
		 &reply);
	assert_int_equal(reply.status, 200);
	assert_string_equal(reply.body, "{}");
	assert_string_equal(reply.etag, "");
	assert_string_equal(reply.link, "");
	reply_free(&reply);
}

static void test_statuses(void **state)
{
	static const int good[] = { 200, 204, 304, 400, 401, 404, 429, 500, 599 };
	static const char *const bad[] = { "000", "099", "600", "999", "2", "20x" };
	char text[128];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", good[i]);
		assert_get(say, text, 0, good[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(text, sizeof(text), "HTTP/1.1 %s X\r\nContent-Length: 0\r\n\r\n", bad[i]);
		assert_get(say_and_close, text, -EIO, 0);
	}
}

static void test_no_http(void **state)
{
	static const char *const texts[] = {
		"",
		"hello\r\n\r\n",
		"SSH-2.0-x\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n",
		"HTTP/1.1 200 OK\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_get(say_and_close, texts[i], -EIO, 0);
	assert_get(say_and_reset, "", -EIO, 0);
	assert_get(say_and_reset, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab", -EIO, 0);
}

/* ---- bounds ---- */

static char *padded(const char *head, size_t n)
{
	size_t len = strlen(head);
	char *text = malloc(len + n + 1);

	assert_non_null(text);
	memcpy(text, head, len);
	memset(text + len, 'x', n);
	text[len + n] = '\0';
	return text;
}

static void assert_body(const char *head, size_t n, int err, int status, size_t body_len)
{
	char *text = padded(head, n);
	struct reply reply;

	get_from(say_and_close, text, &reply);
	assert_int_equal(reply.err, err);
	assert_int_equal(reply.status, status);
	assert_int_equal(reply.body_len, body_len);
	reply_free(&reply);
	free(text);
}

static void test_body_bound(void **state)
{
	const char *plain = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";

	assert_body(plain, BOUND, 0, 200, BOUND);
	assert_body(plain, BOUND + 1, -EMSGSIZE, 0, 0);
	assert_body(plain, 10 * 1024 * 1024, -EMSGSIZE, 0, 0);
	/* refused before a byte of it is read */
	assert_get(say_and_wait, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", -EMSGSIZE, 0);
	assert_get(say_and_wait, "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n",
		   -EMSGSIZE, 0);
}

/* That it is an error, and which, matters more than the rest of its text. */
static void test_error_body_is_cut(void **state)
{
	const char *head = "HTTP/1.1 500 X\r\nConnection: close\r\n\r\n";

	assert_body(head, 64 * 1024, 0, 500, 64 * 1024);
	assert_body(head, 64 * 1024 + 1, 0, 500, 64 * 1024);
	assert_body(head, 10 * 1024 * 1024, 0, 500, 64 * 1024);
}

/* n lines of 1 KiB. */
static void assert_header(unsigned n, int err, int status)
{
	char *text = padded("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", n * 1024 + 2);
	char *end = text + strlen(text);

	memcpy(end - 2, "\r\n", 2);
	for (char *line = end - 2 - n * 1024; line < end - 2; line += 1024) {
		memcpy(line, "X: ", 3);
		memcpy(line + 1022, "\r\n", 2);
	}
	assert_get(say, text, err, status);
	free(text);
}

static void test_header_bound(void **state)
{
	assert_header(63, 0, 200);
	assert_header(64, -EMSGSIZE, 0);
	assert_header(5000, -EMSGSIZE, 0);
}

static enum raw_then early_hints_for_ever(void *arg, const struct raw_request *request)
{
	for (int i = 0; i < 100000; i++)
		raw_puts(request->fd, "HTTP/1.1 103 Early Hints\r\n\r\n");
	return RAW_CLOSE;
}

static void test_endless_interim_answers(void **state)
{
	assert_get(early_hints_for_ever, "", -EMSGSIZE, 0);
}

/* ---- gzip ---- */

struct packed {
	unsigned char bytes[4 * 1024 * 1024];
	size_t len;
};

static void pack(struct packed *p, const void *plain, size_t len, size_t times)
{
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = p->bytes;
	z.avail_out = sizeof(p->bytes);
	for (size_t i = 0; i < times; i++) {
		z.next_in = (unsigned char *)plain;
		z.avail_in = (unsigned)len;
		assert_int_equal(deflate(&z, Z_NO_FLUSH), Z_OK);
	}
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	p->len = sizeof(p->bytes) - z.avail_out;
	deflateEnd(&z);
}

static enum raw_then say_packed(void *arg, const struct raw_request *request)
{
	const struct packed *p = arg;
	char head[128];

	snprintf(head, sizeof(head),
		 "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
		 p->len);
	raw_puts(request->fd, head);
	raw_write(request->fd, p->bytes, p->len);
	return RAW_KEEP;
}

static void test_gzip(void **state)
{
	static struct packed p;
	struct reply reply;

	pack(&p, "[1,2,3]", 7, 1);
	get_from(say_packed, &p, &reply);
	assert_int_equal(reply.status, 200);
	assert_string_equal(reply.body, "[1,2,3]");
	reply_free(&reply);
}

/* 200 MB in some 200 KB: the bound counts what comes out. */
static void test_gzip_bomb(void **state)
{
	static struct packed p;
	char *zeros = calloc(1, 1024 * 1024);

	assert_non_null(zeros);
	pack(&p, zeros, 1024 * 1024, 200);
	free(zeros);
	struct raw_server *server = raw_server_new(say_packed, &p);
	struct http *http = client_new_port(raw_server_port(server));
	struct http_spec spec = client_get("/v1/stacks", 1024 * 1024);
	struct reply reply;

	client_call(http, &spec, &reply);
	assert_int_equal(reply.err, -EMSGSIZE);
	reply_free(&reply);
	http_free(http);
	raw_server_free(server);
}

/* ---- failures on the way ---- */

static void test_refused(void **state)
{
	struct http *http = client_new_port(raw_closed_port());
	struct http_spec spec = client_put("{}", 2);
	struct reply reply;

	client_call(http, &spec, &reply);
	assert_int_equal(reply.err, -ECONNREFUSED);
	assert_false(reply.processed_maybe);
	assert_has(reply.why, "could not connect to 127.0.0.1:");
	reply_free(&reply);
	http_free(http);
}

static void put_to(raw_answer_fn *answer, const char *arg, unsigned timeout_ms, struct reply *ret)
{
	struct raw_server *server = raw_server_new(answer, arg);
	struct http *http = client_new_port(raw_server_port(server));
	struct http_spec spec = client_put("{}", 2);

	spec.timeout_ms = timeout_ms;
	client_call(http, &spec, ret);
	http_free(http);
	raw_server_free(server);
}

static void test_lost_answer_may_have_been_processed(void **state)
{
	static raw_answer_fn *const answers[] = { say_and_close, say_and_reset };

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct reply reply;

		put_to(answers[i], "", 0, &reply);
		assert_int_equal(reply.err, -EIO);
		assert_true(reply.processed_maybe);
		reply_free(&reply);
	}
}

static void test_timeout(void **state)
{
	struct reply reply;

	put_to(say_and_wait, "", 300, &reply);
	assert_int_equal(reply.err, -ETIMEDOUT);
	assert_true(reply.processed_maybe);
	assert_in_range(reply.took_ms, 250, 10000);
	reply_free(&reply);
}

/* A server that falls silent leaves a GET the time for another try. */
static void test_stall(void **state)
{
	const char *stalls = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[";
	struct raw_server *server = raw_server_new(say_and_wait, stalls);
	struct http *http = client_new_port(raw_server_port(server));
	struct http_spec spec = client_get("/v1/stacks", BOUND);
	struct reply reply;

	spec.timeout_ms = 4000;
	client_call(http, &spec, &reply);
	assert_int_equal(reply.err, -ETIMEDOUT);
	assert_in_range(reply.took_ms, 1000, 3900);
	reply_free(&reply);
	http_free(http);
	raw_server_free(server);
}

/* Sockets of ours that the kernel gives up when nothing is acknowledged. */
static unsigned n_bounded_sockets(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++) {
		unsigned timeout_ms = 0;
		socklen_t len = sizeof(timeout_ms);

		n += getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, &len) == 0 &&
		     timeout_ms == 10000;
	}
	return n;
}

/* Else it goes on for a quarter of an hour, and so does all that is on the connection. */
static void test_what_is_not_acknowledged(void **state)
{
	struct raw_server *server =
		raw_server_new(say, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	struct http *http = client_new_port(raw_server_port(server));
	struct http_spec spec = client_get("/v1/stacks", BOUND);
	struct reply reply;

	client_call(http, &spec, &reply);
	assert_int_equal(reply.status, 200);
	assert_int_equal(n_bounded_sockets(), 1);
	reply_free(&reply);
	http_free(http);
	raw_server_free(server);
}

static unsigned count(const char *text, const char *part)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, part)); at++)
		n++;
	return n;
}

/* The kept connection is closed behind the request, unanswered: libcurl alone
 * would send it again. */
static void assert_sent_once(enum http_method method)
{
	struct raw_server *server = raw_server_new(say_close_after_first,
						   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	struct http *http = client_new_port(raw_server_port(server));
	struct http_spec spec = client_get("/warm", BOUND);
	struct reply reply;

	client_call(http, &spec, &reply);
	assert_int_equal(reply.status, 200);
	reply_free(&reply);
	bool has_body = method != HTTP_DELETE;

	spec = client_put(has_body ? "{}" : NULL, has_body ? 2 : 0);
	spec.method = method;
	spec.retry = method == HTTP_PUT ? HTTP_RETRY_NEVER : HTTP_RETRY_UNPROCESSED;
	client_call(http, &spec, &reply);
	assert_int_equal(reply.err, -EIO);
	assert_true(reply.processed_maybe);
	reply_free(&reply);

	char *log = raw_server_log(server);
	assert_int_equal(count(log, "/v1/stacks/1 HTTP"), 1);
	free(log);
	http_free(http);
	raw_server_free(server);
}

static void test_sent_once(void **state)
{
	assert_sent_once(HTTP_POST);
	assert_sent_once(HTTP_DELETE);
	assert_sent_once(HTTP_PUT);
}

/* ---- where the token goes ---- */

static void test_redirect_is_an_answer(void **state)
{
	struct raw_server *other =
		raw_server_new(say, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	char text[200];
	static const int statuses[] = { 301, 302, 303, 307, 308 };

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		snprintf(text, sizeof(text),
			 "HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:%u/\r\n"
			 "Content-Length: 0\r\n\r\n",
			 statuses[i], raw_server_port(other));
		assert_get(say, text, 0, statuses[i]);
	}
	assert_int_equal(raw_server_connections(other), 0);
	raw_server_free(other);
}

/* A 401 with a challenge makes libcurl do nothing by itself. */
static void test_challenge(void **state)
{
	struct raw_server *server = raw_server_new(
		say, "HTTP/1.1 401 X\r\nWWW-Authenticate: Bearer, Basic realm=\"x\"\r\n"
		     "Content-Length: 0\r\n\r\n");
	struct http *http = client_new_port(raw_server_port(server));
	struct http_spec spec = client_get("/v1/stacks", BOUND);
	struct reply reply;

	client_call(http, &spec, &reply);
	assert_int_equal(reply.status, 401);
	assert_int_equal(raw_server_requests(server), 1);
	reply_free(&reply);
	http_free(http);
	raw_server_free(server);
}

static void test_no_proxy_for_loopback(void **state)
{
	static const char *const names[] = { "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY" };
	struct raw_server *proxy =
		raw_server_new(say, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u", raw_server_port(proxy));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		setenv(names[i], url, 1);
	assert_get(say, "HTTP/1.1 204 X\r\n\r\n", 0, 204);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unsetenv(names[i]);
	assert_int_equal(raw_server_connections(proxy), 0);
	raw_server_free(proxy);
}

/* A proxy is asked for the way to the origin, and sees no token. */
static void test_proxy_sees_no_token(void **state)
{
	struct raw_server *proxy = raw_server_new(
		say_and_close, "HTTP/1.1 403 no\r\nETag: \"p\"\r\nContent-Length: 0\r\n\r\n");
	char url[64];
	struct reply reply;

	snprintf(url, sizeof(url), "http://127.0.0.1:%u", raw_server_port(proxy));
	struct http *http =
		client_new("https://stacks.invalid", &(struct curl_options){ .proxy = url });
	struct http_spec spec = client_get("/v1/stacks", BOUND);
	client_call(http, &spec, &reply);
	assert_int_not_equal(reply.err, 0);
	char *log = raw_server_log(proxy);
	assert_int_equal(strncmp(log, "CONNECT stacks.invalid:443 HTTP/1.1\r\n", 37), 0);
	assert_null(strstr(log, CLIENT_TOKEN));
	assert_null(strcasestr(log, "Authorization"));
	free(log);
	reply_free(&reply);
	http_free(http);
	raw_server_free(proxy);
}

/* A PUT by a proxy that answers so to CONNECT. */
static void put_through(raw_answer_fn *answer, const char *says, struct reply *ret)
{
	struct raw_server *proxy = raw_server_new(answer, says);
	struct http_spec spec = client_put("{}", 2);
	char url[64];

	snprintf(url, sizeof(url), "http://user:canary@127.0.0.1:%u", raw_server_port(proxy));
	struct http *http =
		client_new("https://stacks.invalid", &(struct curl_options){ .proxy = url });
	spec.timeout_ms = 500;
	client_call(http, &spec, ret);
	http_free(http);
	raw_server_free(proxy);
}

/* The server has seen nothing of it. */
static void test_proxy_fails(void **state)
{
	static const struct {
		raw_answer_fn *answer;
		const char *says;
		int err;
	} rows[] = {
		{ say_and_close, "HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n", -EHOSTUNREACH },
		{ say_and_close, "HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n", -EHOSTUNREACH },
		{ say_and_close, "", -EHOSTUNREACH },
		{ say_and_wait, "", -ETIMEDOUT },
		{ say_and_reset, "", -EIO }, /* which tells nothing of whose connection it was */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct reply reply;

		put_through(rows[i].answer, rows[i].says, &reply);
		assert_false(reply.processed_maybe);
		assert_int_equal(reply.err, rows[i].err);
		if (reply.err != -EIO)
			assert_has(reply.why, "proxy");
		assert_null(strstr(reply.why, "canary"));
		reply_free(&reply);
	}
}

static void ignore_answer(void *arg, struct transport_answer *answer)
{
}

static void test_unusable_token(void **state)
{
	static const char *const tokens[] = { "", "a b", "a\r\nX: y", "a\n", "\xc3\xa4" };
	struct transport *t = NULL;
	struct origin origin;
	const char *why;

	assert_int_equal(origin_parse("http://127.0.0.1:1", &origin, &why), 0);
	assert_int_equal(curl_transport_new(&(struct curl_options){ .origin = &origin }, &t), 0);
	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++) {
		CLEANUP(secret_unrefp) struct secret *token = NULL;
		struct transport_try *try;

		assert_int_equal(secret_new(tokens[i], strlen(tokens[i]), &token), 0);
		struct transport_request request = { .target = "/x",
						     .timeout_ms = 1,
						     .token = token };
		assert_int_equal(t->ops->start(t, &request, ignore_answer, NULL, &try), -EINVAL);
	}
	t->ops->free(t);
}

static int to_memory(int *ret_saved)
{
	int fd = memfd_create("stderr", MFD_CLOEXEC);

	fflush(stderr);
	*ret_saved = dup(STDERR_FILENO);
	assert_true(fd >= 0 && *ret_saved >= 0);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	return fd;
}

static void test_log_line(void **state)
{
	struct raw_server *server =
		raw_server_new(say, "HTTP/1.1 200 OK\r\nETag: \"secret-etag\"\r\nContent-Length: "
				    "11\r\n\r\nsecret-body");
	char url[64], text[4096] = "";
	struct reply reply;
	int saved;

	snprintf(url, sizeof(url), "http://127.0.0.1:%u", raw_server_port(server));
	int fd = to_memory(&saved);
	log_setup(LOG_LEVEL_DEBUG, false);
	struct http *http = client_new(url, &(struct curl_options){ .debug = true });
	struct http_spec spec = client_put("secret-sent", 11);
	client_call(http, &spec, &reply);
	http_free(http);
	log_setup(LOG_LEVEL_ERROR, false);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);

	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	close(fd);
	assert_has(text, "#1 PUT /v1/stacks/1: 200, 11 bytes, ");
	assert_null(strstr(text, CLIENT_TOKEN));
	assert_null(strstr(text, "secret"));
	reply_free(&reply);
	raw_server_free(server);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get_request),
		cmocka_unit_test(test_put_request),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_large_body_is_not_held_back),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_other_headers),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_no_http),
		cmocka_unit_test(test_body_bound),
		cmocka_unit_test(test_error_body_is_cut),
		cmocka_unit_test(test_header_bound),
		cmocka_unit_test(test_endless_interim_answers),
		cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_gzip_bomb),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lost_answer_may_have_been_processed),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_what_is_not_acknowledged),
		cmocka_unit_test(test_sent_once),
		cmocka_unit_test(test_redirect_is_an_answer),
		cmocka_unit_test(test_challenge),
		cmocka_unit_test(test_no_proxy_for_loopback),
		cmocka_unit_test(test_proxy_sees_no_token),
		cmocka_unit_test(test_proxy_fails),
		cmocka_unit_test(test_unusable_token),
		cmocka_unit_test(test_log_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
