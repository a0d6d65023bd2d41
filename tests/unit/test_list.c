/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "api/api.h"
#include "base/buf.h"
#include "base/json.h"
#include "fake_api.h"

static struct fake_api f;

static struct {
	unsigned first_pages, pages, times;
	bool failed;
	struct api_error error;
	struct api_list *list; /* a reference of the test's */
} got;

static void on_page(void *arg, size_t number)
{
	assert_ptr_equal(arg, &got);
	assert_int_equal(got.times, 0);
	got.first_pages += number == 1;
	assert_int_equal(number, ++got.pages);
}

static void on_list(void *arg, const struct api_error *error, struct api_list *list)
{
	assert_ptr_equal(arg, &got);
	assert_true(!error != !list);
	got.times++;
	got.failed = error != NULL;
	if (error) {
		got.error = *error;
		assert_true(error->message[0] != '\0');
	}
	got.list = api_list_ref(list);
}

static void forget(void)
{
	api_list_unref(got.list);
	memset(&got, 0, sizeof(got));
}

static int setup(void **state)
{
	memset(&got, 0, sizeof(got));
	fake_api_init(&f, "");
	return 0;
}

static int teardown(void **state)
{
	fake_api_done(&f);
	forget();
	return 0;
}

static void ask(struct api_list *previous)
{
	assert_int_equal(api_list(f.api, previous, on_page, on_list, &got), 0);
}

static void ask_again(struct api_list *previous)
{
	got.list = NULL;
	forget();
	ask(previous);
}

/* Answer the newest try with a page. */
static void answer(int status, const char *body, const char *etag, const char *next)
{
	char link[200];

	if (next)
		snprintf(link, sizeof(link), "<https://elsewhere%s>; rel=\"next\"", next);
	fake_api_answer(&f, fake_api_tries(&f) - 1, status, body, etag, next ? link : NULL);
}

/* Ids are named by a letter, and "a1" is stack a with the name 1: "a1 b2" is a
 * page of two.  In a static buffer. */
static const char *page(const char *stacks)
{
	static char out[4000];
	size_t at = 0;
	const char *comma = "";

	at += (size_t)snprintf(out + at, sizeof(out) - at, "[");
	for (const char *s = stacks; *s; s += 2 + (s[2] == ' ')) {
		at += (size_t)snprintf(out + at, sizeof(out) - at,
				       "%s{\"_id\":\"0000000000000000000000%02x\",\"name\":\"%c\"}",
				       comma, s[0], s[1]);
		comma = ",";
	}
	snprintf(out + at, sizeof(out) - at, "]");
	return out;
}

/* The list as such a text, " | " between pages. */
static const char *shown(const struct api_list *list)
{
	static char out[4000];
	size_t at = 0;

	out[0] = '\0';
	for (size_t p = 0; p < list->n_pages; p++) {
		size_t end = p + 1 < list->n_pages ? list->pages[p + 1].first : list->n_records;

		if (p > 0)
			at += (size_t)snprintf(out + at, sizeof(out) - at, "| ");
		for (size_t i = list->pages[p].first; i < end; i++)
			at += (size_t)snprintf(out + at, sizeof(out) - at, "%c%s ",
					       list->records[i]->id.bytes[11],
					       list->records[i]->name);
	}
	return out;
}

static void assert_failed(int err, const char *message)
{
	assert_int_equal(got.times, 1);
	assert_true(got.failed);
	assert_null(got.list);
	assert_int_equal(got.error.err, err);
	assert_string_equal(got.error.message, message);
}

/* ---- chains ---- */

