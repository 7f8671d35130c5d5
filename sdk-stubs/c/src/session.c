/* What both threads write to the socket. */
#include "worker.h"

#include "stagewire/v1/envelope.pb-c.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static bool write_locked(swi_session *session, const uint8_t *at, size_t size) {
    while (size > 0) {
        ssize_t written = send(session->fd, at, size, MSG_NOSIGNAL);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) { /* gone, or it has not read for long; what it said last is still to be read */
            atomic_store(&session->over, true);
            return false;
        }
        at += written;
        size -= (size_t)written;
    }
    return true;
}

bool swi_write(swi_session *session, const void *data, size_t size) {
    pthread_mutex_lock(&session->writing);
    bool is_written = !session->closed && !atomic_load(&session->over) && write_locked(session, data, size);
    pthread_mutex_unlock(&session->writing);
    return is_written;
}

/* Packs an Envelope of libprotobuf-c behind its length. The caller frees it. */
static uint8_t *pack(const Stagewire__V1__Envelope *envelope, size_t *size) {
    size_t length = stagewire__v1__envelope__get_packed_size(envelope);
    uint8_t *frame = swi_allocate(length + 4);
    for (int i = 0; i < 4; i++) frame[i] = (uint8_t)(length >> (24 - 8 * i));
    stagewire__v1__envelope__pack(envelope, frame + 4);
    *size = length + 4;
    return frame;
}

static bool send_envelope(swi_session *session, Stagewire__V1__Envelope *envelope) {
    size_t size;
    envelope->version = session->version;
    uint8_t *frame = pack(envelope, &size);
    bool is_written = swi_write(session, frame, size);
    free(frame);
    return is_written;
}

void swi_close(swi_worker *worker, swi_session *session, uint32_t code, int exit_code, const char *format, ...) {
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (code != 0) swi_say("%s (code %u)", text, code);

    Stagewire__V1__Close close_message = STAGEWIRE__V1__CLOSE__INIT;
    Stagewire__V1__Envelope envelope = STAGEWIRE__V1__ENVELOPE__INIT;
    size_t size;
    close_message.code = code;
    close_message.message = text;
    envelope.version = session->version;
    envelope.message_case = STAGEWIRE__V1__ENVELOPE__MESSAGE_CLOSE;
    envelope.close = &close_message;
    uint8_t *frame = pack(&envelope, &size);
    pthread_mutex_lock(&session->writing);
    if (!session->closed) {
        session->closed = true;
        atomic_store(&worker->own_exit, exit_code);
        atomic_store(&session->closing, true); /* before the peer can answer it with EOF */
        if (!atomic_load(&session->over)) write_locked(session, frame, size);
    }
    pthread_mutex_unlock(&session->writing);
    free(frame);
    swi_wake(worker, 'c');
}

bool swi_grant(swi_session *session, swi_input *input) {
    Stagewire__V1__Credit credit = STAGEWIRE__V1__CREDIT__INIT;
    Stagewire__V1__Envelope envelope = STAGEWIRE__V1__ENVELOPE__INIT;
    credit.number = input->number;
    credit.records = input->taken_records + session->window_records;
    credit.bytes = input->taken_bytes + session->window_bytes;
    /* Before it is written: the link must not find the broker's answer above the limit. */
    atomic_store(&input->granted_records, credit.records);
    atomic_store(&input->granted_bytes, credit.bytes);
    envelope.message_case = STAGEWIRE__V1__ENVELOPE__MESSAGE_CREDIT;
    envelope.credit = &credit;
    return send_envelope(session, &envelope);
}

bool swi_extend(swi_session *session) {
    Stagewire__V1__Extend extend = STAGEWIRE__V1__EXTEND__INIT;
    Stagewire__V1__Envelope envelope = STAGEWIRE__V1__ENVELOPE__INIT;
    envelope.message_case = STAGEWIRE__V1__ENVELOPE__MESSAGE_EXTEND;
    envelope.extend = &extend;
    atomic_store(&session->progress_ms, swi_now_ms());
    return send_envelope(session, &envelope);
}

bool swi_pong(swi_session *session, uint64_t nonce) {
    Stagewire__V1__Pong pong = STAGEWIRE__V1__PONG__INIT;
    Stagewire__V1__Envelope envelope = STAGEWIRE__V1__ENVELOPE__INIT;
    pong.nonce = nonce;
    envelope.message_case = STAGEWIRE__V1__ENVELOPE__MESSAGE_PONG;
    envelope.pong = &pong;
    return send_envelope(session, &envelope);
}

size_t swi_put_ping(uint8_t *at, uint32_t version, uint64_t nonce) {
    uint8_t *body = at + 4, *end = swi_put_varint(swi_put_tag(body, 1, SWI_VARINT), version);
    end = swi_put_tag(end, SWI_M_PING, SWI_LEN);
    *end++ = (uint8_t)(1 + swi_varint_size(nonce));
    end = swi_put_varint(swi_put_tag(end, 1, SWI_VARINT), nonce);
    memset(at, 0, 3);
    at[3] = (uint8_t)(end - body);
    return (size_t)(end - at);
}

void swi_session_free(swi_session *session) {
    close(session->fd);
    for (size_t i = 0; i < session->input_count; i++) free(session->inputs[i].name);
    for (size_t i = 0; i < session->limits.output_count; i++) free(session->limits.outputs[i].port);
    free(session->inputs);
    free(session->limits.outputs);
    swi_runs_free(session->runs);
    pthread_mutex_destroy(&session->writing);
    free(session);
}
