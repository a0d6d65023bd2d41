/* SPDX-License-Identifier: MIT */
/* What is kept of a stack is its past: the versions that were replaced, in the
 * order of their coming.  Each says whether a save through this mount has made
 * the next one of it, so that a walk from any of them ends where somebody else's
 * change begins.  The stack's record, and the one that was just read if that is
 * another, are put behind them when a base is looked for. */
#include "draft/versions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* A file system must not exit because a table could not grow. */
#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION HASH_FNV /* the default's switch falls through, of which clang warns */
#include <uthash.h>

#include "base/blob.h"
#include "draft/value.h"

struct served {
	struct record *record;
	bool plainly; /* replaced by what a save through this mount made of it */
	bool unsure;       /* a save whose answer was lost may have done that */
	struct process by; /* whose save that was */
};

struct saved {
	struct process who;
	struct buf body; /* holds secrets */
	struct buf kept; /* likewise; empty: the same */
	struct buf modified;
	uint64_t sent_no; /* of the last PUT that was made of it; 0: none was */
};

/* A save of which nobody knows what it has done. */
struct unsettled {
	struct record *from; /* holds a reference; NULL: there is none */
	struct process who;
	struct buf body; /* holds secrets */
};

/* A text is known again by these; it may be long, and hold secrets. */
struct refused {
	struct process who;
	size_t len;
	uint64_t hash;
};

struct past {
	struct stack_id id;
	UT_hash_handle hh;
	TAILQ_ENTRY(past) link;
	struct served served[VERSIONS_PER_STACK]; /* the oldest first; each holds a reference */
	unsigned n_served;
	struct saved saved[VERSIONS_SAVED_PER_STACK]; /* likewise; one of a process and a version */
	unsigned n_saved;
	struct refused refused[VERSIONS_REFUSED_PER_STACK]; /* likewise; one of a process */
	unsigned n_refused;
	struct unsettled unsettled;
	struct process maker;    /* pid 0: nobody here */
	struct stack_id brought; /* in the text that it was made of; zeroed: none */
};

struct versions {
	struct past *by_id;
	TAILQ_HEAD(past_list, past) by_use; /* the least recently changed first */
	size_t bytes;                       /* of all that is kept */
	uint64_t last_sent_no;
};

/* ---- keeping ---- */

int versions_new(struct versions **ret)
{
	struct versions *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	TAILQ_INIT(&v->by_use);
	*ret = v;
	return 0;
}

static struct past *find_past(const struct versions *v, const struct stack *stack)
{
	struct past *past;

	HASH_FIND(hh, v->by_id, &stack->id, sizeof(stack->id), past);
	return past;
}

/* The stack's past, which counts as used; NULL without memory. */
static struct past *make_past(struct versions *v, const struct stack *stack)
{
	struct past *past = find_past(v, stack);

	if (past) {
		TAILQ_REMOVE(&v->by_use, past, link);
		TAILQ_INSERT_TAIL(&v->by_use, past, link);
		return past;
	}
	past = calloc(1, sizeof(*past));
	if (!past)
		return NULL;
	past->id = stack->id;
	HASH_ADD(hh, v->by_id, id, sizeof(past->id), past);
	if (!past->hh.tbl) {
		free(past);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&v->by_use, past, link);
	v->bytes += sizeof(*past);
	return past;
}

static void drop_served(struct versions *v, struct past *past)
{
	struct record *oldest = past->served[0].record;

	v->bytes -= oldest->text_len;
	record_unref(oldest);
	past->n_served--;
	memmove(past->served, past->served + 1, past->n_served * sizeof(past->served[0]));
}

static void drop_saved(struct versions *v, struct past *past, unsigned i)
{
	struct saved *saved = &past->saved[i];

	v->bytes -= saved->body.len + saved->kept.len + saved->modified.len;
	buf_wipe(&saved->body);
	buf_wipe(&saved->kept);
	buf_done(&saved->modified);
	past->n_saved--;
	memmove(saved, saved + 1, (past->n_saved - i) * sizeof(*saved));
}

