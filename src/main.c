/* SPDX-License-Identifier: MIT */
/* stacksfs mounts the stacks of an integrator.io account as a directory tree.
 *
 * The map of the sources, from here downwards; calls go down only:
 *
 *   main.c          this file: parse, build bottom-up, serve, tear down
 *   options.[ch]    the command line            token.[ch]    the bearer token
 *   daemon.[ch]     into the background         mountpoint.[ch] what is mounted where
 *   command.[ch] status.[ch] bounded.[ch]       the subcommands
 *   doctor.[ch] doctor_machine.c doctor_api.c   what mounting needs
 *   message.[ch]    one line for people
 *
 *   fuse/     mount     the session            ops       requests in, replies out
 *             notify    what the kernel drops  interrupt callers with a signal pending
 *             device    what libfuse does not do
 *   fs/       fs        running and parking operations
 *             lookup    names to nodes         node      attributes
 *             file      open, read, release    listing   directories
 *             edit      config.json being written  refuse  texts that were not saved
 *             make, remove, rename, setattr    names and attributes that change
 *             work      what is hidden, guards change    who waits for the account's
 *             xattr     and statfs             control   what .stacksfs shows
 *             journal   the last failures      text      printing
 *   draft/    save      a text becomes a record  create    ... or a new stack
 *             remove    delete, rotate           versions  what a text was made from
 *             document  what is sent of a text   value     JSON text as a tree
 *             merge     three ways               scrub     secrets in messages
 *             archive   history and lost         content   bytes that are only here
 *   tree/     tree      names and listings     node      node ids and inode numbers
 *             local     names that are only here
 *             name      a stack's name as a path component, and back
 *   store/    store     ages and needs         records   the stacks
 *             list      the list chain         part      tokens and dependencies
 *             flight    one request, many who wait
 *   api/      api       the endpoints          list      all pages
 *             record    one stack              link      the next page
 *             error     status to errno        id, date
 *   http/     http      queue, deadlines, retries, rate; one thread
 *             curl      one try, by libcurl    transport the seam between the two
 *             origin    the base URL           retry, rate, header, latency
 *             probe     a request for doctor
 *   base/     monitor   the one lock           timer     things to do later
 *             json      tokens as written      buf, blob, secret, log, clock, utf8, num
 *
 * docs/architecture.md has the threads, the locks and the life of a read. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define LOG_MODULE "main"
#include "base/log.h"

#include "api/api.h"
#include "base/monitor.h"
#include "base/timer.h"
#include "base/wake.h"
#include "command.h"
#include "daemon.h"
#include "doctor.h"
#include "fs/fs.h"
#include "fuse/mount.h"
#include "http/curl.h"
#include "http/http.h"
#include "message.h"
#include "mountpoint.h"
#include "options.h"
#include "token.h"

#define LINGER_MS 1000 /* after an unmount, for who still has a file open */

/* Everything that lives as long as the mount, in the order it is built. */
struct program {
	struct options options;
	struct origin origin;
	char *mountpoint;
	uint64_t below;    /* the mount that ours comes upon; 0: not known */
	uint64_t mount_id; /* of our own there; likewise */
	struct token token_source;
	struct secret *token;
	struct daemon daemon;

	struct monitor *monitor;
	struct timers *timers;
	struct http *http;
	struct api *api;
	struct archive *archive;
	struct fs *fs;
	struct wake *wake;
	struct mount *mount;

	pthread_t main_thread;
	pthread_t signal_thread;
	bool on_terminal;  /* whose end is ours */
	_Atomic bool over; /* mount_loop has returned */
	/* guarded by monitor until SIGUSR2 has come */
	bool first_page;
	struct api_error first_error;
};

static int complain(const struct message *why, const char *more)
{
	fprintf(stderr, "stacksfs: %s%s\n", why->text, more);
	return EXIT_FAILURE;
}

/* ---- before anything runs ---- */

