/* SPDX-License-Identifier: MIT */
/* Pages of a list -> records, or an error: never a part.  The input is the Link
 * of the first page, and two pages. */
#include <string.h>

#include "fake_api.h"
#include "fuzz.h"

struct end {
	unsigned times;
	bool whole;
};

static void on_list(void *arg, const struct api_error *error, struct api_list *list)
{
	struct end *end = arg;

	end->times++;
	fuzz_check(!error == !!list);
	if (error) {
		fuzz_check(error->err < 0 && error->message[0]);
		return;
	}
	end->whole = true;
	fuzz_check(list->n_pages >= 1);
	for (size_t i = 0; i < list->n_records; i++)
		fuzz_check(list->records[i] && list->records[i]->text_len > 0);
}

static void answer(struct fake_api *a, size_t i, struct fuzz_part body, const char *link)
{
	const struct fake_answer given = { .status = 200,
					   .body = body.s,
					   .body_len = body.len,
					   .link = link,
					   .retry_after_ms = -1 };

	fake_transport_answer(a->transport, i, &given);
	http_turn(a->http);
	http_turn(a->http);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct end end = { 0 };
	struct fuzz_part part[3];
	struct fake_api a;

	if (!fuzz_split(data, size, part, 3) || part[1].len == 0 || part[2].len == 0)
		return 0;
	fake_api_init(&a, "/base");
	int r = api_list(a.api, NULL, NULL, on_list, &end);
	fuzz_check(r == 0 && fake_api_tries(&a) == 1);
	answer(&a, 0, part[1], part[0].len ? part[0].s : NULL);
	if (end.times == 0) {
		fuzz_check(fake_api_tries(&a) == 2);
		fuzz_check(strncmp(fake_api_request(&a, 1)->target, "/v1/stacks", 10) == 0);
		answer(&a, 1, part[2], NULL);
	}
	fuzz_check(end.times == 1);
	fake_api_done(&a);
	return 0;
}
