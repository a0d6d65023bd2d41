/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/process.h"

static bool is_unknown(const struct process *p)
{
	const struct process none = { 0 };

	return memcmp(p, &none, sizeof(none)) == 0;
}

static struct process self(void)
{
	struct process p;

	process_of_thread(getpid(), &p);
	return p;
}

static struct process_comms comms;

/* Asked for the second time, too. */
static const char *comm_of(pid_t tid)
{
	static char comm[2][PROCESS_COMM_SIZE];

	process_comm_of_thread(&comms, tid, comm[0]);
	process_comm_of_thread(&comms, tid, comm[1]);
	assert_string_equal(comm[0], comm[1]);
	return comm[1];
}

/* And still that program. */
static bool runs_still(const struct process *process)
{
	struct process now;

	process_of_thread(process->pid, &now);
	return process_same(process, &now);
}

static void test_itself(void **state)
{
	struct process p = self(), q = self();

	assert_int_equal(p.pid, getpid());
	assert_true(p.start > 0);
	assert_true(p.exe_ino > 0);
	assert_true(process_same(&p, &q));
	assert_true(runs_still(&p));
	assert_true(process_has_thread(&p, getpid()));
	assert_false(process_has_thread(&p, getppid()));
}

/* ---- a thread ---- */

struct thread {
	pthread_t thread;
	pid_t tid;
	int told[2], end[2]; /* pipes */
};

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	char c;

	t->tid = gettid();
	prctl(PR_SET_NAME, "worker");
	if (write(t->told[1], "", 1) != 1 || read(t->end[0], &c, 1) != 0)
		abort();
	return NULL;
}

static void test_a_thread_is_its_process(void **state)
{
	struct process p = self(), q;
	struct thread t;
	char c;

	assert_int_equal(pipe2(t.told, O_CLOEXEC), 0);
	assert_int_equal(pipe2(t.end, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&t.thread, NULL, thread_main, &t), 0);
	assert_int_equal(read(t.told[0], &c, 1), 1);
	assert_int_not_equal(t.tid, getpid());

	process_of_thread(t.tid, &q);
	assert_int_equal(q.pid, getpid());
	assert_true(process_same(&p, &q));
	assert_string_equal(p.comm, q.comm); /* the process's, not the thread's */
	assert_string_equal(comm_of(t.tid), q.comm);
	assert_true(process_has_thread(&p, t.tid));

	close(t.end[1]);
	assert_int_equal(pthread_join(t.thread, NULL), 0);
	close(t.end[0]);
	close(t.told[0]);
	close(t.told[1]);
	assert_true(runs_still(&p));
}

/* ---- children ---- */

struct child {
	pid_t pid;
	int hold; /* it runs until this is closed */
	int exec; /* a pipe's end that its exec closes */
};

