/* The thread that reads: it answers Ping, keeps the lease, counts credit, and attaches again. */
#include "worker.h"

#include "stagewire/v1/envelope.pb-c.h"

#include "confirm.h"
#include "produce.h"
#include "settle.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_MS = 20,          /* while deliveries are held: how long a finished outcome waits behind a slow handler */
    GRACE_MS = 5000,       /* for a handler, when the process is to end */
    FIRST_PAUSE_MS = 100,  /* between attempts to attach */
    LONGEST_PAUSE_MS = 10000,
    SAY_EVERY_MS = 60000,
};

/* How a session ended. */
typedef enum end_kind { ONGOING, END_EOF, END_CLOSE, END_OWN } end_kind;

typedef struct link {
    swi_worker *worker;
    swi_session *session;
    swi_frames frames;
    uint32_t close_code; /* END_CLOSE */
    int64_t closing_since; /* our Close was seen written; 0: not */
    struct watch {
        uint64_t sequence;
        int64_t since;
    } *watches; /* of worker->calls */
} link_state;

/* ---- The inbox ---- */

static void push(swi_worker *worker, swi_item *item) {
    pthread_mutex_lock(&worker->mutex);
    item->next = NULL;
    if (worker->last != NULL) worker->last->next = item;
    else worker->first = item;
    worker->last = item;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
}

static void push_event(swi_worker *worker, swi_event event, uint64_t value) {
    swi_item *item = swi_item_make(event, 0);
    item->value = value;
    push(worker, item);
}

static void broadcast(swi_worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
}

void swi_wake(swi_worker *worker, char reason) {
    ssize_t ignored = write(worker->wake[1], &reason, 1); /* full: it is awake anyhow */
    (void)ignored;
}

static void stop(swi_worker *worker) {
    if (atomic_exchange(&worker->stopping, true)) return;
    atomic_store(&worker->stopped_ms, swi_now_ms());
    if (!worker->is_source) push_event(worker, SWI_STOP, 0);
    broadcast(worker);
}

/* Reads why it was woken; true: by a signal. */
static bool read_wake(swi_worker *worker) {
    char reasons[64];
    bool by_signal = false;
    ssize_t count = read(worker->wake[0], reasons, sizeof reasons);
    for (ssize_t i = 0; i < count; i++) by_signal |= reasons[i] == 's';
    return by_signal;
}

/* ---- Frames ---- */

static end_kind malformed(link_state *state, const char *what) {
    swi_close(state->worker, state->session, SWI_MALFORMED_FRAME, 2, "the broker sent a malformed %s", what);
    return ONGOING;
}

/* Checks a Deliver and hands it on; the item is then no longer ours. */
static end_kind deliver(link_state *state, swi_item *item, swi_slice message) {
    swi_session *session = state->session;
    uint32_t index = 0;
    if (!swi_read_deliver(item, message)) {
        swi_frames_recycle(&state->frames, item);
        return malformed(state, "Deliver");
    }
    while (index < session->input_count && session->inputs[index].number != item->input) index++;
    if (index == session->input_count) {
        swi_close(state->worker, session, SWI_UNKNOWN_PORT, 2, "the broker delivered on input %u, which Welcome does not have",
                  item->input);
        swi_frames_recycle(&state->frames, item);
        return ONGOING;
    }
    swi_input *input = &session->inputs[index];
    item->input = index;
    input->received_records += item->count;
    input->received_bytes += item->bytes;
    if (input->received_records > atomic_load(&input->granted_records) ||
        input->received_bytes > atomic_load(&input->granted_bytes)) {
        swi_close(state->worker, session, SWI_CREDIT_EXCEEDED, 2, "the broker delivered more than it was granted");
        swi_frames_recycle(&state->frames, item);
        return ONGOING;
    }
    if (atomic_fetch_add(&session->delivered, item->count) == atomic_load(&session->settled))
        atomic_store(&session->progress_ms, swi_now_ms()); /* the lease starts with the first held delivery */
    push(state->worker, item);
    if (state->frames.spare == NULL) {
        swi_worker *worker = state->worker;
        pthread_mutex_lock(&worker->mutex);
        if ((state->frames.spare = worker->recycled) != NULL) {
            worker->recycled = worker->recycled->next;
            worker->recycled_count--;
        }
        pthread_mutex_unlock(&worker->mutex);
    }
    return ONGOING;
}

static void raise_to(_Atomic uint64_t *limit, uint64_t value) {
    if (value > atomic_load(limit)) atomic_store(limit, value); /* CR-2; only the link writes */
}

