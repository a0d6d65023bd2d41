/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "clock.h"
#include "generate.h"
#include "random.h"

static const char *const subjects[] = {
	"billing", "orders",   "invoices",  "shipping", "returns",  "payroll", "inventory",
	"pricing", "catalog",  "customers", "leads",	"refunds",  "taxes",   "warehouse",
	"ledger",  "expenses", "contracts", "products", "payments", "tickets",
};
static const char *const jobs[] = {
	"hooks", "sync",    "transform", "export", "import", "mapper",
	"audit", "cleanup", "enrich",	 "router", "loader", "reports",
};
static const char *const places[] = { "eu", "us", "dev", "test", "prod", "staging" };
static const char *const regions[] = {
	"us-east-1",	  "us-east-2",	    "us-west-1",      "us-west-2",
	"ap-northeast-2", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1",
	"ap-south-1",	  "eu-central-1",   "eu-west-1",
};
static const char *const languages[] = { "Node.js", "C#", "Java", "Other" };
/* Who may depend on a stack, and where such a document refers to it. */
static const struct {
	const char *type, *path;
} dependents[] = {
	{ "flows", "pageProcessors.hooks.preSavePage._stackId" },
	{ "imports", "hooks.preMap._stackId" },
	{ "exports", "hooks.preSavePage._stackId" },
	{ "connections", "http.wrapper._stackId" },
};

enum {
	/* Created within LIFE_SECONDS from FIRST_SECOND (2017-01-01), changed within a year. */
	FIRST_SECOND = 1483228800,
	LIFE_SECONDS = 7 * 365 * 24 * 60 * 60,
	YEAR_SECONDS = 365 * 24 * 60 * 60,
};

#define PICK(r, list) ((list)[random_below((r), ARRAY_SIZE(list))])

static void hex(struct buf *out, struct random *r, int digits)
{
	while (digits--)
		buf_addc(out, "0123456789abcdef"[random_below(r, 16)]);
}

/* The i-th name: every combination of words once, then the same with numbers. */
static char *make_name(unsigned i)
{
	unsigned s = i % ARRAY_SIZE(subjects), rest = i / ARRAY_SIZE(subjects);
	/* the step through jobs depends on the subject, so that neighbours differ in both */
	unsigned j = (rest + 5 * s) % ARRAY_SIZE(jobs), p;
	struct buf name = { 0 };

	rest /= ARRAY_SIZE(jobs);
	buf_addf(&name, "%s-%s", subjects[s], jobs[j]);
	p = rest % (ARRAY_SIZE(places) + 1);
	rest /= ARRAY_SIZE(places) + 1;
	if (p)
		buf_addf(&name, "-%s", places[p - 1]);
	if (rest)
		buf_addf(&name, "-%u", rest + 1);
	return buf_take(&name);
}

static void add_server(struct buf *out, struct random *r, const char *name)
{
	unsigned ranges = (unsigned)random_below(r, 4);

	json_key(out, "server");
	buf_adds(out, "{\"systemToken\":\"");
	hex(out, r, 32);
	buf_addf(out, "\",\"hostURI\":\"https://%s.example.com", name);
	if (random_below(r, 3) == 0)
		buf_addf(out, ":%u", 8000 + (unsigned)random_below(r, 1000));
	buf_adds(out, "\"");
	if (ranges)
		buf_adds(out, ",\"ipRanges\":[");
	for (unsigned i = 0; i < ranges; i++) {
		unsigned net = (unsigned)random_below(r, 65536);

		json_comma(out);
		buf_addf(out, "\"10.%u.%u.0/24\"", net >> 8, net & 255);
	}
	buf_adds(out, ranges ? "]}" : "}");
}

static void add_lambda(struct buf *out, struct random *r, const char *name)
{
	const char *region = PICK(r, regions);

	json_key(out, "lambda");
	buf_adds(out, "{\"accessKeyId\":\"AKIA");
	for (int i = 0; i < 16; i++)
		buf_addc(out, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[random_below(r, 32)]);
	buf_adds(out, "\",\"secretAccessKey\":\"");
	hex(out, r, 40);
	buf_addf(out, "\",\"awsRegion\":\"%s\",\"functionName\":\"", region);
	if (random_below(r, 3) == 0)
		buf_addf(out, "arn:aws:lambda:%s:%012u:function:", region,
			 100000000 + (unsigned)random_below(r, 900000000));
	buf_addf(out, "%s\",\"language\":\"%s\"}", name, PICK(r, languages));
}

static void add_dependents(struct buf *out, struct random *r, const char *id)
{
	size_t kind = random_below(r, ARRAY_SIZE(dependents));
	unsigned count = 1 + (unsigned)random_below(r, 3);

	json_key(out, dependents[kind].type);
	buf_addc(out, '[');
	for (unsigned i = 0; i < count; i++) {
		const char *subject = PICK(r, subjects), *job = PICK(r, jobs);
		const char *level = random_below(r, 2) ? "owner" : "manage";

		json_comma(out);
		buf_adds(out, "{\"id\":\"");
		hex(out, r, STACK_ID_LEN);
		buf_addf(out, "\",\"name\":\"%s %s\",\"paths\":[\"%s\"],\"accessLevel\":\"%s\"",
			 subject, job, dependents[kind].path, level);
		buf_addf(out, ",\"dependencyIds\":{\"stacks\":[\"%s\"]}}", id);
	}
	buf_addc(out, ']');
}

static void add_dates(struct buf *out, struct random *r, uint64_t created_s)
{
	uint64_t created = created_s * 1000 + random_below(r, 1000);
	char text[CLOCK_ISO_SIZE];

	json_key(out, "createdAt");
	clock_iso(created, text);
	json_quotes(out, text);
	json_key(out, "lastModified");
	clock_iso(created + 1 + random_below(r, YEAR_SECONDS * UINT64_C(1000)), text);
	json_quotes(out, text);
}

static void add_one(struct account *a, struct random *r, unsigned i, unsigned count)
{
	CLEANUP(mem_freep) char *name = make_name(i), *id = NULL;
	CLEANUP(buf_done) struct buf text = { 0 };
	/* ids ascend with time, as the service's do */
	uint64_t created_s = FIRST_SECOND + (uint64_t)LIFE_SECONDS * i / count;
	bool server = random_below(r, 4) != 0;
	struct stack *s;

	id = mem_format("%08x%010llx%06x", (unsigned)created_s,
			(unsigned long long)(random_next(r) & 0xffffffffff), i & 0xffffff);
	buf_addf(&text, "{\"_id\":\"%s\",\"name\":\"%s\",\"type\":\"%s\"", id, name,
		 server ? "server" : "lambda");
	if (random_below(r, 2))
		buf_adds(&text, ",\"framework\":\"twoDotZero\"");
	if (server)
		add_server(&text, r, name);
	else
		add_lambda(&text, r, name);
	add_dates(&text, r, created_s);
	if (random_below(r, 4) == 0) {
		json_key(&text, "dependencies");
		buf_addc(&text, '{');
		add_dependents(&text, r, id);
		buf_addc(&text, '}');
	}
	buf_addc(&text, '}');
	if (account_add(a, buf_view(&text), &s) < 0)
		abort(); /* the ids above are all different */
	stack_take_state(s);
}

void generate_stacks(struct account *a, unsigned count)
{
	struct random r = random_of(account_seed(a));

	for (unsigned i = 0; i < count; i++)
		add_one(a, &r, i, count);
}
