/* SPDX-License-Identifier: MIT */
/* No message here ever holds a byte of what may be a token, and every buffer
 * that one passes through is wiped. */
#include "token.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define LOG_MODULE "token"
#include "base/log.h"

#define ENVIRONMENT "CELIGO_API_TOKEN"
#define CREDENTIAL  "stacksfs.token"

/* One byte more than a token can have, to see that there is too much. */
#define RAW_BYTES (SECRET_MAX_BYTES + 1)

DEFINE_CLEANUP(char, free)

static void raw_done(char **raw)
{
	if (*raw)
		explicit_bzero(*raw, RAW_BYTES);
	free(*raw);
}

static void fd_done(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

void token_done(struct token *token)
{
	free(token->path);
	*token = (struct token){ 0 };
}

/* ---- what a token is ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* where: the path or variable that text comes from.  Bytes outside 0x21-0x7e
 * are refused, because libcurl would put them into the request as they are: CR
 * LF would begin another header. */
static int accept_text(const char *where, const char *text, size_t len, struct secret **ret,
		       struct message *ret_why)
{
	if (len > SECRET_MAX_BYTES)
		return message_fail(ret_why, -EBADMSG, "%s: more than %d KiB, not a token", where,
				    SECRET_MAX_BYTES / 1024);
	while (len > 0 && is_blank(text[len - 1]))
		len--;
	if (len == 0)
		return message_fail(ret_why, -EBADMSG, "%s: no token in it, only blanks", where);
	if (memchr(text, '\n', len))
		return message_fail(ret_why, -EBADMSG, "%s: more than one line, not a token",
				    where);
	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x21 || text[i] > 0x7e)
			return message_fail(ret_why, -EBADMSG,
					    "%s: byte %zu cannot be part of a token", where, i + 1);

	int r = secret_new(text, len, ret);
	return r < 0 ? message_fail(ret_why, r, "%s: %s", where, strerror(-r)) : 0;
}

/* ---- a file ---- */

static int check_file(int fd, const char *path, bool credential, struct message *ret_why)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return message_fail(ret_why, -errno, "%s: %s", path, strerror(errno));
	/* A pipe could not be read again after a 401. */
	if (!S_ISREG(st.st_mode))
		return message_fail(ret_why, -EINVAL, "%s: not a regular file", path);
	if (!credential && (st.st_mode & (S_IRWXG | S_IRWXO)))
		return message_fail(ret_why, -EPERM,
				    "%s: this token file is open to others; run: chmod 600 %s",
				    path, path);
	return 0;
}

