/* A record as JSON: docs/RECORD_JSON.md. */
#ifndef SWI_RECORDJSON_H
#define SWI_RECORDJSON_H

#include "record.h"

/* Reads one record from a line. NULL: `wrong` says why, 256 bytes. The record has memory of its own. */
sw_record *swi_record_from_json(sw_bytes line, char wrong[256]);
/* Adds the record as one line without its end. `port`: NULL or an output's name. */
void swi_record_to_json(swi_buffer *to, sw_record *record, const char *port);

#endif
