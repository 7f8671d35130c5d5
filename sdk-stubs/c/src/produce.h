/* Sources: claimed partitions, what was emitted and is not committed yet, and sending it again after a reconnect. */
#ifndef SWI_PRODUCE_H
#define SWI_PRODUCE_H

#include "worker.h"

#include "stagewire/v1/envelope.pb-c.h"

typedef struct swi_producer swi_producer;

swi_producer *swi_producer_make(swi_worker *worker);
void swi_producer_free(swi_producer *producer);

/* By the link: */
void swi_producer_attach(swi_worker *worker, swi_session *session); /* claims again what was claimed */
void swi_producer_detach(swi_worker *worker);                       /* nothing uses the session any more */
void swi_producer_credit(swi_worker *worker, const Stagewire__V1__Credit *credit);
void swi_claimed(swi_worker *worker, const Stagewire__V1__Claimed *claimed);
void swi_committed(swi_worker *worker, const Stagewire__V1__Committed *committed);
/* Runs the source without a broker until it has printed `limit` records; the exit code. */
int swi_try_source(const sw_stage *stage, void *user, uint64_t limit, uint64_t *printed);
/* Whether everything that was sent is committed. */
bool swi_is_committed(swi_worker *worker);

#endif
