/* SPDX-License-Identifier: MIT */
/* Texts are queued, and a thread of its own writes them: a full or slow disk
 * delays no operation. */
#include "draft/archive.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_MODULE "archive"
#include "base/log.h"
#include "draft/archive_disk.h"
#include "draft/archive_name.h"

struct item {
	struct item *next;
	bool lost; /* else history */
	int64_t wall_ms;
	unsigned number; /* of the name in lost that was told */
	archive_done_fn *done;
	void *arg;
	char stack[NAME_MAX_BYTES + 1];
	size_t len;
	char text[];
};

struct archive {
	const struct clock *clock;
	char *dir;                 /* NULL: nowhere */
	struct archive_disk *disk; /* the thread's; NULL: nowhere */

	pthread_mutex_t lock;
	pthread_cond_t filled, idle;
	struct item *head, **tail;  /* guarded by lock */
	size_t queued_bytes;        /* guarded by lock; with the item being written */
	bool busy;                  /* guarded by lock; the thread is at work */
	int64_t lost_ms;            /* guarded by lock; of the last name in lost */
	unsigned lost_number;       /* guarded by lock */
	struct archive_stats stats; /* guarded by lock */
	atomic_bool stop;           /* set under lock */
	bool started;
	pthread_t thread;
};

/* ---- the thread ---- */

static void item_free(struct item *item)
{
	explicit_bzero(item->text, item->len);
	free(item);
}

static size_t item_bytes(const struct item *item)
{
	return sizeof(*item) + item->len;
}

/* Caller holds the lock. */
static void count_failure(struct archive *a, int err)
{
	a->stats.failures++;
	a->stats.last_errno = -err;
}

static void count(struct archive *a, const struct item *item, int r)
{
	pthread_mutex_lock(&a->lock);
	if (r < 0)
		count_failure(a, r);
	else if (r > 0 && item->lost)
		a->stats.lost_files_written++;
	else if (r > 0)
		a->stats.history_files_written++;
	pthread_mutex_unlock(&a->lock);
}

static void handle(struct archive *a, const struct item *item)
{
	const struct archive_text text = {
		.lost = item->lost,
		.stack = item->stack,
		.wall_ms = item->wall_ms,
		.number = item->number,
		.bytes = item->text,
		.len = item->len,
	};
	int r = a->disk ? archive_disk_put(a->disk, &text) : 0;

	count(a, item, r);
	if (r < 0 && r != -EINVAL)
		log_error("a text could not be written to %s: %s", item->lost ? "lost" : "history",
			  strerror(-r));
	if (item->done)
		item->done(item->arg, r < 0 ? r : 0);
	if (r > 0)
		archive_disk_prune(a->disk, &a->stop);
}

static struct item *take(struct archive *a)
{
	struct item *item = a->head;

	a->head = item->next;
	if (!a->head)
		a->tail = &a->head;
	return item;
}