/* exec: become cat(1) at once; otherwise a copy of this program goes on. */
static struct child start(bool exec)
{
	int hold[2], gone[2];
	char c;

	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	assert_int_equal(pipe2(gone, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(hold[1]);
		if (exec) {
			dup2(hold[0], STDIN_FILENO);
			execl("/bin/cat", "cat", (char *)NULL);
			_exit(127);
		}
		_exit(read(hold[0], &c, 1) == 0 ? 0 : 1);
	}
	close(hold[0]);
	close(gone[1]);
	return (struct child){ .pid = pid, .hold = hold[1], .exec = gone[0] };
}

static void wait_for_exec(const struct child *child)
{
	char c;

	assert_int_equal(read(child->exec, &c, 1), 0);
}

static void end(const struct child *child)
{
	int status;

	close(child->hold);
	close(child->exec);
	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	assert_int_equal(status, 0);
}

static void test_a_child_is_another_process(void **state)
{
	struct process p = self(), q, dead;
	struct child child = start(false);

	process_of_thread(child.pid, &q);
	assert_int_equal(q.pid, child.pid);
	assert_int_equal(q.exe_ino, p.exe_ino);
	assert_true(q.start >= p.start);
	assert_false(process_same(&p, &q));
	assert_true(runs_still(&q));
	assert_true(process_has_thread(&q, child.pid));
	assert_false(process_has_thread(&p, child.pid));

	end(&child);
	assert_false(runs_still(&q));
	assert_false(process_has_thread(&q, child.pid));
	process_of_thread(child.pid, &dead);
	assert_true(is_unknown(&dead));
	assert_false(process_same(&dead, &q));
}

static void test_another_program_is_another_process(void **state)
{
	struct process p = self(), q;
	struct child child = start(true);

	wait_for_exec(&child);
	process_of_thread(child.pid, &q);
	assert_int_equal(q.pid, child.pid);
	assert_string_equal(q.comm, "cat");
	assert_string_equal(comm_of(child.pid), "cat");
	assert_true(q.exe_ino != p.exe_ino || q.exe_dev != p.exe_dev);
	assert_true(runs_still(&q));

	/* What it was before its exec has the same pid and start. */
	struct process before = q;
	before.exe_dev = p.exe_dev;
	before.exe_ino = p.exe_ino;
	assert_false(process_same(&before, &q));
	assert_false(runs_still(&before));
	end(&child);
	assert_false(runs_still(&q));
}

static void test_a_pid_that_is_used_again_is_another_process(void **state)
{
	struct process p = self(), q = p;

	q.start--;
	assert_false(process_same(&p, &q));
	assert_false(runs_still(&q));
}

static void test_the_unknown_is_nobody(void **state)
{
	static const pid_t none[] = { 0, -1, INT32_MAX };
	struct process p, q = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		memset(&p, 0xff, sizeof(p));
		process_of_thread(none[i], &p);
		assert_true(is_unknown(&p));
		assert_string_equal(comm_of(none[i]), "");
	}
	assert_false(process_same(&p, &q));
	assert_false(runs_still(&p));
	assert_false(process_has_thread(&p, getpid()));
	p = self();
	assert_false(process_has_thread(&p, 0));
	assert_false(process_has_thread(&p, -1));
}

/* The kernel puts the name between parentheses and escapes none in it. */
static void test_any_name(void **state)
{
	static const char *const names[] = {
		"a) (b", ") (", "))) 1 2 ((",      "(",
		"x\ny",  "",    "fifteen bytes..", "a name that is too long"
	};
	struct process before = self();
	char name[PROCESS_COMM_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(prctl(PR_SET_NAME, names[i]), 0);
		struct process p = self();

		strncat(memset(name, 0, sizeof(name)), names[i], sizeof(name) - 1);
		assert_string_equal(p.comm, name);
		assert_string_equal(comm_of(getpid()), name);
		assert_true(process_same(&before, &p));
	}
	prctl(PR_SET_NAME, before.comm);
}

/* What is kept of one that has ended says nothing of another with its number. */
static void test_a_kept_comm_is_its_process(void **state)
{
	struct process p = self();
	struct child child = start(true);
	struct process_comm_file *kept = NULL;

	wait_for_exec(&child);
	assert_string_equal(comm_of(child.pid), "cat");
	for (size_t i = 0; i < ARRAY_SIZE(comms.kept); i++) {
		if (comms.kept[i].pid == child.pid)
			kept = &comms.kept[i];
	}
	assert_non_null(kept);
	end(&child);
	kept->pid = getppid();
	assert_string_not_equal(comm_of(getppid()), "");
	assert_string_not_equal(comm_of(getppid()), "cat");
	assert_string_equal(comm_of(child.pid), "");
	assert_string_equal(comm_of(getpid()), p.comm);
}

static int n_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_few_comms_are_kept(void **state)
{
	struct child children[2 * ARRAY_SIZE(comms.kept)];

	process_comms_done(&comms);
	int before = n_descriptors();
	for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
		children[i] = start(true);
		wait_for_exec(&children[i]);
		assert_string_equal(comm_of(children[i].pid), "cat");
	}
	assert_int_equal(n_descriptors(), before + 2 * (int)ARRAY_SIZE(children) +
						  (int)ARRAY_SIZE(comms.kept));
	for (size_t i = 0; i < ARRAY_SIZE(children); i++)
		end(&children[i]);
	process_comms_done(&comms);
	assert_int_equal(n_descriptors(), before);
}

/* ---- what it is doing ---- */

static struct stat found;

