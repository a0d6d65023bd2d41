/* SPDX-License-Identifier: MIT */
/* delay-proxy TARGET_PORT RTT_MS: a wire between two ports of loopback.
 *
 * Listens on a free port and prints it.  What comes is passed on half a round
 * trip later, in either direction, in order and at any rate: this is latency
 * without loss and without a limit of bandwidth.
 *
 * The kernel accepts a connection before we hear of it, so the round trip that
 * a TCP handshake takes is made up for: what a client sends before one has
 * passed leaves only then.
 *
 * One thread and one epoll; each chunk that was read is kept with the time when
 * it is due.  An end of file is a chunk of no bytes. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (256 * 1024)
#define QUEUE_BYTES (64 * 1024 * 1024) /* under way in one direction: more than any window */
#define EVENTS 64
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

struct chunk {
	struct chunk *next;
	uint64_t due_ns;
	size_t len, sent;
	char bytes[];
};

/* One side of a connection, and what is on its way to it. */
struct end {
	struct link *link;
	int fd;
	uint32_t events; /* what epoll watches */
	struct chunk *head, **tail;
	size_t queued;
	bool readable;  /* no end of file was read yet */
	bool writable;  /* none was passed on yet */
	bool blocked;   /* the socket is full */
	bool forgotten; /* both its directions are over: epoll would tell for ever */
};

struct link {
	struct link *next;
	uint64_t open_ns; /* when the client would know that it is connected */
	struct end client, server;
	bool broken;
};

static struct link *links;
static uint64_t half_ns;
static int epoll;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static struct end *other(struct end *e)
{
	return e == &e->link->client ? &e->link->server : &e->link->client;
}

/* Watch what can be gone on with, and nothing else. */
static void watch(struct end *e)
{
	uint32_t events = 0;
	struct epoll_event event = { .data.ptr = e };

	if (e->readable && other(e)->queued < QUEUE_BYTES)
		events |= EPOLLIN;
	if (e->blocked)
		events |= EPOLLOUT;
	if (events == e->events || e->forgotten)
		return;
	e->events = event.events = events;
	if (epoll_ctl(epoll, EPOLL_CTL_MOD, e->fd, &event) < 0)
		die("epoll_ctl");
}

static void forget(struct end *e)
{
	e->forgotten = true;
	if (epoll_ctl(epoll, EPOLL_CTL_DEL, e->fd, NULL) < 0)
		die("epoll_ctl");
}

static void queue(struct end *to, const char *bytes, size_t len, uint64_t due_ns)
{
	struct chunk *c = malloc(sizeof(*c) + len);

	if (!c)
		die("malloc");
	*c = (struct chunk){ .due_ns = due_ns, .len = len };
	memcpy(c->bytes, bytes, len);
	*to->tail = c;
	to->tail = &c->next;
	to->queued += len;
}

static void take(struct end *from)
{
	static char buffer[READ_BYTES];
	uint64_t now = now_ns();
	ssize_t n = read(from->fd, buffer, sizeof(buffer));

	if (n < 0) {
		from->link->broken = errno != EAGAIN && errno != EINTR;
		return;
	}
	if (now < from->link->open_ns)
		now = from->link->open_ns;
	from->readable = n > 0;
	queue(other(from), buffer, (size_t)n, now + half_ns);
}

/* False when the socket takes no more. */
static bool pass_on(struct end *to, struct chunk *c)
{
	ssize_t n;

	if (c->len == 0) {
		to->writable = false;
		shutdown(to->fd, SHUT_WR);
		return true;
	}
	n = send(to->fd, c->bytes + c->sent, c->len - c->sent, MSG_NOSIGNAL);
	if (n < 0) {
		to->blocked = errno == EAGAIN || errno == EINTR;
		to->link->broken = !to->blocked;
		return false;
	}
	c->sent += (size_t)n;
	to->queued -= (size_t)n;
	to->blocked = c->sent < c->len;
	return !to->blocked;
}

