/* SPDX-License-Identifier: MIT */
#include "doctor.h"

#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#define NAME_COLUMN 15

void doctor_say(struct doctor *d, enum doctor_word word, const char *name, const char *fmt, ...)
{
	static const char *const words[] = { "ok", "note", "FAIL", "-" };
	char text[MESSAGE_MAX_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	message_clean(text);
	fprintf(d->out, "%-6s%-*s%s\n", words[word], NAME_COLUMN, name, text);
	fflush(d->out); /* what follows may take its time, or fork */
	d->n_failed += word == DOCTOR_FAIL;
}

int doctor_run(const struct options *options, FILE *out)
{
	struct doctor d = { .options = options, .out = out, .root = "", .uid = geteuid() };

	signal(SIGPIPE, SIG_IGN); /* a server that goes away is a finding, not our end */
	doctor_check_machine(&d);
	doctor_check_api(&d);
	if (d.n_failed)
		fprintf(out, "Mounting would fail: %u problem%s.\n", d.n_failed,
			d.n_failed == 1 ? "" : "s");
	else
		fputs("Mounting would work.\n", out);
	return d.n_failed ? 1 : 0;
}
