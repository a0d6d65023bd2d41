/* SPDX-License-Identifier: MIT */
/* Telling the kernel what to drop.
 *
 * A notification may wait until the kernel has let go of a directory or a page,
 * that is for replies which are still to come.  So threads of their own send
 * them, nobody waits for them, and no lock is held.
 *
 * There are two lanes.  Dropping a name takes the lock of its directory, which
 * the kernel holds over a RENAME, CREATE or UNLINK there until that is answered;
 * dropping a node takes none.  Replies that must follow a dropped node therefore
 * queue behind nodes only: behind a name, the reply to a RENAME would wait for a
 * lock that the RENAME itself holds.  Then they wait for names for a moment: whoever
 * has changed a stack's name by a save finds the new one when close(2) returns. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fuse/private.h"

/* How long a reply waits for names: one of them may be waiting for this reply. */
#define NAMES_WAIT_MS 100
#define STOP_STEP_MS 10

enum { LANE_NAMES, LANE_NODES, N_LANES };

struct item {
	struct item *next;
	uint64_t node;        /* of a name: its directory */
	struct request *then; /* to be replied to afterwards, or NULL */
	char name[];          /* "" in the lane of nodes */
};

struct lane {
	struct notifier *notifier;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct item *head, **tail; /* guarded by lock */
	struct item *last;         /* guarded by lock; NULL: the queue is empty */
	uint64_t pushed, sent;     /* guarded by lock; how many, ever */
	bool stop;                 /* guarded by lock: nothing is sent any more */
	bool ended;                /* guarded by lock */
	bool started;
	pthread_t thread;
};

struct notifier {
	struct fuse_session *session;
	struct lane lanes[N_LANES];
};

static void lane_init(struct lane *lane, struct notifier *n)
{
	pthread_condattr_t attr;

	lane->notifier = n;
	lane->tail = &lane->head;
	pthread_mutex_init(&lane->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&lane->changed, &attr);
	pthread_condattr_destroy(&attr);
}

int notifier_new(struct fuse_session *session, struct notifier **ret)
{
	struct notifier *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->session = session;
	for (unsigned i = 0; i < N_LANES; i++)
		lane_init(&n->lanes[i], n);
	*ret = n;
	return 0;
}

static bool same(const struct item *a, uint64_t node, const char *name)
{
	return a && !a->then && a->node == node && strcmp(a->name, name) == 0;
}

/* A message that cannot be kept for want of memory is lost: what the kernel
 * holds then lives until its time is over. */
static void push(struct lane *lane, uint64_t node, const char *name, struct request *then)
{
	size_t size = strlen(name) + 1;

	pthread_mutex_lock(&lane->lock);
	bool repeats = !then && same(lane->last, node, name);
	struct item *item = repeats ? NULL : calloc(1, sizeof(*item) + size);
	if (item) {
		item->node = node;
		item->then = then;
		memcpy(item->name, name, size);
		*lane->tail = item;
		lane->tail = &item->next;
		lane->last = item;
		lane->pushed++;
		pthread_cond_broadcast(&lane->changed);
	}
	pthread_mutex_unlock(&lane->lock);
	if (then && !item)
		request_reply(then);
}

static void drop_node(void *arg, uint64_t node)
{
	struct notifier *n = arg;

	push(&n->lanes[LANE_NODES], node, "", NULL);
}

static void drop_name(void *arg, uint64_t parent, const char *name)
{
	struct notifier *n = arg;

	push(&n->lanes[LANE_NAMES], parent, name, NULL);
}

/* Waits for nobody, where nobody has the file open. */
static bool fill(void *arg, uint64_t node, const char *text, size_t len)
{
	struct notifier *n = arg;
	struct fuse_bufvec pages = FUSE_BUFVEC_INIT(len);

	pages.buf[0].mem = (void *)text;
	return fuse_lowlevel_notify_store(n->session, node, 0, &pages, 0) == 0;
}

void notifier_fs_kernel(struct notifier *n, struct fs_kernel *ret)
{
	*ret = (struct fs_kernel){ drop_node, drop_name, fill, n };
}

