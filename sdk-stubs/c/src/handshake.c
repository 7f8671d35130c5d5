/* Connecting, Hello and Welcome. */
#include "worker.h"

#include "stagewire/v1/envelope.pb-c.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* How long a Welcome may take. The broker gives a Hello 5 s; it answers one at once. */
enum { WELCOME_MS = 10000, WRITE_SECONDS = 60 };

/* Bytes that may wait for the broker, where Linux has 208 KiB unless told otherwise: a worker that writes more sleeps until the
 * broker has read, which then gets small pieces and wakes the worker for each of them. net.core.wmem_max may make it less. */
enum { SEND_BUFFER = 1024 * 1024 };

static swi_outcome dial(const swi_worker *worker, int *fd) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(worker->socket) >= sizeof address.sun_path) {
        swi_say("STAGEWIRE_SOCKET is longer than a Unix socket's path may be: %s", worker->socket);
        return SWI_HOPELESS;
    }
    memcpy(address.sun_path, worker->socket, strlen(worker->socket));
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0) {
        swi_say("cannot make a socket: %s", strerror(errno));
        return SWI_HOPELESS;
    }
    int buffer = SEND_BUFFER;
    setsockopt(*fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer); /* without it everything is as right, only slower */
    if (connect(*fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(*fd);
        return SWI_GONE;
    }
    /* A broker never stops reading (CR-9); one that does so for this long will not begin again. */
    struct timeval limit = {.tv_sec = WRITE_SECONDS};
    setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return SWI_CONNECTED;
}

static bool send_hello(swi_worker *worker, swi_session *session) {
    Stagewire__V1__Hello hello = STAGEWIRE__V1__HELLO__INIT;
    Stagewire__V1__Envelope envelope = STAGEWIRE__V1__ENVELOPE__INIT;
    char *required[1] = {(char *)worker->needs_feature}, *offered[1] = {"settle-confirm"};
    hello.min_version = hello.max_version = SWI_VERSION;
    hello.stage = worker->stage_name;
    if (worker->instance != NULL) hello.instance = worker->instance;
    if (worker->stage->version != NULL) hello.stage_version = (char *)worker->stage->version;
    hello.token.data = worker->token;
    hello.token.len = worker->token_size;
    hello.max_frame = worker->stage->max_frame;
    hello.required = required;
    hello.n_required = worker->needs_feature ? 1 : 0;
    hello.offered = offered;
    hello.n_offered = worker->is_source ? 0 : 1;
    hello.sdk = "stagewire-c 0.1";
    hello.language = "C";
    envelope.version = SWI_VERSION;
    envelope.message_case = STAGEWIRE__V1__ENVELOPE__MESSAGE_HELLO;
    envelope.hello = &hello;
    size_t size = stagewire__v1__envelope__get_packed_size(&envelope);
    uint8_t *frame = swi_allocate(size + 4);
    for (int i = 0; i < 4; i++) frame[i] = (uint8_t)(size >> (24 - 8 * i));
    stagewire__v1__envelope__pack(&envelope, frame + 4);
    bool is_written = swi_write(session, frame, size + 4);
    free(frame);
    return is_written;
}

static void take_ports(swi_session *session, const Stagewire__V1__Welcome *welcome) {
    session->inputs = swi_allocate_zeroed(welcome->n_inputs, sizeof *session->inputs);
    session->input_count = welcome->n_inputs;
    for (size_t i = 0; i < welcome->n_inputs; i++) {
        const Stagewire__V1__Input *from = welcome->inputs[i];
        swi_input *input = &session->inputs[i];
        size_t size = strlen(from->stage) + strlen(from->port) + 2;
        input->number = from->number;
        input->name = swi_allocate(size);
        /* "out" is the port that is meant when none is named. */
        if (strcmp(from->port, "out") == 0) strcpy(input->name, from->stage);
        else snprintf(input->name, size, "%s.%s", from->stage, from->port);
        input->ordering = (int)from->ordering;
        if (input->ordering != SWI_ORDER_KEY && input->ordering != SWI_ORDER_NONE) input->ordering = SWI_ORDER_TOTAL;
        input->max_records = from->max_unsettled_records;
        input->max_bytes = from->max_unsettled_bytes;
    }
    session->limits.outputs = swi_allocate_zeroed(welcome->n_outputs, sizeof *session->limits.outputs);
    session->limits.output_count = welcome->n_outputs;
    for (size_t i = 0; i < welcome->n_outputs; i++) {
        session->limits.outputs[i].number = welcome->outputs[i]->number;
        session->limits.outputs[i].port = swi_duplicate(welcome->outputs[i]->port);
    }
}

static void take_welcome(swi_worker *worker, swi_session *session, const Stagewire__V1__Welcome *welcome) {
    uint64_t most = 2 * welcome->max_record;
    session->version = welcome->version;
    session->lease_ms = welcome->lease_ms > 0 ? welcome->lease_ms : 30000;
    session->limits.max_frame = welcome->max_frame > 0 ? welcome->max_frame : SWI_DEFAULT_FRAME;
    session->limits.max_record = welcome->max_record;
    session->limits.stamp = welcome->stamp_reserve;
    session->limits.max_step_records = welcome->max_step_records;
    session->limits.max_step_bytes = welcome->max_step_bytes;
    session->window_records = 8192;
    session->window_bytes = most > SWI_DEFAULT_FRAME ? most : SWI_DEFAULT_FRAME;
    take_ports(session, welcome);
    pthread_mutex_lock(&worker->mutex);
    if (worker->config == NULL) {
        worker->config = swi_allocate(welcome->config.len + 1);
        if (welcome->config.len > 0) memcpy(worker->config, welcome->config.data, welcome->config.len);
        worker->config[welcome->config.len] = 0;
    }
    free(worker->given_instance);
    worker->given_instance = swi_duplicate(welcome->instance);
    pthread_mutex_unlock(&worker->mutex);
}

