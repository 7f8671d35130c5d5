/* A record as JSON: docs/RECORD_JSON.md. */
#ifndef SWI_RECORDJSON_H
#define SWI_RECORDJSON_H

#include "record.h"

/* Reads one record from a line. NULL: `wrong` says why, 256 bytes. The record has memory of its own; `runs`, which has to
 * outlive it, gets the names of its hops (NULL: they have none). */
sw_record *swi_record_from_json(sw_bytes line, swi_runs *runs, char wrong[256]);
/* Adds the bytes of a Lineage as the broker would have written it. `lineage`: an object. */
void swi_lineage_from_json(swi_buffer *to, sw_bytes lineage, swi_runs *runs);
/* A time of RFC 3339 or a whole number of microseconds since 1970; false: it is neither, and *time is unchanged. */
bool swi_json_to_time(sw_bytes value, int64_t *time);
/* Adds the record as one line without its end. `port`: NULL or an output's name. */
void swi_record_to_json(swi_buffer *to, sw_record *record, const char *port);

#endif
