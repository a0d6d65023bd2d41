/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "exchange.h"
#include "json.h"

static void request_done(struct request *rq)
{
	char *owned[] = { rq->method,	     rq->path,		 rq->query,	      rq->host,
			  rq->authorization, rq->content_type,	 rq->accept_encoding, rq->if_match,
			  rq->if_none_match, rq->forwarded_proto };

	for (size_t i = 0; i < ARRAY_SIZE(owned); i++)
		free(owned[i]);
	buf_done(&rq->body);
}

void exchange_done(struct exchange *x)
{
	request_done(&x->rq);
	reply_reset(&x->reply);
	buf_done(&x->wire.bytes);
}

void reply_reset(struct reply *reply)
{
	for (unsigned i = 0; i < reply->n_headers; i++) {
		free(reply->headers[i].name);
		free(reply->headers[i].value);
	}
	buf_done(&reply->body);
	*reply = (struct reply){ 0 };
}

void reply_header(struct reply *reply, const char *name, const char *value)
{
	if (reply->n_headers == REPLY_HEADERS_MAX)
		return;
	reply->headers[reply->n_headers++] = (struct header){ mem_dups(name), mem_dups(value) };
}

void reply_json(struct reply *reply, int status)
{
	reply->status = status;
	reply_header(reply, "Content-Type", "application/json; charset=utf-8");
}

void reply_error(struct reply *reply, int status, const char *code, const char *field,
		 const char *fmt, ...)
{
	char message[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	reply_json(reply, status);
	buf_adds(&reply->body, "{\"errors\":[{");
	json_key(&reply->body, "code");
	json_quotes(&reply->body, code);
	json_key(&reply->body, "message");
	json_quotes(&reply->body, message);
	if (field) {
		json_key(&reply->body, "field");
		json_quotes(&reply->body, field);
	}
	buf_adds(&reply->body, "}]}");
}

void reply_render(const struct reply *reply, const char *reason, size_t limit, struct buf *out,
		  size_t *ret_head)
{
	uint64_t times = reply->repeat ? reply->repeat : 1;

	buf_addf(out, "HTTP/1.1 %d %s\r\n", reply->status, reason);
	for (unsigned i = 0; i < reply->n_headers; i++)
		buf_addf(out, "%s: %s\r\n", reply->headers[i].name, reply->headers[i].value);
	buf_addf(out, "Content-Length: %llu\r\nConnection: close\r\n\r\n",
		 (unsigned long long)(reply->body.len * times));
	*ret_head = out->len;
	while (times-- && limit && reply->body.len) {
		size_t n = reply->body.len < limit ? reply->body.len : limit;

		buf_add(out, reply->body.data, n);
		limit -= n;
	}
}
