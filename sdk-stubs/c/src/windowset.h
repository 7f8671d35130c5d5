/* The windows that are open: which record belongs where, and when a window ends. No IO, no clock, no verdicts. */
#ifndef SWI_WINDOWSET_H
#define SWI_WINDOWSET_H

#include "record.h"

struct sw_window {
    sw_window *next;     /* younger */
    sw_record **records; /* owned, ascending ids */
    size_t count, capacity;
    size_t bytes; /* of payloads */
    uint32_t hash;
    uint8_t *key; /* NULL: no windows by key */
    size_t key_size;
    int64_t start, end; /* by event time: microseconds; else 0 */
    int64_t began_ms;   /* when its first record arrived */
    int64_t touched_ms; /* when its last one did */
    bool is_complete;
    bool began_late;    /* the watermark had passed its end already */
    bool has_returned;  /* some of its records had been given back */
};

/* Records of an event-time window that were given back and have not come again; or, with `part_gone`, a window of which
 * a part has ended for want of room. */
typedef struct swi_ghost {
    struct swi_ghost *next;
    uint32_t hash;
    uint8_t *key;
    size_t key_size;
    int64_t start, end;
    size_t missing;
    int64_t since_ms;
    bool part_gone;
} swi_ghost;

typedef struct swi_windows {
    const sw_bounds *bounds;
    int64_t size, lateness; /* of event time, in microseconds; size 0: windows by arrival */
    int64_t watermark;      /* microseconds; INT64_MIN: nothing was seen */
    sw_window *first, *last; /* open, by when they began */
    sw_window *full;         /* the one that the last record has filled */
    int64_t least_end;       /* no open window ends before it */
    swi_ghost *ghosts;
} swi_windows;

enum {
    SWI_GATHER_MS = 15000, /* how long a window that was given back waits for its records */
    SWI_LAG_MS = 1000,     /* the same, for records of which nobody knows how many there are */
};

typedef enum swi_place { SWI_PLACED, SWI_LATE, SWI_UNTIMED } swi_place;

void swi_windows_begin(swi_windows *windows, const sw_bounds *bounds);
/* Forgets everything, the watermark included. */
void swi_windows_clear(swi_windows *windows);

/* The window that this record would make more than `bytes`; NULL: none. It has to end before the record is added. */
sw_window *swi_windows_overfull(swi_windows *windows, sw_record *record);
/* Takes the record, which has memory of its own, into its window; when it is late or has no event time it stays the
 * caller's, and *end is the end of its window. Never late: `is_exempt`, for it was given back, or is of a key that was.
 * `has_returned`: it is one of those that swi_windows_gave_back has counted. */
swi_place swi_windows_add(swi_windows *windows, sw_record *record, int64_t now_ms, bool is_exempt, bool has_returned,
                          int64_t *end);
/* Takes the next window that has ended out of the set; NULL: none has. */
sw_window *swi_windows_ended(swi_windows *windows, int64_t now_ms);
/* Takes the oldest window, whatever its bounds: `for_room` makes it a part. NULL: there is none. */
sw_window *swi_windows_oldest(swi_windows *windows, bool for_room);
/* When to ask again, in monotonic ms; -1: at the next record. */
int64_t swi_windows_deadline(const swi_windows *windows);
/* Nothing has come for long: moves the watermark behind everything that is held. */
void swi_windows_idle(swi_windows *windows);

/* Notes that this record will come again. */
void swi_windows_gave_back(swi_windows *windows, sw_record *record, int64_t now_ms);
/* Takes a record out of its window, which may be left empty (and is then freed). */
sw_record *swi_window_remove(swi_windows *windows, sw_window *window, size_t index);
/* Where the record's window by event time begins and ends, in microseconds. */
void swi_windows_span(const swi_windows *windows, sw_record *record, int64_t *start, int64_t *end);
/* How far the record moves the watermark of what it belongs to: its event time less lateness. */
int64_t swi_windows_reach(const swi_windows *windows, sw_record *record);
void swi_window_free(sw_window *window);

#endif
