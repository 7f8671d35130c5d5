/* What the library makes of the golden vectors, for test_vectors.py, which has protobuf's word for what they mean.
 *
 * Requests on standard input: a letter, two numbers, a length and so many bytes (big-endian u32). Answers: a length and bytes.
 *
 *   d LIMIT PIECE  a stream, read in pieces: how it ends (m: more is needed, e: empty, l: too large), then each frame with
 *                  its length; a Deliver as handlers see it
 *   o              a Record: an output with it as `base`, then one made of all that is seen of it, each with its length
 *   w              a worker's frame: the bytes that the library writes to say the same
 */
#include "emitter.h"
#include "frame.h"
#include "producer.h"
#include "settle.h"
#include "stagewire/v1/envelope.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RUNS = 1000, PORTS = 4 };

static swi_runs *runs; /* number n is of a stage "n" */

static void put_u32(swi_buffer *to, size_t value) {
    uint8_t bytes[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    swi_buffer_add(to, bytes, 4);
}

static void put_blob(swi_buffer *to, const swi_buffer *bytes) {
    put_u32(to, bytes->size);
    swi_buffer_add(to, bytes->data, bytes->size);
}

static void put_field(swi_buffer *to, unsigned number, const void *data, size_t size) {
    swi_put_bytes(swi_buffer_room(to, swi_len_size(size)), number, data, size);
    to->size += swi_len_size(size);
}

static void put_number(swi_buffer *to, unsigned number, uint64_t value) {
    if (value == 0) return;
    swi_put_varint(swi_put_tag(swi_buffer_room(to, 11), number, SWI_VARINT), value);
    to->size += 1 + swi_varint_size(value);
}

/* ---- Reading ---- */

/* An output with everything that is seen of a record. */
static void put_seen(swi_buffer *to, sw_record *record) {
    sw_attribute attributes[SWI_ATTRIBUTES];
    sw_output output = {.payload = sw_payload(record), .key = sw_key(record), .schema = sw_schema(record),
                        .content_type = sw_content_type(record), .schema_version = sw_schema_version(record),
                        .event_time = sw_event_time(record), .attributes = attributes};
    swi_resolved resolved;
    while (output.attribute_count < SWI_ATTRIBUTES && sw_attribute_at(record, output.attribute_count, &attributes[output.attribute_count]))
        output.attribute_count++;
    const char *wrong = swi_resolve(&output, &resolved);
    if (wrong != NULL) fprintf(stderr, "%s\n", wrong), abort();
    swi_put_output(swi_buffer_room(to, resolved.size), &resolved);
    to->size += resolved.size;
}

static void put_lineage(swi_buffer *to, sw_record *record) {
    const sw_lineage *lineage = sw_record_lineage(record);
    swi_buffer message = {0}, trace = {0};
    put_field(&message, 1, lineage->id, 16);
    for (size_t i = 0; i < lineage->parent_count; i++) put_field(&message, 2, lineage->parents[i], 16);
    put_number(&message, 3, lineage->parents_truncated);
    put_field(&message, 4, lineage->root, 16);
    put_field(&trace, 1, lineage->traceparent.data, lineage->traceparent.size);
    put_field(&trace, 2, lineage->tracestate.data, lineage->tracestate.size);
    put_field(&message, 5, trace.data, trace.size);
    swi_put_fixed64(swi_put_tag(swi_buffer_room(&message, 9), 6, SWI_FIXED64), (uint64_t)lineage->ingest_time);
    message.size += 9;
    for (size_t i = 0; i < lineage->hop_count; i++) {
        swi_buffer hop = {0};
        put_number(&hop, 1, strtoull(lineage->hops[i].stage, NULL, 10));
        put_number(&hop, 2, (uint64_t)lineage->hops[i].time - (uint64_t)lineage->ingest_time);
        put_number(&hop, 3, lineage->hops[i].attempt);
        put_field(&message, 7, hop.data, hop.size);
        swi_buffer_free(&hop);
    }
    put_field(to, 1, message.data, message.size);
    swi_buffer_free(&trace);
    swi_buffer_free(&message);
}

/* The Envelope of a Deliver as a session takes it and handlers see it; false: it is refused. */
static bool put_deliver(swi_buffer *to, swi_item *item, uint32_t version, swi_slice message) {
    swi_buffer deliver = {0};
    swi_records records;
    swi_slice bytes;
    sw_record record = {.runs = runs};
    bool is_good = swi_read_deliver(item, message);
    put_number(&deliver, 1, item->input);
    put_number(&deliver, 2, item->first);
    if (is_good) swi_records_begin(&records, item);
    while (is_good && swi_records_next(&records, &bytes, &record.attempt)) {
        swi_buffer seen = {0};
        is_good = swi_record_read(&record, bytes);
        if (is_good) {
            put_lineage(&seen, &record);
            put_seen(&seen, &record);
        }
        put_number(&deliver, 3, record.attempt);
        put_field(&deliver, 4, seen.data, seen.size);
        swi_buffer_free(&seen);
        swi_record_clear(&record);
    }
    put_number(to, 1, version);
    put_field(to, SWI_M_DELIVER, deliver.data, deliver.size);
    swi_buffer_free(&deliver);
    return is_good;
}

static void put_frame(swi_buffer *to, swi_item *item) {
    uint32_t version, kind;
    swi_slice message;
    swi_buffer seen = {0};
    bool is_good = swi_read_envelope((swi_slice){item->frame, item->size}, &version, &kind, &message);
    if (is_good && kind == SWI_M_DELIVER) {
        is_good = put_deliver(&seen, item, version, message);
    } else if (is_good && kind == 0) {
        put_number(&seen, 1, version);
    } else if (is_good) {
        Stagewire__V1__Envelope *envelope = stagewire__v1__envelope__unpack(NULL, item->size, item->frame);
        is_good = envelope != NULL && envelope->version == version;
        if (is_good) {
            size_t size = stagewire__v1__envelope__get_packed_size(envelope);
            seen.size = stagewire__v1__envelope__pack(envelope, swi_buffer_room(&seen, size));
        }
        if (envelope != NULL) stagewire__v1__envelope__free_unpacked(envelope, NULL);
    }
    if (!is_good) seen.size = 0;
    put_blob(to, &seen);
    swi_buffer_free(&seen);
}

static void decode(swi_buffer *answer, const uint8_t *data, size_t size, size_t limit, size_t piece) {
    swi_frames *frames = swi_allocate_zeroed(1, sizeof *frames);
    swi_frame_status status = SWI_NEED_MORE;
    swi_item *item;
    swi_buffer seen = {0};
    frames->limit = limit;
    while (size > 0 && status == SWI_NEED_MORE) {
        size_t room;
        uint8_t *at = swi_frames_room(frames, &room);
        size_t taken = size < piece ? size : piece;
        if (taken > room) taken = room;
        memcpy(at, data, taken);
        swi_frames_filled(frames, taken);
        data += taken;
        size -= taken;
        while ((status = swi_frames_next(frames, &item)) == SWI_FRAME) {
            put_frame(&seen, item);
            swi_frames_recycle(frames, item);
        }
    }
    swi_buffer_text(answer, status == SWI_NEED_MORE ? "m" : status == SWI_EMPTY_FRAME ? "e" : "l");
    swi_buffer_add(answer, seen.data, seen.size);
    swi_buffer_free(&seen);
    swi_frames_free(frames);
    free(frames);
}

static void outputs(swi_buffer *answer, const uint8_t *data, size_t size) {
    sw_record record = {.attempt = 1};
    swi_resolved resolved;
    swi_buffer bytes = {0};
    if (!swi_record_read(&record, (swi_slice){data, size}) || swi_resolve(&(sw_output){.base = &record}, &resolved) != NULL) abort();
    swi_put_output(swi_buffer_room(&bytes, resolved.size), &resolved);
    bytes.size = resolved.size;
    put_blob(answer, &bytes);
    bytes.size = 0;
    put_seen(&bytes, &record);
    put_blob(answer, &bytes);
    swi_buffer_free(&bytes);
}

/* ---- Writing ---- */

/* A session whose other side is read by a thread into `written`. */
typedef struct wire_state {
    swi_worker *worker;
    swi_session session;
    swi_output ports[PORTS];
    int other;
    pthread_t reader;
    swi_buffer *written;
} wire_state;

static void *read_all(void *argument) {
    wire_state *wire = argument;
    for (ssize_t got = 1; got > 0; wire->written->size += got > 0 ? (size_t)got : 0)
        got = read(wire->other, swi_buffer_room(wire->written, 65536), 65536);
    return NULL;
}

static wire_state *begin_wire(const sw_stage *stage, swi_buffer *written) {
    static char *names[PORTS] = {"0", "1", "2", "3"};
    wire_state *wire = swi_allocate_zeroed(1, sizeof *wire);
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) abort();
    for (uint32_t i = 0; i < PORTS; i++) {
        wire->ports[i].number = i;
        wire->ports[i].port = names[i];
        atomic_store(&wire->ports[i].limit_records, UINT64_MAX / 2);
        atomic_store(&wire->ports[i].limit_bytes, UINT64_MAX / 2);
    }
    wire->worker = swi_worker_make(stage);
    wire->session.fd = ends[0];
    wire->session.version = SWI_VERSION;
    wire->session.limits = (swi_limits){1 << 20, 1005, 4096, 1 << 20, 1 << 22, wire->ports, PORTS};
    pthread_mutex_init(&wire->session.writing, NULL);
    wire->other = ends[1];
    wire->written = written;
    if (pthread_create(&wire->reader, NULL, read_all, wire) != 0) abort();
    return wire;
}

