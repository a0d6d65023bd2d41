/* SPDX-License-Identifier: MIT */
/* config.json as it is being written.
 *
 * Writes go to the node's draft and never to the API.  The draft is saved when
 * the file is flushed or synced and has changed since it was last saved; every
 * flush of the same text gives the same answer.  With the last handle that may
 * write the draft ends: what is shown then is the record, and a text that could
 * not be saved is kept by refuse.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "draft/save.h"
#include "draft/versions.h"
#include "fs/private.h"

struct document content_document(const struct content *content)
{
	return (struct document){ content->len ? content->bytes : "", content->len };
}

bool edit_shows_draft(const struct node *node)
{
	const struct draft *d = node->draft;

	if (!d)
		return false;
	if (!node->dir->stack)
		return true;
	return d->generation != d->ended || d->result < 0;
}

void edit_free(struct draft *d)
{
	if (!d)
		return;
	content_free(d->content);
	free(d);
}

/* ---- writing ---- */

static int draft_new(struct fs *fs, struct draft **ret)
{
	CLEANUP(edit_freep) struct draft *d = calloc(1, sizeof(*d));
	int r = d ? content_new(&fs->budget, CONTENT_DRAFT, &d->content) : -ENOMEM;

	if (r < 0)
		return r;
	d->serial = ++fs->next_serial;
	*ret = TAKE_PTR(d);
	return 0;
}

int edit_begin(struct fs *fs, struct node *node)
{
	CLEANUP(edit_freep) struct draft *d = NULL;
	const char *text;
	size_t len;

	if (node->draft)
		return 0;
	int r = draft_new(fs, &d);
	if (r < 0)
		return r;
	node_text(node, &text, &len);
	r = content_write(d->content, 0, text, len, DOCUMENT_MAX_BYTES);
	if (r == 0)
		node->draft = TAKE_PTR(d);
	return r;
}

int edit_from_record(struct fs *fs, struct node *node)
{
	CLEANUP(content_freep) struct content *content = NULL;
	const char *text;
	size_t len;

	if (!node->draft || edit_shows_draft(node))
		return 0;
	node_text(node, &text, &len);
	int r = content_new(&fs->budget, CONTENT_DRAFT, &content);
	if (r == 0)
		r = content_write(content, 0, text, len, DOCUMENT_MAX_BYTES);
	if (r < 0)
		return r;
	content->mtime = node->draft->content->mtime;
	content_free(node->draft->content);
	node->draft->content = TAKE_PTR(content);
	return 0;
}

/* The text is another one from now on. */
static void changed(struct fs *fs, struct node *node, struct fs_op *op)
{
	struct draft *d = node->draft;
	bool shown = edit_shows_draft(node);

	d->generation++;
	d->incomplete = false;
	if (op_process(op)->pid)
		d->writer = *op_process(op);
	clock_gettime(CLOCK_REALTIME, &d->content->mtime);
	/* The kernel may hold pages of the record, as it was after a save. */
	if (!shown && d->generation > 1)
		fs_drop_node(fs, node);
}

int edit_begin_empty(struct fs *fs, struct node *node, struct fs_op *op)
{
	int r = draft_new(fs, &node->draft);

	if (r == 0)
		changed(fs, node, op);
	return r;
}

int edit_write(struct fs *fs, struct node *node, struct fs_op *op)
{
	int r = edit_begin(fs, node);

	if (r < 0)
		return r;
	struct content *content = node->draft->content;
	/* The kernel appends at the end that it knows, which may be the record's. */
	if ((op->flags & O_APPEND) && op->offset != content->len) {
		op->offset = content->len;
		fs_drop_node(fs, node);
	}
	r = content_write(content, op->offset, op->bytes, op->size, DOCUMENT_MAX_BYTES);
	if (r == 0)
		changed(fs, node, op);
	return r;
}

int edit_resize(struct fs *fs, struct node *node, struct fs_op *op, uint64_t size)
{
	if (size > DOCUMENT_MAX_BYTES)
		return -EFBIG;
	int r = edit_begin(fs, node);

	if (r < 0 || node->draft->content->len == size)
		return r;
	r = content_resize(node->draft->content, size, DOCUMENT_MAX_BYTES);
	if (r == 0)
		changed(fs, node, op);
	return r;
}

/* ---- saving ---- */

/* What was written to them was dropped; the server's own are shown now. */
static void drop_sinks(struct fs *fs, struct dir *dir)
{
	static const enum node_kind kinds[] = { NODE_DEPENDENCIES, NODE_TOKEN };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct node *node = tree_local(dir, kind_name(kinds[i]));

		if (node)
			tree_unlink(fs->tree, node);
	}
}

