/* Several handlers at once. Records of one lane are handled and settled one after the other (OR-2), others side by side.
 * Everything here is guarded by the settler's mutex, which handlers' calls do not hold. */
#include "consume.h"

#include <stdlib.h>

typedef struct swi_task {
    struct swi_task *next; /* in its lane */
    swi_item *item;        /* that the record points into */
    sw_record record;
} swi_task;

typedef struct pool {
    swi_consumer consumer;
    pthread_cond_t changed; /* something is ready, nothing is left, or it is over */
    swi_lane *ready, *last_ready;
    size_t left; /* tasks that are not settled */
    bool quits;
} pool_state;

typedef struct hand {
    pool_state *pool;
    swi_call *call;
    pthread_t thread;
} hand_state;

static void make_ready(pool_state *pool, swi_lane *lane) {
    lane->ready = NULL;
    if (pool->last_ready != NULL) pool->last_ready->ready = lane;
    else pool->ready = lane;
    pool->last_ready = lane;
    pthread_cond_broadcast(&pool->changed);
}

static swi_lane *take_ready(pool_state *pool) {
    swi_lane *lane = pool->ready;
    if (lane == NULL) return NULL;
    pool->ready = lane->ready;
    if (pool->ready == NULL) pool->last_ready = NULL;
    return lane;
}

static void drop_reference(pool_state *pool, swi_item *item) {
    if (--item->references == 0) swi_recycle(pool->consumer.worker, item);
}

/* Takes the lane's first task, which is done, out of it. */
static void end_task(pool_state *pool, swi_lane *lane) {
    swi_task *task = lane->first;
    lane->first = task->next;
    if (lane->first == NULL) lane->last = NULL;
    swi_record_clear(&task->record);
    drop_reference(pool, task->item);
    free(task);
    if (--pool->left == 0) pthread_cond_broadcast(&pool->changed);
}

/* Runs the handler on one record and settles it; whether it was given back. */
static bool handle(pool_state *pool, hand_state *hand, sw_emitter *emitter, sw_record *record) {
    swi_consumer *consumer = &pool->consumer;
    const sw_stage *stage = consumer->stage;
    bool is_sink = stage->sink != NULL;
    swi_emitter_begin(emitter, is_sink ? SWI_SINK : SWI_HANDLER, &consumer->session->limits, &record, 1);
    swi_call_begins(hand->call);
    pthread_mutex_unlock(&consumer->settler->mutex);
    (is_sink ? stage->sink : stage->transform)(record, emitter, consumer->user);
    pthread_mutex_lock(&consumer->settler->mutex);
    swi_call_ends(hand->call);
    swi_emitter_end(emitter);
    if (swi_is_over(consumer)) return false;
    swi_kind kind = swi_settle(consumer->settler, emitter, &record, 1);
    if (kind != SWI_RETRY && kind != SWI_RELEASED) return false;
    swi_lane_close(&consumer->lanes, consumer->session, record, swi_give_back(consumer->settler));
    return true;
}

/* Handles the lane's first task. When it is given back, all that waits behind it is void. */
static void serve_lane(pool_state *pool, hand_state *hand, sw_emitter *emitter, swi_lane *lane) {
    swi_consumer *consumer = &pool->consumer;
    bool is_void = swi_is_over(consumer) || swi_is_stopping(consumer);
    if (!is_void) {
        is_void = handle(pool, hand, emitter, &lane->first->record);
        end_task(pool, lane);
    }
    while (is_void && lane->first != NULL) {
        if (!swi_is_over(consumer)) swi_release(consumer, &lane->first->record);
        end_task(pool, lane);
    }
    if (lane->first != NULL) make_ready(pool, lane);
    else if (lane->is_keyless) free(lane);
    else swi_lane_drop(&consumer->lanes, lane);
}

static void *hand_run(void *argument) {
    hand_state *hand = argument;
    pool_state *pool = hand->pool;
    swi_settler *settler = pool->consumer.settler;
    sw_emitter emitter = {0};
    pthread_mutex_lock(&settler->mutex);
    while (!pool->quits) {
        swi_lane *lane = take_ready(pool);
        if (lane != NULL) {
            serve_lane(pool, hand, &emitter, lane);
            continue;
        }
        if (!swi_is_over(&pool->consumer)) swi_flush(settler); /* nothing is ready: no reason to wait for more */
        pthread_cond_wait(&pool->changed, &settler->mutex);
    }
    pthread_mutex_unlock(&settler->mutex);
    swi_emitter_free(&emitter);
    return NULL;
}

