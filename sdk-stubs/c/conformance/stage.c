/* The conformance stage of conformance/README.md. STAGEWIRE_STAGE says which of the four it is. */
#include <stagewire.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- transform, ordered ---- */

static void wait_ms(long ms) {
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

/* A directive: its words, and behind each of them the rest as text. */
typedef struct directive {
    const char *words[5], *rests[5]; /* NULL: there are no more */
    size_t count;
} directive;

/* Takes `text` apart at single spaces, in place in `copy`, which has as much room. */
static directive split(const char *text, char *copy) {
    directive result = {0};
    strcpy(copy, text);
    for (char *at = copy; at != NULL && result.count < 5; result.count++) {
        char *space = strchr(at, ' ');
        result.words[result.count] = at;
        result.rests[result.count] = space ? text + (space + 1 - copy) : NULL;
        if (space != NULL) *space = 0;
        at = space ? space + 1 : NULL;
    }
    return result;
}

/* A decimal number up to `most`; false: it is none. */
static bool number(const char *text, uint64_t most, uint64_t *value) {
    *value = 0;
    if (text == NULL || *text == 0) return false;
    for (; *text != 0; text++) {
        if (*text < '0' || *text > '9' || *value > (most - (uint64_t)(*text - '0')) / 10) return false;
        *value = *value * 10 + (uint64_t)(*text - '0');
    }
    return true;
}

static bool optional(const directive *d, size_t at, uint64_t otherwise, uint64_t *value) {
    *value = otherwise;
    return at >= d->count || number(d->words[at], UINT32_MAX, value);
}

/* A decimal number followed by spaces up to `size` bytes. */
static sw_bytes padded(sw_emitter *out, long value, size_t size) {
    char digits[24];
    size_t length = (size_t)snprintf(digits, sizeof digits, "%ld", value);
    if (size < length) size = length;
    char *text = sw_alloc(out, size);
    memset(text, ' ', size);
    memcpy(text, digits, length);
    return (sw_bytes){text, size};
}

static bool emit_many(sw_record *record, sw_emitter *out, const directive *d) {
    uint64_t count, size;
    const char *port = d->count > 3 ? d->words[3] : "out";
    if (d->count < 2 || d->count > 4 || !number(d->words[1], UINT32_MAX, &count) || !optional(d, 2, 0, &size)) return false;
    if (strcmp(port, "out") != 0 && strcmp(port, "side") != 0) return false;
    for (uint64_t i = 0; i < count; i++)
        sw_emit(out, &(sw_output){.base = record, .port = port, .payload = padded(out, (long)i, size)});
    return true;
}

static void emit_id(sw_record *record, sw_emitter *out) {
    const sw_lineage *lineage = sw_record_lineage(record);
    char *text = sw_alloc(out, 33);
    for (int i = 0; i < 16; i++) snprintf(text + 2 * i, 3, "%02x", lineage->id[i]);
    sw_emit(out, &(sw_output){.base = record, .port = "out", .payload = {text, 32}});
}

static void emit_environment(sw_record *record, sw_emitter *out, const char *name) {
    const char *value = getenv(name);
    if (value != NULL) sw_emit(out, &(sw_output){.base = record, .port = "out", .payload = sw_text(value)});
}

/* What became of a directive. */
typedef enum fate { DONE, ENDED, UNKNOWN } fate;

/* A verdict, or `wait`. */
static fate verdict(sw_emitter *out, const directive *d) {
    const char *name = d->words[0];
    uint64_t ms, code;
    if (strcmp(name, "reject") == 0) {
        if (!optional(d, 1, 1000, &code)) return UNKNOWN;
        sw_reject(out, (uint32_t)code, "%s", d->count > 1 && d->rests[1] ? d->rests[1] : "");
    } else if (strcmp(name, "retry") == 0) {
        if (!optional(d, 1, 0, &ms) || !optional(d, 2, 1000, &code)) return UNKNOWN;
        sw_retry_with(out, (double)ms / 1000, (uint32_t)code, false, "%s", d->count > 2 && d->rests[2] ? d->rests[2] : "");
    } else if (strcmp(name, "release") == 0 && d->count == 1) {
        sw_release(out);
    } else if (strcmp(name, "wait") == 0 && d->count == 2 && number(d->words[1], 1000000000, &ms)) {
        wait_ms((long)ms);
        return DONE;
    } else {
        return UNKNOWN;
    }
    return ENDED;
}

/* Carries out one directive of a transform. */
static fate direct(sw_record *record, sw_emitter *out, const directive *d, const char *config) {
    const char *name = d->words[0];
    sw_output output = {.base = record, .port = "out"};
    uint64_t code;
    if (strcmp(name, "emit") == 0) return emit_many(record, out, d) ? DONE : UNKNOWN;
    if (strcmp(name, "env") == 0 && d->count == 2) emit_environment(record, out, d->words[1]);
    else if (strcmp(name, "exit") == 0 && d->count == 2 && number(d->words[1], 255, &code)) _exit((int)code);
    else if (strcmp(name, "throw") == 0 && d->rests[0] != NULL) return sw_fail(out, "%s", d->rests[0]), ENDED;
    else if (d->count > 1) return verdict(out, d);
    else if (strcmp(name, "echo") == 0) sw_emit(out, &output);
    else if (strcmp(name, "attempt") == 0) output.payload = sw_format(out, "%u", sw_attempt(record)), sw_emit(out, &output);
    else if (strcmp(name, "id") == 0) emit_id(record, out);
    else if (strcmp(name, "config") == 0) output.payload = sw_text(config), sw_emit(out, &output);
    else return verdict(out, d);
    return DONE;
}

static char *copy_text(sw_emitter *out, sw_bytes bytes) {
    char *text = sw_alloc(out, bytes.size + 1);
    memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = 0;
    return text;
}

static void transform(sw_record *record, sw_emitter *out, void *config) {
    sw_bytes payload = sw_payload(record);
    if (payload.size == 0) return;
    if (memchr(payload.data, 0, payload.size) != NULL) { /* no text, so no directive */
        sw_reject(out, 1999, "no such directive");
        return;
    }
    char *copy = sw_alloc(out, payload.size + 1);
    for (char *next = copy_text(out, payload); next != NULL;) {
        char *text = next, *end = strchr(next, ';');
        next = end ? end + 1 : NULL;
        if (end != NULL) *end = 0;
        directive d = split(text, copy);
        fate found = direct(record, out, &d, config);
        if (found == UNKNOWN) sw_reject(out, 1999, "no such directive: %s", text);
        if (found != DONE) return;
    }
}

static void *whole_config(sw_config *config) { return (void *)sw_config_json(config).data; }

/* ---- source ---- */

static struct settings {
    const char *partition;
    int64_t records, per_emit, size, keys, pause_ms;
    bool stay;
} settings;

static void *source_config(sw_config *config) {
    settings.partition = sw_config_string(config, "partition", "p");
    settings.records = sw_config_integer(config, "records", 10);
    settings.per_emit = sw_config_integer(config, "per_emit", 2);
    settings.size = sw_config_integer(config, "size", 0);
    settings.keys = sw_config_integer(config, "keys", 3);
    settings.pause_ms = sw_config_integer(config, "pause_ms", 0);
    settings.stay = sw_config_flag(config, "stay", false);
    if (settings.per_emit < 1) sw_config_wrong(config, "per_emit", "has to be at least 1");
    if (settings.keys < 1) sw_config_wrong(config, "keys", "has to be at least 1");
    return &settings;
}

static int source(sw_source *source, void *user) {
    (void)user;
    char checkpoint[24];
    sw_partition *partition = sw_claim(source, settings.partition);
    if (partition == NULL) return SW_STOPPED;
    snprintf(checkpoint, sizeof checkpoint, "%.*s", (int)sw_checkpoint(partition).size, sw_checkpoint(partition).data);
    for (long n = strtol(checkpoint, NULL, 10); n < settings.records;) {
        sw_emitter *out = sw_step(partition);
        for (int64_t i = 0; i < settings.per_emit && n < settings.records; i++) {
            n++;
            sw_emit(out, &(sw_output){.key = sw_format(out, "k%ld", n % (long)settings.keys),
                                      .payload = padded(out, n, (size_t)settings.size)});
        }
        int size = snprintf(checkpoint, sizeof checkpoint, "%ld", n);
        int result = sw_commit(partition, checkpoint, (size_t)size);
        if (result != 0) return result;
        if (settings.pause_ms > 0 && n < settings.records && !sw_sleep(source, (double)settings.pause_ms / 1000))
            return SW_STOPPED;
    }
    while (settings.stay && sw_sleep(source, 3600)) {}
    return 0;
}

/* ---- window ---- */

/* Carries out what the first such record says; false: the window has its verdict. */
static bool obey(sw_emitter *out, sw_record *record, bool *found) {
    static const char *const names[] = {"reject", "retry", "release", "wait"};
    char *text = copy_text(out, sw_payload(record));
    directive d = split(text, sw_alloc(out, sw_payload(record).size + 1));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) *found |= strcmp(d.words[0], names[i]) == 0;
    fate what = *found ? verdict(out, &d) : DONE;
    if (what == UNKNOWN) sw_reject(out, 1999, "no such directive: %s", text);
    return what == DONE;
}

