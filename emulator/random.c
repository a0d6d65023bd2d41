/* SPDX-License-Identifier: MIT */
#include "random.h"

struct random random_of(uint64_t seed)
{
	return (struct random){ seed };
}

/* splitmix64: https://prng.di.unimi.it/splitmix64.c */
uint64_t random_next(struct random *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t random_below(struct random *r, uint64_t bound)
{
	return random_next(r) % bound;
}

uint64_t random_hash(struct span bytes)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < bytes.len; i++)
		h = (h ^ (unsigned char)bytes.p[i]) * 0x100000001b3;
	return h;
}
