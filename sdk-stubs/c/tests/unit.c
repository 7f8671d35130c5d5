/* The parts without IO: wire format, frames, records, JSON, windows. */
#include "emitter.h"
#include "frame.h"
#include "json.h"
#include "recordjson.h"
#include "stagewire/v1/envelope.pb-c.h"
#include "windowset.h"
#include "worker.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int failures, checks;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        checks++;                                                                                                      \
        if (!(condition)) {                                                                                            \
            failures++;                                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
        }                                                                                                              \
    } while (0)

static bool same(sw_bytes bytes, const char *text) {
    return bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0;
}

/* ---- Wire format ---- */

static void test_varints(void) {
    const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint8_t bytes[16];
        size_t size = (size_t)(swi_put_varint(bytes, values[i]) - bytes);
        const uint8_t *at = bytes;
        uint64_t value = 0;
        CHECK(size == swi_varint_size(values[i]));
        CHECK(swi_read_varint(&at, bytes + size, &value) && value == values[i] && at == bytes + size);
        at = bytes;
        CHECK(!swi_read_varint(&at, bytes + size - 1, &value)); /* cut off */
    }
    const uint8_t large[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, *at = large;
    uint64_t value;
    CHECK(!swi_read_varint(&at, large + sizeof large, &value)); /* 65 bits */
}

static void test_utf8(void) {
    const char *good[] = {"", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x99\x82", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"};
    const char *bad[] = {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xe2\x82", "a\xf0\x9f\x99"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) CHECK(swi_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!swi_is_utf8(bad[i], strlen(bad[i])));
}

/* ---- Frames ---- */

/* Feeds bytes in pieces of at most `piece`; the number of frames that came, and their sizes' sum. */
static size_t feed(const uint8_t *bytes, size_t size, size_t piece, size_t *sum) {
    swi_frames *frames = swi_allocate_zeroed(1, sizeof *frames);
    size_t count = 0;
    swi_item *item;
    frames->limit = 1 << 20;
    *sum = 0;
    while (size > 0) {
        size_t room;
        uint8_t *at = swi_frames_room(frames, &room);
        size_t taken = size < piece ? size : piece;
        if (taken > room) taken = room;
        memcpy(at, bytes, taken);
        swi_frames_filled(frames, taken);
        bytes += taken;
        size -= taken;
        while (swi_frames_next(frames, &item) == SWI_FRAME) {
            count++;
            *sum += item->size;
            for (size_t i = 0; i < item->size; i++) CHECK(item->frame[i] == (uint8_t)(item->size + i));
            swi_frames_recycle(frames, item);
        }
    }
    swi_frames_free(frames);
    free(frames);
    return count;
}

static void test_fragmentation(void) {
    const size_t sizes[] = {1, 3, 70000, 2, 65532, 65536, 200000, 5};
    const size_t pieces[] = {1, 2, 3, 7, 4096, 65536, 1 << 20};
    swi_buffer bytes = {0};
    size_t total = 0, sum;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *at = swi_buffer_room(&bytes, sizes[i] + 4);
        for (int j = 0; j < 4; j++) at[j] = (uint8_t)(sizes[i] >> (24 - 8 * j));
        for (size_t j = 0; j < sizes[i]; j++) at[4 + j] = (uint8_t)(sizes[i] + j);
        bytes.size += sizes[i] + 4;
        total += sizes[i];
    }
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        CHECK(feed(bytes.data, bytes.size, pieces[i], &sum) == sizeof sizes / sizeof *sizes);
        CHECK(sum == total);
    }
    swi_buffer_free(&bytes);
}

static void test_attempts(void) {
    /* input 7, first 5, attempts 2 (unpacked), then 3 and 4 (packed), three empty records; one attempt behind them */
    const uint8_t bytes[] = {0x08, 7, 0x10, 5, 0x18, 2, 0x1a, 2, 3, 4, 0x22, 0, 0x22, 0, 0x22, 0, 0x22, 0, 0x18, 9, 0x22, 0};
    swi_item item = {0};
    swi_records records;
    swi_slice record;
    uint32_t attempt;
    CHECK(swi_read_deliver(&item, (swi_slice){bytes, sizeof bytes}));
    CHECK(item.input == 7 && item.first == 5 && item.count == 5 && item.bytes == 0);
    swi_records_begin(&records, &item);
    const uint32_t expected[] = {2, 3, 4, 9, 1};
    for (int i = 0; i < 5; i++) CHECK(swi_records_next(&records, &record, &attempt) && attempt == expected[i]);
    CHECK(!swi_records_next(&records, &record, &attempt));
}

