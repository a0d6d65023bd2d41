/* SPDX-License-Identifier: MIT */
/* daemon: into the background, and back to the caller only when it is known
 * whether the mount works.
 *
 * The child stays in the caller's process group, with its terminal and stderr,
 * until it is ready: Ctrl-C ends both.  Then it gets a session of its own and
 * /dev/null, before the parent goes: a $(stacksfs ...) must not wait for our
 * stdout.  If the caller has gone meanwhile, daemon_ready fails and the child
 * is to undo the mount.
 * With foreground the same calls work, without a second process.  What the caller had
 * open besides 0, 1 and 2 is closed in either case.
 * Threads: daemon_start before the first one (only the calling thread survives
 * a fork); the rest by any thread, one at a time. */
#ifndef DAEMON_H
#define DAEMON_H

#include <stdbool.h>
#include <sys/un.h>

#include "base/macros.h"

struct daemon {
	int fd; /* to the parent; -1: nobody waits */
	bool foreground;
	char notify_socket[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1]; /* or "" */
};

/* 0 in the process that goes on.  1 in the parent, after the child has reported:
 * its text has been printed, *ret_status is what to exit with, and *ret is not
 * set.  -EAGAIN, -ENOMEM, -EMFILE.
 * The child's directory is /, and descriptors above 2 are closed in it: call
 * before anything is opened, openlog(3) included. */
NODISCARD int daemon_start(bool foreground, struct daemon *ret, int *ret_status);

/* The mount works: the caller gets exit status 0, $NOTIFY_SOCKET READY=1
 * (sd_notify(3)).  -EPIPE: the caller has gone. */
NODISCARD int daemon_ready(struct daemon *d);

/* It does not: the caller prints "stacksfs: " and why, and exits with 1.  The
 * child, or with foreground this process, still has to exit by itself. */
void daemon_failed(struct daemon *d, const char *why);

#endif
