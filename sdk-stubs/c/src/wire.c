#include "wire.h"

#include <stdio.h>
#include <stdlib.h>

bool swi_read_varint_slow(const uint8_t **at, const uint8_t *end, uint64_t *value) {
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 70 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        if (shift == 63 && byte > 1) return false; /* the 65th bit */
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            return true;
        }
    }
    return false;
}

static uint64_t little_endian(const uint8_t *at, int count) {
    uint64_t value = 0;
    while (count-- > 0) value = value << 8 | at[count];
    return value;
}

bool swi_read_fixed(const uint8_t **at, const uint8_t *end, swi_field *field) {
    int count = field->type == SWI_FIXED64 ? 8 : field->type == SWI_FIXED32 ? 4 : 0;
    if (count == 0 || end - *at < count) return false;
    field->value = little_endian(*at, count);
    *at += count;
    return true;
}

uint8_t *swi_put_fixed64(uint8_t *at, uint64_t value) {
    for (int i = 0; i < 8; i++) *at++ = (uint8_t)(value >> 8 * i);
    return at;
}

static void *checked(void *memory) {
    if (memory == NULL) {
        fputs("stagewire: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *swi_allocate(size_t size) { return checked(malloc(size > 0 ? size : 1)); }
void *swi_allocate_zeroed(size_t count, size_t size) { return checked(calloc(count > 0 ? count : 1, size)); }
void *swi_reallocate(void *memory, size_t size) { return checked(realloc(memory, size > 0 ? size : 1)); }

char *swi_duplicate(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(swi_allocate(size), text, size);
}

void swi_buffer_grow(swi_buffer *buffer, size_t more) {
    size_t capacity = buffer->capacity > 0 ? buffer->capacity : 256;
    while (capacity - buffer->size < more) capacity *= 2;
    buffer->data = swi_reallocate(buffer->data, capacity);
    buffer->capacity = capacity;
}

void swi_buffer_free(swi_buffer *buffer) {
    free(buffer->data);
    *buffer = (swi_buffer){0};
}

void swi_buffer_add(swi_buffer *buffer, const void *data, size_t size) {
    uint8_t *at = swi_buffer_room(buffer, size);
    if (size > 0) memcpy(at, data, size);
    buffer->size += size;
}

void swi_buffer_text(swi_buffer *buffer, const char *text) { swi_buffer_add(buffer, text, strlen(text)); }

/* The number of bytes that follow a leading byte, and the least and greatest second byte (Unicode 15, table 3-7). */
static int following(uint8_t lead, uint8_t *least, uint8_t *greatest) {
    *least = 0x80;
    *greatest = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) return 1;
    if (lead >= 0xe0 && lead <= 0xef) {
        if (lead == 0xe0) *least = 0xa0;
        if (lead == 0xed) *greatest = 0x9f; /* no surrogates */
        return 2;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (lead == 0xf0) *least = 0x90;
        if (lead == 0xf4) *greatest = 0x8f; /* not above U+10FFFF */
        return 3;
    }
    return -1;
}

bool swi_is_utf8(const void *data, size_t size) {
    if (size == 0) return true;
    const uint8_t *at = data, *end = at + size;
    while (at < end) {
        uint8_t least, greatest;
        if (*at < 0x80) {
            at++;
            continue;
        }
        int count = following(*at++, &least, &greatest);
        if (count < 0 || end - at < count || *at < least || *at > greatest) return false;
        for (at++; --count > 0; at++) {
            if ((*at & 0xc0) != 0x80) return false;
        }
    }
    return true;
}
