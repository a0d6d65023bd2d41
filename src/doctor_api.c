/* SPDX-License-Identifier: MIT */
/* From the name to the account, each step only when those before it went well:
 * the first thing that fails is the one to mend. */
#include "doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "base/buf.h"
#include "bounded.h"
#include "http/curl.h"
#include "http/http.h"
#include "http/probe.h"
#include "status.h"
#include "token.h"

#define MAX_NAME_MS    10000u
#define SKEW_OK_S      5
#define EXPIRES_SOON_S (14 * 86400)
#define FEW_PER_S      10 /* of rate=: a bulk read takes noticeably longer below */

/* ---- the name ---- */

/* The first of two variables that says something, or "". */
static const char *either(const char *name, const char *other)
{
	const char *value = getenv(name);

	if (!value || !*value)
		value = getenv(other);
	return value ? value : "";
}

/* Whether host is of the domain of len bytes at name, which may begin with a dot. */
static bool is_within(const char *host, const char *name, size_t len)
{
	size_t host_len = strlen(host);

	if (len > 0 && *name == '.') {
		name++;
		len--;
	}
	if (len == 0 || len > host_len || strncasecmp(host + host_len - len, name, len) != 0)
		return false;
	return len == host_len || host[host_len - len - 1] == '.';
}

/* As libcurl does, whoever has named the proxy; but it knows ranges of addresses, too. */
static bool needs_no_proxy(const char *host)
{
	const char *at = either("no_proxy", "NO_PROXY");

	if (strcmp(at, "*") == 0)
		return true;
	while (*(at += strspn(at, ", \t"))) {
		size_t len = strcspn(at, ", \t");

		if (is_within(host, at, len))
			return true;
		at += len;
	}
	return false;
}

/* Never a proxy for a loopback origin; the environment's as libcurl reads it. */
static bool uses_proxy(const struct options *o, const struct origin *origin)
{
	if (origin->loopback || needs_no_proxy(origin->host))
		return false;
	if (o->proxy)
		return o->proxy[0] != '\0';
	return *either("https_proxy", "HTTPS_PROXY") || *either("all_proxy", "ALL_PROXY");
}

/* "+" and how many addresses there are and the first, or "-" and why not. */
static int resolve_in_child(void *arg, struct buf *out)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *list = NULL;
	char first[NI_MAXHOST] = "?";
	unsigned n = 0;
	int code = getaddrinfo(arg, NULL, &hints, &list);

	if (code != 0)
		return buf_printf(out, "-%s", gai_strerror(code));
	for (const struct addrinfo *a = list; a; a = a->ai_next)
		n++;
	(void)getnameinfo(list->ai_addr, list->ai_addrlen, first, sizeof(first), NULL, 0,
			  NI_NUMERICHOST);
	freeaddrinfo(list);
	if (n == 1)
		return buf_printf(out, "+%s", first);
	return buf_printf(out, "+%s and %u more", first, n - 1);
}

static bool check_name(struct doctor *d, const struct origin *origin)
{
	CLEANUP(buf_done) struct buf text = BUF_INIT(MESSAGE_MAX_BYTES);
	unsigned timeout_ms = d->options->timeout_s * 1000;

	if (uses_proxy(d->options, origin)) {
		doctor_say(d, DOCTOR_OK, "name", "%s: left to the proxy", origin->host);
		return true;
	}
	int r = bounded_run(resolve_in_child, (void *)origin->host,
			    timeout_ms < MAX_NAME_MS ? timeout_ms : MAX_NAME_MS, &text);
	if (r == 0 && text.len && text.data[0] == '+') {
		doctor_say(d, DOCTOR_OK, "name", "%s: %s", origin->host, text.data + 1);
		return true;
	}
	doctor_say(d, DOCTOR_FAIL, "name",
		   "%s: %s; check the URL, the network and "
		   "/etc/resolv.conf",
		   origin->host,
		   r == -ETIMEDOUT ? "no name server answers"
		   : r < 0         ? strerror(-r)
				   : text.data + 1);
	return false;
}

