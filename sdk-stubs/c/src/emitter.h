/* What a handler's call gave: encoded emissions, and a verdict. */
#ifndef SWI_EMITTER_H
#define SWI_EMITTER_H

#include "codes.h"
#include "record.h"

/* An output port, and what may still be emitted to it. */
typedef struct swi_output {
    uint32_t number;
    char *port;
    _Atomic uint64_t limit_records, limit_bytes; /* the broker's Credit: written by the link, read by who settles */
    uint64_t used_records, used_bytes;           /* under the settler's mutex, or the source's */
} swi_output;

/* What Welcome says about outputs. */
typedef struct swi_limits {
    uint64_t max_record, stamp, max_step_records, max_step_bytes, max_frame;
    swi_output *outputs;
    size_t output_count;
} swi_limits;

/* What an outcome takes of a port's credit (CR-3). */
typedef struct swi_need {
    uint64_t records, bytes;
} swi_need;

typedef struct swi_single { /* one rejected record of a batch or window */
    uint64_t id;
    uint32_t code;
    char *message;
} swi_single;

typedef struct swi_ask { /* whom to tell when a delivery is confirmed */
    uint64_t delivery;
    void (*action)(void *context, bool is_confirmed);
    void *context;
} swi_ask;

/* What an emitter may be asked for. */
typedef enum swi_role {
    SWI_HANDLER,  /* emissions of an outcome, field 4 */
    SWI_SINK,     /* none */
    SWI_PRODUCER, /* emissions of an Emit, field 3 */
    SWI_TRIAL,    /* those of --test: any port, no limits */
} swi_role;

struct swi_chunk;

struct sw_emitter {
    swi_role role;
    const swi_limits *limits;
    sw_record *const *records; /* the deliveries at hand, ascending; NULL for sources */
    size_t record_count;

    swi_buffer step; /* the emissions with their tags */
    size_t count;
    uint64_t charge;
    swi_need *need; /* one for each output */
    size_t need_count;
    size_t overhead;         /* bytes of emissions beyond their outputs */
    uint64_t *parents;       /* all that were named */
    size_t parent_count, parent_capacity;
    char **ports; /* trial: the port's name of each emission */
    size_t port_capacity;
    uint64_t mark;

    swi_kind kind;
    uint32_t code;
    bool indefinite;
    uint32_t delay_ms;
    char *message; /* SWI_TEXT_LIMIT bytes at most, owned */
    bool unfit;    /* an output cannot be taken: what is emitted later is not looked at */
    swi_single *singles;
    size_t single_count, single_capacity;
    swi_ask *asks;
    size_t ask_count, ask_capacity;

    struct swi_chunk *arena;
};

/* Begins with the deliveries at hand. Without memory of its own a zeroed emitter is valid. */
void swi_emitter_begin(sw_emitter *emitter, swi_role role, const swi_limits *limits, sw_record *const *records,
                       size_t count);
/* To be called when the handler has returned: makes a rejection of what cannot be settled as it is. */
void swi_emitter_end(sw_emitter *emitter);
void swi_emitter_free(sw_emitter *emitter);
/* Tells those who asked that nothing will be confirmed. */
void swi_forget_asks(sw_emitter *emitter);
/* Whether this delivery was rejected by itself. */
const swi_single *swi_find_single(const sw_emitter *emitter, uint64_t id);
/* Gives a verdict in the place of what the handler has given. */
void swi_verdict(sw_emitter *emitter, swi_kind kind, uint32_t code, const char *format, ...) SW_PRINTF(4, 5);

/* ---- Encoding an output (output.c) ---- */

/* An output with what it takes over from its base resolved. */
typedef struct swi_resolved {
    swi_slice raw_header; /* copied as it is, when `header` is 0 */
    size_t header;        /* encoded size of a header made anew */
    sw_output output;
    swi_slice payload;
    size_t size; /* of the Record message: what CR-3 charges */
} swi_resolved;

/* NULL, or a sentence that says why the output is invalid (RE-4). */
const char *swi_resolve(const sw_output *output, swi_resolved *resolved);
/* Writes Record's bytes, `resolved->size` of them. */
uint8_t *swi_put_output(uint8_t *at, const swi_resolved *resolved);

#endif