/* All that can be found wrong without asking the API. */
static int prepare(struct program *p, struct message *ret_why)
{
	struct message warning = { "" };
	const char *why;
	int r = mountpoint_prepare(p->options.mountpoint, &p->mountpoint, &warning, ret_why);

	if (r < 0)
		return r;
	p->below = mountpoint_top(p->mountpoint);
	if (warning.text[0])
		fprintf(stderr, "stacksfs: %s\n", warning.text);
	r = origin_parse(p->options.source, &p->origin, &why);
	if (r < 0) /* a password in it is not for the terminal */
		return message_fail(ret_why, r, "%s: %s",
				    strchr(p->options.source, '@') ? "SOURCE" : p->options.source,
				    why);
	if (p->options.cacert && access(p->options.cacert, R_OK) < 0)
		return message_fail(ret_why, -errno, "cacert=%s: %s", p->options.cacert,
				    strerror(errno));
	return token_find(p->options.token_file, &p->token_source, &p->token, ret_why);
}

/* Secrets stay out of core dumps and other processes' sight, TLS keys out of
 * files that the environment names.  No PR_SET_NO_NEW_PRIVS: fusermount3, which
 * mounts and unmounts for who is not root, is setuid. */
static void harden(void)
{
	prctl(PR_SET_DUMPABLE, 0);
	unsetenv("SSLKEYLOGFILE");
}

/* Signals are taken by sigwaitinfo only, so that each one finds its thread. */
static void signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGHUP);
	sigaddset(ret, SIGUSR1);
	sigaddset(ret, SIGUSR2);
}

static void block_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* ---- building ---- */

static int build_http(struct program *p)
{
	const struct curl_options curl = {
		.origin = &p->origin,
		.cacert = p->options.cacert,
		.proxy = p->options.proxy,
		.debug = p->options.debug,
	};
	struct http_options http = {
		.clock = &clock_system,
		.token = p->token,
		.reload = { token_load, &p->token_source },
		.timeout_ms = p->options.timeout_s * 1000,
		.rate_per_s = p->options.rate_per_s,
		.random_seed = clock_now_ms(&clock_system) ^ (uint64_t)getpid() << 32,
	};
	int r = curl_transport_new(&curl, &http.transport);

	return r < 0 ? r : http_new(&http, &p->http);
}

static int build_fs(struct program *p)
{
	const struct fs_options options = {
		.monitor = p->monitor,
		.timers = p->timers,
		.http = p->http,
		.api = p->api,
		.clock = &clock_system,
		.source = p->origin.url,
		.mountpoint = p->mountpoint,
		.ttl_ms = p->options.ttl_s * 1000ull,
		.stale_ms = p->options.stale_s * 1000ull,
		.uid = p->options.uid,
		.gid = p->options.gid,
		.umask = p->options.umask,
		.tokens = p->options.tokens,
		.archive = p->archive,
		.timeout_ms = p->options.timeout_s * 1000,
		.ro = p->options.ro,
		.dry_run = p->options.dry_run,
		.overwrite = p->options.overwrite,
		.delete_in_use = p->options.delete_in_use,
		.max_delete = p->options.max_delete,
		.max_rotate = p->options.max_rotate,
		.grace_ms = p->options.grace_s * 1000ull,
		.scratch_bytes = p->options.scratch,
		.rotate_by = p->options.rotate_by,
	};

	return fs_new(&options, &p->fs);
}

/* Where history and refused texts go; a mount that changes nothing needs none. */
static int build_archive(struct program *p, struct message *ret_why)
{
	char dir[PATH_MAX], why[ARCHIVE_WHY_BYTES];
	const char *state = p->options.state;
	int r = 0;

	if (p->options.ro || (state && strcmp(state, "none") == 0)) {
		state = NULL;
	} else if (!state) {
		r = archive_default_dir(dir);
		state = dir;
	}
	if (r < 0)
		return message_fail(ret_why, r, "no home for history and refused texts: give "
						"-o state=DIR, or state=none");
	r = archive_new(state, &clock_system, &p->archive, why);
	if (r < 0)
		return message_fail(ret_why, r, "%s (give another -o state=DIR, or state=none)",
				    why);
	return 0;
}