static void drop_first(struct end *to)
{
	struct chunk *c = to->head;

	to->head = c->next;
	if (!to->head)
		to->tail = &to->head;
	free(c);
}

static void deliver(struct end *to, uint64_t now)
{
	while (to->head && to->head->due_ns <= now && pass_on(to, to->head))
		drop_first(to);
}

static bool is_over(const struct link *l)
{
	return l->broken || (!l->client.writable && !l->server.writable);
}

static void link_free(struct link *l)
{
	struct end *ends[] = { &l->client, &l->server };

	for (int i = 0; i < 2; i++) {
		close(ends[i]->fd);
		while (ends[i]->head)
			drop_first(ends[i]);
	}
	free(l);
}

/* Everything that is due; the time of what is due next, or UINT64_MAX. */
static uint64_t deliver_all(void)
{
	uint64_t next = UINT64_MAX, now = now_ns();

	for (struct link **at = &links; *at;) {
		struct link *l = *at;
		struct end *ends[] = { &l->client, &l->server };

		for (int i = 0; i < 2; i++)
			deliver(ends[i], now);
		if (is_over(l)) {
			*at = l->next;
			link_free(l);
			continue;
		}
		for (int i = 0; i < 2; i++) {
			watch(ends[i]);
			if (ends[i]->head && !ends[i]->blocked && ends[i]->head->due_ns < next)
				next = ends[i]->head->due_ns;
		}
		at = &l->next;
	}
	return next;
}

static void end_init(struct end *e, struct link *l, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = e };
	int on = 1;

	*e = (struct end){ .link = l, .fd = fd, .events = EPOLLIN, .tail = &e->head,
		.readable = true, .writable = true };
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void accept_one(int listener, uint16_t target)
{
	struct sockaddr_in address = loopback(target);
	int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct link *l = calloc(1, sizeof(*l));

	if (client < 0 || server < 0 || !l)
		die("accept");
	/* On loopback this is done at once. */
	if (connect(server, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("connect");
	if (fcntl(server, F_SETFL, O_NONBLOCK) < 0)
		die("fcntl");
	l->open_ns = now_ns() + 2 * half_ns;
	l->next = links;
	links = l;
	end_init(&l->client, l, client);
	end_init(&l->server, l, server);
}

static int listen_somewhere(void)
{
	struct sockaddr_in address = loopback(0);
	socklen_t size = sizeof(address);
	struct epoll_event event = { .events = EPOLLIN };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, SOMAXCONN) < 0)
		die("listen");
	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		die("getsockname");
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
	printf("%u\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static void serve(int listener, uint16_t target)
{
	struct epoll_event events[EVENTS];
	uint64_t next = UINT64_MAX;

	for (;;) {
		uint64_t now = now_ns(), left = next > now ? next - now : 0;
		struct timespec wait = { (time_t)(left / NS_PER_S), (long)(left % NS_PER_S) };
		int n = epoll_pwait2(epoll, events, EVENTS, next == UINT64_MAX ? NULL : &wait, NULL);

		if (n < 0 && errno != EINTR)
			die("epoll_pwait2");
		for (int i = 0; i < n; i++) {
			struct end *e = events[i].data.ptr;

			if (!e)
				accept_one(listener, target);
			else if (events[i].events & EPOLLOUT)
				e->blocked = false;
			else if (e->readable)
				take(e);
			else if (!e->forgotten)
				forget(e);
		}
		next = deliver_all();
	}
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: delay-proxy TARGET_PORT RTT_MS\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_TIMERSLACK, 1UL); /* the default of 50 us would be added to each wait */
	half_ns = strtoul(argv[2], NULL, 10) * NS_PER_MS / 2;
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		die("epoll_create1");
	serve(listen_somewhere(), (uint16_t)strtoul(argv[1], NULL, 10));
}
