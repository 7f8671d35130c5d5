/* Stagewire for C: one function is a stage of a pipeline, the library keeps the protocol.
 *
 *   static void shout(sw_record *record, sw_emitter *out, void *user) { ... }
 *   int main(int argc, char **argv) { return sw_run(argc, argv, &(sw_stage){.transform = shout}); }
 *
 * Lifetimes. What a handler is given, and whatever it gets from that by the functions below, is valid until the handler
 * returns. What a handler hands over is copied before the call returns.
 * Texts are `sw_bytes`: not terminated by a NUL, and UTF-8 where docs/PROTOCOL.md says string.
 * Memory that cannot be had ends the process (abort).
 */
#ifndef STAGEWIRE_H
#define STAGEWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SW_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define SW_PRINTF(text, first)
#endif

typedef struct sw_record sw_record;       /* one delivered record */
typedef struct sw_emitter sw_emitter;     /* what becomes of the deliveries at hand: emissions and a verdict */
typedef struct sw_window sw_window;       /* the records of one window */
typedef struct sw_source sw_source;       /* a source's side of the connection */
typedef struct sw_partition sw_partition; /* a claimed partition of a source */
typedef struct sw_config sw_config;       /* the stage's configuration */

/* A piece of memory. `data` is NULL where there is no value; an empty value has a `data` that is not NULL. */
typedef struct sw_bytes {
    const char *data;
    size_t size; /* bytes */
} sw_bytes;

/* The bytes of a C string; NULL gives no value. */
sw_bytes sw_text(const char *text);

/* ---- Reading a record ---- */

sw_bytes sw_payload(const sw_record *record);       /* never NULL; may be empty */
sw_bytes sw_key(const sw_record *record);           /* at most 1,024 bytes; empty: no key */
sw_bytes sw_schema(const sw_record *record);        /* such as "sensor.raw"; empty: none */
uint32_t sw_schema_version(const sw_record *record);
sw_bytes sw_content_type(const sw_record *record);  /* such as "application/json"; empty: none */
int64_t sw_event_time(const sw_record *record);     /* microseconds since 1970-01-01T00:00:00Z; 0: not known */
uint32_t sw_attempt(const sw_record *record);       /* of this delivery, from 1 */
const char *sw_input(const sw_record *record);      /* what it was read from, "stage" or "stage.port" */

typedef enum sw_attribute_kind { SW_TEXT = 1, SW_INTEGER, SW_NUMBER, SW_FLAG } sw_attribute_kind;

/* A named scalar of a record's header; `kind` says which of the others counts. */
typedef struct sw_attribute {
    sw_bytes name;
    sw_attribute_kind kind;
    sw_bytes text;
    int64_t integer;
    double number;
    bool flag;
} sw_attribute;

/* Finds an attribute by name, the first if there are several; false: there is none, `*value` is unchanged. */
bool sw_find_attribute(const sw_record *record, const char *name, sw_attribute *value);
/* The attribute at `index`, from 0, of at most 64; false: there are not so many. Those without a value are left out. */
bool sw_attribute_at(const sw_record *record, size_t index, sw_attribute *value);

/* One stage's part in a record. Names are "" while the broker has not announced them. */
typedef struct sw_hop {
    const char *stage, *version, *instance, *language;
    int64_t time;     /* microseconds since 1970 at which the stage emitted */
    uint32_t attempt; /* of the delivery that led to it, from 1 */
} sw_hop;

/* Where a record comes from, as the broker wrote it. Ids are 16 bytes each. */
typedef struct sw_lineage {
    uint8_t id[16], root[16];
    const uint8_t (*parents)[16]; /* at most 16 */
    size_t parent_count;
    bool parents_truncated; /* there were more */
    sw_bytes traceparent, tracestate;
    int64_t ingest_time; /* microseconds since 1970 at which the root entered the broker */
    const sw_hop *hops;  /* oldest first, at most 64 */
    size_t hop_count;
} sw_lineage;

/* Decoded at the first call for a record; never NULL. */
const sw_lineage *sw_record_lineage(sw_record *record);

/* ---- What a handler gives ---- */

/* What to emit. Zero stands for "none", or, with `base`, for what that record has.
 *
 *   sw_emit(out, &(sw_output){.base = record});                                 a copy
 *   sw_emit(out, &(sw_output){.base = record, .payload = sw_text("21.5")});     the same header, another payload
 */
