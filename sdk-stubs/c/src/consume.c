/* Transforms and sinks, one record or one batch at a time. */
#include "consume.h"

#include <stdlib.h>

bool swi_take_record(swi_consumer *consumer, const swi_item *item, swi_slice bytes, uint64_t id, uint32_t attempt,
                     sw_record *record) {
    swi_session *session = consumer->session;
    if (!swi_record_read(record, bytes)) {
        swi_close(consumer->worker, session, SWI_MALFORMED_FRAME, 2, "the broker delivered a malformed record");
        return false;
    }
    record->id = id;
    record->attempt = attempt;
    record->input = item->input;
    record->input_name = session->inputs[item->input].name;
    record->runs = session->runs;
    record->decoded = NULL;
    record->mark = 0;
    return true;
}

void swi_release(swi_consumer *consumer, sw_record *record) {
    swi_settle_released(consumer->settler, record->id);
    swi_lane_close(&consumer->lanes, consumer->session, record, swi_give_back(consumer->settler));
}

void swi_common_event(swi_consumer *consumer, const swi_item *item) {
    switch (item->event) {
    case SWI_BEGIN:
        consumer->session = consumer->worker->session;
        consumer->is_shutdown = consumer->is_ended = false;
        /* Not before: a worker that is still being set up would hold records that others could handle. */
        for (size_t i = 0; consumer->session != NULL && i < consumer->session->input_count; i++)
            swi_grant(consumer->session, &consumer->session->inputs[i]);
        break;
    case SWI_PONG: swi_lanes_pong(&consumer->lanes, item->value); break;
    case SWI_DRAIN: /* a later one replaces an earlier one (EN-3) */
        consumer->is_shutdown = item->value != 0;
        consumer->is_ended = !consumer->is_shutdown;
        break;
    case SWI_END:
        swi_lanes_clear(&consumer->lanes);
        consumer->session = NULL;
        swi_let_go(consumer->worker);
        break;
    case SWI_DELIVER:
    case SWI_STOP: break;
    }
}

void swi_leave(swi_consumer *consumer) {
    if (swi_is_over(consumer)) return;
    pthread_mutex_lock(&consumer->settler->mutex);
    swi_flush(consumer->settler);
    pthread_mutex_unlock(&consumer->settler->mutex);
    swi_close(consumer->worker, consumer->session, 0, 0, "stopped");
}

void swi_consumer_end(swi_consumer *consumer) {
    swi_lanes_clear(&consumer->lanes);
    swi_emitter_free(&consumer->emitter);
}

/* ---- One record at a time ---- */

/* Runs the handler on one record and settles it. With the settler's mutex held, but for the call. */
static void handle(swi_consumer *consumer, sw_record *record) {
    const sw_stage *stage = consumer->stage;
    sw_emitter *emitter = &consumer->emitter;
    bool is_sink = stage->sink != NULL;
    swi_emitter_begin(emitter, is_sink ? SWI_SINK : SWI_HANDLER, &consumer->session->limits, &record, 1);
    swi_call_begins(&consumer->worker->calls[0]);
    pthread_mutex_unlock(&consumer->settler->mutex);
    (is_sink ? stage->sink : stage->transform)(record, emitter, consumer->user);
    pthread_mutex_lock(&consumer->settler->mutex);
    swi_call_ends(&consumer->worker->calls[0]);
    swi_emitter_end(emitter);
    swi_kind kind = swi_settle(consumer->settler, emitter, &record, 1);
    if (kind == SWI_RETRY || kind == SWI_RELEASED)
        swi_lane_close(&consumer->lanes, consumer->session, record, swi_give_back(consumer->settler));
    if (record->decoded != NULL) swi_record_clear(record);
}

static void take_each(swi_consumer *consumer, swi_item *item) {
    swi_records records;
    swi_slice bytes;
    uint64_t id = item->first;
    sw_record record;
    swi_records_begin(&records, item);
    pthread_mutex_lock(&consumer->settler->mutex);
    while (!swi_is_over(consumer)) {
        uint32_t attempt;
        if (!swi_records_next(&records, &bytes, &attempt)) break;
        if (!swi_take_record(consumer, item, bytes, id++, attempt, &record)) break;
        if (swi_is_stopping(consumer) || swi_is_void(&consumer->lanes, consumer->session, &record))
            swi_release(consumer, &record);
        else
            handle(consumer, &record);
    }
    if (!swi_is_over(consumer) && !swi_has_more(consumer->worker)) swi_flush(consumer->settler);
    pthread_mutex_unlock(&consumer->settler->mutex);
    swi_recycle(consumer->worker, item);
}

