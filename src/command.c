/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "bounded.h"
#include "mountpoint.h"
#include "status.h"

#define READ_MS       10000
#define REFRESH_MS    (15 * 60 * 1000) /* a long list, each page within timeout= */
#define ERRORS_TAIL   (64 * 1024)      /* of .stacksfs/errors, for its last line */
#define CONTROL(name) "/.stacksfs/" name

DEFINE_CLEANUP(char, free)

/* ---- the files, in a child ---- */

static int read_fd(int fd, struct buf *out)
{
	for (;;) {
		char chunk[4096];
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n == 0)
			return 0;
		int r = n < 0 ? -errno : buf_append(out, chunk, (size_t)n);
		if (r < 0)
			return r;
	}
}

struct asked {
	const struct mountpoint *mount;
	char *path;
};

/* The kernel lets nobody into a user's mount but that user, root neither.  Whose ids change is
 * not killed with its parent any more: prctl(2). */
static int open_as_owner(const struct asked *asked, int flags)
{
	const struct mountpoint *m = asked->mount;
	int fd = open(asked->path, flags | O_CLOEXEC);

	if (fd >= 0 || errno != EACCES || geteuid() != 0 || m->uid == 0)
		return fd;
	if (setgroups(0, NULL) < 0 || setresgid(m->gid, m->gid, m->gid) < 0 ||
	    setresuid(m->uid, m->uid, m->uid) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -1;
	return open(asked->path, flags | O_CLOEXEC);
}

/* The whole file, or its end if there is more than the buffer takes. */
static int read_in_child(void *arg, struct buf *out)
{
	struct stat st;
	int fd = open_as_owner(arg, O_RDONLY);

	if (fd < 0)
		return -errno;
	int r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0 && (size_t)st.st_size > out->max_bytes &&
	    lseek(fd, -(off_t)out->max_bytes, SEEK_END) < 0)
		r = -errno;
	if (r == 0)
		r = read_fd(fd, out);
	close(fd);
	return r;
}

