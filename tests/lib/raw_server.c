/* SPDX-License-Identifier: MIT */
#include "raw_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"

#define MAX_CONNECTIONS 1024
#define MAX_REQUEST_BYTES (4 * 1024 * 1024)

struct connection {
	struct raw_server *server;
	pthread_t thread;
	int fd;
	unsigned no;
};

struct raw_server {
	raw_answer_fn *answer;
	void *arg;
	int listener;
	unsigned port;
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t came;
	struct connection *connections[MAX_CONNECTIONS]; /* guarded by lock */
	unsigned n_connections;                          /* guarded by lock */
	unsigned n_requests;                             /* guarded by lock */
	char *log;                                       /* guarded by lock */
	size_t log_len;                                  /* guarded by lock */
};

static void *checked(void *p)
{
	assert(p);
	return p;
}

void raw_write(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		at += n;
		len -= (size_t)n;
	}
}

void raw_puts(int fd, const char *s)
{
	raw_write(fd, s, strlen(s));
}

void raw_wait_end(const struct raw_request *request)
{
	char bytes[256];

	while (recv(request->fd, bytes, sizeof(bytes), 0) > 0)
		;
}

/* Bytes of the first request in text, or 0 when it is not complete. */
static size_t request_size(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n");

	if (!end)
		return 0;
	const char *length = strcasestr(text, "\r\nContent-Length: ");
	uint64_t body = 0;
	if (length && length < end) {
		length += strlen("\r\nContent-Length: ");
		int r = num_parse_u64(length, strcspn(length, "\r"), MAX_REQUEST_BYTES, &body);
		assert(r == 0);
		(void)r;
	}
	return (size_t)(end + 4 - text) + body;
}

static void note_request(struct raw_server *s, struct raw_request *request)
{
	pthread_mutex_lock(&s->lock);
	s->log = checked(realloc(s->log, s->log_len + request->len + 1));
	memcpy(s->log + s->log_len, request->text, request->len);
	s->log_len += request->len;
	s->log[s->log_len] = '\0';
	request->total = ++s->n_requests;
	pthread_cond_broadcast(&s->came);
	pthread_mutex_unlock(&s->lock);
}

static void end_connection(int fd, enum raw_then then)
{
	const struct linger at_once = { .l_onoff = 1 };

	if (then == RAW_RESET)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	else
		shutdown(fd, SHUT_RDWR);
}

/* Serve what has come; the bytes behind the last complete request move to the front. */
static enum raw_then serve(struct connection *c, char *text, size_t *len, unsigned *no)
{
	enum raw_then then = RAW_KEEP;
	size_t size;

	while (then == RAW_KEEP && (size = request_size(text)) > 0 && size <= *len) {
		char *one = checked(strndup(text, size));
		struct raw_request request = {
			.fd = c->fd, .conn_no = c->no, .no = ++*no, .text = one, .len = size
		};

		note_request(c->server, &request);
		then = c->server->answer(c->server->arg, &request);
		free(one);
		memmove(text, text + size, *len - size + 1);
		*len -= size;
	}
	return then;
}

static void *connection_main(void *arg)
{
	struct connection *c = arg;
	char *text = checked(calloc(1, MAX_REQUEST_BYTES + 1));
	enum raw_then then = RAW_KEEP;
	size_t len = 0;
	unsigned no = 0;

	while (then == RAW_KEEP && len < MAX_REQUEST_BYTES) {
		ssize_t n = recv(c->fd, text + len, MAX_REQUEST_BYTES - len, 0);

		if (n <= 0)
			break;
		len += (size_t)n;
		text[len] = '\0';
		then = serve(c, text, &len, &no);
	}
	free(text);
	end_connection(c->fd, then);
	pthread_mutex_lock(&c->server->lock);
	close(c->fd);
	c->fd = -1;
	pthread_mutex_unlock(&c->server->lock);
	return NULL;
}

static void *accept_main(void *arg)
{
	struct raw_server *s = arg;

	for (;;) {
		int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return NULL; /* shut down */
		struct connection *c = checked(calloc(1, sizeof(*c)));
		c->server = s;
		c->fd = fd;
		pthread_mutex_lock(&s->lock);
		assert(s->n_connections < MAX_CONNECTIONS);
		s->connections[s->n_connections++] = c;
		c->no = s->n_connections;
		int r = pthread_create(&c->thread, NULL, connection_main, c);
		pthread_mutex_unlock(&s->lock);
		assert(r == 0);
		(void)r;
	}
}

static int bound_socket(unsigned *ret_port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int r = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	if (r == 0)
		r = getsockname(fd, (struct sockaddr *)&addr, &len);
	assert(r == 0);
	(void)r;
	*ret_port = ntohs(addr.sin_port);
	return fd;
}

unsigned raw_closed_port(void)
{
	unsigned port;

	close(bound_socket(&port));
	return port;
}

struct raw_server *raw_server_new(raw_answer_fn *answer, const void *arg)
{
	struct raw_server *s = checked(calloc(1, sizeof(*s)));

	s->answer = answer;
	s->arg = (void *)arg;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->came, NULL);
	s->listener = bound_socket(&s->port);
	int r = listen(s->listener, 256);
	assert(r == 0);
	r = pthread_create(&s->thread, NULL, accept_main, s);
	assert(r == 0);
	(void)r;
	return s;
}

void raw_server_free(struct raw_server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
	for (unsigned i = 0; i < s->n_connections; i++) {
		struct connection *c = s->connections[i];

		pthread_mutex_lock(&s->lock);
		if (c->fd >= 0)
			shutdown(c->fd, SHUT_RDWR);
		pthread_mutex_unlock(&s->lock);
		pthread_join(c->thread, NULL);
		free(c);
	}
	pthread_cond_destroy(&s->came);
	pthread_mutex_destroy(&s->lock);
	free(s->log);
	free(s);
}

unsigned raw_server_port(const struct raw_server *s)
{
	return s->port;
}

unsigned raw_server_requests(struct raw_server *s)
{
	pthread_mutex_lock(&s->lock);
	unsigned n = s->n_requests;
	pthread_mutex_unlock(&s->lock);
	return n;
}

unsigned raw_server_connections(struct raw_server *s)
{
	pthread_mutex_lock(&s->lock);
	unsigned n = s->n_connections;
	pthread_mutex_unlock(&s->lock);
	return n;
}

char *raw_server_log(struct raw_server *s)
{
	pthread_mutex_lock(&s->lock);
	char *log = checked(strdup(s->log ? s->log : ""));
	pthread_mutex_unlock(&s->lock);
	return log;
}

void raw_server_wait_requests(struct raw_server *s, unsigned n)
{
	pthread_mutex_lock(&s->lock);
	while (s->n_requests < n)
		pthread_cond_wait(&s->came, &s->lock);
	pthread_mutex_unlock(&s->lock);
}