static void credit(link_state *state, const Stagewire__V1__Credit *message) {
    swi_limits *limits = &state->session->limits;
    if (state->worker->is_source) swi_producer_credit(state->worker, message);
    for (size_t i = 0; i < limits->output_count; i++) {
        if (limits->outputs[i].number != message->number) continue;
        raise_to(&limits->outputs[i].limit_records, message->records);
        raise_to(&limits->outputs[i].limit_bytes, message->bytes);
        broadcast(state->worker);
        return;
    }
    swi_close(state->worker, state->session, SWI_UNKNOWN_PORT, 2, "the broker gave credit for output %u, which Welcome does not have",
              message->number);
}

static void drain(link_state *state, const Stagewire__V1__Drain *message) {
    swi_worker *worker = state->worker;
    bool is_shutdown = message->reason != STAGEWIRE__V1__DRAIN_REASON__DRAIN_REASON_INPUT_ENDED;
    if (!worker->is_source) push_event(worker, SWI_DRAIN, is_shutdown);
    else if (is_shutdown) stop(worker);
}

static void runs(link_state *state, const Stagewire__V1__Runs *message) {
    for (size_t i = 0; i < message->n_runs; i++) {
        const Stagewire__V1__Run *run = message->runs[i];
        swi_runs_add(state->session->runs, run->number, run->stage, run->version, run->instance, run->language);
    }
}

/* What the handler had accepted and the broker refused is a dead letter: nobody else here learns of it. */
static void settled(swi_worker *worker, const Stagewire__V1__Settled *message) {
    for (size_t i = 0; i < message->n_refused; i++) {
        const Stagewire__V1__Refusal *refusal = message->refused[i];
        swi_say("the broker refused what delivery %llu emitted, which is a dead letter now: %s (%u)",
                (unsigned long long)refusal->id, refusal->error ? refusal->error->message : "",
                refusal->error ? (unsigned)refusal->error->code : 0u);
    }
    swi_confirm(worker->confirmations, message);
}

/* A message of low rate, read by libprotobuf-c. */
static end_kind control(link_state *state, const Stagewire__V1__Envelope *envelope) {
    swi_worker *worker = state->worker;
    switch (envelope->message_case) {
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_CLOSE:
        state->close_code = envelope->close->code;
        if (state->close_code != 0 && !atomic_load(&state->session->closing)) swi_say("%s", envelope->close->message);
        return END_CLOSE;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_PING: swi_pong(state->session, envelope->ping->nonce); break;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_PONG:
        if (!worker->is_source) push_event(worker, SWI_PONG, envelope->pong->nonce);
        break;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_CREDIT: credit(state, envelope->credit); break;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_COMMITTED:
        if (worker->is_source) swi_committed(worker, envelope->committed);
        break;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_CLAIMED:
        if (worker->is_source) swi_claimed(worker, envelope->claimed);
        break;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_SETTLED:
        if (!worker->is_source) settled(worker, envelope->settled);
        break;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_DRAIN: drain(state, envelope->drain); break;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_RUNS: runs(state, envelope->runs); break;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE__NOT_SET: break; /* FR-3 */
    default:
        swi_close(worker, state->session, 107, 2, "the broker sent a message that is not the broker's to send");
    }
    return ONGOING;
}

/* One frame; takes the item. */
static end_kind frame(link_state *state, swi_item *item) {
    uint32_t version, kind;
    swi_slice message;
    end_kind end = ONGOING;
    if (!swi_read_envelope((swi_slice){item->frame, item->size}, &version, &kind, &message)) {
        end = malformed(state, "Envelope");
    } else if (version / 1000 != SWI_MAJOR && kind != SWI_M_CLOSE) { /* VR-2 */
        swi_close(state->worker, state->session, SWI_UNSUPPORTED_VERSION, 2, "the broker sent a frame of protocol version %u", version);
    } else if (kind == SWI_M_DELIVER) {
        return deliver(state, item, message);
    } else if (kind != 0) {
        Stagewire__V1__Envelope *envelope = stagewire__v1__envelope__unpack(NULL, item->size, item->frame);
        end = envelope ? control(state, envelope) : malformed(state, "message");
        if (envelope != NULL) stagewire__v1__envelope__free_unpacked(envelope, NULL);
    }
    swi_frames_recycle(&state->frames, item);
    return end;
}

/* Handles the frames that are there. */
static end_kind take_frames(link_state *state) {
    swi_item *item;
    for (;;) {
        swi_frame_status status = swi_frames_next(&state->frames, &item);
        if (status == SWI_NEED_MORE) return ONGOING;
        if (status == SWI_LARGE_FRAME)
            swi_close(state->worker, state->session, SWI_FRAME_TOO_LARGE, 2, "the broker sent a frame above the limit of %llu bytes",
                      (unsigned long long)state->frames.limit);
        if (status == SWI_EMPTY_FRAME) malformed(state, "frame: its length is 0");
        if (status != SWI_FRAME) return ONGOING;
        end_kind end = frame(state, item);
        if (end != ONGOING || atomic_load(&state->session->closing)) return end;
    }
}

