#include "emitter.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Memory of a call ---- */

struct swi_chunk {
    struct swi_chunk *next; /* older */
    size_t used, capacity;
    max_align_t data[];
};

enum { CHUNK = 16 * 1024 };

void *sw_alloc(sw_emitter *out, size_t size) {
    size_t rounded = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    struct swi_chunk *chunk = out->arena;
    if (chunk == NULL || chunk->capacity - chunk->used < rounded) {
        size_t capacity = rounded > CHUNK ? rounded : CHUNK;
        chunk = swi_allocate(sizeof *chunk + capacity);
        *chunk = (struct swi_chunk){out->arena, 0, capacity};
        out->arena = chunk;
    }
    void *memory = (char *)chunk->data + chunk->used;
    chunk->used += rounded;
    return memory;
}

/* Keeps one chunk, so that a call usually allocates nothing. */
static void arena_reset(sw_emitter *out) {
    while (out->arena != NULL && out->arena->next != NULL) {
        struct swi_chunk *chunk = out->arena;
        out->arena = chunk->next;
        free(chunk);
    }
    if (out->arena != NULL) out->arena->used = 0;
}

sw_bytes sw_format(sw_emitter *out, const char *format, ...) {
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int size = vsnprintf(NULL, 0, format, list);
    va_end(list);
    char *text = sw_alloc(out, size < 0 ? 1 : (size_t)size + 1);
    text[0] = 0;
    if (size > 0) vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return (sw_bytes){text, size < 0 ? 0 : (size_t)size};
}

/* ---- Verdicts ---- */

/* The text of an error, whole characters within the limit. A text that is not UTF-8 would close the connection (FR-2). */
static char *error_text(const char *format, va_list list) {
    char *text = swi_allocate(SWI_TEXT_LIMIT + 1);
    int written = vsnprintf(text, SWI_TEXT_LIMIT + 1, format, list);
    size_t size = written < 0 ? 0 : strlen(text);
    for (size_t cut = 0; (size_t)written > size && cut < 4 && cut < size; cut++) {
        if (!swi_is_utf8(text, size - cut)) continue;
        size -= cut; /* the character that the limit has split */
        break;
    }
    text[size] = 0;
    for (size_t i = 0; i < size && !swi_is_utf8(text, size); i++) {
        if ((uint8_t)text[i] >= 0x80) text[i] = '?';
    }
    return text;
}

static void give(sw_emitter *out, swi_kind kind, uint32_t code, double seconds, bool indefinite, char *message) {
    double delay = seconds > 0 ? ceil(seconds * 1000) : 0;
    free(out->message);
    out->message = message;
    out->kind = kind;
    out->code = code;
    out->indefinite = indefinite;
    out->delay_ms = delay < (double)UINT32_MAX ? (uint32_t)delay : UINT32_MAX;
}

#define TEXT_OF(format, text)                                                                                          \
    do {                                                                                                               \
        va_list list;                                                                                                  \
        va_start(list, format);                                                                                        \
        text = error_text(format, list);                                                                               \
        va_end(list);                                                                                                  \
    } while (0)

void swi_verdict(sw_emitter *out, swi_kind kind, uint32_t code, const char *format, ...) {
    char *text;
    TEXT_OF(format, text);
    give(out, kind, code, 0, false, text);
}

void sw_reject(sw_emitter *out, uint32_t code, const char *format, ...) {
    char *text;
    TEXT_OF(format, text);
    give(out, SWI_REJECTED, code, 0, false, text);
}

void sw_retry(sw_emitter *out, double seconds, const char *format, ...) {
    char *text;
    TEXT_OF(format, text);
    give(out, SWI_RETRY, SWI_APPLICATION, seconds, false, text);
}

void sw_retry_with(sw_emitter *out, double seconds, uint32_t code, bool indefinite, const char *format, ...) {
    char *text;
    TEXT_OF(format, text);
    give(out, SWI_RETRY, code, seconds, indefinite, text);
}

void sw_fail(sw_emitter *out, const char *format, ...) {
    char *text;
    TEXT_OF(format, text);
    fprintf(stderr, "stagewire: the handler failed: %s\n", text);
    give(out, SWI_RETRY, SWI_APPLICATION, 0, false, text);
}

void sw_release(sw_emitter *out) { give(out, SWI_RELEASED, 0, 0, false, NULL); }

const swi_single *swi_find_single(const sw_emitter *out, uint64_t id) {
    for (size_t i = 0; i < out->single_count; i++) {
        if (out->singles[i].id == id) return &out->singles[i];
    }
    return NULL;
}