static void test_one_page(void **state)
{
	ask(NULL);
	assert_string_equal(fake_api_request(&f, 0)->target, "/v1/stacks");
	assert_null(fake_api_request(&f, 0)->if_none_match);
	assert_int_equal(fake_api_request(&f, 0)->max_body_bytes, API_MAX_PAGE_BYTES);
	fake_api_advance(&f, 30);
	answer(200, page("a1 b2"), "\"e\"", NULL);
	assert_int_equal(got.times, 1);
	assert_int_equal(got.first_pages, 1);
	assert_string_equal(shown(got.list), "a1 b2 ");
	assert_int_equal(got.list->began_ms, 1000000);
	assert_int_equal(got.list->took_ms, 30);
	assert_int_equal(got.list->n_requests, 1);
	assert_string_equal(got.list->pages[0].etag, "\"e\"");
	assert_null(got.list->pages[0].next);
}

static void test_several_pages(void **state)
{
	ask(NULL);
	fake_api_tries(&f);
	fake_api_advance(&f, 10);
	answer(200, page("a1 b2"), NULL, "/v1/stacks?p=2");
	assert_int_equal(got.first_pages, 1);
	assert_int_equal(got.times, 0);
	assert_string_equal(fake_api_request(&f, 1)->target, "/v1/stacks?p=2");
	fake_api_advance(&f, 10);
	answer(200, page(""), NULL, "/v1/stacks?p=3");
	fake_api_advance(&f, 10);
	answer(200, page("d1 c2"), "\"3\"", NULL);
	assert_int_equal(got.times, 1);
	assert_int_equal(got.first_pages, 1);
	assert_string_equal(shown(got.list), "a1 b2 | | d1 c2 ");
	assert_int_equal(got.list->began_ms, 1000000);
	assert_int_equal(got.list->took_ms, 30);
	assert_int_equal(got.list->n_requests, 3);
	assert_int_equal(got.list->pages[1].began_ms, 1000010);
	assert_string_equal(got.list->pages[1].next, "/v1/stacks?p=3");
}

static void test_no_stacks(void **state)
{
	ask(NULL);
	answer(204, NULL, NULL, NULL);
	assert_int_equal(got.times, 1);
	assert_int_equal(got.first_pages, 1);
	assert_int_equal(got.list->n_records, 0);
	assert_int_equal(got.list->n_pages, 1);
	forget();

	ask(NULL);
	answer(200, " [ ] \n", NULL, NULL);
	assert_int_equal(got.list->n_records, 0);
	forget();

	/* On any page it is the end, whatever else is said. */
	ask(NULL);
	answer(200, page("a1"), NULL, "/v1/stacks?p=2");
	answer(204, NULL, NULL, "/v1/stacks?p=3");
	assert_string_equal(shown(got.list), "a1 | ");
}

static void test_link_is_relative_to_the_base(void **state)
{
	fake_api_done(&f);
	fake_api_init(&f, "/proxy");
	ask(NULL);
	answer(200, page("a1"), NULL, "/proxy/v1/stacks?p=2");
	assert_string_equal(fake_api_request(&f, 1)->target, "/v1/stacks?p=2");
	answer(200, page("b1"), NULL, NULL);
	assert_false(got.failed);
}

static void test_a_page_is_asked_again(void **state)
{
	ask(NULL);
	answer(200, page("a1"), NULL, "/v1/stacks?p=2");
	answer(503, "", NULL, NULL);
	assert_int_equal(got.times, 0);
	fake_api_advance(&f, 10000);
	answer(200, page("b1"), NULL, NULL);
	assert_string_equal(shown(got.list), "a1 | b1 ");
	assert_int_equal(got.list->n_requests, 3);
}

/* ---- chains that fail: never a part ---- */

static void test_refused(void **state)
{
	ask(NULL);
	answer(401, "{\"message\":\"Unauthorized\"}", NULL, NULL);
	assert_failed(-EACCES, "Unauthorized");
	assert_int_equal(got.first_pages, 0);

	ask_again(NULL);
	answer(200, page("a1"), NULL, "/v1/stacks?p=2");
	answer(404, "<html>", NULL, NULL);
	assert_failed(-ENOENT, "the service answered 404");
	assert_int_equal(got.first_pages, 1);

	ask_again(NULL);
	answer(304, NULL, NULL, NULL);
	assert_failed(-EIO, "unexpected status 304");

	ask_again(NULL);
	answer(206, page("a1"), NULL, NULL);
	assert_failed(-EIO, "unexpected status 206");
}