typedef struct sw_output {
    const sw_record *base; /* where header and payload come from unless they are named below; may be NULL */
    const char *port;      /* an output's name; NULL: the first one */
    sw_bytes payload, key, schema, content_type;
    uint32_t schema_version;
    int64_t event_time; /* microseconds since 1970 */
    const sw_attribute *attributes; /* they come in front of those of `base`, and so replace them by name */
    size_t attribute_count;
    sw_record *const *parents; /* windows and batches: the records it descends from; NULL: all accepted ones */
    size_t parent_count;
    sw_bytes traceparent, tracestate; /* sources only: W3C Trace Context, at most 64 and 512 bytes */
} sw_output;

/* Emits one record, as part of the step that settles what the handler was given. An output that the pipeline cannot
 * take (too large, not UTF-8, no such port) makes the outcome a rejection that says so; in a source, sw_commit fails. */
void sw_emit(sw_emitter *out, const sw_output *output);

/* Verdicts. Without one the deliveries are accepted. The last one counts, and discards what was emitted. */

/* Will never work: a dead letter. Your codes begin at 1000. Text is cut at 8,192 bytes. */
void sw_reject(sw_emitter *out, uint32_t code, const char *format, ...) SW_PRINTF(3, 4);
/* Rejects one record of a batch or window; the others go on. */
void sw_reject_one(sw_emitter *out, const sw_record *record, uint32_t code, const char *format, ...) SW_PRINTF(4, 5);
/* Again, one attempt more, not before `seconds` (0: the pipeline's backoff) have passed. */
void sw_retry(sw_emitter *out, double seconds, const char *format, ...) SW_PRINTF(3, 4);
/* As sw_retry with an error code of your own; `indefinite`: the effect may have happened. */
void sw_retry_with(sw_emitter *out, double seconds, uint32_t code, bool indefinite, const char *format, ...)
    SW_PRINTF(5, 6);
/* Untouched: the same attempt, elsewhere or a little later. */
void sw_release(sw_emitter *out);
/* What an exception is elsewhere: a retry with code 1000, and the text goes to standard error. */
void sw_fail(sw_emitter *out, const char *format, ...) SW_PRINTF(2, 3);

/* Has `action(context, true)` called once the broker has confirmed that this record's settlement is durable (in a
 * pipeline with `durability: memory`: applied): the record will not come again, and what it stands for may be deleted.
 * `action(context, false)` says that this will not be heard of: the record was not accepted, the broker refused what was
 * emitted, the session has ended, or there is no broker (--test). It is called exactly once, so that it may free
 * `context`. Actions are called one at a time, those that are confirmed in the order of deliveries, mostly on a thread of their own. */
void sw_on_confirmed(sw_emitter *out, const sw_record *record, void (*action)(void *context, bool is_confirmed), void *context);

/* Memory that lives until the handler returns (sources: until sw_commit), aligned for any type. */
void *sw_alloc(sw_emitter *out, size_t size);
/* A formatted text in such memory. A NUL stands behind it. */
sw_bytes sw_format(sw_emitter *out, const char *format, ...) SW_PRINTF(2, 3);

/* ---- Windows ---- */

/* When a window ends: at the first of `records`, `bytes` and `seconds` that is reached (0: no such bound), or, with
 * `size`, by event time, which stands alone. */
typedef struct sw_bounds {
    size_t records;
    size_t bytes;    /* of payloads: the window ends before they are more */
    double seconds;  /* after its first record arrived */
    double size;     /* seconds of event time, aligned to 1970-01-01T00:00:00Z */
    double lateness; /* seconds that the watermark stays behind the latest event time */
    double idle;     /* seconds without a record after which every window ends; 0: 10; SW_NEVER */
    bool accept_late; /* filter late records out in place of rejecting them (code 1000) */
    bool by_key;     /* a window for each key in place of one for all */
} sw_bounds;

#define SW_NEVER (-1.0)

size_t sw_window_count(const sw_window *window);
sw_record *sw_window_record(const sw_window *window, size_t index);
sw_bytes sw_window_key(const sw_window *window);  /* no value without `by_key` */
int64_t sw_window_start(const sw_window *window); /* by event time: microseconds since 1970; else 0 */
int64_t sw_window_end(const sw_window *window);
bool sw_window_complete(const sw_window *window); /* false: it ended early for want of room, this is a part of it */

/* ---- Sources ---- */

/* Takes a partition (name of 1 to 255 bytes) of this stage; waits for the broker. The partition is the library's. NULL:
 * the source is to stop. A partition of another worker is taken from it, which ends that worker. */
sw_partition *sw_claim(sw_source *source, const char *name);
/* Where to go on: the checkpoint of the last step, this worker's or an earlier one's; empty in the beginning. Valid until the
 * next sw_commit. */
sw_bytes sw_checkpoint(const sw_partition *partition);
/* Where the next step's emissions go. */
sw_emitter *sw_step(sw_partition *partition);

