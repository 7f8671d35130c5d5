/* Windows: records are held unsettled until their window ends, and settled as one step. */
#include "consume.h"
#include "idset.h"
#include "windowset.h"

#include <stdlib.h>

typedef struct holder_state {
    swi_consumer consumer;
    swi_windows windows;
    uint64_t *held_records, *held_bytes; /* for each input */
    swi_idset returning; /* given back, and not here again */
    swi_lanes lagging;   /* keys that were given back and have not caught up with the watermark: measured by themselves */
    int64_t heard_ms;    /* when a record came last */
} holder_state;

static uint64_t size_of(const sw_record *record) { /* a little less than CR-3: without tags and lengths */
    return record->lineage.size + record->header.size + record->payload.size;
}

static void let_go(holder_state *holder, sw_record *record) {
    holder->held_records[record->input]--;
    holder->held_bytes[record->input] -= size_of(record);
}

/* ---- Giving back ---- */

/* Remembers that the record comes again, and that its key lags behind until then. */
static void will_return(holder_state *holder, sw_record *record, uint64_t nonce) {
    swi_consumer *consumer = &holder->consumer;
    swi_lane_close(&consumer->lanes, consumer->session, record, nonce);
    swi_idset_add(&holder->returning, swi_record_id(record));
    swi_windows_gave_back(&holder->windows, record, swi_now_ms());
    if (holder->windows.size == 0) return;
    int64_t start, end;
    size_t before = holder->lagging.count;
    swi_lane *lane = swi_lane_of(&holder->lagging, consumer->session, record, true);
    swi_windows_span(&holder->windows, record, &start, &end);
    if (lane != NULL && (holder->lagging.count > before || start < lane->reached)) lane->reached = start;
}

/* Takes what is void out of the windows that are open: held behind a delivery of its lane that was given back. */
static size_t take_void(holder_state *holder, sw_record ***taken) {
    swi_consumer *consumer = &holder->consumer;
    size_t count = 0, capacity = 0;
    for (sw_window *window = holder->windows.first, *next; window != NULL; window = next) {
        next = window->next;
        for (size_t i = 0, left = window->count; i < left;) {
            sw_record *record = window->records[i];
            swi_lane *lane = swi_lane_of(&consumer->lanes, consumer->session, record, false);
            if (lane == NULL || lane->closed_until == 0 || record->id < lane->from) {
                i++;
                continue;
            }
            if (count == capacity) *taken = swi_reallocate(*taken, (capacity = capacity * 2 + 16) * sizeof **taken);
            (*taken)[count++] = swi_window_remove(&holder->windows, window, i);
            left--;
        }
    }
    return count;
}

static int by_id(const void *a, const void *b) {
    uint64_t first = (*(sw_record *const *)a)->id, second = (*(sw_record *const *)b)->id;
    return (first > second) - (first < second);
}

/* Settles what is void in the windows that are open, in the order of its ids, which windows do not keep among them: if
 * nothing is void after all, the first release of a lane makes the others so. */
static void release_void(holder_state *holder) {
    sw_record **taken = NULL;
    size_t count = take_void(holder, &taken);
    if (count > 0) qsort(taken, count, sizeof *taken, by_id);
    for (size_t i = 0; i < count; i++) {
        swi_settle_released(holder->consumer.settler, taken[i]->id);
        will_return(holder, taken[i], swi_give_back(holder->consumer.settler));
        let_go(holder, taken[i]);
        swi_record_free(taken[i]);
    }
    free(taken);
}

/* ---- A window that has ended ---- */

/* Hands the window to the handler and settles it; it is then freed. With the settler's mutex held, but for the call. */
static void handle(holder_state *holder, sw_window *window) {
    swi_consumer *consumer = &holder->consumer;
    sw_emitter *emitter = &consumer->emitter;
    swi_emitter_begin(emitter, SWI_HANDLER, &consumer->session->limits, window->records, window->count);
    swi_call_begins(&consumer->worker->calls[0]);
    pthread_mutex_unlock(&consumer->settler->mutex);
    consumer->stage->window(window, emitter, consumer->user);
    pthread_mutex_lock(&consumer->settler->mutex);
    swi_call_ends(&consumer->worker->calls[0]);
    swi_emitter_end(emitter);
    if (!swi_is_over(consumer)) {
        swi_kind kind = swi_settle(consumer->settler, emitter, window->records, window->count);
        bool is_back = kind == SWI_RETRY || kind == SWI_RELEASED;
        uint64_t nonce = is_back ? swi_give_back(consumer->settler) : 0;
        for (size_t i = 0; i < window->count; i++) {
            if (is_back) will_return(holder, window->records[i], nonce);
            let_go(holder, window->records[i]);
        }
        if (is_back) release_void(holder);
    }
    swi_window_free(window);
}

