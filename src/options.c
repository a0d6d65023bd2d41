/* SPDX-License-Identifier: MIT */
/* The story of a command line: the words are walked once, which sorts them into
 * flags, operands and -o lists; the lists are applied only then, because
 * mount(8) may say -s (ignore what you do not know) after them; at last the
 * operands get their meaning and libfuse its arguments.
 *
 * A value given by -o is repeated in a message only where a number is wanted:
 * somebody may have put a token there. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"

DEFINE_CLEANUP(char, free)

enum kind {
	KIND_NUMBER, /* unsigned, min to max */
	KIND_MODE,   /* unsigned, octal, up to max */
	KIND_BYTES,  /* unsigned, min to max; K, M or G may follow */
	KIND_YES_NO, /* bool, "yes" or "no" */
	KIND_ON,     /* bool, becomes true; no value */
	KIND_OFF,    /* bool, becomes false; no value */
	KIND_TEXT,   /* char *, at least min bytes */
	KIND_PATH,   /* char *, made absolute: a daemon's directory is / */
	KIND_PASS,   /* goes to libfuse as it is */
	KIND_IGNORE, /* with or without a value */
	KIND_NEVER,  /* an error with a text of its own */
};

struct row {
	const char *name; /* a final '*' stands for anything */
	enum kind kind;
	const char *value; /* what --help calls it; NULL: none */
	const char *what;  /* of numbers, "ttl=x: not ..."; of KIND_NEVER the error */
	size_t offset;     /* of the member in struct options */
	unsigned min, max;
	const char *help; /* NULL: accepted, but not told */
};

#define TO(member) offsetof(struct options, member)
#define SECONDS    "a number of seconds"

