/* SPDX-License-Identifier: MIT */
/* A program of the build, not installed: puts the options of -o into a shell's
 * completion, so that these cannot fall behind the table.
 *
 *	stacksfs-completion bash|zsh|fish TEMPLATE >COMPLETION
 *
 * A line @OPTIONS@ becomes a line for each option, in the shell's own form;
 * @FILE_OPTIONS@ and @DIR_OPTIONS@ become a pattern of those whose value is a
 * path. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "options.h"

DEFINE_CLEANUP(char, free)
DEFINE_CLEANUP(FILE, fclose)

/* "tokens=no" has one value, which is as good as a part of its name. */
static const char *fixed_value(const struct options_entry *e)
{
	return e->value && e->value[0] >= 'a' && e->value[0] <= 'z' ? e->value : "";
}

/* Help on one line, with a backslash before what is in special; an apostrophe
 * ends a quoted word in every shell. */
static void put_help(const char *help, const char *special)
{
	for (; *help; help++) {
		if (*help == '\'') {
			fputs("'\\''", stdout);
			continue;
		}
		if (strchr(special, *help))
			putchar('\\');
		putchar(*help == '\n' ? ' ' : *help);
	}
}

static void put_bash(const struct options_entry *e, bool last)
{
	printf("\t'%s%s%s'\n", e->name, e->value ? "=" : "", fixed_value(e));
}

static void put_zsh_value(const char *value)
{
	putchar(':');
	put_help(value, ":\\");
	printf(":%s", strcmp(value, "FILE") == 0  ? "_files"
		      : strcmp(value, "DIR") == 0 ? "_directories"
						  : "");
}

static void put_zsh(const struct options_entry *e, bool last)
{
	const char *fixed = fixed_value(e);

	printf("\t\t'%s[", e->name);
	put_help(e->help, "[]:\\");
	putchar(']');
	if (fixed[0])
		printf(":value:(%s)", fixed);
	else if (e->value)
		put_zsh_value(e->value);
	printf("'%s\n", last ? "" : " \\");
}

static void put_fish(const struct options_entry *e, bool last)
{
	printf("        '%s%s%s'\\t'", e->name, e->value ? "=" : "", fixed_value(e));
	put_help(e->help, "\\");
	printf("'%s\n", last ? "" : " \\");
}

static const struct shell {
	const char *name;
	void (*put)(const struct options_entry *e, bool last);
	const char *before, *after, *between; /* names in a pattern */
} shells[] = {
	{ "bash", put_bash, "", "", " | " },
	{ "zsh", put_zsh, "", "", " | " },
	{ "fish", put_fish, "'", "=*'", " " },
};

static void put_options(const struct shell *shell)
{
	struct options_entry e, next;
	bool more = options_describe(0, &e);

	for (size_t i = 1; more; i++) {
		more = options_describe(i, &next);
		shell->put(&e, !more);
		e = next;
	}
}

static void put_pattern(const struct shell *shell, const char *value)
{
	const char *between = "";
	struct options_entry e;

	for (size_t i = 0; options_describe(i, &e); i++) {
		if (!e.value || strcmp(e.value, value) != 0)
			continue;
		printf("%s%s%s%s", between, shell->before, e.name, shell->after);
		between = shell->between;
	}
}

static void put_line(const struct shell *shell, const char *line)
{
	static const struct {
		const char *mark, *value;
	} marks[] = { { "@FILE_OPTIONS@", "FILE" }, { "@DIR_OPTIONS@", "DIR" } };

	if (strcmp(line, "@OPTIONS@\n") == 0) {
		put_options(shell);
		return;
	}
	while (*line) {
		size_t i = 0;

		while (i < ARRAY_SIZE(marks) &&
		       strncmp(line, marks[i].mark, strlen(marks[i].mark)) != 0)
			i++;
		if (i == ARRAY_SIZE(marks)) {
			putchar(*line++);
			continue;
		}
		put_pattern(shell, marks[i].value);
		line += strlen(marks[i].mark);
	}
}

static int generate(const struct shell *shell, const char *path)
{
	CLEANUP(fclosep) FILE *template = fopen(path, "re");
	CLEANUP(freep) char *line = NULL;
	size_t size = 0;

	if (!template) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return EXIT_FAILURE;
	}
	while (getline(&line, &size, template) > 0)
		put_line(shell, line);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char *argv[])
{
	for (size_t i = 0; argc == 3 && i < ARRAY_SIZE(shells); i++)
		if (strcmp(argv[1], shells[i].name) == 0)
			return generate(&shells[i], argv[2]);
	fputs("usage: stacksfs-completion bash|zsh|fish TEMPLATE\n", stderr);
	return 2;
}
