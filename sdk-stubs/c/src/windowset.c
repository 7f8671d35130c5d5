#include "windowset.h"

#include <stdlib.h>

/* ---- Where a record belongs ---- */

typedef struct place {
    uint32_t hash;
    swi_slice key;
    int64_t start, end;
} place;

static void find_place(const swi_windows *windows, sw_record *record, place *at) {
    *at = (place){.hash = 2166136261u}; /* FNV-1a */
    if (windows->bounds->by_key) {
        at->key = swi_record_key(record);
        for (size_t i = 0; i < at->key.size; i++) at->hash = (at->hash ^ at->key.data[i]) * 16777619u;
    }
    if (windows->size == 0) return;
    int64_t time = sw_event_time(record), into = time % windows->size;
    if (into < 0) into += windows->size;
    if (__builtin_sub_overflow(time, into, &at->start)) at->start = INT64_MIN;
    if (__builtin_add_overflow(at->start, windows->size, &at->end)) at->end = INT64_MAX;
    at->hash ^= (uint32_t)((uint64_t)at->start * 0x9e3779b97f4a7c15u >> 32);
}

static bool is_at(const place *at, uint32_t hash, const uint8_t *key, size_t key_size, int64_t start) {
    return at->hash == hash && at->start == start && swi_equal(at->key, (swi_slice){key, key_size});
}

static sw_window *find_window(const swi_windows *windows, const place *at) {
    sw_window *window = windows->first;
    while (window != NULL && !is_at(at, window->hash, window->key, window->key_size, window->start)) window = window->next;
    return window;
}

static place place_of(const sw_window *window) {
    return (place){window->hash, {window->key, window->key_size}, window->start, window->end};
}

static swi_ghost *find_ghost(const swi_windows *windows, const place *at) {
    swi_ghost *ghost = windows->ghosts;
    while (ghost != NULL && !is_at(at, ghost->hash, ghost->key, ghost->key_size, ghost->start)) ghost = ghost->next;
    return ghost;
}

static uint8_t *copy_key(swi_slice key) {
    uint8_t *copy = swi_allocate(key.size);
    if (key.size > 0) memcpy(copy, key.data, key.size);
    return copy;
}

static swi_ghost *make_ghost(swi_windows *windows, const place *at) {
    swi_ghost *ghost = find_ghost(windows, at);
    if (ghost != NULL) return ghost;
    ghost = swi_allocate(sizeof *ghost);
    *ghost = (swi_ghost){.next = windows->ghosts, .hash = at->hash, .key = copy_key(at->key), .key_size = at->key.size,
                         .start = at->start, .end = at->end};
    windows->ghosts = ghost;
    return ghost;
}

/* Forgets what is of no use any more. */
static void drop_ghosts(swi_windows *windows, int64_t now_ms) {
    for (swi_ghost **at = &windows->ghosts; *at != NULL;) {
        swi_ghost *ghost = *at;
        bool waits = ghost->missing > 0 && now_ms - ghost->since_ms < SWI_GATHER_MS;
        if (waits || (ghost->part_gone && ghost->end > windows->watermark)) {
            at = &ghost->next;
            continue;
        }
        *at = ghost->next;
        free(ghost->key);
        free(ghost);
    }
}

/* ---- The set ---- */

void swi_windows_begin(swi_windows *windows, const sw_bounds *bounds) {
    *windows = (swi_windows){.bounds = bounds, .watermark = INT64_MIN, .least_end = INT64_MAX};
    if (bounds->size > 0) windows->size = bounds->size < 9e12 ? (int64_t)(bounds->size * 1e6 + 0.5) : INT64_MAX;
    if (bounds->lateness > 0) windows->lateness = bounds->lateness < 9e12 ? (int64_t)(bounds->lateness * 1e6 + 0.5) : INT64_MAX;
}

void swi_window_free(sw_window *window) {
    for (size_t i = 0; i < window->count; i++) swi_record_free(window->records[i]);
    free(window->records);
    free(window->key);
    free(window);
}

