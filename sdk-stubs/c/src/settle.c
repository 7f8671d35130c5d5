#include "settle.h"

#include "confirm.h"

#include <stdlib.h>
#include <time.h>

enum {
    HEAD = 16,               /* length, version, tag and length of Settle: 4 + 3 + 1 + 5 at most */
    FULL = 64 * 1024,        /* what is written at once; with one outcome more it stays within LM-4 */
    STOP_WAIT_MS = 5000,     /* for credit, once the worker is to leave */
};

swi_settler *swi_settler_make(swi_worker *worker) {
    swi_settler *settler = swi_allocate_zeroed(1, sizeof *settler);
    pthread_mutex_init(&settler->mutex, NULL);
    settler->worker = worker;
    settler->nonce = 1;
    return settler;
}

void swi_settler_free(swi_settler *settler) {
    pthread_mutex_destroy(&settler->mutex);
    swi_buffer_free(&settler->out);
    free(settler->accepted);
    free(settler);
}

static void clear(swi_settler *settler) {
    swi_buffer_room(&settler->out, HEAD);
    settler->out.size = HEAD;
    settler->entries = 0;
    settler->count = 0;
    settler->run_first = 0;
    settler->ping_due = false;
}

void swi_settler_attach(swi_settler *settler, swi_session *session) {
    pthread_mutex_lock(&settler->mutex);
    settler->session = session;
    clear(settler);
    pthread_mutex_unlock(&settler->mutex);
}

uint64_t swi_give_back(swi_settler *settler) {
    settler->ping_due = true;
    return settler->nonce;
}

/* ---- Outcomes ---- */

/* An outcome's parts, with the sizes of those that nest. */
typedef struct outcome_parts {
    uint64_t first, last;
    swi_kind kind;
    const sw_emitter *emitter; /* emissions, error and delay; NULL: none */
    const swi_single *single;  /* in its place, the error of one record */
    const uint64_t *ids;       /* all deliveries, for the ranges behind `last` */
    size_t id_count, id_at;
} outcome_parts;

static size_t error_size(uint32_t code, size_t message, bool indefinite) {
    return 1 + swi_varint_size(code) + (message > 0 ? swi_len_size(message) : 0) + (indefinite ? 2 : 0);
}

static uint8_t *put_error(uint8_t *at, uint32_t code, const char *text, bool indefinite) {
    size_t message = text ? strlen(text) : 0;
    at = swi_put_varint(swi_put_tag(at, 6, SWI_LEN), error_size(code, message, indefinite));
    at = swi_put_varint(swi_put_tag(at, 1, SWI_VARINT), code);
    if (message > 0) at = swi_put_bytes(at, 2, text, message);
    if (indefinite) at = swi_put_varint(swi_put_tag(at, 3, SWI_VARINT), 1);
    return at;
}

/* The next range of consecutive ids from `*at` on. */
static bool next_range(const outcome_parts *outcome, size_t *at, uint64_t *first, uint64_t *last) {
    if (*at >= outcome->id_count) return false;
    *first = *last = outcome->ids[(*at)++];
    while (*at < outcome->id_count && outcome->ids[*at] == *last + 1) (*last)++, (*at)++;
    return true;
}

static size_t range_size(uint64_t first, uint64_t last) {
    return 1 + swi_varint_size(first) + (last > first ? 1 + swi_varint_size(last) : 0);
}

static uint8_t *put_range(uint8_t *at, uint64_t first, uint64_t last) {
    at = swi_put_varint(swi_put_tag(at, 1, SWI_VARINT), first);
    return last > first ? swi_put_varint(swi_put_tag(at, 2, SWI_VARINT), last) : at;
}

