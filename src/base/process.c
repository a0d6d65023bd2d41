/* SPDX-License-Identifier: MIT */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/num.h"

#define START_FIELD 22 /* of /proc/PID/stat */

/* The file's text with a NUL; false: it is not there, or empty. */
static bool read_file(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	ssize_t n = read(fd, out, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	out[n] = '\0';
	return true;
}

/* No signal, to a thread of the group that has its number: tgkill(2) finds it only if
 * that is its first one, for a hundredth of what the kernel needs to write a status. */
static bool is_leader(pid_t tid)
{
	return tid > 0 && (syscall(SYS_tgkill, tid, tid, 0) == 0 || errno == EPERM);
}

static pid_t group_of(pid_t tid)
{
	char path[64], status[4096];
	uint64_t pid;

	if (is_leader(tid))
		return tid;
	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	if (tid <= 0 || !read_file(path, status, sizeof(status)))
		return 0;
	const char *line = strstr(status, "\nTgid:\t");
	if (!line)
		return 0;
	line += strlen("\nTgid:\t");
	if (num_parse_u64(line, strcspn(line, "\n"), INT32_MAX, &pid) < 0)
		return 0;
	return (pid_t)pid;
}

/* The comm stands in parentheses and may hold any byte, those too. */
static bool read_stat(pid_t pid, struct process *ret)
{
	char path[64], stat[2048];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!read_file(path, stat, sizeof(stat)))
		return false;
	const char *open = strchr(stat, '('), *p = strrchr(stat, ')');
	if (!open || !p || p < open)
		return false;
	size_t len = (size_t)(p - open - 1);
	if (len >= sizeof(ret->comm))
		len = sizeof(ret->comm) - 1;
	memcpy(ret->comm, open + 1, len);
	ret->comm[len] = '\0';

	for (unsigned field = 2; p && field < START_FIELD; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	return p && num_parse_u64(p, strcspn(p, " "), UINT64_MAX, &ret->start) == 0;
}

/* As the kernel has it in memory: the file may lie on a file system that does not
 * answer, or on the very one that is asking. */
static void read_exe(pid_t pid, struct process *ret)
{
	char path[64];
	struct statx st;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO, &st) < 0)
		return;
	ret->exe_dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	ret->exe_ino = st.stx_ino;
}

void process_of_thread(pid_t tid, struct process *ret)
{
	struct process found = { .pid = group_of(tid) };

	*ret = (struct process){ 0 };
	if (!found.pid || !read_stat(found.pid, &found))
		return;
	read_exe(found.pid, &found);
	*ret = found;
}

/* The file begins anew when it is read from its begin.  false: ret is as it was. */
static bool read_comm(int fd, char ret[PROCESS_COMM_SIZE])
{
	char text[PROCESS_COMM_SIZE]; /* a kernel thread's is longer */
	ssize_t n = pread(fd, text, sizeof(text), 0);

	if (n <= 0)
		return false;
	memcpy(ret, text, (size_t)n - 1); /* a newline is behind it */
	ret[n - 1] = '\0';
	return true;
}

