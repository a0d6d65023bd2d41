/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "draft/versions.h"

#define N_STACKS 64

static struct versions *versions;
static struct stack stacks[N_STACKS]; /* as store would show them */

static const struct process vim = { .pid = 10, .start = 1, .comm = "vim" };
static const struct process other = { .pid = 11, .start = 1, .comm = "other" };
static const struct process nobody;

static struct document doc(const char *text)
{
	return (struct document){ text, strlen(text) };
}

static int setup(void **state)
{
	memset(stacks, 0, sizeof(stacks));
	for (unsigned i = 0; i < N_STACKS; i++)
		stacks[i].id.bytes[11] = (uint8_t)i;
	return versions_new(&versions);
}

static int teardown(void **state)
{
	versions_free(versions);
	for (unsigned i = 0; i < N_STACKS; i++)
		record_unref(stacks[i].record);
	return 0;
}

/* modified: "" for none; fields: "\"a\":1", or "". */
static struct buf text(const char *modified, const char *fields)
{
	struct buf out = BUF_INIT(DOCUMENT_MAX_BYTES);
	int r = buf_printf(&out, "{\"_id\":\"000000000000000000000000\"");

	if (modified[0])
		r |= buf_printf(&out, ",\"lastModified\":\"%s\"", modified);
	if (fields[0])
		r |= buf_printf(&out, ",%s", fields);
	r |= buf_puts(&out, "}");
	assert_int_equal(r, 0);
	return out;
}

static struct record *record(const char *modified, const char *fields)
{
	CLEANUP(buf_done) struct buf json = text(modified, fields);
	struct record *ret;
	char why[100];

	assert_int_equal(record_parse(json.data, json.len, &ret, why, sizeof(why)), 0);
	return ret;
}

/* The stack is another one now; by a save of this mount, or not. */
static void becomes(unsigned i, const char *modified, const char *fields, bool plainly)
{
	CLEANUP(record_unrefp) struct record *old = stacks[i].record;

	stacks[i].record = record(modified, fields);
	if (!old)
		return;
	versions_replaced(versions, &stacks[i], old);
	if (plainly)
		versions_replaced_plainly(versions, &stacks[i], old, &other);
}

static void saved(unsigned i, const struct process *who, const char *modified, const char *body)
{
	versions_saved(versions, &stacks[i], who, doc(body), doc(body), modified,
		       strlen(modified), true);
}

struct found {
	int r;
	enum versions_base base;
	bool shown;
	char body[300];
};

static struct found find_fresh(unsigned i, const struct record *fresh, const struct process *who,
			       const char *modified, const char *fields)
{
	CLEANUP(buf_done) struct buf of = text(modified, fields);
	CLEANUP(buf_wipe) struct buf out = BUF_INIT(DOCUMENT_MAX_BYTES);
	CLEANUP(buf_wipe) struct buf kept = BUF_INIT(DOCUMENT_MAX_BYTES);
	struct found f = { .base = VERSIONS_UNKNOWN };
	const struct record *shown;

	f.r = versions_find(versions, &stacks[i], fresh, who, (struct document){ of.data, of.len },
			    &out, &kept, &shown, &f.base);
	assert_int_equal(f.r, 0);
	assert_true((f.base == VERSIONS_BASE || f.base == VERSIONS_OWN) == (out.len > 0));
	f.shown = shown != NULL;
	snprintf(f.body, sizeof(f.body), "%s", out.data ? out.data : "");
	return f;
}

static struct found find(unsigned i, const struct process *who, const char *modified,
			 const char *fields)
{
	return find_fresh(i, stacks[i].record, who, modified, fields);
}

#define assert_kind_of_base(given, kind, text)                                                     \
	do {                                                                                       \
		struct found f_ = (given);                                                         \
		assert_int_equal(f_.base, kind);                                                   \
		assert_string_equal(f_.body, text);                                                \
	} while (0)
#define assert_base(given, text)     assert_kind_of_base(given, VERSIONS_BASE, text)
#define assert_own_base(given, text) assert_kind_of_base(given, VERSIONS_OWN, text)