static void end_wire(wire_state *wire) {
    close(wire->session.fd);
    pthread_join(wire->reader, NULL);
    close(wire->other);
    pthread_mutex_destroy(&wire->session.writing);
    swi_worker_free(wire->worker);
    free(wire);
}

/* Emits what an Emission says, as an author would. */
static void emit(sw_emitter *out, const Stagewire__V1__Emission *from, sw_record **records, size_t count) {
    const Stagewire__V1__Record *record = from->output;
    const Stagewire__V1__Header *header = record->header;
    sw_attribute *attributes = sw_alloc(out, header ? header->n_attributes * sizeof *attributes + 1 : 1);
    sw_record **parents = sw_alloc(out, from->n_parents * sizeof *parents + 1);
    sw_output output = {.port = sw_format(out, "%u", from->port).data, .payload = {(char *)record->payload.data, record->payload.len},
                        .attributes = attributes, .parents = parents, .parent_count = from->n_parents};
    for (size_t i = 0; i < from->n_parents; i++) {
        for (size_t j = 0; j < count; j++) {
            if (records[j]->id == from->parents[i]) parents[i] = records[j];
        }
    }
    if (from->trace != NULL) {
        output.traceparent = sw_text(from->trace->traceparent);
        output.tracestate = sw_text(from->trace->tracestate);
    }
    if (header != NULL) {
        output.schema = sw_text(header->schema);
        output.schema_version = header->schema_version;
        output.key = (sw_bytes){(char *)header->key.data, header->key.len};
        output.event_time = header->event_time;
        output.content_type = sw_text(header->content_type);
        output.attribute_count = header->n_attributes;
    }
    for (size_t i = 0; i < output.attribute_count; i++) {
        const Stagewire__V1__Attribute *each = header->attributes[i];
        attributes[i] = (sw_attribute){.name = sw_text(each->name)};
        switch (each->value_case) {
        case STAGEWIRE__V1__ATTRIBUTE__VALUE_TEXT: attributes[i].kind = SW_TEXT, attributes[i].text = sw_text(each->text); break;
        case STAGEWIRE__V1__ATTRIBUTE__VALUE_INTEGER: attributes[i].kind = SW_INTEGER, attributes[i].integer = each->integer; break;
        case STAGEWIRE__V1__ATTRIBUTE__VALUE_NUMBER: attributes[i].kind = SW_NUMBER, attributes[i].number = each->number; break;
        case STAGEWIRE__V1__ATTRIBUTE__VALUE_FLAG: attributes[i].kind = SW_FLAG, attributes[i].flag = each->flag; break;
        default: abort();
        }
    }
    sw_emit(out, &output);
}