static int open_comm(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	return pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

static bool read_kept(struct process_comms *comms, pid_t tid, char ret[PROCESS_COMM_SIZE])
{
	for (size_t i = 0; i < ARRAY_SIZE(comms->kept); i++) {
		if (comms->kept[i].pid != tid)
			continue;
		if (read_comm(comms->kept[i].fd, ret))
			return true;
		close(comms->kept[i].fd); /* it has ended, and this is another one */
		comms->kept[i].pid = 0;
	}
	return false;
}

/* Only of a leader, which has its number for as long as the process lives. */
static void keep(struct process_comms *comms, pid_t pid, int fd)
{
	struct process_comm_file *kept = &comms->kept[comms->next++ % ARRAY_SIZE(comms->kept)];

	if (kept->pid)
		close(kept->fd);
	*kept = (struct process_comm_file){ pid, fd };
}

void process_comm_of_thread(struct process_comms *comms, pid_t tid, char ret[PROCESS_COMM_SIZE])
{
	ret[0] = '\0';
	if (tid <= 0 || read_kept(comms, tid, ret))
		return;
	pid_t pid = group_of(tid);
	int fd = open_comm(pid);

	if (fd < 0)
		return;
	(void)read_comm(fd, ret);
	if (pid == tid)
		keep(comms, pid, fd);
	else
		close(fd);
}

void process_comms_done(struct process_comms *comms)
{
	for (size_t i = 0; i < ARRAY_SIZE(comms->kept); i++) {
		if (comms->kept[i].pid)
			close(comms->kept[i].fd);
	}
	*comms = (struct process_comms){ 0 };
}

bool process_same(const struct process *a, const struct process *b)
{
	return a->pid && a->pid == b->pid && a->start == b->start && a->exe_dev == b->exe_dev &&
	       a->exe_ino == b->exe_ino;
}

bool process_has_thread(const struct process *process, pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d", process->pid, tid);
	return process->pid && tid > 0 && access(path, F_OK) == 0;
}

/* ---- what it is doing ---- */

#define TRIES_UNTIL_ASLEEP 100

/* What is in no table is a use of something that is there. */
static const struct {
	long number;
	enum process_wants wants;
	int flags_at; /* which argument has open(2)'s flags; 0: none */
} calls[] = {
	{ SYS_openat, PROCESS_WANTS_TO_MAKE, 2 },
	{ SYS_renameat2, PROCESS_WANTS_TO_MAKE, 0 },
	{ SYS_linkat, PROCESS_WANTS_TO_MAKE, 0 },
	{ SYS_symlinkat, PROCESS_WANTS_TO_MAKE, 0 },
#ifdef SYS_openat2
	{ SYS_openat2, PROCESS_WANTS_TO_MAKE, 0 }, /* its flags are in the caller's memory */
#endif
#ifdef SYS_renameat
	{ SYS_renameat, PROCESS_WANTS_TO_MAKE, 0 },
#endif
#ifdef SYS_open /* the older ones, which newer machines have not */
	{ SYS_open, PROCESS_WANTS_TO_MAKE, 1 },
	{ SYS_creat, PROCESS_WANTS_TO_MAKE, 0 },
	{ SYS_rename, PROCESS_WANTS_TO_MAKE, 0 },
	{ SYS_link, PROCESS_WANTS_TO_MAKE, 0 },
	{ SYS_symlink, PROCESS_WANTS_TO_MAKE, 0 },
	{ SYS_stat, PROCESS_WANTS_TO_LOOK, 0 },
	{ SYS_lstat, PROCESS_WANTS_TO_LOOK, 0 },
	{ SYS_access, PROCESS_WANTS_TO_LOOK, 0 },
#endif
#ifdef SYS_newfstatat
	{ SYS_newfstatat, PROCESS_WANTS_TO_LOOK, 0 },
#endif
#ifdef SYS_statx
	{ SYS_statx, PROCESS_WANTS_TO_LOOK, 0 },
#endif
	{ SYS_faccessat, PROCESS_WANTS_TO_LOOK, 0 },
#ifdef SYS_faccessat2
	{ SYS_faccessat2, PROCESS_WANTS_TO_LOOK, 0 },
#endif
};

/* The number that begins at s, "0x1f" or "31"; false: there is none. */
static bool parse_number(const char *s, uint64_t *ret)
{
	unsigned base = strncmp(s, "0x", 2) == 0 ? 16 : 10;
	const char *p = base == 16 ? s + 2 : s;
	const char *first = p;
	uint64_t n = 0;

	for (;; p++) {
		const char *digits = "0123456789abcdef", *at = *p ? strchr(digits, *p) : NULL;

		if (!at || (unsigned)(at - digits) >= base)
			break;
		n = n * base + (uint64_t)(at - digits);
	}
	*ret = n;
	return p > first;
}

/* The flags of open(2), among the numbers that follow the call's. */
static bool parse_flags(const char *call, int at, uint64_t *ret)
{
	const char *p = call;

	for (int field = -1; p && field < at; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	return p && parse_number(p, ret);
}

static enum process_wants judge_call(const char *call)
{
	uint64_t number, flags;

	if (!parse_number(call, &number))
		return PROCESS_WANTS_UNKNOWN;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (number != (uint64_t)calls[i].number)
			continue;
		if (calls[i].flags_at && parse_flags(call, calls[i].flags_at, &flags) &&
		    !(flags & O_CREAT))
			return PROCESS_WANTS_TO_USE;
		return calls[i].wants;
	}
	return PROCESS_WANTS_TO_USE;
}

/* proc(5), /proc/PID/syscall.  It says "running" until the thread, which has just
 * sent its request, sleeps. */
enum process_wants process_wants(pid_t tid)
{
	char path[64], call[256];

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	for (unsigned i = 0; i < TRIES_UNTIL_ASLEEP; i++) {
		if (tid <= 0 || !read_file(path, call, sizeof(call)))
			return PROCESS_WANTS_UNKNOWN;
		if (strncmp(call, "running", strlen("running")) != 0)
			return judge_call(call);
		sched_yield();
	}
	return PROCESS_WANTS_UNKNOWN;
}