/* ---- Outputs ---- */

static void emit_all(sw_emitter *emitter, swi_limits *limits, sw_record *base) {
    sw_attribute attributes[] = {
        {.name = sw_text("text"), .kind = SW_TEXT, .text = sw_text("\xc3\xa4")},
        {.name = sw_text("least"), .kind = SW_INTEGER, .integer = INT64_MIN},
        {.name = sw_text("number"), .kind = SW_NUMBER, .number = -0.5},
        {.name = sw_text("flag"), .kind = SW_FLAG, .flag = true},
    };
    swi_emitter_begin(emitter, SWI_HANDLER, limits, &base, 1);
    sw_emit(emitter, &(sw_output){.base = base, .attributes = attributes, .attribute_count = 4, .key = sw_text("k2"),
                                  .port = "side", .parents = &base, .parent_count = 1});
    swi_emitter_end(emitter);
}

/* libprotobuf-c reads what the emitter writes. */
static void test_output_against_libprotobuf_c(void) {
    char wrong[256];
    sw_emitter emitter = {0};
    swi_output ports[2] = {{.number = 0, .port = "out"}, {.number = 300, .port = "side"}};
    swi_limits limits = {1 << 20, 1005, 10, 1 << 20, 1 << 22, ports, 2};
    sw_record *base = swi_record_from_json(
        sw_text("{\"key\": \"k\", \"text\": \"p\", \"schema\": \"s\", \"schema_version\": 3, \"event_time\": -5, "
                "\"attributes\": {\"number\": 1, \"kept\": \"yes\"}}"), NULL, wrong);
    CHECK(base != NULL);
    base->id = 1000000;
    emit_all(&emitter, &limits, base);
    CHECK(emitter.kind == SWI_ACCEPTED && emitter.count == 1 && emitter.need[1].records == 1);
    Stagewire__V1__Outcome *outcome = stagewire__v1__outcome__unpack(NULL, emitter.step.size, emitter.step.data);
    CHECK(outcome != NULL && outcome->n_emissions == 1);
    const Stagewire__V1__Emission *emission = outcome->emissions[0];
    const Stagewire__V1__Header *header = emission->output->header;
    CHECK(emission->port == 300 && emission->n_parents == 1 && emission->parents[0] == 1000000);
    CHECK(emitter.need[1].bytes == 1005 + stagewire__v1__record__get_packed_size(emission->output));
    CHECK(header->key.len == 2 && header->event_time == -5 && header->schema_version == 3 && !strcmp(header->schema, "s"));
    CHECK(header->n_attributes == 5); /* the base's number is replaced */
    CHECK(header->attributes[1]->integer == INT64_MIN && header->attributes[2]->number == -0.5 && header->attributes[3]->flag);
    CHECK(!strcmp(header->attributes[4]->text, "yes"));
    stagewire__v1__outcome__free_unpacked(outcome, NULL);
    swi_emitter_free(&emitter);
    swi_record_free(base);
}

