/* Ids of records that were given back and have not come again. */
#ifndef SWI_IDSET_H
#define SWI_IDSET_H

#include "wire.h"

typedef struct swi_idset {
    struct swi_id **buckets;
    size_t bucket_count, count;
} swi_idset;

void swi_idset_add(swi_idset *set, swi_slice id); /* 16 bytes; others are not taken */
bool swi_idset_remove(swi_idset *set, swi_slice id); /* whether it was there */
void swi_idset_clear(swi_idset *set);

#endif