static void test_named_version_is_the_base(void **state)
{
	becomes(0, "t1", "\"a\":1", false);
	becomes(0, "t2", "\"a\":2", false);
	becomes(0, "t3", "\"a\":3", false);
	assert_base(find(0, &vim, "t1", "\"a\":9"), "{\"a\":1}");
	assert_base(find(0, &vim, "t2", "\"a\":9"), "{\"a\":2}");
	assert_base(find(0, &vim, "t3", "\"a\":9"), "{\"a\":3}");
	assert_true(find(0, &vim, "t1", "\"a\":9").shown);
}

static void test_escapes_in_the_date_are_none(void **state)
{
	becomes(0, "t\\u0031", "\"a\":1", false);
	becomes(0, "t2", "\"a\":2", false);
	assert_base(find(0, &vim, "\\u00741", "\"a\":9"), "{\"a\":1}");
}

static void test_unknown_and_none(void **state)
{
	becomes(0, "t1", "\"a\":1", false);
	struct found f = find(0, &vim, "t0", "\"a\":9");
	assert_int_equal(f.base, VERSIONS_UNKNOWN);
	assert_false(f.shown);
	f = find(0, &vim, "", "\"a\":9");
	assert_int_equal(f.base, VERSIONS_FRESH);
	f = find(0, &vim, "", "\"lastModified\":null");
	assert_int_equal(f.base, VERSIONS_FRESH);
	/* Nothing names another stack's version. */
	becomes(1, "t0", "\"a\":1", false);
	assert_int_equal(find(0, &vim, "t0", "\"a\":9").base, VERSIONS_UNKNOWN);
}

static void test_fresh_record_counts_as_served(void **state)
{
	becomes(0, "t1", "\"a\":1", true);
	CLEANUP(record_unrefp) struct record *fresh = record("t2", "\"a\":2");

	assert_base(find_fresh(0, fresh, &vim, "t2", "\"a\":9"), "{\"a\":2}");
	assert_base(find_fresh(0, fresh, &vim, "t1", "\"a\":9"), "{\"a\":1}");
	/* What was not seen to come is somebody else's. */
	assert_base(find_fresh(0, fresh, &vim, "t1", "\"a\":1"), "{\"a\":1}");
}

/* ---- an earlier version, as it was ---- */

static void test_earlier_version_is_followed_along_own_saves(void **state)
{
	becomes(0, "t1", "\"a\":1,\"b\":1", false);
	becomes(0, "t2", "\"a\":2,\"b\":1", true);
	becomes(0, "t3", "\"a\":3,\"b\":1", true);
	assert_base(find(0, &vim, "t1", "\"b\":1.0, \"a\":1"), "{\"a\":3,\"b\":1}");
	becomes(0, "t4", "\"a\":3,\"b\":4", false);
	becomes(0, "t5", "\"a\":5,\"b\":4", true);
	assert_base(find(0, &vim, "t1", "\"a\":1,\"b\":1"), "{\"a\":3,\"b\":1}");
	assert_base(find(0, &vim, "t3", "\"a\":3,\"b\":1"), "{\"a\":3,\"b\":1}");
	assert_base(find(0, &vim, "t4", "\"a\":3,\"b\":4"), "{\"a\":5,\"b\":4}");
	/* Not as it was: then it is only a text that names it. */
	assert_base(find(0, &vim, "t1", "\"a\":1,\"b\":2"), "{\"a\":1,\"b\":1}");
	/* Without its date it is none of them. */
	assert_int_equal(find(0, &vim, "", "\"a\":1,\"b\":1").base, VERSIONS_FRESH);
}

/* A save of vim's, of which nobody knows what it has done. */
static void lost_save(const char *body)
{
	versions_unsettled(versions, &stacks[0], stacks[0].record, &vim, doc(body));
}

static void test_a_lost_save_is_known_by_what_it_has_made(void **state)
{
	becomes(0, "t1", "\"a\":1", false);
	lost_save("{\"a\":2}");
	assert_base(find(0, &other, "t1", "\"a\":1"), "{\"a\":1}");
	becomes(0, "t2", "\"a\":2", false);
	assert_base(find(0, &other, "t1", "\"a\":1"), "{\"a\":2}");
	/* What vim puts back is no undo of it, nor is any save of which it knew. */
	versions_refused(versions, &stacks[0], &vim, doc("{\"a\":2}"));
	assert_base(find(0, &vim, "t1", "\"a\":1"), "{\"a\":1}");
	/* It tells of one version only. */
	becomes(0, "t3", "\"a\":2,\"b\":1", false);
	assert_base(find(0, &other, "t1", "\"a\":1"), "{\"a\":2}");
}

