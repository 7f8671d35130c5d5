/* What handlers want to hear once their verdict is durable (ST-8). */
#ifndef SWI_CONFIRM_H
#define SWI_CONFIRM_H

#include "emitter.h"

#include "stagewire/v1/envelope.pb-c.h"

typedef struct swi_confirmations swi_confirmations;

swi_confirmations *swi_confirmations_make(void);
/* Waits until everything was said that is to be. */
void swi_confirmations_free(swi_confirmations *confirmations);

/* The verdict on what `emitter` was asked about has been decided, and is not yet written. `outcome`: the first delivery
 * of the outcome that has the emissions, by which the broker names a refusal; 0: there are none. */
void swi_confirm_settle(swi_confirmations *confirmations, sw_emitter *emitter, uint64_t outcome);
/* A Settled has come. */
void swi_confirm(swi_confirmations *confirmations, const Stagewire__V1__Settled *settled);
/* The session is over: what was not confirmed will not be. Waits until everything was said. */
void swi_confirm_end(swi_confirmations *confirmations);

#endif