/* The draft directory is the new stack's.  False: it is gone. */
static bool adopt(struct fs_change *c)
{
	struct fs *fs = c->fs;
	struct work *work = work_get(fs, c->dir);

	if (!*c->dir->name)
		return false;
	if (tree_adopt(fs->tree, c->dir, c->stack) < 0)
		note_no_memory(fs, c->dir);
	if (work)
		work->became_ms = clock_now_ms(fs->clock);
	drop_sinks(fs, c->dir);
	fs_drop_listing(fs, c->dir);
	return true;
}

/* A text is in the account now: that of a draft, or of a file renamed onto it. */
static void stored(struct fs_change *c, struct draft *by)
{
	struct fs *fs = c->fs;

	if (c->stack && !c->dir->stack)
		(void)adopt(c);
	refuse_settled(fs, c->dir, c->text, by, &c->who);
	work_show_all(c->dir);
}

static change_done_fn save_ended, replace_ended;

/* The text becomes the stack's, or a new stack. */
static void send(struct fs_change *c, struct document doc, change_done_fn *done)
{
	struct changes *changes = &c->fs->changes;

	if (c->dir->stack) {
		save_text(changes, c->dir->stack, doc, &c->who, c->deadline_ms, done, c);
		return;
	}
	struct work *work = work_get(c->fs, c->dir);
	if (work)
		create_stack(changes, c->dir->made_as ? c->dir->made_as : c->dir->name, doc,
			     &work->memory, &c->who, c->deadline_ms, done, c);
	else
		done(c, &(struct change_result){
				.err = -ENOMEM,
				.error = { .err = -ENOMEM, .message = "out of memory" },
			});
}

/* The stack of an earlier attempt was found: what this text says differently is
 * still to be saved into it. */
static bool send_rest(struct fs_change *c, const struct change_result *result, change_done_fn *done)
{
	if (result->err < 0 || !result->to_save.text || c->dir->stack || !adopt(c))
		return false;
	c->deadline_ms = result->deadline_ms;
	send(c, result->to_save, done);
	return true;
}

static int copy_text(struct fs_change *c, const struct content *from)
{
	int r = content_new(&c->fs->budget, CONTENT_DRAFT, &c->text);

	return r < 0 ? r : content_write(c->text, 0, from->bytes, from->len, from->len);
}

static bool is_half(const struct content *text)
{
	struct json_error e;

	return document_check(content_document(text), &e) < 0 && e.incomplete;
}

/* What was opened before others have changed the stack is merged, as any text is. */
static bool has_place(const struct node *node)
{
	const struct stack *stack = node->dir->stack;

	return !node->detached || (node->outdated && stack && !stack->gone);
}

static void end_save(struct fs_change *c, const struct api_error *why)
{
	struct node *node = c->node;
	struct draft *d = node->draft;

	d->saving = false;
	d->ended = c->generation;
	d->result = c->err;
	d->why = *why;
	bool half = c->err == -EBADMSG && is_half(c->text);
	d->incomplete = half && d->generation == d->ended;
	if (c->err == 0)
		stored(c, d);
	else if (!half)
		refuse_keep(c->fs, c->dir, c->text, d, &c->who, why);
	if (c->err == 0 && node->kind == NODE_CONFIG && has_place(node) && c->dir->stack)
		(void)node_update(node);
	fs_wake_awaiting(c->fs, node);
	if (node->writers == 0)
		edit_last_close(c->fs, node);
	change_over(c);
}

static void save_ended(void *arg, const struct change_result *result)
{
	struct fs_change *c = arg;

	change_note(c, result);
	if (!send_rest(c, result, save_ended))
		end_save(c, &result->error);
}

/* The draft is as unsaved as before; whoever closes it next tries again. */
static int cannot_begin(struct fs *fs, struct node *node, const char *call, int err)
{
	struct api_error why = { 0 };

	api_error_set(&why, err, "%s", err == -ENOSPC
					       ? "no room to save it (-o scratch=)"
					       : "no memory to save it");
	note_error(fs, node->dir, kind_name(NODE_CONFIG), call, &why, NULL);
	return err;
}

/* STORE_WAIT, or the result.  deadline_ms: see fs_change. */
static int save(struct fs *fs, struct node *node, const char *call, uint64_t deadline_ms)
{
	struct draft *d = node->draft;
	struct fs_change *c = change_new(fs, NULL, node, node->dir, NODE_CONFIG, call);
	int r = c ? copy_text(c, d->content) : -ENOMEM;

	if (r < 0) {
		if (c) {
			c->ended = true;
			(void)change_wait(c);
		}
		return cannot_begin(fs, node, call, r);
	}
	c->generation = d->generation;
	c->who = d->writer;
	c->deadline_ms = deadline_ms;
	d->saving = true;
	send(c, content_document(c->text), save_ended);
	return change_wait(c);
}

