/* SPDX-License-Identifier: MIT */
/* listen: a socket that only this machine can reach. */
#ifndef EMULATOR_LISTEN_H
#define EMULATOR_LISTEN_H

#include "mem.h"

/* where: unix:PATH, or ADDRESS:PORT with a numeric loopback address ([::1]:0 too; port 0: a free
 * one).  *ret_url is what to connect to, owned by the caller: http://… or unix:PATH.
 * -EINVAL: not of that form; -EPERM: not loopback; other -errno. */
NODISCARD int listen_open(const char *where, int *ret_fd, char **ret_url);
/* Removes the path of a unix socket. */
void listen_cleanup(const char *where);

#endif