static const struct {
	long number;
	long arguments[4];
	enum process_wants wanted;
} system_calls[] = {
	{ SYS_openat, { AT_FDCWD, (long)"/nowhere", O_RDONLY }, PROCESS_WANTS_TO_USE },
	{ SYS_openat, { AT_FDCWD, (long)"/nowhere", O_RDWR | O_TRUNC }, PROCESS_WANTS_TO_USE },
	{ SYS_openat, { AT_FDCWD, (long)"/nowhere/x", O_WRONLY | O_CREAT }, PROCESS_WANTS_TO_MAKE },
	{ SYS_openat, { AT_FDCWD, (long)"/nowhere/x", O_RDWR | O_CREAT | O_EXCL | O_TRUNC, 0600 },
	  PROCESS_WANTS_TO_MAKE },
	{ SYS_renameat2, { AT_FDCWD, (long)"/nowhere", AT_FDCWD, (long)"/x" }, PROCESS_WANTS_TO_MAKE },
	{ SYS_linkat, { AT_FDCWD, (long)"/nowhere", AT_FDCWD, (long)"/x" }, PROCESS_WANTS_TO_MAKE },
	{ SYS_symlinkat, { (long)"x", AT_FDCWD, (long)"/nowhere/x" }, PROCESS_WANTS_TO_MAKE },
	{ SYS_faccessat, { AT_FDCWD, (long)"/nowhere", R_OK }, PROCESS_WANTS_TO_LOOK },
	{ SYS_unlinkat, { AT_FDCWD, (long)"/nowhere" }, PROCESS_WANTS_TO_USE },
	{ SYS_readlinkat, { AT_FDCWD, (long)"/nowhere" }, PROCESS_WANTS_TO_USE },
#ifdef SYS_open
	{ SYS_open, { (long)"/nowhere", O_RDONLY }, PROCESS_WANTS_TO_USE },
	{ SYS_open, { (long)"/nowhere/x", O_WRONLY | O_CREAT, 0600 }, PROCESS_WANTS_TO_MAKE },
	{ SYS_creat, { (long)"/nowhere/x", 0600 }, PROCESS_WANTS_TO_MAKE },
	{ SYS_rename, { (long)"/nowhere", (long)"/x" }, PROCESS_WANTS_TO_MAKE },
	{ SYS_stat, { (long)"/nowhere", (long)&found }, PROCESS_WANTS_TO_LOOK },
	{ SYS_lstat, { (long)"/nowhere", (long)&found }, PROCESS_WANTS_TO_LOOK },
	{ SYS_access, { (long)"/nowhere" }, PROCESS_WANTS_TO_LOOK },
#endif
};

/* A child that stops before each of its system calls. */
static pid_t traced(const long *call, const long *arguments)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		syscall(*call, arguments[0], arguments[1], arguments[2], arguments[3]);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD), 0);
	return pid;
}

/* It is about to make that call. */
static void run_until(pid_t pid, long call)
{
	struct __ptrace_syscall_info info = { 0 };
	int status;

	while (info.op != PTRACE_SYSCALL_INFO_ENTRY || (long)info.entry.nr != call) {
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSTOPPED(status));
		assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0);
	}
}

static void test_what_a_thread_wants_of_a_name(void **state)
{
	int status;

	for (size_t i = 0; i < ARRAY_SIZE(system_calls); i++) {
		pid_t pid = traced(&system_calls[i].number, system_calls[i].arguments);

		run_until(pid, system_calls[i].number);
		assert_int_equal(process_wants(pid), system_calls[i].wanted);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
}

static void test_nobody_wants_anything(void **state)
{
	static const pid_t none[] = { 0, -1, INT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_int_equal(process_wants(none[i]), PROCESS_WANTS_UNKNOWN);
	/* Who runs has asked for nothing. */
	assert_int_not_equal(process_wants(getpid()), PROCESS_WANTS_TO_MAKE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_itself),
		cmocka_unit_test(test_a_thread_is_its_process),
		cmocka_unit_test(test_a_child_is_another_process),
		cmocka_unit_test(test_another_program_is_another_process),
		cmocka_unit_test(test_a_pid_that_is_used_again_is_another_process),
		cmocka_unit_test(test_the_unknown_is_nobody),
		cmocka_unit_test(test_any_name),
		cmocka_unit_test(test_a_kept_comm_is_its_process),
		cmocka_unit_test(test_few_comms_are_kept),
		cmocka_unit_test(test_what_a_thread_wants_of_a_name),
		cmocka_unit_test(test_nobody_wants_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
