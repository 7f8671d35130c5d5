/* What the broker sends, mutated: frames, Deliver, records, lineage, JSON. Nothing may crash or read out of bounds.
 *
 * Built with -DSWI_MAIN it needs no fuzzer: it mutates by a seed (SEED, 1 by default) for ROUNDS rounds; what it found is
 * replayed by the same seed. Without, it is a target for libFuzzer. */
#include "frame.h"
#include "json.h"
#include "recordjson.h"
#include "stagewire/v1/envelope.pb-c.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t sink;

static void read_record(swi_slice bytes) {
    sw_record record = {.attempt = 1};
    sw_attribute attribute;
    swi_buffer line = {0};
    if (!swi_record_read(&record, bytes)) return;
    sink += sw_key(&record).size + sw_schema(&record).size + (size_t)sw_event_time(&record);
    for (size_t i = 0; i < 70 && sw_attribute_at(&record, i, &attribute); i++) sink += attribute.name.size;
    sink += sw_record_lineage(&record)->hop_count + swi_record_id(&record).size;
    swi_record_to_json(&line, &record, NULL);
    if (!swi_json_is_valid((sw_bytes){(char *)line.data, line.size}) && swi_is_utf8(line.data, line.size)) abort();
    sw_record *copy = swi_record_copy(&record);
    if (copy->payload.size != record.payload.size) abort();
    swi_record_free(copy);
    swi_record_clear(&record);
    swi_buffer_free(&line);
}

static void read_frame(swi_item *item) {
    uint32_t version, kind, attempt;
    swi_slice message, record;
    swi_records records;
    if (!swi_read_envelope((swi_slice){item->frame, item->size}, &version, &kind, &message)) return;
    if (kind == SWI_M_DELIVER) {
        if (!swi_read_deliver(item, message)) return;
        size_t count = 0;
        swi_records_begin(&records, item);
        for (; swi_records_next(&records, &record, &attempt); count++) read_record(record);
        if (count != item->count) abort();
    } else if (kind != 0) {
        Stagewire__V1__Envelope *envelope = stagewire__v1__envelope__unpack(NULL, item->size, item->frame);
        if (envelope != NULL) stagewire__v1__envelope__free_unpacked(envelope, NULL);
    }
}

static void read_json(const uint8_t *data, size_t size) {
    char wrong[256];
    swi_runs *runs = swi_runs_make();
    sw_record *record = swi_record_from_json((sw_bytes){(const char *)data, size}, runs, wrong);
    if (record != NULL) {
        swi_buffer line = {0};
        sw_record_lineage(record);
        swi_record_to_json(&line, record, NULL);
        swi_record_free(record);
        record = swi_record_from_json((sw_bytes){(char *)line.data, line.size}, runs, wrong);
        if (record == NULL) abort(); /* what was written is read again */
        swi_record_free(record);
        swi_buffer_free(&line);
    }
    swi_runs_free(runs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static swi_frames frames;
    size_t room, piece = size > 0 ? data[0] + 1u : 1;
    swi_frame_status status = SWI_NEED_MORE;
    swi_item *item;
    read_json(data, size);
    memset(&frames, 0, sizeof frames);
    frames.limit = 1 << 16;
    while (size > 0 && status == SWI_NEED_MORE) {
        uint8_t *at = swi_frames_room(&frames, &room);
        size_t taken = size < piece ? size : piece;
        if (taken > room) taken = room;
        memcpy(at, data, taken);
        swi_frames_filled(&frames, taken);
        data += taken;
        size -= taken;
        while ((status = swi_frames_next(&frames, &item)) == SWI_FRAME) {
            read_frame(item);
            swi_frames_recycle(&frames, item);
        }
    }
    swi_frames_free(&frames);
    return 0;
}

#ifdef SWI_MAIN
static uint64_t state;

static uint32_t any(uint32_t below) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)(state * 0x2545f4914f6cdd1dULL >> 33) % below;
}

static const char json[] = "{\"key\": \"a\", \"json\": {\"b\": [1, 2.50, \"\\u00e4\"]}, \"event_time\": \"2026-01-05T10:30:00.5+02:00\", "
                           "\"attributes\": {\"x\": 1, \"y\": true, \"z\": 1e3}, \"lineage\": {\"id\": \"00112233445566778899aabbccddeeff\"}}";

/* Reads `hexadecimal ; comment` lines, as conformance/vectors has them. */
static size_t read_vector(const char *path, uint8_t *bytes, size_t capacity) {
    FILE *file = fopen(path, "r");
    char line[4096];
    size_t size = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        unsigned byte;
        int used;
        line[strcspn(line, ";\n")] = 0;
        for (char *at = line; size < capacity && sscanf(at, "%2x%n", &byte, &used) == 1; at += used) bytes[size++] = (uint8_t)byte;
    }
    if (file != NULL) fclose(file);
    return size;
}

int main(int argc, char **argv) {
    const char *seed = getenv("SEED"), *rounds = getenv("ROUNDS");
    static uint8_t bytes[32768];
    long count = rounds ? atol(rounds) : 20000;
    state = seed ? strtoull(seed, NULL, 10) : 1;
    if (state == 0 || argc < 2) return 2;
    for (long round = 0; round < count; round++) {
        size_t size = 0;
        if (any(4) == 0) memcpy(bytes, json, size = sizeof json - 1);
        else for (uint32_t i = any(4) + 1; i > 0; i--) size += read_vector(argv[1 + any((uint32_t)argc - 1)], bytes + size, 4096);
        if (size == 0) return 2;
        for (uint32_t i = any(6); i > 0; i--) {
            size_t at = any((uint32_t)size);
            if (any(3) == 0) bytes[at] ^= (uint8_t)(1 << any(8));
            else if (any(2) == 0) bytes[at] = (uint8_t)any(256);
            else size = at > 0 ? at : 1;
        }
        uint8_t *exact = malloc(size); /* of this size, so that the sanitizer sees every step beyond it */
        memcpy(exact, bytes, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    printf("fuzz: %ld mutated inputs, seed %s\n", count, seed ? seed : "1");
    return 0;
}
#endif
