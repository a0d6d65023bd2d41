/* SPDX-License-Identifier: MIT */
#include "base/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static pid_t group_of(pid_t tid)
{
	char path[64], status[4096];
	uint64_t pid;

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

void process_of_thread(pid_t tid, struct process *ret)
{
	struct process found = { .pid = group_of(tid) };
	char path[64];
	struct stat st;

	*ret = (struct process){ 0 };
	if (!found.pid || !read_stat(found.pid, &found))
		return;
	snprintf(path, sizeof(path), "/proc/%d/exe", found.pid);
	if (stat(path, &st) == 0) {
		found.exe_dev = st.st_dev;
		found.exe_ino = st.st_ino;
	}
	*ret = found;
}

bool process_same(const struct process *a, const struct process *b)
{
	return a->pid && a->pid == b->pid && a->start == b->start && a->exe_dev == b->exe_dev &&
	       a->exe_ino == b->exe_ino;
}

bool process_alive(const struct process *process)
{
	struct process now;

	process_of_thread(process->pid, &now);
	return process_same(process, &now);
}

bool process_has_thread(const struct process *process, pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d", process->pid, tid);
	return process->pid && tid > 0 && access(path, F_OK) == 0;
}