static void woke(void *arg)
{
	struct program *p = arg;

	log_info("the machine has slept");
	fs_woke(p->fs);
	timers_look(p->timers);
}

static int build(struct program *p)
{
	int r;

	if ((r = monitor_new(&p->monitor)) < 0 ||
	    (r = timers_new(p->monitor, &clock_system, &p->timers)) < 0 ||
	    (r = build_http(p)) < 0 || (r = api_new(p->http, p->origin.base_path, &p->api)) < 0 ||
	    (r = build_fs(p)) < 0)
		return r;
	if ((r = timers_start(p->timers)) < 0 || (r = wake_new(woke, p, &p->wake)) < 0)
		return r;
	return http_start(p->http);
}

/* Top-down; http before what its last callbacks reach. */
static void tear_down(struct program *p)
{
	wake_free(p->wake);
	if (p->fs)
		fs_end_parked(p->fs, -ENOTCONN);
	http_free(p->http);
	timers_stop(p->timers);
	if (p->fs)
		fs_keep_drafts(p->fs);
	mount_free(p->mount);
	fs_free(p->fs);
	timers_free(p->timers);
	archive_free(p->archive);
	api_free(p->api);
	monitor_free(p->monitor);
	secret_unref(p->token);
	token_done(&p->token_source);
	free(p->mountpoint);
	options_done(&p->options);
}

/* ---- the first page ---- */

static void first_page(void *arg, const struct api_error *error)
{
	struct program *p = arg;

	if (error)
		p->first_error = *error;
	p->first_page = true;
	pthread_kill(p->main_thread, SIGUSR2);
}

/* Nothing is mounted before the API has answered, so that exit 0 means that it
 * works and a failure leaves nothing behind. */
static int wait_for_first_page(struct program *p, struct message *ret_why)
{
	sigset_t set;
	siginfo_t info;
	int r = fs_start(p->fs, first_page, p);

	if (r < 0)
		return message_fail(ret_why, r, "cannot start: %s", strerror(-r));
	signals(&set);
	while (sigwaitinfo(&set, &info) != SIGUSR2) {
		if (info.si_signo == SIGINT || info.si_signo == SIGTERM)
			return message_fail(ret_why, -EINTR, "interrupted");
	}
	monitor_enter(p->monitor);
	const struct api_error error = p->first_error;
	monitor_leave(p->monitor);
	if (error.err == 0)
		return 0;
	return message_fail(ret_why, error.err, "%s: %s (%s)", p->origin.url, error.message,
			    message_advice(error.err));
}

/* ---- serving ---- */

static void sleep_ms(unsigned ms)
{
	const struct timespec ts = { .tv_nsec = ms * 1000000L };

	nanosleep(&ts, NULL);
}

/* What is on its way to the API ends within the timeout. */
static void wait_for_changes(struct program *p)
{
	unsigned most = p->options.timeout_s * 1000;

	for (unsigned waited = 0; waited < most && fs_n_changes(p->fs) > 0; waited += 10)
		sleep_ms(10);
}

/* Somebody may have detached ours and mounted another one there. */
static bool is_elsewhere(const struct program *p)
{
	return p->mount_id && mountpoint_top(p->mountpoint) != p->mount_id;
}

/* Who has a file open may finish, within bounds. */
static void unmount(struct program *p)
{
	if (is_elsewhere(p) || mountpoint_detach(p->mountpoint) == 0)
		mount_detached(p->mount);
	for (unsigned waited = 0; !p->over && waited < LINGER_MS; waited += 10)
		sleep_ms(10);
	wait_for_changes(p);
	while (!p->over) {
		mount_abort(p->mount);
		sleep_ms(10);
	}
}

static void *signal_thread(void *arg)
{
	struct program *p = arg;
	sigset_t set;
	int signal;

	signals(&set);
	sigdelset(&set, SIGUSR1); /* mount_abort's */
	while (!p->over) {
		if (sigwait(&set, &signal) != 0 || signal == SIGUSR2)
			continue;
		log_info("%s", strsignal(signal));
		if (signal == SIGHUP && !p->on_terminal)
			fs_refresh(p->fs);
		else
			unmount(p);
	}
	return NULL;
}