void sw_reject_one(sw_emitter *out, const sw_record *record, uint32_t code, const char *format, ...) {
    char *text;
    TEXT_OF(format, text);
    swi_single *single = (swi_single *)swi_find_single(out, record->id);
    if (single == NULL) {
        if (out->single_count == out->single_capacity) {
            out->single_capacity = out->single_capacity * 2 + 8;
            out->singles = swi_reallocate(out->singles, out->single_capacity * sizeof *out->singles);
        }
        single = &out->singles[out->single_count++];
    } else {
        free(single->message);
    }
    *single = (swi_single){record->id, code, text};
}

/* ---- Emitting ---- */

/* The index of an output; -1: there is none of that name. */
static int find_port(const swi_limits *limits, const char *name) {
    if (name == NULL) return limits->output_count > 0 ? 0 : -1;
    for (size_t i = 0; i < limits->output_count; i++) {
        if (strcmp(limits->outputs[i].port, name) == 0) return (int)i;
    }
    return -1;
}

static bool is_at_hand(const sw_emitter *out, const sw_record *record) {
    size_t low = 0, high = out->record_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (out->records[middle]->id == record->id) return out->records[middle] == record;
        if (out->records[middle]->id < record->id) low = middle + 1;
        else high = middle;
    }
    return false;
}

/* Checks the parents and remembers them; the encoded size of their numbers, or a sentence. */
static const char *take_parents(sw_emitter *out, const sw_output *output, size_t *size) {
    out->mark++;
    for (size_t i = 0; i < output->parent_count; i++) {
        sw_record *parent = output->parents[i];
        if (!is_at_hand(out, parent)) return "a parent is not among the records at hand";
        if (parent->mark == out->mark) return "a parent is named twice";
        parent->mark = out->mark;
        *size += swi_varint_size(parent->id);
        if (out->parent_count == out->parent_capacity) {
            out->parent_capacity = out->parent_capacity * 2 + 16;
            out->parents = swi_reallocate(out->parents, out->parent_capacity * sizeof *out->parents);
        }
        out->parents[out->parent_count++] = parent->id;
    }
    return NULL;
}

static size_t trace_size(const sw_output *output) {
    size_t parent = output->traceparent.size, state = output->tracestate.size;
    return (parent > 0 ? swi_len_size(parent) : 0) + (state > 0 ? swi_len_size(state) : 0);
}

static const char *check_trace(const sw_output *output) {
    if (output->traceparent.size > SWI_TRACEPARENT) return "its traceparent is longer than 64 bytes";
    if (output->tracestate.size > SWI_TRACESTATE) return "its tracestate is longer than 512 bytes";
    if (!swi_is_utf8(output->traceparent.data, output->traceparent.size) ||
        !swi_is_utf8(output->tracestate.data, output->tracestate.size))
        return "its trace is not UTF-8";
    return NULL;
}

static void unfit(sw_emitter *out, uint32_t code, const char *text) {
    swi_verdict(out, SWI_REJECTED, code, "an output cannot be taken: %s", text);
    out->unfit = true;
}

/* Writes the emission; all sizes are known before the first byte, so nothing has to be moved. */
static void encode(sw_emitter *out, const swi_resolved *resolved, uint32_t port, size_t parents, size_t trace) {
    const sw_output *output = &resolved->output;
    size_t size = swi_len_size(resolved->size) + (port > 0 ? 1 + swi_varint_size(port) : 0) +
                  (parents > 0 ? swi_len_size(parents) : 0) + (trace > 0 ? swi_len_size(trace) : 0);
    uint8_t *start = swi_buffer_room(&out->step, swi_len_size(size)), *at = start;
    at = swi_put_varint(swi_put_tag(at, out->role == SWI_PRODUCER ? 3 : 4, SWI_LEN), size);
    if (port > 0) at = swi_put_varint(swi_put_tag(at, 1, SWI_VARINT), port);
    if (parents > 0) {
        at = swi_put_varint(swi_put_tag(at, 2, SWI_LEN), parents);
        for (size_t i = 0; i < output->parent_count; i++) at = swi_put_varint(at, output->parents[i]->id);
    }
    at = swi_put_output(swi_put_varint(swi_put_tag(at, 3, SWI_LEN), resolved->size), resolved);
    if (trace > 0) {
        at = swi_put_varint(swi_put_tag(at, 4, SWI_LEN), trace);
        if (output->traceparent.size > 0) at = swi_put_bytes(at, 1, output->traceparent.data, output->traceparent.size);
        if (output->tracestate.size > 0) at = swi_put_bytes(at, 2, output->tracestate.data, output->tracestate.size);
    }
    out->overhead += (size_t)(at - start) - resolved->size;
    out->step.size += (size_t)(at - start);
    out->count++;
}

static void remember_port(sw_emitter *out, const char *port) {
    if (out->count == out->port_capacity) {
        out->port_capacity = out->port_capacity * 2 + 16;
        out->ports = swi_reallocate(out->ports, out->port_capacity * sizeof *out->ports);
    }
    out->ports[out->count] = port ? swi_duplicate(port) : NULL;
}

