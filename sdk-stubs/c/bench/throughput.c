/* Records per second of this library alone: a worker process against a broker that does nothing.
 *
 *     throughput [RECORDS [KIND]]       KIND: copy, upper, attribute, sink, pool
 *
 * The broker runs in a process of its own; it honours the worker's credit and counts what is settled. Records have 100
 * bytes of payload, a header (schema, key, event time) and two hops of lineage. */
#include "frame.h"
#include "stagewire/v1/envelope.pb-c.h"

#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 1024, PAYLOAD = 100 };

/* ---- Workers ---- */

static void copy(sw_record *record, sw_emitter *out, void *user) {
    (void)user;
    sw_emit(out, &(sw_output){.base = record});
}

static void upper(sw_record *record, sw_emitter *out, void *user) {
    (void)user;
    sw_bytes payload = sw_payload(record);
    char *text = sw_alloc(out, payload.size);
    for (size_t i = 0; i < payload.size; i++) text[i] = (char)toupper((unsigned char)payload.data[i]);
    sw_emit(out, &(sw_output){.base = record, .payload = {text, payload.size}});
}

static void attribute(sw_record *record, sw_emitter *out, void *user) {
    (void)user;
    sw_attribute size = {.name = sw_text("size"), .kind = SW_INTEGER, .integer = (int64_t)sw_payload(record).size};
    sw_emit(out, &(sw_output){.base = record, .attributes = &size, .attribute_count = 1});
}

static volatile size_t seen;

static void look(sw_record *record, sw_emitter *out, void *user) {
    (void)out;
    (void)user;
    seen += sw_payload(record).size;
}

static int run_worker(const char *kind) {
    sw_stage stage = {.name = "bench", .transform = copy};
    if (strcmp(kind, "upper") == 0) stage.transform = upper;
    if (strcmp(kind, "attribute") == 0) stage.transform = attribute;
    if (strcmp(kind, "sink") == 0) stage = (sw_stage){.name = "bench", .sink = look};
    if (strcmp(kind, "pool") == 0) stage.workers = 4;
    return sw_run(1, (char *[]){"bench", NULL}, &stage);
}

/* ---- The broker ---- */

typedef struct broker {
    int fd;
    uint64_t total;
    _Atomic uint64_t granted_records, granted_bytes, settled;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
} broker;

static void write_all(int fd, const void *data, size_t size) {
    const uint8_t *at = data;
    while (size > 0) {
        ssize_t written = send(fd, at, size, MSG_NOSIGNAL);
        if (written <= 0) {
            perror("the worker is gone");
            exit(1);
        }
        at += written;
        size -= (size_t)written;
    }
}

static void send_envelope(int fd, Stagewire__V1__Envelope *envelope) {
    uint8_t frame[4096];
    envelope->version = 1000;
    size_t size = stagewire__v1__envelope__pack(envelope, frame + 4);
    for (int i = 0; i < 4; i++) frame[i] = (uint8_t)(size >> (24 - 8 * i));
    write_all(fd, frame, size + 4);
}

static void read_all(int fd, void *data, size_t size) {
    uint8_t *at = data;
    while (size > 0) {
        ssize_t got = recv(fd, at, size, 0);
        if (got <= 0) {
            fputs("the worker has closed\n", stderr);
            exit(1);
        }
        at += got;
        size -= (size_t)got;
    }
}

