/* SPDX-License-Identifier: MIT */
/* Texts that could not be saved: kept beside the file and on disk, because many
 * programs do not look at what close(2) returns. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "fs"
#include "base/blob.h"
#include "base/log.h"
#include "fs/private.h"

void refuse_lose(struct fs *fs, const struct dir *dir, const struct content *text)
{
	char path[ARCHIVE_PATH_BYTES], own[NAME_MAX_BYTES + 1];
	const char *name = dir_name(dir, own);

	if (text->len == 0)
		return;
	if (!*name)
		name = "deleted";
	int r = archive_lost(fs->changes.archive, name, text->bytes, text->len, NULL, NULL, path);
	if (r < 0)
		log_error("%s: the text could not be kept: %s", name, strerror(-r));
	else if (path[0])
		log_warning("%s: the text goes into .stacksfs/%s", name, path);
}

static int copy_refused(struct fs *fs, const struct content *text, struct content **ret)
{
	CLEANUP(content_freep) struct content *c = NULL;
	int r = content_new(&fs->budget, CONTENT_DRAFT, &c);

	if (r == 0)
		r = content_write(c, 0, text->bytes, text->len, text->len);
	if (r < 0)
		return r;
	c->mode = 0600;
	c->uid = fs->uid;
	c->gid = fs->gid;
	clock_gettime(CLOCK_REALTIME, &c->mtime);
	*ret = TAKE_PTR(c);
	return 0;
}

/* It may be open, or be another refusal's: then that one goes on without a name, but
 * not before there is room for this one. */
static int make_file(struct fs *fs, struct dir *dir, const struct content *text)
{
	CLEANUP(content_freep) struct content *content = NULL;
	struct node *node = tree_local(dir, REFUSED_NAME);
	int r = copy_refused(fs, text, &content);

	if (r < 0)
		return r;
	if (node)
		tree_unlink(fs->tree, node);
	r = tree_local_new(fs->tree, dir, NODE_SCRATCH, REFUSED_NAME, &node);
	if (r == 0)
		node->content = TAKE_PTR(content);
	return r;
}

static bool keep_beside(struct fs *fs, struct dir *dir, const struct content *text)
{
	int r = make_file(fs, dir, text);

	if (r < 0)
		log_error("%s: no room for %s", dir->name, REFUSED_NAME);
	fs_drop_listing(fs, dir);
	return r == 0;
}

static void note_refused(struct work *work, const struct content *text, const struct draft *by,
			 const struct process *who)
{
	work->refused_by = by ? by->serial : 0;
	work->refused_writer = *who;
	work->refused_len = text->len;
	work->refused_hash = blob_hash_of(text->bytes, text->len);
}

/* What config.json says anyway is not lost, and is to replace no text that would be. */
static bool is_shown(const struct dir *dir, const struct content *text)
{
	const struct record *record = dir->stack && !dir->stack->gone ? dir->stack->record : NULL;

	return record && text->len == record->text_len &&
	       memcmp(text->bytes, record->text, text->len) == 0;
}

void refuse_keep(struct fs *fs, struct dir *dir, const struct content *text, const struct draft *by,
		 const struct process *who, const struct api_error *why)
{
	struct work *work = work_get(fs, dir);
	bool shown = is_shown(dir, text);

	if (!shown)
		refuse_lose(fs, dir, text);
	if (!work || !*dir->name)
		return;
	free(work->error);
	work->error = strdup(why->message);
	if (shown)
		return;
	/* In a draft directory the file that was written stays itself.  Where there is no
	 * room, an earlier text stays, and whose it is. */
	if ((!dir->stack && by) || keep_beside(fs, dir, text))
		note_refused(work, text, by, who);
}

static bool same_bytes(const struct content *a, const struct content *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static bool is_as_refused(const struct work *work, const struct content *content)
{
	return content->len == work->refused_len &&
	       blob_hash_of(content->bytes, content->len) == work->refused_hash;
}

/* Whoever has the file open shares its draft: that alone does not tell whose text
 * was saved. */
static bool is_rewritten(const struct work *work, const struct content *refused,
			 const struct draft *by, const struct process *who)
{
	return by && work->refused_by == by->serial && process_same(&work->refused_writer, who) &&
	       is_as_refused(work, refused);
}

void refuse_settled(struct fs *fs, struct dir *dir, const struct content *text,
		    const struct draft *by, const struct process *who)
{
	struct node *node = tree_local(dir, REFUSED_NAME);
	struct work *work = dir->work;

	if (!work)
		return;
	if (node && node->kind == NODE_SCRATCH) {
		if (!is_rewritten(work, node->content, by, who) && !same_bytes(node->content, text))
			return; /* another text was saved: that one still waits */
		tree_unlink(fs->tree, node);
		fs_drop_listing(fs, dir);
	}
	refuse_forget(dir);
}

void refuse_again(struct dir *dir, const struct draft *by)
{
	if (!dir->work)
		return;
	free(dir->work->error);
	dir->work->error = strdup(by->why.message);
	note_refused(dir->work, by->content, by, &by->writer);
}

void refuse_forget(struct dir *dir)
{
	if (!dir->work)
		return;
	free(dir->work->error);
	dir->work->error = NULL;
	dir->work->refused_by = 0;
}
