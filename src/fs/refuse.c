/* SPDX-License-Identifier: MIT */
/* Texts that could not be saved: kept beside the file and on disk, because many
 * programs do not look at what close(2) returns. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "fs"
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

/* It may be open, or be another refusal's: then that one goes on without a name. */
static struct node *make_file(struct fs *fs, struct dir *dir)
{
	struct node *node = tree_local(dir, REFUSED_NAME);

	if (node)
		tree_unlink(fs->tree, node);
	if (tree_local_new(fs->tree, dir, NODE_SCRATCH, REFUSED_NAME, &node) < 0)
		return NULL;
	if (content_new(&fs->budget, CONTENT_DRAFT, &node->content) < 0) {
		tree_unlink(fs->tree, node);
		return NULL;
	}
	node->content->mode = 0600;
	node->content->uid = fs->uid;
	node->content->gid = fs->gid;
	clock_gettime(CLOCK_REALTIME, &node->content->mtime);
	return node;
}

static void keep_beside(struct fs *fs, struct dir *dir, const struct content *text)
{
	struct node *node = make_file(fs, dir);

	if (!node || content_write(node->content, 0, text->bytes, text->len, text->len) < 0) {
		log_error("%s: no room for %s", dir->name, REFUSED_NAME);
		if (node)
			tree_unlink(fs->tree, node);
	}
	fs_drop_listing(fs, dir);
}

void refuse_keep(struct fs *fs, struct dir *dir, const struct content *text,
		 const struct draft *by, const struct api_error *why)
{
	struct work *work = work_get(fs, dir);

	refuse_lose(fs, dir, text);
	if (!work || !*dir->name)
		return;
	free(work->error);
	work->error = strdup(why->message);
	work->refused_by = by ? by->serial : 0;
	/* In a draft directory the file that was written stays itself. */
	if (dir->stack || !by)
		keep_beside(fs, dir, text);
}

static bool same_bytes(const struct content *a, const struct content *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

void refuse_settled(struct fs *fs, struct dir *dir, const struct content *text,
		    const struct draft *by)
{
	struct node *node = tree_local(dir, REFUSED_NAME);
	struct work *work = dir->work;

	if (!work)
		return;
	if (node && node->kind == NODE_SCRATCH) {
		if ((!by || work->refused_by != by->serial) && !same_bytes(node->content, text))
			return; /* another text was saved: that one still waits */
		tree_unlink(fs->tree, node);
		fs_drop_listing(fs, dir);
	}
	refuse_forget(dir);
}

void refuse_forget(struct dir *dir)
{
	if (!dir->work)
		return;
	free(dir->work->error);
	dir->work->error = NULL;
	dir->work->refused_by = 0;
}
