/* SPDX-License-Identifier: MIT */
/* fake_api: the real api and http layers over a transport and a clock that the
 * test turns.  No thread runs; every step is the test's. */
#ifndef TESTS_FAKE_API_H
#define TESTS_FAKE_API_H

#include "api/api.h"
#include "fake_clock.h"
#include "fake_transport.h"
#include "http/http.h"

struct fake_api {
	struct fake_clock clock;
	struct fake_transport *transport;
	struct http *http;
	struct api *api;
};

void fake_api_init(struct fake_api *a, const char *base_path);
void fake_api_done(struct fake_api *a);

/* Start what was asked; the number of tries since init. */
size_t fake_api_tries(struct fake_api *a);
const struct transport_request *fake_api_request(struct fake_api *a, size_t i);
/* Let time pass, and what is due start. */
void fake_api_advance(struct fake_api *a, uint64_t ms);

/* Answer try i, and let the answer be taken.  etag and link may be NULL. */
void fake_api_answer(struct fake_api *a, size_t i, int status, const char *body, const char *etag,
		     const char *link);
void fake_api_fail(struct fake_api *a, size_t i, int err, bool sent);

#endif
