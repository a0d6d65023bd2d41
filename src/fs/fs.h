/* SPDX-License-Identifier: MIT */
/* fs: what each operation means on each kind of node.  Knows no libfuse: an
 * operation comes as a struct fs_op and is answered by its done.
 *
 * An operation is a step function that is run until it needs nothing more: when
 * something must be fetched it is parked and run again from its start once that
 * has ended, so no thread ever waits for the API.
 *
 * Threads: any thread may call what takes a struct fs; callbacks of an op say
 * where they run. */
#ifndef FS_FS_H
#define FS_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include "api/api.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/macros.h"
#include "base/monitor.h"
#include "base/process.h"
#include "base/timer.h"
#include "draft/archive.h"
#include "store/store.h"

#define FS_ROOT 1 /* the root's node id */

struct fs;

enum fs_call {
	FS_LOOKUP,   /* node: the directory; name.  Gives entry */
	FS_GETATTR,  /* node; handle or 0.  Gives entry's attr and attr_ms */
	FS_READLINK, /* node.  Gives data */
	FS_OPEN,     /* node, flags.  Gives handle and the cache flags */
	FS_READ,     /* handle, size, offset.  Gives data */
	FS_WRITE,    /* handle, size, offset, bytes, flags */
	FS_FLUSH,    /* handle */
	FS_FSYNC,    /* handle */
	FS_OPENDIR,  /* node.  Gives handle and keep_cache */
	FS_READDIR,  /* handle, offset, emit, plus */
	FS_GETXATTR, /* node, name.  Gives data */
	FS_LISTXATTR, /* node.  Gives data */
	FS_STATFS,   /* gives statvfs */
	FS_SETATTR,  /* node; handle or 0; set.  Gives entry's attr and attr_ms */
	FS_CREATE,   /* node: the directory; name, flags, mode.  Gives entry and handle */
	FS_MKNOD,    /* node, name */
	FS_MKDIR,    /* node, name, mode.  Gives entry */
	FS_SYMLINK,  /* node, name, target.  Gives entry */
	FS_LINK,     /* source, node, name.  Gives entry */
	FS_UNLINK,   /* node, name */
	FS_RMDIR,    /* node, name */
	FS_RENAME,   /* node, name; to, new_name, flags (RENAME_*) */
	FS_N_CALLS
};

/* What FS_SETATTR is to change. */
enum fs_set {
	FS_SET_MODE = 1,
	FS_SET_UID = 2,
	FS_SET_GID = 4,
	FS_SET_SIZE = 8,
	FS_SET_ATIME = 16,
	FS_SET_MTIME = 32,
};

struct fs_entry {
	uint64_t node;     /* 0 with err 0: there is none, and that may be remembered */
	struct stat attr;
	uint64_t entry_ms; /* how long the kernel need not ask again */
	uint64_t attr_ms;
};

struct fs_dirent {
	const char *name;
	uint64_t cookie; /* of this entry: where to go on after it */
	struct fs_entry entry; /* node 0: no attributes but st_ino and st_mode's type */
};

struct fs_op {
	/* in: set by the caller, which zeroes the rest */
	enum fs_call call;
	uint64_t node;
	uint64_t handle;
	const char *name; /* borrowed until done */
	int flags;
	size_t size;
	uint64_t offset;
	const void *bytes;    /* borrowed for fs_submit only */
	const char *target;   /* of a symlink; borrowed until done, as the next */
	const char *new_name;
	uint64_t to;          /* the directory of new_name */
	uint64_t source;      /* what is linked */
	mode_t mode;
	unsigned set;         /* enum fs_set */
	struct stat attr;     /* their values */
	uid_t uid;            /* of who made the system call */
	gid_t gid;
	pid_t tid;        /* of the thread that made the system call; 0: nobody */
	bool plus;
	/* Inside the monitor: false: no room, this entry comes again. */
	bool (*emit)(struct fs_op *op, const struct fs_dirent *entry);
	/* Inside the monitor, at most once, before done: the op waits. */
	void (*parked)(struct fs_op *op);
	/* Exactly once, on any thread, outside the monitor.  The op is the
	 * caller's again; fs_op_end before it is freed. */
	void (*done)(struct fs_op *op);

	/* out */
	int err; /* 0 or a negative errno */
	struct fs_entry entry;
	const char *data; /* borrowed until fs_op_end */
	size_t data_len;
	struct statvfs statvfs;
	bool keep_cache;
	bool direct_io;
	/* Not 0: what the kernel holds of this node must be dropped before the answer,
	 * an error too. */
	uint64_t drop_node;
	/* The same of all names that the kernel was told of before.  Not for an op over
	 * which the kernel holds a directory. */
	bool drop_names;

