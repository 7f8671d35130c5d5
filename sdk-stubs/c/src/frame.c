#include "frame.h"

#include <stdlib.h>

/* The least capacity: most frames then fit one that is used again. */
enum { LEAST_ITEM = 8 * 1024, MOST_RECYCLED = 512 * 1024 };

swi_item *swi_item_make(swi_event event, size_t capacity) {
    swi_item *item = swi_allocate(sizeof *item + capacity);
    *item = (swi_item){.event = event, .capacity = capacity};
    return item;
}

void swi_frames_recycle(swi_frames *frames, swi_item *item) {
    if (frames->spare == NULL && item->capacity <= MOST_RECYCLED) frames->spare = item;
    else free(item);
}

void swi_frames_free(swi_frames *frames) {
    free(frames->current);
    free(frames->spare);
    frames->current = frames->spare = NULL;
}

uint8_t *swi_frames_room(swi_frames *frames, size_t *size) {
    if (frames->current != NULL) { /* then the staging buffer is empty */
        *size = frames->current->size - frames->have;
        return frames->current->frame + frames->have;
    }
    if (frames->start > 0) { /* less than a length is left, in 3 bytes at most */
        memmove(frames->staging, frames->staging + frames->start, frames->end - frames->start);
        frames->end -= frames->start;
        frames->start = 0;
    }
    *size = SWI_STAGING - frames->end;
    return frames->staging + frames->end;
}

void swi_frames_filled(swi_frames *frames, size_t size) {
    if (frames->current != NULL) frames->have += size;
    else frames->end += size;
}

static swi_item *begin(swi_frames *frames, size_t size) {
    swi_item *item = frames->spare;
    frames->spare = NULL;
    if (item == NULL || item->capacity < size) {
        free(item);
        item = swi_item_make(SWI_DELIVER, size > LEAST_ITEM ? size : LEAST_ITEM);
    } else {
        *item = (swi_item){.event = SWI_DELIVER, .capacity = item->capacity};
    }
    item->size = size;
    return item;
}

swi_frame_status swi_frames_next(swi_frames *frames, swi_item **item) {
    if (frames->current == NULL) {
        const uint8_t *at = frames->staging + frames->start;
        if (frames->end - frames->start < 4) return SWI_NEED_MORE;
        size_t size = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
        if (size == 0) return SWI_EMPTY_FRAME;
        if (size > frames->limit) return SWI_LARGE_FRAME;
        frames->current = begin(frames, size);
        frames->have = 0;
        frames->start += 4;
    }
    size_t missing = frames->current->size - frames->have, there = frames->end - frames->start;
    size_t taken = there < missing ? there : missing;
    memcpy(frames->current->frame + frames->have, frames->staging + frames->start, taken);
    frames->have += taken;
    frames->start += taken;
    if (frames->start == frames->end) frames->start = frames->end = 0;
    if (frames->have < frames->current->size) return SWI_NEED_MORE;
    *item = frames->current;
    frames->current = NULL;
    return SWI_FRAME;
}

bool swi_read_envelope(swi_slice frame, uint32_t *version, uint32_t *kind, swi_slice *message) {
    const uint8_t *at = frame.data, *end = at + frame.size;
    swi_field field;
    int more;
    *version = *kind = 0;
    while ((more = swi_next(&at, end, &field)) > 0) {
        if (field.number == 1) {
            if (field.type != SWI_VARINT || field.value > UINT32_MAX) return false;
            *version = (uint32_t)field.value;
        } else if (field.number >= SWI_M_HELLO && field.number <= SWI_M_FINISHED) {
            if (field.type != SWI_LEN || *kind != 0) return false;
            *kind = field.number;
            *message = field.bytes;
        }
    }
    return more == 0;
}

bool swi_read_deliver(swi_item *item, swi_slice message) {
    const uint8_t *at = message.data, *end = at + message.size;
    swi_field field;
    int more;
    item->deliver = message;
    item->input = 0;
    item->first = item->bytes = 0;
    item->count = 0;
    item->has_attempts = false;
    while ((more = swi_next(&at, end, &field)) > 0) {
        switch (field.number) {
        case 1:
            if (field.type != SWI_VARINT || field.value > UINT32_MAX) return false;
            item->input = (uint32_t)field.value;
            break;
        case 2:
            if (field.type != SWI_VARINT) return false;
            item->first = field.value;
            break;
        case 3:
            if (field.type != SWI_VARINT && field.type != SWI_LEN) return false;
            item->has_attempts = true;
            break;
        case 4:
            if (field.type != SWI_LEN) return false;
            item->count++;
            item->bytes += field.bytes.size;
            break;
        }
    }
    return more == 0 && item->count > 0 && item->first > 0;
}

void swi_records_begin(swi_records *records, const swi_item *item) {
    records->at = records->attempts_at = item->deliver.data;
    records->end = records->attempts_end = item->deliver.data + item->deliver.size;
    records->packed_at = records->packed_end = NULL;
    records->has_attempts = item->has_attempts;
}

/* Attempts may be packed, unpacked, or both (FR-5), and stand before or behind the records. */
static uint32_t next_attempt(swi_records *records) {
    swi_field field;
    uint64_t value;
    for (;;) {
        if (records->packed_at != records->packed_end) {
            if (!swi_read_varint(&records->packed_at, records->packed_end, &value)) records->packed_at = records->packed_end;
            else return (uint32_t)value;
        }
        if (swi_next(&records->attempts_at, records->attempts_end, &field) <= 0) return 1;
        if (field.number != 3) continue;
        if (field.type == SWI_VARINT) return (uint32_t)field.value;
        records->packed_at = field.bytes.data;
        records->packed_end = field.bytes.data + field.bytes.size;
    }
}

bool swi_records_next(swi_records *records, swi_slice *bytes, uint32_t *attempt) {
    swi_field field;
    while (swi_next(&records->at, records->end, &field) > 0) {
        if (field.number != 4) continue;
        *bytes = field.bytes;
        *attempt = 1;
        if (records->has_attempts) *attempt = next_attempt(records);
        if (*attempt == 0) *attempt = 1;
        return true;
    }
    return false;
}