/* What is told comes first, in the order of --help. */
static const struct row rows[] = {
	{ "token_file", KIND_PATH, "FILE", NULL, TO(token_file), 0, 0,
	  "file with the bearer token, readable by you alone" },
	{ "ttl", KIND_NUMBER, "SECONDS", SECONDS, TO(ttl_s), 0, OPTIONS_MAX_TTL_S,
	  "how long an answer is fresh (30; 0: ask every time)" },
	{ "stale", KIND_NUMBER, "SECONDS", SECONDS, TO(stale_s), 0, OPTIONS_MAX_STALE_S,
	  "how long an old answer may be served while the API\ncannot be reached (3600)" },
	{ "timeout", KIND_NUMBER, "SECONDS", SECONDS, TO(timeout_s), 1, OPTIONS_MAX_TIMEOUT_S,
	  "within which a call ends, retries included (30)" },
	{ "rate", KIND_NUMBER, "N", "a number of requests per second", TO(rate_per_s), 0,
	  OPTIONS_MAX_RATE, "requests per second to keep to (100; 0: no limit)" },
	{ "grace", KIND_NUMBER, "SECONDS", SECONDS, TO(grace_s), 1, OPTIONS_MAX_GRACE_S,
	  "how long what a program hid stays hidden after its\nlast request in the directory (10)" },
	{ "overwrite", KIND_ON, NULL, NULL, TO(overwrite), 0, 0,
	  "a save never conflicts: the last writer wins" },
	{ "rotate_by", KIND_TEXT, "NAME:...", NULL, TO(rotate_by), 0, 0,
	  "programs whose unlink of a systemToken rotates it\n(rm:unlink)" },
	{ "state", KIND_PATH, "DIR", NULL, TO(state), 0, 0,
	  "where history and what could not be saved is kept\n"
	  "($XDG_STATE_HOME/stacksfs); none: nowhere" },
	{ "scratch", KIND_BYTES, "BYTES", "a number of bytes (K, M or G may follow)", TO(scratch), 1u << 20,
	  1u << 30, "room for scratch files and drafts in all (64M)" },
	{ "tokens", KIND_YES_NO, "no", NULL, TO(tokens), 0, 0, "no systemToken files" },
	{ "ro", KIND_ON, NULL, NULL, TO(ro), 0, 0, "no change of any kind" },
	{ "dry_run", KIND_ON, NULL, NULL, TO(dry_run), 0, 0,
	  "changes are checked and written to .stacksfs/errors;\nnothing is sent" },
	{ "delete_in_use", KIND_ON, NULL, NULL, TO(delete_in_use), 0, 0,
	  "rm -r deletes also a stack that others depend on" },
	{ "max_delete", KIND_NUMBER, "N", "a number of stacks", TO(max_delete), 0, OPTIONS_MAX_LIMIT,
	  "stacks that may be deleted within a minute (10;\n0: no limit)" },
	{ "max_rotate", KIND_NUMBER, "N", "a number of tokens", TO(max_rotate), 0, OPTIONS_MAX_LIMIT,
	  "tokens that may be rotated within a minute (10;\n0: no limit)" },
	{ "cacert", KIND_PATH, "FILE", NULL, TO(cacert), 0, 0,
	  "certificates to trust, PEM (the system's)" },
	{ "proxy", KIND_TEXT, "URL", NULL, TO(proxy), 0, 0,
	  "as curl's; empty: none (the environment's)" },
	{ "uid", KIND_NUMBER, "N", "a numeric user id", TO(uid), 0, UINT_MAX - 1,
	  "owner of the files (you)" },
	{ "gid", KIND_NUMBER, "N", "a numeric group id", TO(gid), 0, UINT_MAX - 1,
	  "group of the files (yours)" },
	{ "umask", KIND_MODE, "OCTAL", NULL, TO(umask), 0, 0777,
	  "permissions to take away (077); never makes secrets\nreadable by others" },
	{ "allow_other", KIND_PASS, NULL, NULL, 0, 0, 0, "let other users in" },
	{ "allow_root", KIND_PASS, NULL, NULL, 0, 0, 0, "let root in" },
	{ "auto_unmount", KIND_PASS, NULL, NULL, 0, 0, 0,
	  "unmount when stacksfs dies: a crash then looks like\nan empty directory" },
	{ "fsname", KIND_TEXT, "NAME", NULL, TO(fsname), 1, 0,
	  "what df shows as the file system (SOURCE)" },

	{ "token", KIND_NEVER, NULL,
	  "token= would show the token to every user of this machine; give token_file=FILE or set "
	  "CELIGO_API_TOKEN",
	  0, 0, 0, NULL },
	{ "remount", KIND_NEVER, NULL,
	  "the options of a mount cannot be changed while it is there; unmount and mount anew", 0,
	  0, 0, NULL },
	{ "rw", KIND_OFF, NULL, NULL, TO(ro), 0, 0, NULL },
	{ "default_permissions", KIND_IGNORE }, /* always on */

	/* What libfuse 3.14 knows of the kernel's; the rest it refuses. */
	{ "noexec", KIND_PASS },
	{ "noatime", KIND_PASS },
	{ "sync", KIND_PASS },
	{ "dirsync", KIND_PASS },
	{ "context", KIND_PASS, "CONTEXT" },
	{ "fscontext", KIND_PASS, "CONTEXT" },
	{ "defcontext", KIND_PASS, "CONTEXT" },
	{ "rootcontext", KIND_PASS, "CONTEXT" },

	/* From fstab and mount(8).  nosuid and nodev are always on: there is
	 * nothing here for suid and dev, which mount.fuse3 adds, to allow. */
	{ "defaults", KIND_IGNORE },
	{ "_netdev", KIND_IGNORE },
	{ "auto", KIND_IGNORE },
	{ "noauto", KIND_IGNORE },
	{ "nofail", KIND_IGNORE },
	{ "user", KIND_IGNORE },
	{ "nouser", KIND_IGNORE },
	{ "users", KIND_IGNORE },
	{ "nousers", KIND_IGNORE },
	{ "owner", KIND_IGNORE },
	{ "noowner", KIND_IGNORE },
	{ "group", KIND_IGNORE },
	{ "nogroup", KIND_IGNORE },
	{ "exec", KIND_IGNORE },
	{ "suid", KIND_IGNORE },
	{ "nosuid", KIND_IGNORE },
	{ "dev", KIND_IGNORE },
	{ "nodev", KIND_IGNORE },
	{ "async", KIND_IGNORE },
	{ "atime", KIND_IGNORE },
	{ "diratime", KIND_IGNORE },
	{ "nodiratime", KIND_IGNORE },
	{ "relatime", KIND_IGNORE },
	{ "norelatime", KIND_IGNORE },
	{ "lazytime", KIND_IGNORE },
	{ "nolazytime", KIND_IGNORE },
	{ "strictatime", KIND_IGNORE },
	{ "nostrictatime", KIND_IGNORE },
	{ "mand", KIND_IGNORE },
	{ "nomand", KIND_IGNORE },
	{ "iversion", KIND_IGNORE },
	{ "noiversion", KIND_IGNORE },
	{ "silent", KIND_IGNORE },
	{ "loud", KIND_IGNORE },
	{ "comment", KIND_IGNORE },
	{ "uhelper", KIND_IGNORE },
	{ "helper", KIND_IGNORE },
	{ "x-*", KIND_IGNORE },
	{ "X-*", KIND_IGNORE },
};

