/* What produce.c (the handler's side) and claims.c (the link's side) share. */
#ifndef SWI_PRODUCER_H
#define SWI_PRODUCER_H

#include "produce.h"

typedef enum swi_sent { SWI_UNSENT, SWI_SENDING, SWI_SENT } swi_sent;

/* An Emit until it is committed. */
typedef struct swi_emit {
    struct swi_emit *next;
    uint64_t id;
    swi_sent state;
    swi_buffer frame;
    swi_need *need; /* one for each output */
} swi_emit;

struct sw_partition {
    sw_partition *next;
    swi_producer *producer;
    char *name;
    sw_emitter step;       /* handler's thread */
    swi_buffer checkpoint; /* handler's thread, once it was claimed */

    /* Under worker.mutex. */
    bool was_claimed;    /* in any session */
    bool is_claimed;     /* in this one */
    bool is_finished;    /* the author has said so */
    bool finish_is_sent; /* in this session */
    uint64_t last_id;    /* of the last Emit that was made */
    uint64_t through;    /* the broker has committed */
    swi_emit *first, *last; /* those that are not committed, ascending */
};

struct sw_source {
    swi_producer *producer;
};

struct swi_producer {
    swi_worker *worker;
    sw_source source;
    sw_partition *partitions; /* under worker.mutex; never shortened */
    /* Held while something of the source is written, and by the link while it attaches or detaches. Before worker.mutex. */
    pthread_mutex_t sending;
    swi_session *session; /* under `sending`: NULL while there is none */
    swi_limits limits;    /* those of the first session, with the credit of this one */
    bool has_limits;
    bool is_trial; /* --test: there is no session, and steps are printed */
    uint64_t limit, printed;
};

/* Writes what is claimed, unsent and within credit, and Finished behind it. Any thread, without locks. */
void swi_pump(swi_producer *producer);
/* Whether nothing is left to be committed. Under worker.mutex. */
bool swi_all_committed(const swi_producer *producer);
bool swi_send_claim(swi_session *session, const char *name);

#endif
