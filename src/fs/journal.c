/* SPDX-License-Identifier: MIT */
#include "fs/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static int print_time(struct buf *out, int64_t unix_ms)
{
	time_t seconds = (time_t)(unix_ms / 1000);
	char text[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	return buf_printf(out, "\"%s.%03dZ\"", text, (int)(unix_ms % 1000));
}

static int print_member(struct buf *out, const char *key, const char *value)
{
	int r = buf_printf(out, ",\"%s\":", key);

	return r < 0 ? r : buf_json_string(out, value, strlen(value));
}

static int print_line(struct buf *out, int64_t now_ms, const char *path, const char *op, int err,
		      const struct api_error *cause)
{
	const char *name = strerrorname_np(-err);
	int r;

	if ((r = buf_puts(out, "{\"time\":")) < 0 || (r = print_time(out, now_ms)) < 0 ||
	    (r = print_member(out, "path", path)) < 0 || (r = print_member(out, "op", op)) < 0 ||
	    (r = print_member(out, "errno", name ? name : "EIO")) < 0)
		return r;
	if (cause->status && (r = buf_printf(out, ",\"status\":%d", cause->status)) < 0)
		return r;
	if (cause->code[0] && (r = print_member(out, "code", cause->code)) < 0)
		return r;
	if ((r = print_member(out, "message", cause->message)) < 0)
		return r;
	if (cause->field[0] && (r = print_member(out, "field", cause->field)) < 0)
		return r;
	if (cause->call_no &&
	    (r = buf_printf(out, ",\"request\":%llu", (unsigned long long)cause->call_no)) < 0)
		return r;
	return buf_puts(out, "}\n");
}

void journal_add(struct journal *j, const char *path, const char *op, int err,
		 const struct api_error *cause)
{
	struct buf line = BUF_INIT(MAX_LINE_BYTES);

	if (print_line(&line, clock_wall_ms(j->clock), path, op, err, cause) < 0) {
		buf_done(&line);
		return;
	}
	char **place = &j->lines[j->total++ % JOURNAL_MAX_LINES];
	free(*place);
	*place = buf_steal(&line);
}

size_t journal_total(const struct journal *j)
{
	return j->total;
}

int journal_print(const struct journal *j, struct buf *out)
{
	for (size_t i = 0; i < JOURNAL_MAX_LINES; i++) {
		const char *line = j->lines[(j->total + i) % JOURNAL_MAX_LINES];
		int r = line ? buf_puts(out, line) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}
