/* SPDX-License-Identifier: MIT */
/* fields: include= and exclude= of the list.  Threads: none here. */
#ifndef EMULATOR_FIELDS_H
#define EMULATOR_FIELDS_H

#include "json.h"

/* What the document says of the value: letters, digits, dots, underscores, commas. */
bool fields_are_wellformed(const char *list);
/* _id, name and the listed fields that the record has, in the record's order. */
void fields_include(struct buf *out, struct span record, const char *list);
/* The record without the listed fields; _id and name stay. */
void fields_exclude(struct buf *out, struct span record, const char *list);

#endif
