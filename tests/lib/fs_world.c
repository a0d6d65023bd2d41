/* SPDX-License-Identifier: MIT */
#include "fs_world.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fs_world fw;

/* ---- the world ---- */

static void note_drop(const char *fmt, ...)
{
	size_t len = strlen(fw.dropped);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fw.dropped + len, sizeof(fw.dropped) - len, fmt, ap);
	va_end(ap);
}

static void on_drop_node(void *arg, uint64_t node)
{
	note_drop(" %llu", (unsigned long long)node);
}

static void on_drop_name(void *arg, uint64_t parent, const char *name)
{
	note_drop(" %llu/%s", (unsigned long long)parent, name);
}

static bool on_fill(void *arg, uint64_t node, const char *text, size_t len)
{
	if (fw.no_fill)
		return false;
	assert_true(len < sizeof(fw.page));
	memcpy(fw.page, text, len);
	fw.page_len = len;
	fw.fills++;
	return true;
}

void fw_make(void (*change)(struct fs_options *options))
{
	const struct fs_kernel kernel = { on_drop_node, on_drop_name, on_fill, NULL };

	memset(&fw, 0, sizeof(fw));
	archive_world_setup(NULL);
	fw.archive = open_archive();
	fake_account_init(&fw.a, NULL, 0, 0);
	struct fs_options options = {
		.monitor = fw.a.monitor,
		.timers = fw.a.timers,
		.http = fw.a.http,
		.api = fw.a.api,
		.clock = &fw.a.clock.base,
		.source = "http://127.0.0.1:1",
		.mountpoint = "/mnt",
		.ttl_ms = FW_TTL_MS,
		.stale_ms = 3600000,
		.umask = 077,
		.tokens = true,
		.archive = fw.archive,
		.timeout_ms = FW_TIMEOUT_MS,
		.grace_ms = FW_GRACE_MS,
		.max_delete = 10,
		.max_rotate = 10,
		.scratch_bytes = 64 << 20,
		.rotate_by = "rm:unlink",
	};
	if (change)
		change(&options);
	assert_int_equal(fs_new(&options, &fw.fs), 0);
	assert_int_equal(fs_start(fw.fs, NULL, NULL), 0);
	fs_set_kernel(fw.fs, &kernel);
	fw.tid = getpid();
}

int fw_setup(void **state)
{
	fw_make(NULL);
	return 0;
}

void fw_end_http(void)
{
	http_free(fw.a.http);
	fw.a.http = NULL;
}

int fw_teardown(void **state)
{
	fw_end_http();
	fs_free(fw.fs);
	archive_free(fw.archive);
	fake_account_done(&fw.a);
	return archive_world_teardown(NULL);
}

/* ---- system calls ---- */

static void on_done(struct fs_op *op)
{
	struct call *c = (struct call *)op;

	c->done = true;
	if (op->data)
		snprintf(c->text, sizeof(c->text), "%.*s", (int)op->data_len, op->data);
	fs_op_end(op);
}

static void on_parked(struct fs_op *op)
{
	((struct call *)op)->parked = true;
}

void fw_submit(struct call *c)
{
	c->op.done = on_done;
	c->op.parked = on_parked;
	c->op.tid = fw.tid;
	fs_submit(fw.fs, &c->op);
}

int fw_run(struct call *c)
{
	fw_submit(c);
	assert_true(c->done);
	return c->op.err;
}

uint64_t fw_lookup(uint64_t parent, const char *name)
{
	struct call c = { .op = { .call = FS_LOOKUP, .node = parent, .name = name } };

	assert_int_equal(fw_run(&c), 0);
	return c.op.entry.node;
}

uint64_t fw_open(uint64_t node, int flags)
{
	struct call c = { .op = { .call = FS_OPEN, .node = node, .flags = flags } };

	assert_int_equal(fw_run(&c), 0);
	return c.op.handle;
}

uint64_t fw_create(uint64_t dir, const char *name, uint64_t *ret_node)
{
	struct call c = { .op = { .call = FS_CREATE, .node = dir, .name = name,
				  .flags = O_WRONLY | O_CREAT, .mode = 0600 } };

	assert_int_equal(fw_run(&c), 0);
	if (ret_node)
		*ret_node = c.op.entry.node;
	return c.op.handle;
}

int fw_write_at(uint64_t handle, uint64_t offset, int flags, const char *text)
{
	struct call c = { .op = { .call = FS_WRITE, .handle = handle, .offset = offset,
				  .flags = flags, .bytes = text, .size = strlen(text) } };

	return fw_run(&c);
}

void fw_write(uint64_t handle, const char *text)
{
	assert_int_equal(fw_write_at(handle, 0, 0, text), 0);
}

void fw_flush(struct call *c, uint64_t handle)
{
	*c = (struct call){ .op = { .call = FS_FLUSH, .handle = handle } };
	fw_submit(c);
}

int fw_truncate(uint64_t node, uint64_t handle, uint64_t size)
{
	struct call c = { .op = { .call = FS_SETATTR, .node = node, .handle = handle,
				  .set = FS_SET_SIZE, .attr.st_size = (off_t)size } };

	return fw_run(&c);
}

