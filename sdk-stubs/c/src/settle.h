/* Outcomes on their way to the broker: gathered in one Settle, in ranges where nothing was emitted, within credit. */
#ifndef SWI_SETTLE_H
#define SWI_SETTLE_H

#include "worker.h"

typedef struct swi_settler {
    /* Held by whoever settles, all the time but for handlers' calls and for waiting for events. The link only tries. */
    pthread_mutex_t mutex;
    swi_worker *worker;
    swi_session *session;

    swi_buffer out;    /* SWI_HEAD bytes of room for what goes in front, then outcomes */
    size_t entries;    /* outcomes and ranges in it */
    uint64_t count;    /* deliveries in it and in the run */
    uint64_t run_first, run_last; /* consecutive deliveries with the same plain outcome, not in `out` yet; 0: none */
    bool ping_due;     /* something was given back: a Ping goes behind (void deliveries) */
    uint64_t nonce;    /* of that Ping, if it is due */
    uint64_t *accepted; /* scratch */
    size_t accepted_capacity;
} swi_settler;

swi_settler *swi_settler_make(swi_worker *worker);
void swi_settler_free(swi_settler *settler);
/* Begins a session. By the link, before it hands out the first event. */
void swi_settler_attach(swi_settler *settler, swi_session *session);

/* What follows is called with the mutex held. */

/* ACCEPTED without emissions; neighbours share an outcome. */
void swi_settle_plain(swi_settler *settler, uint64_t id);
/* RELEASED, in an outcome of its own: in one range with others, records that are void behind it would count a release
 * each (RT-2). */
void swi_settle_released(swi_settler *settler, uint64_t id);
/* One step: the verdict and the emissions of `emitter` for these deliveries, ascending. Waits for credit. The kind that
 * became of it, for what it has not rejected by itself. */
swi_kind swi_settle(swi_settler *settler, sw_emitter *emitter, sw_record *const *records, size_t count);
/* The nonce at which a lane that is given back now opens again. */
uint64_t swi_give_back(swi_settler *settler);
/* Writes what is gathered. */
void swi_flush(swi_settler *settler);

/* Writes what is gathered, unless somebody settles at this moment. Without the mutex. */
void swi_settler_try_flush(swi_settler *settler);

#endif