void swi_windows_clear(swi_windows *windows) {
    while (windows->first != NULL) swi_window_free(swi_windows_oldest(windows, false));
    while (windows->ghosts != NULL) {
        swi_ghost *ghost = windows->ghosts;
        windows->ghosts = ghost->next;
        free(ghost->key);
        free(ghost);
    }
    swi_windows_begin(windows, windows->bounds);
}

static sw_window *make_window(swi_windows *windows, const place *at, int64_t now_ms) {
    sw_window *window = swi_allocate_zeroed(1, sizeof *window);
    const swi_ghost *ghost = windows->ghosts ? find_ghost(windows, at) : NULL;
    window->hash = at->hash;
    if (windows->bounds->by_key) window->key = copy_key(at->key);
    window->key_size = at->key.size;
    window->start = at->start;
    window->end = at->end;
    window->began_ms = now_ms;
    window->is_complete = ghost == NULL || !ghost->part_gone;
    window->began_late = windows->size > 0 && at->end <= windows->watermark;
    if (windows->last != NULL) windows->last->next = window;
    else windows->first = window;
    windows->last = window;
    if (window->end < windows->least_end) windows->least_end = window->end;
    return window;
}

/* Takes it out of the list. */
static sw_window *take_out(swi_windows *windows, sw_window *window) {
    sw_window **at = &windows->first, *before = NULL;
    while (*at != window) {
        before = *at;
        at = &before->next;
    }
    *at = window->next;
    if (windows->last == window) windows->last = before;
    if (windows->full == window) windows->full = NULL;
    window->next = NULL;
    return window;
}

sw_window *swi_windows_overfull(swi_windows *windows, sw_record *record) {
    place at;
    size_t bytes = windows->bounds->bytes;
    if (bytes == 0) return NULL;
    find_place(windows, record, &at);
    sw_window *window = find_window(windows, &at);
    if (window == NULL || window->bytes + record->payload.size <= bytes) return NULL;
    return take_out(windows, window);
}

int64_t swi_windows_reach(const swi_windows *windows, sw_record *record) {
    int64_t reach;
    return __builtin_sub_overflow(sw_event_time(record), windows->lateness, &reach) ? INT64_MIN : reach;
}

static void advance(swi_windows *windows, sw_record *record) {
    int64_t watermark = swi_windows_reach(windows, record);
    if (watermark > windows->watermark) windows->watermark = watermark;
}

void swi_windows_span(const swi_windows *windows, sw_record *record, int64_t *start, int64_t *end) {
    place at;
    find_place(windows, record, &at);
    *start = at.start;
    *end = at.end;
}

swi_place swi_windows_add(swi_windows *windows, sw_record *record, int64_t now_ms, bool is_exempt, bool has_returned,
                          int64_t *end) {
    place at;
    if (windows->size > 0 && sw_event_time(record) == 0) return SWI_UNTIMED;
    find_place(windows, record, &at);
    *end = at.end;
    if (windows->size > 0 && at.end <= windows->watermark && !is_exempt) return SWI_LATE;
    sw_window *window = find_window(windows, &at);
    if (window == NULL) window = make_window(windows, &at, now_ms);
    if (window->count == window->capacity) {
        window->capacity = window->capacity * 2 + 8;
        window->records = swi_reallocate(window->records, window->capacity * sizeof *window->records);
    }
    window->records[window->count++] = record;
    window->bytes += record->payload.size;
    window->touched_ms = now_ms;
    window->has_returned |= has_returned;
    swi_ghost *ghost = has_returned ? find_ghost(windows, &at) : NULL;
    if (ghost != NULL && ghost->missing > 0) ghost->missing--;
    if (windows->size > 0) advance(windows, record);
    const sw_bounds *bounds = windows->bounds;
    if ((bounds->records > 0 && window->count >= bounds->records) || (bounds->bytes > 0 && window->bytes >= bounds->bytes))
        windows->full = window;
    return SWI_PLACED;
}

/* ---- When a window ends ---- */

/* Until when a window that the watermark has passed is still gathered; 0: it has ended. Only one that began behind the
 * watermark is: with records that came again, or that the broker had kept behind those. */