void notifier_drop_then_reply(struct notifier *n, struct request *request)
{
	bool names_too = request->op.drop_names;

	push(&n->lanes[names_too ? LANE_NAMES : LANE_NODES], request->op.drop_node, "", request);
}

/* Errors are no news: the kernel may have forgotten the node, or be gone. */
static void send_item(struct lane *lane, const struct item *item)
{
	struct fuse_session *session = lane->notifier->session;

	if (item->name[0])
		(void)fuse_lowlevel_notify_inval_entry(session, item->node, item->name,
						       strlen(item->name));
	else
		(void)fuse_lowlevel_notify_inval_inode(session, item->node, 0, 0);
}

/* Until all that is in the lane now was sent, or the time is over. */
static void wait_for(struct lane *lane, unsigned ms)
{
	const struct timespec until = clock_after_ms(ms);

	pthread_mutex_lock(&lane->lock);
	uint64_t pushed = lane->pushed;
	while (lane->sent < pushed) {
		if (pthread_cond_timedwait(&lane->changed, &lane->lock, &until) != 0)
			break;
	}
	pthread_mutex_unlock(&lane->lock);
}

/* A reply that has waited for the names waits for the nodes, too. */
static void go_on(struct lane *lane, struct request *then)
{
	struct lane *nodes = &lane->notifier->lanes[LANE_NODES];

	if (lane != nodes) {
		push(nodes, then->op.drop_node, "", then);
		return;
	}
	wait_for(&lane->notifier->lanes[LANE_NAMES], NAMES_WAIT_MS);
	request_reply(then);
}

static void *lane_thread(void *arg)
{
	struct lane *lane = arg;

	pthread_mutex_lock(&lane->lock);
	while (!lane->stop || lane->head) {
		struct item *item = lane->head;

		if (!item) {
			pthread_cond_wait(&lane->changed, &lane->lock);
			continue;
		}
		lane->head = item->next;
		if (!lane->head) {
			lane->tail = &lane->head;
			lane->last = NULL;
		}
		bool send = !lane->stop;
		pthread_mutex_unlock(&lane->lock);
		if (send)
			send_item(lane, item);
		if (item->then)
			go_on(lane, item->then);
		free(item);
		pthread_mutex_lock(&lane->lock);
		lane->sent++;
		pthread_cond_broadcast(&lane->changed);
	}
	lane->ended = true;
	pthread_cond_broadcast(&lane->changed);
	pthread_mutex_unlock(&lane->lock);
	return NULL;
}

int notifier_start(struct notifier *n)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < N_LANES; i++) {
		struct lane *lane = &n->lanes[i];

		r = -pthread_create(&lane->thread, NULL, lane_thread, lane);
		lane->started = r == 0;
	}
	return r;
}

static bool stop_lane(struct lane *lane)
{
	const struct timespec until = clock_after_ms(STOP_STEP_MS);

	pthread_mutex_lock(&lane->lock);
	lane->stop = true;
	pthread_cond_broadcast(&lane->changed);
	while (lane->started && !lane->ended) {
		if (pthread_cond_timedwait(&lane->changed, &lane->lock, &until) != 0)
			break;
	}
	bool over = !lane->started || lane->ended;
	pthread_mutex_unlock(&lane->lock);
	return over;
}

/* In the order of the lanes: what leaves the first may enter the second. */
bool notifier_stop(struct notifier *n)
{
	for (unsigned i = 0; n && i < N_LANES; i++) {
		if (!stop_lane(&n->lanes[i]))
			return false;
	}
	return true;
}

static void lane_free(struct lane *lane)
{
	struct item *item;

	if (lane->started)
		pthread_join(lane->thread, NULL);
	while ((item = lane->head)) {
		lane->head = item->next;
		if (item->then)
			request_reply(item->then);
		free(item);
	}
	pthread_cond_destroy(&lane->changed);
	pthread_mutex_destroy(&lane->lock);
}

void notifier_free(struct notifier *n)
{
	if (!n)
		return;
	for (unsigned i = 0; i < N_LANES; i++)
		(void)stop_lane(&n->lanes[i]);
	for (unsigned i = 0; i < N_LANES; i++)
		lane_free(&n->lanes[i]);
	free(n);
}
