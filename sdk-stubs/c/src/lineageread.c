/* Reading a record's lineage from JSON. What does not fit a field is left out, as is what is not known. */
#include "json.h"
#include "recordjson.h"

#include <stdlib.h>

enum { MOST_PARENTS = 16, MOST_HOPS = 64 }; /* LM */

static int nibble(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void put_field(swi_buffer *to, unsigned number, const void *data, size_t size) {
    swi_put_bytes(swi_buffer_room(to, swi_len_size(size)), number, data, size);
    to->size += swi_len_size(size);
}

static void put_number(swi_buffer *to, unsigned number, uint64_t value) {
    if (value == 0) return;
    swi_put_varint(swi_put_tag(swi_buffer_room(to, 1 + swi_varint_size(value)), number, SWI_VARINT), value);
    to->size += 1 + swi_varint_size(value);
}

/* Sixteen bytes from 32 hexadecimal digits; anything else is no id. */
static bool put_id(swi_buffer *to, unsigned number, sw_bytes value) {
    uint8_t bytes[16];
    if (swi_json_kind_of(value) != SWI_JSON_TEXT || value.size != 34) return false;
    for (int i = 0; i < 16; i++) {
        int high = nibble(value.data[1 + 2 * i]), low = nibble(value.data[2 + 2 * i]);
        if (high < 0 || low < 0) return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    put_field(to, number, bytes, 16);
    return true;
}

/* The text of a member, or "", owned by the caller. */
static char *text_of(sw_bytes object, const char *name) {
    sw_bytes found;
    swi_buffer text = {0};
    if (swi_json_find(object, name, &found) && swi_json_kind_of(found) == SWI_JSON_TEXT) swi_json_unescape(&text, found);
    swi_buffer_add(&text, "", 1);
    return (char *)text.data;
}

static void put_parents(swi_buffer *to, sw_bytes list) {
    sw_bytes name, each;
    size_t count = 0;
    if (swi_json_kind_of(list) != SWI_JSON_LIST) return;
    swi_json json = swi_json_enter(list);
    while (count < MOST_PARENTS && swi_json_next(&json, &name, &each)) count += put_id(to, 2, each);
}

static void put_trace(swi_buffer *to, sw_bytes trace) {
    static const char *const names[] = {"traceparent", "tracestate"};
    swi_buffer message = {0};
    for (unsigned i = 0; i < 2; i++) {
        char *text = text_of(trace, names[i]);
        if (*text != 0) put_field(&message, i + 1, text, strlen(text));
        free(text);
    }
    if (message.size > 0) put_field(to, 5, message.data, message.size);
    swi_buffer_free(&message);
}

/* A hop has names here and a number there: its run gets one. */
static void put_hop(swi_buffer *to, sw_bytes hop, int64_t ingest_time, swi_runs *runs) {
    char *stage = text_of(hop, "stage"), *version = text_of(hop, "version");
    char *instance = text_of(hop, "instance"), *language = text_of(hop, "language");
    swi_buffer message = {0};
    sw_bytes found;
    int64_t time = ingest_time, attempt = 0;
    if (runs != NULL) put_number(&message, 1, swi_runs_number(runs, stage, version, instance, language));
    if (swi_json_find(hop, "time", &found) && swi_json_to_time(found, &time))
        put_number(&message, 2, (uint64_t)time - (uint64_t)ingest_time);
    if (swi_json_find(hop, "attempt", &found) && swi_json_to_integer(found, &attempt) && attempt > 0 && attempt <= UINT32_MAX)
        put_number(&message, 3, (uint64_t)attempt);
    put_field(to, 7, message.data, message.size);
    swi_buffer_free(&message);
    free(stage);
    free(version);
    free(instance);
    free(language);
}

static void put_hops(swi_buffer *to, sw_bytes list, int64_t ingest_time, swi_runs *runs) {
    sw_bytes name, each;
    if (swi_json_kind_of(list) != SWI_JSON_LIST) return;
    swi_json json = swi_json_enter(list);
    for (size_t count = 0; count < MOST_HOPS && swi_json_next(&json, &name, &each); count++) {
        if (swi_json_kind_of(each) == SWI_JSON_OBJECT) put_hop(to, each, ingest_time, runs);
    }
}

void swi_lineage_from_json(swi_buffer *to, sw_bytes lineage, swi_runs *runs) {
    sw_bytes found;
    int64_t ingest_time = 0;
    if (swi_json_find(lineage, "id", &found)) put_id(to, 1, found);
    if (swi_json_find(lineage, "parents", &found)) put_parents(to, found);
    if (swi_json_find(lineage, "parents_truncated", &found)) put_number(to, 3, *found.data == 't');
    if (swi_json_find(lineage, "root", &found)) put_id(to, 4, found);
    if (swi_json_find(lineage, "trace", &found) && swi_json_kind_of(found) == SWI_JSON_OBJECT) put_trace(to, found);
    if (swi_json_find(lineage, "ingest_time", &found) && swi_json_to_time(found, &ingest_time)) {
        swi_put_fixed64(swi_put_tag(swi_buffer_room(to, 9), 6, SWI_FIXED64), (uint64_t)ingest_time);
        to->size += 9;
    }
    if (swi_json_find(lineage, "hops", &found)) put_hops(to, found, ingest_time, runs);
}