static void test_unreadable(void **state)
{
	static const struct {
		const char *body, *message;
	} rows[] = {
		{ "", "page 1 of the list: not JSON: the text ends too early at line 1, column 1" },
		{ "<html>502</html>",
		  "page 1 of the list: not JSON: a value is missing at line 1, column 1" },
		{ "null", "page 1 of the list: not a JSON array" },
		{ "{}", "page 1 of the list: not a JSON array" },
		{ "{\"errors\":[]}", "page 1 of the list: not a JSON array" },
		{ "\"x\"", "page 1 of the list: not a JSON array" },
		{ "[", "page 1 of the list: not JSON: the text ends too early at line 1, column 2" },
		{ "[] []", "page 1 of the list: not JSON: more text behind the value at line 1, column 4" },
		{ "[null]", "page 1 of the list: stack 1: not a JSON object" },
		{ "[7]", "page 1 of the list: stack 1: not a JSON object" },
		{ "[[]]", "page 1 of the list: stack 1: not a JSON object" },
		{ "[{}]", "page 1 of the list: stack 1: _id is missing" },
		{ "[{\"_id\":\"000000000000000000000001\"},{\"_id\":\"../../../../../etc/passw\"}]",
		  "page 1 of the list: stack 2: _id is not a string of 24 hex digits" },
		{ "[{\"_id\":\"000000000000000000000001\"},",
		  "page 1 of the list: not JSON: the text ends too early at line 1, column 37" },
		{ "[{\"_id\":\"000000000000000000000001\",\"a\":1,\"a\":2}]",
		  "page 1 of the list: stack 1: not JSON: a key twice in one object at line 1, "
		  "column 41" },
		{ "[{\"_id\":\"000000000000000000000001\"},{\"_id\":\"000000000000000000000001\"}]",
		  "page 1 of the list: an _id is on it twice" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ask_again(NULL);
		answer(200, rows[i].body, NULL, NULL);
		assert_failed(-EIO, rows[i].message);
		assert_int_equal(got.error.status, 200);
	}
}

/* The page that fails is named, and its successor is never asked for. */
static void test_unreadable_in_the_middle(void **state)
{
	ask(NULL);
	answer(200, page("a1"), NULL, "/v1/stacks?p=2");
	answer(200, "[{]", NULL, "/v1/stacks?p=3");
	assert_failed(-EIO, "page 2 of the list: not JSON: a key in quotes is missing at line 1, "
			    "column 3");
	assert_int_equal(fake_api_tries(&f), 2);
}

static void test_same_id_twice_on_a_later_page(void **state)
{
	ask(NULL);
	answer(200, page("a1 b1"), NULL, "/v1/stacks?p=2");
	answer(200, page("a2 c1 c2"), NULL, "/v1/stacks?p=3");
	answer(200, page("d1"), NULL, NULL);
	assert_failed(-EIO, "page 2 of the list: an _id is on it twice");
}

static void test_bad_links(void **state)
{
	static const char *const nexts[] = {
		"/v1/users", "/v1/stacks/../users", "", "/v1/stacks?a b", "/v1/stacks>; rel=prev, x"
	};

	for (size_t i = 0; i < ARRAY_SIZE(nexts); i++) {
		ask_again(NULL);
		answer(200, page("a1"), NULL, nexts[i]);
		assert_failed(-EIO,
			      "page 1 of the list: its link to the next page leads nowhere in "
			      "the list");
	}
}

static void test_loops(void **state)
{
	ask(NULL);
	answer(200, page("a1"), NULL, "/v1/stacks");
	assert_failed(-EIO, "page 1 of the list: its link leads back to an earlier page");

	ask_again(NULL);
	answer(200, page("a1"), NULL, "/v1/stacks?p=2");
	answer(200, page("b1"), NULL, "/v1/stacks?p=2");
	assert_failed(-EIO, "page 2 of the list: its link leads back to an earlier page");

	ask_again(NULL);
	answer(200, page("a1"), NULL, "/v1/stacks?p=2");
	answer(200, page("b1"), NULL, "/v1/stacks?p=3");
	answer(200, page("c1"), NULL, "/v1/stacks?p=2");
	assert_failed(-EIO, "page 3 of the list: its link leads back to an earlier page");
}

static void test_no_end_of_pages(void **state)
{
	ask(NULL);
	for (unsigned p = 1; got.times == 0; p++) {
		char next[60];

		assert_true(p <= API_MAX_PAGES);
		snprintf(next, sizeof(next), "/v1/stacks?p=%u", p);
		answer(200, "[]", NULL, next);
	}
	assert_int_equal(fake_api_tries(&f), API_MAX_PAGES);
	assert_failed(-EIO, "page 10000 of the list: there is no end of pages");
}

static void test_depth_is_each_records_own(void **state)
{
	for (int depth = JSON_MAX_DEPTH; depth <= JSON_MAX_DEPTH + 1; depth++) {
		struct buf body = BUF_INIT(10000);

		assert_int_equal(buf_puts(&body, "[{\"_id\":\"000000000000000000000001\",\"x\":"),
				 0);
		for (int i = 1; i < depth; i++)
			assert_int_equal(buf_puts(&body, "["), 0);
		for (int i = 1; i < depth; i++)
			assert_int_equal(buf_puts(&body, "]"), 0);
		assert_int_equal(buf_puts(&body, "}]"), 0);
		ask_again(NULL);
		answer(200, body.data, NULL, NULL);
		assert_int_equal(got.failed, depth > JSON_MAX_DEPTH);
		api_list_unref(got.list);
		got.list = NULL;
		buf_done(&body);
	}
}

static void test_large_bodies(void **state)
{
	size_t len = 3 * 1024 * 1024;
	char *body = calloc(1, len + 1);

	assert_non_null(body);
	memset(body, '[', len);
	ask_again(NULL);
	answer(200, body, NULL, NULL);
	assert_failed(-EIO, "page 1 of the list: not JSON: nested too deep at line 1, column 102");

	memset(body, 'x', len);
	memcpy(body, "[{\"_id\":\"000000000000000000000001\",\"name\":\"", 43);
	memcpy(body + len - 3, "\"}]", 3);
	ask_again(NULL);
	answer(200, body, NULL, NULL);
	assert_failed(-EIO, "page 1 of the list: stack 1: larger than 1048576 bytes");
	free(body);
}

static void test_shutdown(void **state)
{
	ask(NULL);
	answer(200, page("a1"), NULL, "/v1/stacks?p=2");
	http_free(f.http);
	f.http = NULL;
	assert_int_equal(got.times, 1);
	assert_int_equal(got.error.err, -ECANCELED);
}

/* ---- an _id on two pages ---- */

static void test_the_later_one_counts(void **state)
{
	ask(NULL);
	answer(200, page("a1 b1 c1"), "\"1\"", "/v1/stacks?p=2");
	answer(200, page("c2 d1"), "\"2\"", "/v1/stacks?p=3");
	answer(200, page("a3"), "\"3\"", NULL);
	assert_string_equal(shown(got.list), "b1 | c2 d1 | a3 ");
	/* The first page is not what its ETag stands for any more. */
	assert_null(got.list->pages[0].etag);
	assert_string_equal(got.list->pages[1].etag, "\"2\"");
}

/* Had the first page kept its ETag, a would be lost here. */
static void test_what_drifted_is_not_renewed(void **state)
{
	ask(NULL);
	answer(200, page("a1 b1 d1 e1"), "\"1\"", "/v1/stacks?p=2");
	answer(200, page("a1 c1"), "\"2\"", NULL);
	assert_string_equal(shown(got.list), "b1 d1 e1 | a1 c1 ");

	CLEANUP(api_list_unrefp) struct api_list *old = got.list;
	ask_again(old);
	assert_null(fake_api_request(&f, 2)->if_none_match);
	answer(200, page("a1 b1"), "\"1\"", "/v1/stacks?p=2");
	assert_string_equal(fake_api_request(&f, 3)->if_none_match, "\"2\"");
	answer(200, page("c1"), "\"2b\"", NULL);
	assert_string_equal(shown(got.list), "a1 b1 | c1 ");
	assert_string_equal(got.list->pages[0].etag, "\"1\"");
}

/* Every page is the same hundred: only the last one stays. */
static void test_many_repeated(void **state)
{
	struct buf body = BUF_INIT(100000);

	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(buf_printf(&body, "%s{\"_id\":\"%024x\"}", i ? "," : "[", 99 - i),
				 0);
	assert_int_equal(buf_puts(&body, "]"), 0);
	ask(NULL);
	for (unsigned p = 1; p <= 50; p++) {
		char next[60];

		snprintf(next, sizeof(next), "/v1/stacks?p=%u", p);
		answer(200, body.data, NULL, p < 50 ? next : NULL);
	}
	assert_int_equal(got.list->n_records, 100);
	assert_int_equal(got.list->n_pages, 50);
	assert_int_equal(got.pages, 50);
	for (size_t p = 0; p < 50; p++)
		assert_int_equal(got.list->pages[p].first, 0);
	buf_done(&body);
}

/* ---- with a list from before ---- */

static struct api_list *three_pages(void)
{
	ask(NULL);
	answer(200, page("a1 b1"), "\"1\"", "/v1/stacks?p=2");
	answer(200, page("c1 d1"), "\"2\"", "/v1/stacks?p=3");
	answer(200, page("e1"), "\"3\"", NULL);
	assert_string_equal(shown(got.list), "a1 b1 | c1 d1 | e1 ");
	return got.list;
}

static void test_all_not_modified(void **state)
{
	CLEANUP(api_list_unrefp) struct api_list *old = three_pages();
	size_t before = fake_api_tries(&f);

	fake_api_advance(&f, 1000);
	ask_again(old);
	assert_string_equal(fake_api_request(&f, before)->if_none_match, "\"1\"");
	answer(304, NULL, NULL, NULL);
	assert_int_equal(got.first_pages, 1);
	assert_string_equal(fake_api_request(&f, before + 1)->if_none_match, "\"2\"");
	assert_string_equal(fake_api_request(&f, before + 1)->target, "/v1/stacks?p=2");
	answer(304, NULL, "\"2b\"", NULL);
	answer(304, NULL, NULL, NULL);
	assert_string_equal(shown(got.list), "a1 b1 | c1 d1 | e1 ");
	for (size_t i = 0; i < 5; i++)
		assert_ptr_equal(got.list->records[i], old->records[i]);
	assert_string_equal(got.list->pages[0].etag, "\"1\"");
	assert_string_equal(got.list->pages[1].etag, "\"2b\"");
	assert_int_equal(got.list->pages[0].began_ms, 1001000);
}

static void test_one_page_modified(void **state)
{
	CLEANUP(api_list_unrefp) struct api_list *old = three_pages();

	ask_again(old);
	answer(304, NULL, NULL, NULL);
	answer(200, page("c1 d2"), "\"2b\"", "/v1/stacks?p=3");
	answer(304, NULL, NULL, NULL);
	assert_string_equal(shown(got.list), "a1 b1 | c1 d2 | e1 ");
	assert_ptr_equal(got.list->records[2], old->records[2]);
	assert_ptr_not_equal(got.list->records[3], old->records[3]);
	assert_ptr_equal(got.list->records[4], old->records[4]);
}

/* Cursors that moved: the ETag of another target is not sent. */
static void test_other_targets(void **state)
{
	CLEANUP(api_list_unrefp) struct api_list *old = three_pages();
	size_t before = fake_api_tries(&f);

	ask_again(old);
	answer(200, page("a1 b1 x1"), "\"1b\"", "/v1/stacks?p=2b");
	assert_null(fake_api_request(&f, before + 1)->if_none_match);
	answer(200, page("c1"), "\"2b\"", "/v1/stacks?p=3");
	assert_string_equal(fake_api_request(&f, before + 2)->if_none_match, "\"3\"");
	answer(304, NULL, NULL, "/v1/stacks?p=4");
	assert_null(fake_api_request(&f, before + 3)->if_none_match);
	answer(200, page("f1"), NULL, NULL);
	assert_string_equal(shown(got.list), "a1 b1 x1 | c1 | e1 | f1 ");
	assert_ptr_equal(got.list->records[3], old->records[2]);
}

/* A page that was the last has a successor now: its text, and so its ETag, is
 * the same, but the Link beside the 304 is new. */
static void test_link_beside_a_304(void **state)
{
	CLEANUP(api_list_unrefp) struct api_list *old = three_pages();

	ask_again(old);
	answer(304, NULL, NULL, NULL);
	answer(304, NULL, NULL, NULL);
	answer(304, NULL, NULL, "/v1/stacks?p=4");
	answer(200, page("f1"), "\"4\"", NULL);
	assert_string_equal(shown(got.list), "a1 b1 | c1 d1 | e1 | f1 ");
}

/* The Link may be missing beside a 304: whether there is another page behind one
 * that is full, and was the last, only the page itself tells. */
static void test_a_full_last_page_is_asked_for_whole(void **state)
{
	ask(NULL);
	answer(200, page("a1"), "\"1\"", NULL);
	CLEANUP(api_list_unrefp) struct api_list *one = got.list;
	size_t before = fake_api_tries(&f);

	ask_again(one);
	assert_null(fake_api_request(&f, before)->if_none_match);
	answer(200, page("a1"), "\"1\"", "/v1/stacks?p=2");
	answer(200, page("b1"), "\"2\"", NULL);
	assert_string_equal(shown(got.list), "a1 | b1 ");

	CLEANUP(api_list_unrefp) struct api_list *two = got.list;
	before = fake_api_tries(&f);
	ask_again(two);
	assert_string_equal(fake_api_request(&f, before)->if_none_match, "\"1\"");
	answer(304, NULL, NULL, NULL);
	assert_null(fake_api_request(&f, before + 1)->if_none_match);
	answer(200, page("b1"), "\"2\"", "/v1/stacks?p=3");
	answer(200, page("c1"), "\"3\"", NULL);
	assert_string_equal(shown(got.list), "a1 | b1 | c1 ");
}

static void test_pages_without_etag(void **state)
{
	ask(NULL);
	answer(200, page("a1 b1"), NULL, NULL);
	CLEANUP(api_list_unrefp) struct api_list *old = got.list;

	ask_again(old);
	assert_null(fake_api_request(&f, 1)->if_none_match);
	answer(304, NULL, NULL, NULL);
	assert_failed(-EIO, "unexpected status 304");
}

/* Wherever a record went, it is shared if it is the same text. */
static void test_sharing(void **state)
{
	ask(NULL);
	answer(200, page("a1 b1 c1 d1 e1 f1"), NULL, NULL);
	CLEANUP(api_list_unrefp) struct api_list *old = got.list;

	ask_again(old);
	answer(200, page("f1 x1 a1 c1 d2 e1 b1"), NULL, NULL);
	static const int from[] = { 5, -1, 0, 2, -1, 4, 1 };
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		bool shared = false;

		for (size_t k = 0; k < 6; k++)
			shared = shared || got.list->records[i] == old->records[k];
		assert_int_equal(shared, from[i] >= 0);
		if (from[i] >= 0)
			assert_ptr_equal(got.list->records[i], old->records[from[i]]);
	}
}

