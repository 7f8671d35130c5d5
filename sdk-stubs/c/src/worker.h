/* A worker: the process's one connection to its broker, and what is known of it.
 *
 * Two threads. The *link* (link.c) connects, reads frames, answers Ping, keeps the lease and reconnects; it never runs
 * the author's code and never waits for it while a session lives. The *handler's* thread is main: it takes events from the inbox in the order
 * in which they came, runs handlers and settles. With several workers() handlers run in threads of a pool (pool.c).
 *
 * Locks, in the order in which they may be taken: settler.mutex, worker.mutex, session.writing.
 */
#ifndef SWI_WORKER_H
#define SWI_WORKER_H

#include "emitter.h"
#include "frame.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct swi_input {
    uint32_t number;
    char *name; /* "stage" or "stage.port" */
    int ordering;
    uint64_t max_records, max_bytes;             /* held at once, at most */
    uint64_t taken_records, taken_bytes;         /* what has left the inbox: handler's thread */
    _Atomic uint64_t granted_records, granted_bytes;
    uint64_t received_records, received_bytes;   /* link */
} swi_input;

/* One connection, from Welcome to its end. */
typedef struct swi_session {
    int fd;
    uint32_t version, lease_ms;
    swi_limits limits;
    swi_input *inputs;
    size_t input_count;
    uint64_t window_records, window_bytes; /* what we let the broker send ahead, per input */
    swi_runs *runs;

    pthread_mutex_t writing;
    bool closed;            /* under `writing`: our Close is written, nothing may follow */
    atomic_bool over;       /* no use writing: the broker has closed, or the connection is gone */
    atomic_bool closing;    /* our Close is written */
    _Atomic uint64_t delivered, settled; /* deliveries, counted */
    _Atomic int64_t progress_ms; /* when the lease began anew by what we sent */
} swi_session;

/* A handler's call, for the link to see how long it takes: odd while it runs. */
typedef struct swi_call {
    _Atomic uint64_t sequence;
} swi_call;

typedef struct swi_worker swi_worker;
struct swi_settler;
struct swi_confirmations;
struct swi_producer;

struct swi_worker {
    const sw_stage *stage;
    const char *needs_feature; /* required in Hello, or NULL */
    bool is_source;
    char *socket, *stage_name, *instance;
    uint8_t token[256];
    size_t token_size;
    bool spawned; /* the broker's host started this process */
    int64_t timeout_ms; /* of a handler; 0: none */

    pthread_t link;
    int wake[2]; /* a pipe: signals and threads wake the link */

    pthread_mutex_t mutex; /* guards what follows, up to the blank line */
    pthread_cond_t changed;
    swi_session *session; /* NULL: not connected */
    swi_item *first, *last; /* the inbox */
    swi_item *recycled;
    size_t recycled_count;
    char *config; /* of the first Welcome; NULL before */
    char *given_instance;
    bool finished; /* the link has ended; exit_code is final */
    bool idle;     /* the handler's thread has let go of the session that is over */
    bool done;     /* a source: everything is sent, leave when it is committed */
    int exit_code;

    atomic_bool stopping; /* a signal or Drain SHUTDOWN of a source: begin nothing new */
    _Atomic int64_t stopped_ms; /* when */
    atomic_int own_exit;  /* our Close's exit code */
    swi_call *calls; /* one for each thread that runs handlers */
    size_t call_count;
    struct swi_settler *settler;   /* NULL for sources */
    struct swi_confirmations *confirmations; /* the same */
    struct swi_producer *producer; /* NULL for others */
};

int64_t swi_now_ms(void); /* monotonic */

/* ---- run.c ---- */

swi_worker *swi_worker_make(const sw_stage *stage); /* NULL: a sentence was written */
void swi_worker_free(swi_worker *worker);

/* ---- link.c ---- */

void *swi_link_run(void *worker);
void swi_wake(swi_worker *worker, char reason);
/* Takes the next event; waits until `deadline_ms` (-1: for ever). NULL: none came, or the link has ended. */
swi_item *swi_take(swi_worker *worker, int64_t deadline_ms);
bool swi_has_more(swi_worker *worker);
bool swi_has_finished(swi_worker *worker); /* the link has ended */
void swi_recycle(swi_worker *worker, swi_item *item);
/* Counts a Deliver as taken and grants anew when half of the window is free (CR-6). */
void swi_taken(swi_worker *worker, swi_session *session, swi_item *item);
/* Tells the link that nothing uses the session that is over any more. */
void swi_let_go(swi_worker *worker);

/* ---- session.c ---- */

/* Writes whole frames; false when the session is over. Any thread. */
bool swi_write(swi_session *session, const void *data, size_t size);
/* Writes a Close; the process is to end with `exit_code`. Later frames of ours are not written. */
void swi_close(swi_worker *worker, swi_session *session, uint32_t code, int exit_code, const char *format, ...)
    SW_PRINTF(5, 6);
bool swi_grant(swi_session *session, swi_input *input);
bool swi_extend(swi_session *session);
bool swi_pong(swi_session *session, uint64_t nonce);
size_t swi_put_ping(uint8_t *at, uint32_t version, uint64_t nonce); /* at most 32 bytes */
void swi_session_free(swi_session *session);

/* ---- handshake.c ---- */

typedef enum swi_outcome {
    SWI_CONNECTED,
    SWI_GONE,      /* nobody there, or EOF */
    SWI_CLOSED,    /* by a Close with `*code` */
    SWI_HOPELESS,  /* a sentence was written */
} swi_outcome;

/* Connects and greets. */
swi_outcome swi_connect(swi_worker *worker, swi_frames *frames, swi_session **session, uint32_t *code);

/* ---- report.c ---- */

/* A sentence on standard error, control characters escaped. */
void swi_say(const char *format, ...) SW_PRINTF(1, 2);

/* RFC 3339 in UTC with six fractional digits, or the number of microseconds outside of the years 1 to 9999; at most 31 bytes. */
void swi_format_time(int64_t microseconds, char text[32]);

/* ---- kinds of stages: each runs until the link has ended ---- */

void swi_consume(swi_worker *worker, void *user);
void swi_consume_windows(swi_worker *worker, void *user);
void swi_consume_pool(swi_worker *worker, void *user);
int swi_produce(swi_worker *worker, void *user);

#endif