static void test_a_lost_save_may_be_anothers(void **state)
{
	becomes(0, "t1", "\"a\":1", false);
	lost_save("{\"a\":2}");
	becomes(0, "t2", "\"a\":2,\"b\":1", false);
	assert_int_equal(find(0, &other, "t1", "\"a\":1").base, VERSIONS_UNSURE);
	assert_base(find(0, &other, "t1", "\"a\":3"), "{\"a\":1}");
	assert_base(find(0, &other, "t2", "\"a\":2,\"b\":1"), "{\"a\":2,\"b\":1}");
	/* Which an editor undoes no more than any other's. */
	versions_refused(versions, &stacks[0], &vim, doc("{\"a\":2}"));
	assert_base(find(0, &vim, "t1", "\"a\":1"), "{\"a\":1}");
	/* An answered save of the same version tells more. */
	becomes(0, "t4", "\"a\":4", false);
	lost_save("{\"a\":5}");
	becomes(0, "t6", "\"a\":6", true);
	assert_base(find(0, &other, "t4", "\"a\":4"), "{\"a\":6}");
}

/* It came while nobody knew yet that the save was lost. */
static void test_a_list_shows_what_became_of_a_lost_save(void **state)
{
	CLEANUP(record_unrefp) struct record *from = NULL;

	becomes(0, "t1", "\"a\":1", false);
	from = record_ref(stacks[0].record);
	becomes(0, "t2", "\"a\":2", false);
	versions_unsettled(versions, &stacks[0], from, &vim, doc("{\"a\":2}"));
	assert_base(find(0, &other, "t1", "\"a\":1"), "{\"a\":2}");
	/* It tells of that version only. */
	becomes(0, "t3", "\"a\":3", false);
	assert_base(find(0, &other, "t2", "\"a\":2"), "{\"a\":2}");
}

static void test_only_the_last_one_was_replaced_plainly(void **state)
{
	becomes(0, "t1", "\"a\":1", false);
	CLEANUP(record_unrefp) struct record *first = record_ref(stacks[0].record);
	becomes(0, "t2", "\"a\":2", false);
	becomes(0, "t3", "\"a\":3", false);
	versions_replaced_plainly(versions, &stacks[0], first, &other);
	versions_replaced_plainly(versions, &stacks[1], first, &other);
	assert_base(find(0, &vim, "t1", "\"a\":1"), "{\"a\":1}");
	assert_base(find(0, &vim, "t2", "\"a\":2"), "{\"a\":2}");
}

/* ---- dates that several versions have ---- */

static void test_date_of_several_versions(void **state)
{
	becomes(0, "t1", "\"a\":1,\"b\":1", false);
	becomes(0, "t1", "\"a\":2,\"b\":1", false); /* somebody else's */
	/* Nearer to the one than to the other. */
	assert_base(find(0, &vim, "t1", "\"a\":1,\"b\":9"), "{\"a\":1,\"b\":1}");
	assert_base(find(0, &vim, "t1", "\"a\":2,\"b\":9"), "{\"a\":2,\"b\":1}");
	/* From either: the change that the writer may not have seen stays. */
	assert_base(find(0, &vim, "t1", "\"a\":9,\"b\":1"), "{\"a\":1,\"b\":1}");

	becomes(1, "t1", "\"a\":1,\"b\":1", false);
	becomes(1, "t1", "\"a\":2,\"b\":1", true);
	assert_base(find(1, &vim, "t1", "\"a\":9,\"b\":1"), "{\"a\":2,\"b\":1}");
}

/* ---- what a process has saved ---- */