void sw_emit(sw_emitter *out, const sw_output *output) {
    swi_resolved resolved;
    size_t parents = 0, trace = 0;
    int port = 0;
    if (out->unfit) return;
    if (out->role == SWI_SINK) {
        unfit(out, SWI_INVALID_OUTPUT, "a sink emits nothing");
        return;
    }
    const char *wrong = swi_resolve(output, &resolved);
    if (wrong == NULL && output->parent_count > 0) wrong = take_parents(out, output, &parents);
    if (wrong == NULL && (output->traceparent.size > 0 || output->tracestate.size > 0)) {
        wrong = check_trace(output);
        trace = out->role == SWI_PRODUCER ? trace_size(output) : 0;
    }
    if (wrong == NULL && out->role != SWI_TRIAL && (port = find_port(out->limits, output->port)) < 0)
        wrong = "the stage has no such port";
    if (wrong != NULL) {
        unfit(out, SWI_INVALID_OUTPUT, wrong);
        return;
    }
    if (out->role == SWI_TRIAL) {
        remember_port(out, output->port);
        encode(out, &resolved, 0, parents, 0);
        return;
    }
    const swi_limits *limits = out->limits;
    uint64_t charge = resolved.size + limits->stamp;
    if (charge > limits->max_record) {
        unfit(out, SWI_OUTPUT_TOO_LARGE, "it is larger than the pipeline's max_record");
    } else if (out->charge + charge > limits->max_step_bytes || out->count >= limits->max_step_records) {
        unfit(out, SWI_STEP_TOO_LARGE, "all outputs of one step are more than the pipeline allows");
    } else {
        encode(out, &resolved, limits->outputs[port].number, parents, trace);
        out->charge += charge;
        out->need[port].records++;
        out->need[port].bytes += charge;
    }
}

/* ---- One call ---- */

static void forget_emissions(sw_emitter *out) {
    if (out->count > 0 && out->need_count > 0) memset(out->need, 0, out->need_count * sizeof *out->need);
    for (size_t i = 0; out->ports != NULL && i < out->count; i++) free(out->ports[i]);
    out->step.size = 0;
    out->count = out->overhead = out->parent_count = 0;
    out->charge = 0;
}

static void forget_singles(sw_emitter *out) {
    while (out->single_count > 0) free(out->singles[--out->single_count].message);
}

void swi_emitter_begin(sw_emitter *out, swi_role role, const swi_limits *limits, sw_record *const *records,
                       size_t count) {
    forget_emissions(out);
    swi_forget_asks(out); /* of a call whose session was over */
    if (limits != NULL && limits->output_count > out->need_count) {
        out->need = swi_reallocate(out->need, limits->output_count * sizeof *out->need);
        memset(out->need, 0, limits->output_count * sizeof *out->need);
        out->need_count = limits->output_count;
    }
    if (out->arena != NULL) arena_reset(out);
    if (out->single_count > 0) forget_singles(out);
    if (out->message != NULL) {
        free(out->message);
        out->message = NULL;
    }
    out->role = role;
    out->limits = limits;
    out->records = records;
    out->record_count = count;
    out->kind = SWI_ACCEPTED;
    out->unfit = false;
}

/* A parent that was rejected by itself is not part of the outcome that its child stands in. */
static bool has_rejected_parent(const sw_emitter *out) {
    for (size_t i = 0; i < out->parent_count; i++) {
        if (swi_find_single(out, out->parents[i]) != NULL) return true;
    }
    return false;
}

void swi_emitter_end(sw_emitter *out) {
    if (out->kind == SWI_ACCEPTED && out->count > 0 && out->single_count > 0) {
        if (has_rejected_parent(out)) unfit(out, SWI_INVALID_OUTPUT, "one of its parents is rejected");
        else if (out->single_count == out->record_count) unfit(out, SWI_INVALID_OUTPUT, "all its parents are rejected");
    }
    /* Parents may take more room than what they are the parents of (LM-1, LM-4). */
    if (out->kind == SWI_ACCEPTED && out->overhead > SWI_CONTROL_ALLOWANCE / 2 + out->count * 24)
        unfit(out, SWI_STEP_TOO_LARGE, "its outputs name too many parents");
    if (out->kind != SWI_ACCEPTED) {
        forget_emissions(out);
        forget_singles(out);
    }
}

void swi_emitter_free(sw_emitter *out) {
    forget_emissions(out);
    swi_forget_asks(out);
    free(out->asks);
    forget_singles(out);
    arena_reset(out);
    free(out->arena);
    free(out->message);
    free(out->singles);
    free(out->parents);
    free(out->ports);
    free(out->need);
    swi_buffer_free(&out->step);
    *out = (sw_emitter){0};
}