static void drop_unsettled(struct versions *v, struct past *past)
{
	struct unsettled *u = &past->unsettled;

	v->bytes -= u->body.len;
	record_unref(u->from);
	buf_wipe(&u->body);
	*u = (struct unsettled){ 0 };
}

static void drop_past(struct versions *v, struct past *past)
{
	drop_unsettled(v, past);
	while (past->n_served > 0)
		drop_served(v, past);
	while (past->n_saved > 0)
		drop_saved(v, past, 0);
	HASH_DEL(v->by_id, past);
	TAILQ_REMOVE(&v->by_use, past, link);
	v->bytes -= sizeof(*past);
	free(past);
}

void versions_free(struct versions *versions)
{
	struct past *past;

	if (!versions)
		return;
	while ((past = TAILQ_FIRST(&versions->by_use)))
		drop_past(versions, past);
	free(versions);
}

void versions_forget(struct versions *versions, const struct stack *stack)
{
	struct past *past = find_past(versions, stack);

	if (past)
		drop_past(versions, past);
}

/* One stack alone cannot be too much. */
static void keep_bound(struct versions *v)
{
	while (v->bytes > VERSIONS_MAX_BYTES) {
		struct past *past = TAILQ_FIRST(&v->by_use);

		if (past->n_served > 0)
			drop_served(v, past);
		else if (past->n_saved > 0)
			drop_saved(v, past, 0);
		else
			drop_past(v, past);
	}
}

static bool same_text(const struct record *a, const struct record *b)
{
	return a->text_len == b->text_len && memcmp(a->text, b->text, a->text_len) == 0;
}

static struct document text_of(const struct record *record)
{
	return (struct document){ record->text, record->text_len };
}

/* Less than all of what was sent, or more, may be somebody else's as well. */
static bool is_what_was_sent(const struct unsettled *u, const struct record *now)
{
	CLEANUP(buf_wipe) struct buf body = BUF_INIT(DOCUMENT_MAX_BYTES);
	bool same = false;
	int r = document_record_body(text_of(now), &body);

	if (r == 0)
		r = document_equal((struct document){ u->body.data, u->body.len },
				   (struct document){ body.data, body.len }, &same);
	return r == 0 && same;
}

/* The version that has come tells what became of it, or nothing will. */
static void settle(struct versions *v, struct past *past, const struct record *now)
{
	struct served *last = &past->served[past->n_served - 1];
	struct unsettled *u = &past->unsettled;

	if (!u->from)
		return;
	if (same_text(u->from, last->record)) {
		last->plainly = is_what_was_sent(u, now);
		last->unsure = true;
		last->by = u->who;
	}
	drop_unsettled(v, past);
}

void versions_replaced(struct versions *versions, const struct stack *stack, struct record *old)
{
	struct past *past = make_past(versions, stack);

	if (!past)
		return;
	if (past->n_served == VERSIONS_PER_STACK)
		drop_served(versions, past);
	past->served[past->n_served++] = (struct served){ .record = record_ref(old) };
	versions->bytes += old->text_len;
	settle(versions, past, stack->record);
	keep_bound(versions);
}

void versions_replaced_plainly(struct versions *versions, const struct stack *stack,
			       const struct record *old, const struct process *who)
{
	struct past *past = find_past(versions, stack);
	struct served *last = past && past->n_served ? &past->served[past->n_served - 1] : NULL;

	if (!last || !same_text(last->record, old))
		return;
	last->plainly = true;
	last->unsure = false;
	last->by = *who;
}

void versions_unsettled(struct versions *versions, const struct stack *stack, struct record *from,
			const struct process *who, struct document body)
{
	struct past *past = make_past(versions, stack);

	if (!past)
		return;
	drop_unsettled(versions, past);
	past->unsettled.body = (struct buf)BUF_INIT(DOCUMENT_MAX_BYTES);
	if (buf_append(&past->unsettled.body, body.text, body.len) < 0)
		return;
	past->unsettled.from = record_ref(from);
	past->unsettled.who = *who;
	versions->bytes += body.len;
	/* A list may have shown already what has become of it. */
	if (past->n_served > 0 && !same_text(from, stack->record))
		settle(versions, past, stack->record);
	keep_bound(versions);
}

