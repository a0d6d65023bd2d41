/* SPDX-License-Identifier: MIT */
/* A path is resolved by open(O_PATH): that asks the file system behind it
 * nothing, and so works on a dead mount and on one that hangs, where stat(2)
 * and realpath(3) do not.  /proc/self/fd then has the absolute path, and
 * /proc/self/fdinfo the number of the mount, by which the line in mountinfo is
 * found.  O_DIRECTORY is left out and stat(2) is used, which do not start an
 * automount: it may be the automount that has called us, and waits.
 *
 * Whether a mount lives is asked by statfs(2), which alone no kernel cache
 * answers. */
#include "mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "bounded.h"

#define PROBE_MS        3000
#define CLAIM_MS        1000
#define CLAIM_EVERY_MS  10
#define MAX_DEAD_MOUNTS 16 /* one upon the other */
#define MOUNTINFO       "/proc/self/mountinfo"

DEFINE_CLEANUP(char, free)
DEFINE_CLEANUP(FILE, fclose)

void mountpoint_done(struct mountpoint *m)
{
	free(m->path);
	free(m->source);
	*m = (struct mountpoint){ 0 };
}

void mountpoint_list_free(struct mountpoint *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mountpoint_done(&list[i]);
	free(list);
}

/* ---- a line of mountinfo ---- */

struct field {
	const char *s;
	size_t len;
};

static struct field next_field(const char **at)
{
	struct field f = { *at, strcspn(*at, " \n") };

	*at += f.len;
	if (**at == ' ')
		(*at)++;
	return f;
}

static bool field_is(struct field f, const char *text)
{
	return f.len == strlen(text) && memcmp(f.s, text, f.len) == 0;
}

static bool is_octal(const char *s, size_t len)
{
	return len >= 4 && s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' &&
	       s[2] <= '7' && s[3] >= '0' && s[3] <= '7';
}

/* The kernel writes space, tab, newline, backslash and '#' as \ooo. */
static char *unescape(struct field f)
{
	char *text = malloc(f.len + 1);
	size_t n = 0;

	if (!text)
		return NULL;
	for (size_t i = 0; i < f.len; n++) {
		if (is_octal(f.s + i, f.len - i)) {
			text[n] = (char)((f.s[i + 1] - '0') << 6 | (f.s[i + 2] - '0') << 3 |
					 (f.s[i + 3] - '0'));
			i += 4;
		} else {
			text[n] = f.s[i++];
		}
	}
	text[n] = '\0';
	return text;
}

/* N of "user_id=N" or "group_id=N" among the options; 0, root's, when there is none. */
static unsigned find_owner(struct field options, const char *key)
{
	const char *at = options.s, *end = options.s + options.len;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t len = (size_t)((comma ? comma : end) - at);
		uint64_t id;

		if (len > strlen(key) && memcmp(at, key, strlen(key)) == 0 &&
		    num_parse_u64(at + strlen(key), len - strlen(key), UINT_MAX, &id) == 0)
			return (unsigned)id;
		at += len + 1;
	}
	return 0;
}

/* Kernels without subtypes have "stacksfs#SOURCE" on a plain "fuse". */
static bool is_stacksfs(struct field type, struct field source)
{
	static const char old[] = "stacksfs#";

	return field_is(type, "fuse.stacksfs") ||
	       (field_is(type, "fuse") && source.len >= strlen(old) &&
		memcmp(source.s, old, strlen(old)) == 0);
}

/* "36 35 98:0 / /mnt rw,noatime shared:1 - fuse.stacksfs us rw,user_id=0": any
 * number of fields between the sixth and the dash. */