static int serve(struct program *p, struct message *ret_why)
{
	const struct mount_options options = {
		.fs = p->fs,
		.mountpoint = p->mountpoint,
		.argv = p->options.fuse_argv,
		.argc = p->options.fuse_argc,
	};
	int claim;
	int r = mountpoint_claim(p->mountpoint, p->below, &claim, ret_why);

	if (r < 0)
		return r;
	r = mount_new(&options, &p->mount);
	p->mount_id = r < 0 ? 0 : mountpoint_top(p->mountpoint);
	if (claim >= 0)
		close(claim);
	if (r < 0)
		return message_fail(ret_why, r, "cannot mount on %s: %s", p->mountpoint,
				    strerror(-r));
	r = daemon_ready(&p->daemon);
	if (r < 0)
		return message_fail(ret_why, r, "the caller has gone");
	r = -pthread_create(&p->signal_thread, NULL, signal_thread, p);
	if (r < 0)
		return message_fail(ret_why, r, "cannot start a thread: %s", strerror(-r));

	log_info("%s is mounted on %s", p->origin.url, p->mountpoint);
	r = mount_loop(p->mount);
	wait_for_changes(p);
	p->over = true;
	pthread_kill(p->signal_thread, SIGUSR2);
	pthread_join(p->signal_thread, NULL);
	if (r < 0)
		return message_fail(ret_why, r, "the kernel's requests cannot be read: %s",
				    strerror(-r));
	log_info("%s is unmounted", p->mountpoint);
	return 0;
}

static int run(struct program *p, struct message *ret_why)
{
	int r = build_archive(p, ret_why);

	if (r < 0)
		return r;
	r = build(p);
	if (r < 0)
		return message_fail(ret_why, r, "cannot start: %s", strerror(-r));
	/* Also what libcurl opens for itself. */
	(void)close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	r = wait_for_first_page(p, ret_why);
	return r < 0 ? r : serve(p, ret_why);
}

/* With fields where systemd has started us: then our stderr is its journal's. */
static void start_log(const struct options *o)
{
	enum log_level level = o->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;

	if (o->foreground && log_stderr_is_journal() &&
	    log_setup_journal(level, LOG_JOURNAL_SOCKET) == 0)
		return;
	log_setup(level, !o->foreground);
}

static int mount_account(struct program *p)
{
	struct message why;
	int status;

	harden();
	p->on_terminal = p->options.foreground && isatty(STDERR_FILENO);
	if (prepare(p, &why) < 0) {
		tear_down(p);
		return complain(&why, "");
	}
	int r = p->options.fake ? 1 : daemon_start(p->options.foreground, &p->daemon, &status);
	if (r != 0) {
		status = p->options.fake ? EXIT_SUCCESS : r < 0 ? EXIT_FAILURE : status;
		if (r < 0)
			fprintf(stderr, "stacksfs: cannot fork: %s\n", strerror(-r));
		tear_down(p);
		return status;
	}
	start_log(&p->options);
	block_signals();
	p->main_thread = pthread_self();

	r = run(p, &why);
	if (r < 0)
		daemon_failed(&p->daemon, why.text);
	tear_down(p);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
	struct program program = { 0 };
	struct message why;
	int status = EXIT_SUCCESS;

	if (options_parse(argc, argv, &program.options, &why) < 0)
		return complain(&why, " (see stacksfs --help)");
	switch (program.options.command) {
	case OPTIONS_HELP:
		options_help(stdout);
		break;
	case OPTIONS_VERSION:
		puts("stacksfs " STACKSFS_VERSION);
		break;
	case OPTIONS_STATUS:
		status = command_status(&program.options, stdout, stderr);
		break;
	case OPTIONS_REFRESH:
		status = command_refresh(&program.options, stderr);
		break;
	case OPTIONS_DOCTOR:
		harden();
		status = doctor_run(&program.options, stdout);
		break;
	case OPTIONS_MOUNT:
		return mount_account(&program);
	}
	options_done(&program.options);
	return status;
}
