/* SPDX-License-Identifier: MIT */
/* Changes of the account, and the operations that wait for them.
 *
 * A change outlives the operation that has begun it: it is never abandoned, so
 * an operation that has to end before it (the mount ends) only lets go of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "fs"
#include "base/log.h"
#include "fs/private.h"

struct fs_change *change_new(struct fs *fs, struct fs_op *op, struct node *node, struct dir *dir,
			     enum node_kind file, const char *call)
{
	struct fs_change *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->fs = fs;
	c->op = op;
	c->node = node;
	c->dir = tree_dir_ref(dir);
	c->file = file;
	c->call = call;
	if (node)
		tree_open(node);
	if (op)
		op->change = c;
	return c;
}

static void change_free(struct fs_change *c)
{
	if (c->op)
		c->op->change = NULL;
	if (c->node)
		tree_close(c->fs->tree, c->node);
	tree_dir_unref(c->fs->tree, c->dir);
	stack_unref(c->stack);
	content_free(c->text);
	free(c);
}

static void fields_error(const struct value_paths *paths, struct api_error *ret)
{
	char fields[192];

	value_paths_text(paths, fields, sizeof(fields));
	*ret = (struct api_error){ 0 };
	api_error_set(ret, 0, "saved, but the server changed or left out: %s", fields);
}

void change_note(struct fs_change *c, const struct change_result *result)
{
	const char *file = c->file != NODE_ROOT ? kind_name(c->file) : "";
	struct api_error warning;

	c->err = result->err;
	if (result->stack && !c->stack)
		c->stack = stack_ref(result->stack);
	if (result->err < 0) {
		note_error(c->fs, c->dir, file, c->call, &result->error, result->would_send);
	} else if (result->not_stored.n > 0) {
		fields_error(&result->not_stored, &warning);
		note_error(c->fs, c->dir, file, c->call, &warning, NULL);
	}
}

void change_over(struct fs_change *c)
{
	struct fs_op *op = c->op;

	c->ended = true;
	if (!c->began)
		return; /* who begins it looks */
	if (op)
		fs_run(c->fs, op);
	else
		change_free(c);
}

int change_wait(struct fs_change *c)
{
	c->began = true;
	if (!c->ended)
		return STORE_WAIT;
	int err = c->err;

	if (!c->op)
		change_free(c);
	return err;
}

void change_leave(struct fs_op *op)
{
	struct fs_change *c = op->change;

	if (!c)
		return;
	op->change = NULL;
	c->op = NULL;
	if (c->ended)
		change_free(c);
}

void change_ended(void *arg, const struct change_result *result)
{
	struct fs_change *c = arg;

	change_note(c, result);
	change_over(c);
}

/* err 0: a warning. */
void note_log(const char *call, const char *path, int err, const struct api_error *why)
{
	char request[40] = "";

	if (why->call_no)
		snprintf(request, sizeof(request), " (request %llu)",
			 (unsigned long long)why->call_no);
	const struct log_fields fields = { call, path, err, why->call_no };
	log_write_fields(LOG_LEVEL_WARNING, LOG_MODULE, &fields,
			 "%s %s: %s%s%s%s%s%s%s", call, path, err ? strerrorname_np(-err) : "",
			 err ? ": " : "", why->message, why->code[0] ? " [" : "", why->code,
			 why->code[0] ? "]" : "", request);
}

void note_error(struct fs *fs, const struct dir *dir, const char *file, const char *call,
		const struct api_error *why, const char *would_send)
{
	char path[2 * NAME_MAX_BYTES + 4], name[NAME_MAX_BYTES + 1];

	snprintf(path, sizeof(path), "/%s%s%s", dir_name(dir, name), *file ? "/" : "", file);
	journal_add(fs->journal, path, call, why->err, why, would_send);
	note_log(call, path, why->err, why);
}

void note_no_memory(struct fs *fs, const struct dir *dir)
{
	struct api_error e = { 0 };

	api_error_set(&e, -ENOMEM, "out of memory");
	note_error(fs, dir, "", "save", &e, NULL);
}
