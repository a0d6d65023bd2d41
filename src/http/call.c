/* SPDX-License-Identifier: MIT */
#include "http/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/header.h"

/* A '#' would begin a fragment, which libcurl does not send. */
static bool target_is_good(const char *target)
{
	return target && target[0] == '/' && strlen(target) <= HTTP_MAX_TARGET_BYTES &&
	       header_is_visible(target, strlen(target)) && !strchr(target, '#');
}

/* Header lines go out as they are, whatever is in them. */
static bool validator_is_good(const char *etag)
{
	if (!etag)
		return true;
	for (const char *c = etag; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	}
	return etag[0] != '\0' && strlen(etag) < sizeof(((struct transport_answer *)0)->etag);
}

static bool spec_is_good(const struct http_spec *spec)
{
	return target_is_good(spec->target) && validator_is_good(spec->if_none_match) &&
	       validator_is_good(spec->if_match) && spec->body_len <= HTTP_MAX_BODY_BYTES &&
	       (spec->body || spec->body_len == 0) && spec->timeout_ms <= HTTP_MAX_TIMEOUT_MS &&
	       spec->class <= HTTP_CLASS_READAHEAD && spec->kind < HTTP_MAX_KINDS;
}

static size_t string_size(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

/* Copy len bytes to *at and move it on. */
static const void *keep(char **at, const void *bytes, size_t len)
{
	if (!bytes)
		return NULL;
	char *copy = *at;
	if (len)
		memcpy(copy, bytes, len);
	*at += len;
	return copy;
}

int call_new(const struct http_spec *spec, struct http_call **ret)
{
	if (!spec_is_good(spec))
		return -EINVAL;
	size_t size = string_size(spec->target) + string_size(spec->if_none_match) +
		      string_size(spec->if_match) + spec->body_len;
	struct http_call *c = calloc(1, sizeof(*c) + size);
	if (!c)
		return -ENOMEM;

	char *at = c->copy;
	c->copy_size = size;
	c->spec = *spec;
	c->spec.target = keep(&at, spec->target, string_size(spec->target));
	c->spec.if_none_match = keep(&at, spec->if_none_match, string_size(spec->if_none_match));
	c->spec.if_match = keep(&at, spec->if_match, string_size(spec->if_match));
	c->spec.body = keep(&at, spec->body, spec->body_len);
	*ret = c;
	return 0;
}

void call_free(struct http_call *call)
{
	if (!call)
		return;
	secret_unref(call->token);
	explicit_bzero(call->copy, call->copy_size);
	free(call);
}

void call_remove(struct http_call *call)
{
	if (call->list)
		TAILQ_REMOVE(call->list, call, link);
	call->list = NULL;
}

void call_move_first(struct http_call *call, struct call_list *list)
{
	call_remove(call);
	TAILQ_INSERT_HEAD(list, call, link);
	call->list = list;
}

void call_move_last(struct http_call *call, struct call_list *list)
{
	call_remove(call);
	TAILQ_INSERT_TAIL(list, call, link);
	call->list = list;
}