static end_kind receive(link_state *state) {
    size_t room;
    uint8_t *at = swi_frames_room(&state->frames, &room);
    bool is_closing = atomic_load(&state->session->closing);
    if (is_closing) { /* EN-1: reads and discards */
        at = state->frames.staging;
        room = sizeof state->frames.staging;
    }
    ssize_t got = recv(state->session->fd, at, room, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return ONGOING;
    if (got <= 0) return is_closing ? END_OWN : END_EOF;
    if (is_closing) return ONGOING;
    swi_frames_filled(&state->frames, (size_t)got);
    return take_frames(state);
}

/* ---- Time ---- */

/* How long the longest call that runs now has been running, in ms, as far as ticks have seen; -1: none does. */
static int64_t longest_call(link_state *state) {
    int64_t now = swi_now_ms(), longest = -1;
    for (size_t i = 0; i < state->worker->call_count; i++) {
        uint64_t sequence = atomic_load_explicit(&state->worker->calls[i].sequence, memory_order_relaxed);
        if (sequence != state->watches[i].sequence) {
            state->watches[i].sequence = sequence;
            state->watches[i].since = now;
        }
        if (sequence % 2 == 1 && now - state->watches[i].since > longest) longest = now - state->watches[i].since;
    }
    return longest;
}

static bool is_overdue(link_state *state) {
    return state->worker->timeout_ms > 0 && longest_call(state) > state->worker->timeout_ms;
}

/* What has to be done while deliveries are held; returns when to come again, in ms, -1: at the next frame. */
static int tick(link_state *state) {
    swi_session *session = state->session;
    int lease_third = (int)(session->lease_ms / 3) > 0 ? (int)(session->lease_ms / 3) : 1;
    if (atomic_load(&session->closing)) return TICK_MS;
    if (state->worker->is_source) return atomic_load(&state->worker->stopping) ? TICK_MS : -1;
    if (atomic_load(&session->delivered) == atomic_load(&session->settled)) {
        longest_call(state);
        return -1;
    }
    swi_settler_try_flush(state->worker->settler);
    int64_t since = swi_now_ms() - atomic_load(&session->progress_ms);
    if (!is_overdue(state) && since >= lease_third) swi_extend(session);
    return lease_third / 2 < TICK_MS ? (lease_third / 2 > 0 ? lease_third / 2 : 1) : TICK_MS;
}

/* A source that does not come back when it is to stop is left alone once everything is committed. */
static void leave_source(link_state *state) {
    swi_worker *worker = state->worker;
    if (!worker->is_source || !atomic_load(&worker->stopping) || atomic_load(&state->session->closing)) return;
    if (swi_now_ms() - atomic_load(&worker->stopped_ms) >= GRACE_MS && swi_is_committed(worker))
        swi_close(worker, state->session, 0, 0, "stopped");
}

static end_kind read_session(link_state *state) {
    swi_worker *worker = state->worker;
    end_kind end = take_frames(state); /* what came with Welcome */
    while (end == ONGOING) {
        struct pollfd ready[2] = {{state->session->fd, POLLIN, 0}, {worker->wake[0], POLLIN, 0}};
        poll(ready, 2, tick(state));
        if (ready[1].revents != 0 && read_wake(worker)) stop(worker);
        leave_source(state);
        if (atomic_load(&state->session->closing)) {
            if (state->closing_since == 0) state->closing_since = swi_now_ms();
            else if (swi_now_ms() - state->closing_since > SWI_CLOSE_WAIT_MS) return END_OWN;
        }
        if (ready[0].revents != 0) end = receive(state);
    }
    return atomic_load(&state->session->closing) ? END_OWN : end;
}

/* ---- The end of a session ---- */

/* After a Close with a retryable code; -1: attach again. Nobody starts the broker again that started this worker. */
static int judge_retryable(const swi_worker *worker, uint32_t code) {
    return worker->spawned && (code == SWI_SHUTTING_DOWN || code == SWI_DRAIN_DEADLINE) ? 1 : -1;
}

/* The process's exit code after a session that ended so; -1: attach again. */
static int judge(link_state *state, end_kind end) {
    if (end == END_OWN) return atomic_load(&state->worker->own_exit);
    if (end == END_CLOSE && state->close_code == 0) return 0;
    if (end == END_CLOSE && !swi_is_retryable(state->close_code)) return 2;
    if (atomic_load(&state->worker->stopping)) return 0;
    if (end == END_CLOSE) return judge_retryable(state->worker, state->close_code);
    if (!state->worker->spawned) return -1;
    swi_say("the broker is gone");
    return 1;
}

/* Waits until nothing uses the session any more. A handler that does not return is not waited for when it has had its
 * time, or when the process is to end: nothing else would ever end it. */
static void wait_for_handlers(link_state *state, int exit_code) {
    swi_worker *worker = state->worker;
    int64_t begin = swi_now_ms();
    for (;;) {
        pthread_mutex_lock(&worker->mutex);
        bool idle = worker->idle;
        pthread_mutex_unlock(&worker->mutex);
        if (idle) return;
        if (is_overdue(state)) {
            swi_say("a handler has taken longer than its timeout of %lld ms and the session is over",
                    (long long)worker->timeout_ms);
            _exit(1);
        }
        if (exit_code >= 0 && swi_now_ms() - begin > GRACE_MS) _exit(exit_code);
        struct pollfd ready = {worker->wake[0], POLLIN, 0};
        if (poll(&ready, 1, 5) > 0 && read_wake(worker)) stop(worker);
    }
}

static int serve(link_state *state) {
    swi_worker *worker = state->worker;
    swi_session *session = state->session;
    state->closing_since = 0;
    pthread_mutex_lock(&worker->mutex);
    worker->session = session;
    if (!worker->is_source) worker->idle = false;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    if (worker->is_source) {
        swi_producer_attach(worker, session);
    } else {
        swi_settler_attach(worker->settler, session);
        push_event(worker, SWI_BEGIN, 0);
    }
    end_kind end = read_session(state);
    atomic_store(&session->over, true);
    int exit_code = judge(state, end);
    pthread_mutex_lock(&worker->mutex);
    if (worker->is_source) worker->session = NULL;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    shutdown(session->fd, SHUT_RDWR); /* nobody is left waiting in a write */
    if (worker->is_source) {
        swi_producer_detach(worker);
    } else {
        push_event(worker, SWI_END, 0);
        wait_for_handlers(state, exit_code);
        swi_confirm_end(worker->confirmations);
    }
    pthread_mutex_lock(&worker->mutex);
    worker->session = NULL;
    pthread_mutex_unlock(&worker->mutex);
    swi_session_free(session);
    return exit_code;
}

/* ---- Attaching ---- */

/* Pauses; false: a signal asks to leave. */
static bool pause_for(swi_worker *worker, int64_t pause_ms) {
    int64_t until = swi_now_ms() + pause_ms, left;
    while (!atomic_load(&worker->stopping) && (left = until - swi_now_ms()) > 0) {
        struct pollfd ready = {worker->wake[0], POLLIN, 0};
        if (poll(&ready, 1, (int)left) > 0 && read_wake(worker)) stop(worker);
    }
    return !atomic_load(&worker->stopping);
}

/* One attempt to attach and what follows from it; the exit code, or -1: once more. */
static int attempt(link_state *state, bool *was_attached) {
    uint32_t code = 0;
    *was_attached = false;
    switch (swi_connect(state->worker, &state->frames, &state->session, &code)) {
    case SWI_HOPELESS: return 2;
    case SWI_GONE:
        if (!state->worker->spawned) return -1;
        swi_say("the broker is gone");
        return 1;
    case SWI_CLOSED:
        if (code == 0) return 0;
        return swi_is_retryable(code) ? judge_retryable(state->worker, code) : 2;
    case SWI_CONNECTED: break;
    }
    *was_attached = true;
    return serve(state);
}

void *swi_link_run(void *argument) {
    swi_worker *worker = argument;
    link_state *state = swi_allocate_zeroed(1, sizeof *state);
    int64_t pause = FIRST_PAUSE_MS, said = -SAY_EVERY_MS;
    int exit_code;
    bool was_attached;
    state->worker = worker;
    state->watches = swi_allocate_zeroed(worker->call_count, sizeof *state->watches);
    for (;;) {
        int64_t begin = swi_now_ms();
        exit_code = attempt(state, &was_attached);
        if (exit_code >= 0) break;
        if (was_attached && swi_now_ms() - begin > LONGEST_PAUSE_MS) pause = FIRST_PAUSE_MS;
        if (swi_now_ms() - said >= SAY_EVERY_MS) {
            swi_say("no broker at %s; trying again", worker->socket);
            said = swi_now_ms();
        }
        exit_code = 0;
        if (!pause_for(worker, pause)) break;
        pause = pause * 2 < LONGEST_PAUSE_MS ? pause * 2 : LONGEST_PAUSE_MS;
    }
    pthread_mutex_lock(&worker->mutex);
    worker->exit_code = exit_code;
    worker->finished = true;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    if (worker->is_source) wait_for_handlers(state, exit_code);
    swi_frames_free(&state->frames);
    free(state->watches);
    free(state);
    return NULL;
}