static void test_last_text_of_the_process(void **state)
{
	becomes(0, "t1", "\"a\":1", false);
	becomes(0, "t2", "\"a\":2", true);
	saved(0, &vim, "t1", "{\"a\":1.5}");
	saved(0, &vim, "t1", "{\"a\":2}");
	saved(0, &other, "t1", "{\"a\":7}");
	assert_base(find(0, &vim, "t1", "\"a\":9"), "{\"a\":2}");
	assert_base(find(0, &other, "t1", "\"a\":9"), "{\"a\":7}");
	/* It comes before the version that the text is. */
	assert_base(find(0, &vim, "t1", "\"a\":1"), "{\"a\":2}");
	/* Another process, another version, another stack. */
	const struct process again = { .pid = 10, .start = 2, .comm = "vim" };
	assert_base(find(0, &again, "t1", "\"a\":9"), "{\"a\":1}");
	assert_base(find(0, &vim, "t2", "\"a\":9"), "{\"a\":2}");
	becomes(1, "t1", "\"a\":5", false);
	assert_base(find(1, &vim, "t1", "\"a\":9"), "{\"a\":5}");
}

static void test_text_that_names_nothing_is_no_base(void **state)
{
	becomes(0, "t1", "\"a\":1", false);
	saved(0, &vim, "", "{\"a\":7}");
	assert_int_equal(find(0, &vim, "", "\"a\":9").base, VERSIONS_FRESH);
	saved(0, &nobody, "t1", "{\"a\":7}");
	assert_base(find(0, &nobody, "t1", "\"a\":9"), "{\"a\":1}");
}

/* ---- bounds ---- */

static void set_number(char *out, size_t size, unsigned i)
{
	snprintf(out, size, "t%u", i);
}

static const struct stack_id none, source = { .bytes = { 7 } };

/* Such a text never had a line that could have been removed, nor the _id of stack 2. */
static void test_who_made_the_stack_goes_on_from_its_text(void **state)
{
	becomes(2, "t1", "\"a\":1", false);
	becomes(3, "t1", "\"a\":1", false);
	versions_made(versions, &stacks[2], &vim, &none);
	saved(2, &vim, "", "{\"a\":1}");
	becomes(2, "t2", "\"a\":2", false);
	assert_own_base(find(2, &vim, "", "\"a\":9"), "{\"a\":1}");
	assert_int_equal(find(2, &other, "", "\"a\":9").base, VERSIONS_FRESH);
	assert_int_equal(find(3, &vim, "", "\"a\":9").base, VERSIONS_FRESH);
	saved(2, &vim, "", "{\"a\":9}");
	assert_own_base(find(2, &vim, "", "\"a\":8"), "{\"a\":9}");
}

/* It has gone on from what it has read since. */
static void test_who_made_the_stack_may_overwrite_later(void **state)
{
	becomes(2, "t1", "\"a\":1", false);
	versions_made(versions, &stacks[2], &vim, &none);
	saved(2, &vim, "", "{\"a\":1}");
	saved(2, &vim, "t1", "{\"a\":2}");
	assert_int_equal(find(2, &vim, "", "\"a\":9").base, VERSIONS_FRESH);
}

/* Only what was read has it. */
static void test_who_made_the_stack_may_overwrite_what_it_has_read(void **state)
{
	becomes(0, "t1", "\"a\":1", false);
	versions_made(versions, &stacks[0], &vim, &none);
	saved(0, &vim, "", "{\"a\":1}");
	assert_int_equal(find(0, &vim, "", "\"a\":9").base, VERSIONS_FRESH);
}

static void test_the_id_that_was_brought(void **state)
{
	becomes(0, "t1", "\"a\":1", false);
	assert_false(versions_brought(versions, &stacks[0], &vim, &source));
	versions_made(versions, &stacks[0], &vim, &source);
	assert_true(versions_brought(versions, &stacks[0], &vim, &source));
	assert_false(versions_brought(versions, &stacks[0], &other, &source));
	assert_false(versions_brought(versions, &stacks[0], &vim, &none));
	assert_false(versions_brought(versions, &stacks[1], &vim, &source));
	versions_made(versions, &stacks[1], &nobody, &source);
	assert_false(versions_brought(versions, &stacks[1], &nobody, &source));
}

static void test_versions_of_a_stack_are_bounded(void **state)
{
	char modified[20], fields[30];

	for (unsigned i = 0; i < VERSIONS_PER_STACK + 3; i++) {
		set_number(modified, sizeof(modified), i);
		snprintf(fields, sizeof(fields), "\"a\":%u", i);
		becomes(0, modified, fields, true);
	}
	/* The current one, and as many as there may be. */
	assert_int_equal(find(0, &vim, "t1", "\"a\":1").base, VERSIONS_UNKNOWN);
	snprintf(fields, sizeof(fields), "{\"a\":%d}", VERSIONS_PER_STACK + 2);
	assert_base(find(0, &vim, "t2", "\"a\":2"), fields);
	assert_base(find(0, &vim, "t2", "\"a\":9999"), "{\"a\":2}");
}

