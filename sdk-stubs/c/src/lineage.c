/* Lineage, decoded by libprotobuf-c when it is asked for, and the names of runs. */
#include "record.h"
#include "stagewire/v1/record.pb-c.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct run {
    char *stage, *version, *instance, *language;
} run;

struct swi_runs {
    pthread_mutex_t mutex; /* the link adds while handlers look up */
    run **by_number;       /* entries never move: what was looked up stays valid */
    size_t count;
};

/* What the broker remembers at most (LM); a number above it has no name. */
enum { MOST_RUNS = 65536 };

swi_runs *swi_runs_make(void) {
    swi_runs *runs = swi_allocate_zeroed(1, sizeof *runs);
    pthread_mutex_init(&runs->mutex, NULL);
    return runs;
}

void swi_runs_free(swi_runs *runs) {
    for (size_t i = 0; runs != NULL && i < runs->count; i++) {
        run *each = runs->by_number[i];
        if (each == NULL) continue;
        free(each->stage);
        free(each->version);
        free(each->instance);
        free(each->language);
        free(each);
    }
    if (runs != NULL) {
        pthread_mutex_destroy(&runs->mutex);
        free(runs->by_number);
    }
    free(runs);
}

void swi_runs_add(swi_runs *runs, uint32_t number, const char *stage, const char *version, const char *instance,
                  const char *language) {
    if (number > MOST_RUNS) return;
    pthread_mutex_lock(&runs->mutex);
    if (number >= runs->count) {
        size_t count = number + 64;
        runs->by_number = swi_reallocate(runs->by_number, count * sizeof *runs->by_number);
        memset(runs->by_number + runs->count, 0, (count - runs->count) * sizeof *runs->by_number);
        runs->count = count;
    }
    if (runs->by_number[number] == NULL) {
        run *added = swi_allocate(sizeof *added);
        *added = (run){swi_duplicate(stage), swi_duplicate(version), swi_duplicate(instance), swi_duplicate(language)};
        runs->by_number[number] = added;
    }
    pthread_mutex_unlock(&runs->mutex);
}

uint32_t swi_runs_number(swi_runs *runs, const char *stage, const char *version, const char *instance,
                         const char *language) {
    uint32_t number = 1;
    for (; number < runs->count && runs->by_number[number] != NULL; number++) {
        const run *each = runs->by_number[number];
        if (strcmp(each->stage, stage) == 0 && strcmp(each->version, version) == 0 &&
            strcmp(each->instance, instance) == 0 && strcmp(each->language, language) == 0)
            return number;
    }
    if (number > MOST_RUNS) return 0;
    swi_runs_add(runs, number, stage, version, instance, language);
    return number;
}

static const run *find_run(swi_runs *runs, uint32_t number) {
    static const run unknown = {"", "", "", ""};
    const run *found = NULL;
    if (runs == NULL) return &unknown;
    pthread_mutex_lock(&runs->mutex);
    if (number < runs->count) found = runs->by_number[number];
    pthread_mutex_unlock(&runs->mutex);
    return found ? found : &unknown;
}

struct swi_decoded {
    sw_lineage lineage;
    sw_hop *hops;
    uint8_t (*parents)[16];
    Stagewire__V1__Lineage *message; /* trace texts point into it */
};

static bool copy_id(uint8_t id[16], ProtobufCBinaryData bytes) {
    if (bytes.len != 16) return false;
    memcpy(id, bytes.data, 16);
    return true;
}

static void fill(struct swi_decoded *decoded, swi_runs *runs) {
    const Stagewire__V1__Lineage *message = decoded->message;
    sw_lineage *lineage = &decoded->lineage;
    copy_id(lineage->id, message->id);
    if (!copy_id(lineage->root, message->root)) memcpy(lineage->root, lineage->id, 16); /* its own root */
    lineage->parents_truncated = message->parents_truncated;
    lineage->ingest_time = (int64_t)message->ingest_time;
    if (message->trace != NULL) {
        lineage->traceparent = sw_text(message->trace->traceparent);
        lineage->tracestate = sw_text(message->trace->tracestate);
    }
    decoded->parents = swi_allocate_zeroed(message->n_parents, sizeof *decoded->parents);
    for (size_t i = 0; i < message->n_parents; i++) {
        if (copy_id(decoded->parents[lineage->parent_count], message->parents[i])) lineage->parent_count++;
    }
    decoded->hops = swi_allocate_zeroed(message->n_hops, sizeof *decoded->hops);
    lineage->hop_count = message->n_hops;
    for (size_t i = 0; i < message->n_hops; i++) {
        const Stagewire__V1__Hop *hop = message->hops[i];
        const run *made_by = find_run(runs, hop->run);
        uint64_t time = message->ingest_time + hop->delta;
        uint32_t attempt = hop->attempt > 0 ? hop->attempt : 1;
        decoded->hops[i] =
            (sw_hop){made_by->stage, made_by->version, made_by->instance, made_by->language, (int64_t)time, attempt};
    }
    lineage->parents = (const uint8_t(*)[16])decoded->parents;
    lineage->hops = decoded->hops;
}

const sw_lineage *sw_record_lineage(sw_record *record) {
    if (record->decoded == NULL) {
        struct swi_decoded *decoded = swi_allocate_zeroed(1, sizeof *decoded);
        decoded->message = stagewire__v1__lineage__unpack(NULL, record->lineage.size, record->lineage.data);
        if (decoded->message != NULL) fill(decoded, record->runs);
        record->decoded = decoded;
    }
    return &record->decoded->lineage;
}

void swi_record_clear(sw_record *record) {
    if (record->decoded == NULL) return;
    if (record->decoded->message != NULL) stagewire__v1__lineage__free_unpacked(record->decoded->message, NULL);
    free(record->decoded->hops);
    free(record->decoded->parents);
    free(record->decoded);
    record->decoded = NULL;
}

swi_slice swi_record_id(const sw_record *record) {
    const uint8_t *at = record->lineage.data;
    swi_field field;
    if (at == NULL) return (swi_slice){0};
    const uint8_t *end = at + record->lineage.size;
    if (swi_next(&at, end, &field) > 0 && field.number == 1 && field.type == SWI_LEN && field.bytes.size == 16)
        return field.bytes;
    return (swi_slice){0};
}
