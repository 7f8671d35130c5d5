/* What the kinds of stages with inputs have in common. */
#ifndef SWI_CONSUME_H
#define SWI_CONSUME_H

#include "lanes.h"
#include "settle.h"

typedef struct swi_consumer {
    swi_worker *worker;
    const sw_stage *stage;
    void *user;
    swi_settler *settler;
    swi_session *session; /* NULL: none */
    swi_lanes lanes;
    sw_emitter emitter;
    bool is_shutdown; /* Drain SHUTDOWN has come */
    bool is_ended;    /* Drain INPUT_ENDED has come */
} swi_consumer;

/* Whether nothing more can be settled. */
static inline bool swi_is_over(const swi_consumer *consumer) {
    return consumer->session == NULL || atomic_load(&consumer->session->over) ||
           atomic_load(&consumer->session->closing);
}

static inline bool swi_is_stopping(const swi_consumer *consumer) {
    return atomic_load_explicit(&consumer->worker->stopping, memory_order_relaxed);
}

/* Fills in what a record of this Deliver has. False: malformed; the session was closed. */
bool swi_take_record(swi_consumer *consumer, const swi_item *item, swi_slice bytes, uint64_t id, uint32_t attempt,
                     sw_record *record);
/* Settles as RELEASED what is void, or what a worker that leaves has not begun; its lane is closed (anew). */
void swi_release(swi_consumer *consumer, sw_record *record);
/* The events that are handled alike: BEGIN, PONG, DRAIN, END. */
void swi_common_event(swi_consumer *consumer, const swi_item *item);
/* A worker that has released everything leaves. */
void swi_leave(swi_consumer *consumer);
void swi_consumer_end(swi_consumer *consumer);

static inline void swi_call_begins(swi_call *call) {
    uint64_t sequence = atomic_load_explicit(&call->sequence, memory_order_relaxed);
    atomic_store_explicit(&call->sequence, sequence + 1, memory_order_relaxed);
}
#define swi_call_ends swi_call_begins

#endif
