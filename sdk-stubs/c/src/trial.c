#include "trial.h"

#include "config.h"
#include "produce.h"
#include "recordjson.h"
#include "windowset.h"
#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct options {
    const char *file, *config;
    uint64_t limit;
} options_state;

typedef struct trial {
    const sw_stage *stage;
    void *user;
    sw_emitter emitter;
    swi_tally tally;
    swi_windows windows;
    swi_runs *runs; /* of the records' hops */
    sw_record **batch; /* of a batch sink */
    size_t batch_count, batch_limit;
} trial_state;

/* ---- Arguments ---- */

bool swi_is_trial(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--test") == 0) return true;
    }
    return false;
}

/* Reads a whole file; NULL: a sentence was written. */
static char *read_file(const char *path) {
    swi_buffer text = {0};
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        swi_say("%s: %s", path, strerror(errno));
        return NULL;
    }
    for (size_t got = 1; got > 0; text.size += got) got = fread(swi_buffer_room(&text, 4096), 1, 4096, file);
    fclose(file);
    swi_buffer_add(&text, "", 1);
    return (char *)text.data;
}

static bool read_limit(const char *text, uint64_t *limit) {
    char *end;
    errno = 0;
    *limit = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == 0 && *text != '-';
}

/* Reads the options; what else there is belongs to the author. */
static bool read_options(int argc, char **argv, bool is_source, options_state *options) {
    *options = (options_state){.config = "{}", .limit = 100};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool is_test = strcmp(name, "--test") == 0 && !is_source, is_config = strcmp(name, "--config") == 0;
        bool is_limit = strcmp(name, "--limit") == 0;
        if (!is_test && !is_config && !is_limit) continue;
        if (value == NULL) {
            swi_say("%s needs a value%s", name, is_test ? ": a file of records, one on each line, or -" : "");
            return false;
        }
        if (is_test) options->file = value;
        if (is_config) options->config = value;
        if (is_limit && !read_limit(value, &options->limit)) {
            swi_say("--limit %s: expected a number of records", value);
            return false;
        }
        i++;
    }
    return true;
}

/* ---- What became of records ---- */

uint64_t swi_print_emissions(const sw_emitter *emitter, uint64_t limit) {
    const uint8_t *at = emitter->step.data, *end = at;
    swi_field emission, part;
    swi_buffer line = {0};
    uint64_t count = 0;
    if (at != NULL) end += emitter->step.size;
    for (size_t i = 0; count < limit && swi_next(&at, end, &emission) > 0; i++, count++) {
        const uint8_t *inner = emission.bytes.data, *inner_end = inner + emission.bytes.size;
        sw_record record = {.attempt = 1};
        while (swi_next(&inner, inner_end, &part) > 0) {
            if (part.number == 3) swi_record_read(&record, part.bytes);
        }
        line.size = 0;
        swi_record_to_json(&line, &record, emitter->ports[i]);
        swi_buffer_add(&line, "\n", 1);
        fwrite(line.data, 1, line.size, stdout);
    }
    swi_buffer_free(&line);
    return count;
}

static void say_verdict(uint64_t record, swi_kind kind, uint32_t code, const char *message) {
    const char *name = kind == SWI_REJECTED ? "REJECTED" : kind == SWI_RETRY ? "RETRY" : "RELEASED";
    fflush(stdout);
    if (kind == SWI_RELEASED) fprintf(stderr, "record %llu: %s\n", (unsigned long long)record, name);
    else fprintf(stderr, "record %llu: %s %u: %s\n", (unsigned long long)record, name, code, message ? message : "");
}

/* Counts and shows what the handler made of these records. */
static void conclude(trial_state *trial, sw_record *const *records, size_t count) {
    sw_emitter *emitter = &trial->emitter;
    swi_tally *tally = &trial->tally;
    swi_emitter_end(emitter);
    for (size_t i = 0; i < count; i++) {
        const swi_single *single = swi_find_single(emitter, records[i]->id);
        swi_kind kind = single ? SWI_REJECTED : emitter->kind;
        tally->accepted += kind == SWI_ACCEPTED;
        tally->filtered += kind == SWI_ACCEPTED && emitter->count == 0;
        tally->rejected += kind == SWI_REJECTED;
        tally->retried += kind == SWI_RETRY;
        tally->released += kind == SWI_RELEASED;
        if (kind != SWI_ACCEPTED)
            say_verdict(records[i]->id, kind, single ? single->code : emitter->code, single ? single->message : emitter->message);
    }
    tally->emitted += swi_print_emissions(emitter, UINT64_MAX);
}

static void try_window(trial_state *trial, sw_window *window) {
    swi_emitter_begin(&trial->emitter, SWI_TRIAL, NULL, window->records, window->count);
    trial->stage->window(window, &trial->emitter, trial->user);
    conclude(trial, window->records, window->count);
    swi_window_free(window);
}

static void try_batch(trial_state *trial) {
    if (trial->batch_count == 0) return;
    swi_emitter_begin(&trial->emitter, SWI_SINK, NULL, trial->batch, trial->batch_count);
    trial->stage->batch_sink(trial->batch, trial->batch_count, &trial->emitter, trial->user);
    conclude(trial, trial->batch, trial->batch_count);
    while (trial->batch_count > 0) swi_record_free(trial->batch[--trial->batch_count]);
}

static void reject(trial_state *trial, sw_record *record, const char *format, const char *when) {
    swi_emitter_begin(&trial->emitter, SWI_SINK, NULL, &record, 1);
    swi_verdict(&trial->emitter, SWI_REJECTED, SWI_APPLICATION, format, when);
    conclude(trial, &record, 1);
    swi_record_free(record);
}