static void *archive_thread(void *arg)
{
	struct archive *a = arg;

	if (a->disk)
		archive_disk_prune_all(a->disk, &a->stop);
	pthread_mutex_lock(&a->lock);
	while (!a->stop || a->head) {
		a->busy = a->head != NULL;
		if (!a->busy) {
			pthread_cond_broadcast(&a->idle);
			pthread_cond_wait(&a->filled, &a->lock);
			continue;
		}
		struct item *item = take(a);
		size_t bytes = item_bytes(item);
		pthread_mutex_unlock(&a->lock);
		handle(a, item);
		item_free(item);
		pthread_mutex_lock(&a->lock);
		a->queued_bytes -= bytes;
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* No signal is for this thread; and with SIGXFSZ blocked a write beyond
 * RLIMIT_FSIZE fails instead of ending the process (setrlimit(2)). */
static int start(struct archive *a)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	a->busy = true; /* with the first look at what is there */
	int r = -pthread_create(&a->thread, NULL, archive_thread, a);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	a->started = r == 0;
	return r;
}

/* ---- everybody else's side ---- */

static int home_dir(char out[PATH_MAX])
{
	const char *env = getenv("HOME");
	char text[16384]; /* more than any line of passwd */
	struct passwd entry, *found = NULL;

	if (!env || env[0] != '/') {
		(void)getpwuid_r(geteuid(), &entry, text, sizeof(text), &found);
		env = found ? found->pw_dir : NULL;
	}
	if (!env || env[0] != '/')
		return -ENOENT;
	return snprintf(out, PATH_MAX, "%s/.local/state", env) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int archive_default_dir(char ret[PATH_MAX])
{
	const char *env = getenv("XDG_STATE_HOME");
	char state[PATH_MAX], dir[PATH_MAX];

	/* "All paths set in these environment variables must be absolute.":
	 * specifications.freedesktop.org/basedir-spec */
	if (!env || env[0] != '/') {
		int r = home_dir(state);

		if (r < 0)
			return r;
		env = state;
	}
	if (snprintf(dir, sizeof(dir), "%s/stacksfs", env) >= (int)sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(ret, dir, strlen(dir) + 1);
	return 0;
}

/* Without slashes at its end: they would make a link's target of the link. */
static char *copy_dir(const char *dir)
{
	size_t len = strlen(dir);

	while (len > 1 && dir[len - 1] == '/')
		len--;
	return strndup(dir, len);
}

static int set_dir(struct archive *a, const char *dir, char *why)
{
	a->dir = copy_dir(dir);
	return a->dir ? archive_disk_new(a->dir, a->clock, &a->disk, why) : -ENOMEM;
}

int archive_check(const char *dir, char ret_why[ARCHIVE_WHY_BYTES])
{
	char *copy = copy_dir(dir);

	snprintf(ret_why, ARCHIVE_WHY_BYTES, "out of memory");
	int r = copy ? archive_disk_check(copy, ret_why) : -ENOMEM;
	free(copy);
	return r;
}

int archive_new(const char *dir, const struct clock *clock, struct archive **ret,
		char ret_why[ARCHIVE_WHY_BYTES])
{
	CLEANUP(archive_freep) struct archive *a = calloc(1, sizeof(*a));
	pthread_condattr_t attr;
	char ignored[ARCHIVE_WHY_BYTES];
	int r;

	ret_why = ret_why ? ret_why : ignored;
	snprintf(ret_why, ARCHIVE_WHY_BYTES, "cannot keep history: not enough memory or threads");
	if (!a)
		return -ENOMEM;
	a->clock = clock;
	a->tail = &a->head;
	a->lost_ms = -1;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->filled, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&a->idle, &attr);
	pthread_condattr_destroy(&attr);

	r = dir ? set_dir(a, dir, ret_why) : 0;
	if (r == 0)
		r = start(a);
	if (r == 0)
		*ret = TAKE_PTR(a);
	return r;
}

void archive_free(struct archive *a)
{
	if (!a)
		return;
	if (a->started) {
		pthread_mutex_lock(&a->lock);
		a->stop = true;
		pthread_cond_signal(&a->filled);
		pthread_mutex_unlock(&a->lock);
		pthread_join(a->thread, NULL);
	}
	archive_disk_free(a->disk);
	pthread_cond_destroy(&a->idle);
	pthread_cond_destroy(&a->filled);
	pthread_mutex_destroy(&a->lock);
	free(a->dir);
	free(a);
}

/* Names in lost are told before they are there, so they must not repeat.
 * Caller holds the lock. */
static void number_lost(struct archive *a, struct item *item)
{
	item->number = item->wall_ms == a->lost_ms ? a->lost_number + 1 : 0;
	a->lost_ms = item->wall_ms;
	a->lost_number = item->number;
}

static int reserve(struct archive *a, size_t len)
{
	size_t bytes = sizeof(struct item) + len;

	pthread_mutex_lock(&a->lock);
	bool fits = len <= ARCHIVE_QUEUE_MAX_BYTES &&
		    bytes <= ARCHIVE_QUEUE_MAX_BYTES - a->queued_bytes;
	if (fits)
		a->queued_bytes += bytes;
	else
		count_failure(a, -ENOSPC);
	pthread_mutex_unlock(&a->lock);
	return fits ? 0 : -ENOSPC;
}

static void unreserve(struct archive *a, size_t len)
{
	pthread_mutex_lock(&a->lock);
	a->queued_bytes -= sizeof(struct item) + len;
	count_failure(a, -ENOMEM);
	pthread_mutex_unlock(&a->lock);
}

static bool is_component(const char *stack)
{
	size_t len = strlen(stack);

	return len > 0 && len <= NAME_MAX_BYTES && stack[0] != '.' && !strchr(stack, '/');
}

static int item_new(struct archive *a, const char *stack, const char *text, size_t len,
		    struct item **ret)
{
	if (!is_component(stack))
		return -EINVAL;
	if (!a->dir)
		len = 0;
	int r = reserve(a, len);
	if (r < 0)
		return r;
	struct item *item = calloc(1, sizeof(*item) + len);
	if (!item) {
		unreserve(a, len);
		return -ENOMEM;
	}
	item->wall_ms = clock_wall_ms(a->clock);
	memcpy(item->stack, stack, strlen(stack) + 1);
	item->len = len;
	if (len > 0)
		memcpy(item->text, text, len);
	*ret = item;
	return 0;
}

/* ret_path is written before the thread may free the item. */
static void enqueue(struct archive *a, struct item *item, char *ret_path)
{
	char name[NAME_MAX_BYTES + 1];

	pthread_mutex_lock(&a->lock);
	if (item->lost)
		number_lost(a, item);
	if (ret_path && a->dir) {
		archive_name_lost((struct archive_stamp){ item->wall_ms, item->number },
				  item->stack, name);
		snprintf(ret_path, ARCHIVE_PATH_BYTES, "lost/%s", name);
	} else if (ret_path) {
		ret_path[0] = '\0';
	}
	*a->tail = item;
	a->tail = &item->next;
	pthread_cond_signal(&a->filled);
	pthread_mutex_unlock(&a->lock);
}

int archive_history(struct archive *a, const char *stack, const char *text, size_t len,
		    archive_done_fn *done, void *arg)
{
	struct item *item;
	int r = item_new(a, stack, text, len, &item);

	if (r < 0)
		return r;
	item->done = done;
	item->arg = arg;
	enqueue(a, item, NULL);
	return 0;
}

int archive_lost(struct archive *a, const char *stack, const char *text, size_t len,
		 archive_done_fn *done, void *arg, char ret_path[ARCHIVE_PATH_BYTES])
{
	struct item *item;
	int r = item_new(a, stack, text, len, &item);

	if (r < 0)
		return r;
	item->lost = true;
	item->done = done;
	item->arg = arg;
	enqueue(a, item, ret_path);
	return 0;
}

int archive_flush(struct archive *a, unsigned timeout_ms)
{
	const struct timespec until = clock_after_ms(timeout_ms);
	int r = 0;

	assert(!pthread_equal(pthread_self(), a->thread));
	pthread_mutex_lock(&a->lock);
	while ((a->head || a->busy) && r == 0)
		r = -pthread_cond_timedwait(&a->idle, &a->lock, &until);
	if (!a->head && !a->busy)
		r = 0;
	pthread_mutex_unlock(&a->lock);
	return r;
}

const char *archive_dir(const struct archive *a)
{
	return a->dir;
}

void archive_get_stats(struct archive *a, struct archive_stats *ret)
{
	pthread_mutex_lock(&a->lock);
	*ret = a->stats;
	pthread_mutex_unlock(&a->lock);
}