static bool is_of(const struct saved *saved, const struct process *who, const char *modified,
		  size_t len)
{
	return process_same(&saved->who, who) && saved->modified.len == len &&
	       (len == 0 || memcmp(saved->modified.data, modified, len) == 0);
}

/* The number of its PUT. */
static uint64_t drop_saved_by(struct versions *v, struct past *past, const struct process *who,
			      const char *modified, size_t len)
{
	for (unsigned i = 0; i < past->n_saved; i++) {
		uint64_t sent_no = past->saved[i].sent_no;

		if (is_of(&past->saved[i], who, modified, len)) {
			drop_saved(v, past, i);
			return sent_no;
		}
	}
	return 0;
}

static void drop_refused(struct past *past, unsigned i)
{
	struct refused *refused = &past->refused[i];

	past->n_refused--;
	memmove(refused, refused + 1, (past->n_refused - i) * sizeof(*refused));
}

static void drop_refused_of(struct past *past, const struct process *who)
{
	for (unsigned i = past->n_refused; i-- > 0;) {
		if (process_same(&past->refused[i].who, who))
			drop_refused(past, i);
	}
}

void versions_refused(struct versions *versions, const struct stack *stack,
		      const struct process *who, struct document text)
{
	struct past *past = who->pid ? make_past(versions, stack) : NULL;

	if (!past)
		return;
	drop_refused_of(past, who);
	if (past->n_refused == VERSIONS_REFUSED_PER_STACK)
		drop_refused(past, 0);
	past->refused[past->n_refused++] = (struct refused){
		.who = *who,
		.len = text.len,
		.hash = blob_hash_of(text.text, text.len),
	};
	keep_bound(versions);
}

void versions_put_back(struct versions *versions, const struct stack *stack,
		       const struct process *who)
{
	struct past *past = find_past(versions, stack);

	if (past)
		drop_refused_of(past, who);
}

void versions_saved(struct versions *versions, const struct stack *stack,
		    const struct process *who, struct document body, struct document kept,
		    const char *modified, size_t modified_len, bool sent)
{
	struct past *past = who->pid ? make_past(versions, stack) : NULL;
	struct saved saved = {
		.body = BUF_INIT(DOCUMENT_MAX_BYTES),
		.kept = BUF_INIT(DOCUMENT_MAX_BYTES),
		.modified = BUF_INIT(DOCUMENT_MAX_BYTES),
	};

	if (!past)
		return;
	drop_refused_of(past, who);
	/* Whatever comes of this one, it is not the last one any more. */
	saved.sent_no = drop_saved_by(versions, past, who, modified, modified_len);
	if (sent)
		saved.sent_no = ++versions->last_sent_no;
	saved.who = *who;
	bool same = false;
	int r = document_equal(body, kept, &same);
	if (r < 0 || buf_append(&saved.body, body.text, body.len) < 0 ||
	    (!same && buf_append(&saved.kept, kept.text, kept.len) < 0) ||
	    buf_append(&saved.modified, modified, modified_len) < 0) {
		buf_wipe(&saved.body);
		buf_wipe(&saved.kept);
		buf_done(&saved.modified);
		return;
	}
	if (past->n_saved == VERSIONS_SAVED_PER_STACK)
		drop_saved(versions, past, 0);
	past->saved[past->n_saved++] = saved;
	versions->bytes += saved.body.len + saved.kept.len + saved.modified.len;
	keep_bound(versions);
}

/* ---- who made the stack ---- */

void versions_made(struct versions *versions, const struct stack *stack, const struct process *who,
		   const struct stack_id *brought)
{
	struct past *past = who->pid ? make_past(versions, stack) : NULL;

	if (!past)
		return;
	past->maker = *who;
	past->brought = *brought;
}

