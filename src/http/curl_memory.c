/* SPDX-License-Identifier: MIT */
#include "http/curl_memory.h"

#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void wipe_free(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

/* Not realloc(3), which frees without wiping when it moves. */
static void *wipe_realloc(void *old, size_t size)
{
	if (!old)
		return malloc(size);
	size_t old_size = malloc_usable_size(old);
	if (size <= old_size && size >= old_size / 2)
		return old;

	void *p = malloc(size);
	if (!p)
		return NULL;
	memcpy(p, old, old_size < size ? old_size : size);
	wipe_free(old);
	return p;
}

int curl_memory_global_init(void)
{
	CURLcode code = curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wipe_free, wipe_realloc,
					     strdup, calloc);

	return code == CURLE_OK ? 0 : -ENOMEM;
}