/* ---- the connection ---- */

static void say_certificate(struct doctor *d, const struct http_probe *probe)
{
	int64_t left_s = (probe->expires_ms - clock_wall_ms(&clock_system)) / 1000;
	char date[32] = "?", text[STATUS_TEXT_BYTES];
	time_t at = (time_t)(probe->expires_ms / 1000);
	struct tm tm;

	if (probe->expires_ms < 0) {
		doctor_say(d, DOCTOR_OK, "TLS", "trusted");
		return;
	}
	if (gmtime_r(&at, &tm))
		strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	doctor_say(d, left_s < EXPIRES_SOON_S ? DOCTOR_NOTE : DOCTOR_OK, "TLS",
		   "trusted, until %s (%s), issued by %s", date,
		   left_s > 0 ? status_duration((uint64_t)left_s, text) : "expired", probe->issuer);
}

/* Ages are counted by a clock that never steps, so that a wrong time only
 * matters to certificates and to who reads the log. */
static void say_clock(struct doctor *d, const struct http_probe *probe)
{
	int64_t skew_s = (clock_wall_ms(&clock_system) - probe->date_ms) / 1000;
	char text[STATUS_TEXT_BYTES];

	if (probe->date_ms < 0)
		doctor_say(d, DOCTOR_SKIP, "clock", "the answer has no date");
	else if (skew_s >= -SKEW_OK_S && skew_s <= SKEW_OK_S)
		doctor_say(d, DOCTOR_OK, "clock", "agrees with the API's");
	else
		doctor_say(d, DOCTOR_NOTE, "clock",
			   "%s %s the API's; set it (timedatectl set-ntp true)",
			   status_duration((uint64_t)(skew_s < 0 ? -skew_s : skew_s), text),
			   skew_s < 0 ? "behind" : "ahead of");
}

static bool check_connection(struct doctor *d, const struct curl_options *curl)
{
	bool tls = strcmp(curl->origin->scheme, "https") == 0;
	struct http_probe probe;
	int r = http_probe(curl, d->options->timeout_s * 1000, &probe);

	if (r < 0) {
		doctor_say(d, DOCTOR_FAIL, r == -EPROTO ? "TLS" : "connection", "%s; %s",
			   probe.why[0] ? probe.why : strerror(-r), message_advice(r));
		return false;
	}
	if (tls)
		say_certificate(d, &probe);
	else
		doctor_say(d, DOCTOR_OK, "TLS", "none: a loopback address");
	doctor_say(d, DOCTOR_OK, "latency",
		   "%" PRIu64 " ms for an answer, %" PRIu64 " ms with connecting", probe.answer_ms,
		   probe.took_ms);
	say_clock(d, &probe);
	return true;
}

/* ---- the token ---- */

static bool check_token(struct doctor *d, struct token *ret_source, struct secret **ret)
{
	const char *variable = getenv("CELIGO_API_TOKEN");
	bool given = variable && *variable;
	struct message why;

	if (token_find(d->options->token_file, ret_source, ret, &why) < 0) {
		doctor_say(d, DOCTOR_FAIL, "token", "%s", why.text);
		return false;
	}
	if (ret_source->path)
		doctor_say(d, DOCTOR_OK, "token", "from %s%s", ret_source->path,
			   ret_source->credential ? ", a credential"
						  : ", which only its owner reads");
	else
		doctor_say(d, DOCTOR_OK, "token", "from %s",
			   given ? "CELIGO_API_TOKEN" : "the terminal");
	return true;
}

/* ---- the account ---- */

struct listing {
	sem_t done;
	struct api_error error;
	size_t n_stacks;
	unsigned n_requests;
	uint64_t took_ms;
};

/* On the http thread; the semaphore hands everything over. */
static void on_list(void *arg, const struct api_error *error, struct api_list *list)
{
	struct listing *l = arg;

	if (error) {
		l->error = *error;
	} else {
		l->n_stacks = list->n_records;
		l->n_requests = list->n_requests;
		l->took_ms = list->took_ms;
	}
	sem_post(&l->done);
}