/* Somebody has put another file in its place, or its stack is gone: there is
 * nothing left to save it into, but it is not lost. */
static int flush_detached(struct fs *fs, struct node *node, struct fs_op *op)
{
	struct draft *d = node->draft;
	bool gone = node->dir->stack && node->dir->stack->gone;

	refuse_lose(fs, node->dir, d->content);
	if (node->dir->stack && !gone)
		versions_refused(fs->changes.versions, node->dir->stack, &d->writer,
				 content_document(d->content));
	d->ended = d->generation;
	d->result = gone ? -ESTALE : -EBUSY;
	return op_refuse(op, d->result, "%s while it was being written; the text is kept in lost",
			 gone ? "the stack was deleted" : "another file was put in its place");
}

/* The file whose rename onto config.json is making the stack of this draft
 * directory, or NULL: another request meanwhile would make another stack. */
static const struct node *replaces_draft(const struct dir *dir)
{
	return dir->stack || !dir->work ? NULL : dir->work->replacing;
}

const struct node *edit_maker(const struct dir *dir)
{
	const struct node *node = dir->stack ? NULL : tree_peek(dir, NODE_CONFIG);

	if (node && node->draft && node->draft->saving)
		return node;
	return replaces_draft(dir);
}

int edit_flush(struct fs *fs, struct node *node, struct fs_op *op)
{
	struct draft *d = node->draft;

	if (!d || d->generation == 0)
		return 0;
	if (!op->generation)
		op->generation = d->generation;
	if (d->saving) {
		op->awaits = node;
		return STORE_WAIT;
	}
	if (d->ended >= op->generation)
		return d->result;
	if (document_is_empty(content_document(d->content)))
		return 0;
	if (!has_place(node))
		return flush_detached(fs, node, op);
	op->awaits = replaces_draft(node->dir);
	if (op->awaits) {
		op->generation = 0; /* it is not that file's text which it waits for */
		return STORE_WAIT;
	}
	int r = save(fs, node, op->call == FS_FSYNC ? "fsync" : "flush", op->deadline_ms);
	if (r == STORE_WAIT)
		op->awaits = node;
	else if (r == 0)
		op->drop_node = node->id;
	return r;
}

/* ---- the last close ---- */

static void end_draft(struct fs *fs, struct node *node)
{
	edit_free(TAKE_PTR(node->draft));
	if (node->detached)
		return;
	node->pages_valid = false;
	/* It may have been replaced while the draft was there. */
	const struct stack *stack = node->dir->stack;
	if (stack && node->record != stack->record)
		fs_replace_version(fs, node);
	else
		fs_drop_node(fs, node);
	if (!node->detached)
		tree_reap(fs->tree, node);
}

/* Whether there was no room even to begin: nobody else tries again. */
static bool cannot_save_at_last(struct fs *fs, struct node *node)
{
	int r = save(fs, node, "release", 0);
	const struct draft *d = node->draft; /* it may have ended already */

	if (r >= 0 || !d || d->saving || d->generation == d->ended)
		return false;
	refuse_lose(fs, node->dir, d->content);
	return true;
}

void edit_last_close(struct fs *fs, struct node *node)
{
	struct draft *d = node->draft;

	if (!d || d->saving)
		return;
	bool empty = document_is_empty(content_document(d->content));
	if (!node->detached && replaces_draft(node->dir))
		return; /* after that */
	/* Written through a mapping after the flush. */
	bool unsaved = !empty && d->generation != d->ended;
	if (unsaved && has_place(node) && !cannot_save_at_last(fs, node))
		return;
	if (!node->dir->stack && !node->detached)
		return; /* a draft directory's file stays */
	if (!has_place(node) && (unsaved || (d->result < 0 && d->incomplete)))
		refuse_lose(fs, node->dir, d->content);
	else if (d->result < 0 && d->incomplete)
		refuse_keep(fs, node->dir, d->content, d, &d->writer, &d->why);
	end_draft(fs, node);
}

/* ---- another file in its place ---- */

/* Nobody has it open who could be told. */
static void lose_unsaved(struct fs *fs, const struct node *node)
{
	const struct draft *d = node && node->writers == 0 ? node->draft : NULL;

	if (d && (d->generation != d->ended || d->incomplete))
		refuse_lose(fs, node->dir, d->content);
}

struct content *edit_take(struct node *node, const struct process *by)
{
	struct draft *d = TAKE_PTR(node->draft);
	struct content *content = TAKE_PTR(d->content);

