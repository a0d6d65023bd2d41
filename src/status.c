/* SPDX-License-Identifier: MIT */
#include "status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/num.h"
#include "message.h"

#define MAX_PATH_BYTES 64 /* of a member: "requests.dependencies.200" */
#define MAX_DEPTH      4
#define IDLE_S         10 /* a mount in use has tried again by then */

/* ---- walking through the text ---- */

/* event: of a scalar.  path: its keys, joined by dots.  0 or -errno. */
typedef int visit_fn(void *arg, const char *path, enum json_event event,
		     const struct json_scan *at);

struct walk {
	struct json_scan scan;
	char path[MAX_PATH_BYTES];
	unsigned max_depth;
	visit_fn *visit;
	void *arg;
};

/* Put the key that was just read behind the first path_len bytes; the new
 * length, 0 when it is too long to be one of ours.  Ours have no escapes. */
static size_t append_key(struct walk *w, size_t path_len)
{
	size_t len = w->scan.token_len - 2; /* the quotes */
	size_t dot = path_len ? 1 : 0;

	if (len == 0 || path_len + dot + len >= sizeof(w->path))
		return 0;
	if (dot)
		w->path[path_len] = '.';
	memcpy(w->path + path_len + dot, w->scan.token + 1, len);
	w->path[path_len + dot + len] = '\0';
	return path_len + dot + len;
}

/* After '[', to its ']': each scalar is visited under the array's own path. */
static int walk_array(struct walk *w)
{
	for (;;) {
		const char *text;
		size_t text_len;
		int r = json_next(&w->scan);

		if (r < 0 || r == JSON_ARRAY_END)
			return r < 0 ? r : 0;
		if (r == JSON_OBJECT_BEGIN || r == JSON_ARRAY_BEGIN)
			r = json_skip(&w->scan, &text, &text_len);
		else
			r = w->visit(w->arg, w->path, (enum json_event)r, &w->scan);
		if (r < 0)
			return r;
	}
}

/* After '{', to its '}'. */
static int walk_object(struct walk *w, size_t path_len, unsigned depth)
{
	for (;;) {
		const char *text;
		size_t text_len;
		int r = json_next(&w->scan);

		if (r < 0 || r == JSON_OBJECT_END)
			return r < 0 ? r : 0;
		size_t len = append_key(w, path_len);
		int event = json_next(&w->scan);
		bool nested = event == JSON_OBJECT_BEGIN || event == JSON_ARRAY_BEGIN;

		if (event < 0)
			r = event;
		else if (event == JSON_OBJECT_BEGIN && len && depth < w->max_depth)
			r = walk_object(w, len, depth + 1);
		else if (event == JSON_ARRAY_BEGIN && len && depth < w->max_depth)
			r = walk_array(w);
		else if (nested)
			r = json_skip(&w->scan, &text, &text_len);
		else
			r = len ? w->visit(w->arg, w->path, event, &w->scan) : 0;
		if (r < 0)
			return r;
	}
}

static int walk(const char *text, size_t len, unsigned max_depth, visit_fn *visit, void *arg)
{
	struct walk w = { .max_depth = max_depth, .visit = visit, .arg = arg };

	json_scan_init(&w.scan, text, len, JSON_ANY_BYTES);
	int r = json_next(&w.scan);
	if (r >= 0 && r != JSON_OBJECT_BEGIN)
		return -EBADMSG;
	return r < 0 ? r : walk_object(&w, 0, 1);
}

/* ---- scalars ---- */

/* What the string token stands for, cut at a character, fit for a terminal. */
static int take_string(const struct json_scan *at, char *ret, size_t size)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT(STATUS_MAX_BYTES);
	int r = json_unescape(at->token, at->token_len, &text);
	size_t len = text.len;

	if (r < 0)
		return r;
	if (len >= size) {
		len = size - 1;
		while (len > 0 && ((unsigned char)text.data[len] & 0xc0) == 0x80)
			len--;
	}
	if (len)
		memcpy(ret, text.data, len);
	ret[len] = '\0';
	message_clean(ret);
	return 0;
}