static void put_outcome(swi_settler *settler, const outcome_parts *outcome) {
    const sw_emitter *emitter = outcome->emitter;
    const char *text = outcome->single ? outcome->single->message : emitter ? emitter->message : NULL;
    uint32_t code = outcome->single ? outcome->single->code : emitter ? emitter->code : 0;
    bool indefinite = emitter != NULL && emitter->indefinite;
    bool has_error = outcome->kind == SWI_REJECTED || outcome->kind == SWI_RETRY;
    size_t emissions = outcome->kind == SWI_ACCEPTED && emitter ? emitter->step.size : 0;
    uint32_t delay = outcome->kind == SWI_RETRY && emitter ? emitter->delay_ms : 0;
    size_t size = range_size(outcome->first, outcome->last) + 2 + emissions, at_id = outcome->id_at;
    uint64_t first, last;
    if (delay > 0) size += 1 + swi_varint_size(delay);
    if (has_error) size += swi_len_size(error_size(code, text ? strlen(text) : 0, indefinite));
    while (next_range(outcome, &at_id, &first, &last)) size += swi_len_size(range_size(first, last));

    uint8_t *at = swi_buffer_room(&settler->out, swi_len_size(size));
    at = swi_put_varint(swi_put_tag(at, 1, SWI_LEN), size);
    at = put_range(at, outcome->first, outcome->last);
    *at++ = 3 << 3 | SWI_VARINT;
    *at++ = (uint8_t)outcome->kind;
    if (emissions > 0) memcpy(at, emitter->step.data, emissions);
    at += emissions;
    if (delay > 0) at = swi_put_varint(swi_put_tag(at, 5, SWI_VARINT), delay);
    if (has_error) at = put_error(at, code, text, indefinite);
    for (at_id = outcome->id_at; next_range(outcome, &at_id, &first, &last); settler->entries++) {
        at = swi_put_varint(swi_put_tag(at, 7, SWI_LEN), range_size(first, last));
        at = put_range(at, first, last);
    }
    settler->out.size = (size_t)(at - settler->out.data);
    settler->entries += 1 + (emitter ? emitter->count + emitter->parent_count : 0);
}

static void end_run(swi_settler *settler) {
    if (settler->run_first == 0) return;
    outcome_parts run = {.first = settler->run_first, .last = settler->run_last, .kind = SWI_ACCEPTED};
    settler->run_first = 0;
    put_outcome(settler, &run);
}

void swi_settle_plain(swi_settler *settler, uint64_t id) {
    settler->count++;
    if (settler->run_first != 0 && settler->run_last + 1 == id) {
        settler->run_last = id;
        return;
    }
    end_run(settler);
    settler->run_first = settler->run_last = id;
    if (settler->out.size > FULL) swi_flush(settler);
}

void swi_settle_released(swi_settler *settler, uint64_t id) {
    outcome_parts released = {.first = id, .last = id, .kind = SWI_RELEASED};
    end_run(settler);
    put_outcome(settler, &released);
    settler->count++;
    if (settler->out.size > FULL) swi_flush(settler);
}

/* ---- Writing ---- */

/* Writes what goes in front of the outcomes, backwards from them; returns where the frame begins. */
static uint8_t *put_head(swi_settler *settler) {
    uint8_t head[HEAD], *at = head + 4;
    size_t body = settler->out.size - HEAD;
    at = swi_put_varint(swi_put_tag(at, 1, SWI_VARINT), settler->session->version);
    at = swi_put_varint(swi_put_tag(at, SWI_M_SETTLE, SWI_LEN), body);
    size_t size = (size_t)(at - head), length = size - 4 + body;
    for (int i = 0; i < 4; i++) head[i] = (uint8_t)(length >> (24 - 8 * i));
    uint8_t *start = settler->out.data + HEAD - size;
    memcpy(start, head, size);
    return start;
}

void swi_flush(swi_settler *settler) {
    end_run(settler);
    if (settler->out.size == HEAD && !settler->ping_due) return;
    swi_session *session = settler->session;
    swi_buffer_room(&settler->out, 32);
    uint8_t *end = settler->out.data + settler->out.size, *start = end;
    if (settler->out.size > HEAD) start = put_head(settler);
    if (settler->ping_due) end += swi_put_ping(end, session->version, settler->nonce++);
    atomic_store(&session->progress_ms, swi_now_ms());
    swi_write(session, start, (size_t)(end - start));
    atomic_fetch_add(&session->settled, settler->count);
    clear(settler);
}

void swi_settler_try_flush(swi_settler *settler) {
    if (pthread_mutex_trylock(&settler->mutex) != 0) return; /* whoever has it comes by himself */
    if (settler->session != NULL) swi_flush(settler);
    pthread_mutex_unlock(&settler->mutex);
}

/* ---- Credit ---- */

static bool fits(const swi_settler *settler, const sw_emitter *emitter) {
    const swi_limits *limits = &settler->session->limits;
    for (size_t i = 0; i < limits->output_count; i++) {
        swi_output *output = &limits->outputs[i];
        if (emitter->need[i].records == 0) continue;
        if (output->used_records + emitter->need[i].records > atomic_load(&output->limit_records) ||
            output->used_bytes + emitter->need[i].bytes > atomic_load(&output->limit_bytes))
            return false;
    }
    return true;
}

