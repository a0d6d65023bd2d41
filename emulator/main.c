/* SPDX-License-Identifier: MIT */
/* stacks-emulator: the stacks API of integrator.io on this machine, for demos and tests.
 *
 *   main.c                 options, wiring
 *   listen.[ch]            the loopback or unix socket
 *   server.[ch]            HTTP on libmicrohttpd, the event loop, broken answers
 *   exchange.[ch]          a request and its answer, as data
 *   emulator.[ch]          what becomes of a request: log, fault, delay, answer
 *   api.[ch]               the document's operations, by table
 *   list, query, fields    pages, cursors, include and exclude
 *   check, record          what a client may send, and what is stored of it
 *   account, stack         the records; generate.[ch] makes some up
 *   control.[ch]           /_emulator/: how a test looks behind the curtain
 *   reqlog, fault          what was asked; what shall go wrong
 *   json, encode, random, clock, mem   tools
 *
 * One thread does it all: nothing waits but in epoll_wait(), so nothing is locked. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "emulator.h"
#include "generate.h"
#include "listen.h"
#include "server.h"

static const char usage[] =
	"usage: stacks-emulator [OPTIONS]\n"
	"The stacks API of integrator.io on this machine; prints its URL when ready.\n"
	"\n"
	"  --listen=ADDRESS:PORT  loopback address, 0 is a free port (127.0.0.1:0)\n"
	"  --listen=unix:PATH     unix socket\n"
	"  --stacks=N             so many made-up stacks (12)\n"
	"  --seed=N               the same seed makes the same stacks (1)\n"
	"  --account=FILE         the stacks of a JSON file instead\n"
	"  --token=TOKEN          the bearer token it takes (emulator-token)\n"
	"  --token-file=FILE      the same from a file's first line\n"
	"  --page-size=N          stacks of one page (100)\n"
	"  --etag=off|strong|weak entity tags (off)\n"
	"  --paging=id|offset     what a cursor means: offset drifts (id)\n"
	"  --latency-ms=N         wait before each answer (0)\n"
	"  --rate=N --burst=N     leaky bucket: N a second after N (off; 1000)\n"
	"  --help, --version\n"
	"\n"
	"Tests steer it below /_emulator/: see docs/emulator.md.\n";

struct options {
	const char *listen, *account, *token, *token_file;
	uint64_t stacks, seed;
};

enum {
	OPT_LISTEN = 256,
	OPT_STACKS,
	OPT_SEED,
	OPT_ACCOUNT,
	OPT_TOKEN,
	OPT_TOKEN_FILE,
	OPT_PAGE_SIZE,
	OPT_ETAG,
	OPT_PAGING,
	OPT_LATENCY,
	OPT_RATE,
	OPT_BURST,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "stacks", required_argument, NULL, OPT_STACKS },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "account", required_argument, NULL, OPT_ACCOUNT },
	{ "token", required_argument, NULL, OPT_TOKEN },
	{ "token-file", required_argument, NULL, OPT_TOKEN_FILE },
	{ "page-size", required_argument, NULL, OPT_PAGE_SIZE },
	{ "etag", required_argument, NULL, OPT_ETAG },
	{ "paging", required_argument, NULL, OPT_PAGING },
	{ "latency-ms", required_argument, NULL, OPT_LATENCY },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "burst", required_argument, NULL, OPT_BURST },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

/* --- options --- */

static int parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || !*text || *end || *text == '-' || n < min || n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

static int take_option(int option, const char *value, struct options *o, struct config *config)
{
	switch (option) {
	case OPT_LISTEN:
		o->listen = value;
		return 0;
	case OPT_STACKS:
		return parse_number(value, 0, GENERATE_MAX, &o->stacks);
	case OPT_SEED:
		return parse_number(value, 0, UINT64_MAX, &o->seed);
	case OPT_ACCOUNT:
		o->account = value;
		return 0;
	case OPT_TOKEN:
		o->token = value;
		return 0;
	case OPT_TOKEN_FILE:
		o->token_file = value;
		return 0;
	case OPT_PAGE_SIZE:
		return parse_number(value, 1, GENERATE_MAX, &config->page_size);
	case OPT_ETAG:
		return config_etag(value, &config->etag);
	case OPT_PAGING:
		return config_paging(value, &config->paging);
	case OPT_LATENCY:
		return parse_number(value, 0, 3600000, &config->latency_ms);
	case OPT_RATE:
		return parse_number(value, 0, GENERATE_MAX, &config->rate);
	case OPT_BURST:
		return parse_number(value, 1, GENERATE_MAX, &config->burst);
	default:
		return -EINVAL;
	}
}