/* The whole part; what is negative, has an exponent or is too large stays unknown. */
static void take_number(const struct json_scan *at, uint64_t *ret)
{
	const char *dot = memchr(at->token, '.', at->token_len);
	size_t len = dot ? (size_t)(dot - at->token) : at->token_len;
	uint64_t n;

	if (!memchr(at->token, 'e', at->token_len) && !memchr(at->token, 'E', at->token_len) &&
	    num_parse_u64(at->token, len, STATUS_UNKNOWN - 1, &n) == 0)
		*ret = n;
}

#define NUMBER(path, member)                                                                       \
	{                                                                                          \
		path, offsetof(struct status, member), 0                                           \
	}
#define STRING(path, member)                                                                       \
	{                                                                                          \
		path, offsetof(struct status, member), sizeof(((struct status *)NULL)->member)     \
	}

static const struct member {
	const char *path;
	size_t offset;
	size_t size; /* of a string; 0: a number */
} members[] = {
	STRING("version", version),
	STRING("source", source),
	STRING("mountpoint", mountpoint),
	NUMBER("pid", pid),
	NUMBER("uptime_s", uptime_s),
	STRING("api.state", api.state),
	NUMBER("api.since_s", api.since_s),
	NUMBER("api.list_age_s", api.list_age_s),
	NUMBER("api.list_took_ms", api.list_took_ms),
	NUMBER("api.ttl_s", api.ttl_s),
	STRING("api.last_error.message", api.error),
	NUMBER("api.last_error.age_s", api.error_age_s),
	NUMBER("stacks.total", stacks.total),
	NUMBER("stacks.server", stacks.server),
	NUMBER("stacks.lambda", stacks.lambda),
	NUMBER("stacks.other", stacks.other),
	NUMBER("cache.hits", cache.hits),
	NUMBER("cache.misses", cache.misses),
	NUMBER("cache.stale", cache.stale),
	NUMBER("http.calls", http.calls),
	NUMBER("http.tries", http.tries),
	NUMBER("http.retries", http.retries),
	NUMBER("http.failures", http.failures),
	NUMBER("http.running", http.running),
	NUMBER("http.queued", http.queued),
	NUMBER("http.received_bytes", http.received_bytes),
	NUMBER("http.latency_ms.p50", http.p50_ms),
	NUMBER("http.latency_ms.p90", http.p90_ms),
	NUMBER("http.latency_ms.p99", http.p99_ms),
	NUMBER("http.rate_per_s", http.rate_per_s),
	NUMBER("http.rate_burst", http.rate_burst),
	NUMBER("http.rate_left", http.rate_left),
	STRING("http.circuit.state", http.circuit),
	NUMBER("http.circuit.since_s", http.circuit_since_s),
	NUMBER("http.circuit.opened", http.circuit_opened),
	NUMBER("scratch.bytes", scratch.bytes),
	NUMBER("scratch.limit", scratch.limit),
	NUMBER("lost", lost),
	NUMBER("unwritten.texts", unwritten),
	STRING("unwritten.why", unwritten_why),
	NUMBER("changes", changes),
	NUMBER("errors", errors),
};

/* path: "requests.ENDPOINT.STATUS". */
static void take_requests(struct status *s, const char *path, const struct json_scan *at)
{
	const char *endpoint = path + strlen("requests.");
	const char *dot = strchr(endpoint, '.');
	uint64_t count = STATUS_UNKNOWN;

	take_number(at, &count);
	if (!dot || count == STATUS_UNKNOWN || s->n_requests == ARRAY_SIZE(s->requests))
		return;
	struct status_requests *q = &s->requests[s->n_requests++];

	snprintf(q->endpoint, sizeof(q->endpoint), "%.*s", (int)(dot - endpoint), endpoint);
	snprintf(q->status, sizeof(q->status), "%s", dot + 1);
	message_clean(q->endpoint);
	message_clean(q->status);
	q->count = count;
}

