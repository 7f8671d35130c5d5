/* The numbers of docs/PROTOCOL.md: codes, limits, kinds. */
#ifndef SWI_CODES_H
#define SWI_CODES_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SWI_VERSION = 1000,
    SWI_MAJOR = 1,
    SWI_HANDSHAKE_FRAME = 16 * 1024,
    SWI_DEFAULT_FRAME = 4 * 1024 * 1024,
    SWI_CONTROL_ALLOWANCE = 256 * 1024, /* LM-4 */
    SWI_HEADER = 16 * 1024,
    SWI_KEY = 1024,
    SWI_ATTRIBUTES = 64,
    SWI_PARTITION = 255,
    SWI_TEXT_LIMIT = 8 * 1024,
    SWI_CHECKPOINT = 64 * 1024,
    SWI_TRACEPARENT = 64,
    SWI_TRACESTATE = 512,
    SWI_ENTRIES = 262144,
    SWI_CLOSE_WAIT_MS = 5000, /* EN-1 */
};

enum {
    SWI_MALFORMED_FRAME = 100,
    SWI_FRAME_TOO_LARGE = 101,
    SWI_UNSUPPORTED_VERSION = 102,
    SWI_CREDIT_EXCEEDED = 203,
    SWI_UNKNOWN_PORT = 204,
    SWI_SHUTTING_DOWN = 211,
    SWI_DRAIN_DEADLINE = 212,
    SWI_OUTPUT_TOO_LARGE = 304,
    SWI_STEP_TOO_LARGE = 305,
    SWI_INVALID_OUTPUT = 306,
    SWI_APPLICATION = 1000, /* the first of the author's */
};

/* OutcomeKind */
typedef enum swi_kind { SWI_ACCEPTED = 1, SWI_REJECTED = 2, SWI_RETRY = 3, SWI_RELEASED = 4 } swi_kind;

/* Ordering */
enum { SWI_ORDER_KEY = 1, SWI_ORDER_NONE = 2, SWI_ORDER_TOTAL = 3 };

/* Whether connecting again can help after a Close with this code (ER-3: unknown ones are not). */
static inline bool swi_is_retryable(uint32_t code) {
    return code == 104 || code == 105 || code == 110 || code == 201 || code == 202 || code == 207 ||
           code == SWI_SHUTTING_DOWN || code == SWI_DRAIN_DEADLINE;
}

#endif
