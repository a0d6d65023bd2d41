/* SPDX-License-Identifier: MIT */
/* api: the endpoints of the stacks API as functions.
 *
 * Answers are checked here and become records or errors; nothing above sees
 * JSON that has not been checked, or an HTTP status except for people.
 * Threads: any thread may ask.  Callbacks run on the http thread with no lock
 * held and must not block; each is called exactly once, never from inside the
 * asking call.  On success error is NULL.  Asking functions return -ENOMEM,
 * -ESHUTDOWN or -EINVAL (a validator or a body beyond http's bounds), and then
 * call nothing. */
#ifndef API_API_H
#define API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/error.h"
#include "api/id.h"
#include "api/record.h"
#include "base/macros.h"
#include "base/secret.h"
#include "http/http.h"

#define API_MAX_PAGE_BYTES              (64 * 1024 * 1024)
#define API_MAX_PAGES                   10000
#define API_MAX_DEPENDENCIES_BYTES      (1024 * 1024)
#define API_MAX_DEPENDENCIES_TEXT_BYTES (4 * API_MAX_DEPENDENCIES_BYTES) /* laid out */
#define API_MAX_TOKEN_BYTES             4096
#define API_MAX_STACKS                  1000000
#define API_MAX_LIST_BYTES              (512 * 1024 * 1024) /* text of all records of a list */
#define API_MAX_ETAG                    256

struct api;

/* http is borrowed and outlives *ret.  base_path: the origin's, copied. */
NODISCARD int api_new(struct http *http, const char *base_path, struct api **ret);
/* No call may be under way (http_free has ended them all).  NULL is fine. */
void api_free(struct api *api);
DEFINE_CLEANUP(struct api, api_free)

/* When an answer's request was begun, and its validator. */
struct api_meta {
	uint64_t began_ms;
	uint64_t took_ms;
	unsigned token_no; /* http_result.token_no */
	const char *etag;  /* borrowed; NULL when there is none, and with an error */
	bool not_modified; /* 304: the object is NULL, what the caller has is still right */
};

/* ---- the whole list ---- */

struct api_page {
	size_t first;      /* index of its first record */
	uint64_t began_ms; /* when this page's request was begun */
	char *etag;        /* or NULL */
	char *next;        /* the target of the page after it, or NULL */
};

/* All records of the account in the server's order, whole.  Counted; immutable. */
struct api_list {
	_Atomic unsigned refs;
	struct record **records; /* each holds a reference */
	size_t n_records;
	struct api_page *pages;
	size_t n_pages;
	uint64_t began_ms;   /* of the first page */
	uint64_t took_ms;    /* the whole chain */
	unsigned token_no;   /* http_result.token_no, of the first page */
	unsigned n_requests; /* repeated ones too */
};

struct api_list *api_list_ref(struct api_list *list);
void api_list_unref(struct api_list *list); /* NULL is fine */
DEFINE_CLEANUP(struct api_list, api_list_unref)

/* error or list, the other is NULL; the list is borrowed. */
typedef void api_list_fn(void *arg, const struct api_error *error, struct api_list *list);
/* A page has come and could be read; number counts from 1. */
typedef void api_page_fn(void *arg, size_t number);

/* GET /v1/stacks and every further page.  previous: what an earlier call gave,
 * or NULL: a page whose ETag still holds is not sent again, and records that
 * did not change are shared with it, not copied.  page may be NULL.
 * Complete or an error, never a part: an _id twice on one page, a chain that
 * does not end or comes back, a page that cannot be read.  (An _id on two
 * pages: the pages drifted while somebody added a stack; the later one counts, and
 * keeps its place.) */
NODISCARD int api_list(struct api *api, struct api_list *previous, api_page_fn *page,
		       api_list_fn *done, void *arg);

/* ---- one object ---- */

/* What several calls that are one operation to their caller share; zeroed, or
 * NULL: a call on its own. */
