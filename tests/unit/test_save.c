/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "archive_world.h"
#include "save_world.h"

/* ---- refused without a request ---- */

static void test_refused_without_a_request(void **state)
{
	static const struct {
		const char *text, *message, *field;
	} cases[] = {
		{ "{\"a\":1", "line 1, column 7: ", "" },
		{ "", "line 1, column 1: ", "" },
		{ "{\n \"a\": 1\n \"b\": 2}", "line 3, column 2: a comma or '}' is missing", "" },
		{ "[]", "line 1, column 1: not a JSON object", "" },
		{ "{\"a\":1,\"a\":2}", "line 1, column 8: ", "" },
		{ "{\"_id\":\"600000000000000000000002\"}", "the _id is that of another stack: two",
		  "_id" },
		{ "{\"_id\":\"60000000000000000000001\"}", "the _id is none", "_id" },
		{ "{\"_id\":5}", "the _id is none", "_id" },
		{ "{\"lastModified\":5}", "lastModified is no string", "lastModified" },
		{ "{\"name\":[]}", "name is no string", "name" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		save(cases[i].text);
		expect_failure(-EBADMSG, cases[i].message);
		assert_string_equal(sw.last.error.field, cases[i].field);
		assert_false(sw.last.sent || sw.last.conflict || sw.last.unsettled);
	}
}

static void test_too_long_is_refused(void **state)
{
	char *text = malloc(DOCUMENT_MAX_BYTES + 2);

	assert_non_null(text);
	memset(text, ' ', DOCUMENT_MAX_BYTES + 1);
	text[0] = '{';
	text[DOCUMENT_MAX_BYTES] = '}';
	text[DOCUMENT_MAX_BYTES + 1] = '\0';
	save(text);
	expect_failure(-EFBIG, "1 MiB");
	/* One byte less is asked for. */
	text[DOCUMENT_MAX_BYTES - 1] = '}';
	text[DOCUMENT_MAX_BYTES] = '\0';
	save(text);
	get(json("t1", ""));
	put("{}", json("t2", ""));
	expect_success(true);
	free(text);
}

static void test_merged_text_keeps_the_limit(void **state)
{
	const size_t half = DOCUMENT_MAX_BYTES / 2;
	CLEANUP(buf_done) struct buf text = BUF_INIT(DOCUMENT_MAX_BYTES);
	CLEANUP(buf_done) struct buf theirs = BUF_INIT(DOCUMENT_MAX_BYTES);
	char *x = malloc(half + 1);

	assert_non_null(x);
	memset(x, 'x', half);
	x[half] = '\0';
	assert_int_equal(buf_printf(&text, "{\"lastModified\":\"t1\",\"x\":\"%s\"}", x), 0);
	assert_int_equal(buf_printf(&theirs, "{" ONE ",\"lastModified\":\"t2\",\"y\":\"%s\"}", x),
			 0);
	save(text.data);
	get(theirs.data);
	expect_failure(-EFBIG, "1 MiB");
	free(x);
}

static void test_own_and_unknown_ids_are_left_out(void **state)
{
	save("{\"_id\":\"600000000000000000000001\",\"c\":1}");
	get(json("t1", "\"a\":1"));
	put("{\"c\":1}", json("t2", "\"c\":1"));
	expect_success(true);
	save("{\"_id\":\"6000000000000000000000ff\",\"c\":2}");
	get(json("t2", "\"c\":1"));
	put("{\"c\":2}", json("t3", "\"c\":2"));
	expect_success(true);
}

static void test_gone_stack_is_not_asked_for(void **state)
{
	monitor_enter(sw.a.monitor);
	store_take_gone(sw.a.store, sw.one);
	monitor_leave(sw.a.monitor);
	save(json("t1", "\"a\":2"));
	expect_failure(-ENOENT, "the stack was deleted");
	rename_to("x");
	expect_failure(-ENOENT, "the stack was deleted");
}

/* ---- one writer ---- */

static void test_equal_is_not_sent(void **state)
{
	save("{ \"name\":\"o\\u006ee\", \"type\":\"server\", \"b\":1.0, \"a\":1 }");
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_success(false);
	/* In the first try's record, in one that has changed to it meanwhile. */
	save(json("t1", "\"a\":1,\"b\":2"));
	get(json("t2", "\"a\":1,\"b\":2"));
	expect_success(false);
	assert_string_equal(shown(), json("t2", "\"a\":1,\"b\":2"));
}

static void test_sent_as_it_was_written(void **state)
{
	save("{\n\t\"_id\": \"600000000000000000000001\", \"lastModified\": \"t1\",\n"
	     "\t\"name\": \"o\\u006ee\", \"createdAt\": 5, \"b\": 1.10, \"a\": 9007199254740993,\n"
	     "\t\"server\": { \"systemToken\": \"x\", \"hostURI\": \"\\/\" }, \"new\": []\n}\n");
	get(json("t1", "\"a\":1,\"b\":1"));
	put("{\"name\":\"o\\u006ee\",\"b\":1.10,\"a\":9007199254740993,"
	    "\"server\":{\"hostURI\":\"\\/\"},\"new\":[]}",
	    json("t2", "\"a\":9007199254740993,\"b\":1.1,\"server\":{\"hostURI\":\"https:/\"}"));
	expect_success(true);
	assert_null(fake_transport_try(sw.a.transport, 2)->request.if_match);
	assert_int_equal(sw.last.not_stored.n, 2);
	assert_string_equal(sw.last.not_stored.path[0], "server.hostURI");
	assert_string_equal(sw.last.not_stored.path[1], "new");
	assert_string_equal(shown(), json("t2", "\"a\":9007199254740993,\"b\":1.1,"
						"\"server\":{\"hostURI\":\"https:/\"}"));
}

static void test_removed_fields_are_removed(void **state)
{
	whole_save(&cp, json("t1", "\"b\":1"), json("t1", "\"a\":1,\"b\":1"), PUT_ONE ",\"b\":1}",
		   json("t2", "\"b\":1"));
}

static void test_strong_etags_only(void **state)
{
	static const struct {
		const char *given, *sent;
	} cases[] = {
		{ "\"v1\"", "\"v1\"" },
		{ "W/\"v1\"", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		save(json("t1", "\"a\":2,\"b\":1"));
		expect_get();
		answer_etag(json("t1", "\"a\":1,\"b\":1"), cases[i].given);
		const char *sent = next_request()->if_match;
		assert_int_equal(sent != NULL, cases[i].sent != NULL);
		if (sent)
			assert_string_equal(sent, cases[i].sent);
		answer(422, "{\"errors\":[{\"message\":\"no\"}]}");
		expect_failure(-EBADMSG, "no");
	}
}

/* ---- two writers ---- */

static void test_changes_to_different_fields_are_merged(void **state)
{
	whole_save(&cp, json("t1", "\"a\":2,\"b\":1"), json("t2", "\"a\":1,\"b\":2,\"c\":3"),
		   PUT_ONE ",\"a\":2,\"b\":2,\"c\":3}", json("t3", "\"a\":2,\"b\":2,\"c\":3"));
}

static void test_conflict_names_the_fields(void **state)
{
	save(json("t1", "\"a\":2,\"b\":2"));
	get(json("t2", "\"a\":3,\"b\":3"));
	expect_failure(-EBUSY, "changed by somebody else meanwhile: a, b; reload and make the "
			       "change again, or remove the \"lastModified\" line to overwrite");
	assert_true(sw.last.conflict);
	assert_false(sw.last.sent);
	assert_string_equal(sw.last.error.field, "a");
	/* What the other has made of it is shown. */
	assert_string_equal(shown(), json("t2", "\"a\":3,\"b\":3"));
}

static void test_advice_is_never_cut(void **state)
{
	CLEANUP(buf_done) struct buf mine = BUF_INIT(5000);
	CLEANUP(buf_done) struct buf theirs = BUF_INIT(5000);

	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(buf_printf(&mine, "%s\"a%030u\":1", i ? "," : "", i), 0);
		assert_int_equal(buf_printf(&theirs, "%s\"a%030u\":2", i ? "," : "", i), 0);
	}
	CLEANUP(buf_done) struct buf text = BUF_INIT(9000);
	CLEANUP(buf_done) struct buf record = BUF_INIT(9000);
	assert_int_equal(buf_printf(&text, "{\"lastModified\":\"t1\",%s}", mine.data), 0);
	assert_int_equal(buf_printf(&record, "{" ONE ",\"lastModified\":\"t2\",%s}", theirs.data),
			 0);
	save(text.data);
	get(record.data);
	expect_failure(-EBUSY, "a000000000000000000000000000000, ");
	assert_non_null(strstr(sw.last.error.message, " and 17 more; reload"));
	assert_non_null(strstr(sw.last.error.message, "line to overwrite"));
	save("{\"lastModified\":\"t0\"}");
	get(record.data);
	expect_failure(-EBUSY, " more; reload");
	assert_non_null(strstr(sw.last.error.message, "line to overwrite"));
}

static void test_version_that_is_not_known(void **state)
{
	save(json("t0", "\"b\":1,\"a\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_success(false);
	save_by(&vim, json("t0", "\"a\":1,\"b\":2"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_failure(-EBUSY, "made from a version not known here, it differs in: b; reload");
	assert_true(sw.last.conflict);
}

static void test_no_version_overwrites(void **state)
{
	whole_save(&cp, json("", "\"a\":2"), json("t2", "\"a\":1,\"b\":2"), PUT_ONE ",\"a\":2}",
		   json("t3", "\"a\":2"));
}

static void test_overwrite_never_conflicts(void **state)
{
	sw.changes.overwrite = true;
	whole_save(&cp, json("t1", "\"a\":2,\"b\":1"), json("t2", "\"a\":3,\"b\":3"),
		   PUT_ONE ",\"a\":2,\"b\":1}", json("t3", "\"a\":2,\"b\":1"));
	whole_save(&cp, json("t0", "\"a\":4"), json("t3", "\"a\":2,\"b\":1"), PUT_ONE ",\"a\":4}",
		   json("t4", "\"a\":4"));
}

static void test_undo_of_own_saves(void **state)
{
	const char *first = json("t1", "\"a\":1,\"b\":1"), *third = json("t3", "\"a\":3,\"b\":1");

	whole_save(&cp, json("t1", "\"a\":2,\"b\":1"), first, PUT_ONE ",\"a\":2,\"b\":1}",
		   json("t2", "\"a\":2,\"b\":1"));
	whole_save(&cp, json("t2", "\"a\":3,\"b\":1"), json("t2", "\"a\":2,\"b\":1"),
		   PUT_ONE ",\"a\":3,\"b\":1}", third);
	whole_save(&git, first, third, PUT_ONE ",\"a\":1,\"b\":1}", json("t4", "\"a\":1,\"b\":1"));
}

static void test_undo_leaves_what_a_colleague_did(void **state)
{
	const char *first = json("t1", "\"a\":1,\"b\":1");

	whole_save(&cp, json("t1", "\"a\":2,\"b\":1"), first, PUT_ONE ",\"a\":2,\"b\":1}",
		   json("t2", "\"a\":2,\"b\":1"));
	whole_save(&git, first, json("t3", "\"a\":2,\"b\":3"), PUT_ONE ",\"a\":1,\"b\":3}",
		   json("t4", "\"a\":1,\"b\":3"));
}

static void test_old_file_put_back_after_a_conflict_sends_nothing(void **state)
{
	save_by(&vim, json("t1", "\"a\":2,\"b\":1"));
	get(json("t2", "\"a\":3,\"b\":1"));
	expect_failure(-EBUSY, ": a;");
	save_by(&vim, json("t1", "\"a\":1,\"b\":1"));
	get(json("t2", "\"a\":3,\"b\":1"));
	expect_success(false);
}

/* history has what the record was before it: with the colleague's change. */
static void test_undo_of_a_merged_save(void **state)
{
	const char *before = json("t2", "\"a\":1,\"b\":2");

	whole_save(&cp, json("t1", "\"a\":2,\"b\":1"), before, PUT_ONE ",\"a\":2,\"b\":2}",
		   json("t3", "\"a\":2,\"b\":2"));
	whole_save(&git, before, json("t3", "\"a\":2,\"b\":2"), PUT_ONE ",\"a\":1,\"b\":2}",
		   json("t4", "\"a\":1,\"b\":2"));
	/* Further back is beyond that change. */
	fake_account_advance(&sw.a, 1);
	save_by(&git, json("t1", "\"a\":1,\"b\":1"));
	get(json("t4", "\"a\":1,\"b\":2"));
	expect_success(false);
}

static void test_one_buffer_saved_again_and_again(void **state)
{
	whole_save(&vim, json("t1", "\"a\":2,\"b\":1"), json("t1", "\"a\":1,\"b\":1"),
		   PUT_ONE ",\"a\":2,\"b\":1}", json("t2", "\"a\":2,\"b\":1"));
	/* A colleague's change is merged, though the buffer does not know of it ... */
	whole_save(&vim, json("t1", "\"a\":3,\"b\":1"), json("t3", "\"a\":2,\"b\":3"),
		   PUT_ONE ",\"a\":3,\"b\":3}", json("t4", "\"a\":3,\"b\":3"));
	whole_save(&vim, json("t1", "\"a\":4,\"b\":1"), json("t4", "\"a\":3,\"b\":3"),
		   PUT_ONE ",\"a\":4,\"b\":3}", json("t5", "\"a\":4,\"b\":3"));
	/* ... and undone to what it was at first. */
	whole_save(&vim, json("t1", "\"a\":1,\"b\":1"), json("t5", "\"a\":4,\"b\":3"),
		   PUT_ONE ",\"a\":1,\"b\":3}", json("t6", "\"a\":1,\"b\":3"));
	/* Another program that still has it has seen none of that. */
	fake_account_advance(&sw.a, 1);
	save_by(&cp, json("t1", "\"a\":9,\"b\":1"));
	get(json("t6", "\"a\":5,\"b\":3"));
	expect_failure(-EBUSY, ": a;");
}

static void test_undo_of_what_a_colleague_did_too(void **state)
{
	save_by(&vim, json("t1", "\"a\":2,\"b\":1"));
	get(json("t2", "\"a\":2,\"b\":1"));
	expect_success(false);
	whole_save(&vim, json("t1", "\"a\":1,\"b\":1"), json("t2", "\"a\":2,\"b\":1"),
		   PUT_ONE ",\"a\":1,\"b\":1}", json("t3", "\"a\":1,\"b\":1"));
}

/* ---- masks ---- */

static void test_masks_are_not_sent(void **state)
{
	const char *record = json("t1", "\"lambda\":{\"id\":1,\"secretAccessKey\":" MASK "},"
					"\"x\":{\"pin\":" MASK "},\"n\":1");

	whole_save(&cp,
		   json("t1", "\"lambda\":{\"id\":1,\"secretAccessKey\":" MASK "},"
			      "\"x\":{\"pin\":" MASK "},\"n\":2"),
		   record, PUT_ONE ",\"lambda\":{\"id\":1},\"x\":{},\"n\":2}", record);
}

static void test_mask_in_a_changed_element_is_refused(void **state)
{
	const char *record = json("t1", "\"k\":[{\"s\":" MASK ",\"u\":1}]");

	save(json("t1", "\"k\":[{\"s\":" MASK ",\"u\":2}]"));
	get(record);
	expect_failure(-EBADMSG, "where a secret has to be: k[0].s; write the secret itself");
	assert_string_equal(sw.last.error.field, "k[0].s");
	assert_false(sw.last.conflict);
	/* But one that was not changed: without asking after masks, or left out. */
	save(record);
	get(record);
	expect_success(false);
	save(json("t1", "\"k\":[{\"s\":" MASK ",\"u\":1}],\"n\":1"));
	get(record);
	put(PUT_ONE ",\"k\":[{\"u\":1}],\"n\":1}", record);
}

/* The text shows what a version had that somebody has changed since. */
static void test_mask_of_an_earlier_version_is_not_sent(void **state)
{
	save(json("t1", "\"a\":1,\"b\":1"));
	get(json("t2", "\"x\":{\"pin\":" MASK "},\"n\":1"));
	expect_success(false);
	fake_account_advance(&sw.a, 1);
	save_by(&vim, json("t2", "\"x\":{\"pin\":" MASK "},\"n\":2"));
	get(json("t3", "\"x\":{},\"n\":1"));
	put(PUT_ONE ",\"x\":{},\"n\":2}", json("t4", "\"x\":{},\"n\":2"));
	expect_success(true);
	/* The same buffer again. */
	whole_save(&vim, json("t2", "\"x\":{\"pin\":" MASK "},\"n\":3"),
		   json("t4", "\"x\":{},\"n\":2"), PUT_ONE ",\"x\":{},\"n\":3}",
		   json("t5", "\"x\":{},\"n\":3"));
}

static void test_new_secret_is_stored(void **state)
{
	const char *shows = "\"lambda\":{\"secretAccessKey\":" MASK "},\"n\":1";

	whole_save(&vim, json("t1", "\"lambda\":{\"secretAccessKey\":\"new\"},\"n\":1"),
		   json("t1", shows), PUT_ONE ",\"lambda\":{\"secretAccessKey\":\"new\"},\"n\":1}",
		   json("t2", shows));
	assert_int_equal(sw.last.not_stored.n, 0);
	/* The buffer still has it: it stays at the server. */
	whole_save(&vim, json("t1", "\"lambda\":{\"secretAccessKey\":\"new\"},\"n\":2"),
		   json("t2", shows), PUT_ONE ",\"lambda\":{},\"n\":2}", json("t3", shows));
	/* A lost answer: nothing tells. */
	save_by(&vim, json("t3", "\"lambda\":{\"secretAccessKey\":\"newer\"},\"n\":1"));
	get(json("t3", shows));
	expect_put(PUT_ONE ",\"lambda\":{\"secretAccessKey\":\"newer\"},\"n\":1}");
	lose_answer(-EPROTO);
	get(json("t4", shows));
	expect_failure(-ETIMEDOUT, "may have been stored");
	assert_true(sw.last.sent && sw.last.unsettled);
}

/* One buffer, saved again and again: it names t1, and has what was typed. */
static void test_a_new_secret_is_corrected(void **state)
{
	const char *shows = "\"lambda\":{\"secretAccessKey\":" MASK "},\"n\":1";

	whole_save(&vim, json("t1", "\"lambda\":{\"secretAccessKey\":\"first\"},\"n\":1"),
		   json("t1", shows), PUT_ONE ",\"lambda\":{\"secretAccessKey\":\"first\"},\"n\":1}",
		   json("t2", shows));
	whole_save(&vim, json("t1", "\"lambda\":{\"secretAccessKey\":\"second\"},\"n\":1"),
		   json("t2", shows), PUT_ONE ",\"lambda\":{\"secretAccessKey\":\"second\"},\"n\":1}",
		   json("t3", shows));
	whole_save(&vim, json("t1", "\"lambda\":{\"secretAccessKey\":\"second\"},\"n\":2"),
		   json("t3", shows), PUT_ONE ",\"lambda\":{},\"n\":2}", json("t4", shows));
}

/* The server writes a otherwise, leaves out b and adds c: nobody has changed these. */
static void test_what_the_server_makes_of_a_text_is_nobodys_change(void **state)
{
	whole_save(&vim, json("t1", "\"a\":\"X\",\"b\":2"), json("t1", "\"a\":1,\"b\":1"),
		   PUT_ONE ",\"a\":\"X\",\"b\":2}", json("t2", "\"a\":\"x\",\"c\":0"));
	/* The buffer as it was: there is nothing to send. */
	save_by(&vim, json("t1", "\"b\":2,\"a\":\"X\""));
	get(json("t2", "\"a\":\"x\",\"c\":0"));
	expect_success(false);
	whole_save(&vim, json("t1", "\"a\":\"Y\",\"b\":2"), json("t2", "\"a\":\"x\",\"c\":0"),
		   PUT_ONE ",\"a\":\"Y\",\"c\":0}", json("t3", "\"a\":\"y\",\"c\":0"));
	whole_save(&vim, json("t1", "\"a\":\"Y\",\"b\":3,\"c\":1"),
		   json("t3", "\"a\":\"y\",\"c\":0"), PUT_ONE ",\"a\":\"y\",\"b\":3,\"c\":1}",
		   json("t4", "\"a\":\"y\",\"c\":1"));
}

/* What a colleague had changed, and was merged into what was sent, is not in the buffer: to change
 * that is a conflict, also after the save. */
static void test_what_was_merged_is_still_anothers(void **state)
{
	whole_save(&vim, json("t1", "\"a\":\"X\",\"b\":1"), json("t2", "\"a\":1,\"b\":5"),
		   PUT_ONE ",\"a\":\"X\",\"b\":5}", json("t3", "\"a\":\"x\",\"b\":5"));
	save_by(&vim, json("t1", "\"a\":\"X\",\"b\":2"));
	get(json("t3", "\"a\":\"x\",\"b\":5"));
	expect_failure(-EBUSY, "b");
}

/* ---- beside the request ---- */

static void test_dry_run(void **state)
{
	sw.changes.dry_run = true;
	save(json("t1", "\"a\":2,\"lambda\":{\"accessKeyId\":\"id\",\"secretAccessKey\":\"new\","
			"\"n\":5},\"apiKey\":{\"x\":[1,\"s\",true]}"));
	get(json("t2", "\"a\":1,\"b\":1,\"c\":1"));
	expect_failure(-EROFS, "dry_run");
	assert_string_equal(sw.last.would_send,
			    "PUT /v1/stacks/600000000000000000000001 " PUT_ONE
			    ",\"a\":2,\"lambda\":{\"accessKeyId\":\"id\",\"secretAccessKey\":" MASK
			    ",\"n\":5},\"apiKey\":{\"x\":[" MASK "," MASK ",true]},\"c\":1}");
	assert_false(sw.last.sent);
	/* What would not be sent anyway, and what would be refused. */
	save(json("t2", "\"a\":1,\"b\":1,\"c\":1"));
	get(json("t2", "\"a\":1,\"b\":1,\"c\":1"));
	expect_success(false);
	save(json("t2", "\"a\":2,\"b\":1,\"c\":1"));
	get(json("t3", "\"a\":3,\"b\":1,\"c\":1"));
	expect_failure(-EBUSY, ": a;");
	rename_to("x");
	get(json("t3", "\"a\":3"));
	expect_failure(-EROFS, "dry_run");
}

static int files_of_one(char *first, size_t size)
{
	DIR *d = opendir(path_of("state/history/one"));
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		snprintf(first, size, "%s", path_of("state/history/one/%s", e->d_name));
	}
	if (d)
		closedir(d);
	return n;
}

static void test_history(void **state)
{
	char path[2 * PATH_MAX] = "";

	save(json("t1", "\"a\":1,\"b\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_success(false);
	flush(sw.changes.archive);
	assert_int_equal(files_of_one(path, sizeof(path)), 0);
	save(json("t1", "\"a\":2,\"b\":1"));
	get(json("t2", "\"a\":1,\"b\":2"));
	flush(sw.changes.archive); /* before the answer comes */
	assert_int_equal(files_of_one(path, sizeof(path)), 1);
	assert_true(has_content(path, "{\n  \"_id\": \"600000000000000000000001\",\n"
				      "  \"name\": \"one\",\n  \"type\": \"server\",\n"
				      "  \"lastModified\": \"t2\",\n  \"a\": 1,\n  \"b\": 2\n}\n"));
	put(PUT_ONE ",\"a\":2,\"b\":2}", json("t3", "\"a\":2,\"b\":2"));
	expect_success(true);
}

static void test_dry_run_keeps_no_history(void **state)
{
	char path[2 * PATH_MAX];

	sw.changes.dry_run = true;
	save(json("t1", "\"a\":2,\"b\":1"));
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_failure(-EROFS, "dry_run");
	flush(sw.changes.archive);
	assert_int_equal(files_of_one(path, sizeof(path)), 0);
}

/* ---- another name ---- */

static void test_name(void **state)
{
	rename_to("a \"b\"");
	get(json("t2", "\"a\":1,\"server\":{\"systemToken\":" MASK "}"));
	put("{\"name\":\"a \\\"b\\\"\",\"type\":\"server\",\"a\":1,\"server\":{}}",
	    "{\"_id\":\"600000000000000000000001\",\"name\":\"a \\\"b\\\"\",\"type\":\"server\","
	    "\"a\":1,\"server\":{\"systemToken\":" MASK "}}");
	expect_success(true);
	assert_string_equal(tree_dir(sw.one)->name, "a \"b\"");
	assert_int_equal(sw.last.not_stored.n, 0);
}

static void test_equal_name_is_not_sent(void **state)
{
	rename_to("one");
	get(json("t2", "\"a\":2"));
	expect_success(false);
}

static void test_name_that_is_no_utf8(void **state)
{
	rename_to("\xff");
	get(json("t1", "\"a\":1,\"b\":1"));
	expect_failure(-EBADMSG, "not UTF-8");
}

static void test_name_is_tried_again_on_what_is_there_then(void **state)
{
	rename_to("two");
	get(json("t1", "\"a\":1"));
	expect_put("{\"name\":\"two\",\"type\":\"server\",\"a\":1}");
	answer(502, "");
	wait_for_request();
	get(json("t2", "\"a\":2"));
	put("{\"name\":\"two\",\"type\":\"server\",\"a\":2}",
	    "{\"_id\":\"600000000000000000000001\",\"name\":\"two\",\"type\":\"server\",\"a\":2}");
	expect_success(true);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, save_world_setup, save_world_teardown)
#define TEST_ARCHIVE(fn)                                                                           \
	cmocka_unit_test_setup_teardown(fn, save_world_setup_archive, save_world_teardown_archive)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_refused_without_a_request),
		TEST(test_too_long_is_refused),
		TEST(test_merged_text_keeps_the_limit),
		TEST(test_own_and_unknown_ids_are_left_out),
		TEST(test_gone_stack_is_not_asked_for),
		TEST(test_equal_is_not_sent),
		TEST(test_sent_as_it_was_written),
		TEST(test_removed_fields_are_removed),
		TEST(test_strong_etags_only),
		TEST(test_changes_to_different_fields_are_merged),
		TEST(test_conflict_names_the_fields),
		TEST(test_advice_is_never_cut),
		TEST(test_version_that_is_not_known),
		TEST(test_no_version_overwrites),
		TEST(test_overwrite_never_conflicts),
		TEST(test_undo_of_own_saves),
		TEST(test_undo_leaves_what_a_colleague_did),
		TEST(test_old_file_put_back_after_a_conflict_sends_nothing),
		TEST(test_undo_of_a_merged_save),
		TEST(test_one_buffer_saved_again_and_again),
		TEST(test_undo_of_what_a_colleague_did_too),
		TEST(test_masks_are_not_sent),
		TEST(test_mask_in_a_changed_element_is_refused),
		TEST(test_mask_of_an_earlier_version_is_not_sent),
		TEST(test_new_secret_is_stored),
		TEST(test_a_new_secret_is_corrected),
		TEST(test_what_the_server_makes_of_a_text_is_nobodys_change),
		TEST(test_what_was_merged_is_still_anothers),
		TEST(test_dry_run),
		TEST_ARCHIVE(test_history),
		TEST_ARCHIVE(test_dry_run_keeps_no_history),
		TEST(test_name),
		TEST(test_equal_name_is_not_sent),
		TEST(test_name_that_is_no_utf8),
		TEST(test_name_is_tried_again_on_what_is_there_then),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