static bool is_maker(const struct past *past, const struct process *who)
{
	return past && process_same(&past->maker, who);
}

bool versions_brought(const struct versions *versions, const struct stack *stack,
		      const struct process *who, const struct stack_id *id)
{
	const struct past *past = find_past(versions, stack);

	return is_maker(past, who) && stack_id_compare(&past->brought, id) == 0;
}

/* ---- looking for a base ---- */

/* All versions that were served, the oldest first. */
struct chain {
	struct served at[VERSIONS_PER_STACK + 2]; /* borrowed */
	int n;
	int equal; /* the newest that means what the text means; -1: none */
	int named; /* the one that the text names; -1: none */
};

static void collect(const struct past *past, const struct stack *stack, const struct record *fresh,
		    struct chain *ret)
{
	*ret = (struct chain){ .equal = -1, .named = -1 };
	for (unsigned i = 0; past && i < past->n_served; i++)
		ret->at[ret->n++] = past->served[i];
	ret->at[ret->n++].record = stack->record;
	if (!same_text(stack->record, fresh))
		ret->at[ret->n++].record = (struct record *)fresh;
}

/* Where the walk from a version along plain saves ends; only: of that process, and whose
 * answer has come, or NULL. */
static int follow(const struct chain *c, int from, const struct process *only)
{
	while (from < c->n - 1 && c->at[from].plainly &&
	       (!only || (process_same(&c->at[from].by, only) && !c->at[from].unsure)))
		from++;
	return from;
}

/* Several versions may have one date.  The text was made from the one that it
 * differs from in the fewest fields; where that does not tell, from the later one
 * if it was made of the other by this mount's own saves, and else from the
 * earlier one: a conflict too many is better than somebody's change undone. */
static int choose_named(struct chain *c, int i, struct document text, unsigned *fewest)
{
	struct value_paths fields;
	int r = document_differing(text, text_of(c->at[i].record), &fields);
	unsigned n = fields.n + fields.more;

	if (r < 0)
		return r;
	if (c->named < 0 || n < *fewest || (n == *fewest && follow(c, i, NULL) < c->named)) {
		c->named = i;
		*fewest = n;
	}
	return 0;
}

static bool names_version(const struct value *modified, const struct value *record)
{
	const struct value *own = value_find(record, "lastModified");

	return modified && modified->type == JSON_STRING && own && value_equal(modified, own);
}

static int compare(struct chain *c, int i, const struct value *root, struct document text,
		   unsigned *fewest)
{
	CLEANUP(value_tree_done) struct value_tree version = { 0 };
	const struct record *record = c->at[i].record;
	int r = value_tree_parse(&version, record->text, record->text_len);

	if (r < 0)
		return r;
	if (c->equal < 0 && value_equal(root, version.root))
		c->equal = i;
	if (names_version(value_find(root, "lastModified"), version.root))
		r = choose_named(c, i, text, fewest);
	return r;
}

/* The process has gone on from another text since. */
static bool is_left(const struct past *past, const struct saved *saved)
{
	for (unsigned i = 0; i < past->n_saved; i++) {
		if (process_same(&past->saved[i].who, &saved->who) &&
		    past->saved[i].sent_no > saved->sent_no)
			return true;
	}
	return false;
}

/* As only a text that was read has it. */
static bool has_own_id(const struct past *past, const struct value *root)
{
	const struct value *v = value_find(root, "_id");
	struct stack_id id;

	return v && v->type == JSON_STRING && stack_id_parse(v->bytes, v->n, &id) == 0 &&
	       stack_id_compare(&id, &past->id) == 0;
}