/* The first argument, unless mount(8) calls. */
static const struct subcommand {
	const char *name;
	enum options_command command;
	unsigned min_operands, max_operands;
} mount_command = { NULL, OPTIONS_MOUNT, 1, 2 }, subcommands[] = {
	{ "status", OPTIONS_STATUS, 0, 1 },
	{ "refresh", OPTIONS_REFRESH, 1, 1 },
	{ "doctor", OPTIONS_DOCTOR, 0, 2 },
};

struct parser {
	struct options options;
	struct message *why;
	const struct subcommand *sub;
	bool helper; /* called by mount(8) */
	bool sloppy; /* -s: ignore unknown options */
	int argc;
	int at; /* the next word */
	char *const *argv;
	const char *operands[2];
	unsigned n_operands;
	const char **lists; /* of -o, argc places */
	unsigned n_lists;
};

static void parser_done(struct parser *p)
{
	options_done(&p->options);
	free(p->lists);
}

void options_done(struct options *o)
{
	free(o->source);
	free(o->mountpoint);
	free(o->token_file);
	free(o->cacert);
	free(o->proxy);
	free(o->fsname);
	free(o->rotate_by);
	free(o->state);
	for (int i = 0; i < o->fuse_argc; i++)
		free(o->fuse_argv[i]);
	free(o->fuse_argv);
	*o = (struct options){ 0 };
}

/* ---- libfuse's arguments ---- */

static int add_fuse_arg(struct options *o, const char *arg)
{
	char **argv = reallocarray(o->fuse_argv, (size_t)o->fuse_argc + 2, sizeof(*argv));

	if (!argv)
		return -ENOMEM;
	o->fuse_argv = argv;
	argv[o->fuse_argc] = strdup(arg);
	if (!argv[o->fuse_argc])
		return -ENOMEM;
	argv[++o->fuse_argc] = NULL;
	return 0;
}

/* libfuse takes a comma for the end of an option unless a backslash is before
 * it (fuse_opt.h, fuse_opt_add_opt_escaped). */
static int add_fuse_option(struct parser *p, const char *name, const char *value)
{
	CLEANUP(buf_done) struct buf arg = BUF_INIT(2 * PATH_MAX);
	int r = buf_printf(&arg, "-o%s%s", name, value ? "=" : "");

	for (; r == 0 && value && *value; value++) {
		if (*value == ',' || *value == '\\')
			r = buf_puts(&arg, "\\");
		if (r == 0)
			r = buf_append(&arg, value, 1);
	}
	if (r == -EMSGSIZE)
		return message_fail(p->why, -EINVAL, "%s: the value is too long", name);
	return r < 0 ? r : add_fuse_arg(&p->options, arg.data);
}