static void test_saved_texts_of_a_stack_are_bounded(void **state)
{
	struct process who = { .start = 1 };

	becomes(0, "t1", "\"a\":1", false);
	for (int pid = 1; pid <= VERSIONS_SAVED_PER_STACK + 1; pid++) {
		who.pid = pid;
		saved(0, &who, "t1", "{\"a\":5}");
		who.pid = 2;
		if (pid >= 2) /* used again and again, it stays */
			saved(0, &who, "t1", "{\"a\":6}");
	}
	who.pid = 1;
	assert_base(find(0, &who, "t1", "\"a\":9"), "{\"a\":1}");
	who.pid = 2;
	assert_base(find(0, &who, "t1", "\"a\":9"), "{\"a\":6}");
	who.pid = 3;
	assert_base(find(0, &who, "t1", "\"a\":9"), "{\"a\":5}");
	who.pid = VERSIONS_SAVED_PER_STACK + 2;
	saved(0, &who, "t1", "{\"a\":5}");
	who.pid = 3;
	assert_base(find(0, &who, "t1", "\"a\":9"), "{\"a\":1}");
}

/* A record of nearly the greatest size. */
static void becomes_great(unsigned i, const char *modified)
{
	size_t len = RECORD_MAX_BYTES - 1000;
	char *fields = malloc(len + 1);

	assert_non_null(fields);
	memset(fields, 'x', len);
	memcpy(fields, "\"a\":\"", 5);
	fields[len - 1] = '"';
	fields[len] = '\0';
	becomes(i, modified, fields, false);
	free(fields);
}

static void test_bytes_in_all_are_bounded(void **state)
{
	const unsigned fit = VERSIONS_MAX_BYTES / RECORD_MAX_BYTES;

	for (unsigned i = 0; i < fit + 4; i++) {
		becomes_great(i, "t1");
		becomes(i, "t2", "\"a\":2", false);
	}
	assert_int_equal(find(0, &vim, "t1", "").base, VERSIONS_UNKNOWN);
	assert_int_equal(find(3, &vim, "t1", "").base, VERSIONS_UNKNOWN);
	assert_int_equal(find(fit + 3, &vim, "t2", "").base, VERSIONS_BASE);
	/* Its body is looked for without copying it. */
	CLEANUP(buf_done) struct buf of = text("t1", "");
	struct buf small = BUF_INIT(100);
	const struct record *shown;
	enum versions_base base = VERSIONS_FRESH;
	struct document d = { of.data, of.len };
	unsigned last = fit + 3;
	assert_int_equal(versions_find(versions, &stacks[last], stacks[last].record, &vim, d,
				       &small, &small, &shown, &base),
			 -EFBIG);
	assert_int_equal(base, VERSIONS_FRESH);
	assert_int_equal(small.len, 0);
	buf_done(&small);
}

static void test_least_recently_changed_stack_goes_first(void **state)
{
	const unsigned fit = VERSIONS_MAX_BYTES / RECORD_MAX_BYTES;

	becomes(0, "t1", "\"a\":1", false);
	becomes(0, "t2", "\"a\":2", false);
	becomes(1, "t1", "\"a\":1", false);
	becomes(1, "t2", "\"a\":2", false);
	saved(1, &vim, "t2", "{\"a\":7}");
	saved(0, &vim, "t2", "{\"a\":7}");
	for (unsigned i = 2; i < fit + 3; i++) {
		if (i == fit)
			becomes(0, "t3", "\"a\":3", false);
		becomes_great(i, "t1");
		becomes(i, "t2", "\"a\":2", false);
	}
	assert_base(find(0, &vim, "t1", "\"a\":9"), "{\"a\":1}");
	assert_base(find(0, &vim, "t2", "\"a\":9"), "{\"a\":7}");
	assert_int_equal(find(1, &vim, "t1", "\"a\":9").base, VERSIONS_UNKNOWN);
	assert_base(find(1, &vim, "t2", "\"a\":9"), "{\"a\":2}");
}

