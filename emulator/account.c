/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "clock.h"
#include "random.h"

struct account {
	struct stack **stacks; /* ascending by id */
	size_t n, cap;
	uint64_t seed;
	unsigned made; /* ids, so that no two are alike */
};

struct account *account_new(uint64_t seed)
{
	struct account *a = mem_zalloc(sizeof(*a));

	a->seed = seed;
	return a;
}

static void clear(struct account *a)
{
	for (size_t i = 0; i < a->n; i++)
		stack_free(a->stacks[i]);
	free(a->stacks);
	a->stacks = NULL;
	a->n = a->cap = 0;
}

void account_free(struct account *a)
{
	if (!a)
		return;
	clear(a);
	free(a);
}

uint64_t account_seed(const struct account *a)
{
	return a->seed;
}

size_t account_count(const struct account *a)
{
	return a->n;
}

struct stack *account_at(const struct account *a, size_t i)
{
	return a->stacks[i];
}

static int compare(struct span a, struct span b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int r = n ? memcmp(a.p, b.p, n) : 0;

	return r ? r : (a.len > b.len) - (a.len < b.len);
}

size_t account_after(const struct account *a, struct span id)
{
	size_t lo = 0, hi = a->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (compare(span_str(a->stacks[mid]->id), id) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct stack *account_find(const struct account *a, struct span id)
{
	size_t i = account_after(a, id);

	return i && !compare(span_str(a->stacks[i - 1]->id), id) ? a->stacks[i - 1] : NULL;
}

/* An ObjectId: seconds, a machine, a counter. */
void account_make_id(struct account *a, char ret[STACK_ID_LEN + 1])
{
	struct random r = random_of(a->seed);

	snprintf(ret, STACK_ID_LEN + 1, "%08x%010llx%06x", (unsigned)(clock_wall_ms() / 1000),
		 (unsigned long long)(random_next(&r) & 0xffffffffff), ++a->made & 0xffffff);
}

static void insert(struct account *a, struct stack *s)
{
	size_t i = account_after(a, span_str(s->id));

	if (a->n == a->cap) {
		a->cap = a->cap ? 2 * a->cap : 64;
		a->stacks = mem_grow(a->stacks, a->cap * sizeof(*a->stacks));
	}
	memmove(a->stacks + i + 1, a->stacks + i, (a->n - i) * sizeof(*a->stacks));
	a->stacks[i] = s;
	a->n++;
}

static void add_date(struct buf *out, struct span text, const char *name)
{
	char now[CLOCK_ISO_SIZE];

	if (json_get(text, name).p)
		return;
	clock_iso(clock_wall_ms(), now);
	json_key(out, name);
	json_quotes(out, now);
}

/* The text with what every record has; every byte that was there stays. */
static void complete(struct buf *out, struct span text, const char *id)
{
	struct json_iter it = json_iterate(text);
	struct span k, v;

	if (json_kind(text) != JSON_OBJECT) {
		buf_span(out, text); /* nothing that could be put in */
		return;
	}
	buf_addc(out, '{');
	if (!json_get(text, "_id").p) {
		json_key(out, "_id");
		json_quotes(out, id);
	}
	if (json_next(&it, &k, &v)) {
		json_comma(out);
		buf_add(out, text.p + 1, text.len - 2);
	}
	add_date(out, text, "createdAt");
	add_date(out, text, "lastModified");
	buf_addc(out, '}');
}

int account_add(struct account *a, struct span text, struct stack **ret)
{
	CLEANUP(mem_freep) char *own = json_decode(json_get(text, "_id"));
	CLEANUP(buf_done) struct buf full = { 0 };
	char made[STACK_ID_LEN + 1];
	const char *id = own ? own : made;

	account_make_id(a, made);
	if (account_find(a, span_str(id)))
		return -EEXIST;
	complete(&full, text, id);
	*ret = stack_new(id, buf_view(&full));
	stack_ensure_token(*ret, a->seed);
	insert(a, *ret);
	return 0;
}

int account_load(struct account *a, struct span array)
{
	CLEANUP(account_freep) struct account *fresh = account_new(a->seed);
	struct json_iter it = json_iterate(array);
	struct span k, v;
	struct stack *s;
	struct account old;

	if (json_kind(array) != JSON_ARRAY)
		return -EINVAL;
	fresh->made = a->made;
	while (json_next(&it, &k, &v)) {
		if (json_kind(v) != JSON_OBJECT || account_add(fresh, v, &s) < 0)
			return -EINVAL;
		stack_take_state(s);
	}
	old = *a;
	*a = *fresh;
	*fresh = old; /* freed on the way out */
	return 0;
}

void account_dump(const struct account *a, struct buf *out)
{
	buf_addc(out, '[');
	for (size_t i = 0; i < a->n; i++) {
		json_comma(out);
		stack_reveal(a->stacks[i], true, out);
	}
	buf_addc(out, ']');
}
