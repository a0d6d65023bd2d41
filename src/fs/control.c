/* SPDX-License-Identifier: MIT */
/* The texts below .stacksfs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/private.h"
#include "fs/text.h"
#include "http/http.h"

#define MAX_TEXT_BYTES (4 * 1024 * 1024)

const char control_readme[] =
	"This is stacksfs: the stacks of an integrator.io account as directories.\n"
	"\n"
	"  <stack>/config.json    the stack's whole record, as the API gives it\n"
	"  <stack>/systemToken    a server stack's real token (fetched when it is used)\n"
	"  <stack>/dependencies   what depends on the stack (fetched when it is used)\n"
	"\n"
	"A directory has the stack's name; what a path cannot carry is written %XX, and\n"
	"of several stacks with one name all but the oldest end in ~<_id>.\n"
	"\n"
	"Saving config.json changes the stack; a refused text is config.json.refused beside\n"
	"it.  mkdir and a saved config.json create a stack, mv renames, rm -r deletes, and\n"
	"rm of a systemToken rotates it.  To overwrite somebody else's change, remove the\n"
	"lastModified line from the text before you save it.\n"
	"\n"
	"In this directory, which is not listed above but is there when it is named:\n"
	"\n"
	"  status     how the mount is doing, as JSON (stacksfs status prints it)\n"
	"  errors     the last failures with their reasons, one JSON object a line\n"
	"  by-id/     each stack by its _id\n"
	"  history    <stack>/<time>.json: each record before each change made here; cp one\n"
	"             back to undo\n"
	"  lost       each text that could not be saved\n"
	"  refresh    write anything to it: everything is asked anew, and the write\n"
	"             returns when that is done\n"
	"\n"
	"Answers are kept for a while (-o ttl=), so a change made elsewhere shows after\n"
	"that time, or after a refresh.  When a command fails, errors has the reason.\n";

size_t control_readme_len(void)
{
	return sizeof(control_readme) - 1;
}

/* They lead to what is kept on disk, where that is. */
bool control_shows(const struct fs *fs, enum node_kind kind)
{
	return (kind != NODE_HISTORY && kind != NODE_LOST) || archive_dir(fs->changes.archive);
}

/* ---- status ---- */

static double seconds(uint64_t ms)
{
	return (double)ms / 1000;
}

static void put_api(struct text *t, const struct store_stats *s)
{
	static const char *const states[] = {
		[STORE_STATE_OK] = "ok",
		[STORE_STATE_STALE] = "stale",
		[STORE_STATE_ERROR] = "error",
	};

	text_put(t, "  \"api\": {\n    \"state\": \"%s\",\n    \"since_s\": %.3f,\n", states[s->state],
	    seconds(s->since_ms));
	text_put(t, "    \"list_age_s\": %.3f,\n    \"list_took_ms\": %llu,\n    \"ttl_s\": %.3f,\n",
	    seconds(s->list_age_ms), (unsigned long long)s->list_took_ms, seconds(s->ttl_ms));
	text_put(t, "    \"last_error\": ");
	if (s->last_error.err) {
		text_put(t, "{\"errno\": ");
		text_put_errno(t, s->last_error.err);
		text_put(t, ", \"message\": ");
		text_put_string(t, s->last_error.message);
		text_put(t, ", \"age_s\": %.3f}", seconds(s->last_error_age_ms));
	} else {
		text_put(t, "null");
	}
	text_put(t, "\n  },\n");
}

static void put_requests(struct text *t, const struct api_stats *s)
{
	static const char *const names[API_N_ENDPOINTS] = {
		[API_ENDPOINT_LIST] = "list",     [API_ENDPOINT_CREATE] = "create",
		[API_ENDPOINT_READ] = "record",   [API_ENDPOINT_UPDATE] = "update",
		[API_ENDPOINT_DELETE] = "delete", [API_ENDPOINT_TOKEN] = "token",
		[API_ENDPOINT_ROTATE] = "rotate", [API_ENDPOINT_DEPENDENCIES] = "dependencies",
	};

	text_put(t, "  \"requests\": {");
	for (unsigned e = 0; e < API_N_ENDPOINTS; e++) {
		bool first = true;

		text_put(t, "%s\n    \"%s\": {", e ? "," : "", names[e]);
		for (unsigned i = 0; i < API_N_STATUSES; i++) {
			if (!s->by[e][i])
				continue;
			text_put(t, "%s\"%s\": %llu", first ? "" : ", ", api_status_name(i),
			    (unsigned long long)s->by[e][i]);
			first = false;
		}
		text_put(t, "}");
	}
	text_put(t, "\n  },\n");
}