static void test_the_old_list_outlives_its_owner(void **state)
{
	struct api_list *old = three_pages();

	ask_again(old);
	api_list_unref(old);
	answer(304, NULL, NULL, NULL);
	answer(304, NULL, NULL, NULL);
	answer(200, page("e1 f1"), NULL, NULL);
	assert_string_equal(shown(got.list), "a1 b1 | c1 d1 | e1 f1 ");
}

/* ---- size ---- */

static void append_stacks(struct buf *body, unsigned from, unsigned n)
{
	body->len = 0;
	for (unsigned i = from; i < from + n; i++)
		assert_int_equal(buf_printf(body,
					    "%s{\"_id\":\"%024x\",\"name\":\"stack number "
					    "%u\",\"type\":\"server\","
					    "\"framework\":\"twoDotZero\",\"server\":{"
					    "\"systemToken\":\"******\","
					    "\"hostURI\":\"https://stack-%u.example.com/"
					    "api\",\"ipRanges\":[\"10.0.0.0/8\","
					    "\"192.168.0.0/16\",\"172.16.0.0/12\"]},\"createdAt\":"
					    "\"2024-02-29T12:34:56.789Z\",\"lastModified\":\"2024-"
					    "03-01T00:00:00.000Z\","
					    "\"description\":\"%0300d\"}",
					    i > from ? "," : "[", i, i, i, (int)i),
				 0);
	assert_int_equal(buf_puts(body, "]"), 0);
}