static void test_refusals(void) {
    sw_emitter emitter = {0};
    swi_output port = {.port = "out"};
    swi_limits limits = {2000, 100, 2, 3000, 1 << 22, &port, 1};
    static char large[1901];
    const struct {
        sw_output output;
        uint32_t code;
    } cases[] = {
        {{.payload = {large, sizeof large}}, SWI_OUTPUT_TOO_LARGE},
        {{.key = {large, 1025}}, SWI_INVALID_OUTPUT},
        {{.schema = sw_text("\xff")}, SWI_INVALID_OUTPUT},
        {{.content_type = sw_text("\xc3")}, SWI_INVALID_OUTPUT},
        {{.port = "nowhere"}, SWI_INVALID_OUTPUT},
        {{.payload = {large, 1800}}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        swi_emitter_begin(&emitter, SWI_HANDLER, &limits, NULL, 0);
        sw_emit(&emitter, &cases[i].output);
        swi_emitter_end(&emitter);
        CHECK(emitter.code == cases[i].code || emitter.kind == SWI_ACCEPTED);
        CHECK((emitter.kind == SWI_REJECTED) == (cases[i].code != 0));
        CHECK((emitter.count == 0) == (cases[i].code != 0));
    }
    swi_emitter_free(&emitter);
}

static void test_error_texts(void) {
    sw_emitter emitter = {0};
    static char text[10000];
    swi_emitter_begin(&emitter, SWI_SINK, NULL, NULL, 0);
    memset(text, 'a', 8191);
    strcpy(text + 8191, "\xe2\x82\xac tail");
    sw_reject(&emitter, 1001, "%s", text);
    CHECK(strlen(emitter.message) == 8191); /* the euro sign would be split */
    sw_reject(&emitter, 1001, "bad \xff byte");
    CHECK(!strcmp(emitter.message, "bad ? byte"));
    sw_retry(&emitter, 0.0001, "%s", "soon");
    CHECK(emitter.delay_ms == 1 && emitter.kind == SWI_RETRY);
    sw_retry(&emitter, 1e12, "%s", "never");
    CHECK(emitter.delay_ms == UINT32_MAX);
    swi_emitter_free(&emitter);
}

/* ---- JSON ---- */

static void test_json(void) {
    const char *good[] = {"0", "-1.5e+3", "[]", "{\"a\": [1, {\"b\": null}]}", "\"\\ud83d\\ude42\"", " true "};
    const char *bad[] = {"", "01", "1.", "[1,]", "{\"a\"}", "{a: 1}", "\"\n\"", "\"\\x\"", "nul", "1 2", "\"\\u12\"", "-", "[", "\"\xff\""};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) CHECK(swi_json_is_valid(sw_text(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!swi_json_is_valid(sw_text(bad[i])));
    double number = 0;
    int64_t integer = 0;
    sw_bytes json = sw_text("{\"limits\": [{\"above\": 3}, {\"above\": 4.5}], \"n\": 9223372036854775807}");
    CHECK(sw_json_number(json, "limits[1].above", &number) && number == 4.5);
    CHECK(!sw_json_integer(json, "limits[1].above", &integer) && !sw_json_number(json, "limits[2].above", &number));
    CHECK(sw_json_integer(json, "n", &integer) && integer == INT64_MAX);
    char deep[400];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    CHECK(!swi_json_is_valid((sw_bytes){deep, 400}));
}

static void test_record_json(void) {
    /* what is read, and what is written again (NULL: the same) */
    const char *cases[][2] = {
        {"{\"key\": \"door\", \"text\": \"hello \\\"you\\\"\\n\"}", NULL},
        {"{\"json\": {\"a\":1.50,\"b\":\"x y\"}, \"content_type\": \"application/json\"}", NULL},
        {"{\"json\": { \"a\" : 1.50 }}", "{\"json\": {\"a\":1.50}, \"content_type\": \"application/json\"}"},
        {"{\"base64\": \"/w==\", \"key_base64\": \"gA==\"}", "{\"key_base64\": \"gA==\", \"base64\": \"/w==\"}"},
        {"{\"base64\": \"aGk=\"}", "{\"text\": \"hi\"}"},
        {"{\"text\": \"a\", \"schema\": \"s\", \"schema_version\": 2, \"event_time\": \"2026-01-05T12:30:00.1234567+02:00\"}",
         "{\"text\": \"a\", \"schema\": \"s\", \"schema_version\": 2, \"event_time\": \"2026-01-05T10:30:00.123456Z\"}"},
        {"{\"event_time\": \"1969-12-31T23:59:59.000001Z\"}", NULL},
        {"{\"event_time\": \"0001-01-01T00:00:00.000000Z\"}", NULL},
        {"{\"event_time\": \"9999-12-31T23:59:59.999999Z\"}", NULL},
        {"{\"event_time\": 9223372036854775807}", NULL},
        {"{\"attributes\": {\"a\": \"b\", \"i\": -9223372036854775808, \"n\": 2.0, \"m\": 0.1, \"f\": false}}", NULL},
        {"{\"attributes\": {\"big\": 1e22}}", "{\"attributes\": {\"big\": 1e+22}}"},
        {"{}", NULL},
    };
    const char *bad[] = {"{\"txt\": 1}", "{\"text\": \"a\", \"json\": 1}", "[]", "{\"text\": 1}", "{\"base64\": \"a\"}", "{\"base64\": \"=\"}",
                         "{\"event_time\": \"2026-02-29T00:00:00Z\"}", "{\"event_time\": \"yesterday\"}", "{\"schema_version\": -1}",
                         "{\"attributes\": {\"a\": []}}", "{\"attributes\": 1}", "not json"};
    char wrong[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sw_record *record = swi_record_from_json(sw_text(cases[i][0]), NULL, wrong);
        swi_buffer line = {0};
        CHECK(record != NULL);
        if (record == NULL) continue;
        swi_record_to_json(&line, record, NULL);
        const char *expected = cases[i][1] ? cases[i][1] : cases[i][0];
        if (!same((sw_bytes){(char *)line.data, line.size}, expected)) {
            failures++;
            fprintf(stderr, "%s\n  was written as %.*s\n", cases[i][0], (int)line.size, line.data);
        }
        swi_buffer_free(&line);
        swi_record_free(record);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(swi_record_from_json(sw_text(bad[i]), NULL, wrong) == NULL);
        CHECK(wrong[0] != 0);
    }
}

/* Handlers see in `--test` what they would see under a broker, hops and their names included. */
static void test_lineage_of_json(void) {
    char wrong[256];
    swi_runs *runs = swi_runs_make();
    sw_bytes line = sw_text(
        "{\"lineage\": {\"id\": \"000102030405060708090a0b0c0d0e0f\", \"root\": \"100102030405060708090A0B0C0D0E0F\", "
        "\"parents\": [\"200102030405060708090a0b0c0d0e0f\", \"no id\"], \"parents_truncated\": true, "
        "\"ingest_time\": \"2026-01-05T10:30:01.250000Z\", \"trace\": {\"traceparent\": \"00-1\", \"tracestate\": \"a=b\"}, "
        "\"hops\": [{\"stage\": \"ingest\", \"version\": \"1.2\", \"instance\": \"1\", \"language\": \"rust\", "
        "\"time\": \"2026-01-05T10:30:01.250001Z\", \"attempt\": 3}, {\"stage\": \"ingest\", \"version\": \"1.3\", \"what\": 1}]}}");
    sw_record *first = swi_record_from_json(line, runs, wrong), *second = swi_record_from_json(line, runs, wrong);
    for (int i = 0; i < 2; i++) {
        const sw_lineage *lineage = sw_record_lineage(i == 0 ? first : second);
        CHECK(lineage->id[0] == 0 && lineage->id[15] == 15 && lineage->root[0] == 16);
        CHECK(lineage->parent_count == 1 && lineage->parents[0][0] == 32 && lineage->parents_truncated);
        CHECK(same(lineage->traceparent, "00-1") && same(lineage->tracestate, "a=b"));
        CHECK(lineage->ingest_time == 1767609001250000 && lineage->hop_count == 2);
        CHECK(!strcmp(lineage->hops[0].stage, "ingest") && !strcmp(lineage->hops[0].version, "1.2"));
        CHECK(!strcmp(lineage->hops[0].instance, "1") && !strcmp(lineage->hops[0].language, "rust"));
        CHECK(lineage->hops[0].time == 1767609001250001 && lineage->hops[0].attempt == 3);
        CHECK(!strcmp(lineage->hops[1].version, "1.3") && !strcmp(lineage->hops[1].language, ""));
        CHECK(lineage->hops[1].time == lineage->ingest_time && lineage->hops[1].attempt == 1);
    }
    CHECK(swi_runs_number(runs, "ingest", "1.2", "1", "rust") == 1 && swi_runs_number(runs, "other", "", "", "") == 3);
    swi_record_free(first);
    swi_record_free(second);
    swi_runs_free(runs);
}

/* ---- Windows ---- */

static sw_record *timed(int64_t seconds, const char *key) {
    char line[128], wrong[256];
    snprintf(line, sizeof line, "{\"key\": \"%s\", \"text\": \"x\", \"event_time\": %lld}", key, (long long)seconds * 1000000);
    return swi_record_from_json(sw_text(line), NULL, wrong);
}

static swi_place add(swi_windows *windows, int64_t seconds, const char *key, bool returned) {
    int64_t end;
    sw_record *record = timed(seconds, key);
    swi_place where = swi_windows_add(windows, record, 0, returned, returned, &end);
    if (where != SWI_PLACED) swi_record_free(record);
    return where;
}

/* Takes the next window that has ended; its number of records, 0: none. */
static size_t ended(swi_windows *windows, int64_t now_ms) {
    sw_window *window = swi_windows_ended(windows, now_ms);
    size_t count = window ? window->count : 0;
    if (window != NULL) swi_window_free(window);
    return count;
}

static void test_event_time(void) {
    sw_bounds bounds = {.size = 60, .lateness = 5};
    swi_windows windows;
    swi_windows_begin(&windows, &bounds);
    CHECK(add(&windows, 60, "a", false) == SWI_PLACED && add(&windows, 119, "b", false) == SWI_PLACED);
    CHECK(add(&windows, 124, "a", false) == SWI_PLACED && ended(&windows, 0) == 0);
    CHECK(add(&windows, 125, "a", false) == SWI_PLACED && ended(&windows, 0) == 2 && ended(&windows, 0) == 0);
    CHECK(add(&windows, 61, "a", false) == SWI_LATE && add(&windows, 0, "a", false) == SWI_UNTIMED);
    CHECK(add(&windows, -61, "a", true) == SWI_PLACED && windows.last->start == -120000000);
    swi_windows_idle(&windows);
    CHECK(add(&windows, 179, "a", false) == SWI_LATE);
    swi_windows_clear(&windows);
}

/* A window that was given back is gathered once more, until all of its records are there. */
static void test_gathering(void) {
    sw_bounds bounds = {.size = 60, .by_key = true};
    swi_windows windows;
    swi_windows_begin(&windows, &bounds);
    add(&windows, 60, "a", false);
    add(&windows, 61, "a", false);
    add(&windows, 200, "b", false);
    sw_window *window = swi_windows_ended(&windows, 0);
    CHECK(window != NULL && window->count == 2);
    for (size_t i = 0; i < 2; i++) swi_windows_gave_back(&windows, window->records[i], 0);
    swi_window_free(window);
    CHECK(add(&windows, 60, "a", true) == SWI_PLACED && ended(&windows, 100) == 0);
    CHECK(swi_windows_deadline(&windows) == SWI_GATHER_MS);
    CHECK(add(&windows, 61, "a", true) == SWI_PLACED && ended(&windows, 100) == 2);
    swi_windows_clear(&windows);
}

static void test_bounds(void) {
    sw_bounds bounds = {.records = 3, .bytes = 2, .seconds = 1};
    swi_windows windows;
    swi_windows_begin(&windows, &bounds);
    add(&windows, 1, "a", false);
    CHECK(ended(&windows, 999) == 0 && swi_windows_deadline(&windows) == 1000 && ended(&windows, 1000) == 1);
    add(&windows, 1, "a", false);
    sw_record *record = timed(1, "a");
    CHECK(swi_windows_overfull(&windows, record) == NULL);
    swi_record_free(record);
    add(&windows, 1, "a", false);
    CHECK(ended(&windows, 0) == 2);
    swi_windows_clear(&windows);
}

static void test_room(void) {
    sw_bounds bounds = {.size = 60};
    swi_windows windows;
    swi_windows_begin(&windows, &bounds);
    add(&windows, 60, "a", false);
    sw_window *window = swi_windows_oldest(&windows, true);
    CHECK(!sw_window_complete(window));
    swi_window_free(window);
    add(&windows, 62, "a", false);
    CHECK(!sw_window_complete(windows.first)); /* its later parts are not complete either */
    add(&windows, 130, "a", false);
    CHECK(sw_window_complete(windows.last));
    swi_windows_clear(&windows);
}

int main(void) {
    test_varints();
    test_utf8();
    test_fragmentation();
    test_attempts();
    test_output_against_libprotobuf_c();
    test_refusals();
    test_error_texts();
    test_json();
    test_record_json();
    test_lineage_of_json();
    test_event_time();
    test_gathering();
    test_bounds();
    test_room();
    if (failures == 0) printf("unit: %d checks passed\n", checks);
    return failures > 0;
}