static int take_path(struct status_paths *p, const struct json_scan *at)
{
	if (p->n++ >= ARRAY_SIZE(p->paths))
		return 0;
	return take_string(at, p->paths[p->n - 1], sizeof(p->paths[0]));
}

static int visit_status(void *arg, const char *path, enum json_event event,
			const struct json_scan *at)
{
	struct status *s = arg;

	if (event == JSON_NUMBER && strncmp(path, "requests.", strlen("requests.")) == 0) {
		take_requests(s, path, at);
		return 0;
	}
	if (event == JSON_STRING && strcmp(path, "refused") == 0)
		return take_path(&s->refused, at);
	if (event == JSON_STRING && strcmp(path, "drafts") == 0)
		return take_path(&s->drafts, at);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const struct member *m = &members[i];
		void *field = (char *)s + m->offset;

		if (strcmp(m->path, path) != 0)
			continue;
		if (m->size && event == JSON_STRING)
			return take_string(at, field, m->size);
		if (!m->size && event == JSON_NUMBER)
			take_number(at, field);
		return 0; /* null, or another type: unknown */
	}
	return 0;
}

int status_parse(const char *text, size_t len, struct status *ret)
{
	struct status s = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (!members[i].size)
			*(uint64_t *)((char *)&s + members[i].offset) = STATUS_UNKNOWN;

	int r = walk(text, len, MAX_DEPTH, visit_status, &s);
	if (r < 0)
		return r;
	*ret = s;
	return 0;
}

struct wanted {
	const char *name;
	char *ret;
	size_t size;
};

static int visit_wanted(void *arg, const char *path, enum json_event event,
			const struct json_scan *at)
{
	const struct wanted *w = arg;

	if (event != JSON_STRING || strcmp(path, w->name) != 0)
		return 0;
	return take_string(at, w->ret, w->size);
}

int status_member(const char *text, size_t len, const char *name, char *ret, size_t size)
{
	struct wanted w = { name, ret, size };

	ret[0] = '\0';
	return walk(text, len, 1, visit_wanted, &w);
}

/* ---- for people ---- */

const char *status_duration(uint64_t seconds, char text[STATUS_TEXT_BYTES])
{
	static const struct {
		uint64_t seconds;
		const char *name;
	} units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" } };
	size_t i = 0;

	while (i < ARRAY_SIZE(units) - 1 && seconds < units[i].seconds)
		i++;
	uint64_t rest = seconds % units[i].seconds;
	int len = snprintf(text, STATUS_TEXT_BYTES, "%" PRIu64 " %s", seconds / units[i].seconds,
			   units[i].name);

	if (rest && rest / units[i + 1].seconds)
		snprintf(text + len, STATUS_TEXT_BYTES - (size_t)len, " %" PRIu64 " %s",
			 rest / units[i + 1].seconds, units[i + 1].name);
	return text;
}

const char *status_bytes(uint64_t bytes, char text[STATUS_TEXT_BYTES])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	uint64_t whole = bytes, tenths = 0;
	size_t i = 0;

	for (; whole >= 1024 && i < ARRAY_SIZE(units) - 1; i++) {
		tenths = whole % 1024 * 10 / 1024;
		whole /= 1024;
	}
	if (tenths)
		snprintf(text, STATUS_TEXT_BYTES, "%" PRIu64 ".%" PRIu64 " %s", whole, tenths,
			 units[i]);
	else
		snprintf(text, STATUS_TEXT_BYTES, "%" PRIu64 " %s", whole, units[i]);
	return text;
}

/* Pieces of one line, ", " between them; the label comes before the first one,
 * and the newline only if there was one. */
struct line {
	FILE *out;
	const char *label;
	bool begun;
};