	content_use_as(content, CONTENT_SCRATCH);
	if (!node->dir->stack && d->result < 0 && d->generation == d->ended) {
		d->writer = *by;
		node->was = TAKE_PTR(d);
	}
	edit_free(d);
	return content;
}

void edit_scratch_changes(struct node *node)
{
	clock_gettime(CLOCK_REALTIME, &node->content->mtime);
	edit_free(TAKE_PTR(node->was));
}

/* An editor could not save, and has its old file back: that one was refused before, and
 * nobody asks for it to be sent again. */
static bool puts_back(const struct node *scratch, struct fs_op *op)
{
	return scratch->was && !scratch->dir->stack &&
	       process_same(&scratch->was->writer, op_process(op));
}

static int put_back(struct fs *fs, struct node *node, struct fs_op *op)
{
	lose_unsaved(fs, tree_peek(node->dir, NODE_CONFIG));
	tree_move_to_slot(fs->tree, node, NODE_CONFIG);
	node->pages_valid = false;
	node->draft = TAKE_PTR(node->was);
	node->draft->content = TAKE_PTR(node->content);
	content_use_as(node->draft->content, CONTENT_DRAFT);
	refuse_again(node->dir, node->draft);
	op->drop_node = node->id;
	return 0;
}

/* The scratch file is config.json now. */
static void put_in_place(struct fs_change *c)
{
	struct fs *fs = c->fs;
	struct node *node = c->node;

	if (node->detached || node->kind != NODE_SCRATCH)
		return;
	lose_unsaved(fs, tree_peek(node->dir, NODE_CONFIG));
	tree_move_to_slot(fs->tree, node, NODE_CONFIG);
	node->pages_valid = false;
	struct draft *d = node->writers > 0 ? calloc(1, sizeof(*d)) : NULL;
	if (d) { /* what its writer adds later goes on from here */
		d->content = TAKE_PTR(node->content);
		content_use_as(d->content, CONTENT_DRAFT);
		d->serial = ++fs->next_serial;
		d->generation = d->ended = 1;
		node->draft = d;
	}
	content_free(TAKE_PTR(node->content));
	edit_free(TAKE_PTR(node->was));
	if (node->dir->stack)
		(void)node_update(node);
}

/* Nothing came of it, but the record may be another one now. */
static void show_again(struct fs_change *c)
{
	struct node *node = tree_peek(c->dir, NODE_CONFIG);

	if (!node || node->draft || !c->dir->stack)
		return;
	if (c->op)
		c->op->drop_node = node->id;
	fs_replace_version(c->fs, node);
}

/* Those who had to wait whether they are to make the stack. */
static void others_go_on(struct fs_change *c)
{
	struct node *there = tree_peek(c->dir, NODE_CONFIG);

	fs_wake_awaiting(c->fs, c->node);
	if (there && there->draft && there->writers == 0)
		edit_last_close(c->fs, there);
}

static void end_replace(struct fs_change *c, const struct api_error *why)
{
	if (c->dir->work)
		c->dir->work->replacing = NULL;
	if (c->err == 0) {
		if (c->stack && !c->dir->stack)
			(void)adopt(c);
		put_in_place(c); /* before the refused text goes: it may be this */
		stored(c, NULL);
	} else {
		refuse_keep(c->fs, c->dir, c->text, NULL, &c->who, why);
		show_again(c);
	}
	others_go_on(c);
	change_over(c);
}

static void replace_ended(void *arg, const struct change_result *result)
{
	struct fs_change *c = arg;

	change_note(c, result);
	if (!send_rest(c, result, replace_ended))
		end_replace(c, &result->error);
}

int edit_replace(struct fs *fs, struct node *scratch, struct fs_op *op)
{
	struct fs_change *c = op->change;
	struct work *work = work_get(fs, scratch->dir);

	if (c)
		return change_wait(c);
	if (puts_back(scratch, op))
		return put_back(fs, scratch, op);
	if (scratch->content->len > DOCUMENT_MAX_BYTES)
		return op_refuse(op, -EFBIG, "larger than 1 MiB");
	c = work ? change_new(fs, op, scratch, scratch->dir, NODE_CONFIG, "rename")
		 : NULL;
	int r = c ? copy_text(c, scratch->content) : -ENOMEM;
	if (r < 0) {
		if (c)
			c->ended = true; /* the op frees it */
		return op_no_room(op, r);
	}
	c->who = *op_process(op);
	c->deadline_ms = op->deadline_ms;
	work->replacing = scratch;
	op->drop_node = scratch->id;
	send(c, content_document(c->text), replace_ended);
	return change_wait(c);
}
