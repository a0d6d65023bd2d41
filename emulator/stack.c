/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "random.h"
#include "stack.h"

enum { TOKEN_LEN = 32 };

/* The two secrets: where the record has them, and where struct stack keeps them. */
static const struct {
	const char *outer, *inner;
	size_t offset;
} secrets[] = {
	{ "server", "systemToken", offsetof(struct stack, token) },
	{ "lambda", "secretAccessKey", offsetof(struct stack, secret) },
};

static char **secret_of(const struct stack *s, size_t i)
{
	return (char **)((char *)s + secrets[i].offset);
}

static void replace(char **slot, char *owned)
{
	free(*slot);
	*slot = owned;
}

/* Takes the emulator's own two members out of an object. */
static void strip_state(struct buf *out, struct span text)
{
	struct json_iter it = json_iterate(text);
	struct span k, v;

	buf_addc(out, '{');
	while (json_next(&it, &k, &v)) {
		if (json_string_is(k, span_str("dependencies")) ||
		    json_string_is(k, span_str("deleted")))
			continue;
		json_raw_key(out, k);
		buf_span(out, v);
	}
	buf_addc(out, '}');
}

static void mask(struct stack *s, size_t i)
{
	struct span text = buf_view(&s->shown);
	struct span value = json_get2(text, secrets[i].outer, secrets[i].inner);
	struct buf masked = { 0 };

	if (!value.p)
		return;
	replace(secret_of(s, i), mem_dup(value.p, value.len));
	json_splice(&masked, text, value, span_str(STACK_MASK));
	buf_done(&s->shown);
	s->shown = masked;
}

void stack_set_dependencies(struct stack *s, struct span map)
{
	replace(&s->dependencies, mem_dup(map.p, map.len));
}

void stack_take_state(struct stack *s)
{
	struct span text = stack_shown(s), dependencies = json_get(text, "dependencies");
	struct span deleted = json_get(text, "deleted");
	struct buf stripped = { 0 };

	if (!dependencies.p && !deleted.p)
		return;
	if (dependencies.p)
		stack_set_dependencies(s, dependencies);
	s->deleted = json_is_true(deleted);
	strip_state(&stripped, text);
	buf_done(&s->shown);
	s->shown = stripped;
}

void stack_set_text(struct stack *s, struct span text)
{
	struct buf shown = { 0 };
	char *modified;

	buf_span(&shown, text);
	buf_done(&s->shown);
	s->shown = shown;
	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
		mask(s, i);
	s->server = json_string_is(json_get(stack_shown(s), "type"), span_str("server"));
	modified = json_decode(json_get(stack_shown(s), "lastModified"));
	s->modified_ms = modified ? clock_from_iso(modified) : 0;
	free(modified);
}

struct stack *stack_new(const char *id, struct span text)
{
	struct stack *s = mem_zalloc(sizeof(*s));

	s->id = mem_dups(id);
	stack_set_text(s, text);
	return s;
}

void stack_free(struct stack *s)
{
	if (!s)
		return;
	free(s->id);
	free(s->token);
	free(s->secret);
	free(s->dependencies);
	buf_done(&s->shown);
	free(s);
}

struct span stack_shown(const struct stack *s)
{
	return buf_view(&s->shown);
}

static void reveal_secret(const struct stack *s, size_t i, struct buf *text)
{
	struct span value = json_get2(buf_view(text), secrets[i].outer, secrets[i].inner);
	char *real = *secret_of(s, i);
	struct buf revealed = { 0 };

	if (!value.p || !real)
		return;
	json_splice(&revealed, buf_view(text), value, span_str(real));
	buf_done(text);
	*text = revealed;
}

void stack_reveal(const struct stack *s, bool with_state, struct buf *out)
{
	CLEANUP(buf_done) struct buf text = { 0 };

	buf_span(&text, stack_shown(s));
	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
		reveal_secret(s, i, &text);
	if (with_state && text.len && text.data[text.len - 1] == '}') {
		text.len--;
		json_key(&text, "dependencies");
		buf_adds(&text, s->dependencies ? s->dependencies : "{}");
		json_key(&text, "deleted");
		buf_adds(&text, s->deleted ? "true}" : "false}");
	}
	buf_span(out, buf_view(&text));
}

void stack_rotate(struct stack *s, uint64_t seed)
{
	static const char letters[] = "0123456789abcdef";
	uint64_t from = random_hash(span_str(s->id)) + 31 * random_hash(span_str(s->token));
	struct random r = random_of(seed ^ (from + s->rotations++));
	size_t len = TOKEN_LEN;
	struct buf token = { 0 };

	if (json_kind(span_str(s->token)) == JSON_STRING && strlen(s->token) > 2)
		len = strlen(s->token) - 2;
	buf_addc(&token, '"');
	while (len--)
		buf_addc(&token, letters[random_below(&r, sizeof(letters) - 1)]);
	buf_addc(&token, '"');
	replace(&s->token, buf_take(&token));
}

void stack_ensure_token(struct stack *s, uint64_t seed)
{
	static const char alone[] = "\"systemToken\":" STACK_MASK;
	static const char first[] = "\"systemToken\":" STACK_MASK ",";
	struct span text = stack_shown(s), server = json_get(text, "server"), k, v;
	struct json_iter it = json_iterate(server);
	struct buf shown = { 0 };

	if (!s->server || s->token)
		return;
	stack_rotate(s, seed);
	if (json_kind(server) != JSON_OBJECT)
		return; /* it has one, and does not show it */
	json_splice(&shown, text, span_of(server.p + 1, 0),
		    span_str(json_next(&it, &k, &v) ? first : alone));
	buf_done(&s->shown);
	s->shown = shown;
}

uint64_t stack_next_modified(const struct stack *s)
{
	uint64_t now = clock_wall_ms();

	return now > s->modified_ms ? now : s->modified_ms + 1;
}

bool stack_id_is_wellformed(struct span id)
{
	return id.len == STACK_ID_LEN && strspn(id.p, "0123456789abcdefABCDEF") >= STACK_ID_LEN;
}