/* Up to RAW_BYTES of the file. */
static int read_raw(int fd, char *raw, size_t *ret_len)
{
	size_t len = 0;

	while (len < RAW_BYTES) {
		ssize_t n = read(fd, raw + len, RAW_BYTES - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

static int load_file(const struct token *source, struct secret **ret, struct message *ret_why)
{
	const char *path = source->path;
	CLEANUP(raw_done) char *raw = NULL;
	size_t len = 0;
	int r;

	/* O_NONBLOCK: opening a FIFO would wait for a writer. */
	CLEANUP(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return message_fail(ret_why, -errno, "%s: %s", path, strerror(errno));
	r = check_file(fd, path, source->credential, ret_why);
	if (r < 0)
		return r;
	raw = malloc(RAW_BYTES);
	if (!raw)
		return message_fail(ret_why, -ENOMEM, "out of memory");
	r = read_raw(fd, raw, &len);
	if (r < 0)
		return message_fail(ret_why, r, "%s: %s", path, strerror(-r));
	return accept_text(path, raw, len, ret, ret_why);
}

/* ---- the environment ---- */

/* The kernel shows the bytes that the process was started with, so that
 * unsetenv(3) alone would hide nothing; and a name may be there twice. */
static void wipe_environment(void)
{
	static const char prefix[] = ENVIRONMENT "=";

	for (char **e = environ; e && *e; e++)
		if (strncmp(*e, prefix, strlen(prefix)) == 0)
			explicit_bzero(*e + strlen(prefix), strlen(*e + strlen(prefix)));
	unsetenv(ENVIRONMENT);
}

/* ---- a prompt ---- */

static const int prompt_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

struct prompt {
	int tty;
	struct termios termios;
	sigset_t mask;
	struct sigaction actions[ARRAY_SIZE(prompt_signals)];
};

static volatile sig_atomic_t prompt_signal; /* the last that came; 0: none */

static void on_prompt_signal(int signal)
{
	prompt_signal = signal;
}

/* Signals are blocked but for the wait in ppoll(2), so that none is missed
 * between a look at prompt_signal and a read. */
static int prompt_begin(struct prompt *p)
{
	struct sigaction action = { .sa_handler = on_prompt_signal };
	struct termios quiet;
	sigset_t block;

	if (tcgetattr(p->tty, &p->termios) < 0)
		return -errno;
	prompt_signal = 0;
	sigemptyset(&block);
	for (size_t i = 0; i < ARRAY_SIZE(prompt_signals); i++)
		sigaddset(&block, prompt_signals[i]);
	sigprocmask(SIG_BLOCK, &block, &p->mask);
	for (size_t i = 0; i < ARRAY_SIZE(prompt_signals); i++)
		sigaction(prompt_signals[i], &action, &p->actions[i]);

	quiet = p->termios;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	(void)tcsetattr(p->tty, TCSAFLUSH, &quiet);
	dprintf(p->tty, "Bearer token of the integrator.io account: ");
	return 0;
}

static void prompt_end(const struct prompt *p)
{
	(void)tcsetattr(p->tty, TCSAFLUSH, &p->termios);
	dprintf(p->tty, "\n"); /* the user's own was not echoed */
	for (size_t i = 0; i < ARRAY_SIZE(prompt_signals); i++)
		sigaction(prompt_signals[i], &p->actions[i], NULL);
	sigprocmask(SIG_SETMASK, &p->mask, NULL);
}

/* A line, or what there is of it at the end of file.  -EINTR. */
static int prompt_read(const struct prompt *p, char *raw, size_t *ret_len)
{
	struct pollfd fd = { .fd = p->tty, .events = POLLIN };
	size_t len = 0;

	while (len < RAW_BYTES && (len == 0 || raw[len - 1] != '\n')) {
		int ready = ppoll(&fd, 1, NULL, &p->mask);

		if (prompt_signal)
			return -EINTR;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready <= 0)
			continue;
		ssize_t n = read(p->tty, raw + len, RAW_BYTES - len);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

static int prompt_once(int tty, char *raw, size_t *ret_len)
{
	struct prompt p = { .tty = tty };
	int r = prompt_begin(&p);

	if (r < 0)
		return r;
	r = prompt_read(&p, raw, ret_len);
	prompt_end(&p);
	if (r == -EINTR)
		raise(prompt_signal); /* as if we had not caught it */
	return r;
}

static int prompt(struct secret **ret, struct message *ret_why)
{
	CLEANUP(fd_done) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	CLEANUP(raw_done) char *raw = NULL;
	size_t len = 0;
	int r;

	if (tty < 0)
		return message_fail(ret_why, -errno, "/dev/tty: %s", strerror(errno));
	raw = malloc(RAW_BYTES);
	if (!raw)
		return message_fail(ret_why, -ENOMEM, "out of memory");
	do {
		r = prompt_once(tty, raw, &len);
	} while (r == -EINTR && prompt_signal == SIGTSTP); /* stopped, and now continued */
	if (r < 0)
		return message_fail(ret_why, r, "no token: %s", strerror(-r));
	return accept_text("the terminal", raw, len, ret, ret_why);
}

/* ---- which of them ---- */

/* *ret: $CREDENTIALS_DIRECTORY/stacksfs.token when there is such a file, or NULL. */
static int find_credential(char **ret)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	CLEANUP(freep) char *path = NULL;

	*ret = NULL;
	if (!dir || !*dir)
		return 0;
	if (asprintf(&path, "%s/%s", dir, CREDENTIAL) < 0) {
		path = NULL; /* asprintf(3): undefined after a failure */
		return -ENOMEM;
	}
	if (access(path, F_OK) == 0 || errno != ENOENT)
		*ret = TAKE_PTR(path);
	return 0;
}

static int find_path(const char *file, struct token *source)
{
	if (!file) {
		source->credential = true;
		return find_credential(&source->path);
	}
	source->path = strdup(file);
	return source->path ? 0 : -ENOMEM;
}

static int find(const char *file, struct token *source, struct secret **ret,
		struct message *ret_why)
{
	int r = find_path(file, source);

	if (r < 0)
		return message_fail(ret_why, r, "out of memory");
	if (source->path)
		return load_file(source, ret, ret_why);

	const char *text = getenv(ENVIRONMENT);
	if (text && *text)
		return accept_text(ENVIRONMENT, text, strlen(text), ret, ret_why);
	if (isatty(STDIN_FILENO))
		return prompt(ret, ret_why);
	return message_fail(ret_why, -ENOENT,
			    "no token: set " ENVIRONMENT " or give -o token_file=FILE");
}

int token_find(const char *file, struct token *ret_source, struct secret **ret,
	       struct message *ret_why)
{
	CLEANUP(token_done) struct token source = { 0 };
	int r = find(file, &source, ret, ret_why);

	wipe_environment();
	if (r < 0)
		return r;
	*ret_source = source;
	source = (struct token){ 0 };
	return 0;
}

int token_load(void *arg, struct secret **ret)
{
	struct token *source = arg;
	struct message why = { "" };
	int r = source->path ? load_file(source, ret, &why) : -ENOENT;

	/* Each call that is refused asks again. */
	if (r < 0 && why.text[0] && strcmp(why.text, source->said.text) != 0)
		log_warning("the token was refused, and there is no other: %s", why.text);
	source->said = why;
	return r;
}
