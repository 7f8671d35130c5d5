/* Lanes: related deliveries of an input (OR-1), those of them that are closed, and what waits in them. */
#ifndef SWI_LANES_H
#define SWI_LANES_H

#include "worker.h"

struct swi_task;

typedef struct swi_lane {
    struct swi_lane *next; /* in its bucket */
    struct swi_lane *ready; /* pool: the next one that may run */
    uint64_t from;         /* while it is closed: the first delivery that was given back */
    int64_t reached;       /* windows: how far a key that lags has come, microseconds */
    uint64_t closed_until; /* the nonce of the Pong that opens it; 0: open */
    struct swi_task *first, *last; /* pool: what waits, the first may be running */
    uint32_t input;
    uint32_t hash;
    bool is_keyless; /* pool: the lane of one delivery without related ones */
    size_t size;
    uint8_t key[];
} swi_lane;

typedef struct swi_lanes {
    swi_lane **buckets;
    size_t bucket_count, count;
    size_t closed; /* how many of them */
} swi_lanes;

/* Whether the record is related to others, and by which key. */
bool swi_has_lane(const swi_session *session, sw_record *record, swi_slice *key);
/* The record's lane: NULL if it has none, or, without `make`, if nothing is known of it. */
swi_lane *swi_lane_of(swi_lanes *lanes, const swi_session *session, sw_record *record, bool make);
/* Closes the record's lane until the Pong with this nonce. */
void swi_lane_close(swi_lanes *lanes, const swi_session *session, sw_record *record, uint64_t nonce);
/* Whether the record is void: its lane is closed. */
static inline bool swi_is_void(swi_lanes *lanes, const swi_session *session, sw_record *record) {
    if (lanes->closed == 0) return false;
    swi_lane *lane = swi_lane_of(lanes, session, record, false);
    return lane != NULL && lane->closed_until > 0;
}
/* A Pong: opens what waited for it or an earlier one. */
void swi_lanes_pong(swi_lanes *lanes, uint64_t nonce);
/* Forgets a lane that is open and in which nothing waits. */
void swi_lane_drop(swi_lanes *lanes, swi_lane *lane);
void swi_lanes_clear(swi_lanes *lanes);

#endif
