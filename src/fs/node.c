/* SPDX-License-Identifier: MIT */
/* What each kind of node is: its mode, size, times, and what it must ask for
 * before it may say so. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/private.h"

/* Permission bits before the umask; 0 after a '!': whatever umask says. */
static const struct {
	mode_t type;
	mode_t perm;
	bool exact; /* the umask does not touch it */
	const char *name;
} kinds[] = {
	[NODE_ROOT] = { S_IFDIR, 0777, false, "" },
	[NODE_CONTROL] = { S_IFDIR, 0777, false, ".stacksfs" },
	[NODE_STATUS] = { S_IFREG, 0444, false, ".stacksfs/status" },
	[NODE_ERRORS] = { S_IFREG, 0400, true, ".stacksfs/errors" },
	[NODE_REFRESH] = { S_IFREG, 0222, false, ".stacksfs/refresh" },
	[NODE_README] = { S_IFREG, 0444, false, ".stacksfs/README" },
	[NODE_BY_ID] = { S_IFDIR, 0777, false, ".stacksfs/by-id" },
	[NODE_STACK] = { S_IFDIR, 0777, false, "" },
	[NODE_CONFIG] = { S_IFREG, 0666, false, "config.json" },
	[NODE_DEPENDENCIES] = { S_IFREG, 0400, true, "dependencies" },
	[NODE_TOKEN] = { S_IFREG, 0400, true, "systemToken" },
	[NODE_ID_LINK] = { S_IFLNK, 0777, true, "" },
	[NODE_OLD_NAME] = { S_IFLNK, 0777, true, "" },
	[NODE_HISTORY] = { S_IFLNK, 0777, true, ".stacksfs/history" },
	[NODE_LOST] = { S_IFLNK, 0777, true, ".stacksfs/lost" },
	/* The permission bits are the content's own. */
	[NODE_SCRATCH] = { S_IFREG, 0, true, "" },
	[NODE_SCRATCH_LINK] = { S_IFLNK, 0, true, "" },
	[NODE_SINK] = { S_IFREG, 0, true, "" },
};

const char *kind_name(enum node_kind kind)
{
	return kinds[kind].name;
}

enum node_kind kind_by_name(const char *name)
{
	for (enum node_kind kind = NODE_CONFIG; kind <= NODE_TOKEN; kind++) {
		if (strcmp(name, kinds[kind].name) == 0)
			return kind;
	}
	return NODE_ROOT;
}

mode_t kind_type(enum node_kind kind)
{
	return kinds[kind].type;
}

bool node_is_local(const struct node *node)
{
	return node->kind >= NODE_SCRATCH;
}

bool node_is_dir(const struct node *node)
{
	return S_ISDIR(kinds[node->kind].type);
}

enum store_part node_part(enum node_kind kind)
{
	return kind == NODE_TOKEN ? STORE_TOKEN : STORE_DEPENDENCIES;
}

static bool has_part(enum node_kind kind)
{
	return kind == NODE_TOKEN || kind == NODE_DEPENDENCIES;
}

bool stack_shows(const struct fs *fs, const struct stack *stack, enum node_kind kind)
{
	return kind != NODE_TOKEN || (fs->tokens && stack->record->type == STACK_SERVER);
}

bool dir_shows(const struct fs *fs, const struct dir *dir, enum node_kind kind)
{
	if (work_hides(dir, kind))
		return false;
	if (!dir->stack)
		return kind == NODE_CONFIG && tree_peek(dir, NODE_CONFIG);
	if (!stack_shows(fs, dir->stack, kind))
		return false;
	/* It answered 404. */
	return !has_part(kind) || store_part_blob(dir->stack, node_part(kind)) ||
	       !store_part_known(fs->store, dir->stack, node_part(kind));
}

int node_need(struct fs *fs, struct node *node, struct store_wait *w)
{
	int r = 0;

	if (node->detached)
		return -ESTALE;
	if (node_is_local(node) || (node->dir && !node->dir->stack))
		return STORE_READY;
	if (node->kind == NODE_STACK || node->kind == NODE_CONFIG)
		r = store_need_record(fs->store, node->dir->stack, w);
	else if (has_part(node->kind))
		r = store_need_part(fs->store, node->dir->stack, node_part(node->kind), w);
	if (r == 0 && has_part(node->kind) &&
	    !store_part_blob(node->dir->stack, node_part(node->kind)))
		return -ESTALE; /* it answered 404 */
	return r;
}

bool node_update(struct node *node)
{
	if (node->dir && !node->dir->stack)
		return false;
	if (node->kind == NODE_CONFIG && node->record != node->dir->stack->record) {
		bool other = node->record != NULL;

		/* While another file is being renamed onto it, it is not detached yet. */
		if (other && node->opens > 0 && !node->draft)
			return false;
		record_unref(node->record);
		node->record = record_ref(node->dir->stack->record);
		node->pages_valid = false;
		return other;
	}
	if (has_part(node->kind)) {
		struct blob *blob = store_part_blob(node->dir->stack, node_part(node->kind));

		if (node->blob == blob)
			return false;
		bool other = node->blob != NULL;
		blob_unref(node->blob);
		node->blob = blob_ref(blob);
		node->pages_valid = false;
		return other;
	}
	return false;
}

bool node_link(const struct node *node, char out[NODE_LINK_SIZE])
{
	if (node->kind == NODE_ID_LINK)
		snprintf(out, NODE_LINK_SIZE, "../../%s", node->dir->name);
	else if (node->kind == NODE_OLD_NAME)
		snprintf(out, NODE_LINK_SIZE, "%s", node->dir->name);
	else
		return false;
	return true;
}