struct api_budget {
	unsigned timeout_ms;   /* what is left of the operation's time; 0: the default */
	unsigned tries_before; /* requests of this kind that it has made already */
	bool pinned;           /* see http_spec: for what no other account may get */
	unsigned token_no;
	bool patient;          /* rather wait for a service that is away than fail at once */
	struct http_call **ret_call; /* names the call until its callback returns; or NULL */
};

/* Somebody waits now for what was asked for as HTTP_CLASS_READAHEAD. */
void api_hurry(struct api *api, struct http_call *call);

typedef void api_record_fn(void *arg, const struct api_error *error, struct record *record,
			   const struct api_meta *meta);
typedef void api_secret_fn(void *arg, const struct api_error *error, struct secret *token,
			   const struct api_meta *meta);
/* text is laid out as a record's is; borrowed.  empty: the map has no dependent. */
typedef void api_text_fn(void *arg, const struct api_error *error, const char *text, size_t len,
			 bool empty, const struct api_meta *meta);
typedef void api_plain_fn(void *arg, const struct api_error *error, const struct api_meta *meta);

/* etag: for If-None-Match, or NULL. */
NODISCARD int api_get(struct api *api, enum http_class class, const struct stack_id *id,
		      const char *etag, api_record_fn *done, void *arg);
NODISCARD int api_get_within(struct api *api, enum http_class class, const struct stack_id *id,
			     const char *etag, const struct api_budget *budget, api_record_fn *done,
			     void *arg);
NODISCARD int api_get_token_within(struct api *api, enum http_class class,
				   const struct stack_id *id, const char *etag,
				   const struct api_budget *budget, api_secret_fn *done, void *arg);
NODISCARD int api_get_dependencies_within(struct api *api, enum http_class class,
					  const struct stack_id *id, const char *etag,
					  const struct api_budget *budget, api_text_fn *done,
					  void *arg);

/* ---- changes ---- */

/* body: a JSON object, sent as it is.  if_match: a strong ETag, or NULL.
 * An error with processed_maybe set (a lost answer, a 5xx, an answer that cannot
 * be read) may yet have changed something: the caller settles it by reading.
 * A PUT is sent once; error->may_retry says whether to read and send it again. */
NODISCARD int api_put_within(struct api *api, const struct stack_id *id, const char *if_match,
			     const char *body, size_t len, const struct api_budget *budget,
			     api_record_fn *done, void *arg);
NODISCARD int api_post_within(struct api *api, const char *body, size_t len,
			      const struct api_budget *budget, api_record_fn *done, void *arg);
/* A 404 on a repeated try is the end that was wanted, and no error. */
NODISCARD int api_delete_within(struct api *api, const struct stack_id *id,
				const struct api_budget *budget, api_plain_fn *done, void *arg);
NODISCARD int api_rotate_token_within(struct api *api, const struct stack_id *id,
				      const struct api_budget *budget, api_plain_fn *done,
				      void *arg);

/* ---- figures ---- */

enum api_endpoint {
	API_ENDPOINT_LIST,
	API_ENDPOINT_CREATE,
	API_ENDPOINT_READ,
	API_ENDPOINT_UPDATE,
	API_ENDPOINT_DELETE,
	API_ENDPOINT_TOKEN,
	API_ENDPOINT_ROTATE,
	API_ENDPOINT_DEPENDENCIES,
	API_N_ENDPOINTS,
};

#define API_N_STATUSES 16

/* Calls since api_new by how they ended; the tries within one are http's. */
struct api_stats {
	uint64_t by[API_N_ENDPOINTS][API_N_STATUSES];
};

void api_get_stats(struct api *api, struct api_stats *ret);
const char *api_endpoint_name(enum api_endpoint endpoint); /* "GET /v1/stacks/{_id}" */
const char *api_status_name(unsigned status); /* "200", "none", "other 4xx"; below API_N_STATUSES */

#endif
