/* Protobuf's wire format as slices of memory, and buffers to write it to. Only what Deliver, Settle and Emit need: all
 * other messages go through libprotobuf-c. */
#ifndef SWI_WIRE_H
#define SWI_WIRE_H

#include "stagewire.h"

#include <string.h>

enum { SWI_VARINT = 0, SWI_FIXED64 = 1, SWI_LEN = 2, SWI_FIXED32 = 5 };

/* A piece of a frame. */
typedef struct swi_slice {
    const uint8_t *data;
    size_t size;
} swi_slice;

typedef struct swi_field {
    uint32_t number;
    uint32_t type;
    uint64_t value; /* SWI_VARINT, SWI_FIXED64, SWI_FIXED32 */
    swi_slice bytes; /* SWI_LEN */
} swi_field;

/* Reads a varint; false when it overruns or does not fit 64 bits. */
bool swi_read_varint_slow(const uint8_t **at, const uint8_t *end, uint64_t *value);

static inline bool swi_read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
    if (*at < end && **at < 0x80) {
        *value = *(*at)++;
        return true;
    }
    return swi_read_varint_slow(at, end, value);
}

/* Reads the fields that are not varints and not LEN; groups and unknown types are malformed. */
bool swi_read_fixed(const uint8_t **at, const uint8_t *end, swi_field *field);

/* The next field: 1, 0 at the end, -1 when the bytes are malformed. */
static inline int swi_next(const uint8_t **at, const uint8_t *end, swi_field *field) {
    uint64_t tag;
    if (*at == end) return 0;
    if (!swi_read_varint(at, end, &tag) || tag > UINT32_MAX || tag < 8) return -1;
    field->number = (uint32_t)(tag >> 3);
    field->type = tag & 7;
    if (field->type == SWI_LEN) {
        uint64_t size;
        if (!swi_read_varint(at, end, &size) || size > (uint64_t)(end - *at)) return -1;
        field->bytes.data = *at;
        field->bytes.size = (size_t)size;
        *at += size;
        return 1;
    }
    if (field->type == SWI_VARINT) return swi_read_varint(at, end, &field->value) ? 1 : -1;
    return swi_read_fixed(at, end, field) ? 1 : -1;
}

static inline size_t swi_varint_size(uint64_t value) {
    return value < 0x80 ? 1 : (size_t)(70 - __builtin_clzll(value)) / 7;
}

/* The size of a field of type LEN with a tag of one byte (numbers below 16). */
static inline size_t swi_len_size(size_t size) { return 1 + swi_varint_size(size) + size; }

static inline uint8_t *swi_put_varint(uint8_t *at, uint64_t value) {
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/* A tag of one byte. */
static inline uint8_t *swi_put_tag(uint8_t *at, unsigned number, unsigned type) {
    *at++ = (uint8_t)(number << 3 | type);
    return at;
}

static inline uint8_t *swi_put_bytes(uint8_t *at, unsigned number, const void *data, size_t size) {
    at = swi_put_varint(swi_put_tag(at, number, SWI_LEN), size);
    if (size > 0) memcpy(at, data, size);
    return at + size;
}

/* Little-endian, as fixed64 and sfixed64 are. */
uint8_t *swi_put_fixed64(uint8_t *at, uint64_t value);

/* A buffer that grows. */
typedef struct swi_buffer {
    uint8_t *data;
    size_t size, capacity;
} swi_buffer;

void swi_buffer_grow(swi_buffer *buffer, size_t more);
void swi_buffer_free(swi_buffer *buffer);
void swi_buffer_add(swi_buffer *buffer, const void *data, size_t size);
void swi_buffer_text(swi_buffer *buffer, const char *text);

/* Room for `more` bytes at the end; the caller advances `size` by what it wrote. */
static inline uint8_t *swi_buffer_room(swi_buffer *buffer, size_t more) {
    if (buffer->capacity - buffer->size < more) swi_buffer_grow(buffer, more);
    return buffer->data + buffer->size;
}

/* Memory or the end of the process. */
void *swi_allocate(size_t size);
void *swi_allocate_zeroed(size_t count, size_t size);
void *swi_reallocate(void *memory, size_t size);
char *swi_duplicate(const char *text);

bool swi_is_utf8(const void *data, size_t size);

static inline swi_slice swi_slice_of(sw_bytes bytes) { return (swi_slice){(const uint8_t *)bytes.data, bytes.size}; }
static inline sw_bytes swi_bytes_of(swi_slice slice) {
    return (sw_bytes){slice.data ? (const char *)slice.data : "", slice.size};
}
static inline bool swi_equal(swi_slice a, swi_slice b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

#endif