/* Waits until the emissions fit; false when they never will, for the session is over or the worker has to leave. */
static bool wait_for_credit(swi_settler *settler, const sw_emitter *emitter) {
    swi_worker *worker = settler->worker;
    bool has_room = false;
    swi_flush(settler); /* others may wait for what we have finished */
    pthread_mutex_lock(&worker->mutex);
    for (;;) {
        has_room = fits(settler, emitter);
        if (has_room || atomic_load(&settler->session->over) || atomic_load(&settler->session->closing)) break;
        if (atomic_load(&worker->stopping)) {
            int64_t until = atomic_load(&worker->stopped_ms) + STOP_WAIT_MS;
            struct timespec at = {until / 1000, until % 1000 * 1000000};
            if (swi_now_ms() >= until) break;
            pthread_cond_timedwait(&worker->changed, &worker->mutex, &at);
        } else {
            pthread_cond_wait(&worker->changed, &worker->mutex);
        }
    }
    pthread_mutex_unlock(&worker->mutex);
    return has_room;
}

static void use_credit(swi_settler *settler, const sw_emitter *emitter) {
    const swi_limits *limits = &settler->session->limits;
    for (size_t i = 0; i < limits->output_count; i++) {
        limits->outputs[i].used_records += emitter->need[i].records;
        limits->outputs[i].used_bytes += emitter->need[i].bytes;
    }
}

/* ---- A step ---- */

/* The ids of the deliveries that were not rejected by themselves. */
static size_t accepted_ids(swi_settler *settler, const sw_emitter *emitter, sw_record *const *records, size_t count) {
    size_t accepted = 0;
    if (settler->accepted_capacity < count) {
        settler->accepted = swi_reallocate(settler->accepted, count * sizeof *settler->accepted);
        settler->accepted_capacity = count;
    }
    for (size_t i = 0; i < count; i++) {
        if (emitter->single_count == 0 || swi_find_single(emitter, records[i]->id) == NULL)
            settler->accepted[accepted++] = records[i]->id;
    }
    return accepted;
}

/* The first delivery of a step with emissions; 0: there are none. */
static uint64_t first_accepted(const sw_emitter *emitter, sw_record *const *records, size_t count) {
    for (size_t i = 0; emitter->count > 0 && i < count; i++) {
        if (emitter->single_count == 0 || swi_find_single(emitter, records[i]->id) == NULL) return records[i]->id;
    }
    return 0;
}

static void put_step(swi_settler *settler, const sw_emitter *emitter, swi_kind kind, size_t count) {
    outcome_parts step = {.kind = kind, .emitter = emitter, .ids = settler->accepted, .id_count = count};
    next_range(&step, &step.id_at, &step.first, &step.last);
    put_outcome(settler, &step);
}

/* Deliveries without a common step, in the order of their ids: those rejected by themselves, and the others. */
static void put_each(swi_settler *settler, const sw_emitter *emitter, sw_record *const *records, size_t count,
                     bool only_rejected) {
    for (size_t i = 0; i < count; i++) {
        const swi_single *single = swi_find_single(emitter, records[i]->id);
        if (single == NULL) {
            if (!only_rejected) swi_settle_plain(settler, records[i]->id);
            continue;
        }
        end_run(settler);
        outcome_parts rejected = {.first = single->id, .last = single->id, .kind = SWI_REJECTED, .single = single};
        put_outcome(settler, &rejected);
        settler->count++;
        if (settler->out.size > FULL) swi_flush(settler);
    }
}

swi_kind swi_settle(swi_settler *settler, sw_emitter *emitter, sw_record *const *records, size_t count) {
    if (emitter->kind == SWI_ACCEPTED && emitter->count > 0) {
        if (emitter->step.size + FULL > settler->session->limits.max_frame) {
            swi_verdict(emitter, SWI_REJECTED, SWI_STEP_TOO_LARGE, "the outputs of one step do not fit a frame");
            swi_emitter_end(emitter);
        } else if (!fits(settler, emitter) && !wait_for_credit(settler, emitter)) {
            sw_release(emitter);
            swi_emitter_end(emitter);
        }
    }
    swi_confirm_settle(settler->worker->confirmations, emitter, first_accepted(emitter, records, count));
    if (emitter->kind == SWI_ACCEPTED && emitter->count == 0) {
        if (emitter->single_count > 0) {
            put_each(settler, emitter, records, count, false);
        } else {
            for (size_t i = 0; i < count; i++) swi_settle_plain(settler, records[i]->id);
        }
        return SWI_ACCEPTED;
    }
    end_run(settler);
    size_t accepted = accepted_ids(settler, emitter, records, count);
    if (emitter->kind == SWI_ACCEPTED) use_credit(settler, emitter);
    put_step(settler, emitter, emitter->kind, accepted);
    settler->count += accepted;
    if (emitter->single_count > 0) put_each(settler, emitter, records, count, true);
    if (settler->out.size > FULL || settler->entries > SWI_ENTRIES / 4) swi_flush(settler);
    return emitter->kind;
}
