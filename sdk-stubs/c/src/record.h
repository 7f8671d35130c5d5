/* A delivered record: slices of the frame that it came in. */
#ifndef SWI_RECORD_H
#define SWI_RECORD_H

#include "wire.h"

/* Names of runs, by their number (LI-3). */
typedef struct swi_runs swi_runs;

swi_runs *swi_runs_make(void);
void swi_runs_free(swi_runs *runs);
/* Takes copies; a number that is there already is left as it is. Any thread. */
void swi_runs_add(swi_runs *runs, uint32_t number, const char *stage, const char *version, const char *instance,
                  const char *language);
/* The number of a run with these names, from 1; it is added if there is none. 0: there are too many. */
uint32_t swi_runs_number(swi_runs *runs, const char *stage, const char *version, const char *instance, const char *language);

struct swi_decoded; /* a lineage once it was asked for */

struct sw_record {
    swi_slice lineage, header, payload;
    uint64_t id;    /* of the delivery */
    uint32_t attempt;
    uint32_t input; /* index, not number */
    const char *input_name;
    swi_runs *runs; /* NULL: no names */

    bool parsed; /* whether what follows was read from the header */
    uint32_t schema_version;
    int64_t event_time;
    swi_slice schema, key, content_type;

    struct swi_decoded *decoded;
    uint64_t mark; /* the last emission that named it as a parent */
};

/* Reads Record's fields; the slices point into `bytes`. False: malformed. Sets nothing but slices and `parsed`. */
bool swi_record_read(sw_record *record, swi_slice bytes);
/* Reads the header's fields, as far as they are well-formed, unless that was done. */
void swi_record_parse(sw_record *record);
/* Frees what was decoded. */
void swi_record_clear(sw_record *record);
/* A record with memory of its own; swi_record_free frees it. */
sw_record *swi_record_copy(const sw_record *record);
void swi_record_free(sw_record *record);

/* Reads the next attribute that has a value from a header: `*at` is where it stands. */
bool swi_next_attribute(const uint8_t **at, const uint8_t *end, sw_attribute *attribute);
/* The record's id in its lineage; empty when there is none. */
swi_slice swi_record_id(const sw_record *record);

/* The key for order and lanes. */
static inline swi_slice swi_record_key(sw_record *record) {
    if (!record->parsed) swi_record_parse(record);
    return record->key;
}

#endif
