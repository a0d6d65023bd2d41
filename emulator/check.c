/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "check.h"

enum shape { TEXT, CHOICE, ADDRESS, TEXTS };
enum need { OPTIONAL, REQUIRED, REQUIRED_AT_FIRST };

static const char *const types[] = { "server", "lambda", NULL };
static const char *const frameworks[] = { "twoDotZero", NULL };
static const char *const languages[] = { "Node.js", "C#", "Java", "Other", NULL };
static const char *const regions[] = {
	"us-east-1",	  "us-east-2",	    "us-west-1",      "us-west-2",
	"ap-northeast-2", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1",
	"ap-south-1",	  "eu-central-1",   "eu-west-1",      NULL,
};

/* type: the stacks that have the field, NULL for all.  A left-out secret stays as it was. */
static const struct rule {
	const char *type, *name;
	enum need need;
	enum shape shape;
	const char *const *choices;
} rules[] = {
	{ NULL, "name", REQUIRED, TEXT, NULL },
	{ NULL, "type", REQUIRED, CHOICE, types },
	{ NULL, "framework", OPTIONAL, CHOICE, frameworks },
	{ "server", "hostURI", REQUIRED, ADDRESS, NULL },
	{ "server", "ipRanges", OPTIONAL, TEXTS, NULL },
	{ "lambda", "accessKeyId", REQUIRED, TEXT, NULL },
	{ "lambda", "secretAccessKey", REQUIRED_AT_FIRST, TEXT, NULL },
	{ "lambda", "awsRegion", REQUIRED, CHOICE, regions },
	{ "lambda", "functionName", REQUIRED, TEXT, NULL },
	{ "lambda", "language", OPTIONAL, CHOICE, languages },
};

struct check {
	struct span body;
	const struct stack *before;
	struct buf *errors; /* the items of the envelope's array */
};

static void fail(struct check *c, const char *code, const char *field, const char *what)
{
	struct buf *out = c->errors;

	json_comma(out);
	buf_addc(out, '{');
	json_key(out, "code");
	json_quotes(out, code);
	json_key(out, "message");
	buf_addf(out, "\"%s: %s\"", field, what);
	json_key(out, "field");
	json_quotes(out, field);
	buf_addc(out, '}');
}

static bool is_choice(struct span value, const char *const *choices)
{
	for (; *choices; choices++)
		if (json_string_is(value, span_str(*choices)))
			return true;
	return false;
}

static bool is_address(struct span value)
{
	CLEANUP(mem_freep) char *text = json_decode(value);

	if (strncmp(text, "http://", 7) && strncmp(text, "https://", 8))
		return false;
	return strcspn(strstr(text, "//") + 2, "/?# \t") > 0;
}

static bool are_texts(struct span value)
{
	struct json_iter it = json_iterate(value);
	struct span k, v;

	while (json_next(&it, &k, &v))
		if (json_kind(v) != JSON_STRING)
			return false;
	return json_kind(value) == JSON_ARRAY;
}

static void check_value(struct check *c, const struct rule *rule, const char *field,
			struct span value)
{
	if (rule->shape == TEXTS) {
		if (!are_texts(value))
			fail(c, "invalid_type", field, "must be an array of strings");
	} else if (json_kind(value) != JSON_STRING) {
		fail(c, "invalid_type", field, "must be a string");
	} else if (rule->shape == CHOICE && !is_choice(value, rule->choices)) {
		fail(c, "invalid_enum", field, "is not one of the values that are allowed");
	} else if (rule->shape == ADDRESS && !is_address(value)) {
		fail(c, "invalid_value", field, "must be an http or https address");
	}
}

static bool is_missing(struct span value)
{
	return !value.p || json_kind(value) == JSON_NULL;
}

static void check_rule(struct check *c, const struct rule *rule)
{
	CLEANUP(mem_freep) char *field = NULL;
	struct span holder = c->body, value;

	if (rule->type) {
		if (!json_string_is(json_get(c->body, "type"), span_str(rule->type)))
			return;
		holder = json_get(c->body, rule->type);
	}
	if (!is_missing(holder) && json_kind(holder) != JSON_OBJECT)
		return; /* said once, by check_configs() */
	field = rule->type ? mem_format("%s.%s", rule->type, rule->name) : mem_dups(rule->name);
	value = json_get(holder, rule->name);
	if (rule->need == REQUIRED_AT_FIRST && !value.p && c->before && c->before->secret)
		return;
	if (rule->need != OPTIONAL && is_missing(value))
		fail(c, "missing_required_field", field, "is required");
	else if (value.p)
		check_value(c, rule, field, value);
}

/* The objects server and lambda: of the right kind, and only that of the stack's own type. */
static void check_configs(struct check *c)
{
	struct span type = json_get(c->body, "type");

	for (const char *const *name = types; *name; name++) {
		struct span config = json_get(c->body, *name);

		if (is_missing(config))
			continue;
		if (json_kind(config) != JSON_OBJECT)
			fail(c, "invalid_type", *name, "must be an object");
		else if (is_choice(type, types) && !json_string_is(type, span_str(*name)))
			fail(c, "invalid_value", *name, "does not belong to a stack of this type");
	}
}

static void check_same_type(struct check *c)
{
	struct span type = json_get(c->body, "type"), old;
	CLEANUP(mem_freep) char *text = NULL;

	if (!c->before)
		return;
	old = json_get(stack_shown(c->before), "type");
	text = json_decode(old);
	if (text && is_choice(type, types) && !json_string_is(type, span_str(text)))
		fail(c, "invalid_value", "type", "cannot be changed");
}

bool check_request(struct span body, const struct stack *before, struct reply *reply)
{
	CLEANUP(buf_done) struct buf errors = { 0 };
	struct check c = { body, before, &errors };

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		check_rule(&c, &rules[i]);
	check_configs(&c);
	check_same_type(&c);
	if (!errors.len)
		return true;
	reply_json(reply, 422);
	buf_addf(&reply->body, "{\"errors\":[%s]}", errors.data);
	return false;
}