/* The result of the refresh is that of the write or of the close. */
static int write_in_child(void *arg, struct buf *out)
{
	int fd = open_as_owner(arg, O_WRONLY);

	if (fd < 0)
		return -errno;
	int r = write(fd, "1\n", 2) < 0 ? -errno : 0;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

/* control: CONTROL("..."). */
static int run_on(const struct mountpoint *mount, const char *control, bounded_fn *fn,
		  unsigned timeout_ms, struct buf *out)
{
	CLEANUP(freep) char *path = NULL;

	if (asprintf(&path, "%s%s", mount->path, control) < 0) {
		path = NULL; /* asprintf(3): undefined after a failure */
		return -ENOMEM;
	}
	struct asked asked = { mount, path };
	return bounded_run(fn, &asked, timeout_ms, out);
}

/* Somebody may have put a newline into it, or what speaks to a terminal. */
static const char *printable(const char *text, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s", text);
	message_clean(ret);
	return ret;
}

/* ---- status ---- */

/* A mount as it was found. */
struct view {
	const struct mountpoint *mount;
	char path[PATH_MAX]; /* of the mount, as it may be printed */
	const char *word; /* ok, refused, unwritten, stale, error, dead, silent */
	struct buf text;  /* of the status file; empty when it could not be read */
	struct status status;
	struct message why; /* unless ok */
};

static void view_done(struct view *v)
{
	buf_done(&v->text);
}

/* The reason, and of when it is: an idle mount does not find out that it is over. */
static void say_error(const struct status *s, struct message *ret)
{
	const char *why = s->api.error[0] ? s->api.error : "no reason given";
	char age[STATUS_TEXT_BYTES];

	if (s->api.error_age_s == STATUS_UNKNOWN)
		message_set(ret, "%s", why);
	else
		message_set(ret, "%s, %s ago%s", why, status_duration(s->api.error_age_s, age),
			    status_is_idle(s) ? ", and not tried again since" : "");
}

static void take_state(struct view *v)
{
	const struct status *s = &v->status;

	if (strcmp(s->api.state, "ok") != 0) {
		v->word = strcmp(s->api.state, "stale") == 0 ? "stale" : "error";
		say_error(s, &v->why);
	} else if (s->refused.n > 0) {
		v->word = "refused";
		message_set(&v->why, "%zu save%s refused, %s%s%s", s->refused.n,
			    s->refused.n == 1 ? "" : "s", s->refused.n == 1 ? "" : "the first: ",
			    v->mount->path, s->refused.paths[0]);
	} else if (s->unwritten > 0 && s->unwritten != STATUS_UNKNOWN) {
		v->word = "unwritten";
		message_set(&v->why, "%llu text%s of history and lost: %s",
			    (unsigned long long)s->unwritten, s->unwritten == 1 ? "" : "s",
			    s->unwritten_why);
	}
}

static void look(const struct mountpoint *mount, struct view *ret)
{
	*ret = (struct view){ .mount = mount, .word = "ok", .text = BUF_INIT(STATUS_MAX_BYTES) };
	printable(mount->path, ret->path);
	if (mount->state == MOUNTPOINT_DEAD) {
		ret->word = "dead";
		message_set(&ret->why, "its process is gone; to clear it: fusermount3 -u -z %s",
			    mount->path);
		return;
	}
	int r = -ETIMEDOUT;

	if (mount->state != MOUNTPOINT_HUNG)
		r = run_on(mount, CONTROL("status"), read_in_child, READ_MS, &ret->text);
	if (r == -ETIMEDOUT) {
		ret->word = "silent";
		message_set(&ret->why, "its process is there but does not answer");
		return;
	}
	if (r == 0)
		r = status_parse(ret->text.data ? ret->text.data : "", ret->text.len, &ret->status);
	if (r == 0) {
		take_state(ret);
		return;
	}
	ret->word = "error";
	message_set(&ret->why, "%s", r == -EBADMSG ? "its status is no JSON" : strerror(-r));
	buf_done(&ret->text);
}

static bool is_ok(const struct view *v)
{
	return strcmp(v->word, "ok") == 0;
}

static void print_check(const struct view *v, FILE *out)
{
	uint64_t age = v->status.api.list_age_s;
	char text[STATUS_TEXT_BYTES];

	fprintf(out, "%s: %s", v->word, v->path);
	if (v->text.len && age != STATUS_UNKNOWN)
		fprintf(out, ", list %s old", status_duration(age, text));
	if (!is_ok(v))
		fprintf(out, ": %s", v->why.text);
	fputc('\n', out);
}

/* The file as it is; for a mount that has none, the same shape. */
static int print_json(const struct view *v, FILE *out)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT(STATUS_MAX_BYTES);
	int r;

	if (v->text.len) {
		fwrite(v->text.data, 1, v->text.len, out);
		if (v->text.data[v->text.len - 1] != '\n')
			fputc('\n', out);
		return 0;
	}
	r = buf_puts(&text, "{\n  \"mountpoint\": ");
	if (r == 0)
		r = buf_json_string(&text, v->mount->path, strlen(v->mount->path));
	if (r == 0)
		r = buf_printf(&text, ",\n  \"api\": {\n    \"state\": \"%s\"\n  }\n}\n", v->word);
	if (r == 0)
		fwrite(text.data, 1, text.len, out);
	return r;
}

static void print_people(const struct view *v, FILE *out)
{
	char source[PATH_MAX];

	if (v->text.len) {
		status_print(&v->status, out);
		return;
	}
	fprintf(out, "%-12s%s, %s\n", "mount", v->path, printable(v->mount->source, source));
	fprintf(out, "%-12s%s: %s\n", "state", v->word, v->why.text);
}

