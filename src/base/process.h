/* SPDX-License-Identifier: MIT */
/* process: who made a system call: a thread group, with its start time and its
 * executable, so that neither a pid used again nor an exec(2) is mistaken for
 * the same program (proc(5)).
 *
 * Reads a few files of /proc, which wait for no device: it may be called inside
 * the monitor, while the caller waits for its answer.
 * Threads: any; no state, but for process_comms. */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_COMM_SIZE 16

struct process {
	pid_t pid;         /* of the thread group; 0: not known */
	uint64_t start;    /* clock ticks since boot */
	uint64_t exe_dev, exe_ino; /* 0: not to be seen */
	char comm[PROCESS_COMM_SIZE]; /* what ps shows */
};

/* The process of a thread.  All zeros when it cannot be seen: it has ended, or
 * lives in a pid namespace that is not ours. */
void process_of_thread(pid_t tid, struct process *ret);

/* Files of /proc that say what processes are called.  They are kept for the few that are
 * asked about again and again, for to open them is most of the cost.  Such a file is the
 * process's, not its number's.  All zeros at first.  Threads: one at a time. */
struct process_comms {
	struct process_comm_file {
		pid_t pid; /* 0: none */
		int fd;
	} kept[8];
	unsigned next;
};

/* The comm of a thread's process only; "" when it cannot be seen. */
void process_comm_of_thread(struct process_comms *comms, pid_t tid, char ret[PROCESS_COMM_SIZE]);
void process_comms_done(struct process_comms *comms);

/* Never true of one that is not known. */
bool process_same(const struct process *a, const struct process *b);
/* What a thread that waits in a system call wants of a name. */
enum process_wants {
	PROCESS_WANTS_UNKNOWN, /* it may not be asked */
	PROCESS_WANTS_TO_MAKE, /* open(2) with O_CREAT, link(2), rename(2) and the like */
	PROCESS_WANTS_TO_LOOK, /* stat(2), access(2) and the like */
	PROCESS_WANTS_TO_USE,  /* anything else */
};
enum process_wants process_wants(pid_t tid);
/* Whether the thread is one of the process's. */
bool process_has_thread(const struct process *process, pid_t tid);

#endif
