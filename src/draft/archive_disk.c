/* SPDX-License-Identifier: MIT */
/* A text goes into a temporary file first, which gets its name only when its
 * bytes are safe, by a rename that replaces nothing: the disk decides which of
 * two mounts has a name, and the other takes the next number.
 *
 * The age of a file is in its name.  So a directory is pruned by reading it,
 * and only the sum of all sizes, which is looked at once in a while, needs a
 * stat of each file.
 *
 * Everything is reached through descriptors of directories, one component at a
 * time, and no link is followed but one of ours in the place of the state
 * directory itself. */
#include "draft/archive_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "draft/archive.h"
#include "draft/archive_name.h"

#define DAY_MS          86400000
#define TEMPORARY_MS    3600000 /* after which nobody writes it any more */
#define AHEAD_MS        600000  /* more than two machines' clocks differ by */
#define NAME_TRIES      1000
#define DIRECTORY_TRIES 3
#define BLOCK_BYTES     4096

/* More than any directory has that only we have written to.  What is beyond is
 * left to the next look. */
#define SCAN_MAX_FILES      262144
#define SCAN_MAX_NAME_BYTES (32u << 20)

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW)

/* What is in a directory of ours, or in all. */
struct entry {
	struct archive_stamp stamp;
	size_t name;      /* where in names */
	size_t directory; /* the same; NONE: lost */
	uint64_t bytes;
	bool ahead; /* of the time: from when the clock was wrong */
};

#define NONE SIZE_MAX

struct scan {
	struct entry *entries;
	size_t n, cap;
	struct buf names; /* each with its NUL */
};

#define SCAN_INIT { .names = BUF_INIT(SCAN_MAX_NAME_BYTES) }

struct archive_disk {
	const char *dir;
	const struct clock *clock;
	int history_fd, lost_fd;
	unsigned unseen; /* files written since all were looked at */

	/* of the last put: where it went, and what was there before */
	int fd;
	struct scan found;
	bool lost;
};

DEFINE_CLEANUP(DIR, closedir)

