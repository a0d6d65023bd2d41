/* SPDX-License-Identifier: MIT */
/* fs_world: a mount without a kernel: fs over an account of scripted answers, and
 * system calls as the kernel would send them.
 *
 * One at a time.  What is not as it has to be fails the test that runs. */
#ifndef TESTS_FS_WORLD_H
#define TESTS_FS_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "archive_world.h"
#include "fake_account.h"
#include "fs/fs.h"

#define FW_TTL_MS     30000
#define FW_GRACE_MS   10000
#define FW_TIMEOUT_MS 30000

struct fs_world {
	struct fake_account a;
	struct archive *archive; /* on archive_world's files */
	struct fs *fs;
	size_t next_try; /* the first that the test has not answered */
	pid_t tid;       /* whose calls they are */
	char dropped[2000]; /* " 12" for a node, " 12/name" for a name, since fw_forget_drops */
	char page[200];  /* what the kernel was last filled with */
	size_t page_len;
	unsigned fills;
	bool no_fill;    /* the kernel has no room */
};

extern struct fs_world fw;

/* Options that are not the usual ones are set by change (may be NULL). */
void fw_make(void (*change)(struct fs_options *options));
/* For cmocka. */
int fw_setup(void **state);
int fw_teardown(void **state);
/* Ends http inside the test, and nothing is answered any more. */
void fw_end_http(void);

/* A system call, and what became of it. */
struct call {
	struct fs_op op;
	bool done, parked;
	char text[8192]; /* what it gave */
};

void fw_submit(struct call *c);
/* One that must not wait; its error. */
int fw_run(struct call *c);

/* The node of a name, 0: there is none.  The kernel holds it afterwards. */
uint64_t fw_lookup(uint64_t parent, const char *name);
uint64_t fw_open(uint64_t node, int flags);
/* Gives the node's id when ret_node is not NULL. */
uint64_t fw_create(uint64_t dir, const char *name, uint64_t *ret_node);
int fw_write_at(uint64_t handle, uint64_t offset, int flags, const char *text);
void fw_write(uint64_t handle, const char *text); /* at 0, and it must work */
/* Begin to flush; c is zeroed. */
void fw_flush(struct call *c, uint64_t handle);
int fw_truncate(uint64_t node, uint64_t handle, uint64_t size);
void fw_close(uint64_t handle);
int fw_unlink(uint64_t dir, const char *name);
int fw_rmdir(const char *name);
/* Begin to rename within a directory; c is zeroed. */
void fw_rename(struct call *c, uint64_t dir, const char *from, const char *to);
/* What the node holds, through an open of its own.  Static. */
const char *fw_content(uint64_t node);
const char *fw_content_of(uint64_t handle); /* likewise */
/* " name name", in the order of a listing.  Static. */
const char *fw_list(uint64_t dir);
/* A whole file from create to close; its flush must not wait. */
int fw_put_file(uint64_t dir, const char *name, const char *text);
/* The value of a user.stacksfs attribute, "" for none.  Static. */
const char *fw_xattr(uint64_t node, const char *name);
/* What .stacksfs/errors says.  Static. */
const char *fw_errors(void);
/* Texts in lost. */
int fw_n_lost(void);
void fw_forget_drops(void);

/* The next request: "GET /v1/stacks".  Static. */
const char *fw_next_request(void);
const char *fw_next_body(void);
void fw_expect_no_request(void);
void fw_answer(int status, const char *body);
/* The next request must be that one. */
void fw_expect(const char *request, int status, const char *body);
/* The first list: records as fake_list makes them. */
void fw_first_list(const char *list);

/* A process for fw.tid: a copy of this one that is called comm and waits. */
struct fw_child {
	pid_t pid;
};
struct fw_child fw_child(const char *comm);
void fw_child_end(struct fw_child child);

#endif