static int64_t gathers_until(const swi_windows *windows, const sw_window *window) {
    if (!window->began_late) return 0;
    place at = place_of(window);
    const swi_ghost *ghost = find_ghost(windows, &at);
    if (ghost != NULL && ghost->missing > 0) return ghost->since_ms + SWI_GATHER_MS;
    return window->has_returned ? 0 : window->touched_ms + SWI_LAG_MS;
}

static sw_window *ended_by_time(swi_windows *windows, int64_t now_ms) {
    if (windows->watermark < windows->least_end) return NULL;
    windows->least_end = INT64_MAX;
    for (sw_window *window = windows->first; window != NULL; window = window->next) {
        if (window->end <= windows->watermark && now_ms >= gathers_until(windows, window)) {
            windows->least_end = INT64_MIN; /* there may be more of them */
            return take_out(windows, window);
        }
        if (window->end < windows->least_end) windows->least_end = window->end;
    }
    return NULL;
}

sw_window *swi_windows_ended(swi_windows *windows, int64_t now_ms) {
    const sw_bounds *bounds = windows->bounds;
    if (windows->ghosts != NULL) drop_ghosts(windows, now_ms);
    if (windows->full != NULL) return take_out(windows, windows->full);
    if (windows->size > 0) return ended_by_time(windows, now_ms);
    if (bounds->seconds > 0 && windows->first != NULL &&
        (double)(now_ms - windows->first->began_ms) >= bounds->seconds * 1000)
        return take_out(windows, windows->first);
    return NULL;
}

sw_window *swi_windows_oldest(swi_windows *windows, bool for_room) {
    sw_window *window = windows->first;
    if (window == NULL) return NULL;
    take_out(windows, window);
    if (for_room) {
        window->is_complete = false;
        if (windows->size > 0) {
            place at = place_of(window);
            make_ghost(windows, &at)->part_gone = true;
        }
    }
    return window;
}

int64_t swi_windows_deadline(const swi_windows *windows) {
    const sw_bounds *bounds = windows->bounds;
    int64_t deadline = -1;
    if (windows->first == NULL) return -1;
    if (windows->size == 0) return bounds->seconds > 0 ? windows->first->began_ms + (int64_t)(bounds->seconds * 1000 + 0.999) : -1;
    for (sw_window *window = windows->first; window != NULL; window = window->next) {
        if (window->end > windows->watermark) continue;
        int64_t until = gathers_until(windows, window);
        if (deadline < 0 || until < deadline) deadline = until;
    }
    return deadline;
}

void swi_windows_idle(swi_windows *windows) {
    for (sw_window *window = windows->first; window != NULL; window = window->next) {
        if (window->end > windows->watermark) windows->watermark = window->end;
    }
}

/* ---- What is given back ---- */

void swi_windows_gave_back(swi_windows *windows, sw_record *record, int64_t now_ms) {
    place at;
    if (windows->size == 0 || sw_event_time(record) == 0) return;
    find_place(windows, record, &at);
    swi_ghost *ghost = make_ghost(windows, &at);
    ghost->missing++;
    ghost->since_ms = now_ms;
}

sw_record *swi_window_remove(swi_windows *windows, sw_window *window, size_t index) {
    sw_record *record = window->records[index];
    window->bytes -= record->payload.size;
    window->count--;
    memmove(window->records + index, window->records + index + 1, (window->count - index) * sizeof *window->records);
    if (window->count == 0) swi_window_free(take_out(windows, window));
    return record;
}

/* ---- For handlers ---- */

size_t sw_window_count(const sw_window *window) { return window->count; }
sw_record *sw_window_record(const sw_window *window, size_t index) {
    return index < window->count ? window->records[index] : NULL;
}
sw_bytes sw_window_key(const sw_window *window) {
    return window->key ? swi_bytes_of((swi_slice){window->key, window->key_size}) : (sw_bytes){NULL, 0};
}
int64_t sw_window_start(const sw_window *window) { return window->start; }
int64_t sw_window_end(const sw_window *window) { return window->end; }
bool sw_window_complete(const sw_window *window) { return window->is_complete; }
