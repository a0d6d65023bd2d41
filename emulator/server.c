/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "server.h"

enum {
	CONNECTIONS_MAX = 8192,
	CONNECTION_BYTES = 64 << 10, /* a request line and its headers must fit */
	BLOCK_BYTES = 64 << 10,
	/* Of silence.  libmicrohttpd overlooks a FIN that comes together with data. */
	IDLE_S = 120,
	EVENTS_MAX = 64,
};

/* One request on one connection, from its first line to its end. */
struct session {
	struct exchange x;
	struct server *server;
	struct MHD_Connection *connection;
	TAILQ_ENTRY(session) link; /* in server->parked, iff parked */
	size_t sent;		   /* of x.wire */
	bool begun, parked, due, closing, wiring;
};

TAILQ_HEAD(sessions, session);

struct line {
	unsigned number;
	/* Begun with a request line, not yet seen by on_request(): of a request that turns out to
	 * be none, libmicrohttpd tells no end. */
	struct session *pending;
};

struct server {
	struct MHD_Daemon *daemon;
	const struct server_ops *ops;
	void *arg;
	struct sessions parked; /* suspended in libmicrohttpd */
	int epoll, signals;
	unsigned connections; /* so far */
	bool stop;
};

/* --- parking --- */

static int socket_of(const struct session *ss)
{
	return MHD_get_connection_info(ss->connection, MHD_CONNECTION_INFO_CONNECTION_FD)
		->connect_fd;
}

/* RDHUP is always watched: a client that leaves must not stay parked for ever. */
static void watch(struct session *ss, int op, uint32_t events)
{
	struct epoll_event ev = { .events = events | EPOLLRDHUP, .data.ptr = ss };

	/* On failure (a full table) a departed client is merely noticed later. */
	(void)epoll_ctl(ss->server->epoll, op, socket_of(ss), &ev);
}

static void park(struct session *ss)
{
	MHD_suspend_connection(ss->connection);
	ss->parked = true;
	TAILQ_INSERT_TAIL(&ss->server->parked, ss, link);
	watch(ss, EPOLL_CTL_ADD, 0);
}

static void unpark(struct session *ss)
{
	watch(ss, EPOLL_CTL_DEL, 0);
	TAILQ_REMOVE(&ss->server->parked, ss, link);
	ss->parked = ss->due = false;
	MHD_resume_connection(ss->connection);
}

static void close_parked(struct session *ss)
{
	ss->closing = true;
	unpark(ss);
}

void server_wake(struct server *s, struct exchange *x)
{
	(void)s;
	CONTAINER_OF(x, struct session, x)->due = true;
}

void server_wake_if(struct server *s, bool (*test)(const struct exchange *x))
{
	struct session *ss;

	TAILQ_FOREACH(ss, &s->parked, link)
		if (test(&ss->x))
			ss->due = true;
}

/* --- writing past libmicrohttpd, while the connection is suspended there --- */

static void end_wire(struct session *ss)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	/* Dissolving a TCP connection sends RST at once; SO_LINGER would leave it to close(),
	 * before which libmicrohttpd shuts down, and the peer would see an orderly end. */
	if (ss->x.wire.ending == END_RESET)
		(void)connect(socket_of(ss), &none, sizeof(none));
	close_parked(ss);
}

static size_t allowed_now(const struct session *ss)
{
	const struct wire *wire = &ss->x.wire;

	if (!wire->drip_ms)
		return wire->bytes.len - ss->sent;
	return ss->sent < wire->at_once ? wire->at_once - ss->sent : 1;
}