/* Whether that mount is well, or for people and programs at least could tell. */
static bool show(const struct mountpoint *mount, enum options_format format, FILE *out)
{
	CLEANUP(view_done) struct view v;
	bool told = true;

	look(mount, &v);
	switch (format) {
	case OPTIONS_CHECK:
		print_check(&v, out);
		return is_ok(&v);
	case OPTIONS_JSON:
		told = print_json(&v, out) == 0;
		break;
	case OPTIONS_FOR_PEOPLE:
		print_people(&v, out);
		break;
	}
	return told && v.text.len > 0;
}

static int status_of_all(enum options_format format, FILE *out, FILE *err)
{
	struct mountpoint *list;
	struct message why;
	bool well = true;
	size_t n;

	if (mountpoint_list(&list, &n, &why) < 0) {
		fprintf(err, "stacksfs: %s\n", why.text);
		return 1;
	}
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && format == OPTIONS_FOR_PEOPLE)
			fputc('\n', out);
		well = show(&list[i], format, out) && well;
	}
	mountpoint_list_free(list, n);
	if (n > 0 || format == OPTIONS_JSON)
		return well ? 0 : 1;
	fputs("no stacksfs mount\n", out);
	return format == OPTIONS_CHECK ? 1 : 0;
}

int command_status(const struct options *options, FILE *out, FILE *err)
{
	CLEANUP(mountpoint_done) struct mountpoint mount = { 0 };
	enum options_format format = options->format;
	struct message why;

	if (!options->mountpoint)
		return status_of_all(format, out, err);
	if (mountpoint_lookup(options->mountpoint, &mount, &why) == 0)
		return show(&mount, format, out) ? 0 : 1;
	if (format == OPTIONS_CHECK)
		fprintf(out, "error: %s\n", why.text);
	else
		fprintf(err, "stacksfs: %s\n", why.text);
	return 1;
}

/* ---- refresh ---- */

/* The last whole line, without its newline. */
static const char *last_line(const struct buf *text, size_t *ret_len)
{
	size_t end = text->len, begin;

	while (end > 0 && text->data[end - 1] == '\n')
		end--;
	for (begin = end; begin > 0 && text->data[begin - 1] != '\n'; begin--)
		;
	*ret_len = end - begin;
	return text->data + begin;
}

/* What the mount says about the failure; else what the errno says. */
static void find_reason(const struct mountpoint *mount, int err, struct message *ret)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT(ERRORS_TAIL);
	char reason[sizeof(ret->text)] = "";
	size_t len;

	message_set(ret, "%s", strerror(-err));
	if (run_on(mount, CONTROL("errors"), read_in_child, READ_MS, &text) < 0 ||
	    text.len == 0)
		return;
	const char *line = last_line(&text, &len);
	if (status_member(line, len, "message", reason, sizeof(reason)) == 0 && reason[0])
		message_set(ret, "%s", reason);
}

static int refresh(const struct mountpoint *mount, struct message *ret_why)
{
	struct buf none = BUF_INIT(0);

	if (mount->state == MOUNTPOINT_DEAD)
		return message_fail(ret_why, -ENOTCONN,
				    "its process is gone; to clear it: fusermount3 -u -z %s",
				    mount->path);
	if (mount->state == MOUNTPOINT_HUNG)
		return message_fail(ret_why, -ETIMEDOUT, "its process does not answer");

	int r = run_on(mount, CONTROL("refresh"), write_in_child, REFRESH_MS, &none);
	if (r < 0)
		find_reason(mount, r, ret_why);
	return r;
}

int command_refresh(const struct options *options, FILE *err)
{
	CLEANUP(mountpoint_done) struct mountpoint mount = { 0 };
	char path[PATH_MAX];
	struct message why;

	if (mountpoint_lookup(options->mountpoint, &mount, &why) < 0)
		fprintf(err, "stacksfs: %s\n", why.text);
	else if (refresh(&mount, &why) < 0)
		fprintf(err, "stacksfs: %s: not refreshed: %s\n", printable(mount.path, path),
			why.text);
	else
		return 0;
	return 1;
}