static void say_listing(struct doctor *d, const struct listing *l)
{
	const struct api_error *e = &l->error;

	if (e->err)
		doctor_say(d, DOCTOR_FAIL, "account", "%s%s (%s)",
			   e->err == -EACCES ? "the token is refused: " : "", e->message,
			   message_advice(e->err));
	else
		doctor_say(d, DOCTOR_OK, "account",
			   "token accepted; %zu stacks, listed by %u request%s in %" PRIu64 " ms",
			   l->n_stacks, l->n_requests, l->n_requests == 1 ? "" : "s", l->took_ms);
}

static int list_account(const struct curl_options *curl, struct http_options *http_options,
			struct listing *l)
{
	CLEANUP(http_freep) struct http *http = NULL;
	struct api *api = NULL;
	int r = curl_transport_new(curl, &http_options->transport);

	if (r < 0)
		return r;
	r = http_new(http_options, &http);
	if (r < 0) {
		http_options->transport->ops->free(http_options->transport);
		return r;
	}
	r = api_new(http, curl->origin->base_path, &api);
	if (r == 0)
		r = http_start(http);
	if (r == 0)
		r = api_list(api, NULL, NULL, on_list, l);
	while (r == 0 && sem_wait(&l->done) < 0)
		;
	http_free(TAKE_PTR(http));
	api_free(api);
	return r;
}

static void check_account(struct doctor *d, const struct curl_options *curl, struct token *source,
			  struct secret *token)
{
	struct listing l = { .n_stacks = 0 };
	struct http_options http = {
		.clock = &clock_system,
		.token = token,
		.reload = { token_load, source },
		.timeout_ms = d->options->timeout_s * 1000,
		.rate_per_s = d->options->rate_per_s,
		.random_seed = clock_now_ms(&clock_system) ^ (uint64_t)getpid() << 32,
	};

	sem_init(&l.done, 0, 0);
	int r = list_account(curl, &http, &l);
	sem_destroy(&l.done);
	if (r < 0)
		doctor_say(d, DOCTOR_FAIL, "account", "cannot ask: %s", strerror(-r));
	else
		say_listing(d, &l);
}

static void say_rate(struct doctor *d)
{
	unsigned rate = d->options->rate_per_s;

	if (rate == 0)
		doctor_say(d, DOCTOR_NOTE, "rate",
			   "no limit of our own: the account's flows may be limited instead");
	else
		doctor_say(d, rate < FEW_PER_S ? DOCTOR_NOTE : DOCTOR_OK, "rate",
			   "%u requests a second at most, after a burst of %u%s", rate, 3 * rate,
			   rate < FEW_PER_S ? "; reading all of an account takes long" : "");
}

/* ---- all of it ---- */

void doctor_check_api(struct doctor *d)
{
	CLEANUP(token_done) struct token source = { 0 };
	struct secret *token = NULL;
	const struct options *o = d->options;
	struct origin origin;
	const char *why;

	if (origin_parse(o->source, &origin, &why) < 0) { /* a password in it stays unsaid */
		doctor_say(d, DOCTOR_FAIL, "URL", "%s: %s",
			   strchr(o->source, '@') ? "SOURCE" : o->source, why);
		return;
	}
	doctor_say(d, DOCTOR_OK, "URL", "%s", origin.url);
	if (o->cacert && access(o->cacert, R_OK) < 0)
		doctor_say(d, DOCTOR_FAIL, "cacert", "%s: %s", o->cacert, strerror(errno));

	const struct curl_options curl = { .origin = &origin,
					   .cacert = o->cacert,
					   .proxy = o->proxy };
	bool reached = check_name(d, &origin) && check_connection(d, &curl);
	bool has_token = check_token(d, &source, &token);
	if (reached && has_token)
		check_account(d, &curl, &source, token);
	else
		doctor_say(d, DOCTOR_SKIP, "account", "not asked");
	say_rate(d);
	secret_unref(token);
}