/* Sends what was emitted to sw_step and where to go on behind it (at most 65,536 bytes): both are kept, or neither.
 * Waits while the pipeline has no room. What the broker has not confirmed is sent again after a reconnect.
 * Returns 0; SW_STOPPED: the source is to stop and nothing was sent; SW_REFUSED: the step is larger than the pipeline
 * allows or an output is invalid, a sentence was written to standard error, and nothing was sent. */
int sw_commit(sw_partition *partition, const void *checkpoint, size_t size);
/* No more records will come. When the handler returns 0 this is done for every partition. */
void sw_finish(sw_partition *partition);

/* Waits; false at once when the source is to stop. */
bool sw_sleep(sw_source *source, double seconds);
/* Whether the source is to stop. */
bool sw_stopping(const sw_source *source);
/* This worker's name among those of its stage. */
const char *sw_instance(const sw_source *source);

enum { SW_STOPPED = 1, SW_REFUSED = 2 };

/* ---- Configuration ---- */

/* The stage's `config` as JSON. Whoever reads it by this function checks its names himself. */
sw_bytes sw_config_json(sw_config *config);
/* A value by its path, such as "limits[1].above"; `otherwise` when it is absent or null. A value of another type ends
 * the worker, after `setup`, with exit code 2 and a sentence such as "config.threshold: expected a number, got a string".
 * So does a name that none of these functions asked for. */
double sw_config_number(sw_config *config, const char *path, double otherwise);
int64_t sw_config_integer(sw_config *config, const char *path, int64_t otherwise);
bool sw_config_flag(sw_config *config, const char *path, bool otherwise);
/* Valid as long as the process. */
const char *sw_config_string(sw_config *config, const char *path, const char *otherwise);
/* The number of elements of a list; 0 when it is absent. */
size_t sw_config_count(sw_config *config, const char *path);
/* Whether it is there. */
bool sw_config_has(sw_config *config, const char *path);
/* Says that it has to be there. */
void sw_config_require(sw_config *config, const char *path);
/* Refuses the configuration: "config.<path>: <text>". */
void sw_config_wrong(sw_config *config, const char *path, const char *format, ...) SW_PRINTF(3, 4);

/* A value of a JSON text, such as a payload, by its path ("" is all of it). False: the text is not JSON, or has no such
 * value of that type there. */
bool sw_json_number(sw_bytes json, const char *path, double *value);
bool sw_json_integer(sw_bytes json, const char *path, int64_t *value);
bool sw_json_string(sw_bytes json, const char *path, sw_emitter *memory, sw_bytes *value);

/* ---- A stage ---- */

/* Exactly one of the five handlers is set. Zero is the default everywhere. */
typedef struct sw_stage {
    void (*transform)(sw_record *record, sw_emitter *out, void *user);
    void (*sink)(sw_record *record, sw_emitter *out, void *user); /* may give verdicts, cannot emit */
    void (*batch_sink)(sw_record **records, size_t count, sw_emitter *out, void *user);
    void (*window)(sw_window *window, sw_emitter *out, void *user);
    int (*source)(sw_source *source, void *user); /* 0: done, every partition is finished; else: it failed */

    const char *name;    /* the stage, for a worker whose environment has no STAGEWIRE_STAGE */
    const char *version; /* the author's own, shown in lineage; at most 128 bytes */
    void *user;          /* handed to the handler, unless there is a `setup` */
    void *(*setup)(sw_config *config); /* called once, before the first handler; what it returns is handed to handlers */
    void (*teardown)(void *user);      /* called at the end, unless a handler does not return */

    sw_bounds bounds;   /* window; `setup` may still set them, in a sw_stage that is not const */
    unsigned workers;   /* transform and sink: handlers at once, in threads; 0: 1; at most 256. One key's records stay in order */
    size_t batch_limit; /* batch_sink: most records in one call; 0: 1,000 */
    double timeout;     /* seconds that a handler may take; 0: 300; SW_NEVER: no limit. Then the broker takes the record back */
    uint64_t max_frame; /* bytes of the largest frame that the worker takes, for a large `max_record`; 0: 4 MiB */
} sw_stage;

/* Runs the stage until the broker is done with it, a signal ends it, or, with `--test`, until the file ends. To be called
 * once, from `main`, before the program starts threads. Returns the exit code:
 *   0  the broker is done with this worker, or a signal (SIGTERM, without a host SIGINT too) ended it cleanly
 *   1  the broker that started it is gone, or a source failed; --test: not all records were accepted
 *   2  trying again, unchanged, makes no sense: the reason is on standard error */
int sw_run(int argc, char **argv, const sw_stage *stage);

#ifdef __cplusplus
}
#endif
#endif
