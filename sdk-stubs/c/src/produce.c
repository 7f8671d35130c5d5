/* The handler's side of a source. */
#include "producer.h"
#include "trial.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* Whether nothing more can be begun. Under worker.mutex, or for a look. */
static bool is_leaving(const swi_worker *worker) {
    return atomic_load(&worker->stopping) || worker->finished;
}

/* ---- Partitions ---- */

static sw_partition *add_partition(swi_producer *producer, const char *name) {
    sw_partition *partition = swi_allocate_zeroed(1, sizeof *partition), **at = &producer->partitions;
    partition->producer = producer;
    partition->name = swi_duplicate(name);
    while (*at != NULL) at = &(*at)->next;
    *at = partition;
    return partition;
}

/* Sends a Claim in the session that there is; a later one claims by itself. */
static void claim(swi_producer *producer, const sw_partition *partition) {
    pthread_mutex_lock(&producer->sending);
    if (producer->session != NULL) swi_send_claim(producer->session, partition->name);
    pthread_mutex_unlock(&producer->sending);
}

static void begin_step(sw_partition *partition) {
    swi_producer *producer = partition->producer;
    swi_emitter_begin(&partition->step, producer->is_trial ? SWI_TRIAL : SWI_PRODUCER, &producer->limits, NULL, 0);
}

sw_partition *sw_claim(sw_source *source, const char *name) {
    swi_producer *producer = source->producer;
    swi_worker *worker = producer->worker;
    size_t size = strlen(name);
    if (size == 0 || size > SWI_PARTITION || !swi_is_utf8(name, size)) {
        swi_say("a partition's name has 1 to 255 bytes of UTF-8");
        return NULL;
    }
    pthread_mutex_lock(&worker->mutex);
    sw_partition *partition = producer->partitions;
    while (partition != NULL && strcmp(partition->name, name) != 0) partition = partition->next;
    bool is_new = partition == NULL;
    if (is_new) partition = add_partition(producer, name);
    bool again = is_new || partition->is_finished; /* a finished one is opened by a Claim */
    partition->is_finished = partition->finish_is_sent = false;
    pthread_mutex_unlock(&worker->mutex);
    if (producer->is_trial) partition->was_claimed = true;
    else if (again) claim(producer, partition);

    pthread_mutex_lock(&worker->mutex);
    while (!partition->was_claimed && !is_leaving(worker)) pthread_cond_wait(&worker->changed, &worker->mutex);
    bool is_claimed = partition->was_claimed && !is_leaving(worker);
    pthread_mutex_unlock(&worker->mutex);
    if (is_claimed) begin_step(partition);
    return is_claimed ? partition : NULL;
}

sw_bytes sw_checkpoint(const sw_partition *partition) {
    return swi_bytes_of((swi_slice){partition->checkpoint.data, partition->checkpoint.size});
}

sw_emitter *sw_step(sw_partition *partition) { return &partition->step; }

/* ---- Steps ---- */

/* The Emit as a whole frame. */
static void encode(swi_emit *emit, const sw_partition *partition, const void *checkpoint, size_t size) {
    const sw_emitter *step = &partition->step;
    size_t name = strlen(partition->name);
    size_t body = swi_len_size(name) + 1 + swi_varint_size(emit->id) + step->step.size + (size > 0 ? swi_len_size(size) : 0);
    uint8_t *start = swi_buffer_room(&emit->frame, body + 16), *at = start + 4;
    at = swi_put_varint(swi_put_tag(at, 1, SWI_VARINT), SWI_VERSION);
    at = swi_put_varint(swi_put_tag(at, SWI_M_EMIT, SWI_LEN), body);
    at = swi_put_bytes(at, 1, partition->name, name);
    at = swi_put_varint(swi_put_tag(at, 2, SWI_VARINT), emit->id);
    if (step->step.size > 0) memcpy(at, step->step.data, step->step.size);
    at += step->step.size;
    if (size > 0) at = swi_put_bytes(at, 4, checkpoint, size);
    size_t length = (size_t)(at - start) - 4;
    for (int i = 0; i < 4; i++) start[i] = (uint8_t)(length >> (24 - 8 * i));
    emit->frame.size = length + 4;
}

