/* SPDX-License-Identifier: MIT */
/* Telling the kernel what to drop.
 *
 * A notification may wait until the kernel has let go of a directory or a page,
 * that is for replies which are still to come.  So a thread of its own sends
 * them, nobody waits for it, and no lock is held. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/private.h"

enum what { DROP_NODE, DROP_NAME };

struct item {
	struct item *next;
	enum what what;
	uint64_t node;
	struct request *then; /* to be replied to afterwards, or NULL */
	char name[];
};

struct notifier {
	struct fuse_session *session;
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct item *head, **tail; /* guarded by lock */
	struct item *last;         /* guarded by lock; NULL: the queue is empty */
	bool stop;                 /* guarded by lock */
	bool started;
	pthread_t thread;
};

int notifier_new(struct fuse_session *session, struct notifier **ret)
{
	struct notifier *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->session = session;
	n->tail = &n->head;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->filled, NULL);
	*ret = n;
	return 0;
}

static bool same(const struct item *a, enum what what, uint64_t node, const char *name)
{
	return a && !a->then && a->what == what && a->node == node && strcmp(a->name, name) == 0;
}

/* A message that cannot be kept for want of memory is lost: what the kernel
 * holds then lives until its time is over. */
static void push(struct notifier *n, enum what what, uint64_t node, const char *name,
		 struct request *then)
{
	size_t size = strlen(name) + 1;

	pthread_mutex_lock(&n->lock);
	bool repeats = !then && same(n->last, what, node, name);
	struct item *item = repeats ? NULL : calloc(1, sizeof(*item) + size);
	if (item) {
		item->what = what;
		item->node = node;
		item->then = then;
		memcpy(item->name, name, size);
		*n->tail = item;
		n->tail = &item->next;
		n->last = item;
		pthread_cond_signal(&n->filled);
	}
	pthread_mutex_unlock(&n->lock);
	if (then && !item)
		request_reply(then);
}

static void drop_node(void *arg, uint64_t node)
{
	push(arg, DROP_NODE, node, "", NULL);
}

static void drop_name(void *arg, uint64_t parent, const char *name)
{
	push(arg, DROP_NAME, parent, name, NULL);
}

void notifier_fs_kernel(struct notifier *n, struct fs_kernel *ret)
{
	*ret = (struct fs_kernel){ drop_node, drop_name, n };
}

void notifier_drop_then_reply(struct notifier *n, uint64_t node, struct request *request)
{
	push(n, DROP_NODE, node, "", request);
}

/* Errors are no news: the kernel may have forgotten the node, or be gone. */
static void send_item(struct notifier *n, const struct item *item)
{
	if (item->what == DROP_NODE)
		(void)fuse_lowlevel_notify_inval_inode(n->session, item->node, 0, 0);
	else
		(void)fuse_lowlevel_notify_inval_entry(n->session, item->node, item->name,
						       strlen(item->name));
}

static void *notifier_thread(void *arg)
{
	struct notifier *n = arg;

	pthread_mutex_lock(&n->lock);
	while (!n->stop || n->head) {
		struct item *item = n->head;

		if (!item) {
			pthread_cond_wait(&n->filled, &n->lock);
			continue;
		}
		n->head = item->next;
		if (!n->head) {
			n->tail = &n->head;
			n->last = NULL;
		}
		pthread_mutex_unlock(&n->lock);
		send_item(n, item);
		if (item->then)
			request_reply(item->then);
		free(item);
		pthread_mutex_lock(&n->lock);
	}
	pthread_mutex_unlock(&n->lock);
	return NULL;
}

int notifier_start(struct notifier *n)
{
	int r = -pthread_create(&n->thread, NULL, notifier_thread, n);

	n->started = r == 0;
	return r;
}

void notifier_free(struct notifier *n)
{
	if (!n)
		return;
	if (n->started) {
		pthread_mutex_lock(&n->lock);
		n->stop = true;
		pthread_cond_signal(&n->filled);
		pthread_mutex_unlock(&n->lock);
		pthread_join(n->thread, NULL);
	}
	pthread_cond_destroy(&n->filled);
	pthread_mutex_destroy(&n->lock);
	free(n);
}