/* Settles all that is held as RELEASED. */
static void release_all(holder_state *holder) {
    sw_window *window;
    while ((window = swi_windows_oldest(&holder->windows, false)) != NULL) {
        for (size_t i = 0; i < window->count && !swi_is_over(&holder->consumer); i++) {
            swi_release(&holder->consumer, window->records[i]);
            let_go(holder, window->records[i]);
        }
        swi_window_free(window);
    }
}

static bool gives_up(const holder_state *holder) {
    return holder->consumer.is_shutdown || swi_is_stopping(&holder->consumer);
}

/* Whether an input is so full that less than a record fits (DE-4). */
static bool lacks_room(const holder_state *holder, uint32_t index) {
    const swi_input *input = &holder->consumer.session->inputs[index];
    uint64_t bytes = holder->held_bytes[index] + 32 * holder->held_records[index];
    if (input->max_records > 0 && holder->held_records[index] >= input->max_records) return true;
    return input->max_bytes > 0 && bytes + holder->consumer.session->limits.max_record > input->max_bytes;
}

static void end_windows(holder_state *holder) {
    sw_window *window;
    while (!swi_is_over(&holder->consumer) && (window = swi_windows_ended(&holder->windows, swi_now_ms())) != NULL)
        handle(holder, window);
}

/* ---- A record ---- */

static void reject(holder_state *holder, sw_record *record, const char *format, const char *when) {
    swi_consumer *consumer = &holder->consumer;
    swi_emitter_begin(&consumer->emitter, SWI_SINK, &consumer->session->limits, &record, 1);
    swi_verdict(&consumer->emitter, SWI_REJECTED, SWI_APPLICATION, format, when);
    swi_settle(consumer->settler, &consumer->emitter, &record, 1);
}

/* Whether the record is not late, whatever the watermark: it was given back, or its key lags and has not come past its
 * window. The key may have caught up by it. */
static bool is_exempt(holder_state *holder, sw_record *record, bool has_returned) {
    swi_windows *windows = &holder->windows;
    int64_t start, end, reach;
    swi_lane *lane = holder->lagging.count > 0 ? swi_lane_of(&holder->lagging, holder->consumer.session, record, false) : NULL;
    if (lane == NULL || sw_event_time(record) == 0) return has_returned;
    reach = swi_windows_reach(windows, record);
    if (reach > lane->reached) lane->reached = reach;
    swi_windows_span(windows, record, &start, &end);
    bool lags = lane->reached < windows->watermark, is_ahead = end > lane->reached;
    if (!lags) swi_lane_drop(&holder->lagging, lane);
    return has_returned || (lags && is_ahead);
}

static void place(holder_state *holder, sw_record *record) {
    swi_consumer *consumer = &holder->consumer;
    char when[40];
    int64_t end = 0;
    uint32_t input = record->input;
    bool has_returned = swi_idset_remove(&holder->returning, swi_record_id(record));
    bool exempt = holder->windows.size > 0 && is_exempt(holder, record, has_returned);
    sw_window *overfull = swi_windows_overfull(&holder->windows, record);
    if (overfull != NULL) handle(holder, overfull);
    if (swi_is_over(consumer)) return;
    if (overfull != NULL && swi_is_void(&consumer->lanes, consumer->session, record)) {
        /* That window was given back, and this record stood behind it. */
        swi_settle_released(consumer->settler, record->id);
        will_return(holder, record, swi_give_back(consumer->settler));
        return;
    }
    sw_record *copy = swi_record_copy(record);
    switch (swi_windows_add(&holder->windows, copy, swi_now_ms(), exempt, has_returned, &end)) {
    case SWI_PLACED:
        holder->held_records[input]++;
        holder->held_bytes[input] += size_of(copy);
        return;
    case SWI_UNTIMED: reject(holder, record, "%s", "the record has no event time"); break;
    case SWI_LATE:
        swi_format_time(end, when);
        if (consumer->stage->bounds.accept_late) swi_settle_plain(consumer->settler, record->id);
        else reject(holder, record, "late: its window ended at %s", when);
        break;
    }
    swi_record_free(copy);
}

