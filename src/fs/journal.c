/* SPDX-License-Identifier: MIT */
#include "fs/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SENT_BYTES (128 * 1024)
#define MAX_LINE_BYTES (JOURNAL_MAX_BYTES / 3) /* a byte may take six */

struct journal {
	const struct clock *clock;
	size_t total; /* ever added */
	size_t first; /* of these, that is kept */
	size_t bytes; /* of all that are kept */
	char *lines[JOURNAL_MAX_LINES]; /* ring: number n is at n % MAX */
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

static void drop_oldest(struct journal *j)
{
	char **place = &j->lines[j->first++ % JOURNAL_MAX_LINES];

	j->bytes -= strlen(*place);
	free(*place);
	*place = NULL;
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	while (j->first < j->total)
		drop_oldest(j);
	free(j);
}

static void put_member(struct text *t, const char *key, const char *value)
{
	text_put(t, ",\"%s\":", key);
	text_put_string(t, value);
}

/* Cut between two characters. */
static void put_sent(struct text *t, const char *would_send)
{
	size_t len = strlen(would_send);
	bool cut = len > MAX_SENT_BYTES;

	if (cut) {
		len = MAX_SENT_BYTES;
		while (((unsigned char)would_send[len] & 0xc0) == 0x80)
			len--;
	}
	text_put(t, ",\"would_send\":");
	text_put_bytes(t, would_send, len);
	if (cut)
		text_put(t, ",\"truncated\":true");
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
		put_sent(t, would_send);
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
	while (j->total - j->first == JOURNAL_MAX_LINES ||
	       (j->total > j->first && j->bytes + line.buf.len > JOURNAL_MAX_BYTES))
		drop_oldest(j);
	j->bytes += line.buf.len;
	j->lines[j->total++ % JOURNAL_MAX_LINES] = buf_steal(&line.buf);
}

size_t journal_total(const struct journal *j)
{
	return j->total;
}

void journal_print(const struct journal *j, struct text *out)
{
	for (size_t n = j->first; n < j->total; n++)
		text_put(out, "%s", j->lines[n % JOURNAL_MAX_LINES]);
}
