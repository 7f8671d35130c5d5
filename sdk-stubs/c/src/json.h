/* A reader of JSON texts (RFC 8259) that leaves them as they are: values are slices, so no digit of a number changes. */
#ifndef SWI_JSON_H
#define SWI_JSON_H

#include "wire.h"

enum { SWI_JSON_DEPTH = 128 };

typedef struct swi_json { /* where a reader stands */
    const char *at, *end;
} swi_json;

/* Whether this is exactly one JSON text in UTF-8. Everything below expects such a text, or a part of one. */
bool swi_json_is_valid(sw_bytes text);

typedef enum swi_json_kind {
    SWI_JSON_NULL, SWI_JSON_FLAG, SWI_JSON_NUMBER, SWI_JSON_TEXT, SWI_JSON_LIST, SWI_JSON_OBJECT
} swi_json_kind;

swi_json_kind swi_json_kind_of(sw_bytes value);
const char *swi_json_kind_name(swi_json_kind kind); /* "a string" */

/* Begins to go through the members of an object or list; next: false at the end. `name` (objects) is a JSON string. */
swi_json swi_json_enter(sw_bytes value);
bool swi_json_next(swi_json *json, sw_bytes *name, sw_bytes *value);

/* Adds what a JSON string stands for. A lone surrogate becomes U+FFFD. */
void swi_json_unescape(swi_buffer *to, sw_bytes text);
/* Whether a JSON string stands for this text. */
bool swi_json_is(sw_bytes text, const char *plain, size_t size);
/* Adds the value without the white space around its tokens. */
void swi_json_compact(swi_buffer *to, sw_bytes value);
/* Adds a text as a JSON string. It has to be UTF-8. */
void swi_json_escape(swi_buffer *to, const void *text, size_t size);

/* The value at a path such as "limits[1].above"; "" is all of it. False: there is none. */
bool swi_json_find(sw_bytes root, const char *path, sw_bytes *value);

/* A number, or false when it is another kind, or not finite. */
bool swi_json_to_number(sw_bytes value, double *number);
/* A number without fraction and exponent that fits 64 bits. */
bool swi_json_to_integer(sw_bytes value, int64_t *integer);

#endif
