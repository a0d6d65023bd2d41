/* SPDX-License-Identifier: MIT */
/* The chain of pages.  Each page is a call of its own, and is read in full
 * before the next is asked for: all callbacks run on the one thread that also
 * sends, so asking first would not put anything on the wire any earlier, and
 * this way a page that cannot be read ends the chain with nothing in flight. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/link.h"
#include "api/private.h"
#include "base/json.h"

#define FIRST_TARGET "/v1/stacks"

struct chain {
	struct api *api;
	api_page_fn *page;
	api_list_fn *done;
	void *arg;

	struct api_list *list; /* what has come so far */
	size_t room;           /* for records */
	size_t text_bytes;
	uint64_t ended_ms; /* of the last page */

	/* What an earlier chain brought: the record expected next, and all of them
	 * sorted by _id, made when one is not where it was. */
	struct api_list *previous;
	size_t hint;
	uint32_t *by_id;

	/* The page that is asked for. */
	char target[LINK_MAX_TARGET];
	bool conditional;
	size_t number; /* from 1; for messages */
	size_t first;  /* place of its first record */
};

/* ---- lists ---- */

struct api_list *api_list_ref(struct api_list *list)
{
	if (list)
		atomic_fetch_add_explicit(&list->refs, 1, memory_order_relaxed);
	return list;
}