/* ---- -o: one function for each kind ---- */

static void *member(struct parser *p, const struct row *row)
{
	return (char *)&p->options + row->offset;
}

static int apply_number(struct parser *p, const struct row *row, const char *value)
{
	uint64_t n;
	int r = num_parse_u64(value, strlen(value), UINT_MAX, &n);

	if (r == -EINVAL)
		return message_fail(p->why, r, "%s=%s: not %s", row->name, value, row->what);
	if (r < 0 || n < row->min || n > row->max)
		return message_fail(p->why, -EINVAL, "%s=%s: not between %u and %u", row->name,
				    value, row->min, row->max);
	*(unsigned *)member(p, row) = (unsigned)n;
	return 0;
}

static int apply_mode(struct parser *p, const struct row *row, const char *value)
{
	size_t digits = strspn(value, "01234567");
	unsigned mode = 0;

	for (size_t i = 0; i < digits && mode <= row->max; i++)
		mode = mode * 8 + (unsigned)(value[i] - '0');
	if (digits == 0 || value[digits] || mode > row->max)
		return message_fail(p->why, -EINVAL, "%s=%s: not an octal number up to %o",
				    row->name, value, row->max);
	*(unsigned *)member(p, row) = mode;
	return 0;
}

static int apply_bytes(struct parser *p, const struct row *row, const char *value)
{
	static const char units[] = "KMG";
	size_t digits = strspn(value, "0123456789");
	const char *unit = value[digits] ? strchr(units, toupper((unsigned char)value[digits])) : NULL;
	uint64_t n;

	if ((value[digits] && (!unit || value[digits + 1])) ||
	    num_parse_u64(value, digits, UINT_MAX, &n) < 0)
		return message_fail(p->why, -EINVAL, "%s=%s: not %s", row->name, value, row->what);
	n <<= unit ? 10 * (unit - units + 1) : 0;
	if (n < row->min || n > row->max)
		return message_fail(p->why, -EINVAL, "%s=%s: not between %u and %u", row->name,
				    value, row->min, row->max);
	*(unsigned *)member(p, row) = (unsigned)n;
	return 0;
}

static int apply_yes_no(struct parser *p, const struct row *row, const char *value)
{
	bool yes = strcmp(value, "yes") == 0;

	if (!yes && strcmp(value, "no") != 0)
		return message_fail(p->why, -EINVAL, "%s= takes yes or no", row->name);
	*(bool *)member(p, row) = yes;
	return 0;
}

static int apply_on(struct parser *p, const struct row *row, const char *value)
{
	*(bool *)member(p, row) = true;
	return 0;
}

static int apply_off(struct parser *p, const struct row *row, const char *value)
{
	*(bool *)member(p, row) = false;
	return 0;
}

static int replace(char **field, char *text)
{
	if (!text)
		return -ENOMEM;
	free(*field);
	*field = text;
	return 0;
}

static int apply_text(struct parser *p, const struct row *row, const char *value)
{
	if (strlen(value) < row->min)
		return message_fail(p->why, -EINVAL, "%s= needs a value", row->name);
	return replace(member(p, row), strdup(value));
}

static int apply_path(struct parser *p, const struct row *row, const char *value)
{
	CLEANUP(freep) char *cwd = NULL;
	char *path;

	if (!*value)
		return message_fail(p->why, -EINVAL, "%s= needs a value", row->name);
	if (*value == '/' || (row->offset == TO(state) && strcmp(value, "none") == 0))
		return replace(member(p, row), strdup(value));
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return message_fail(p->why, -EINVAL, "%s=%s: not to be found from here: %s",
				    row->name, value, strerror(errno));
	if (asprintf(&path, "%s/%s", cwd, value) < 0)
		return -ENOMEM;
	return replace(member(p, row), path);
}

static int apply_pass(struct parser *p, const struct row *row, const char *value)
{
	return add_fuse_option(p, row->name, value);
}

static int apply_ignore(struct parser *p, const struct row *row, const char *value)
{
	return 0;
}