/* ---- Batches ---- */

typedef struct batch {
    sw_record **records;
    size_t count, limit;
    swi_item *items; /* that the records point into */
} batch_state;

static void settle_batch(swi_consumer *consumer, batch_state *batch) {
    sw_emitter *emitter = &consumer->emitter;
    if (batch->count > 0 && !swi_is_over(consumer)) {
        swi_emitter_begin(emitter, SWI_SINK, &consumer->session->limits, batch->records, batch->count);
        swi_call_begins(&consumer->worker->calls[0]);
        consumer->stage->batch_sink(batch->records, batch->count, emitter, consumer->user);
        swi_call_ends(&consumer->worker->calls[0]);
        swi_emitter_end(emitter);
        pthread_mutex_lock(&consumer->settler->mutex);
        swi_kind kind = swi_settle(consumer->settler, emitter, batch->records, batch->count);
        if (kind == SWI_RETRY || kind == SWI_RELEASED) {
            uint64_t nonce = swi_give_back(consumer->settler);
            for (size_t i = 0; i < batch->count; i++)
                swi_lane_close(&consumer->lanes, consumer->session, batch->records[i], nonce);
        }
        pthread_mutex_unlock(&consumer->settler->mutex);
    }
    for (size_t i = 0; i < batch->count; i++) swi_record_clear(batch->records[i]);
    batch->count = 0;
}

/* Adds a Deliver's records; whenever the batch is full, or when a lane closes, it is handled. */
static void take_batch(swi_consumer *consumer, swi_item *item, batch_state *batch) {
    swi_records records;
    swi_slice bytes;
    uint64_t id = item->first;
    uint32_t attempt;
    item->next = batch->items;
    batch->items = item;
    swi_records_begin(&records, item);
    while (!swi_is_over(consumer) && swi_records_next(&records, &bytes, &attempt)) {
        sw_record *record = batch->records[batch->count];
        if (!swi_take_record(consumer, item, bytes, id++, attempt, record)) break;
        if (swi_is_stopping(consumer) || swi_is_void(&consumer->lanes, consumer->session, record)) {
            settle_batch(consumer, batch); /* what came before is settled before */
            pthread_mutex_lock(&consumer->settler->mutex);
            if (!swi_is_over(consumer)) swi_release(consumer, record);
            pthread_mutex_unlock(&consumer->settler->mutex);
        } else if (++batch->count == batch->limit) {
            settle_batch(consumer, batch);
        }
    }
}

/* Handles what is left when nothing more has arrived. */
static void end_batch(swi_consumer *consumer, batch_state *batch) {
    settle_batch(consumer, batch);
    while (batch->items != NULL) {
        swi_item *item = batch->items;
        batch->items = item->next;
        swi_recycle(consumer->worker, item);
    }
    if (swi_is_over(consumer)) return;
    pthread_mutex_lock(&consumer->settler->mutex);
    swi_flush(consumer->settler);
    pthread_mutex_unlock(&consumer->settler->mutex);
}

static void batch_make(batch_state *batch, size_t limit) {
    batch->limit = limit > 0 ? limit : 1000;
    batch->records = swi_allocate_zeroed(batch->limit, sizeof *batch->records);
    for (size_t i = 0; i < batch->limit; i++) batch->records[i] = swi_allocate_zeroed(1, sizeof(sw_record));
}

static void batch_free(batch_state *batch) {
    for (size_t i = 0; i < batch->limit; i++) free(batch->records[i]);
    free(batch->records);
}

void swi_consume(swi_worker *worker, void *user) {
    swi_consumer consumer = {.worker = worker, .stage = worker->stage, .user = user, .settler = worker->settler};
    bool is_batch = worker->stage->batch_sink != NULL;
    batch_state batch = {0};
    swi_item *item;
    if (is_batch) batch_make(&batch, worker->stage->batch_limit);
    while ((item = swi_take(worker, -1)) != NULL) {
        if (item->event == SWI_DELIVER && !swi_is_over(&consumer)) {
            swi_taken(worker, consumer.session, item);
            if (!is_batch) {
                take_each(&consumer, item);
            } else {
                take_batch(&consumer, item, &batch);
                if (!swi_has_more(worker)) end_batch(&consumer, &batch);
            }
            continue;
        }
        if (is_batch) end_batch(&consumer, &batch);
        if (item->event == SWI_STOP) swi_leave(&consumer);
        swi_common_event(&consumer, item);
        swi_recycle(worker, item);
    }
    if (is_batch) batch_free(&batch);
    swi_consumer_end(&consumer);
}
