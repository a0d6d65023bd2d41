/* SPDX-License-Identifier: MIT */
/* A main for targets that are not linked with libFuzzer: runs each file that is
 * named, and each in a folder that is named. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/macros.h"
#include "fuzz.h"

#define MAX_INPUT_BYTES (8 * 1024 * 1024)

static unsigned n_run;

/* In memory of just that size, so that a checker sees a read past its end. */
static void run_file(const char *path, size_t size)
{
	FILE *file = fopen(path, "re");
	uint8_t *data = malloc(size ? size : 1);

	fuzz_check(file && data);
	fuzz_check(fread(data, 1, size, file) == size);
	fclose(file);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	n_run++;
}

static void run_path(const char *path);

static void run_folder(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);

	fuzz_check(n >= 0);
	for (int i = 0; i < n; i++) {
		char inside[4096];

		snprintf(inside, sizeof(inside), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			run_path(inside);
		free(names[i]);
	}
	free(names);
}

static void run_path(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	fuzz_check(S_ISDIR(st.st_mode) || st.st_size <= MAX_INPUT_BYTES);
	if (S_ISDIR(st.st_mode))
		run_folder(path);
	else
		run_file(path, (size_t)st.st_size);
}

int main(int argc, char *argv[])
{
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		run_path(argv[i]);
	printf("%u inputs\n", n_run);
	return n_run > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