static void refused(const struct process *who, const char *fields)
{
	CLEANUP(buf_done) struct buf of = text("t1", fields);

	versions_refused(versions, &stacks[0], who, (struct document){ of.data, of.len });
}

static void test_what_is_put_back_after_a_refusal_is_no_undo(void **state)
{
	becomes(0, "t1", "\"a\":1", false);
	becomes(0, "t2", "\"a\":2", true);
	assert_base(find(0, &vim, "t1", "\"a\":1"), "{\"a\":2}");
	refused(&vim, "\"a\":3");
	assert_base(find(0, &vim, "t1", "\"a\":1"), "{\"a\":1}");
	assert_base(find(0, &other, "t1", "\"a\":1"), "{\"a\":2}");
	/* Its own save is undone. */
	refused(&other, "\"a\":3");
	assert_base(find(0, &other, "t1", "\"a\":1"), "{\"a\":2}");
	/* The refused text itself again. */
	refused(&vim, "\"a\":1");
	assert_base(find(0, &vim, "t1", "\"a\":1"), "{\"a\":2}");
	refused(&vim, "\"a\":3");
	versions_put_back(versions, &stacks[0], &vim);
	assert_base(find(0, &vim, "t1", "\"a\":1"), "{\"a\":2}");
	refused(&vim, "\"a\":3");
	saved(0, &vim, "t2", "{\"a\":2}");
	assert_base(find(0, &vim, "t1", "\"a\":1"), "{\"a\":2}");
}

static void test_refused_processes_of_a_stack_are_bounded(void **state)
{
	struct process who = { .start = 1 };

	becomes(0, "t1", "\"a\":1", false);
	becomes(0, "t2", "\"a\":2", true);
	for (who.pid = 1; who.pid <= VERSIONS_REFUSED_PER_STACK + 1; who.pid++)
		refused(&who, "\"a\":3");
	who.pid = 1;
	assert_base(find(0, &who, "t1", "\"a\":1"), "{\"a\":2}");
	for (who.pid = 2; who.pid <= VERSIONS_REFUSED_PER_STACK + 1; who.pid++)
		assert_base(find(0, &who, "t1", "\"a\":1"), "{\"a\":1}");
	refused(&nobody, "\"a\":3");
	versions_put_back(versions, &stacks[1], &vim);
}

static void test_forgotten(void **state)
{
	becomes(0, "t1", "\"a\":1", false);
	becomes(0, "t2", "\"a\":2", false);
	saved(0, &vim, "t2", "{\"a\":7}");
	versions_forget(versions, &stacks[0]);
	versions_forget(versions, &stacks[1]);
	assert_int_equal(find(0, &vim, "t1", "\"a\":9").base, VERSIONS_UNKNOWN);
	assert_base(find(0, &vim, "t2", "\"a\":9"), "{\"a\":2}");
	versions_free(NULL);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_named_version_is_the_base),
		TEST(test_escapes_in_the_date_are_none),
		TEST(test_unknown_and_none),
		TEST(test_fresh_record_counts_as_served),
		TEST(test_earlier_version_is_followed_along_own_saves),
		TEST(test_a_lost_save_is_known_by_what_it_has_made),
		TEST(test_a_lost_save_may_be_anothers),
		TEST(test_a_list_shows_what_became_of_a_lost_save),
		TEST(test_only_the_last_one_was_replaced_plainly),
		TEST(test_date_of_several_versions),
		TEST(test_last_text_of_the_process),
		TEST(test_text_that_names_nothing_is_no_base),
		TEST(test_who_made_the_stack_goes_on_from_its_text),
		TEST(test_who_made_the_stack_may_overwrite_later),
		TEST(test_who_made_the_stack_may_overwrite_what_it_has_read),
		TEST(test_the_id_that_was_brought),
		TEST(test_versions_of_a_stack_are_bounded),
		TEST(test_saved_texts_of_a_stack_are_bounded),
		TEST(test_bytes_in_all_are_bounded),
		TEST(test_least_recently_changed_stack_goes_first),
		TEST(test_what_is_put_back_after_a_refusal_is_no_undo),
		TEST(test_refused_processes_of_a_stack_are_bounded),
		TEST(test_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