static size_t add_range(sw_record ***records, size_t count, uint64_t first, uint64_t last) {
    if (last == 0) last = first;
    for (uint64_t id = first;; id++) {
        *records = swi_reallocate(*records, (count + 1) * sizeof **records);
        (*records)[count] = swi_allocate_zeroed(1, sizeof(sw_record));
        (*records)[count++]->id = id;
        if (id == last) return count;
    }
}

static void settle_one(wire_state *wire, const Stagewire__V1__Outcome *from) {
    sw_emitter emitter = {0};
    sw_record **records = NULL;
    size_t count = add_range(&records, 0, from->first, from->last);
    for (size_t i = 0; i < from->n_more; i++) count = add_range(&records, count, from->more[i]->first, from->more[i]->last);
    swi_emitter_begin(&emitter, SWI_HANDLER, &wire->session.limits, records, count);
    for (size_t i = 0; i < from->n_emissions; i++) emit(&emitter, from->emissions[i], records, count);
    const Stagewire__V1__Error *error = from->error;
    switch (from->kind) {
    case STAGEWIRE__V1__OUTCOME_KIND__OUTCOME_KIND_REJECTED: sw_reject(&emitter, error->code, "%s", error->message); break;
    case STAGEWIRE__V1__OUTCOME_KIND__OUTCOME_KIND_RETRY:
        sw_retry_with(&emitter, from->delay_ms / 1000.0, error->code, error->indefinite, "%s", error->message);
        break;
    case STAGEWIRE__V1__OUTCOME_KIND__OUTCOME_KIND_RELEASED: sw_release(&emitter); break;
    default: break;
    }
    swi_emitter_end(&emitter);
    if (from->kind == STAGEWIRE__V1__OUTCOME_KIND__OUTCOME_KIND_RELEASED && count == 1)
        swi_settle_released(wire->worker->settler, records[0]->id); /* what is void */
    else
        swi_settle(wire->worker->settler, &emitter, records, count);
    swi_emitter_free(&emitter);
    while (count > 0) free(records[--count]);
    free(records);
}