static void take(holder_state *holder, swi_item *item) {
    swi_consumer *consumer = &holder->consumer;
    swi_records records;
    swi_slice bytes;
    uint64_t id = item->first;
    uint32_t attempt;
    sw_record record;
    swi_records_begin(&records, item);
    pthread_mutex_lock(&consumer->settler->mutex);
    while (!swi_is_over(consumer) && swi_records_next(&records, &bytes, &attempt)) {
        if (!swi_take_record(consumer, item, bytes, id++, attempt, &record)) break;
        if (gives_up(holder)) {
            swi_release(consumer, &record);
        } else if (swi_is_void(&consumer->lanes, consumer->session, &record)) {
            swi_settle_released(consumer->settler, record.id);
            will_return(holder, &record, swi_give_back(consumer->settler));
        } else {
            place(holder, &record);
            end_windows(holder);
            while (!swi_is_over(consumer) && lacks_room(holder, item->input) && holder->windows.first != NULL)
                handle(holder, swi_windows_oldest(&holder->windows, true));
        }
    }
    pthread_mutex_unlock(&consumer->settler->mutex);
    holder->heard_ms = swi_now_ms();
    swi_recycle(consumer->worker, item);
}

/* ---- Time and endings ---- */

static int64_t idle_ms(const holder_state *holder) {
    double idle = holder->consumer.stage->bounds.idle;
    if (holder->windows.size == 0 || idle < 0) return -1;
    return idle > 0 ? (int64_t)(idle * 1000 + 0.999) : 10000;
}

static int64_t earlier(int64_t a, int64_t b) { return a < 0 || (b >= 0 && b < a) ? b : a; }

/* Until when a window of a stream that has ended is kept for others of its records that come again; 0: it is not. */
static int64_t kept_until(const holder_state *holder, const sw_window *window) {
    return window->has_returned && holder->returning.count > 0 ? window->touched_ms + SWI_LAG_MS : 0;
}

static int64_t deadline(const holder_state *holder) {
    int64_t at = swi_windows_deadline(&holder->windows), idle = idle_ms(holder);
    if (holder->windows.first == NULL) return -1;
    if (idle >= 0) at = earlier(at, holder->heard_ms + idle);
    for (sw_window *window = holder->windows.first; holder->consumer.is_ended && window != NULL; window = window->next)
        at = earlier(at, kept_until(holder, window));
    return at;
}

/* What is to be done when nothing more has arrived. */
static void settle_down(holder_state *holder) {
    swi_consumer *consumer = &holder->consumer;
    int64_t now = swi_now_ms(), idle = idle_ms(holder);
    if (swi_is_over(consumer)) return;
    pthread_mutex_lock(&consumer->settler->mutex);
    if (gives_up(holder)) release_all(holder);
    if (idle >= 0 && now - holder->heard_ms >= idle) swi_windows_idle(&holder->windows);
    end_windows(holder);
    while (consumer->is_ended && !swi_is_over(consumer) && holder->windows.first != NULL &&
           now >= kept_until(holder, holder->windows.first))
        handle(holder, swi_windows_oldest(&holder->windows, false));
    if (!swi_is_over(consumer)) swi_flush(consumer->settler);
    pthread_mutex_unlock(&consumer->settler->mutex);
}

static void forget(holder_state *holder) {
    swi_windows_clear(&holder->windows);
    swi_idset_clear(&holder->returning);
    swi_lanes_clear(&holder->lagging);
    free(holder->held_records);
    free(holder->held_bytes);
    holder->held_records = holder->held_bytes = NULL;
}

static void event(holder_state *holder, const swi_item *item) {
    if (item->event == SWI_END) forget(holder); /* before the session is freed, whose names it points to */
    if (item->event == SWI_STOP) {
        settle_down(holder);
        swi_leave(&holder->consumer);
    }
    swi_common_event(&holder->consumer, item);
    if (item->event == SWI_BEGIN && holder->consumer.session != NULL) {
        size_t count = holder->consumer.session->input_count;
        holder->held_records = swi_allocate_zeroed(count, sizeof *holder->held_records);
        holder->held_bytes = swi_allocate_zeroed(count, sizeof *holder->held_bytes);
    }
}

void swi_consume_windows(swi_worker *worker, void *user) {
    holder_state holder = {.consumer = {.worker = worker, .stage = worker->stage, .user = user, .settler = worker->settler}};
    swi_windows_begin(&holder.windows, &worker->stage->bounds);
    for (;;) {
        swi_item *item = swi_take(worker, deadline(&holder));
        if (item == NULL && swi_has_finished(worker)) break;
        if (item != NULL && item->event == SWI_DELIVER && !swi_is_over(&holder.consumer)) {
            swi_taken(worker, holder.consumer.session, item);
            take(&holder, item);
        } else if (item != NULL) {
            event(&holder, item);
            swi_recycle(worker, item);
        }
        if (!swi_has_more(worker)) settle_down(&holder);
    }
    forget(&holder);
    swi_consumer_end(&holder.consumer);
}
