/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "listen.h"

enum { BACKLOG = 1024 };

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

static const char *unix_path(const char *where)
{
	return strncmp(where, "unix:", 5) ? NULL : where + 5;
}

static int open_bound(const union address *address, socklen_t len)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, r = 0;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &address->any, len) < 0 || listen(fd, BACKLOG) < 0)
		r = -errno;
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

/* What a killed process leaves behind: a path that nobody listens on. */
static bool is_stale(const union address *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool stale;

	if (fd < 0)
		return false;
	stale = connect(fd, &address->any, sizeof(address->local)) < 0 && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int open_unix(const char *path, int *ret_fd)
{
	union address address = { .local = { .sun_family = AF_UNIX } };
	mode_t old;

	if (!*path || strlen(path) >= sizeof(address.local.sun_path))
		return -EINVAL;
	memcpy(address.local.sun_path, path, strlen(path) + 1);
	old = umask(0177);
	*ret_fd = open_bound(&address, sizeof(address.local));
	if (*ret_fd == -EADDRINUSE && is_stale(&address) && !unlink(path))
		*ret_fd = open_bound(&address, sizeof(address.local));
	umask(old);
	return *ret_fd < 0 ? *ret_fd : 0;
}

static int parse_port(const char *text, in_port_t *ret)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (!*text || *end || port > 65535)
		return -EINVAL;
	*ret = htons((in_port_t)port);
	return 0;
}

static int parse_v4(const char *host, const char *port, union address *ret)
{
	ret->v4.sin_family = AF_INET;
	if (inet_pton(AF_INET, host, &ret->v4.sin_addr) != 1)
		return -EINVAL;
	if (ntohl(ret->v4.sin_addr.s_addr) >> 24 != 127)
		return -EPERM;
	return parse_port(port, &ret->v4.sin_port);
}

static int parse_v6(const char *host, const char *port, union address *ret)
{
	ret->v6.sin6_family = AF_INET6;
	if (inet_pton(AF_INET6, host, &ret->v6.sin6_addr) != 1)
		return -EINVAL;
	if (!IN6_IS_ADDR_LOOPBACK(&ret->v6.sin6_addr))
		return -EPERM;
	return parse_port(port, &ret->v6.sin6_port);
}

static int parse(const char *where, union address *ret)
{
	const char *colon = strrchr(where, ':');
	CLEANUP(mem_freep) char *host = NULL;

	if (!colon || colon == where)
		return -EINVAL;
	if (*where != '[') {
		host = mem_dup(where, (size_t)(colon - where));
		return parse_v4(host, colon + 1, ret);
	}
	if (colon[-1] != ']')
		return -EINVAL;
	host = mem_dup(where + 1, (size_t)(colon - where) - 2);
	return parse_v6(host, colon + 1, ret);
}

static char *url_of(int fd)
{
	union address address = { 0 };
	socklen_t len = sizeof(address);
	char host[INET6_ADDRSTRLEN] = "";

	if (getsockname(fd, &address.any, &len) < 0)
		return mem_dups("");
	if (address.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof(host));
		return mem_format("http://[%s]:%u", host, ntohs(address.v6.sin6_port));
	}
	inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof(host));
	return mem_format("http://%s:%u", host, ntohs(address.v4.sin_port));
}

int listen_open(const char *where, int *ret_fd, char **ret_url)
{
	const char *path = unix_path(where);
	union address address = { 0 };
	int r;

	if (path) {
		r = open_unix(path, ret_fd);
		if (r >= 0)
			*ret_url = mem_dups(where);
		return r;
	}
	r = parse(where, &address);
	if (r < 0)
		return r;
	r = open_bound(&address,
		       address.any.sa_family == AF_INET6 ? sizeof(address.v6) : sizeof(address.v4));
	if (r < 0)
		return r;
	*ret_fd = r;
	*ret_url = url_of(r);
	return 0;
}

void listen_cleanup(const char *where)
{
	if (unix_path(where))
		(void)unlink(unix_path(where));
}
