/* SPDX-License-Identifier: MIT */
/* macros: the few that every file uses, and no more. */
#ifndef BASE_MACROS_H
#define BASE_MACROS_H

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Hand a pointer on and forget it here, so that its CLEANUP frees nothing. */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) taken_ = (p);                                                        \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})

/* The object that the given member is embedded in. */
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* unused: clang warns about an uncalled static inline in a .c file. */
#define DEFINE_CLEANUP(type, fn)                                                                   \
	static inline __attribute__((unused)) void fn##p(type **p)                                 \
	{                                                                                          \
		if (*p)                                                                            \
			fn(*p);                                                                    \
	}

#endif
