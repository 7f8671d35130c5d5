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

/* Takes the next word of a directive; NULL: there is none. */
static char *word(char **rest) {
    char *start = *rest;
    if (start == NULL || *start == 0) return NULL;
    char *space = strchr(start, ' ');
    *rest = space ? space + 1 : NULL;
    if (space != NULL) *space = 0;
    return start;
}

static long number(char **rest, long otherwise) {
    char *text = word(rest);
    return text ? strtol(text, NULL, 10) : otherwise;
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

static void emit_many(sw_record *record, sw_emitter *out, char *rest) {
    long count = number(&rest, 0), size = number(&rest, 0);
    const char *port = word(&rest);
    for (long i = 0; i < count; i++)
        sw_emit(out, &(sw_output){.base = record, .port = port ? port : "out", .payload = padded(out, i, (size_t)size)});
}

static void emit_id(sw_record *record, sw_emitter *out) {
    const sw_lineage *lineage = sw_record_lineage(record);
    char *text = sw_alloc(out, 33);
    for (int i = 0; i < 16; i++) snprintf(text + 2 * i, 3, "%02x", lineage->id[i]);
    sw_emit(out, &(sw_output){.base = record, .port = "out", .payload = {text, 32}});
}

static void emit_environment(sw_record *record, sw_emitter *out, const char *name) {
    const char *value = name ? getenv(name) : NULL;
    sw_emit(out, &(sw_output){.base = record, .port = "out", .payload = sw_text(value ? value : "")});
}

/* A verdict; false: the directive is none. */
static bool verdict(sw_emitter *out, const char *name, char *rest) {
    if (strcmp(name, "reject") == 0) {
        long code = number(&rest, 1000);
        sw_reject(out, (uint32_t)code, "%s", rest ? rest : "");
    } else if (strcmp(name, "retry") == 0) {
        long ms = number(&rest, 0), code = number(&rest, 1000);
        sw_retry_with(out, (double)ms / 1000, (uint32_t)code, false, "%s", rest ? rest : "");
    } else if (strcmp(name, "release") == 0) {
        sw_release(out);
    } else if (strcmp(name, "throw") == 0) {
        sw_fail(out, "%s", rest ? rest : "");
    } else {
        return false;
    }
    return true;
}

/* Carries out one directive; false: the record has ended. */
static bool direct(sw_record *record, sw_emitter *out, char *rest, const char *config) {
    const char *name = word(&rest);
    if (name == NULL) return true;
    if (strcmp(name, "echo") == 0) sw_emit(out, &(sw_output){.base = record, .port = "out"});
    else if (strcmp(name, "emit") == 0) emit_many(record, out, rest);
    else if (strcmp(name, "attempt") == 0) sw_emit(out, &(sw_output){.base = record, .port = "out", .payload = sw_format(out, "%u", sw_attempt(record))});
    else if (strcmp(name, "id") == 0) emit_id(record, out);
    else if (strcmp(name, "config") == 0) sw_emit(out, &(sw_output){.base = record, .port = "out", .payload = sw_text(config)});
    else if (strcmp(name, "env") == 0) emit_environment(record, out, word(&rest));
    else if (strcmp(name, "wait") == 0) wait_ms(number(&rest, 0));
    else if (strcmp(name, "exit") == 0) _exit((int)number(&rest, 0));
    else if (verdict(out, name, rest)) return false;
    else {
        sw_reject(out, 1999, "no such directive: %s", name);
        return false;
    }
    return true;
}

static char *copy_text(sw_emitter *out, sw_bytes bytes) {
    char *text = sw_alloc(out, bytes.size + 1);
    memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = 0;
    return text;
}

static void transform(sw_record *record, sw_emitter *out, void *config) {
    char *next = copy_text(out, sw_payload(record));
    while (next != NULL) {
        char *directive = next, *end = strchr(next, ';');
        next = end ? end + 1 : NULL;
        if (end != NULL) *end = 0;
        if (!direct(record, out, directive, config)) return;
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
    char *text = copy_text(out, sw_payload(record)), *end = strchr(text, ';');
    if (end != NULL) *end = 0;
    const char *name = word(&text);
    *found = name != NULL && strcmp(name, "throw") != 0;
    if (!*found) return true;
    if (strcmp(name, "wait") == 0) wait_ms(number(&text, 0));
    else if (verdict(out, name, text)) return false;
    else *found = false;
    return true;
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