static void put_http(struct text *t, const struct http_stats *s)
{
	text_put(t,
	    "  \"http\": {\n    \"calls\": %llu,\n    \"tries\": %llu,\n    \"retries\": %llu,\n"
	    "    \"failures\": %llu,\n    \"running\": %u,\n    \"queued\": %u,\n"
	    "    \"rate_per_s\": %u,\n    \"rate_burst\": %u,\n    \"rate_left\": %u,\n"
	    "    \"received_bytes\": %llu,\n",
	    (unsigned long long)s->calls, (unsigned long long)s->tries,
	    (unsigned long long)s->retries, (unsigned long long)s->failures, s->running, s->queued,
	    s->rate_per_s, s->rate_burst, s->rate_left, (unsigned long long)s->received_bytes);
	text_put(t, "    \"circuit\": {\"state\": \"%s\", \"since_s\": %.3f, \"opened\": %u},\n",
	    s->circuit_open ? "open" : "closed", seconds(s->circuit_ms), s->circuit_opened);
	text_put(t, "    \"latency_ms\": {\"p50\": %u, \"p90\": %u, \"p99\": %u}\n  },\n",
	    s->latency_p50_ms, s->latency_p90_ms, s->latency_p99_ms);
}

/* In a draft directory the text that was refused stays in its file. */
static bool is_refused(const struct node *node)
{
	const struct draft *d = node->draft;

	return !node->dir->stack && d && d->result < 0 && d->generation == d->ended;
}

static void put_path(struct text *t, bool *first, const struct dir *dir, const char *file)
{
	char path[NAME_MAX_BYTES + 32];

	snprintf(path, sizeof(path), "/%s/%s", dir->name, file);
	text_put(t, "%s", *first ? "" : ", ");
	text_put_string(t, path);
	*first = false;
}

/* Paths of what waits for somebody: texts that were refused, and such as nobody
 * has saved. */
static void put_paths(struct fs *fs, struct text *t, const char *key, bool refused)
{
	bool first = true;

	text_put(t, "  \"%s\": [", key);
	for (const struct dir *dir = tree_after(fs->tree, 0); dir;
	     dir = tree_after(fs->tree, dir->cookie)) {
		const struct node *node = tree_peek(dir, NODE_CONFIG);

		if (refused && tree_local(dir, REFUSED_NAME))
			put_path(t, &first, dir, REFUSED_NAME);
		if (node && edit_shows_draft(node) && is_refused(node) == refused)
			put_path(t, &first, dir, kind_name(NODE_CONFIG));
	}
	text_put(t, "],\n");
}

static void put_work(struct fs *fs, struct text *t)
{
	struct archive_stats kept;

	archive_get_stats(fs->changes.archive, &kept);
	put_paths(fs, t, "refused", true);
	put_paths(fs, t, "drafts", false);
	text_put(t, "  \"lost\": %llu,\n  \"unwritten\": {\"texts\": %llu, \"why\": ",
		 (unsigned long long)kept.lost_files_written, (unsigned long long)kept.failures);
	text_put_string(t, kept.failures ? strerror(kept.last_errno) : "");
	text_put(t, "},\n  \"changes\": %u,\n", fs->changes.running);
	text_put(t, "  \"scratch\": {\"bytes\": %zu, \"limit\": %zu},\n",
		 fs->budget.scratch + fs->budget.drafts, fs->budget.limit);
}

static void print_status(struct fs *fs, struct text *t)
{
	struct store_stats store;
	struct http_stats http;
	struct api_stats api;

	store_get_stats(fs->store, &store);
	http_get_stats(fs->http, &http);
	api_get_stats(fs->api, &api);
	text_put(t, "{\n  \"version\": \"" STACKSFS_VERSION "\",\n  \"source\": ");
	text_put_string(t, fs->source);
	text_put(t, ",\n  \"mountpoint\": ");
	text_put_string(t, fs->mountpoint);
	text_put(t, ",\n  \"pid\": %d,\n  \"uptime_s\": %.3f,\n", (int)getpid(),
	    seconds(clock_now_ms(fs->clock) - fs->began_ms));
	put_api(t, &store);
	text_put(t,
	    "  \"stacks\": {\"total\": %zu, \"server\": %zu, \"lambda\": %zu, \"other\": %zu},\n",
	    store.stacks, store.servers, store.lambdas,
	    store.stacks - store.servers - store.lambdas);
	text_put(t, "  \"cache\": {\"hits\": %llu, \"misses\": %llu, \"stale\": %llu},\n",
	    (unsigned long long)store.hits, (unsigned long long)store.misses,
	    (unsigned long long)store.stale);
	put_requests(t, &api);
	put_http(t, &http);
	put_work(fs, t);
	text_put(t, "  \"errors\": %zu\n}\n", journal_total(fs->journal));
}

int control_snapshot(struct fs *fs, enum node_kind kind, struct blob **ret)
{
	struct text text = TEXT_INIT(MAX_TEXT_BYTES);

	if (kind == NODE_STATUS)
		print_status(fs, &text);
	else
		journal_print(fs->journal, &text);
	int r = text.err < 0 ? text.err : blob_new(text.buf.data, text.buf.len, ret);
	buf_done(&text.buf);
	return r;
}
