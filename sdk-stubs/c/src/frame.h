/* Bytes from the socket become frames. No IO here: whoever reads asks for room and says how much came. */
#ifndef SWI_FRAME_H
#define SWI_FRAME_H

#include "wire.h"

/* What the link hands to whoever handles records, in the order of arrival. */
typedef enum swi_event {
    SWI_BEGIN,   /* a session begins */
    SWI_DELIVER,
    SWI_PONG,    /* `value`: the nonce */
    SWI_DRAIN,   /* `value`: the reason */
    SWI_STOP,    /* a signal asks the worker to leave */
    SWI_END,     /* the session is over: what is held is void */
} swi_event;

/* A frame, or an event without one. */
typedef struct swi_item {
    struct swi_item *next;
    swi_event event;
    uint64_t value;
    size_t references; /* records of it that are being handled, by several threads */

    /* SWI_DELIVER */
    swi_slice deliver; /* the message's bytes, within `frame` */
    uint32_t input;    /* index */
    uint64_t first;
    size_t count;
    uint64_t bytes; /* sum of the records' sizes (CR-3) */
    bool has_attempts;

    size_t size, capacity;
    uint8_t frame[]; /* without its length */
} swi_item;

enum { SWI_STAGING = 64 * 1024 };

/* Invariant: `current` is not complete, or it is what swi_frames_next returns next. */
typedef struct swi_frames {
    size_t limit; /* bytes of a frame, its length not counted */
    swi_item *current;
    size_t have; /* bytes of current->frame that are there */
    swi_item *spare; /* to be used again */
    size_t start, end; /* what is not taken of the staging buffer */
    uint8_t staging[SWI_STAGING];
} swi_frames;

typedef enum swi_frame_status { SWI_FRAME, SWI_NEED_MORE, SWI_EMPTY_FRAME, SWI_LARGE_FRAME } swi_frame_status;

swi_item *swi_item_make(swi_event event, size_t capacity);
/* Where the next bytes go and how many there may be, at least 1. */
uint8_t *swi_frames_room(swi_frames *frames, size_t *size);
void swi_frames_filled(swi_frames *frames, size_t size);
/* The next complete frame, which the caller then owns. A length of 0 or above the limit is not survived. */
swi_frame_status swi_frames_next(swi_frames *frames, swi_item **item);
/* Gives an item back to be used for another frame. */
void swi_frames_recycle(swi_frames *frames, swi_item *item);
void swi_frames_free(swi_frames *frames);

/* ---- What is in a frame ---- */

enum {
    SWI_M_HELLO = 2, SWI_M_WELCOME = 3, SWI_M_CLOSE = 4, SWI_M_PING = 5, SWI_M_PONG = 6, SWI_M_CREDIT = 7,
    SWI_M_DELIVER = 8, SWI_M_SETTLE = 9, SWI_M_EMIT = 10, SWI_M_COMMITTED = 11, SWI_M_SETTLED = 12, SWI_M_EXTEND = 13,
    SWI_M_DRAIN = 14, SWI_M_RUNS = 15, SWI_M_CLAIM = 16, SWI_M_CLAIMED = 17, SWI_M_FINISHED = 18,
};

/* The Envelope: its version, and the number and bytes of its message (0: no known kind). False: malformed. */
bool swi_read_envelope(swi_slice frame, uint32_t *version, uint32_t *kind, swi_slice *message);

/* Reads what a Deliver is about, and counts its records; `input` is left as its number. False: malformed. */
bool swi_read_deliver(swi_item *item, swi_slice message);

/* Goes through the records of a Deliver that swi_read_deliver has accepted. */
typedef struct swi_records {
    const uint8_t *at, *end;                   /* the message */
    const uint8_t *attempts_at, *attempts_end; /* the same, for the numbers */
    const uint8_t *packed_at, *packed_end;
    bool has_attempts;
} swi_records;

void swi_records_begin(swi_records *records, const swi_item *item);
/* The next record's bytes and attempt; false at the end. */
bool swi_records_next(swi_records *records, swi_slice *bytes, uint32_t *attempt);

#endif