int mountpoint_parse(const char *line, struct mountpoint *ret)
{
	CLEANUP(mountpoint_done) struct mountpoint m = { 0 };
	struct field head[6], tail[3], f;
	uint64_t id;

	for (size_t i = 0; i < ARRAY_SIZE(head); i++)
		head[i] = next_field(&line);
	do {
		f = next_field(&line);
	} while (f.len > 0 && !field_is(f, "-"));
	for (size_t i = 0; i < ARRAY_SIZE(tail); i++)
		tail[i] = next_field(&line);
	if (tail[0].len == 0 || num_parse_u64(head[0].s, head[0].len, INT_MAX, &id) < 0)
		return -EBADMSG;
	if (!is_stacksfs(tail[0], tail[1]))
		return -ENOENT;

	m.id = (unsigned)id;
	m.path = unescape(head[4]);
	m.source = unescape(tail[1]);
	m.uid = find_owner(tail[2], "user_id=");
	m.gid = find_owner(tail[2], "group_id=");
	if (!m.path || !m.source)
		return -ENOMEM;
	*ret = m;
	m = (struct mountpoint){ 0 };
	return 0;
}

/* ---- questions that may hang ---- */

struct resolved {
	unsigned mount_id;
	char path[PATH_MAX];
};

static int read_mount_id(int fd, unsigned *ret)
{
	static const char key[] = "mnt_id:\t";
	char path[64];
	CLEANUP(freep) char *line = NULL;
	size_t cap = 0;
	uint64_t id;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	CLEANUP(fclosep) FILE *f = fopen(path, "re");
	if (!f)
		return -errno;
	while ((n = getline(&line, &cap, f)) > 0) {
		size_t len = strcspn(line, "\n");

		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		if (num_parse_u64(line + strlen(key), len - strlen(key), INT_MAX, &id) < 0)
			break;
		*ret = (unsigned)id;
		return 0;
	}
	return -ENODATA;
}

static int resolve_in_child(void *arg, struct buf *out)
{
	struct resolved res = { 0 };
	char link[64];
	int fd = open(arg, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, res.path, sizeof(res.path) - 1);
	int r = n < 0 ? -errno : read_mount_id(fd, &res.mount_id);
	close(fd);
	return r < 0 ? r : buf_append(out, &res, sizeof(res));
}

static int resolve(const char *path, struct resolved *ret)
{
	return bounded_get(resolve_in_child, (void *)path, PROBE_MS, ret, sizeof(*ret));
}

static int statfs_in_child(void *arg, struct buf *out)
{
	struct statfs fs;

	return statfs(arg, &fs) < 0 ? -errno : 0;
}

static enum mountpoint_state probe(const char *path)
{
	struct buf none = BUF_INIT(0);

	switch (bounded_run(statfs_in_child, (void *)path, PROBE_MS, &none)) {
	case -ENOTCONN:
	case -ECONNABORTED:
		return MOUNTPOINT_DEAD;
	case -ETIMEDOUT:
		return MOUNTPOINT_HUNG;
	}
	return MOUNTPOINT_LIVE;
}