static void welcome(int fd) {
    Stagewire__V1__Envelope envelope = STAGEWIRE__V1__ENVELOPE__INIT;
    Stagewire__V1__Welcome message = STAGEWIRE__V1__WELCOME__INIT;
    Stagewire__V1__Credit credit = STAGEWIRE__V1__CREDIT__INIT;
    Stagewire__V1__Input input = STAGEWIRE__V1__INPUT__INIT, *inputs[] = {&input};
    Stagewire__V1__Output output = STAGEWIRE__V1__OUTPUT__INIT, *outputs[] = {&output};
    uint8_t length[4], hello[16384];
    read_all(fd, length, 4);
    read_all(fd, hello, (size_t)length[2] << 8 | length[3]);
    input.stage = "source";
    input.port = output.port = "out";
    input.ordering = STAGEWIRE__V1__ORDERING__ORDERING_KEY;
    input.max_unsettled_records = 4096;
    input.max_unsettled_bytes = 4 << 20;
    message.version = 1000;
    message.max_frame = 4 << 20;
    message.max_record = message.max_step_bytes = 1 << 20;
    message.stamp_reserve = 1005;
    message.max_step_records = 4096;
    message.lease_ms = 30000;
    message.inputs = inputs;
    message.outputs = outputs;
    message.n_inputs = message.n_outputs = 1;
    envelope.message_case = STAGEWIRE__V1__ENVELOPE__MESSAGE_WELCOME;
    envelope.welcome = &message;
    send_envelope(fd, &envelope);
    credit.records = credit.bytes = UINT64_MAX / 2;
    envelope.message_case = STAGEWIRE__V1__ENVELOPE__MESSAGE_CREDIT;
    envelope.credit = &credit;
    send_envelope(fd, &envelope);
}

/* Counts the deliveries of a Settle. */
static uint64_t count_settled(swi_slice settle) {
    const uint8_t *at = settle.data, *end = at + settle.size;
    swi_field outcome, part;
    uint64_t count = 0;
    while (swi_next(&at, end, &outcome) > 0) {
        const uint8_t *inner = outcome.bytes.data, *inner_end = inner + outcome.bytes.size;
        uint64_t first = 0, last = 0;
        while (swi_next(&inner, inner_end, &part) > 0 && part.number < 3) *(part.number == 1 ? &first : &last) = part.value;
        count += last > first ? last - first + 1 : 1;
    }
    return count;
}

static void take_frame(broker *state, const swi_item *item) {
    uint32_t version, kind;
    swi_slice message;
    swi_field field;
    if (!swi_read_envelope((swi_slice){item->frame, item->size}, &version, &kind, &message)) exit(1);
    if (kind == SWI_M_SETTLE) atomic_fetch_add(&state->settled, count_settled(message));
    if (kind == SWI_M_CREDIT) {
        const uint8_t *at = message.data, *end = at + message.size;
        while (swi_next(&at, end, &field) > 0)
            atomic_store(field.number == 2 ? &state->granted_records : &state->granted_bytes, field.value);
    }
    pthread_mutex_lock(&state->mutex);
    pthread_cond_signal(&state->changed);
    pthread_mutex_unlock(&state->mutex);
}

static void *read_worker(void *argument) {
    broker *state = argument;
    static swi_frames frames = {.limit = 4 << 20};
    while (atomic_load(&state->settled) < state->total) {
        size_t room;
        swi_item *item;
        uint8_t *at = swi_frames_room(&frames, &room);
        ssize_t got = recv(state->fd, at, room, 0);
        if (got <= 0) exit(1);
        swi_frames_filled(&frames, (size_t)got);
        while (swi_frames_next(&frames, &item) == SWI_FRAME) {
            take_frame(state, item);
            swi_frames_recycle(&frames, item);
        }
    }
    return NULL;
}

/* One batch of records, each with its tag; the frame's head is made for each Deliver. `charge`: what they cost (CR-3). */
static size_t prepare(uint8_t *records, size_t *charge) {
    uint8_t *at = records;
    for (int i = 0; i < BATCH; i++) {
        Stagewire__V1__Record record = STAGEWIRE__V1__RECORD__INIT;
        Stagewire__V1__Lineage lineage = STAGEWIRE__V1__LINEAGE__INIT;
        Stagewire__V1__Header header = STAGEWIRE__V1__HEADER__INIT;
        Stagewire__V1__Hop first = STAGEWIRE__V1__HOP__INIT, second = STAGEWIRE__V1__HOP__INIT, *hops[] = {&first, &second};
        uint8_t id[16] = {1, 2, 3}, payload[PAYLOAD];
        char key[16];
        first.run = 1;
        second.run = 2;
        second.delta = 1234;
        memset(payload, 'x', sizeof payload);
        snprintf(key, sizeof key, "sensor-%d", i % 97);
        lineage.id = lineage.root = (ProtobufCBinaryData){16, id};
        lineage.ingest_time = 1767225600000000;
        lineage.hops = hops;
        lineage.n_hops = 2;
        header.schema = "sensor.raw";
        header.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)key};
        header.event_time = 1767225599000000;
        record.lineage = &lineage;
        record.header = &header;
        record.payload = (ProtobufCBinaryData){sizeof payload, payload};
        size_t size = stagewire__v1__record__get_packed_size(&record);
        at = swi_put_varint(swi_put_tag(at, 4, SWI_LEN), size);
        at += stagewire__v1__record__pack(&record, at);
        *charge += size;
    }
    return (size_t)(at - records);
}