static int apply_never(struct parser *p, const struct row *row, const char *value)
{
	return message_fail(p->why, -EINVAL, "%s", row->what);
}

static const struct {
	int (*apply)(struct parser *p, const struct row *row, const char *value);
	enum { VALUE_NONE, VALUE_NEEDED, VALUE_AS_ROW, VALUE_ANY } takes;
} kinds[] = {
	[KIND_NUMBER] = { apply_number, VALUE_NEEDED }, [KIND_MODE] = { apply_mode, VALUE_NEEDED },
	[KIND_BYTES] = { apply_bytes, VALUE_NEEDED },
	[KIND_YES_NO] = { apply_yes_no, VALUE_NEEDED }, [KIND_ON] = { apply_on, VALUE_NONE },
	[KIND_OFF] = { apply_off, VALUE_NONE },         [KIND_TEXT] = { apply_text, VALUE_NEEDED },
	[KIND_PATH] = { apply_path, VALUE_NEEDED },     [KIND_PASS] = { apply_pass, VALUE_AS_ROW },
	[KIND_IGNORE] = { apply_ignore, VALUE_ANY },    [KIND_NEVER] = { apply_never, VALUE_ANY },
};

/* ---- -o: the list ---- */

static const struct row *find_row(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = strlen(rows[i].name);
		bool open = rows[i].name[len - 1] == '*';

		if (open ? strncmp(rows[i].name, name, len - 1) == 0
			 : strcmp(rows[i].name, name) == 0)
			return &rows[i];
	}
	return NULL;
}

#define MAX_HINT_BYTES 32u

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* How many letters must be changed, added, taken or swapped with their
 * neighbour to make b of a; both shorter than MAX_HINT_BYTES. */