static void nothing(sw_record *record, sw_emitter *out, void *user) { (void)record, (void)out, (void)user; }
static int no_source(sw_source *source, void *user) { return (void)source, (void)user, 0; }

static void settle(swi_buffer *answer, const Stagewire__V1__Settle *from) {
    wire_state *wire = begin_wire(&(sw_stage){.transform = nothing}, answer);
    swi_settler_attach(wire->worker->settler, &wire->session);
    pthread_mutex_lock(&wire->worker->settler->mutex);
    for (size_t i = 0; i < from->n_outcomes; i++) settle_one(wire, from->outcomes[i]);
    swi_flush(wire->worker->settler);
    pthread_mutex_unlock(&wire->worker->settler->mutex);
    end_wire(wire);
}

/* A partition that was claimed, and has got as far as to the Emit before this one. */
static sw_partition *partition_of(wire_state *wire, const char *name, uint64_t last) {
    swi_producer *producer = wire->worker->producer;
    sw_partition *partition = swi_allocate_zeroed(1, sizeof *partition);
    *partition = (sw_partition){.producer = producer, .name = swi_duplicate(name), .was_claimed = true, .last_id = last};
    swi_producer_attach(wire->worker, &wire->session);
    for (uint32_t i = 0; i < PORTS; i++) {
        Stagewire__V1__Credit credit = STAGEWIRE__V1__CREDIT__INIT;
        credit.number = i;
        credit.records = credit.bytes = UINT64_MAX / 2;
        swi_producer_credit(wire->worker, &credit);
    }
    partition->is_claimed = true; /* by this session: put in behind its beginning, so that no Claim is written */
    producer->partitions = partition;
    swi_emitter_begin(&partition->step, SWI_PRODUCER, &producer->limits, NULL, 0);
    return partition;
}

