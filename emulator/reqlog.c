/* SPDX-License-Identifier: MIT */
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json.h"
#include "reqlog.h"

enum { NOTES_BYTES_MAX = 4096 }; /* of one entry: a hostile body could cause millions */

struct entry {
	double t_ms;
	char *method, *path, *query, *host, *if_match, *if_none_match, *fault;
	const char *protocol;
	struct buf body, notes; /* notes: the items of a JSON array */
	bool has_body, done;
	int status; /* 0: none was sent */
	unsigned connection;
	enum auth auth;
};

struct reqlog {
	struct entry **ring;  /* entry seq is at seq % REQLOG_ENTRIES_MAX */
	uint64_t first, next; /* first <= seq < next are kept */
	size_t body_bytes;
	reqlog_listener_fn *listener;
	void *arg;
};

struct reqlog *reqlog_new(reqlog_listener_fn *listener, void *arg)
{
	struct reqlog *log = mem_zalloc(sizeof(*log));

	log->ring = mem_zalloc(REQLOG_ENTRIES_MAX * sizeof(*log->ring));
	log->first = log->next = 1;
	log->listener = listener;
	log->arg = arg;
	return log;
}

static void entry_free(struct entry *e)
{
	char *owned[] = { e->method,   e->path,		 e->query, e->host,
			  e->if_match, e->if_none_match, e->fault };

	for (size_t i = 0; i < ARRAY_SIZE(owned); i++)
		free(owned[i]);
	buf_done(&e->body);
	buf_done(&e->notes);
	free(e);
}

static struct entry **slot(const struct reqlog *log, uint64_t seq)
{
	return &log->ring[seq % REQLOG_ENTRIES_MAX];
}

static struct entry *find(const struct reqlog *log, uint64_t seq)
{
	return seq >= log->first && seq < log->next ? *slot(log, seq) : NULL;
}

static void drop_first(struct reqlog *log)
{
	struct entry **e = slot(log, log->first++);

	log->body_bytes -= (*e)->body.len;
	entry_free(*e);
	*e = NULL;
}

void reqlog_clear(struct reqlog *log)
{
	while (log->first < log->next)
		drop_first(log);
}

void reqlog_free(struct reqlog *log)
{
	if (!log)
		return;
	reqlog_clear(log);
	free(log->ring);
	free(log);
}

uint64_t reqlog_add(struct reqlog *log, const struct request *rq, enum auth auth)
{
	struct entry *e = mem_zalloc(sizeof(*e));

	*e = (struct entry){
		.t_ms = clock_precise_ms(),
		.method = mem_dups(rq->method),
		.path = mem_dups(rq->path),
		.query = mem_dups(rq->query),
		.host = mem_dups(rq->host),
		.if_match = mem_dups(rq->if_match),
		.if_none_match = mem_dups(rq->if_none_match),
		.protocol = rq->protocol,
		.has_body = rq->has_body,
		.connection = rq->connection,
		.auth = auth,
	};
	buf_span(&e->body, buf_view(&rq->body));
	log->body_bytes += e->body.len;
	if (log->next - log->first == REQLOG_ENTRIES_MAX)
		drop_first(log);
	*slot(log, log->next++) = e;
	while (log->body_bytes > REQLOG_BYTES_MAX && log->next - log->first > 1)
		drop_first(log);
	return log->next - 1;
}

void reqlog_arrived(struct reqlog *log, uint64_t seq)
{
	log->listener(log->arg, REQLOG_ARRIVED, seq);
}

void reqlog_answered(struct reqlog *log, uint64_t seq, int status)
{
	struct entry *e = find(log, seq);

	if (!e || e->done)
		return;
	e->done = true;
	e->status = status;
	log->listener(log->arg, REQLOG_ANSWERED, seq);
}

void reqlog_fault(struct reqlog *log, uint64_t seq, const char *what)
{
	struct entry *e = find(log, seq);

	if (e && !e->fault)
		e->fault = mem_dups(what);
}

void reqlog_note(struct reqlog *log, uint64_t seq, const char *fmt, ...)
{
	struct entry *e = find(log, seq);
	char note[256];
	va_list ap;

	if (!e || e->notes.len > NOTES_BYTES_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(note, sizeof(note), fmt, ap);
	va_end(ap);
	json_comma(&e->notes);
	json_quotes(&e->notes, note);
}

uint64_t reqlog_last(const struct reqlog *log)
{
	return log->next - 1;
}

bool reqlog_matches(const struct reqlog *log, uint64_t seq, const struct reqlog_filter *f)
{
	const struct entry *e = find(log, seq);

	if (!e || seq <= f->since || (f->answered && !e->done))
		return false;
	if (f->method && strcmp(f->method, e->method) != 0)
		return false;
	return !f->path || !strcmp(f->path, e->path) || !fnmatch(f->path, e->path, 0);
}

static uint64_t first_after(const struct reqlog *log, uint64_t since)
{
	if (since >= log->next)
		return log->next;
	return since >= log->first ? since + 1 : log->first;
}

uint64_t reqlog_count(const struct reqlog *log, const struct reqlog_filter *f)
{
	uint64_t count = 0;

	for (uint64_t seq = first_after(log, f->since); seq < log->next; seq++)
		count += reqlog_matches(log, seq, f);
	return count;
}

static void dump_member(struct buf *out, const char *name, const char *value)
{
	if (!value)
		return;
	json_key(out, name);
	json_quotes(out, value);
}

static void dump(const struct entry *e, uint64_t seq, struct buf *out)
{
	static const char *const auths[] = { "none", "bad", "ok" };

	json_comma(out);
	buf_addf(out, "{\"seq\":%llu,\"t_ms\":%.3f", (unsigned long long)seq, e->t_ms);
	dump_member(out, "method", e->method);
	dump_member(out, "path", e->path);
	dump_member(out, "query", e->query ? e->query : "");
	json_key(out, "status");
	if (e->status)
		buf_addf(out, "%d", e->status);
	else
		buf_adds(out, "null");
	buf_addf(out, ",\"done\":%s,\"connection\":%u", e->done ? "true" : "false", e->connection);
	dump_member(out, "auth", auths[e->auth]);
	dump_member(out, "host", e->host);
	dump_member(out, "protocol", e->protocol);
	dump_member(out, "if_match", e->if_match);
	dump_member(out, "if_none_match", e->if_none_match);
	dump_member(out, "fault", e->fault);
	if (e->has_body) {
		json_key(out, "body");
		json_quote(out, buf_view(&e->body));
	}
	json_key(out, "notes");
	buf_addf(out, "[%s]}", e->notes.data ? e->notes.data : "");
}

void reqlog_dump(const struct reqlog *log, uint64_t since, struct buf *out)
{
	buf_addc(out, '[');
	for (uint64_t seq = first_after(log, since); seq < log->next; seq++)
		dump(find(log, seq), seq, out);
	buf_addc(out, ']');
}
