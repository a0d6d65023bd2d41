/* SPDX-License-Identifier: MIT */
/* The texts below .stacksfs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/private.h"
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
	"In this directory, which is not listed above but is there when it is named:\n"
	"\n"
	"  status     how the mount is doing, as JSON (stacksfs status prints it)\n"
	"  errors     the last failures with their reasons, one JSON object a line\n"
	"  by-id/     each stack by its _id\n"
	"  refresh    write anything to it: everything is asked anew, and the write\n"
	"             returns when that is done\n"
	"\n"
	"Answers are kept for a while (-o ttl=), so a change made elsewhere shows after\n"
	"that time, or after a refresh.  When a command fails, errors has the reason.\n";

size_t control_readme_len(void)
{
	return sizeof(control_readme) - 1;
}

/* ---- status ---- */

/* Writes go on after a failure and change nothing, so that a long text is
 * checked once, at its end. */
struct writer {
	struct buf *out;
	int err;
};

static void PRINTF_LIKE(2, 3) put(struct writer *w, const char *fmt, ...)
{
	va_list ap;

	if (w->err < 0)
		return;
	va_start(ap, fmt);
	w->err = buf_vprintf(w->out, fmt, ap);
	va_end(ap);
}

static void put_string(struct writer *w, const char *s)
{
	if (w->err == 0)
		w->err = buf_json_string(w->out, s, strlen(s));
}

static double seconds(uint64_t ms)
{
	return (double)ms / 1000;
}

static void put_api(struct writer *w, const struct store_stats *s)
{
	static const char *const states[] = {
		[STORE_STATE_OK] = "ok",
		[STORE_STATE_STALE] = "stale",
		[STORE_STATE_ERROR] = "error",
	};

	put(w, "  \"api\": {\n    \"state\": \"%s\",\n    \"since_s\": %.3f,\n", states[s->state],
	    seconds(s->since_ms));
	put(w, "    \"list_age_s\": %.3f,\n    \"list_took_ms\": %llu,\n    \"ttl_s\": %.3f,\n",
	    seconds(s->list_age_ms), (unsigned long long)s->list_took_ms, seconds(s->ttl_ms));
	put(w, "    \"last_error\": ");
	if (s->last_error.err) {
		const char *name = strerrorname_np(-s->last_error.err);

		put(w, "{\"errno\": \"%s\", \"message\": ", name ? name : "EIO");
		put_string(w, s->last_error.message);
		put(w, ", \"age_s\": %.3f}", seconds(s->last_error_age_ms));
	} else {
		put(w, "null");
	}
	put(w, "\n  },\n");
}

static void put_requests(struct writer *w, const struct api_stats *s)
{
	static const char *const names[API_N_ENDPOINTS] = {
		[API_ENDPOINT_LIST] = "list",     [API_ENDPOINT_CREATE] = "create",
		[API_ENDPOINT_READ] = "record",   [API_ENDPOINT_UPDATE] = "update",
		[API_ENDPOINT_DELETE] = "delete", [API_ENDPOINT_TOKEN] = "token",
		[API_ENDPOINT_ROTATE] = "rotate", [API_ENDPOINT_DEPENDENCIES] = "dependencies",
	};

	put(w, "  \"requests\": {");
	for (unsigned e = 0; e < API_N_ENDPOINTS; e++) {
		bool first = true;

		put(w, "%s\n    \"%s\": {", e ? "," : "", names[e]);
		for (unsigned i = 0; i < API_N_STATUSES; i++) {
			if (!s->by[e][i])
				continue;
			put(w, "%s\"%s\": %llu", first ? "" : ", ", api_status_name(i),
			    (unsigned long long)s->by[e][i]);
			first = false;
		}
		put(w, "}");
	}
	put(w, "\n  },\n");
}

static void put_http(struct writer *w, const struct http_stats *s)
{
	put(w,
	    "  \"http\": {\n    \"calls\": %llu,\n    \"tries\": %llu,\n    \"retries\": %llu,\n"
	    "    \"failures\": %llu,\n    \"running\": %u,\n    \"queued\": %u,\n"
	    "    \"received_bytes\": %llu,\n",
	    (unsigned long long)s->calls, (unsigned long long)s->tries,
	    (unsigned long long)s->retries, (unsigned long long)s->failures, s->running, s->queued,
	    (unsigned long long)s->received_bytes);
	put(w, "    \"latency_ms\": {\"p50\": %u, \"p90\": %u, \"p99\": %u}\n  },\n",
	    s->latency_p50_ms, s->latency_p90_ms, s->latency_p99_ms);
}

static int print_status(struct fs *fs, struct buf *out)
{
	struct writer w = { .out = out };
	struct store_stats store;
	struct http_stats http;
	struct api_stats api;

	store_get_stats(fs->store, &store);
	http_get_stats(fs->http, &http);
	api_get_stats(fs->api, &api);
	put(&w, "{\n  \"version\": \"" STACKSFS_VERSION "\",\n  \"source\": ");
	put_string(&w, fs->source);
	put(&w, ",\n  \"mountpoint\": ");
	put_string(&w, fs->mountpoint);
	put(&w, ",\n  \"pid\": %d,\n  \"uptime_s\": %.3f,\n", (int)getpid(),
	    seconds(clock_now_ms(fs->clock) - fs->began_ms));
	put_api(&w, &store);
	put(&w,
	    "  \"stacks\": {\"total\": %zu, \"server\": %zu, \"lambda\": %zu, \"other\": %zu},\n",
	    store.stacks, store.servers, store.lambdas,
	    store.stacks - store.servers - store.lambdas);
	put(&w, "  \"cache\": {\"hits\": %llu, \"misses\": %llu, \"stale\": %llu},\n",
	    (unsigned long long)store.hits, (unsigned long long)store.misses,
	    (unsigned long long)store.stale);
	put_requests(&w, &api);
	put_http(&w, &http);
	put(&w, "  \"scratch\": {\"bytes\": 0, \"limit\": 0},\n");
	put(&w, "  \"errors\": %zu\n}\n", journal_total(fs->journal));
	return w.err;
}

int control_snapshot(struct fs *fs, enum node_kind kind, struct blob **ret)
{
	struct buf text = BUF_INIT(MAX_TEXT_BYTES);
	int r = kind == NODE_STATUS ? print_status(fs, &text) : journal_print(fs->journal, &text);

	if (r == 0)
		r = blob_new(text.data, text.len, ret);
	buf_done(&text);
	return r;
}