static void deliver_all(broker *state, const uint8_t *records, size_t size, size_t charge) {
    uint64_t sent = 0, sent_bytes = 0;
    uint8_t *frame = swi_allocate(size + 64);
    while (sent < state->total) {
        pthread_mutex_lock(&state->mutex);
        while (sent + BATCH > atomic_load(&state->granted_records) || sent_bytes + charge > atomic_load(&state->granted_bytes) ||
               sent - atomic_load(&state->settled) > 4096 * 4)
            pthread_cond_wait(&state->changed, &state->mutex);
        pthread_mutex_unlock(&state->mutex);
        uint8_t *at = swi_put_varint(swi_put_tag(frame + 4, 1, SWI_VARINT), 1000);
        at = swi_put_varint(swi_put_tag(at, SWI_M_DELIVER, SWI_LEN), 1 + swi_varint_size(sent + 1) + size);
        at = swi_put_varint(swi_put_tag(at, 2, SWI_VARINT), sent + 1);
        memcpy(at, records, size);
        size_t length = (size_t)(at + size - frame) - 4;
        for (int i = 0; i < 4; i++) frame[i] = (uint8_t)(length >> (24 - 8 * i));
        write_all(state->fd, frame, length + 4);
        sent += BATCH;
        sent_bytes += charge;
    }
    free(frame);
}

static double seconds_of(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

static void run_broker(int listener, uint64_t total, const char *kind) {
    static broker state;
    struct timespec begin, end;
    struct rusage usage;
    pthread_t reader;
    int status;
    uint8_t *records = swi_allocate(BATCH * 512);
    size_t charge = 0, size = prepare(records, &charge);
    state.fd = accept(listener, NULL, NULL);
    state.total = (total + BATCH - 1) / BATCH * BATCH;
    pthread_mutex_init(&state.mutex, NULL);
    pthread_cond_init(&state.changed, NULL);
    welcome(state.fd);
    pthread_create(&reader, NULL, read_worker, &state);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    deliver_all(&state, records, size, charge);
    pthread_join(reader, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    Stagewire__V1__Envelope envelope = STAGEWIRE__V1__ENVELOPE__INIT;
    Stagewire__V1__Close close_message = STAGEWIRE__V1__CLOSE__INIT;
    envelope.message_case = STAGEWIRE__V1__ENVELOPE__MESSAGE_CLOSE;
    envelope.close = &close_message;
    send_envelope(state.fd, &envelope);
    close(state.fd);
    wait(&status);
    getrusage(RUSAGE_CHILDREN, &usage);
    double elapsed = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    double cpu = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime), count = (double)state.total;
    printf("%-9s  %10.0f records/s  %5.0f ns of CPU per record in the worker\n", kind, count / elapsed, cpu / count * 1e9);
    free(records);
}

int main(int argc, char **argv) {
    uint64_t total = argc > 1 ? strtoull(argv[1], NULL, 10) : 4000000;
    const char *kind = argc > 2 ? argv[2] : "copy";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char directory[] = "/tmp/stagewire-bench-XXXXXX";
    if (mkdtemp(directory) == NULL) return 1;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1) != 0) return 1;
    pid_t worker = fork();
    if (worker == 0) {
        close(listener);
        setenv("STAGEWIRE_SOCKET", address.sun_path, 1);
        setenv("STAGEWIRE_STAGE", "bench", 1);
        _exit(run_worker(kind));
    }
    run_broker(listener, total, kind);
    unlink(address.sun_path);
    rmdir(directory);
    return 0;
}