void fw_close(uint64_t handle)
{
	fs_release(fw.fs, handle);
}

int fw_unlink(uint64_t dir, const char *name)
{
	struct call c = { .op = { .call = FS_UNLINK, .node = dir, .name = name } };

	return fw_run(&c);
}

int fw_rmdir(const char *name)
{
	struct call c = { .op = { .call = FS_RMDIR, .node = FS_ROOT, .name = name } };

	return fw_run(&c);
}

void fw_rename(struct call *c, uint64_t dir, const char *from, const char *to)
{
	*c = (struct call){ .op = { .call = FS_RENAME, .node = dir, .name = from, .to = dir,
				    .new_name = to } };
	fw_submit(c);
}

const char *fw_content_of(uint64_t handle)
{
	static char text[8192];
	struct call c = { .op = { .call = FS_READ, .handle = handle, .size = sizeof(text) - 1 } };

	assert_int_equal(fw_run(&c), 0);
	snprintf(text, sizeof(text), "%s", c.text);
	return text;
}

const char *fw_content(uint64_t node)
{
	uint64_t handle = fw_open(node, O_RDONLY);
	const char *text = fw_content_of(handle);

	fw_close(handle);
	return text;
}

static bool on_entry(struct fs_op *op, const struct fs_dirent *entry)
{
	struct call *c = (struct call *)op;
	size_t len = strlen(c->text);

	if (entry->name[0] != '.')
		snprintf(c->text + len, sizeof(c->text) - len, " %s", entry->name);
	return true;
}

const char *fw_list(uint64_t dir)
{
	static char text[8192];
	struct call open = { .op = { .call = FS_OPENDIR, .node = dir } };

	assert_int_equal(fw_run(&open), 0);
	struct call list = { .op = { .call = FS_READDIR, .handle = open.op.handle,
				     .emit = on_entry } };
	assert_int_equal(fw_run(&list), 0);
	fw_close(open.op.handle);
	snprintf(text, sizeof(text), "%s", list.text);
	return text;
}

int fw_put_file(uint64_t dir, const char *name, const char *text)
{
	uint64_t handle = fw_create(dir, name, NULL);
	struct call c;

	fw_write(handle, text);
	fw_flush(&c, handle);
	assert_true(c.done);
	fw_close(handle);
	return c.op.err;
}

const char *fw_xattr(uint64_t node, const char *name)
{
	static char value[sizeof(((struct call *)NULL)->text)];
	char full[64];

	snprintf(full, sizeof(full), "user.stacksfs.%s", name);
	struct call c = { .op = { .call = FS_GETXATTR, .node = node, .name = full } };
	int r = fw_run(&c);
	assert_true(r == 0 || r == -ENODATA);
	snprintf(value, sizeof(value), "%s", r == 0 ? c.text : "");
	return value;
}

const char *fw_errors(void)
{
	return fw_content(fw_lookup(fw_lookup(FS_ROOT, ".stacksfs"), "errors"));
}

int fw_n_lost(void)
{
	assert_int_equal(archive_flush(fw.archive, WAIT), 0);
	int n = entries_in(path_of("state/lost"));
	return n < 0 ? 0 : n;
}

void fw_forget_drops(void)
{
	fw.dropped[0] = '\0';
}

/* ---- requests ---- */

static const struct transport_request *next_request(void)
{
	assert_true(fake_account_tries(&fw.a) > fw.next_try);
	return &fake_transport_try(fw.a.transport, fw.next_try)->request;
}

const char *fw_next_request(void)
{
	static const char *const methods[] = { "GET", "PUT", "POST", "DELETE" };
	static char text[300];
	const struct transport_request *request = next_request();

	snprintf(text, sizeof(text), "%s %s", methods[request->method], request->target);
	return text;
}

const char *fw_next_body(void)
{
	static char text[8192];
	const struct transport_request *request = next_request();

	snprintf(text, sizeof(text), "%.*s", (int)request->body_len, (const char *)request->body);
	return text;
}

void fw_expect_no_request(void)
{
	assert_int_equal(fake_account_tries(&fw.a), fw.next_try);
}

void fw_answer(int status, const char *body)
{
	(void)next_request();
	fake_account_answer(&fw.a, fw.next_try++, status, body);
}

void fw_expect(const char *request, int status, const char *body)
{
	assert_string_equal(fw_next_request(), request);
	fw_answer(status, body);
}

void fw_first_list(const char *list)
{
	fw_expect("GET /v1/stacks", 200, list);
}

/* ---- processes ---- */

struct fw_child fw_child(const char *comm)
{
	int named[2];
	char c;

	assert_int_equal(pipe2(named, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, comm);
		(void)!write(named[1], "", 1);
		for (;;)
			pause();
	}
	close(named[1]);
	assert_int_equal(read(named[0], &c, 1), 1);
	close(named[0]);
	return (struct fw_child){ pid };
}

void fw_child_end(struct fw_child child)
{
	int status;

	assert_int_equal(kill(child.pid, SIGKILL), 0);
	assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
	assert_true(WIFSIGNALED(status));
}
