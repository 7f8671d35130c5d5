/* The link's side of a source, and the order in which a partition's frames are written. */
#include "producer.h"

#include <stdlib.h>

swi_producer *swi_producer_make(swi_worker *worker) {
    swi_producer *producer = swi_allocate_zeroed(1, sizeof *producer);
    producer->worker = worker;
    producer->source.producer = producer;
    pthread_mutex_init(&producer->sending, NULL);
    return producer;
}

static void free_emit(swi_emit *emit) {
    swi_buffer_free(&emit->frame);
    free(emit->need);
    free(emit);
}

void swi_producer_free(swi_producer *producer) {
    while (producer->partitions != NULL) {
        sw_partition *partition = producer->partitions;
        producer->partitions = partition->next;
        while (partition->first != NULL) {
            swi_emit *emit = partition->first;
            partition->first = emit->next;
            free_emit(emit);
        }
        swi_emitter_free(&partition->step);
        swi_buffer_free(&partition->checkpoint);
        free(partition->name);
        free(partition);
    }
    for (size_t i = 0; i < producer->limits.output_count; i++) free(producer->limits.outputs[i].port);
    free(producer->limits.outputs);
    pthread_mutex_destroy(&producer->sending);
    free(producer);
}

/* ---- Writing ---- */

static bool fits(const swi_limits *limits, const swi_need *need) {
    for (size_t i = 0; i < limits->output_count; i++) {
        const swi_output *output = &limits->outputs[i];
        if (need[i].records == 0) continue;
        if (output->used_records + need[i].records > atomic_load(&output->limit_records) ||
            output->used_bytes + need[i].bytes > atomic_load(&output->limit_bytes))
            return false;
    }
    return true;
}

/* Frees what is written and committed. Under worker.mutex. */
static void drop_committed(sw_partition *partition) {
    while (partition->first != NULL && partition->first->state == SWI_SENT && partition->first->id <= partition->through) {
        swi_emit *emit = partition->first;
        partition->first = emit->next;
        if (partition->first == NULL) partition->last = NULL;
        free_emit(emit);
    }
}

static bool send_message(swi_session *session, Stagewire__V1__Envelope *envelope) {
    uint8_t frame[SWI_PARTITION + 32];
    envelope->version = session->version;
    size_t size = stagewire__v1__envelope__pack(envelope, frame + 4);
    frame[0] = frame[1] = 0;
    frame[2] = (uint8_t)(size >> 8);
    frame[3] = (uint8_t)size;
    return swi_write(session, frame, size + 4);
}

bool swi_send_claim(swi_session *session, const char *name) {
    Stagewire__V1__Claim claim = STAGEWIRE__V1__CLAIM__INIT;
    Stagewire__V1__Envelope envelope = STAGEWIRE__V1__ENVELOPE__INIT;
    claim.partition = (char *)name;
    envelope.message_case = STAGEWIRE__V1__ENVELOPE__MESSAGE_CLAIM;
    envelope.claim = &claim;
    return send_message(session, &envelope);
}

static bool send_finished(swi_session *session, const char *name) {
    Stagewire__V1__Finished finished = STAGEWIRE__V1__FINISHED__INIT;
    Stagewire__V1__Envelope envelope = STAGEWIRE__V1__ENVELOPE__INIT;
    finished.partition = (char *)name;
    envelope.message_case = STAGEWIRE__V1__ENVELOPE__MESSAGE_FINISHED;
    envelope.finished = &finished;
    return send_message(session, &envelope);
}

/* Takes the partition's next Emit that may be written; NULL: none. `*finish`: Finished is due in its place. */
static swi_emit *next_emit(swi_producer *producer, sw_partition *partition, bool *finish) {
    *finish = false;
    if (!partition->is_claimed) return NULL;
    swi_emit *emit = partition->first;
    while (emit != NULL && emit->state != SWI_UNSENT) emit = emit->next;
    if (emit == NULL) {
        *finish = partition->is_finished && !partition->finish_is_sent;
        partition->finish_is_sent |= *finish;
        return NULL;
    }
    if (!fits(&producer->limits, emit->need)) return NULL;
    emit->state = SWI_SENDING;
    for (size_t i = 0; i < producer->limits.output_count; i++) {
        producer->limits.outputs[i].used_records += emit->need[i].records;
        producer->limits.outputs[i].used_bytes += emit->need[i].bytes;
    }
    return emit;
}

static void pump_partition(swi_producer *producer, sw_partition *partition) {
    swi_worker *worker = producer->worker;
    bool finish;
    for (;;) {
        pthread_mutex_lock(&worker->mutex);
        swi_emit *emit = next_emit(producer, partition, &finish);
        pthread_mutex_unlock(&worker->mutex);
        if (finish) send_finished(producer->session, partition->name);
        if (emit == NULL) return;
        swi_write(producer->session, emit->frame.data, emit->frame.size);
        pthread_mutex_lock(&worker->mutex);
        emit->state = SWI_SENT;
        drop_committed(partition); /* it may be committed by now */
        pthread_cond_broadcast(&worker->changed);
        pthread_mutex_unlock(&worker->mutex);
    }
}

void swi_pump(swi_producer *producer) {
    pthread_mutex_lock(&producer->sending);
    pthread_mutex_lock(&producer->worker->mutex);
    sw_partition *partition = producer->partitions;
    pthread_mutex_unlock(&producer->worker->mutex);
    for (; producer->session != NULL && partition != NULL; partition = partition->next) pump_partition(producer, partition);
    pthread_mutex_unlock(&producer->sending);
}