const char *dir_name(const struct dir *dir, char out[NAME_MAX_BYTES + 1])
{
	const struct record *record = dir->stack ? dir->stack->record : NULL;

	if (*dir->name || !record)
		return dir->name;
	name_encode(record->name, record->name_len, &record->id, false, out);
	return out;
}

int node_link_length(const struct fs *fs, const struct node *node, size_t *ret)
{
	char link[NODE_LINK_SIZE];

	if (node->kind == NODE_HISTORY || node->kind == NODE_LOST)
		*ret = strlen(archive_dir(fs->changes.archive)) + strlen(kind_name(node->kind)) -
		       strlen(kind_name(NODE_CONTROL));
	else if (node_link(node, link))
		*ret = strlen(link);
	else
		return -EINVAL;
	return 0;
}

void node_text(const struct node *node, const char **ret, size_t *ret_len)
{
	const struct content *content = node->content           ? node->content
					: edit_shows_draft(node) ? node->draft->content
								 : NULL;

	*ret = "";
	*ret_len = 0;
	if (content) {
		if (content->len > 0)
			*ret = content->bytes;
		*ret_len = content->len;
	} else if (node->record) {
		*ret = node->record->text;
		*ret_len = node->record->text_len;
	} else if (node->blob) {
		*ret = blob_bytes(node->blob);
		*ret_len = blob_len(node->blob);
	} else if (node->kind == NODE_README) {
		*ret = control_readme;
		*ret_len = control_readme_len();
	}
}

/* The record's time for what is the record's; for the two others one that
 * moves with their content, and with nothing else: a backup by size and mtime
 * misses no new token of the old length and copies no unchanged one. */
static int64_t mtime_ms(const struct fs *fs, const struct node *node)
{
	if (node->kind == NODE_ROOT)
		return fs->names_changed_ms;
	if (!node->dir)
		return fs->began_wall_ms;
	if (!node->dir->stack)
		return node->dir->work ? node->dir->work->made_wall_ms : fs->began_wall_ms;

	const struct record *record = node->record ? node->record : node->dir->stack->record;
	if (has_part(node->kind)) {
		/* What is read, where that is no longer the newest. */
		uint32_t hash = node->detached
					? store_content_hash(node->blob)
					: store_part_hash(node->dir->stack, node_part(node->kind));

		return record->created_ms - (int64_t)hash * 1000;
	}
	return record->modified_ms;
}

static struct timespec timespec_of(int64_t ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	if (ts.tv_nsec < 0) {
		ts.tv_sec--;
		ts.tv_nsec += 1000000000;
	}
	return ts;
}

/* Directories: 2, and one for each subdirectory that a listing shows. */
static nlink_t nlink_of(const struct fs *fs, const struct node *node)
{
	if (node->kind == NODE_ROOT)
		return 2 + tree_size(fs->tree);
	if (node->kind == NODE_CONTROL)
		return 3;
	if (node->detached)
		return 0;
	return node_is_dir(node) ? 2 : 1;
}

uint64_t node_valid_ms(const struct fs *fs, const struct node *node)
{
	if (node->kind == NODE_STATUS || node->kind == NODE_ERRORS)
		return 0;
	if (node->kind == NODE_ROOT)
		return store_has_list(fs->store) ? fs->ttl_ms / 2 : 0;
	if (!node->dir)
		return FIXED_VALID_MS;
	if (node->detached || node->draft || node_is_local(node) || !node->dir->stack)
		return 0;
	if (has_part(node->kind))
		return store_part_valid_ms(fs->store, node->dir->stack, node_part(node->kind));
	return store_record_valid_ms(fs->store, node->dir->stack);
}

/* What was set for this mount only, or is the file's own. */
static void local_attr(const struct fs *fs, const struct node *node, struct stat *st)
{
	const struct content *content = node->content;
	const struct work *work = node->dir ? node->dir->work : NULL;

	if (content) {
		st->st_mode |= content->mode;
		st->st_uid = content->uid;
		st->st_gid = content->gid;
		st->st_mtim = content->mtime;
	}
	if (node->kind == NODE_CONFIG && edit_shows_draft(node))
		st->st_mtim = node->draft->content->mtime;
	if (node->kind == NODE_CONFIG && work && work->has_config_mode)
		st->st_mode = S_IFREG | work->config_mode;
}

void node_attr(struct fs *fs, const struct node *node, struct fs_entry *ret)
{
	struct stat *st = &ret->attr;
	const char *text;
	size_t len;

	node_text(node, &text, &len);
	(void)node_link_length(fs, node, &len);
	*st = (struct stat){
		.st_ino = tree_ino(node),
		.st_mode = kinds[node->kind].type |
			   (kinds[node->kind].perm & ~(kinds[node->kind].exact ? 0 : fs->umask)),
		.st_nlink = nlink_of(fs, node),
		.st_uid = fs->uid,
		.st_gid = fs->gid,
		.st_size = (off_t)len,
		.st_blksize = 4096,
		.st_blocks = (blkcnt_t)((len + 511) / 512),
		.st_mtim = timespec_of(mtime_ms(fs, node)),
	};
	local_attr(fs, node, st);
	st->st_atim = st->st_ctim = st->st_mtim;
	ret->attr_ms = node_valid_ms(fs, node);
}

void node_bare_attr(const struct stack *stack, enum node_kind kind, struct stat *ret)
{
	*ret = (struct stat){
		.st_ino = tree_stack_ino(stack, kind),
		.st_mode = kinds[kind].type,
	};
}

void fs_give_entry(struct fs *fs, struct node *node, uint64_t entry_ms, struct fs_entry *ret)
{
	(void)node_update(node);
	node_attr(fs, node, ret);
	ret->node = node->id;
	ret->entry_ms = entry_ms;
	tree_looked_up(node);
}