static void emit_step(swi_buffer *answer, const Stagewire__V1__Emit *from) {
    wire_state *wire = begin_wire(&(sw_stage){.source = no_source}, answer);
    sw_partition *partition = partition_of(wire, from->partition, from->emit_id - 1);
    for (size_t i = 0; i < from->n_emissions; i++) emit(sw_step(partition), from->emissions[i], NULL, 0);
    if (sw_commit(partition, from->checkpoint.data, from->checkpoint.len) != 0) abort();
    swi_producer_detach(wire->worker);
    end_wire(wire);
}

static void control(swi_buffer *answer, const Stagewire__V1__Envelope *from) {
    bool is_source = from->message_case == STAGEWIRE__V1__ENVELOPE__MESSAGE_FINISHED;
    wire_state *wire = begin_wire(is_source ? &(sw_stage){.source = no_source} : &(sw_stage){.transform = nothing}, answer);
    uint8_t ping[32];
    switch (from->message_case) {
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_CREDIT: {
        swi_input input = {.number = from->credit->number, .taken_records = 1, .taken_bytes = 1};
        wire->session.window_records = from->credit->records - 1;
        wire->session.window_bytes = from->credit->bytes - 1;
        swi_grant(&wire->session, &input);
        break;
    }
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_EXTEND: swi_extend(&wire->session); break;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_PONG: swi_pong(&wire->session, from->pong->nonce); break;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_PING: swi_write(&wire->session, ping, swi_put_ping(ping, SWI_VERSION, from->ping->nonce)); break;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_CLAIM: swi_send_claim(&wire->session, from->claim->partition); break;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_FINISHED:
        sw_finish(partition_of(wire, from->finished->partition, 0));
        swi_producer_detach(wire->worker);
        break;
    case STAGEWIRE__V1__ENVELOPE__MESSAGE_CLOSE:
        swi_close(wire->worker, &wire->session, from->close->code, 0, "%s", from->close->message);
        break;
    default: break;
    }
    end_wire(wire);
}

static void write_message(swi_buffer *answer, const uint8_t *data, size_t size) {
    Stagewire__V1__Envelope *from = stagewire__v1__envelope__unpack(NULL, size - 4, data + 4);
    if (from == NULL) abort();
    if (from->message_case == STAGEWIRE__V1__ENVELOPE__MESSAGE_SETTLE) settle(answer, from->settle);
    else if (from->message_case == STAGEWIRE__V1__ENVELOPE__MESSAGE_EMIT) emit_step(answer, from->emit);
    else control(answer, from);
    stagewire__v1__envelope__free_unpacked(from, NULL);
}

/* ---- Requests ---- */

static size_t read_u32(void) {
    uint8_t bytes[4];
    if (fread(bytes, 1, 4, stdin) != 4) abort();
    return (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
}

int main(void) {
    runs = swi_runs_make();
    for (uint32_t i = 1; i <= RUNS; i++) {
        char name[12];
        snprintf(name, sizeof name, "%u", i);
        swi_runs_add(runs, i, name, "", "", "");
    }
    for (int letter; (letter = getchar()) != EOF;) {
        size_t limit = read_u32(), piece = read_u32(), size = read_u32();
        uint8_t *data = swi_allocate(size + 1);
        swi_buffer answer = {0}, framed = {0};
        if (fread(data, 1, size, stdin) != size) abort();
        if (letter == 'd') decode(&answer, data, size, limit, piece);
        else if (letter == 'o') outputs(&answer, data, size);
        else write_message(&answer, data, size);
        put_blob(&framed, &answer);
        fwrite(framed.data, 1, framed.size, stdout);
        fflush(stdout);
        swi_buffer_free(&answer);
        swi_buffer_free(&framed);
        free(data);
    }
    swi_runs_free(runs);
    return 0;
}
