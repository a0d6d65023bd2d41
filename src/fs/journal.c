/* SPDX-License-Identifier: MIT */
#include "fs/journal.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_LINE_BYTES 8192

struct journal {
	const struct clock *clock;
	size_t total;
	char *lines[JOURNAL_MAX_LINES]; /* ring; the next one goes to total % MAX */
};

int journal_new(const struct clock *clock, struct journal **ret)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->clock = clock;
	*ret = j;
	return 0;
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < JOURNAL_MAX_LINES; i++)
		free(j->lines[i]);
	free(j);
}

static void put_member(struct text *t, const char *key, const char *value)
{
	text_put(t, ",\"%s\":", key);
	text_put_string(t, value);
}

static void put_line(struct text *t, int64_t now_ms, const char *path, const char *op, int err,
		     const struct api_error *cause, const char *would_send)
{
	text_put(t, "{\"time\":");
	text_put_time(t, now_ms);
	put_member(t, "path", path);
	put_member(t, "op", op);
	text_put(t, ",\"errno\":");
	if (err)
		text_put_errno(t, err);
	else
		text_put(t, "null");
	if (cause->status)
		text_put(t, ",\"status\":%d", cause->status);
	if (cause->code[0])
		put_member(t, "code", cause->code);
	put_member(t, "message", cause->message);
	if (cause->field[0])
		put_member(t, "field", cause->field);
	if (would_send)
		put_member(t, "would_send", would_send);
	if (cause->call_no)
		text_put(t, ",\"request\":%llu", (unsigned long long)cause->call_no);
	text_put(t, "}\n");
}

void journal_add(struct journal *j, const char *path, const char *op, int err,
		 const struct api_error *cause, const char *would_send)
{
	struct text line = TEXT_INIT(MAX_LINE_BYTES);

	put_line(&line, clock_wall_ms(j->clock), path, op, err, cause, would_send);
	if (line.err < 0) {
		buf_done(&line.buf);
		return;
	}
	char **place = &j->lines[j->total++ % JOURNAL_MAX_LINES];
	free(*place);
	*place = buf_steal(&line.buf);
}

size_t journal_total(const struct journal *j)
{
	return j->total;
}

void journal_print(const struct journal *j, struct text *out)
{
	for (size_t i = 0; i < JOURNAL_MAX_LINES; i++) {
		const char *line = j->lines[(j->total + i) % JOURNAL_MAX_LINES];

		if (line)
			text_put(out, "%s", line);
	}
}
