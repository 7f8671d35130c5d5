#include "lanes.h"

#include <stdlib.h>

static uint32_t hash_of(uint32_t input, swi_slice key) { /* FNV-1a */
    uint32_t hash = 2166136261u ^ input;
    for (size_t i = 0; i < key.size; i++) hash = (hash ^ key.data[i]) * 16777619u;
    return hash;
}

bool swi_has_lane(const swi_session *session, sw_record *record, swi_slice *key) {
    *key = (swi_slice){0};
    switch (session->inputs[record->input].ordering) {
    case SWI_ORDER_NONE: return false;
    case SWI_ORDER_KEY: *key = swi_record_key(record); return key->size > 0;
    default: return true;
    }
}

static void grow(swi_lanes *lanes) {
    size_t count = lanes->bucket_count > 0 ? lanes->bucket_count * 2 : 64;
    swi_lane **buckets = swi_allocate_zeroed(count, sizeof *buckets);
    for (size_t i = 0; i < lanes->bucket_count; i++) {
        for (swi_lane *lane = lanes->buckets[i], *next; lane != NULL; lane = next) {
            next = lane->next;
            lane->next = buckets[lane->hash % count];
            buckets[lane->hash % count] = lane;
        }
    }
    free(lanes->buckets);
    lanes->buckets = buckets;
    lanes->bucket_count = count;
}

swi_lane *swi_lane_of(swi_lanes *lanes, const swi_session *session, sw_record *record, bool make) {
    swi_slice key;
    if (!swi_has_lane(session, record, &key)) return NULL;
    uint32_t hash = hash_of(record->input, key);
    if (lanes->bucket_count > 0) {
        for (swi_lane *lane = lanes->buckets[hash % lanes->bucket_count]; lane != NULL; lane = lane->next) {
            if (lane->input == record->input && swi_equal((swi_slice){lane->key, lane->size}, key)) return lane;
        }
    }
    if (!make) return NULL;
    if (lanes->count >= lanes->bucket_count) grow(lanes);
    swi_lane *lane = swi_allocate(sizeof *lane + key.size);
    *lane = (swi_lane){.input = record->input, .hash = hash, .size = key.size};
    if (key.size > 0) memcpy(lane->key, key.data, key.size);
    lane->next = lanes->buckets[hash % lanes->bucket_count];
    lanes->buckets[hash % lanes->bucket_count] = lane;
    lanes->count++;
    return lane;
}

void swi_lane_close(swi_lanes *lanes, const swi_session *session, sw_record *record, uint64_t nonce) {
    swi_lane *lane = swi_lane_of(lanes, session, record, true);
    if (lane == NULL) return;
    if (lane->closed_until == 0) lanes->closed++;
    if (lane->closed_until == 0 || record->id < lane->from) lane->from = record->id;
    lane->closed_until = nonce;
}

void swi_lane_drop(swi_lanes *lanes, swi_lane *lane) {
    if (lane->closed_until > 0 || lane->first != NULL) return;
    swi_lane **at = &lanes->buckets[lane->hash % lanes->bucket_count];
    while (*at != lane) at = &(*at)->next;
    *at = lane->next;
    lanes->count--;
    free(lane);
}

void swi_lanes_pong(swi_lanes *lanes, uint64_t nonce) {
    for (size_t i = 0; lanes->closed > 0 && i < lanes->bucket_count; i++) {
        for (swi_lane *lane = lanes->buckets[i], *next; lane != NULL; lane = next) {
            next = lane->next;
            if (lane->closed_until == 0 || lane->closed_until > nonce) continue;
            lane->closed_until = 0;
            lanes->closed--;
            swi_lane_drop(lanes, lane);
        }
    }
}

void swi_lanes_clear(swi_lanes *lanes) {
    for (size_t i = 0; i < lanes->bucket_count; i++) {
        for (swi_lane *lane = lanes->buckets[i], *next; lane != NULL; lane = next) {
            next = lane->next;
            free(lane);
        }
    }
    free(lanes->buckets);
    *lanes = (swi_lanes){0};
}
