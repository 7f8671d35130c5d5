/* The events that wait for the handler's thread. Bounded by the credit that we granted. */
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { MOST_RECYCLED = 16 };

/* Waits on `changed`; false when the deadline has passed. Under the mutex. */
static bool wait_until(swi_worker *worker, int64_t deadline_ms) {
    if (deadline_ms < 0) {
        pthread_cond_wait(&worker->changed, &worker->mutex);
        return true;
    }
    struct timespec until = {deadline_ms / 1000, deadline_ms % 1000 * 1000000};
    return pthread_cond_timedwait(&worker->changed, &worker->mutex, &until) != ETIMEDOUT;
}

swi_item *swi_take(swi_worker *worker, int64_t deadline_ms) {
    pthread_mutex_lock(&worker->mutex);
    while (worker->first == NULL && !worker->finished && wait_until(worker, deadline_ms)) {}
    swi_item *item = worker->first;
    if (item != NULL) {
        worker->first = item->next;
        if (worker->first == NULL) worker->last = NULL;
    }
    pthread_mutex_unlock(&worker->mutex);
    return item;
}

bool swi_has_more(swi_worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    bool has_more = worker->first != NULL;
    pthread_mutex_unlock(&worker->mutex);
    return has_more;
}

bool swi_has_finished(swi_worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    bool has_finished = worker->finished;
    pthread_mutex_unlock(&worker->mutex);
    return has_finished;
}

void swi_recycle(swi_worker *worker, swi_item *item) {
    pthread_mutex_lock(&worker->mutex);
    if (item->event == SWI_DELIVER && worker->recycled_count < MOST_RECYCLED) {
        item->next = worker->recycled;
        worker->recycled = item;
        worker->recycled_count++;
        item = NULL;
    }
    pthread_mutex_unlock(&worker->mutex);
    free(item);
}

void swi_taken(swi_worker *worker, swi_session *session, swi_item *item) {
    swi_input *input = &session->inputs[item->input];
    input->taken_records += item->count;
    input->taken_bytes += item->bytes;
    uint64_t records = input->taken_records + session->window_records - atomic_load(&input->granted_records);
    uint64_t bytes = input->taken_bytes + session->window_bytes - atomic_load(&input->granted_bytes);
    /* Earlier when nothing waits: then the broker may be short of credit, and this thread is about to sleep. */
    uint64_t part = swi_has_more(worker) ? 2 : 8;
    if (records >= session->window_records / part || bytes >= session->window_bytes / part) swi_grant(session, input);
}

void swi_let_go(swi_worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    worker->idle = true;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
}
