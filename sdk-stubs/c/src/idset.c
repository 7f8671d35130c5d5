#include "idset.h"

#include <stdlib.h>

struct swi_id {
    struct swi_id *next;
    uint8_t bytes[16];
};

static size_t bucket_of(const swi_idset *set, const uint8_t *id) {
    uint64_t hash; /* ids are hashes themselves */
    memcpy(&hash, id, sizeof hash);
    return hash % set->bucket_count;
}

static void grow(swi_idset *set) {
    swi_idset old = *set;
    set->bucket_count = old.bucket_count > 0 ? old.bucket_count * 2 : 64;
    set->buckets = swi_allocate_zeroed(set->bucket_count, sizeof *set->buckets);
    for (size_t i = 0; i < old.bucket_count; i++) {
        for (struct swi_id *id = old.buckets[i], *next; id != NULL; id = next) {
            struct swi_id **bucket = &set->buckets[bucket_of(set, id->bytes)];
            next = id->next;
            id->next = *bucket;
            *bucket = id;
        }
    }
    free(old.buckets);
}

static struct swi_id **find(const swi_idset *set, swi_slice id) {
    struct swi_id **at = &set->buckets[bucket_of(set, id.data)];
    while (*at != NULL && memcmp((*at)->bytes, id.data, 16) != 0) at = &(*at)->next;
    return at;
}

void swi_idset_add(swi_idset *set, swi_slice id) {
    if (id.size != 16) return;
    if (set->count >= set->bucket_count) grow(set);
    struct swi_id **at = find(set, id);
    if (*at != NULL) return;
    *at = swi_allocate_zeroed(1, sizeof **at);
    memcpy((*at)->bytes, id.data, 16);
    set->count++;
}

bool swi_idset_remove(swi_idset *set, swi_slice id) {
    if (id.size != 16 || set->count == 0) return false;
    struct swi_id **at = find(set, id), *found = *at;
    if (found == NULL) return false;
    *at = found->next;
    free(found);
    set->count--;
    return true;
}

void swi_idset_clear(swi_idset *set) {
    for (size_t i = 0; i < set->bucket_count; i++) {
        for (struct swi_id *id = set->buckets[i], *next; id != NULL; id = next) {
            next = id->next;
            free(id);
        }
    }
    free(set->buckets);
    *set = (swi_idset){0};
}
