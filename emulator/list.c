/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "encode.h"
#include "fields.h"
#include "list.h"
#include "random.h"

/* A cursor is where the page before ended (an id, or `#` and a number of stacks) in hex, and a mark
 * by which we know our own. */
enum { MARK_LEN = 16 };

static bool given(const char *value)
{
	return value && *value;
}

static void add_mark(struct buf *out, const struct emulator *e, const struct query *q,
		     struct span position)
{
	CLEANUP(buf_done) struct buf text = { 0 };

	buf_addf(&text, "%llx|%s|%s|", (unsigned long long)e->cursor_key,
		 q->include ? q->include : "", q->exclude ? q->exclude : "");
	buf_span(&text, position);
	buf_addf(out, "%016llx", (unsigned long long)random_hash(buf_view(&text)));
}

static void add_cursor(struct buf *out, const struct emulator *e, const struct query *q,
		       struct span position)
{
	for (size_t i = 0; i < position.len; i++)
		buf_addf(out, "%02x", (unsigned char)position.p[i]);
	add_mark(out, e, q, position);
}

/* What add_cursor() was given; NULL when the cursor is not ours. */
static char *open_cursor(const struct emulator *e, const struct query *q)
{
	size_t len = strlen(q->cursor), n = len < MARK_LEN ? 0 : (len - MARK_LEN) / 2;
	struct buf position = { 0 }, again = { 0 };
	bool ours;

	for (size_t i = 0; i < n; i++) {
		char pair[3] = { q->cursor[2 * i], q->cursor[2 * i + 1], '\0' };

		buf_addc(&position, (char)strtoul(pair, NULL, 16));
	}
	add_cursor(&again, e, q, buf_view(&position));
	ours = !strcmp(again.data, q->cursor);
	buf_done(&again);
	if (ours)
		return buf_take(&position);
	buf_done(&position);
	return NULL;
}

bool list_cursor_is_ours(const struct emulator *e, const struct query *q)
{
	CLEANUP(mem_freep) char *position = open_cursor(e, q);

	return position != NULL;
}

/* --- pages --- */

struct page {
	size_t start;	/* position in the account */
	size_t skipped; /* living stacks before it, when pages go by number */
};

static size_t skip_living(const struct account *a, size_t n)
{
	size_t i = 0;

	for (; n && i < account_count(a); i++)
		n -= !account_at(a, i)->deleted;
	return i;
}

static struct page find_page(const struct emulator *e, const char *position)
{
	struct page page = { 0 };

	if (!position)
		return page;
	if (*position != '#') {
		page.start = account_after(e->account, span_str(position));
		return page;
	}
	page.skipped = strtoul(position + 1, NULL, 10);
	page.start = skip_living(e->account, page.skipped);
	return page;
}

static bool any_living(const struct account *a, size_t from)
{
	for (size_t i = from; i < account_count(a); i++)
		if (!account_at(a, i)->deleted)
			return true;
	return false;
}

static void add_record(struct buf *out, const struct query *q, const struct stack *s)
{
	json_comma(out);
	if (given(q->include))
		fields_include(out, stack_shown(s), q->include);
	else if (given(q->exclude))
		fields_exclude(out, stack_shown(s), q->exclude);
	else
		buf_span(out, stack_shown(s));
}

/* The host as the client named it, unless it could break out of the header. */
static const char *link_host(const struct request *rq)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";

	return rq->host && *rq->host && !rq->host[strspn(rq->host, plain)] ? rq->host : "localhost";
}

static void add_link(struct exchange *x, const struct emulator *e, const struct query *q,
		     struct span position)
{
	const char *proto = x->rq.forwarded_proto;
	CLEANUP(buf_done) struct buf link = { 0 };

	buf_addf(&link, "<%s://%s/v1/stacks?",
		 proto && !strcasecmp(proto, "https") ? "https" : "http", link_host(&x->rq));
	if (given(q->include))
		buf_addf(&link, "include=%s&", q->include);
	if (given(q->exclude))
		buf_addf(&link, "exclude=%s&", q->exclude);
	buf_adds(&link, "cursor=");
	add_cursor(&link, e, q, position);
	buf_adds(&link, ">; rel=\"next\"");
	reply_header(&x->reply, "Link", link.data);
}

static void add_next(struct exchange *x, const struct emulator *e, const struct query *q,
		     const struct page *page, const char *last_id)
{
	CLEANUP(mem_freep) char *number = NULL;

	if (e->config.paging == PAGING_ID) {
		add_link(x, e, q, span_str(last_id));
		return;
	}
	number = mem_format("#%llu", (unsigned long long)(page->skipped + e->config.page_size));
	add_link(x, e, q, span_str(number));
}

static void answer_page(struct emulator *e, const struct query *q, struct exchange *x,
			const struct page *page)
{
	const struct account *a = e->account;
	struct buf *out = &x->reply.body;
	const char *last = "";
	uint64_t n = 0;
	size_t i;

	reply_json(&x->reply, 200);
	buf_addc(out, '[');
	for (i = page->start; i < account_count(a) && n < e->config.page_size; i++) {
		const struct stack *s = account_at(a, i);

		if (s->deleted)
			continue;
		add_record(out, q, s);
		last = s->id;
		n++;
	}
	buf_addc(out, ']');
	if (any_living(a, i))
		add_next(x, e, q, page, last);
}

/* Whether the parameters say something that can be answered; else the answer is there. */
static bool accept(const struct query *q, struct reply *reply)
{
	const char *lists[] = { q->include, q->exclude };

	if (given(q->include) && given(q->exclude)) {
		reply_error(reply, 400, "invalid_query_params", NULL,
			    "Please provide either include or exclude param in the request query "
			    "and not both.");
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (!given(lists[i]) || fields_are_wellformed(lists[i]))
			continue;
		reply_error(reply, 400, "invalid_query_params", NULL,
			    "The value of %s has characters other than letters, digits, dots and "
			    "underscores.",
			    i ? "exclude" : "include");
		return false;
	}
	return true;
}

void list_answer(struct emulator *e, const struct query *q, struct exchange *x)
{
	CLEANUP(mem_freep) char *position = q->cursor ? open_cursor(e, q) : NULL;
	struct page page = find_page(e, position);

	if (!accept(q, &x->reply))
		return;
	if (!q->cursor && !any_living(e->account, 0))
		x->reply.status = 204;
	else
		answer_page(e, q, x, &page);
}