/* Waits for one frame; what is behind it stays in `frames`. */
static swi_outcome receive(swi_worker *worker, swi_session *session, swi_frames *frames, swi_item **item) {
    int64_t deadline = swi_now_ms() + WELCOME_MS;
    for (;;) {
        size_t room;
        swi_frame_status status = swi_frames_next(frames, item);
        if (status == SWI_FRAME) return SWI_CONNECTED;
        if (status != SWI_NEED_MORE) {
            bool is_large = status == SWI_LARGE_FRAME;
            swi_close(worker, session, is_large ? SWI_FRAME_TOO_LARGE : SWI_MALFORMED_FRAME, 2,
                      "the answer to Hello is %s: is %s a broker's socket?", is_large ? "too large" : "empty", worker->socket);
            return SWI_HOPELESS;
        }
        struct pollfd ready = {session->fd, POLLIN, 0};
        int64_t left = deadline - swi_now_ms();
        if (left <= 0 || atomic_load(&worker->stopping)) return SWI_GONE;
        if (poll(&ready, 1, left > 100 ? 100 : (int)left) <= 0) continue;
        uint8_t *at = swi_frames_room(frames, &room);
        ssize_t got = recv(session->fd, at, room, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return SWI_GONE;
        if (got > 0) swi_frames_filled(frames, (size_t)got);
    }
}

/* Judges the answer to Hello. Before Welcome frames without a known kind are ignored (FR-3): `*again`. */
static swi_outcome greet(swi_worker *worker, swi_session *session, const swi_item *item, uint32_t *code, bool *again) {
    Stagewire__V1__Envelope *answer = stagewire__v1__envelope__unpack(NULL, item->size, item->frame);
    swi_outcome outcome = SWI_HOPELESS;
    *again = false;
    if (answer == NULL) {
        swi_close(worker, session, SWI_MALFORMED_FRAME, 2, "the answer to Hello is not an Envelope");
    } else if (answer->message_case == STAGEWIRE__V1__ENVELOPE__MESSAGE_CLOSE) {
        *code = answer->close->code;
        if (*code != 0) swi_say("%s", answer->close->message);
        outcome = SWI_CLOSED;
    } else if (answer->message_case == STAGEWIRE__V1__ENVELOPE__MESSAGE__NOT_SET) {
        *again = true;
        outcome = SWI_CONNECTED;
    } else if (answer->message_case != STAGEWIRE__V1__ENVELOPE__MESSAGE_WELCOME) {
        swi_close(worker, session, 107, 2, "the broker answered Hello with something else than Welcome");
    } else if (answer->version / 1000 != SWI_MAJOR || answer->welcome->version != SWI_VERSION) {
        swi_close(worker, session, SWI_UNSUPPORTED_VERSION, 2,
                  "the broker chose protocol version %u, and this library speaks %d: update the older side",
                  answer->welcome->version, SWI_VERSION);
    } else {
        take_welcome(worker, session, answer->welcome);
        outcome = SWI_CONNECTED;
    }
    if (answer != NULL) stagewire__v1__envelope__free_unpacked(answer, NULL);
    return outcome;
}

/* Our Close is written: reads and discards until the broker has read it, too, but not for ever (EN-1). A socket that is
 * closed with something unread in it would take the Close back. */
static void linger(const swi_worker *worker, const swi_session *session) {
    int64_t deadline = swi_now_ms() + SWI_CLOSE_WAIT_MS, left;
    uint8_t discarded[4096];
    while ((left = deadline - swi_now_ms()) > 0 && !atomic_load(&worker->stopping)) {
        struct pollfd ready = {session->fd, POLLIN, 0};
        if (poll(&ready, 1, left > 100 ? 100 : (int)left) <= 0) continue;
        ssize_t got = recv(session->fd, discarded, sizeof discarded, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return;
    }
}

swi_outcome swi_connect(swi_worker *worker, swi_frames *frames, swi_session **session_out, uint32_t *code) {
    int fd;
    bool again = true;
    swi_outcome outcome = dial(worker, &fd);
    if (outcome != SWI_CONNECTED) return outcome;
    swi_session *session = swi_allocate_zeroed(1, sizeof *session);
    session->fd = fd;
    session->version = SWI_VERSION;
    session->runs = swi_runs_make();
    pthread_mutex_init(&session->writing, NULL);
    swi_frames_free(frames);
    frames->start = frames->end = 0;
    frames->limit = worker->stage->max_frame > 0 ? (size_t)worker->stage->max_frame : SWI_DEFAULT_FRAME;
    if (!send_hello(worker, session)) outcome = SWI_GONE;
    atomic_store(&session->over, false); /* a Close may be waiting behind a write that failed */
    while (again && outcome != SWI_HOPELESS && outcome != SWI_CLOSED) {
        swi_item *item;
        outcome = receive(worker, session, frames, &item);
        if (outcome != SWI_CONNECTED) break;
        outcome = greet(worker, session, item, code, &again);
        swi_frames_recycle(frames, item);
    }
    if (outcome == SWI_CONNECTED) {
        if (session->limits.max_frame < frames->limit) frames->limit = (size_t)session->limits.max_frame;
        *session_out = session;
    } else {
        if (atomic_load(&session->closing)) linger(worker, session);
        swi_session_free(session);
    }
    return outcome;
}