/* ---- The link's side ---- */

/* Takes the outputs of the first session; a later one only begins their credit anew. */
static void take_limits(swi_producer *producer, const swi_session *session) {
    swi_limits *limits = &producer->limits;
    if (!producer->has_limits) {
        *limits = session->limits;
        limits->outputs = swi_allocate_zeroed(limits->output_count, sizeof *limits->outputs);
        for (size_t i = 0; i < limits->output_count; i++) {
            limits->outputs[i].number = session->limits.outputs[i].number;
            limits->outputs[i].port = swi_duplicate(session->limits.outputs[i].port);
        }
        producer->has_limits = true;
    }
    for (size_t i = 0; i < limits->output_count; i++) {
        swi_output *output = &limits->outputs[i];
        atomic_store(&output->limit_records, 0);
        atomic_store(&output->limit_bytes, 0);
        output->used_records = output->used_bytes = 0;
    }
}

void swi_producer_attach(swi_worker *worker, swi_session *session) {
    swi_producer *producer = worker->producer;
    pthread_mutex_lock(&producer->sending);
    take_limits(producer, session);
    producer->session = session;
    pthread_mutex_lock(&worker->mutex);
    for (sw_partition *each = producer->partitions; each != NULL; each = each->next) {
        each->is_claimed = each->finish_is_sent = false;
        for (swi_emit *emit = each->first; emit != NULL; emit = emit->next) emit->state = SWI_UNSENT;
    }
    sw_partition *partition = producer->partitions;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    for (; partition != NULL; partition = partition->next) swi_send_claim(session, partition->name);
    pthread_mutex_unlock(&producer->sending);
}

void swi_producer_detach(swi_worker *worker) {
    pthread_mutex_lock(&worker->producer->sending);
    worker->producer->session = NULL;
    pthread_mutex_unlock(&worker->producer->sending);
}

void swi_producer_credit(swi_worker *worker, const Stagewire__V1__Credit *credit) {
    swi_limits *limits = &worker->producer->limits;
    for (size_t i = 0; i < limits->output_count; i++) {
        swi_output *output = &limits->outputs[i];
        if (output->number != credit->number) continue;
        if (credit->records > atomic_load(&output->limit_records)) atomic_store(&output->limit_records, credit->records);
        if (credit->bytes > atomic_load(&output->limit_bytes)) atomic_store(&output->limit_bytes, credit->bytes);
    }
    swi_pump(worker->producer);
}

static sw_partition *find_partition(swi_worker *worker, const char *name) {
    sw_partition *partition = worker->producer->partitions;
    while (partition != NULL && strcmp(partition->name, name) != 0) partition = partition->next;
    return partition;
}

/* Whether what we keep goes on where the broker stands. It does not when the broker was started anew or when another
 * worker has had the partition in the meantime. */
static bool goes_on(const sw_partition *partition, uint64_t last_emit_id) {
    uint64_t committed = partition->first ? partition->first->id - 1 : partition->last_id;
    return last_emit_id >= committed && last_emit_id <= partition->last_id;
}

void swi_claimed(swi_worker *worker, const Stagewire__V1__Claimed *claimed) {
    bool is_lost = false;
    pthread_mutex_lock(&worker->mutex);
    sw_partition *partition = find_partition(worker, claimed->partition);
    if (partition != NULL && !partition->was_claimed) {
        partition->was_claimed = partition->is_claimed = true;
        partition->last_id = claimed->last_emit_id;
        swi_buffer_add(&partition->checkpoint, claimed->checkpoint.data, claimed->checkpoint.len);
    } else if (partition != NULL && !partition->is_claimed) {
        is_lost = !goes_on(partition, claimed->last_emit_id);
        partition->is_claimed = !is_lost;
        partition->through = claimed->last_emit_id;
        for (swi_emit *emit = partition->first; emit != NULL && emit->id <= partition->through; emit = emit->next)
            emit->state = SWI_SENT; /* it was, before the session that ended */
        if (!is_lost) drop_committed(partition);
    }
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    if (is_lost) {
        swi_say("partition %s: the broker does not stand where this worker left it; the source has to begin anew",
                claimed->partition);
        swi_close(worker, worker->producer->session, 0, 1, "the partition stands elsewhere");
        return;
    }
    swi_pump(worker->producer);
}

void swi_committed(swi_worker *worker, const Stagewire__V1__Committed *committed) {
    pthread_mutex_lock(&worker->mutex);
    sw_partition *partition = find_partition(worker, committed->partition);
    if (partition != NULL && committed->through > partition->through) partition->through = committed->through;
    if (partition != NULL) drop_committed(partition);
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    for (size_t i = 0; i < committed->n_refused; i++) {
        const Stagewire__V1__Refusal *refusal = committed->refused[i];
        swi_say("partition %s: the broker refused step %llu and its checkpoint: %s (code %u)", committed->partition,
                (unsigned long long)refusal->id, refusal->error ? refusal->error->message : "",
                refusal->error ? refusal->error->code : 0);
    }
}

bool swi_all_committed(const swi_producer *producer) {
    for (const sw_partition *each = producer->partitions; each != NULL; each = each->next) {
        if (each->first != NULL) return false;
    }
    return true;
}

bool swi_is_committed(swi_worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    bool is_committed = swi_all_committed(worker->producer);
    pthread_mutex_unlock(&worker->mutex);
    return is_committed;
}
