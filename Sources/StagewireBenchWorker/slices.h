// Protobuf by hand: fields as slices of the buffer they arrived in, varints to and from memory.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
  const uint8_t *next, *end;
};

enum wire_type { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

struct field {
  uint32_t number;
  enum wire_type type;
  uint64_t value;      // of a varint
  struct slice bytes;  // of the other types
};

enum found { MALFORMED = -1, NOTHING = 0, FIELD = 1 };

static inline size_t slice_size(struct slice s) { return (size_t)(s.end - s.next); }

static inline void slice_move(struct slice *s, ptrdiff_t by) {
  s->next += by;
  s->end += by;
}

static inline bool get_varint(struct slice *s, uint64_t *value) {
  if (s->next < s->end && *s->next < 0x80) {
    *value = *s->next++;
    return true;
  }
  uint64_t result = 0;
  for (unsigned shift = 0; shift < 64 && s->next < s->end; shift += 7) {
    uint8_t byte = *s->next++;
    result |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = result;
      return true;
    }
  }
  return false;
}

static inline enum found next_field(struct slice *s, struct field *field) {
  if (s->next == s->end) return NOTHING;
  uint64_t tag, size;
  if (!get_varint(s, &tag) || tag >> 3 == 0 || tag > UINT32_MAX) return MALFORMED;
  *field = (struct field){.number = (uint32_t)(tag >> 3), .type = (enum wire_type)(tag & 7), .bytes = {s->next, s->next}};
  switch (tag & 7) {
  case VARINT: return get_varint(s, &field->value) ? FIELD : MALFORMED;
  case FIXED64: size = 8; break;
  case FIXED32: size = 4; break;
  case BYTES:
    if (!get_varint(s, &size)) return MALFORMED;
    break;
  default: return MALFORMED;
  }
  if (size > slice_size(*s)) return MALFORMED;
  field->bytes = (struct slice){s->next, s->next + size};
  s->next += size;
  return FIELD;
}

static inline size_t varint_size(uint64_t value) {
  size_t size = 1;
  while (value >>= 7) size++;
  return size;
}

static inline uint8_t *put_varint(uint8_t *to, uint64_t value) {
  while (value >= 0x80) {
    *to++ = (uint8_t)value | 0x80;
    value >>= 7;
  }
  *to++ = (uint8_t)value;
  return to;
}

// Tags of the fields written here are one byte: their numbers are below 16.
static inline uint8_t *put_number(uint8_t *to, uint8_t field, uint64_t value) {
  *to++ = (uint8_t)(field << 3 | VARINT);
  return put_varint(to, value);
}

static inline uint8_t *put_head(uint8_t *to, uint8_t field, size_t size) {
  *to++ = (uint8_t)(field << 3 | BYTES);
  return put_varint(to, size);
}

static inline uint8_t *put_bytes(uint8_t *to, uint8_t field, const void *bytes, size_t size) {
  to = put_head(to, field, size);
  memcpy(to, bytes, size);
  return to + size;
}
