/* SPDX-License-Identifier: MIT */
#include "archive_world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct archive_world aw;

#define check(ok) check_at(ok, #ok, __LINE__)

static void check_at(bool ok, const char *what, int line)
{
	if (ok)
		return;
	fprintf(stderr, "archive_world.c:%d: %s (%s)\n", line, what, strerror(errno));
	abort();
}

int archive_world_setup(void **state)
{
	const char *below = getenv("TEST_DIR");
	char template[PATH_MAX];

	snprintf(template, sizeof(template), "%s/test-archive.XXXXXX", below ? below : ".");
	if (!mkdtemp(template) || !realpath(template, aw.top))
		return -1;
	snprintf(aw.state, sizeof(aw.state), "%s/state", aw.top);
	fake_clock_init(&aw.clock, 1000, NOW_MS);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void remove_tree(const char *path)
{
	check(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

int archive_world_teardown(void **state)
{
	remove_tree(aw.top);
	return 0;
}

/* ---- files ---- */

const char *path_of(const char *fmt, ...)
{
	static char paths[4][2 * PATH_MAX];
	static unsigned turn;
	char *path = paths[turn++ % ARRAY_SIZE(paths)];
	va_list ap;
	int at = snprintf(path, sizeof(paths[0]), "%s/", aw.top);

	va_start(ap, fmt);
	vsnprintf(path + at, sizeof(paths[0]) - (size_t)at, fmt, ap);
	va_end(ap);
	return path;
}

void make_dir(const char *path, mode_t mode)
{
	check(mkdir(path, mode) == 0 || errno == EEXIST);
	check(chmod(path, mode) == 0);
}

void make_link(const char *target, const char *path)
{
	check(symlink(target, path) == 0);
}

void make_file(const char *path, const char *text, off_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	check(fd >= 0);
	check(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	check(size == 0 || ftruncate(fd, size) == 0);
	close(fd);
}

void make_state(void)
{
	make_dir(aw.state, 0700);
	make_dir(path_of("state/history"), 0700);
	make_dir(path_of("state/history/billing"), 0700);
	make_dir(path_of("state/lost"), 0700);
}

bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

mode_t mode_of(const char *path)
{
	struct stat st;

	check(lstat(path, &st) == 0);
	return st.st_mode & 07777;
}

bool has_content(const char *path, const char *text)
{
	char bytes[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

	if (fd >= 0)
		close(fd);
	if (n >= 0 && (size_t)n == strlen(text) && memcmp(bytes, text, (size_t)n) == 0)
		return true;
	fprintf(stderr, "%s: %s\n", path, n < 0 ? strerror(errno) : "another content");
	return false;
}

int entries_in(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	if (!d)
		return -1;
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* ---- the archive ---- */

struct archive *open_archive(void)
{
	struct archive *a;

	check(archive_new(aw.state, &aw.clock.base, &a, NULL) == 0);
	return a;
}

void flush(struct archive *a)
{
	check(archive_flush(a, WAIT) == 0);
}

void history(struct archive *a, const char *stack, const char *text)
{
	check(archive_history(a, stack, text, strlen(text), NULL, NULL) == 0);
}

const char *lost(struct archive *a, const char *stack, const char *text)
{
	static char path[ARCHIVE_PATH_BYTES];

	check(archive_lost(a, stack, text, strlen(text), NULL, NULL, path) == 0);
	return path;
}

void note(void *arg, int err)
{
	struct outcome *o = arg;

	o->err = err;
	o->calls++;
}

int put_history(struct archive *a, const char *stack, const char *text)
{
	struct outcome o = OUTCOME_INIT;

	check(archive_history(a, stack, text, strlen(text), note, &o) == 0);
	flush(a);
	check(o.calls == 1);
	return o.err;
}

bool stats_are(struct archive *a, uint64_t in_history, uint64_t in_lost, uint64_t failures,
	       int last_errno)
{
	struct archive_stats s;

	archive_get_stats(a, &s);
	if (s.history_files_written == in_history && s.lost_files_written == in_lost &&
	    s.failures == failures && s.last_errno == last_errno)
		return true;
	fprintf(stderr, "history %ju, lost %ju, failures %ju, errno %d\n",
		(uintmax_t)s.history_files_written, (uintmax_t)s.lost_files_written,
		(uintmax_t)s.failures, s.last_errno);
	return false;
}