static void pump(struct session *ss)
{
	const struct wire *wire = &ss->x.wire;

	while (ss->sent < wire->bytes.len) {
		ssize_t n = send(socket_of(ss), wire->bytes.data + ss->sent, allowed_now(ss),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		ss->x.wake_ms = CLOCK_NEVER;
		if (n < 0 && errno == EAGAIN) {
			watch(ss, EPOLL_CTL_MOD, EPOLLOUT);
			return;
		}
		if (n < 0)
			break;
		ss->sent += (size_t)n;
		if (wire->drip_ms && ss->sent >= wire->at_once && ss->sent < wire->bytes.len) {
			ss->x.wake_ms = clock_ms() + wire->drip_ms;
			watch(ss, EPOLL_CTL_MOD, 0);
			return;
		}
	}
	end_wire(ss);
}

/* --- requests --- */

static struct line *line_of(struct MHD_Connection *c)
{
	return MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void session_free(struct session *ss)
{
	if (!ss)
		return;
	exchange_done(&ss->x);
	free(ss);
}

/* Called with the request line, before anything else: the only place that has it undecoded. */
static void *on_request_line(void *cls, const char *uri, struct MHD_Connection *c)
{
	struct session *ss = mem_zalloc(sizeof(*ss));
	const char *query = strchr(uri, '?');

	session_free(line_of(c)->pending);
	line_of(c)->pending = ss;
	ss->server = cls;
	ss->connection = c;
	ss->x.rq.path = mem_dup(uri, query ? (size_t)(query - uri) : strlen(uri));
	ss->x.rq.query = query ? mem_dups(query + 1) : NULL;
	return ss;
}

static char *header(struct MHD_Connection *c, const char *name)
{
	return mem_dups(MHD_lookup_connection_value(c, MHD_HEADER_KIND, name));
}

/* A proxy in front (nghttpx) says in Via what its own client spoke. */
static const char *protocol(struct MHD_Connection *c, const char *version)
{
	const char *via = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Via");

	if (via && !strncmp(via, "2 ", 2))
		return "HTTP/2";
	return strcmp(version, "HTTP/1.0") ? "HTTP/1.1" : "HTTP/1.0";
}

static void begin(struct session *ss, const char *method, const char *version)
{
	struct MHD_Connection *c = ss->connection;
	struct request *rq = &ss->x.rq;

	ss->begun = true;
	line_of(c)->pending = NULL;
	rq->method = mem_dups(method);
	rq->protocol = protocol(c, version);
	rq->host = header(c, "Host");
	rq->authorization = header(c, "Authorization");
	rq->content_type = header(c, "Content-Type");
	rq->accept_encoding = header(c, "Accept-Encoding");
	rq->if_match = header(c, "If-Match");
	rq->if_none_match = header(c, "If-None-Match");
	rq->forwarded_proto = header(c, "X-Forwarded-Proto");
	rq->has_body = !strcmp(method, "PUT") || !strcmp(method, "POST");
	rq->connection = line_of(c)->number;
}

static void take_body(struct request *rq, const char *data, size_t n)
{
	size_t max = strncmp(rq->path, "/_emulator/", 11) ? API_BODY_MAX : CONTROL_BODY_MAX;

	rq->has_body = true;
	if (rq->body.len + n > max) {
		rq->too_large = true; /* the rest is read and forgotten */
		buf_done(&rq->body);
	}
	if (!rq->too_large)
		buf_add(&rq->body, data, n);
}

static ssize_t read_repeated(void *cls, uint64_t pos, char *to, size_t max)
{
	const struct buf *body = cls;
	size_t at = (size_t)(pos % body->len), n = body->len - at;

	if (n > max)
		n = max;
	memcpy(to, body->data + at, n);
	return (ssize_t)n;
}

static struct MHD_Response *make_response(struct reply *reply)
{
	struct buf *body = &reply->body;
	size_t len = body->len;

	/* The reply lives until the request is over, so its bytes can be borrowed. */
	if (reply->repeat > 1 && len)
		return MHD_create_response_from_callback(len * reply->repeat, BLOCK_BYTES,
							 read_repeated, body, NULL);
	return MHD_create_response_from_buffer(len, len ? body->data : (char *)"",
					       MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result send_reply(struct session *ss)
{
	struct reply *reply = &ss->x.reply;
	struct MHD_Response *response = make_response(reply);
	enum MHD_Result r;

	if (!response)
		return MHD_NO;
	for (unsigned i = 0; i < reply->n_headers; i++)
		(void)MHD_add_response_header(response, reply->headers[i].name,
					      reply->headers[i].value);
	r = MHD_queue_response(ss->connection, (unsigned)reply->status, response);
	MHD_destroy_response(response);
	return r;
}

static enum MHD_Result act(struct session *ss, enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_ANSWER:
		return send_reply(ss);
	case VERDICT_CLOSE:
		return MHD_NO;
	case VERDICT_WIRE:
		ss->wiring = true;
		ss->x.wake_ms = 0;
		break;
	case VERDICT_PARK:
		break;
	}
	park(ss);
	return MHD_YES;
}

/* Called with the headers, with each piece of body, with none when the body is complete, and again
 * each time the connection is resumed. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **state)
{
	struct server *s = cls;
	struct session *ss = *state;

	if (!ss->begun) {
		begin(ss, method, version);
		return MHD_YES;
	}
	if (*size) {
		take_body(&ss->x.rq, data, *size);
		*size = 0;
		return MHD_YES;
	}
	if (ss->closing)
		return MHD_NO;
	return act(ss, s->ops->step(s->arg, &ss->x));
}

static void on_completed(void *cls, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct server *s = cls;
	struct session *ss = *state;

	if (!ss || !ss->begun)
		return; /* its line still has it */
	s->ops->gone(s->arg, &ss->x, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
	session_free(ss);
	*state = NULL;
}

static void on_connection(void *cls, struct MHD_Connection *c, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct server *s = cls;
	struct line *line = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		line = mem_zalloc(sizeof(*line));
		line->number = ++s->connections;
		*context = line;
		return;
	}
	session_free(line->pending);
	free(line);
}

/* Paths stay as they were sent: what a client escapes, and how, is its own affair. */
static size_t keep_escapes(void *cls, struct MHD_Connection *c, char *text)
{
	return strlen(text);
}

/* --- the loop --- */

static int add_source(struct server *s, int fd, void *ptr)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = ptr };

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int start_daemon(struct server *s, int listen_fd)
{
	s->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, s,
		MHD_OPTION_LISTEN_SOCKET, listen_fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
		MHD_OPTION_URI_LOG_CALLBACK, on_request_line, s,
		MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
	return s->daemon ? 0 : -EIO;
}

static int start_sources(struct server *s)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->signals < 0 || s->epoll < 0)
		return -errno;
	r = add_source(s, s->signals, &s->signals);
	if (r < 0)
		return r;
	return add_source(s, MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, s);
}