static unsigned distance(const char *a, const char *b)
{
	unsigned d[MAX_HINT_BYTES][MAX_HINT_BYTES];
	size_t la = strlen(a), lb = strlen(b);

	for (size_t i = 0; i <= la; i++) {
		for (size_t j = 0; j <= lb; j++) {
			if (i == 0 || j == 0) {
				d[i][j] = (unsigned)(i + j);
				continue;
			}
			bool same = tolower((unsigned char)a[i - 1]) == b[j - 1];

			d[i][j] =
				least(d[i - 1][j - 1] + !same, least(d[i - 1][j], d[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[la][lb];
}

/* The option that name may have been meant for, or NULL. */
static const char *hint(const char *name)
{
	const char *best = NULL;
	unsigned best_distance = (unsigned)strlen(name) / 3 + 1;

	for (size_t i = 0; i < ARRAY_SIZE(rows) && strlen(name) < MAX_HINT_BYTES; i++) {
		if (!rows[i].help)
			continue;
		unsigned d = distance(name, rows[i].name);

		if (d < best_distance) {
			best = rows[i].name;
			best_distance = d;
		}
	}
	return best;
}

static int unknown_option(struct parser *p, const char *name)
{
	if (p->sloppy)
		return 0;
	const char *meant = hint(name);

	if (!meant)
		return message_fail(p->why, -EINVAL, "unknown option '%s'", name);
	return message_fail(p->why, -EINVAL, "unknown option '%s'; is '%s' meant?", name, meant);
}

/* item: "name" or "name=value"; changed in place. */
static int apply_item(struct parser *p, char *item)
{
	char *value = strchr(item, '=');

	if (value)
		*value++ = '\0';
	const struct row *row = find_row(item);
	if (!row)
		return unknown_option(p, item);

	int takes = kinds[row->kind].takes;
	if (takes == VALUE_AS_ROW)
		takes = row->value ? VALUE_NEEDED : VALUE_NONE;
	if (takes == VALUE_NEEDED && !value)
		return message_fail(p->why, -EINVAL, "%s needs a value: %s=%s", item, item,
				    row->value);
	if (takes == VALUE_NONE && value)
		return message_fail(p->why, -EINVAL, "%s takes no value", item);
	return kinds[row->kind].apply(p, row, value);
}

/* Copy the first item of a list, up to a comma without a backslash before it,
 * and give what follows.  "\," and "\\" are a comma and a backslash. */
static const char *take_item(const char *list, char *item)
{
	while (*list && *list != ',') {
		if (*list == '\\' && (list[1] == ',' || list[1] == '\\'))
			list++;
		*item++ = *list++;
	}
	*item = '\0';
	return *list ? list + 1 : list;
}

static int apply_list(struct parser *p, const char *list)
{
	CLEANUP(freep) char *item = malloc(strlen(list) + 1);
	int r = 0;

	if (!item)
		return -ENOMEM;
	while (r == 0 && *list) {
		list = take_item(list, item);
		if (*item)
			r = apply_item(p, item);
	}
	return r;
}

/* ---- the words ---- */

static int unknown_flag(struct parser *p, const char *flag)
{
	return message_fail(p->why, -EINVAL, "unknown option %s", flag);
}

static int scan_flag(struct parser *p, char flag)
{
	bool mounts = p->sub->command == OPTIONS_MOUNT;

	if (flag == 'h')
		p->options.command = OPTIONS_HELP;
	else if (flag == 'V')
		p->options.command = OPTIONS_VERSION;
	else if (flag == 'f' && p->helper)
		p->options.fake = true;
	else if (flag == 'f' && mounts)
		p->options.foreground = true;
	else if (flag == 'd' && mounts)
		p->options.foreground = p->options.debug = true;
	else if (flag == 's' && p->helper)
		p->sloppy = true;
	else if ((flag != 'v' && flag != 'n') || !p->helper)
		return unknown_flag(p, (char[]){ '-', flag, '\0' });
	return 0;
}

/* The flags that take a value, of mount(8) and of people. */
static const char *valued_flags(const struct parser *p)
{
	if (p->helper)
		return "otN";
	return p->sub->command == OPTIONS_MOUNT || p->sub->command == OPTIONS_DOCTOR ? "o" : "";
}

static int scan_valued(struct parser *p, char flag, const char *value)
{
	if (!value)
		return message_fail(p->why, -EINVAL, "-%c needs a value", flag);
	if (flag == 'N')
		return message_fail(p->why, -EINVAL, "-N: cannot mount in another namespace");
	if (flag == 'o')
		p->lists[p->n_lists++] = value;
	return 0; /* -t TYPE says only what we are */
}

static int scan_short(struct parser *p, const char *flags)
{
	int r = 0;

	for (; r == 0 && *flags; flags++) {
		if (!strchr(valued_flags(p), *flags)) {
			r = scan_flag(p, *flags);
			continue;
		}
		const char *value = flags[1] ? flags + 1 : NULL;

		if (!value && p->at < p->argc)
			value = p->argv[p->at++];
		return scan_valued(p, *flags, value);
	}
	return r;
}

static int scan_long(struct parser *p, const char *word)
{
	bool status = p->sub->command == OPTIONS_STATUS;
	enum options_format format = OPTIONS_FOR_PEOPLE;

	if (strcmp(word, "--help") == 0)
		return scan_flag(p, 'h');
	if (strcmp(word, "--version") == 0)
		return scan_flag(p, 'V');
	if (status && strcmp(word, "--json") == 0)
		format = OPTIONS_JSON;
	else if (status && strcmp(word, "--check") == 0)
		format = OPTIONS_CHECK;
	else
		return unknown_flag(p, word);
	if (p->options.format != OPTIONS_FOR_PEOPLE && p->options.format != format)
		return message_fail(p->why, -EINVAL, "--json or --check, not both");
	p->options.format = format;
	return 0;
}

static int scan_operand(struct parser *p, const char *word)
{
	if (p->n_operands == p->sub->max_operands)
		return message_fail(p->why, -EINVAL, "one operand too many: '%s'", word);
	p->operands[p->n_operands++] = word;
	return 0;
}

static int scan_words(struct parser *p)
{
	bool only_operands = false;
	int r = 0;

	while (r == 0 && p->at < p->argc) {
		const char *word = p->argv[p->at++];

		if (only_operands || word[0] != '-' || !word[1])
			r = scan_operand(p, word);
		else if (strcmp(word, "--") == 0)
			only_operands = true;
		else if (word[1] == '-')
			r = scan_long(p, word);
		else
			r = scan_short(p, word + 1);
	}
	return r;
}

/* ---- what they mean ---- */

/* mount(8) calls /sbin/mount.stacksfs and /sbin/mount.fuse.stacksfs. */
static bool is_mount_helper(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');

	return strncmp(slash ? slash + 1 : argv0, "mount.", strlen("mount.")) == 0;
}

static void pick_subcommand(struct parser *p)
{
	p->sub = &mount_command;
	for (size_t i = 0; i < ARRAY_SIZE(subcommands) && !p->helper && p->at < p->argc; i++) {
		if (strcmp(p->argv[p->at], subcommands[i].name) == 0) {
			p->sub = &subcommands[i];
			p->at++;
			break;
		}
	}
	p->options.command = p->sub->command;
}

/* "none" is how fstab writes an empty field. */
static const char *source_or_default(const char *given)
{
	if (given && *given && strcmp(given, "none") != 0)
		return given;
	const char *url = getenv("CELIGO_BASE_URL");

	return url && *url ? url : "us";
}

static int take_mount_operands(struct parser *p)
{
	struct options *o = &p->options;
	const char *source = p->n_operands == 2 ? p->operands[0] : NULL;
	int r = replace(&o->source, strdup(source_or_default(source)));

	if (r < 0 || o->fsname)
		return r;
	/* As fstab has it, "none" too: by this mount -a sees that it is mounted. */
	return replace(&o->fsname, strdup(source && *source ? source : o->source));
}

/* A mount point of such a name is written ./us. */
static bool is_source(const char *word)
{
	static const char *const names[] = { "us", "eu", "none" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(word, names[i]) == 0)
			return true;
	return strstr(word, "://") != NULL;
}

/* Both may be missing, so one alone is what it looks like. */
static int take_doctor_operands(struct parser *p)
{
	const char *source = NULL, *mountpoint = NULL;

	for (unsigned i = 0; i < p->n_operands; i++) {
		bool first_of_two = p->n_operands == 2 && i == 0;

		if (first_of_two || (p->n_operands == 1 && is_source(p->operands[i])))
			source = p->operands[i];
		else
			mountpoint = p->operands[i];
	}
	int r = replace(&p->options.source, strdup(source_or_default(source)));
	if (r < 0 || !mountpoint)
		return r;
	return replace(&p->options.mountpoint, strdup(mountpoint));
}

static int take_operands(struct parser *p)
{
	struct options *o = &p->options;

	if (p->n_operands < p->sub->min_operands)
		return message_fail(p->why, -EINVAL, "no MOUNTPOINT given");
	if (p->n_operands > 0 && !*p->operands[p->n_operands - 1])
		return message_fail(p->why, -EINVAL, "the MOUNTPOINT is empty");
	if (o->command == OPTIONS_DOCTOR)
		return take_doctor_operands(p);
	if (p->n_operands == 0)
		return 0;
	int r = replace(&o->mountpoint, strdup(p->operands[p->n_operands - 1]));
	return r < 0 || o->command != OPTIONS_MOUNT ? r : take_mount_operands(p);
}

static int add_fixed_fuse_args(struct parser *p)
{
	static const char *const fixed[] = { "-osubtype=stacksfs", "-odefault_permissions" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(fixed); i++)
		r = add_fuse_arg(&p->options, fixed[i]);
	return r < 0 ? r : add_fuse_option(p, "fsname", p->options.fsname);
}

static int parse(struct parser *p)
{
	int r = add_fuse_arg(&p->options, "stacksfs");

	if (r < 0)
		return r;
	pick_subcommand(p);
	r = scan_words(p);
	if (r < 0 || p->options.command == OPTIONS_HELP || p->options.command == OPTIONS_VERSION)
		return r;
	for (unsigned i = 0; r == 0 && i < p->n_lists; i++)
		r = apply_list(p, p->lists[i]);
	if (r == 0)
		r = take_operands(p);
	if (r == 0 && p->options.command == OPTIONS_MOUNT)
		r = add_fixed_fuse_args(p);
	return r;
}

int options_parse(int argc, char *const argv[], struct options *ret, struct message *ret_why)
{
	CLEANUP(parser_done)
	struct parser p = {
		.options = { .ttl_s = 30,
			     .stale_s = 3600,
			     .timeout_s = 30,
			     .rate_per_s = 100,
			     .grace_s = 10,
			     .rotate_by = strdup("rm:unlink"),
			     .scratch = 64u << 20,
			     .max_delete = 10,
			     .max_rotate = 10,
			     .tokens = true,
			     .uid = getuid(),
			     .gid = getgid(),
			     .umask = 077 },
		.why = ret_why,
		.helper = argc > 0 && is_mount_helper(argv[0]),
		.argc = argc,
		.at = 1,
		.argv = argv,
		.lists = calloc((size_t)argc + 1, sizeof(*p.lists)),
	};
	int r = p.lists && p.options.rotate_by ? parse(&p) : -ENOMEM;

	if (r == -ENOMEM)
		return message_fail(ret_why, r, "out of memory");
	if (r < 0)
		return r;
	*ret = p.options;
	p.options = (struct options){ 0 };
	return 0;
}

/* ---- --help ---- */

#define HELP_COLUMN 20

/* Text may have several lines; all begin in the same column. */
static void print_row(FILE *out, const char *left, const char *text)
{
	fprintf(out, "  %-*s", HELP_COLUMN, left);
	for (;;) {
		size_t len = strcspn(text, "\n");

		fprintf(out, "%.*s\n", (int)len, text);
		if (!text[len])
			return;
		text += len + 1;
		fprintf(out, "  %-*s", HELP_COLUMN, "");
	}
}

bool options_describe(size_t i, struct options_entry *ret)
{
	if (i >= ARRAY_SIZE(rows) || !rows[i].help) /* what is told comes first */
		return false;
	*ret = (struct options_entry){ rows[i].name, rows[i].value, rows[i].help };
	return true;
}

void options_help(FILE *out)
{
	struct options_entry e;

	fputs("Usage: stacksfs [SOURCE] MOUNTPOINT [-f] [-d] [-o OPTION[,OPTION]...]\n"
	      "       stacksfs status [--json|--check] [MOUNTPOINT]\n"
	      "       stacksfs refresh MOUNTPOINT\n"
	      "       stacksfs doctor [SOURCE] [MOUNTPOINT] [-o OPTION[,OPTION]...]\n"
	      "       stacksfs --help | --version\n"
	      "\n"
	      "Mounts the stacks of an integrator.io account as a directory tree.\n"
	      "SOURCE is us, eu or a base URL; without one $CELIGO_BASE_URL counts, then us.\n"
	      "The token is taken from token_file=, $CREDENTIALS_DIRECTORY/stacksfs.token,\n"
	      "$CELIGO_API_TOKEN or, on a terminal, a prompt.  To unmount: fusermount3 -u, or\n"
	      "umount as root.\n"
	      "\n",
	      out);
	print_row(out, "-f", "stay in the foreground, log to stderr");
	print_row(out, "-d", "the same, and log every request");
	print_row(out, "--json", "the status as JSON, one text for each mount");
	print_row(out, "--check", "one line; exit 1 when dead, stale, out of reach or a\nsave was refused");
	fputs("\nOptions of -o (and what mount(8) passes from fstab):\n", out);
	for (size_t i = 0; options_describe(i, &e); i++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%s%s", e.name, e.value ? "=" : "",
			 e.value ? e.value : "");
		print_row(out, left, e.help);
	}
}