void api_list_unref(struct api_list *list)
{
	if (!list || atomic_fetch_sub_explicit(&list->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < list->n_records; i++)
		record_unref(list->records[i]);
	for (size_t i = 0; i < list->n_pages; i++) {
		free(list->pages[i].etag);
		free(list->pages[i].next);
	}
	free(list->records);
	free(list->pages);
	free(list);
}

static const char *page_target(const struct api_list *list, size_t page)
{
	return page == 0 ? FIRST_TARGET : list->pages[page - 1].next;
}

static size_t page_end(const struct api_list *list, size_t page)
{
	return page + 1 < list->n_pages ? list->pages[page + 1].first : list->n_records;
}

/* The page that record i is on: the last one that begins at or before it. */
static size_t page_of(const struct api_list *list, size_t i)
{
	size_t low = 0, high = list->n_pages;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (list->pages[middle].first <= i)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* By _id, and equal ones in the list's order. */
static int compare_places(const void *x, const void *y, void *arg)
{
	const struct api_list *list = arg;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	int c = stack_id_compare(&list->records[a]->id, &list->records[b]->id);

	return c != 0 ? c : a < b ? -1 : a > b;
}

/* Sorted, not hashed: no choice of _ids can make it slow. */
static int sort_by_id(struct api_list *list, uint32_t **ret)
{
	uint32_t *places = malloc((list->n_records + 1) * sizeof(*places));

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < list->n_records; i++)
		places[i] = (uint32_t)i;
	qsort_r(places, list->n_records, sizeof(*places), compare_places, list);
	*ret = places;
	return 0;
}

/* ---- sharing with the previous list ---- */

static bool is_at(const struct api_list *list, size_t i, const struct stack_id *id)
{
	return i < list->n_records && stack_id_compare(&list->records[i]->id, id) == 0;
}

static int find_previous(struct chain *c, const struct stack_id *id, size_t *ret)
{
	const struct api_list *list = c->previous;

	if (is_at(list, c->hint, id)) {
		*ret = c->hint;
		return 0;
	}
	if (!c->by_id && sort_by_id(c->previous, &c->by_id) < 0)
		return -ENOMEM;
	size_t low = 0, high = list->n_records;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (stack_id_compare(&list->records[c->by_id[middle]]->id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == list->n_records || !is_at(list, c->by_id[low], id))
		return -ENOENT;
	*ret = c->by_id[low];
	return 0;
}

/* Replace *rec by the previous list's record where that has the same text. */
static void share(struct chain *c, struct record **rec)
{
	size_t at;

	/* Without memory for the index there is merely less sharing. */
	if (!c->previous || find_previous(c, &(*rec)->id, &at) < 0)
		return;
	struct record *old = c->previous->records[at];
	c->hint = at + 1;
	if (old->text_len != (*rec)->text_len ||
	    memcmp(old->text, (*rec)->text, old->text_len) != 0)
		return;
	record_unref(*rec);
	*rec = record_ref(old);
}

/* ---- one page ---- */

/* Takes rec over. */
static int add_record(struct chain *c, struct record *rec, char *why, size_t why_size)
{
	struct api_list *list = c->list;

	c->text_bytes += rec->text_len + rec->name_len;
	if (list->n_records >= API_MAX_STACKS || c->text_bytes > API_MAX_LIST_BYTES) {
		record_unref(rec);
		snprintf(why, why_size, "the list is larger than this program takes");
		return -EFBIG;
	}
	if (list->n_records == c->room) {
		size_t room = c->room ? c->room * 2 : 128;
		struct record **all = realloc(list->records, room * sizeof(*all));

		if (!all) {
			record_unref(rec);
			return -ENOMEM;
		}
		list->records = all;
		c->room = room;
	}
	list->records[list->n_records++] = rec;
	return 0;
}

static int read_element(struct chain *c, const char *json, size_t len, char *why, size_t why_size)
{
	char wrong[160];
	struct record *rec;
	int r = record_parse(json, len, &rec, wrong, sizeof(wrong));

	if (r < 0) {
		snprintf(why, why_size, "stack %zu: %s", c->list->n_records - c->first + 1, wrong);
		return r;
	}
	share(c, &rec);
	return add_record(c, rec, why, why_size);
}

/* The body is one array; it is never made into a tree. */
static int read_body(struct chain *c, const char *body, size_t len, char *why, size_t why_size)
{
	struct json_scan scan;
	int event;

	json_scan_init(&scan, body, len, JSON_ANY_BYTES | JSON_IN_PAGE);
	event = json_next(&scan);
	if (event >= 0 && event != JSON_ARRAY_BEGIN) {
		snprintf(why, why_size, "not a JSON array");
		return -EBADMSG;
	}
	while (event >= 0 && (event = json_next(&scan)) > JSON_END && scan.depth > 0) {
		const char *json;
		size_t json_len;

		event = json_skip(&scan, &json, &json_len);
		if (event < 0)
			break;
		int r = read_element(c, json, json_len, why, why_size);
		if (r < 0)
			return r;
	}
	if (event >= 0)
		event = json_next(&scan); /* behind the array */
	if (event < 0)
		snprintf(why, why_size, "not JSON: %s at line %u, column %u", scan.error.why,
			 scan.error.line, scan.error.column);
	return event < 0 ? event : 0;
}

/* After a 304: what the previous list has on this page. */
static int take_previous(struct chain *c, char *why, size_t why_size)
{
	size_t page = c->list->n_pages, end = page_end(c->previous, page);

	for (size_t i = c->previous->pages[page].first; i < end; i++) {
		int r = add_record(c, record_ref(c->previous->records[i]), why, why_size);

		if (r < 0)
			return r;
	}
	c->hint = end;
	return 0;
}

static bool was_asked(const struct chain *c, const char *target)
{
	for (size_t page = 0; page < c->list->n_pages; page++) {
		if (strcmp(page_target(c->list, page), target) == 0)
			return true;
	}
	return strcmp(c->target, target) == 0;
}

/* Write the target of the page after this one.  -ENOENT: this is the last.
 * A Link beside a 304 is newer than the one that came with the page. */
static int find_next(struct chain *c, const struct http_result *result, char out[LINK_MAX_TARGET],
		     char *why, size_t why_size)
{
	const char *kept = result->status == 304 ? c->previous->pages[c->list->n_pages].next : NULL;
	int r = -ENOENT;

	if (result->status == 204)
		return r;
	if (result->link) {
		r = link_next(result->link, c->api->base_path, out, LINK_MAX_TARGET);
	} else if (kept) {
		memcpy(out, kept, strlen(kept) + 1);
		r = 0;
	}
	if (r == -ENOENT)
		return r;
	if (r < 0)
		snprintf(why, why_size, "its link to the next page leads nowhere in the list");
	else if (was_asked(c, out))
		snprintf(why, why_size, "its link leads back to an earlier page");
	else if (c->list->n_pages + 1 >= API_MAX_PAGES)
		snprintf(why, why_size, "there is no end of pages");
	else
		return 0;
	return -EBADMSG;
}

static int copy_string(const char *s, char **ret)
{
	*ret = s ? strdup(s) : NULL;
	return s && !*ret ? -ENOMEM : 0;
}

static int add_page(struct chain *c, const struct http_result *result, const char *next)
{
	struct api_list *list = c->list;
	struct api_page *pages = realloc(list->pages, (list->n_pages + 1) * sizeof(*pages));
	const char *etag = result->etag;

	if (!pages)
		return -ENOMEM;
	list->pages = pages;
	if (result->status == 304 && !etag)
		etag = c->previous->pages[list->n_pages].etag;

	struct api_page page = { .first = c->first, .began_ms = result->began_ms };
	int r = copy_string(etag, &page.etag);
	if (r == 0)
		r = copy_string(next, &page.next);
	if (r < 0) {
		free(page.etag);
		return r;
	}
	pages[list->n_pages++] = page;
	return 0;
}

/* 1: c->target is the next page's; 0: this was the last; or an error in why. */
static int take_page(struct chain *c, const struct http_result *result, char *why, size_t why_size)
{
	char next[LINK_MAX_TARGET];
	int found = find_next(c, result, next, why, why_size);
	int r = found == -ENOENT ? 0 : found;

	c->first = c->list->n_records;
	if (r == 0 && result->status == 200)
		r = read_body(c, result->body, result->body_len, why, why_size);
	else if (r == 0 && result->status == 304)
		r = take_previous(c, why, why_size);
	if (r == 0)
		r = add_page(c, result, found == 0 ? next : NULL);
	if (r < 0)
		return r;

	if (c->list->n_pages == 1) {
		c->list->began_ms = result->began_ms;
		c->list->token_no = result->token_no;
	}
	c->list->n_requests += result->tries;
	c->ended_ms = result->began_ms + result->took_ms;
	if (found < 0)
		return 0;
	memcpy(c->target, next, sizeof(next));
	return 1;
}

/* ---- the whole list ---- */

static bool is_ascending(const struct api_list *list)
{
	for (size_t i = 1; i < list->n_records; i++) {
		if (stack_id_compare(&list->records[i - 1]->id, &list->records[i]->id) >= 0)
			return false;
	}
	return true;
}

/* Take the record at i away, leaving a gap.  Its page is no longer what its
 * ETag stands for, so it must not be renewed by a 304. */
static void drop_record(struct api_list *list, size_t i)
{
	struct api_page *page = &list->pages[page_of(list, i)];

	record_unref(list->records[i]);
	list->records[i] = NULL;
	free(page->etag);
	page->etag = NULL;
}

static void close_gaps(struct api_list *list)
{
	size_t n = 0, page = 0;

	for (size_t i = 0; i < list->n_records; i++) {
		while (page < list->n_pages && list->pages[page].first == i)
			list->pages[page++].first = n;
		if (list->records[i])
			list->records[n++] = list->records[i];
	}
	while (page < list->n_pages)
		list->pages[page++].first = n;
	list->n_records = n;
}

/* Of an _id on several pages the last one stays.  -EBADMSG: twice on one page,
 * then *ret_page is its number from 1; -ENOMEM. */
static int drop_repeated(struct api_list *list, size_t *ret_page)
{
	uint32_t *places;
	int r = 0;

	if (is_ascending(list))
		return 0;
	if (sort_by_id(list, &places) < 0)
		return -ENOMEM;
	for (size_t k = 1; r == 0 && k < list->n_records; k++) {
		size_t a = places[k - 1], b = places[k];

		if (stack_id_compare(&list->records[a]->id, &list->records[b]->id) != 0)
			continue;
		if (page_of(list, a) == page_of(list, b)) {
			*ret_page = page_of(list, a) + 1;
			r = -EBADMSG;
		} else {
			drop_record(list, a); /* no later k looks at it */
		}
	}
	free(places);
	if (r == 0)
		close_gaps(list);
	return r;
}

static void chain_free(struct chain *c)
{
	api_list_unref(c->list);
	api_list_unref(c->previous);
	free(c->by_id);
	free(c);
}

static void page_done(void *arg, const struct http_result *result);

/* Whether a 304 would tell all of a page of the previous list.  An ETag stands for
 * the body, and a 304 may come without a Link (RFC 9110, 15.4.5): a last page that
 * is full has the same body when another one has come behind it. */
static bool is_told_by_304(const struct api_list *list, size_t page)
{
	size_t n = page_end(list, page) - list->pages[page].first;

	return list->pages[page].next || (page > 0 && n < page_end(list, 0));
}

static int ask_page(struct chain *c)
{
	const struct api_list *previous = c->previous;
	size_t page = c->list->n_pages;
	/* In the background, too: everybody is shown the old list until it is over, so it
	 * must not queue behind what is read ahead. */
	struct http_spec spec = { .class = HTTP_CLASS_USER, .target = c->target };

	/* An ETag belongs to one target; cursors may have moved. */
	if (previous && page < previous->n_pages && is_told_by_304(previous, page) &&
	    strcmp(page_target(previous, page), c->target) == 0)
		spec.if_none_match = previous->pages[page].etag;
	c->conditional = spec.if_none_match != NULL;
	c->number = page + 1;
	return endpoint_ask(c->api, API_ENDPOINT_LIST, &spec, page_done, c, NULL);
}

static int settle_repeated(struct chain *c, char *why, size_t why_size)
{
	int r = drop_repeated(c->list, &c->number);

	if (r == -EBADMSG)
		snprintf(why, why_size, "an _id is on it twice");
	return r;
}

/* The first page is vouched for by itself, for a mount is ready when it has come; the others
 * when all have. */
static int tell_of_page(struct chain *c, char *why, size_t why_size)
{
	int r = c->list->n_pages == 1 ? settle_repeated(c, why, why_size) : 0;

	if (r == 0 && c->page)
		c->page(c->arg, c->list->n_pages);
	return r;
}

/* Take one page.  1: the next one has been asked for; 0: the list is whole. */
static int advance(struct chain *c, const struct http_result *result, char *why, size_t why_size)
{
	int r = take_page(c, result, why, why_size);

	if (r < 0)
		return r;
	int told = tell_of_page(c, why, why_size);
	if (told < 0)
		return told;
	if (r > 0) {
		r = ask_page(c);
		if (r < 0)
			snprintf(why, why_size, "it cannot be asked for");
		return r < 0 ? r : 1;
	}
	return settle_repeated(c, why, why_size);
}

static void page_done(void *arg, const struct http_result *result)
{
	struct chain *c = arg;
	struct api_error e;
	char why[200];
	int r = answer_judge(c->api, API_ENDPOINT_LIST, result, c->conditional, &e);

	if (r >= 0) {
		r = advance(c, result, why, sizeof(why));
		if (r > 0)
			return; /* c is the next page's, which may be done already */
		if (r == -ENOMEM || r == -ESHUTDOWN)
			answer_refuse(API_ENDPOINT_LIST, result, &e, r, "%s", strerror(-r));
		else if (r < 0)
			answer_refuse(API_ENDPOINT_LIST, result, &e, -EIO,
				      "page %zu of the list: %s", c->number, why);
	}
	c->list->took_ms = c->ended_ms - c->list->began_ms;
	c->done(c->arg, r < 0 ? &e : NULL, r < 0 ? NULL : c->list);
	chain_free(c);
}

int api_list(struct api *api, struct api_list *previous, api_page_fn *page, api_list_fn *done,
	     void *arg)
{
	struct chain *c = calloc(1, sizeof(*c));
	struct api_list *list = calloc(1, sizeof(*list));

	if (!c || !list) {
		free(c);
		free(list);
		return -ENOMEM;
	}
	list->refs = 1;
	*c = (struct chain){
		.api = api,
		.page = page,
		.done = done,
		.arg = arg,
		.list = list,
		.previous = api_list_ref(previous),
		.target = FIRST_TARGET,
	};
	int r = ask_page(c);
	if (r < 0)
		chain_free(c);
	return r;
}
