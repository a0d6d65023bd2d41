/* SPDX-License-Identifier: MIT */
/* What the files of fuse share. */
#ifndef FUSE_PRIVATE_H
#define FUSE_PRIVATE_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <stdatomic.h>

#include "base/monitor.h"
#include "fs/fs.h"

struct interrupts;
struct notifier;

struct mount {
	struct fs *fs;
	struct fuse_session *session;
	struct interrupts *interrupts;
	struct notifier *notifier;
	pthread_t loop_thread;
	_Atomic bool want_parallel_dirops; /* set by init, used for its reply */
	_Atomic bool detached;
	_Atomic bool looping;
	uid_t owner;
	/* The loop's own. */
	size_t read_bytes;   /* of what libfuse reads into */
	bool may_linger;
	int64_t linger_ns;   /* before it sleeps */
	int64_t may_move_ns; /* to another core; on CLOCK_MONOTONIC */
	struct released {
		uint64_t unique; /* of the request */
		uint64_t handle;
	} released[16];
	unsigned n_released;
};

/* One request of the kernel's, from its arrival until its reply. */
struct request {
	struct fs_op op;
	struct mount *mount;
	fuse_req_t req;
	void (*reply)(struct request *request);
	bool watched;         /* by interrupts */
	size_t size;          /* of what the caller has room for */
	struct fuse_file_info fi;
	char *dirents;        /* a listing being filled */
	size_t dirents_len;
	uint64_t *given;      /* nodes that the listing has given out */
	size_t n_given;
	char *more; /* a second name, or a symlink's target */
	char name[];
};

/* ops.c */
extern const struct fuse_lowlevel_ops mount_ops;
void request_reply(struct request *request); /* answers and frees it */

/* notify.c: threads that tell the kernel what to drop, for that may wait */
NODISCARD int notifier_new(struct fuse_session *session, struct notifier **ret);
NODISCARD int notifier_start(struct notifier *notifier);
/* Ahead of the device's end: nothing more is sent, and what waited is replied to.  Whether all has
 * been sent that was begun; waits for it for a moment only, for it may itself wait for who holds
 * a directory until an answer comes: see device_refuse, and ask again. */
bool notifier_stop(struct notifier *notifier);
void notifier_free(struct notifier *notifier);
DEFINE_CLEANUP(struct notifier, notifier_free)
void notifier_fs_kernel(struct notifier *notifier, struct fs_kernel *ret);
/* Drop what the kernel holds of the request's drop_node, then reply. */
void notifier_drop_then_reply(struct notifier *notifier, struct request *request);

/* interrupt.c: which waiting requests are to end because of a signal */
NODISCARD int interrupts_new(struct fs *fs, struct interrupts **ret);
NODISCARD int interrupts_start(struct interrupts *interrupts);
void interrupts_free(struct interrupts *interrupts);
DEFINE_CLEANUP(struct interrupts, interrupts_free)
void interrupts_watch(struct interrupts *interrupts, fuse_req_t req, uint64_t serial, pid_t tid);
void interrupts_forget(struct interrupts *interrupts, uint64_t serial);

/* device.c: reading and writing /dev/fuse */
NODISCARD int device_take(struct mount *mount);
void device_sever(struct mount *mount);
/* After the loop: whoever has sent a request since gets -ENOTCONN. */
void device_refuse(struct mount *mount);

/* shortcut.c: on the loop's thread only */
/* Whether the request was taken, and is not libfuse's. */
bool shortcut_take(struct mount *mount, const void *message, size_t len);
/* What nobody waits for: the loop has nothing else to do. */
void shortcut_settle(struct mount *mount);

#endif