int server_new(int listen_fd, const struct server_ops *ops, void *arg, struct server **ret)
{
	CLEANUP(server_freep) struct server *s = mem_zalloc(sizeof(*s));
	int r;

	s->ops = ops;
	s->arg = arg;
	s->epoll = s->signals = -1;
	TAILQ_INIT(&s->parked);
	r = start_daemon(s, listen_fd);
	if (r < 0)
		return r;
	r = start_sources(s);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

static void wake_due(struct server *s)
{
	uint64_t now = clock_ms();
	struct session *ss, *next;

	for (ss = TAILQ_FIRST(&s->parked); ss; ss = next) {
		next = TAILQ_NEXT(ss, link);
		if (!ss->due && ss->x.wake_ms > now)
			continue;
		if (ss->wiring)
			pump(ss);
		else
			unpark(ss);
	}
}

/* Milliseconds until somebody wants something, as epoll_wait() takes them. */
static int next_timeout(struct server *s)
{
	uint64_t now = clock_ms(), until = CLOCK_NEVER;
	MHD_UNSIGNED_LONG_LONG mhd_ms;
	struct session *ss;

	if (MHD_get_timeout(s->daemon, &mhd_ms) == MHD_YES)
		until = now + mhd_ms;
	TAILQ_FOREACH(ss, &s->parked, link) {
		uint64_t at = ss->due ? now : ss->x.wake_ms;

		if (at < until)
			until = at;
	}
	if (until == CLOCK_NEVER)
		return -1;
	if (until <= now)
		return 0;
	return until - now > 60000 ? 60000 : (int)(until - now);
}

static void take_event(struct server *s, const struct epoll_event *ev)
{
	struct session *ss = ev->data.ptr;

	if (ev->data.ptr == s)
		return; /* MHD_run() is called in any case */
	if (ev->data.ptr == &s->signals)
		s->stop = true;
	else if (ev->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		close_parked(ss);
	else
		pump(ss);
}

int server_run(struct server *s)
{
	while (!s->stop) {
		struct epoll_event events[EVENTS_MAX];
		int n;

		/* In this order: nothing tells of a resumed connection but the next MHD_run(). */
		wake_due(s);
		if (MHD_run(s->daemon) != MHD_YES)
			return -EIO;
		n = epoll_wait(s->epoll, events, EVENTS_MAX, next_timeout(s));
		for (int i = 0; i < n; i++)
			take_event(s, &events[i]);
	}
	return 0;
}

void server_free(struct server *s)
{
	if (!s)
		return;
	/* libmicrohttpd must not be stopped while a connection is suspended. */
	while (!TAILQ_EMPTY(&s->parked))
		close_parked(TAILQ_FIRST(&s->parked));
	if (s->daemon) {
		(void)MHD_run(s->daemon);
		MHD_stop_daemon(s->daemon);
	}
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->signals >= 0)
		close(s->signals);
	free(s);
}