static const struct saved *find_saved(const struct past *past, const struct process *who,
				      const struct value *root)
{
	const struct value *modified = value_find(root, "lastModified");
	bool named = modified && modified->type == JSON_STRING && modified->n > 0;
	size_t len = named ? modified->n : 0;

	/* A text that names none is one that it was removed from, but for whom it never had one. */
	if (!named && (!is_maker(past, who) || has_own_id(past, root)))
		return NULL;
	for (unsigned i = 0; past && i < past->n_saved; i++) {
		const struct saved *saved = &past->saved[i];

		if (is_of(saved, who, named ? modified->bytes : "", len))
			return is_left(past, saved) ? NULL : saved;
	}
	return NULL;
}

static int put_saved(const struct saved *saved, struct buf *out, struct buf *kept)
{
	int r = buf_append(out, saved->body.data, saved->body.len);

	if (r < 0 || saved->kept.len == 0)
		return r;
	return buf_append(kept, saved->kept.data, saved->kept.len);
}

/* A text that begins with the refused one is that one again, or has its other half. */
static bool begins_with(struct document text, const struct refused *refused)
{
	return text.len >= refused->len && blob_hash_of(text.text, refused->len) == refused->hash;
}

/* Whether the text may be what its process has found there before it was refused. */
static bool may_be_put_back(const struct past *past, const struct process *who,
			    struct document text)
{
	for (unsigned i = 0; past && i < past->n_refused; i++) {
		if (process_same(&past->refused[i].who, who))
			return !begins_with(text, &past->refused[i]);
	}
	return false;
}

bool versions_may_be_put_back(const struct versions *versions, const struct stack *stack,
			      const struct process *who, struct document text)
{
	return may_be_put_back(find_past(versions, stack), who, text);
}

/* put_back: see may_be_put_back; that is never refused. */
static int put_version(const struct chain *c, const struct process *who, bool put_back,
		       struct buf *out, enum versions_base *ret)
{
	int at = c->equal >= 0 ? follow(c, c->equal, put_back ? who : NULL) : c->named;

	if (c->equal >= 0 && c->at[at].unsure && !put_back) {
		*ret = VERSIONS_UNSURE;
		return 0;
	}
	int r = document_record_body(text_of(c->at[at].record), out);
	if (r == 0)
		*ret = VERSIONS_BASE;
	return r;
}

static int find_base(struct chain *c, const struct past *past, const struct process *who,
		     struct document text, struct buf *out, struct buf *kept,
		     enum versions_base *ret)
{
	CLEANUP(value_tree_done) struct value_tree tree = { 0 };
	unsigned fewest = 0;
	int r = value_tree_parse(&tree, text.text, text.len);

	for (int i = c->n - 1; r == 0 && i >= 0; i--)
		r = compare(c, i, tree.root, text, &fewest);
	if (r < 0)
		return r;

	const struct value *modified = value_find(tree.root, "lastModified");
	const struct saved *saved = find_saved(past, who, tree.root);
	if (saved) {
		r = put_saved(saved, out, kept);
		if (r == 0)
			*ret = is_maker(past, who) && !has_own_id(past, tree.root) ? VERSIONS_OWN
										   : VERSIONS_BASE;
		return r == -EMSGSIZE ? -EFBIG : r;
	}
	if (c->equal >= 0 || c->named >= 0) {
		r = put_version(c, who, may_be_put_back(past, who, text), out, ret);
		return r == -EMSGSIZE ? -EFBIG : r;
	}
	*ret = modified && modified->type != JSON_NULL ? VERSIONS_UNKNOWN : VERSIONS_FRESH;
	return 0;
}

int versions_find(struct versions *versions, const struct stack *stack, const struct record *fresh,
		  const struct process *who, struct document text, struct buf *out,
		  struct buf *kept, const struct record **ret_shown, enum versions_base *ret)
{
	const struct past *past = find_past(versions, stack);
	struct chain chain;

	collect(past, stack, fresh, &chain);
	int r = find_base(&chain, past, who, text, out, kept, ret);
	if (r < 0)
		return r;
	int shown = chain.equal >= 0 ? chain.equal : chain.named;
	*ret_shown = shown >= 0 ? chain.at[shown].record : NULL;
	return 0;
}
