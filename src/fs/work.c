/* SPDX-License-Identifier: MIT */
#include "fs/work.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/private.h"

struct work *work_get(struct fs *fs, struct dir *dir)
{
	if (dir->work)
		return dir->work;
	struct work *work = calloc(1, sizeof(*work));
	if (!work)
		return NULL;
	work->fs = fs;
	work->dir = dir;
	work->made_wall_ms = clock_wall_ms(fs->clock);
	dir->work = work;
	return work;
}

void work_free(struct work *work)
{
	if (!work)
		return;
	timer_cancel(work->fs->timers, &work->grace);
	for (enum node_kind kind = NODE_CONFIG; kind <= NODE_TOKEN; kind++)
		work_show(work->dir, kind);
	create_memory_done(&work->memory);
	free(work->error);
	free(work->renaming);
	free(work);
}

/* ---- hiding ---- */

static unsigned file_index(enum node_kind kind)
{
	assert(kind >= NODE_CONFIG && kind <= NODE_TOKEN);
	return kind - NODE_CONFIG;
}

bool work_hides(const struct dir *dir, enum node_kind kind)
{
	return dir->work && dir->work->hidden[file_index(kind)].turn > 0;
}

bool work_hides_any(const struct dir *dir)
{
	return work_hides(dir, NODE_CONFIG) || work_hides(dir, NODE_DEPENDENCIES) ||
	       work_hides(dir, NODE_TOKEN);
}

void work_show(struct dir *dir, enum node_kind kind)
{
	if (!work_hides(dir, kind))
		return;
	dir->work->hidden[file_index(kind)] = (struct hidden){ 0 };
	dir->work->fs->n_hidden--;
}

void work_show_all(struct dir *dir)
{
	if (!work_hides_any(dir))
		return;
	for (enum node_kind kind = NODE_CONFIG; kind <= NODE_TOKEN; kind++)
		work_show(dir, kind);
	timer_cancel(dir->work->fs->timers, &dir->work->grace);
	fs_drop_listing(dir->work->fs, dir);
}

static void grace_over(struct timer *timer)
{
	struct work *work = CONTAINER_OF(timer, struct work, grace);
	uint64_t until = work->hider_ms + work->fs->grace_ms;

	if (clock_now_ms(work->fs->clock) < until)
		timer_arm(work->fs->timers, timer, until, grace_over);
	else
		work_show_all(work->dir);
}

static bool was_removed_by(const struct work *work, const struct process *by)
{
	for (unsigned i = 0; i < WORK_N_REMOVERS; i++) {
		if (work->removers[i].pid && process_same(&work->removers[i], by))
			return true;
	}
	return false;
}

int work_hide(struct fs *fs, struct dir *dir, enum node_kind kind, const struct process *by)
{
	struct work *work = work_get(fs, dir);

	if (!work)
		return -ENOMEM;
	if (!work_hides_any(dir))
		work->turns = 0;
	if (!work_hides(dir, kind))
		fs->n_hidden++;
	work->hidden[file_index(kind)] = (struct hidden){ .by = *by, .turn = ++work->turns };
	if (kind == NODE_CONFIG && !was_removed_by(work, by))
		work->removers[work->n_removers++ % WORK_N_REMOVERS] = *by;
	work->hider_ms = clock_now_ms(fs->clock);
	timer_arm(fs->timers, &work->grace, work->hider_ms + fs->grace_ms, grace_over);
	return 0;
}

bool work_hid_config(const struct dir *dir, struct fs_op *op)
{
	return work_hides(dir, NODE_CONFIG) &&
	       process_same(&dir->work->hidden[0].by, op_process(op));
}

bool work_removed_config(const struct dir *dir, struct fs_op *op)
{
	return dir->work && was_removed_by(dir->work, op_process(op));
}

void work_touched(struct fs *fs, const struct dir *dir, struct fs_op *op)
{
	if (!work_hides_any(dir))
		return;
	for (unsigned i = 0; i < WORK_N_FILES; i++) {
		const struct hidden *hidden = &dir->work->hidden[i];

		if (hidden->turn && process_same(&hidden->by, op_process(op)))
			dir->work->hider_ms = clock_now_ms(fs->clock);
	}
}

bool work_just_became(const struct dir *dir)
{
	const struct work *work = dir->work;

	return work && work->became_ms &&
	       clock_now_ms(work->fs->clock) - work->became_ms < work->fs->grace_ms;
}

bool work_is_copier(const struct dir *dir, struct fs_op *op)
{
	const struct work *work = dir->work;

	return work && work->creator.pid && (!dir->stack || work_just_became(dir)) &&
	       process_same(&work->creator, op_process(op));
}

bool work_may_create(const struct dir *dir, enum node_kind kind, struct fs_op *op)
{
	return kind != NODE_CONFIG && work_is_copier(dir, op) &&
	       !dir->work->created[file_index(kind)];
}

void work_may_create_again(const struct dir *dir, enum node_kind kind)
{
	if (dir->work)
		dir->work->created[file_index(kind)] = false;
}

/* Whoever copies a directory looks for the files in it and makes them; a program
 * that has made a stack and now reads its token must find it. */
bool work_sees_absent(const struct dir *dir, enum node_kind kind, struct fs_op *op)
{
	if (kind == NODE_CONFIG || (dir->stack && !work_just_became(dir)))
		return false;
	enum process_wants wants = process_wants(op->tid);

	return wants != PROCESS_WANTS_TO_USE &&
	       (wants == PROCESS_WANTS_TO_MAKE || work_may_create(dir, kind, op));
}

/* ---- limits ---- */

int limit_init(struct limit *limit, unsigned max)
{
	*limit = (struct limit){ .max = max };
	if (max == 0)
		return 0;
	limit->at_ms = calloc(max, sizeof(*limit->at_ms));
	return limit->at_ms ? 0 : -ENOMEM;
}

void limit_done(struct limit *limit)
{
	free(limit->at_ms);
}

bool limit_take(struct limit *limit, uint64_t now_ms)
{
	if (limit->max == 0)
		return true;
	uint64_t *oldest = &limit->at_ms[limit->n % limit->max];
	if (limit->n >= limit->max && now_ms - *oldest < LIMIT_WINDOW_MS)
		return false;
	*oldest = now_ms;
	limit->n++;
	return true;
}

void limit_give_back(struct limit *limit)
{
	if (limit->max == 0 || limit->n == 0)
		return;
	limit->n--;
	limit->at_ms[limit->n % limit->max] = 0;
}

/* ---- who has opened which directory ---- */

void openers_add(struct openers *openers, uint64_t cookie, pid_t tid)
{
	openers->ring[openers->next++ % OPENERS_MAX] = (struct opener){ cookie, tid };
}

bool openers_have(const struct openers *openers, uint64_t cookie, const struct process *process)
{
	for (unsigned i = 0; i < OPENERS_MAX; i++) {
		const struct opener *opener = &openers->ring[i];

		if (opener->cookie == cookie &&
		    (opener->tid == process->pid || process_has_thread(process, opener->tid)))
			return true;
	}
	return false;
}