/* Why the step cannot be sent; NULL: it can. */
static const char *check(sw_partition *partition, size_t checkpoint) {
    sw_emitter *step = &partition->step;
    swi_emitter_end(step);
    if (step->kind != SWI_ACCEPTED) return step->message ? step->message : "it has a verdict";
    if (checkpoint > SWI_CHECKPOINT) return "its checkpoint is larger than 65,536 bytes";
    if (!partition->producer->is_trial && step->step.size + 2 * SWI_CHECKPOINT > partition->producer->limits.max_frame)
        return "it does not fit a frame";
    if (partition->is_finished) return "the partition is finished";
    return NULL;
}

static void append(sw_partition *partition, swi_emit *emit) {
    if (partition->last != NULL) partition->last->next = emit;
    else partition->first = emit;
    partition->last = emit;
}

/* Takes back the last Emit, which was not sent. Under worker.mutex. */
static void take_back(sw_partition *partition, swi_emit *emit) {
    swi_emit **at = &partition->first, *before = NULL;
    while (*at != emit) {
        before = *at;
        at = &before->next;
    }
    *at = NULL;
    partition->last = before;
    partition->last_id--;
    swi_buffer_free(&emit->frame);
    free(emit->need);
    free(emit);
}

/* Whether the Emit with this id is still waiting to be written. It may be committed, and gone. */
static bool is_unsent(const sw_partition *partition, uint64_t id) {
    const swi_emit *emit = partition->last;
    return emit != NULL && emit->id == id && emit->state == SWI_UNSENT;
}

/* Waits until it is written once; false when it was taken back. */
static bool wait_until_sent(sw_partition *partition, uint64_t id) {
    swi_worker *worker = partition->producer->worker;
    bool is_sent = true;
    pthread_mutex_lock(&worker->mutex);
    while (is_unsent(partition, id) && !is_leaving(worker)) pthread_cond_wait(&worker->changed, &worker->mutex);
    if (is_unsent(partition, id)) {
        take_back(partition, partition->last);
        is_sent = false;
    }
    pthread_mutex_unlock(&worker->mutex);
    return is_sent;
}

/* Keeps the step and sends it; false when the source is to stop before there is room. */
static bool send_step(sw_partition *partition, const void *checkpoint, size_t size) {
    swi_producer *producer = partition->producer;
    const sw_emitter *step = &partition->step;
    swi_emit *emit = swi_allocate_zeroed(1, sizeof *emit);
    emit->need = swi_allocate_zeroed(step->need_count, sizeof *emit->need);
    if (step->need_count > 0) memcpy(emit->need, step->need, step->need_count * sizeof *emit->need);
    pthread_mutex_lock(&producer->worker->mutex);
    uint64_t id = emit->id = ++partition->last_id;
    encode(emit, partition, checkpoint, size);
    append(partition, emit);
    pthread_mutex_unlock(&producer->worker->mutex);
    swi_pump(producer);
    return wait_until_sent(partition, id);
}

static bool print_step(sw_partition *partition) {
    swi_producer *producer = partition->producer;
    producer->printed += swi_print_emissions(&partition->step, producer->limit - producer->printed);
    if (producer->printed == producer->limit) atomic_store(&producer->worker->stopping, true);
    return true;
}

int sw_commit(sw_partition *partition, const void *checkpoint, size_t size) {
    swi_producer *producer = partition->producer;
    const char *wrong = check(partition, size);
    int result = SW_STOPPED;
    if (wrong != NULL) {
        swi_say("partition %s: a step cannot be sent: %s", partition->name, wrong);
        result = SW_REFUSED;
    } else if (!sw_stopping(&producer->source)) {
        bool is_sent = producer->is_trial ? print_step(partition) : send_step(partition, checkpoint, size);
        if (is_sent) {
            result = 0;
            partition->checkpoint.size = 0;
            swi_buffer_add(&partition->checkpoint, checkpoint, size);
        }
    }
    begin_step(partition);
    return result;
}