static void fd_done(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Of the years that names can have. */
static int64_t wall_ms(const struct archive_disk *disk)
{
	int64_t ms = clock_wall_ms(disk->clock);

	return ms < 0 ? 0 : ms > ARCHIVE_STAMP_MAX_MS ? ARCHIVE_STAMP_MAX_MS : ms;
}

/* ---- directories ---- */

static int refuse(char *why, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int refuse(char *why, int err, const char *fmt, ...)
{
	va_list ap;

	if (!why)
		return err;
	va_start(ap, fmt);
	vsnprintf(why, ARCHIVE_WHY_BYTES, fmt, ap);
	va_end(ap);
	return err;
}

/* Why what is open there is not for us alone to write to, or NULL. */
static const char *foreign(int fd, struct stat *ret)
{
	if (fstat(fd, ret) < 0 || ret->st_uid != geteuid())
		return "belongs to another user";
	if (ret->st_mode & (S_IWGRP | S_IWOTH))
		return "others can write to it (chmod go-w helps)";
	return NULL;
}

static int make_parents(const char *path)
{
	char part[PATH_MAX];
	size_t len = strlen(path);

	if (len >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

/* Whether files can be made there: 0 or -EACCES, -EROFS. */
static int writable(int fd)
{
	return faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* The state directory: the only one that may be a link, if it is ours. */
static int open_top(const char *path, int *ret, char *why)
{
	struct stat st;

	if (path[0] != '/')
		return refuse(why, -EINVAL, "%s: not an absolute path", path);
	int r = lstat(path, &st) < 0 ? -errno : 0;
	if (r == -ENOENT)
		r = make_parents(path);
	if (r < 0)
		return refuse(why, r, "%s: %s", path, strerror(-r));
	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && st.st_uid != geteuid())
		return refuse(why, -EPERM, "%s: a symbolic link of another user", path);

	CLEANUP(fd_done) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return refuse(why, -errno, "%s: %s", path, strerror(errno));
	const char *objection = foreign(fd, &st);
	if (objection)
		return refuse(why, -EPERM, "%s: %s", path, objection);
	*ret = fd;
	fd = -1;
	return 0;
}

/* One level below, made if missing. */
static int open_below(int at, const char *name, int *ret)
{
	struct stat st;
	CLEANUP(fd_done) int fd = openat(at, name, DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
			return -errno;
		(void)fsync(at); /* else the name may go with the power */
		fd = openat(at, name, DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	if (foreign(fd, &st))
		return -EPERM;
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		(void)fchmod(fd, 0700); /* it may be from a backup */
	int r = writable(fd);
	if (r < 0)
		return r;
	*ret = fd;
	fd = -1;
	return 0;
}

/* What open_below would come to, with nothing made or changed. */
static int look_below(int at, const char *name, int *ret)
{
	struct stat st;
	CLEANUP(fd_done) int fd = openat(at, name, DIRECTORY | O_CLOEXEC);

	*ret = -1;
	if (fd < 0)
		return errno == ENOENT ? writable(at) : -errno;
	return foreign(fd, &st) ? -EPERM : writable(fd);
}

typedef int below_fn(int at, const char *name, int *ret);

static int open_named(int top, const char *path, const char *name, below_fn *below, int *ret,
		      char *why)
{
	int r = below(top, name, ret);

	if (r == -EPERM)
		return refuse(why, r, "%s/%s: others can write to it, or own it", path, name);
	return r < 0 ? refuse(why, r, "%s/%s: %s", path, name, strerror(-r)) : 0;
}

static int open_both(const char *dir, below_fn *below, int *ret_history, int *ret_lost, char *why)
{
	CLEANUP(fd_done) int top = -1;
	int r = open_top(dir, &top, why);

	if (r == 0)
		r = open_named(top, dir, "history", below, ret_history, why);
	if (r == 0)
		r = open_named(top, dir, "lost", below, ret_lost, why);
	return r;
}

/* Also when they have been removed meanwhile. */
static int open_directories(struct archive_disk *disk, char *why)
{
	CLEANUP(fd_done) int history = -1;
	CLEANUP(fd_done) int lost = -1;
	int r = open_both(disk->dir, open_below, &history, &lost, why);

	if (r < 0)
		return r;
	fd_done(&disk->history_fd);
	fd_done(&disk->lost_fd);
	disk->history_fd = history;
	disk->lost_fd = lost;
	history = lost = -1;
	return 0;
}

/* ---- what is there ---- */

static void scan_done(struct scan *s)
{
	free(s->entries);
	buf_done(&s->names);
	*s = (struct scan)SCAN_INIT;
}

static const char *scan_string(const struct scan *s, size_t at)
{
	return s->names.data + at;
}

static int scan_add(struct scan *s, const char *name, struct entry entry)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 128;
		struct entry *more =
			cap > SCAN_MAX_FILES ? NULL : reallocarray(s->entries, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->entries = more;
		s->cap = cap;
	}
	entry.name = s->names.len;
	int r = buf_append(&s->names, name, strlen(name) + 1);
	if (r == 0)
		s->entries[s->n++] = entry;
	return r;
}

static int by_age(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->ahead != y->ahead)
		return x->ahead ? -1 : 1;
	return archive_stamp_compare(x->stamp, y->stamp);
}

/* Oldest first.  What is ahead counts as older than all that is not: else each
 * new file would be the first to go. */
static void scan_sort(struct scan *s)
{
	if (s->n > 1)
		qsort(s->entries, s->n, sizeof(*s->entries), by_age);
}

static DIR *open_listing(int fd)
{
	int copy = openat(fd, ".", DIRECTORY | O_CLOEXEC); /* with a position of its own */
	DIR *d = copy < 0 ? NULL : fdopendir(copy);

	if (!d && copy >= 0)
		close(copy);
	return d;
}

/* A link or a directory is nothing of ours, whatever its name. */
static bool is_file(int fd, const struct dirent *e, bool sizes, uint64_t *ret_bytes)
{
	struct stat st;

	*ret_bytes = 0;
	if (e->d_type != DT_REG && e->d_type != DT_UNKNOWN)
		return false;
	if (!sizes && e->d_type == DT_REG)
		return true;
	if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	*ret_bytes = ((uint64_t)st.st_size + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
	if (*ret_bytes == 0)
		*ret_bytes = BLOCK_BYTES;
	return true;
}

/* What a crash has left is removed on the way.  Failures leave s incomplete: a
 * file that is not seen is not pruned, which is on the safe side. */
static void scan_directory(struct scan *s, int fd, size_t directory, bool sizes, int64_t now_ms)
{
	CLEANUP(closedirp) DIR *d = open_listing(fd);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		struct entry entry = { .directory = directory };

		if (archive_name_is_temporary(e->d_name, &entry.stamp)) {
			if (entry.stamp.ms < now_ms - TEMPORARY_MS)
				(void)unlinkat(fd, e->d_name, 0);
			continue;
		}
		bool ours = directory == NONE ? archive_name_is_lost(e->d_name, &entry.stamp)
					      : archive_name_is_history(e->d_name, &entry.stamp);
		entry.ahead = entry.stamp.ms > now_ms + AHEAD_MS;
		if (ours && is_file(fd, e, sizes, &entry.bytes) &&
		    scan_add(s, e->d_name, entry) < 0)
			break;
	}
}

static void scan_all(struct archive_disk *disk, struct scan *s, int64_t now_ms,
		     const atomic_bool *stop)
{
	CLEANUP(closedirp) DIR *d = open_listing(disk->history_fd);
	struct dirent *e;

	scan_directory(s, disk->lost_fd, NONE, true, now_ms);
	while (d && (e = readdir(d)) && !*stop) {
		size_t directory = s->names.len;

		if (e->d_name[0] == '.')
			continue;
		CLEANUP(fd_done) int fd = openat(dirfd(d), e->d_name, DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (buf_append(&s->names, e->d_name, strlen(e->d_name) + 1) < 0)
			break;
		scan_directory(s, fd, directory, true, now_ms);
	}
}

/* ---- pruning ---- */

static int64_t oldest_ms(int64_t now_ms)
{
	return now_ms - (int64_t)ARCHIVE_MAX_DAYS * DAY_MS;
}

/* s is what fd had before one file came to it, which stays whatever its name
 * says: the time of day may be wrong. */
static void prune_directory(int fd, const struct scan *s, size_t max_files, int64_t now_ms)
{
	size_t excess = s->n + 1 > max_files ? s->n + 1 - max_files : 0;

	for (size_t i = 0; i < s->n; i++) {
		if (i >= excess && s->entries[i].stamp.ms >= oldest_ms(now_ms))
			continue;
		/* Another mount may have been faster. */
		(void)unlinkat(fd, scan_string(s, s->entries[i].name), 0);
	}
}

static bool remove_entry(struct archive_disk *disk, const struct scan *s, const struct entry *e)
{
	const char *name = scan_string(s, e->name);

	if (e->directory == NONE)
		return unlinkat(disk->lost_fd, name, 0) == 0 || errno == ENOENT;

	const char *directory = scan_string(s, e->directory);
	CLEANUP(fd_done) int fd = openat(disk->history_fd, directory, DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT;
	bool gone = unlinkat(fd, name, 0) == 0 || errno == ENOENT;
	/* Only if that was the last one. */
	(void)unlinkat(disk->history_fd, directory, AT_REMOVEDIR);
	return gone;
}

void archive_disk_prune_all(struct archive_disk *disk, const atomic_bool *stop)
{
	CLEANUP(scan_done) struct scan s = SCAN_INIT;
	int64_t now_ms = wall_ms(disk);
	uint64_t bytes = 0;

	disk->unseen = 0;
	scan_all(disk, &s, now_ms, stop);
	if (*stop)
		return; /* an unmount does not wait for this; the next mount does it */
	scan_sort(&s);
	for (size_t i = 0; i < s.n; i++)
		bytes += s.entries[i].bytes;
	for (size_t i = 0; i < s.n; i++) {
		const struct entry *e = &s.entries[i];

		if (bytes <= ARCHIVE_MAX_BYTES && e->stamp.ms >= oldest_ms(now_ms))
			continue;
		if (remove_entry(disk, &s, e))
			bytes -= e->bytes;
	}
}

/* ---- writing one text ---- */

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int create_temporary(int dir, const struct archive_text *text,
			    char ret_name[NAME_MAX_BYTES + 1])
{
	for (unsigned i = 0; i < NAME_TRIES; i++) {
		archive_name_temporary((struct archive_stamp){ text->wall_ms, i }, ret_name);
		int fd = openat(dir, ret_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				0600);
		if (fd >= 0 || errno != EEXIST)
			return fd < 0 ? -errno : fd;
	}
	return -EEXIST;
}

static int fill(int fd, const struct archive_text *text)
{
	(void)fchmod(fd, 0600); /* whatever the process's umask has taken away */
	int r = write_all(fd, text->bytes, text->len);

	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

static int rename_new(int dir, const char *from, const char *to)
{
	if (renameat2(dir, from, dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* NFS: a link does not replace either. */
	if (linkat(dir, from, dir, to, 0) < 0)
		return -errno;
	(void)unlinkat(dir, from, 0);
	return 0;
}

static int give_name(int dir, const char *temporary, const struct archive_text *text)
{
	for (unsigned i = 0; i < NAME_TRIES; i++) {
		const struct archive_stamp stamp = { text->wall_ms, text->number + i };
		char name[NAME_MAX_BYTES + 1];

		if (stamp.number > ARCHIVE_STAMP_MAX_NUMBER)
			break;
		if (text->lost)
			archive_name_lost(stamp, text->stack, name);
		else
			archive_name_history(stamp, name);
		int r = rename_new(dir, temporary, name);
		if (r != -EEXIST)
			return r;
	}
	return -EEXIST;
}

static int put(int dir, const struct archive_text *text)
{
	char temporary[NAME_MAX_BYTES + 1];
	int fd = create_temporary(dir, text, temporary);

	if (fd < 0)
		return fd;
	int r = fill(fd, text);
	if (r == 0)
		r = give_name(dir, temporary, text);
	if (r < 0) {
		(void)unlinkat(dir, temporary, 0);
		return r;
	}
	/* EINVAL: a file system that has no such thing. */
	return fsync(dir) < 0 && errno != EINVAL ? -errno : 0;
}

static bool file_equals(int dir, const char *name, const struct archive_text *text)
{
	CLEANUP(fd_done) int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char bytes[8192];
	struct stat st;
	size_t at = 0;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != text->len)
		return false;
	while (at < text->len) {
		ssize_t n = read(fd, bytes, sizeof(bytes));

		if (n <= 0 || (size_t)n > text->len - at ||
		    memcmp(bytes, text->bytes + at, (size_t)n) != 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static void forget_place(struct archive_disk *disk)
{
	fd_done(&disk->fd);
	disk->fd = -1;
	scan_done(&disk->found);
}

static int open_place(struct archive_disk *disk, const struct archive_text *text)
{
	forget_place(disk);
	disk->lost = text->lost;
	if (!text->lost)
		return open_below(disk->history_fd, text->stack, &disk->fd);
	disk->fd = openat(disk->lost_fd, ".", DIRECTORY | O_CLOEXEC);
	return disk->fd < 0 ? -errno : 0;
}

static bool is_newest(const struct archive_disk *disk, const struct archive_text *text)
{
	const struct scan *s = &disk->found;

	return s->n > 0 && file_equals(disk->fd, scan_string(s, s->entries[s->n - 1].name), text);
}

static int put_once(struct archive_disk *disk, const struct archive_text *text)
{
	int r = open_place(disk, text);

	if (r < 0)
		return r;
	scan_directory(&disk->found, disk->fd, text->lost ? NONE : 0, false,
		       wall_ms(disk));
	scan_sort(&disk->found);
	if (!text->lost && is_newest(disk, text))
		return 0;
	r = put(disk->fd, text);
	return r < 0 ? r : 1;
}

/* A directory may go at any time: the user's rm -r, another mount's pruning. */
int archive_disk_put(struct archive_disk *disk, const struct archive_text *text)
{
	int r = put_once(disk, text);

	for (unsigned i = 1; r == -ENOENT && i < DIRECTORY_TRIES; i++) {
		r = open_directories(disk, NULL);
		if (r == 0)
			r = put_once(disk, text);
	}
	return r;
}

void archive_disk_prune(struct archive_disk *disk, const atomic_bool *stop)
{
	prune_directory(disk->fd, &disk->found,
			disk->lost ? ARCHIVE_LOST_MAX_FILES : ARCHIVE_HISTORY_MAX_FILES,
			wall_ms(disk));
	forget_place(disk);
	if (++disk->unseen >= ARCHIVE_TOTAL_EVERY)
		archive_disk_prune_all(disk, stop);
}

/* ---- the whole ---- */

int archive_disk_new(const char *dir, const struct clock *clock, struct archive_disk **ret,
		     char *ret_why)
{
	CLEANUP(archive_disk_freep) struct archive_disk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		return refuse(ret_why, -ENOMEM, "out of memory");
	*disk = (struct archive_disk){ .dir = dir,
				       .clock = clock,
				       .history_fd = -1,
				       .lost_fd = -1,
				       .fd = -1,
				       .found = SCAN_INIT };
	int r = open_directories(disk, ret_why);
	if (r == 0)
		*ret = TAKE_PTR(disk);
	return r;
}

int archive_disk_check(const char *dir, char *ret_why)
{
	int history, lost;

	return open_both(dir, look_below, &history, &lost, ret_why);
}

void archive_disk_free(struct archive_disk *disk)
{
	if (!disk)
		return;
	forget_place(disk);
	fd_done(&disk->history_fd);
	fd_done(&disk->lost_fd);
	free(disk);
}