/* ---- Handing out ---- */

static void enqueue(pool_state *pool, swi_item *item, const sw_record *record) {
    swi_task *task = swi_allocate(sizeof *task);
    *task = (swi_task){NULL, item, *record};
    swi_lane *lane = swi_lane_of(&pool->consumer.lanes, pool->consumer.session, &task->record, true);
    if (lane == NULL) {
        lane = swi_allocate_zeroed(1, sizeof *lane);
        lane->is_keyless = true;
    }
    item->references++;
    pool->left++;
    bool is_first = lane->first == NULL;
    if (is_first) lane->first = task;
    else lane->last->next = task;
    lane->last = task;
    if (is_first) make_ready(pool, lane);
}

static void hand_out(pool_state *pool, swi_item *item) {
    swi_consumer *consumer = &pool->consumer;
    swi_records records;
    swi_slice bytes;
    uint64_t id = item->first;
    uint32_t attempt;
    sw_record record;
    pthread_mutex_lock(&consumer->settler->mutex);
    item->references = 1;
    swi_records_begin(&records, item);
    while (!swi_is_over(consumer) && swi_records_next(&records, &bytes, &attempt)) {
        if (!swi_take_record(consumer, item, bytes, id++, attempt, &record)) break;
        if (swi_is_void(&consumer->lanes, consumer->session, &record)) swi_release(consumer, &record);
        else enqueue(pool, item, &record);
    }
    if (pool->left == 0 && !swi_is_over(consumer)) swi_flush(consumer->settler);
    drop_reference(pool, item);
    pthread_mutex_unlock(&consumer->settler->mutex);
}

static void wait_until_done(pool_state *pool) {
    pthread_mutex_lock(&pool->consumer.settler->mutex);
    while (pool->left > 0) pthread_cond_wait(&pool->changed, &pool->consumer.settler->mutex);
    pthread_mutex_unlock(&pool->consumer.settler->mutex);
}

static void event(pool_state *pool, const swi_item *item) {
    swi_consumer *consumer = &pool->consumer;
    if (item->event == SWI_END || item->event == SWI_STOP) wait_until_done(pool);
    if (item->event == SWI_STOP) swi_leave(consumer);
    pthread_mutex_lock(&consumer->settler->mutex);
    swi_common_event(consumer, item);
    pthread_mutex_unlock(&consumer->settler->mutex);
}

static void run_hands(swi_worker *worker, pool_state *pool, hand_state *hands) {
    size_t started = 0;
    for (; started < worker->call_count; started++) {
        hands[started] = (hand_state){.pool = pool, .call = &worker->calls[started]};
        if (pthread_create(&hands[started].thread, NULL, hand_run, &hands[started]) != 0) break;
    }
    if (started < worker->call_count) swi_say("only %zu of %zu threads could be started", started, worker->call_count);
    if (started == 0) _Exit(2);
    for (swi_item *item; (item = swi_take(worker, -1)) != NULL;) {
        if (item->event == SWI_DELIVER && !swi_is_over(&pool->consumer)) {
            swi_taken(worker, pool->consumer.session, item);
            hand_out(pool, item);
        } else {
            event(pool, item);
            swi_recycle(worker, item);
        }
    }
    pthread_mutex_lock(&pool->consumer.settler->mutex);
    pool->quits = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->consumer.settler->mutex);
    while (started > 0) pthread_join(hands[--started].thread, NULL);
}

void swi_consume_pool(swi_worker *worker, void *user) {
    pool_state pool = {.consumer = {.worker = worker, .stage = worker->stage, .user = user, .settler = worker->settler}};
    hand_state *hands = swi_allocate_zeroed(worker->call_count, sizeof *hands);
    pthread_cond_init(&pool.changed, NULL);
    run_hands(worker, &pool, hands);
    pthread_cond_destroy(&pool.changed);
    free(hands);
    swi_consumer_end(&pool.consumer);
}
