/* SPDX-License-Identifier: MIT */
#include "api/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/json.h"
#include "base/macros.h"
#include "base/utf8.h"

/* An error that needs more room than this is a page for a browser. */
#define ENVELOPE_MAX_BYTES (64 * 1024)

/* First match wins.  docs: the same table is shown to users in semantics.md. */
static const struct {
	short lo, hi;
	int err;
} status_map[] = {
	{ 401, 401, -EACCES },
	{ 403, 403, -EPERM },
	{ 404, 404, -ENOENT },
	{ 408, 408, -ETIMEDOUT },
	{ 409, 409, -EBUSY },
	{ 412, 412, -EBUSY },
	{ 413, 413, -EFBIG },
	{ 429, 429, -EBUSY },
	{ 400, 499, -EBADMSG },
	{ 500, 599, -EIO },
}; /* no row: -EIO */

int api_error_from_status(int status)
{
	for (size_t i = 0; i < ARRAY_SIZE(status_map); i++) {
		if (status >= status_map[i].lo && status <= status_map[i].hi)
			return status_map[i].err;
	}
	return -EIO;
}

static bool is_control(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;

	return (n == 1 && (u[0] < 0x20 || u[0] == 0x7f)) ||
	       (n == 2 && u[0] == 0xc2 && u[1] < 0xa0); /* U+0080 to U+009F */
}

void api_error_text(char *out, size_t size, const char *s, size_t len)
{
	size_t at = 0;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_length(s + i, len - i);
		bool odd = n == 0 || is_control(s + i, n);
		size_t need = odd ? 1 : n;

		if (at + need >= size)
			break;
		memcpy(out + at, odd ? (n == 0 ? "?" : " ") : s + i, need);
		at += need;
		i += n ? n : 1;
	}
	out[at] = '\0';
}

void api_error_set(struct api_error *e, int err, const char *fmt, ...)
{
	char text[sizeof(e->message)];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	e->err = err;
	e->code[0] = e->field[0] = '\0';
	api_error_text(e->message, sizeof(e->message), text, len);
}

static void cjson_free(cJSON **json)
{
	cJSON_Delete(*json);
}

static const cJSON *member(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

static void take_string(char *out, size_t size, const cJSON *item)
{
	if (cJSON_IsString(item))
		api_error_text(out, size, item->valuestring, strlen(item->valuestring));
}

/* A string, or an integer that repeats the status of another service. */
static void take_code(char *out, size_t size, const cJSON *item)
{
	take_string(out, size, item);
	if (!cJSON_IsNumber(item))
		return;
	double value = item->valuedouble;
	/* The range in which a double holds every integer; a NaN is outside. */
	bool small = value >= -9007199254740992.0 && value <= 9007199254740992.0;

	if (small && value == (double)(int64_t)value)
		snprintf(out, size, "%" PRId64, (int64_t)value);
}

static void take_envelope(struct api_error *e, const cJSON *root)
{
	const cJSON *errors = member(root, "errors");
	const cJSON *first = cJSON_IsArray(errors) ? errors->child : NULL;

	/* What authenticates comes before the API, and has no envelope. */
	take_string(e->message, sizeof(e->message), member(root, "message"));
	if (!cJSON_IsObject(first))
		return;
	take_string(e->message, sizeof(e->message), member(first, "message"));
	take_code(e->code, sizeof(e->code), member(first, "code"));
	take_string(e->field, sizeof(e->field), member(first, "field"));
}

void api_error_from_answer(struct api_error *e, int status, const char *body, size_t len)
{
	struct json_error bad;

	e->err = api_error_from_status(status);
	e->status = status;
	e->code[0] = e->message[0] = e->field[0] = '\0';
	if (len <= ENVELOPE_MAX_BYTES && json_check(body, len, JSON_ANY_BYTES, &bad) == 0) {
		CLEANUP(cjson_free) cJSON *root = cJSON_ParseWithLength(body, len);

		if (cJSON_IsObject(root))
			take_envelope(e, root);
	}
	if (e->message[0] == '\0')
		snprintf(e->message, sizeof(e->message), "the service answered %d", status);
}