/* Whether there is anything but "." and "..". */
static int look_inside(const char *path, struct buf *out)
{
	DIR *dir = opendir(path);
	const struct dirent *e;
	int r = 0;

	if (!dir)
		return errno == EACCES ? 0 : -errno; /* fusermount3 decides what one may */
	while (r == 0 && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = out->len ? 0 : buf_puts(out, "x");
	closedir(dir);
	return r;
}

/* Appends a byte to out when the directory is not empty. */
static int inspect_in_child(void *arg, struct buf *out)
{
	struct stat st;
	struct statfs fs;

	if (stat(arg, &st) < 0 || statfs(arg, &fs) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (fs.f_type == AUTOFS_SUPER_MAGIC)
		return 0;
	return look_inside(arg, out);
}

/* ---- the table of mounts ---- */

/* All of stacksfs, in the order of mounting; no state. */
static int read_mounts(struct mountpoint **ret, size_t *ret_n)
{
	CLEANUP(fclosep) FILE *f = fopen(MOUNTINFO, "re");
	CLEANUP(freep) char *line = NULL;
	struct mountpoint *list = NULL;
	size_t n = 0, cap = 0;
	int r = f ? 0 : -errno;

	while (r == 0 && getline(&line, &cap, f) > 0) {
		struct mountpoint m;

		r = mountpoint_parse(line, &m);
		if (r == -ENOENT || r == -EBADMSG) {
			r = 0;
			continue;
		}
		struct mountpoint *longer = r < 0 ? NULL : reallocarray(list, n + 1, sizeof(*list));
		if (!longer) {
			r = -ENOMEM;
			break;
		}
		list = longer;
		list[n++] = m;
	}
	if (r < 0) {
		mountpoint_list_free(list, n);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

/* The stacksfs mount of that number; -ENOENT when it is of another kind. */
static int find_mount(unsigned id, struct mountpoint *ret)
{
	struct mountpoint *list;
	size_t n;
	int r = read_mounts(&list, &n);

	if (r < 0)
		return r;
	r = -ENOENT;
	for (size_t i = 0; i < n && r < 0; i++) {
		if (list[i].id != id)
			continue;
		*ret = list[i];
		list[i] = (struct mountpoint){ 0 };
		r = 0;
	}
	mountpoint_list_free(list, n);
	return r;
}

int mountpoint_list(struct mountpoint **ret, size_t *ret_n, struct message *ret_why)
{
	uid_t me = getuid();
	struct mountpoint *list;
	size_t n, kept = 0;
	int r = read_mounts(&list, &n);

	if (r < 0)
		return message_fail(ret_why, r, "%s: %s", MOUNTINFO, strerror(-r));
	for (size_t i = 0; i < n; i++) {
		struct mountpoint m = list[i];

		list[i] = (struct mountpoint){ 0 };
		if (me != 0 && m.uid != me) {
			mountpoint_done(&m);
			continue;
		}
		m.state = probe(m.path);
		list[kept++] = m;
	}
	if (kept == 0) {
		free(list);
		list = NULL;
	}
	*ret = list;
	*ret_n = kept;
	return 0;
}

static int say_path(struct message *ret_why, int err, const char *path)
{
	switch (err) {
	case -ENOENT:
		return message_fail(ret_why, err, "%s: no such directory", path);
	case -ENOTDIR:
		return message_fail(ret_why, err, "%s: not a directory", path);
	case -ETIMEDOUT:
		return message_fail(ret_why, err, "%s: the file system there does not answer",
				    path);
	case -ENOTCONN:
		return message_fail(ret_why, err,
				    "%s: a dead mount is there; clear it: fusermount3 -u -z %s",
				    path, path);
	}
	return message_fail(ret_why, err, "%s: %s", path, strerror(-err));
}

int mountpoint_lookup(const char *path, struct mountpoint *ret, struct message *ret_why)
{
	struct mountpoint m;
	struct resolved res;
	int r = resolve(path, &res);

	if (r < 0)
		return say_path(ret_why, r, path);
	r = find_mount(res.mount_id, &m);
	if (r == -ENOENT)
		return message_fail(ret_why, r, "%s: not a stacksfs mount", path);
	if (r < 0)
		return message_fail(ret_why, r, "%s: %s", path, strerror(-r));
	m.state = probe(m.path);
	*ret = m;
	return 0;
}

/* ---- before mounting ---- */

static int refuse_or_clear(const char *path, struct message *ret_why)
{
	switch (probe(path)) {
	case MOUNTPOINT_LIVE:
		return message_fail(ret_why, -EBUSY,
				    "%s: already mounted; to unmount: fusermount3 -u %s", path,
				    path);
	case MOUNTPOINT_HUNG:
		return message_fail(ret_why, -EBUSY,
				    "%s: mounted, but the stacksfs there does not answer; "
				    "kill it or: fusermount3 -u -z %s",
				    path, path);
	case MOUNTPOINT_DEAD:
		break;
	}
	int r = mountpoint_detach(path);

	if (r < 0 && r != -EINVAL) /* somebody else may have cleared it just now */
		return message_fail(ret_why, r,
				    "%s: a dead mount is there that cannot be cleared (%s); "
				    "try: fusermount3 -u -z %s",
				    path, strerror(-r), path);
	return 0;
}

/* Resolve path, and clear what is dead on it, until nothing of ours is there. */
static int clear_path(const char *path, struct resolved *ret, struct message *ret_why)
{
	for (int i = 0; i < MAX_DEAD_MOUNTS; i++) {
		struct mountpoint m;
		int r = resolve(path, ret);

		if (r < 0)
			return say_path(ret_why, r, path);
		r = find_mount(ret->mount_id, &m);
		if (r == -ENOENT)
			return 0;
		if (r < 0)
			return message_fail(ret_why, r, "%s: %s", MOUNTINFO, strerror(-r));
		bool inside = strcmp(m.path, ret->path) != 0;
		mountpoint_done(&m);
		if (inside) /* a stack's directory: pointless, but not ours to forbid */
			return 0;
		r = refuse_or_clear(ret->path, ret_why);
		if (r < 0)
			return r;
	}
	return message_fail(ret_why, -EBUSY, "%s: too many dead mounts, one upon the other", path);
}

int mountpoint_prepare(const char *path, char **ret_path, struct message *ret_warning,
		       struct message *ret_why)
{
	CLEANUP(buf_done) struct buf found = BUF_INIT(1);
	struct resolved res;
	int r = clear_path(path, &res, ret_why);

	if (r < 0)
		return r;
	if (strcmp(res.path, "/") == 0)
		return message_fail(ret_why, -EINVAL, MOUNTPOINT_IS_ROOT);
	r = bounded_run(inspect_in_child, res.path, PROBE_MS, &found);
	if (r < 0)
		return say_path(ret_why, r, path);
	char *absolute = strdup(res.path);
	if (!absolute)
		return message_fail(ret_why, -ENOMEM, "out of memory");

	message_set(ret_warning, "%s", "");
	if (found.len)
		message_set(ret_warning, "%s: not empty; what is in it is hidden until the unmount",
			    path);
	*ret_path = absolute;
	return 0;
}

/* Who else has it locked may have other reasons than to mount, and there are file systems
 * without locks. */
static void wait_for_lock(int fd)
{
	const struct timespec pause = { .tv_nsec = CLAIM_EVERY_MS * 1000000L };

	for (int i = 0; i < CLAIM_MS / CLAIM_EVERY_MS; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
			return;
		nanosleep(&pause, NULL);
	}
}

static int say_taken(const char *path, uint64_t below, struct message *ret_why)
{
	uint64_t top = mountpoint_top(path);

	if (!below || !top || top == below)
		return 0;
	return message_fail(ret_why, -EBUSY, "%s: something else was mounted there meanwhile", path);
}

int mountpoint_claim(const char *path, uint64_t below, int *ret_fd, struct message *ret_why)
{
	struct statfs fs;
	int r = say_taken(path, below, ret_why);

	*ret_fd = -1;
	if (r < 0 || statfs(path, &fs) < 0 || fs.f_type == AUTOFS_SUPER_MAGIC)
		return r;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0;
	wait_for_lock(fd);
	r = say_taken(path, below, ret_why);
	if (r < 0)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

/* ---- unmounting ---- */

/* A user's mount is unmounted by the setuid helper that made it.  It gets no
 * environment: what it needs it has, and the token may be in ours. */
static int run_fusermount(const char *path)
{
	const char *const argv[] = { "fusermount3", "-u", "-z", "-q", "--", path, NULL };
	char *const env[] = { NULL };
	pid_t pid;
	int status;

	if (posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, env) != 0)
		return -EPERM;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status == 0 ? 0 : -EPERM;
}

uint64_t mountpoint_top(const char *path)
{
	struct statx st;
	int flags = AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;

	if (statx(AT_FDCWD, path, flags, STATX_MNT_ID, &st) < 0 || !(st.stx_mask & STATX_MNT_ID))
		return 0;
	return st.stx_mnt_id;
}

int mountpoint_detach(const char *path)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return 0;
	return errno == EPERM ? run_fusermount(path) : -errno;
}