	/* private */
	struct fs *fs;
	struct fs_op *prev, *next;
	uint64_t serial;
	struct store_wait wait;
	struct deferred deferred;
	struct record *held_record;
	struct blob *held_blob;
	char *own;                   /* data made for this op */
	struct process process;      /* whose system call it is, once asked for */
	bool process_known;
	struct fs_change *change;    /* that it has begun */
	const struct node *awaits;   /* whose text is being saved */
	uint64_t awaits_dir;         /* cookie of the draft that is being made a stack; 0: none */
	uint64_t deadline_ms;        /* since it waits: when a change that it begins has to end */
	uint64_t generation;         /* of that text; 0: not begun to wait */
	struct fs_op *wake_next;
	struct api_error *reason;    /* why it was refused here */
};

/* What the kernel keeps.  Called inside the monitor; drop_ must only queue. */
struct fs_kernel {
	void (*drop_node)(void *arg, uint64_t node); /* attributes, pages, a cached listing */
	void (*drop_name)(void *arg, uint64_t parent, const char *name);
	/* Put that in the place of all pages of the node, at once; false: not done, the
	 * pages may be what they were.  Only of a file that nobody has open: else a page
	 * may be locked by a READ that waits for the caller.  May be NULL. */
	bool (*fill)(void *arg, uint64_t node, const char *text, size_t len);
	void *arg;
};

struct fs_options {
	struct monitor *monitor; /* borrowed, as all of these */
	struct timers *timers;
	struct http *http;
	struct api *api;
	const struct clock *clock;
	const char *source;      /* for status */
	const char *mountpoint;
	uint64_t ttl_ms, stale_ms;
	uid_t uid;
	gid_t gid;
	mode_t umask;
	bool tokens;
	/* What changes need. */
	struct archive *archive;
	unsigned timeout_ms;
	bool ro, dry_run, overwrite, delete_in_use;
	unsigned max_delete, max_rotate; /* a minute; 0: no limit */
	uint64_t grace_ms;
	size_t scratch_bytes;
	const char *rotate_by;   /* names of programs, separated by ':' */
};

NODISCARD int fs_new(const struct fs_options *options, struct fs **ret); /* -ENOMEM */
/* No request is under way and no op unanswered.  NULL is fine. */
void fs_free(struct fs *fs);
DEFINE_CLEANUP(struct fs, fs_free)

/* Begin the first list; first_page is called once, inside the monitor, with
 * NULL or the reason. */
NODISCARD int fs_start(struct fs *fs, void (*first_page)(void *arg, const struct api_error *error),
		       void *arg);
/* Before the first op. */
void fs_set_kernel(struct fs *fs, const struct fs_kernel *kernel);

/* The most frequent call, an open that needs nothing: of a stack's directory, or of a
 * file that is only to be read, where what the kernel keeps of it is fresh.  answer is
 * called before all that can wait, inside the monitor, with the handle and whether the
 * kernel may go on keeping that; it says false when nobody took the handle.
 * Returns false for no such open, or one that is to be seen in the log: submit it. */
bool fs_open_fresh(struct fs *fs, uint64_t node, int flags, pid_t tid,
		   bool (*answer)(void *arg, uint64_t handle, bool keep_cache), void *arg);
void fs_submit(struct fs *fs, struct fs_op *op);
void fs_op_end(struct fs_op *op);
/* End the parked op with that serial by -EINTR; nothing when there is none. */
void fs_interrupt(struct fs *fs, uint64_t serial);
/* No answer will come any more (http_free is next): changes that wait end, and
 * every op that is still parked ends with err. */
void fs_end_parked(struct fs *fs, int err);
/* Changes of the account that are under way. */
unsigned fs_n_changes(struct fs *fs);
/* The mount ends: texts that are not saved go to lost. */
void fs_keep_drafts(struct fs *fs);

void fs_forget(struct fs *fs, uint64_t node, uint64_t n_lookups);
/* Ends a handle of FS_OPEN or FS_OPENDIR. */
void fs_release(struct fs *fs, uint64_t handle);
/* Whether the handle may change its file: its end may be one for others, too.  Any thread, while
 * it is open. */
bool fs_writes(uint64_t handle);
/* Revalidate everything, in the background (SIGHUP). */
void fs_refresh(struct fs *fs);

/* The machine has slept.  Nothing is asked for, but by the next who looks: the kernel,
 * which has counted no time meanwhile, is told to keep no attributes. */
void fs_woke(struct fs *fs);

#endif