/* 1: go on; 0: done; -EINVAL: said why. */
static int parse_options(int argc, char **argv, struct options *o, struct config *config)
{
	int option, index = 0;

	while ((option = getopt_long(argc, argv, "", long_options, &index)) != -1) {
		if (option == OPT_HELP) {
			fputs(usage, stdout);
			return 0;
		}
		if (option == OPT_VERSION) {
			puts("stacks-emulator " STACKSFS_VERSION);
			return 0;
		}
		if (option == '?')
			return -EINVAL; /* getopt_long() has said it */
		if (take_option(option, optarg, o, config) < 0) {
			fprintf(stderr, "stacks-emulator: --%s: bad value: %s\n",
				long_options[index].name, optarg);
			return -EINVAL;
		}
	}
	if (optind == argc)
		return 1;
	fprintf(stderr, "stacks-emulator: unexpected argument: %s\n", argv[optind]);
	return -EINVAL;
}

/* --- files --- */

static int read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;
	char block[65536];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, block, sizeof(block))) > 0)
		buf_add(out, block, (size_t)n);
	if (n < 0)
		r = -errno;
	close(fd);
	return r;
}

static int load_account(struct account *account, const char *path)
{
	CLEANUP(buf_done) struct buf text = { 0 };
	struct span array;
	int r = read_file(path, &text);

	if (r >= 0)
		r = json_check(buf_view(&text), JSON_LAX, &array);
	if (r >= 0)
		r = account_load(account, array);
	if (r == -EINVAL)
		fprintf(stderr, "stacks-emulator: %s: not an array of objects with different _id\n",
			path);
	else if (r < 0)
		fprintf(stderr, "stacks-emulator: %s: %s\n", path,
			r == -EBADMSG ? "not JSON" : strerror(-r));
	return r;
}

static int load_token(const struct options *o, char **ret)
{
	CLEANUP(buf_done) struct buf text = { 0 };
	int r = 0;

	if (o->token_file)
		r = read_file(o->token_file, &text);
	else
		buf_adds(&text, o->token);
	if (r < 0) {
		fprintf(stderr, "stacks-emulator: %s: %s\n", o->token_file, strerror(-r));
		return r;
	}
	*ret = mem_dup(text.data, text.len ? strcspn(text.data, "\r\n") : 0);
	return 0;
}

/* --- running --- */

static int fill(struct emulator *e, const struct options *o)
{
	int r = load_token(o, &e->config.token);

	if (r < 0)
		return r;
	if (o->account)
		return load_account(e->account, o->account);
	generate_stacks(e->account, (unsigned)o->stacks);
	return 0;
}

/* Hundreds of hung connections are a normal day here. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* else with fewer */
}

static int serve(struct emulator *e, const char *where)
{
	static const struct server_ops ops = { emulator_step, emulator_gone };
	CLEANUP(mem_freep) char *url = NULL;
	CLEANUP(server_freep) struct server *server = NULL;
	int fd, r;

	r = listen_open(where, &fd, &url);
	if (r < 0) {
		fprintf(stderr, "stacks-emulator: --listen=%s: %s\n", where,
			r == -EPERM ? "not a loopback address" : strerror(-r));
		return r;
	}
	r = server_new(fd, &ops, e, &server);
	if (r < 0) {
		fprintf(stderr, "stacks-emulator: cannot serve: %s\n", strerror(-r));
		return r;
	}
	e->server = server;
	printf("%s\n", url);
	fflush(stdout);
	r = server_run(server);
	listen_cleanup(where);
	return r;
}

int main(int argc, char **argv)
{
	struct options o = {
		.listen = "127.0.0.1:0", .token = "emulator-token", .stacks = 12, .seed = 1
	};
	struct config config = { .page_size = 100, .gzip = true, .burst = 1000 };
	struct emulator e;
	int r = parse_options(argc, argv, &o, &config);

	if (r <= 0)
		return r < 0 ? 2 : 0;
	raise_descriptor_limit();
	emulator_init(&e, &config, o.seed);
	r = fill(&e, &o);
	if (r >= 0)
		r = serve(&e, o.listen);
	emulator_done(&e);
	return r < 0 ? 1 : 0;
}
