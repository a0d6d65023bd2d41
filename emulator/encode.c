/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "encode.h"

enum {
	GZIP_LEVEL = 1,	       /* pages are made for each request: speed counts, not size */
	GZIP_WINDOW = 15 + 16, /* zlib's way to ask for a gzip header */
	CHUNK = 65536,
};

static void drain(z_stream *z, int flush, struct buf *out)
{
	unsigned char chunk[CHUNK];

	do {
		z->next_out = chunk;
		z->avail_out = sizeof(chunk);
		deflate(z, flush);
		buf_add(out, chunk, sizeof(chunk) - z->avail_out);
	} while (!z->avail_out);
}

void encode_gzip(struct buf *out, struct span in, uint64_t times)
{
	z_stream z = { 0 };

	if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		abort(); /* the arguments are constants; without memory there is no going on */
	while (times--) {
		z.next_in = (unsigned char *)in.p;
		z.avail_in = (unsigned)in.len;
		drain(&z, Z_NO_FLUSH, out);
	}
	drain(&z, Z_FINISH, out);
	deflateEnd(&z);
}

/* The weight of one item `gzip;q=0.5`: anything but a written zero will do. */
static bool is_refused(struct span params)
{
	const char *q = memmem(params.p, params.len, "q=", 2);

	return q && strtod(q + 2, NULL) <= 0;
}

bool encode_accepts_gzip(const char *accept)
{
	while (accept && *accept) {
		size_t len, name;

		accept += strspn(accept, ", \t");
		len = strcspn(accept, ",");
		name = strcspn(accept, "; \t,");
		if ((name == 4 && !strncasecmp(accept, "gzip", 4)) || (name == 1 && *accept == '*'))
			return !is_refused(span_of(accept + name, len - name));
		accept += len;
	}
	return false;
}

int encode_from_base64(struct buf *out, struct span text)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned bits = 0, have = 0;

	while (text.len && text.p[text.len - 1] == '=')
		text.len--;
	for (size_t i = 0; i < text.len; i++) {
		const char *at = memchr(letters, text.p[i], sizeof(letters) - 1);

		if (!at)
			return -EBADMSG;
		bits = bits << 6 | (unsigned)(at - letters);
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		buf_addc(out, (char)(bits >> have));
		bits &= (1U << have) - 1;
	}
	return 0;
}
