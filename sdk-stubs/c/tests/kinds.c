/* Stages that tests need and the conformance stage does not have: STAGEWIRE_STAGE says which. */
#include <stagewire.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool says(sw_record *record, const char *text) {
    sw_bytes payload = sw_payload(record);
    return payload.size == strlen(text) && memcmp(payload.data, text, payload.size) == 0;
}

static void hang(sw_record *record, sw_emitter *out, void *user) {
    (void)out;
    (void)user;
    while (says(record, "hang")) pause();
}

/* Rejects "bad" by itself, and gives everything back for "again". */
static void batch(sw_record **records, size_t count, sw_emitter *out, void *user) {
    (void)user;
    for (size_t i = 0; i < count; i++) {
        if (says(records[i], "bad")) sw_reject_one(out, records[i], 1001, "bad in a batch of %zu", count);
        if (says(records[i], "again")) sw_retry(out, 0.5, "again");
    }
}

static void emitting_sink(sw_record *record, sw_emitter *out, void *user) {
    (void)user;
    sw_emit(out, &(sw_output){.base = record});
}

static void astray(sw_record *record, sw_emitter *out, void *user) {
    (void)user;
    sw_emit(out, &(sw_output){.base = record, .port = "nowhere"});
}

static int failing(sw_source *source, void *user) {
    (void)user;
    return sw_claim(source, "p") != NULL ? 7 : SW_STOPPED;
}

static int nothing(sw_source *source, void *user) {
    (void)source;
    (void)user;
    return 0;
}

/* Joins "a" records into one output for each pair, with those two as its parents. */
static void pairs(sw_window *window, sw_emitter *out, void *user) {
    (void)user;
    for (size_t i = 0; i + 1 < sw_window_count(window); i += 2) {
        sw_record *two[] = {sw_window_record(window, i), sw_window_record(window, i + 1)};
        if (says(two[0], "bad")) sw_reject_one(out, two[0], 1002, "bad");
        else sw_emit(out, &(sw_output){.payload = sw_text("pair"), .parents = two, .parent_count = 2});
    }
}

/* Gives a window back that has "again". */
static void timed(sw_window *window, sw_emitter *out, void *user) {
    (void)user;
    for (size_t i = 0; i < sw_window_count(window); i++) {
        if (says(sw_window_record(window, i), "again")) sw_retry(out, 0, "again");
    }
}

/* Gives every fifth record back at its first attempt; the others of its key have to wait for it. */
static void flaky(sw_record *record, sw_emitter *out, void *user) {
    (void)user;
    sw_bytes payload = sw_payload(record);
    if (sw_attempt(record) == 1 && payload.size > 0 && payload.data[payload.size - 1] % 5 == 0) sw_retry(out, 0, "not yet");
    else sw_emit(out, &(sw_output){.base = record});
}

/* Says on standard error what was confirmed ("+") and what will not be ("-"). */
static void heard(void *context, bool is_confirmed) {
    fprintf(stderr, "%s%s\n", is_confirmed ? "+" : "-", (char *)context);
    free(context);
}

static void ask(sw_emitter *out, sw_record *record) {
    sw_bytes payload = sw_payload(record);
    char *text = calloc(1, payload.size + 1);
    memcpy(text, payload.data, payload.size);
    sw_on_confirmed(out, record, heard, text);
}

static void asking(sw_record *record, sw_emitter *out, void *user) {
    (void)user;
    ask(out, record);
    if (says(record, "reject")) sw_reject(out, 1001, "no");
    if (says(record, "retry")) sw_retry(out, 0, "later");
    if (says(record, "release")) sw_release(out);
}

static void asking_transform(sw_record *record, sw_emitter *out, void *user) {
    asking(record, out, user);
    sw_emit(out, &(sw_output){.base = record});
}

static void asking_window(sw_window *window, sw_emitter *out, void *user) {
    (void)user;
    for (size_t i = 0; i < sw_window_count(window); i++) {
        sw_record *record = sw_window_record(window, i);
        ask(out, record);
        if (says(record, "bad")) sw_reject_one(out, record, 1001, "bad");
    }
    sw_emit(out, &(sw_output){.payload = sw_text("window")});
}

int main(int argc, char **argv) {
    const char *name = getenv("STAGEWIRE_STAGE");
    sw_stage stage = {.transform = hang, .timeout = 0.3};
    if (strcmp(name, "batch") == 0) stage = (sw_stage){.batch_sink = batch, .batch_limit = 4};
    if (strcmp(name, "emitting") == 0) stage = (sw_stage){.sink = emitting_sink};
    if (strcmp(name, "astray") == 0) stage = (sw_stage){.transform = astray};
    if (strcmp(name, "failing") == 0) stage = (sw_stage){.source = failing};
    if (strcmp(name, "nothing") == 0) stage = (sw_stage){.source = nothing};
    if (strcmp(name, "pairs") == 0) stage = (sw_stage){.window = pairs, .bounds = {.records = 4}};
    if (strcmp(name, "timed") == 0) stage = (sw_stage){.window = timed, .bounds = {.size = 10, .lateness = 2, .by_key = true, .idle = SW_NEVER}};
    if (strcmp(name, "flaky") == 0) stage = (sw_stage){.transform = flaky};
    if (strcmp(name, "flaky-pool") == 0) stage = (sw_stage){.transform = flaky, .workers = 4};
    if (strcmp(name, "asking") == 0) stage = (sw_stage){.sink = asking};
    if (strcmp(name, "asking-pool") == 0) stage = (sw_stage){.sink = asking, .workers = 4};
    if (strcmp(name, "asking-transform") == 0) stage = (sw_stage){.transform = asking_transform};
    if (strcmp(name, "asking-window") == 0) stage = (sw_stage){.window = asking_window, .bounds = {.records = 2}};
    if (strcmp(name, "both") == 0) stage = (sw_stage){.transform = hang, .sink = emitting_sink};
    return sw_run(argc, argv, &stage);
}