static void window(sw_window *window, sw_emitter *out, void *user) {
    (void)user;
    size_t size = 0, count = sw_window_count(window);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        sw_record *record = sw_window_record(window, i);
        if (!found && !obey(out, record, &found)) return;
        size += sw_payload(record).size + 1;
    }
    char *text = sw_alloc(out, size), *at = text;
    for (size_t i = 0; i < count; i++) {
        sw_bytes payload = sw_payload(sw_window_record(window, i));
        if (i > 0) *at++ = ',';
        memcpy(at, payload.data, payload.size);
        at += payload.size;
    }
    sw_emit(out, &(sw_output){.key = sw_window_key(window), .port = "out", .payload = {text, (size_t)(at - text)}});
}

/* The bounds belong to sw_stage, which setup may still fill in: windows begin after it. */
static sw_stage stage;

static void *window_config(sw_config *config) {
    stage.bounds.records = (size_t)sw_config_integer(config, "records", 3);
    stage.bounds.seconds = sw_config_number(config, "seconds", 0);
    stage.bounds.by_key = sw_config_flag(config, "by_key", false);
    return NULL;
}

int main(int argc, char **argv) {
    const char *name = getenv("STAGEWIRE_STAGE");
    if (name == NULL) name = "";
    if (strcmp(name, "transform") == 0) stage = (sw_stage){.transform = transform, .setup = whole_config};
    else if (strcmp(name, "ordered") == 0) stage = (sw_stage){.transform = transform, .setup = whole_config, .workers = 4};
    else if (strcmp(name, "source") == 0) stage = (sw_stage){.source = source, .setup = source_config};
    else if (strcmp(name, "window") == 0) stage = (sw_stage){.window = window, .setup = window_config, .bounds = {.records = 3}};
    else {
        fprintf(stderr, "STAGEWIRE_STAGE is %s: this program is transform, ordered, source or window\n", name);
        return 2;
    }
    return sw_run(argc, argv, &stage);
}
