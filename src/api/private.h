/* SPDX-License-Identifier: MIT */
/* private: what the files of src/api share: the table of endpoints and the
 * judgement of an answer. */
#ifndef API_PRIVATE_H
#define API_PRIVATE_H

#include "api/api.h"

struct api {
	struct http *http;
	char *base_path;
	_Atomic uint64_t by[API_N_ENDPOINTS][API_N_STATUSES];
};

/* Fill in what the endpoint decides, method, retry and bound, and submit.
 * Target, class, validators and body are the caller's. */
NODISCARD int endpoint_ask(struct api *api, enum api_endpoint endpoint, struct http_spec *spec,
			   http_done_fn *done, void *arg, struct http_call **ret_call);

/* Count the outcome, and judge it: a status that the endpoint's document has as
 * a success, or 304 where conditional, is returned; anything else fills *e and
 * returns e->err. */
NODISCARD int answer_judge(struct api *api, enum api_endpoint endpoint,
			   const struct http_result *result, bool conditional, struct api_error *e);

/* A success that cannot be used: fill *e with err and a message of our own;
 * returns err. */
int answer_refuse(enum api_endpoint endpoint, const struct http_result *result, struct api_error *e,
		  int err, const char *fmt, ...) PRINTF_LIKE(5, 6);

#endif