void sw_finish(sw_partition *partition) {
    swi_worker *worker = partition->producer->worker;
    pthread_mutex_lock(&worker->mutex);
    partition->is_finished = true;
    pthread_mutex_unlock(&worker->mutex);
    if (!partition->producer->is_trial) swi_pump(partition->producer);
}

/* ---- The source ---- */

bool sw_stopping(const sw_source *source) {
    swi_worker *worker = source->producer->worker;
    pthread_mutex_lock(&worker->mutex);
    bool is_stopping = is_leaving(worker);
    pthread_mutex_unlock(&worker->mutex);
    return is_stopping;
}

bool sw_sleep(sw_source *source, double seconds) {
    swi_worker *worker = source->producer->worker;
    double ms = seconds > 0 ? seconds * 1000 : 0;
    int64_t until = swi_now_ms() + (ms < 1e15 ? (int64_t)ms + (ms > 0) : INT64_C(1000000000000000));
    struct timespec at = {until / 1000, until % 1000 * 1000000};
    pthread_mutex_lock(&worker->mutex);
    while (!is_leaving(worker) && pthread_cond_timedwait(&worker->changed, &worker->mutex, &at) != ETIMEDOUT) {}
    bool goes_on = !is_leaving(worker);
    pthread_mutex_unlock(&worker->mutex);
    return goes_on;
}

const char *sw_instance(const sw_source *source) {
    return source->producer->is_trial ? "test" : source->producer->worker->given_instance;
}

/* Finishes everything. A source without work does so for a partition of its own name (SO-7). */
static void finish_all(swi_producer *producer) {
    if (producer->partitions == NULL) sw_claim(&producer->source, sw_instance(&producer->source));
    for (sw_partition *each = producer->partitions; each != NULL; each = each->next) {
        if (!each->is_finished) sw_finish(each);
    }
}

/* Waits until everything is committed, for a worker that then leaves by itself. */
static void leave(swi_worker *worker, int exit_code) {
    pthread_mutex_lock(&worker->mutex);
    while (!swi_all_committed(worker->producer) && !worker->finished)
        pthread_cond_wait(&worker->changed, &worker->mutex);
    bool is_finished = worker->finished;
    pthread_mutex_unlock(&worker->mutex);
    if (is_finished) return;
    pthread_mutex_lock(&worker->producer->sending);
    if (worker->producer->session != NULL) swi_close(worker, worker->producer->session, 0, exit_code, "stopped");
    pthread_mutex_unlock(&worker->producer->sending);
}

int swi_produce(swi_worker *worker, void *user) {
    swi_producer *producer = worker->producer;
    int result = worker->stage->source(&producer->source, user);
    bool is_stopped = sw_stopping(&producer->source);
    if (result != 0 && !is_stopped) swi_say("the source failed: its handler returned %d", result);
    if (result == 0 && !is_stopped) finish_all(producer);
    else leave(worker, is_stopped ? 0 : 1);
    pthread_mutex_lock(&worker->mutex);
    while (!worker->finished) {
        if (atomic_load(&worker->stopping) && result == 0 && !is_stopped) break;
        worker->idle = true;
        pthread_cond_wait(&worker->changed, &worker->mutex);
    }
    worker->idle = true;
    bool leaves = !worker->finished;
    pthread_mutex_unlock(&worker->mutex);
    if (leaves) leave(worker, 0); /* it had finished, and the pipeline shuts down before it has ended */
    return result;
}

int swi_try_source(const sw_stage *stage, void *user, uint64_t limit, uint64_t *printed) {
    swi_worker *worker = swi_worker_make(stage);
    if (worker == NULL) return 2;
    swi_producer *producer = worker->producer;
    producer->is_trial = true;
    producer->limit = limit;
    if (limit == 0) atomic_store(&worker->stopping, true);
    int result = stage->source(&producer->source, user);
    bool is_good = result == 0 || sw_stopping(&producer->source);
    if (!is_good) swi_say("the source failed: its handler returned %d", result);
    *printed = producer->printed;
    swi_worker_free(worker);
    return is_good ? 0 : 1;
}
