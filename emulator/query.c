/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "query.h"

static int digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

char *query_decode(struct span text)
{
	struct buf out = { 0 };

	for (size_t i = 0; i < text.len; i++) {
		const char *p = text.p + i;

		if (*p == '%' && text.len - i > 2 && isxdigit((unsigned char)p[1]) &&
		    isxdigit((unsigned char)p[2])) {
			buf_addc(&out, (char)(digit(p[1]) << 4 | digit(p[2])));
			i += 2;
		} else {
			buf_addc(&out, *p == '+' ? ' ' : *p);
		}
	}
	return buf_take(&out);
}

static void take(struct query *q, struct span name, struct span value)
{
	struct {
		const char *name;
		char **to;
	} known[] = {
		{ "include", &q->include },
		{ "exclude", &q->exclude },
		{ "cursor", &q->cursor },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!span_is(name, known[i].name))
			continue;
		if (!*known[i].to)
			*known[i].to = query_decode(value);
		else if (!q->repeated)
			q->repeated = mem_dups(known[i].name);
		return;
	}
	if (!q->unknown)
		q->unknown = mem_dup(name.p, name.len);
}

void query_parse(const char *text, struct query *ret)
{
	*ret = (struct query){ 0 };
	while (text && *text) {
		size_t len = strcspn(text, "&"), name = strcspn(text, "=&");
		size_t value = name < len ? name + 1 : len;

		if (len)
			take(ret, span_of(text, name), span_of(text + value, len - value));
		text += len + (text[len] == '&');
	}
}

void query_done(struct query *q)
{
	free(q->include);
	free(q->exclude);
	free(q->cursor);
	free(q->unknown);
	free(q->repeated);
}