static void add(struct line *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(struct line *l, const char *fmt, ...)
{
	va_list ap;

	if (l->begun)
		fputs(", ", l->out);
	else
		fprintf(l->out, "%-12s", l->label);
	l->begun = true;
	va_start(ap, fmt);
	vfprintf(l->out, fmt, ap);
	va_end(ap);
}

static void end(const struct line *l)
{
	if (l->begun)
		fputc('\n', l->out);
}

/* fmt takes the duration's text. */
static void add_duration(struct line *l, uint64_t seconds, const char *before, const char *after)
{
	char text[STATUS_TEXT_BYTES];

	if (seconds != STATUS_UNKNOWN)
		add(l, "%s%s%s", before, status_duration(seconds, text), after);
}

static void add_number(struct line *l, uint64_t n, const char *before, const char *after)
{
	if (n != STATUS_UNKNOWN)
		add(l, "%s%" PRIu64 "%s", before, n, after);
}

bool status_is_idle(const struct status *s)
{
	return strcmp(s->api.state, "ok") != 0 && s->api.error_age_s != STATUS_UNKNOWN &&
	       s->api.error_age_s >= IDLE_S && s->http.running == 0 && s->http.queued == 0;
}

static void print_api(const struct status *s, FILE *out)
{
	struct line state = { .out = out, .label = "state" };
	struct line list = { .out = out, .label = "list" };
	struct line error = { .out = out, .label = "last error" };

	if (s->api.state[0])
		add(&state, "%s", s->api.state);
	add_duration(&state, s->api.since_s, "for ", "");
	end(&state);

	add_duration(&list, s->api.list_age_s, "", " old");
	add_duration(&list, s->api.ttl_s, "fresh for ", "");
	add_number(&list, s->api.list_took_ms, "took ", " ms");
	end(&list);

	if (s->api.error[0])
		add(&error, "%s", s->api.error);
	add_duration(&error, s->api.error_age_s, "", " ago");
	if (status_is_idle(s))
		add(&error, "and not tried again since (stacksfs refresh asks)");
	end(&error);
}

static void print_content(const struct status *s, FILE *out)
{
	struct line stacks = { .out = out, .label = "stacks" };
	struct line cache = { .out = out, .label = "cache" };

	add_number(&stacks, s->stacks.total, "", "");
	add_number(&stacks, s->stacks.server, "", " server");
	add_number(&stacks, s->stacks.lambda, "", " lambda");
	if (s->stacks.other) /* usually none, and then of no interest */
		add_number(&stacks, s->stacks.other, "", " other");
	end(&stacks);

	add_number(&cache, s->cache.hits, "", " hits");
	add_number(&cache, s->cache.misses, "", " misses");
	add_number(&cache, s->cache.stale, "", " stale");
	end(&cache);
}

/* A line for each endpoint; the first has the label. */
static void print_requests(const struct status *s, FILE *out)
{
	struct line l = { .out = out, .label = "requests" };
	const char *endpoint = "";

	for (size_t i = 0; i < s->n_requests; i++) {
		const struct status_requests *q = &s->requests[i];

		if (strcmp(q->endpoint, endpoint) == 0) {
			add(&l, "%s: %" PRIu64, q->status, q->count);
			continue;
		}
		end(&l);
		l = (struct line){ .out = out, .label = i == 0 ? "requests" : "" };
		add(&l, "%-13s %s: %" PRIu64, q->endpoint, q->status, q->count);
		endpoint = q->endpoint;
	}
	end(&l);
}

static void print_http(const struct status *s, FILE *out)
{
	struct line http = { .out = out, .label = "http" };
	struct line latency = { .out = out, .label = "latency" };
	char text[STATUS_TEXT_BYTES];

	add_number(&http, s->http.calls, "", " calls");
	add_number(&http, s->http.tries, "", " tries");
	add_number(&http, s->http.retries, "", " retries");
	add_number(&http, s->http.failures, "", " failures");
	add_number(&http, s->http.running, "", " running");
	add_number(&http, s->http.queued, "", " queued");
	if (s->http.received_bytes != STATUS_UNKNOWN)
		add(&http, "%s received", status_bytes(s->http.received_bytes, text));
	end(&http);

	add_number(&latency, s->http.p50_ms, "half within ", " ms");
	add_number(&latency, s->http.p90_ms, "90 % within ", " ms");
	add_number(&latency, s->http.p99_ms, "99 % within ", " ms");
	end(&latency);
}

/* A circuit that is closed and always was is of no interest. */
static void print_limits(const struct status *s, FILE *out)
{
	struct line circuit = { .out = out, .label = "circuit" };
	struct line rate = { .out = out, .label = "rate" };

	if (s->http.circuit_opened && s->http.circuit_opened != STATUS_UNKNOWN) {
		add(&circuit, "%s", s->http.circuit);
		add_duration(&circuit, s->http.circuit_since_s, "for ", "");
		add_number(&circuit, s->http.circuit_opened, "opened ", " times");
	}
	end(&circuit);

	if (s->http.rate_per_s) {
		add_number(&rate, s->http.rate_per_s, "", " a second");
		if (s->http.rate_left != STATUS_UNKNOWN)
			add_number(&rate, s->http.rate_burst, "burst of ", "");
		add_number(&rate, s->http.rate_left, "", " left of it");
	}
	end(&rate);
}

/* A path a line; the first has the label. */
static void print_paths(const struct status *s, const struct status_paths *p, const char *label,
			FILE *out)
{
	size_t kept = p->n < ARRAY_SIZE(p->paths) ? p->n : ARRAY_SIZE(p->paths);

	for (size_t i = 0; i < kept; i++)
		fprintf(out, "%-12s%s%s\n", i == 0 ? label : "", s->mountpoint, p->paths[i]);
	if (p->n > kept)
		fprintf(out, "%-12sand %zu more\n", "", p->n - kept);
}

static void print_work(const struct status *s, FILE *out)
{
	struct line changes = { .out = out, .label = "changes" };
	struct line lost = { .out = out, .label = "lost" };
	struct line unwritten = { .out = out, .label = "unwritten" };

	if (s->changes) /* usually none, and then of no interest */
		add_number(&changes, s->changes, "", " under way");
	end(&changes);
	print_paths(s, &s->refused, "refused", out);
	print_paths(s, &s->drafts, "unsaved", out);
	if (s->lost)
		add_number(&lost, s->lost, "", " texts");
	if (s->lost && s->lost != STATUS_UNKNOWN && s->mountpoint[0])
		add(&lost, "see %s/.stacksfs/lost", s->mountpoint);
	end(&lost);
	if (s->unwritten && s->unwritten != STATUS_UNKNOWN) {
		add_number(&unwritten, s->unwritten, "", " texts of history and lost");
		add(&unwritten, "%s", s->unwritten_why);
	}
	end(&unwritten);
}

static void print_rest(const struct status *s, FILE *out)
{
	struct line scratch = { .out = out, .label = "scratch" };
	struct line errors = { .out = out, .label = "errors" };
	struct line process = { .out = out, .label = "process" };
	char used[STATUS_TEXT_BYTES], limit[STATUS_TEXT_BYTES];

	if (s->scratch.bytes != STATUS_UNKNOWN && s->scratch.limit != STATUS_UNKNOWN &&
	    s->scratch.limit != 0) /* 0: a mount that takes none */
		add(&scratch, "%s of %s", status_bytes(s->scratch.bytes, used),
		    status_bytes(s->scratch.limit, limit));
	end(&scratch);

	add_number(&errors, s->errors, "", "");
	if (s->errors && s->errors != STATUS_UNKNOWN && s->mountpoint[0])
		add(&errors, "see %s/.stacksfs/errors", s->mountpoint);
	end(&errors);

	add_number(&process, s->pid, "", "");
	add_duration(&process, s->uptime_s, "up ", "");
	if (s->version[0])
		add(&process, "stacksfs %s", s->version);
	end(&process);
}

void status_print(const struct status *s, FILE *out)
{
	struct line mount = { .out = out, .label = "mount" };

	if (s->mountpoint[0])
		add(&mount, "%s", s->mountpoint);
	if (s->source[0])
		add(&mount, "%s", s->source);
	end(&mount);
	print_api(s, out);
	print_content(s, out);
	print_work(s, out);
	print_requests(s, out);
	print_http(s, out);
	print_limits(s, out);
	print_rest(s, out);
}