/* Two lists of N_MANY; generous, for sanitizers, but nothing quadratic passes. */
#define N_MANY 20000

static void test_many_stacks(void **state)
{
	struct buf body = BUF_INIT(1024 * 1024);
	struct api_list *old = NULL;

	for (int round = 0; round < 2; round++) {
		double spent = 0;

		ask_again(old);
		for (unsigned p = 0; p < N_MANY / 100; p++) {
			char next[60];

			append_stacks(&body, p * 100, 100);
			snprintf(next, sizeof(next), "/v1/stacks?p=%u", p + 1);
			clock_t began = clock();
			answer(200, body.data, NULL, p + 1 < N_MANY / 100 ? next : NULL);
			spent += (double)(clock() - began) / CLOCKS_PER_SEC;
		}
		assert_int_equal(got.list->n_records, N_MANY);
		assert_true(spent < 20);
		if (old)
			assert_ptr_equal(got.list->records[N_MANY - 1], old->records[N_MANY - 1]);
		api_list_unref(old);
		old = got.list;
	}
	buf_done(&body);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_one_page),
		TEST(test_several_pages),
		TEST(test_no_stacks),
		TEST(test_link_is_relative_to_the_base),
		TEST(test_a_page_is_asked_again),
		TEST(test_refused),
		TEST(test_unreadable),
		TEST(test_unreadable_in_the_middle),
		TEST(test_same_id_twice_on_a_later_page),
		TEST(test_bad_links),
		TEST(test_loops),
		TEST(test_no_end_of_pages),
		TEST(test_depth_is_each_records_own),
		TEST(test_large_bodies),
		TEST(test_shutdown),
		TEST(test_the_later_one_counts),
		TEST(test_what_drifted_is_not_renewed),
		TEST(test_many_repeated),
		TEST(test_all_not_modified),
		TEST(test_one_page_modified),
		TEST(test_other_targets),
		TEST(test_link_beside_a_304),
		TEST(test_a_full_last_page_is_asked_for_whole),
		TEST(test_pages_without_etag),
		TEST(test_sharing),
		TEST(test_the_old_list_outlives_its_owner),
		TEST(test_many_stacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