/* Puts a record into its window; those that end by it are tried. Time does not pass here. */
static void place(trial_state *trial, sw_record *record) {
    int64_t end = 0;
    char when[32];
    sw_window *window = swi_windows_overfull(&trial->windows, record);
    if (window != NULL) try_window(trial, window);
    switch (swi_windows_add(&trial->windows, record, 0, false, false, &end)) {
    case SWI_PLACED: break;
    case SWI_UNTIMED: reject(trial, record, "%s", "the record has no event time"); break;
    case SWI_LATE:
        swi_format_time(end, when);
        if (trial->stage->bounds.accept_late) {
            trial->tally.accepted++;
            trial->tally.filtered++;
            swi_record_free(record);
        } else {
            reject(trial, record, "late: its window ended at %s", when);
        }
    }
    while ((window = swi_windows_ended(&trial->windows, 0)) != NULL) try_window(trial, window);
}

/* Gives a record to the handler; takes it. */
static void try_record(trial_state *trial, sw_record *record) {
    const sw_stage *stage = trial->stage;
    record->id = ++trial->tally.records;
    if (stage->window != NULL) {
        place(trial, record);
    } else if (stage->batch_sink != NULL) {
        trial->batch[trial->batch_count++] = record;
        if (trial->batch_count == trial->batch_limit) try_batch(trial);
    } else {
        swi_emitter_begin(&trial->emitter, stage->sink ? SWI_SINK : SWI_TRIAL, NULL, &record, 1);
        (stage->sink ? stage->sink : stage->transform)(record, &trial->emitter, trial->user);
        conclude(trial, &record, 1);
        swi_record_free(record);
    }
}

static void try_rest(trial_state *trial) {
    sw_window *window;
    try_batch(trial);
    while (trial->stage->window != NULL && (window = swi_windows_oldest(&trial->windows, false)) != NULL)
        try_window(trial, window);
}

/* ---- Running ---- */

static bool is_blank(const char *line, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (strchr(" \t\r\n", line[i]) == NULL || line[i] == 0) return false;
    }
    return true;
}

static bool try_lines(trial_state *trial, FILE *file, const char *path) {
    char *line = NULL, wrong[256];
    size_t capacity = 0, number = 0;
    ssize_t size;
    bool is_good = true;
    while (is_good && (size = getline(&line, &capacity, file)) >= 0) {
        number++;
        if (is_blank(line, (size_t)size)) continue;
        sw_record *record = swi_record_from_json((sw_bytes){line, (size_t)size}, trial->runs, wrong);
        is_good = record != NULL;
        if (is_good) try_record(trial, record);
        else fflush(stdout), fprintf(stderr, "%s:%zu: %s\n", path, number, wrong);
    }
    free(line);
    return is_good;
}

static bool try_file(trial_state *trial, const char *path) {
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (file == NULL) {
        swi_say("%s: %s", path, strerror(errno));
        return false;
    }
    trial->batch_limit = trial->stage->batch_limit > 0 ? trial->stage->batch_limit : 1000;
    trial->batch = swi_allocate(trial->batch_limit * sizeof *trial->batch);
    trial->runs = swi_runs_make();
    swi_windows_begin(&trial->windows, &trial->stage->bounds);
    bool is_good = try_lines(trial, file, path);
    if (is_good) try_rest(trial);
    while (trial->batch_count > 0) swi_record_free(trial->batch[--trial->batch_count]);
    free(trial->batch);
    swi_windows_clear(&trial->windows);
    swi_emitter_free(&trial->emitter);
    swi_runs_free(trial->runs);
    if (file != stdin) fclose(file);
    return is_good;
}

/* A line of docs: `5 records: 4 accepted (1 filtered), ...`. */
static void say_tally(const swi_tally *tally) {
    fflush(stdout);
    fprintf(stderr, "%llu records: %llu accepted (%llu filtered), %llu rejected, %llu to be retried, %llu released; %llu emitted\n",
            (unsigned long long)tally->records, (unsigned long long)tally->accepted, (unsigned long long)tally->filtered,
            (unsigned long long)tally->rejected, (unsigned long long)tally->retried, (unsigned long long)tally->released,
            (unsigned long long)tally->emitted);
}

static int run_trial(const options_state *options, const sw_stage *stage, void *user) {
    trial_state trial = {.stage = stage, .user = user};
    int exit_code;
    if (stage->source != NULL) {
        exit_code = swi_try_source(stage, user, options->limit, &trial.tally.emitted);
        fflush(stdout);
        fprintf(stderr, "%llu emitted\n", (unsigned long long)trial.tally.emitted);
        return exit_code;
    }
    if (!try_file(&trial, options->file)) return 2;
    exit_code = trial.tally.accepted == trial.tally.records ? 0 : 1;
    say_tally(&trial.tally);
    return exit_code;
}

int swi_trial(int argc, char **argv, const sw_stage *stage) {
    options_state options;
    bool is_wrong = false;
    if (!read_options(argc, argv, stage->source != NULL, &options)) return 2;
    char *json = options.config[0] == '@' ? read_file(options.config + 1) : swi_duplicate(options.config);
    if (json == NULL) return 2;
    sw_config *config = swi_config_make(json);
    void *user = swi_set_up(stage, config, &is_wrong);
    int exit_code = is_wrong ? 2 : run_trial(&options, stage, user);
    if (!is_wrong && stage->teardown != NULL) stage->teardown(user);
    swi_config_free(config);
    free(json);
    return exit_code;
}
