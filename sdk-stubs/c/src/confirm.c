/* What handlers want to hear once their verdict is durable: said on a thread that begins with the first of it. */
#include "confirm.h"

#include "worker.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct swi_waiting {
    swi_ask ask;
    uint64_t outcome; /* as the broker names it when it refuses it */
    bool is_confirmed;
    struct swi_waiting *next;
} swi_waiting;

typedef struct waiting_list {
    swi_waiting *first, *last;
} waiting_list;

struct swi_confirmations {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    bool is_running, is_saying, quits;
    waiting_list asked; /* ascending by delivery */
    waiting_list due;   /* in the order in which it is to be said */
};

static void append(waiting_list *list, swi_waiting *waiting) {
    waiting->next = NULL;
    if (list->last != NULL) list->last->next = waiting;
    else list->first = waiting;
    list->last = waiting;
}

/* Several handlers finish in any order; nearly always it is the last place. */
static void insert(waiting_list *list, swi_waiting *waiting) {
    if (list->last == NULL || list->last->ask.delivery <= waiting->ask.delivery) {
        append(list, waiting);
        return;
    }
    swi_waiting **place = &list->first;
    while ((*place)->ask.delivery <= waiting->ask.delivery) place = &(*place)->next;
    waiting->next = *place;
    *place = waiting;
}

static void *run(void *argument) {
    swi_confirmations *all = argument;
    pthread_mutex_lock(&all->mutex);
    while (all->due.first != NULL || !all->quits) {
        swi_waiting *waiting = all->due.first;
        all->is_saying = waiting != NULL;
        if (waiting == NULL) {
            pthread_cond_broadcast(&all->changed);
            pthread_cond_wait(&all->changed, &all->mutex);
            continue;
        }
        all->due.first = waiting->next;
        if (all->due.first == NULL) all->due.last = NULL;
        pthread_mutex_unlock(&all->mutex);
        waiting->ask.action(waiting->ask.context, waiting->is_confirmed);
        free(waiting);
        pthread_mutex_lock(&all->mutex);
    }
    pthread_mutex_unlock(&all->mutex);
    return NULL;
}

swi_confirmations *swi_confirmations_make(void) {
    swi_confirmations *all = swi_allocate_zeroed(1, sizeof *all);
    pthread_mutex_init(&all->mutex, NULL);
    pthread_cond_init(&all->changed, NULL);
    return all;
}

void swi_confirmations_free(swi_confirmations *all) {
    swi_confirm_end(all);
    if (all->is_running) {
        pthread_mutex_lock(&all->mutex);
        all->quits = true;
        pthread_cond_broadcast(&all->changed);
        pthread_mutex_unlock(&all->mutex);
        pthread_join(all->thread, NULL);
    }
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->mutex);
    free(all);
}

/* With the mutex held: something is due. */
static void wake(swi_confirmations *all) {
    if (all->due.first == NULL) return;
    if (!all->is_running) {
        if (pthread_create(&all->thread, NULL, run, all) != 0) {
            swi_say("a thread for what is confirmed could not be started");
            _Exit(2);
        }
        all->is_running = true;
    }
    pthread_cond_broadcast(&all->changed);
}

void swi_confirm_settle(swi_confirmations *all, sw_emitter *emitter, uint64_t outcome) {
    if (emitter->ask_count == 0) return;
    pthread_mutex_lock(&all->mutex);
    for (size_t i = 0; i < emitter->ask_count; i++) {
        swi_waiting *waiting = swi_allocate_zeroed(1, sizeof *waiting);
        waiting->ask = emitter->asks[i];
        waiting->outcome = outcome > 0 ? outcome : waiting->ask.delivery;
        bool is_accepted = emitter->kind == SWI_ACCEPTED && swi_find_single(emitter, waiting->ask.delivery) == NULL;
        if (is_accepted) insert(&all->asked, waiting);
        else append(&all->due, waiting);
    }
    emitter->ask_count = 0;
    wake(all);
    pthread_mutex_unlock(&all->mutex);
}

static bool is_refused(const swi_waiting *waiting, const Stagewire__V1__Settled *settled) {
    for (size_t i = 0; i < settled->n_refused; i++) {
        if (settled->refused[i]->id == waiting->outcome) return true;
    }
    return false;
}

void swi_confirm(swi_confirmations *all, const Stagewire__V1__Settled *settled) {
    waiting_list rest = {0};
    pthread_mutex_lock(&all->mutex);
    /* Without a refusal what is behind `through` need not be looked at. */
    while (all->asked.first != NULL && (settled->n_refused > 0 || all->asked.first->ask.delivery <= settled->through)) {
        swi_waiting *waiting = all->asked.first;
        all->asked.first = waiting->next;
        if (is_refused(waiting, settled)) {
            append(&all->due, waiting);
        } else if (waiting->ask.delivery <= settled->through) {
            waiting->is_confirmed = true;
            append(&all->due, waiting);
        } else {
            append(&rest, waiting);
        }
    }
    if (all->asked.first == NULL) all->asked = rest;
    wake(all);
    pthread_mutex_unlock(&all->mutex);
}

void swi_confirm_end(swi_confirmations *all) {
    pthread_mutex_lock(&all->mutex);
    while (all->asked.first != NULL) {
        swi_waiting *waiting = all->asked.first;
        all->asked.first = waiting->next;
        append(&all->due, waiting);
    }
    all->asked.last = NULL;
    wake(all);
    while (all->due.first != NULL || all->is_saying) pthread_cond_wait(&all->changed, &all->mutex);
    pthread_mutex_unlock(&all->mutex);
}

/* ---- The handler's side ---- */

void sw_on_confirmed(sw_emitter *out, const sw_record *record, void (*action)(void *context, bool is_confirmed), void *context) {
    if (out->ask_count == out->ask_capacity) {
        out->ask_capacity = out->ask_capacity > 0 ? 2 * out->ask_capacity : 4;
        out->asks = swi_reallocate(out->asks, out->ask_capacity * sizeof *out->asks);
    }
    out->asks[out->ask_count++] = (swi_ask){record->id, action, context};
}

void swi_forget_asks(sw_emitter *out) {
    for (size_t i = 0; i < out->ask_count; i++) out->asks[i].action(out->asks[i].context, false);
    out->ask_count = 0;
}
