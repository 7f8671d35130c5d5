#include "config.h"

#include "json.h"
#include "worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct sw_config {
    char *json;
    bool is_read_whole; /* by sw_config_json: the author checks the names himself */
    char fault[1024];   /* the first thing that did not fit; empty: none */
    char **asked;       /* the names on the top level that were asked for */
    size_t asked_count;
    char **strings; /* handed out */
    size_t string_count;
};

sw_config *swi_config_make(const char *json) {
    sw_config *config = swi_allocate_zeroed(1, sizeof *config);
    config->json = swi_duplicate(*json ? json : "{}");
    if (!swi_json_is_valid(sw_text(config->json))) {
        snprintf(config->fault, sizeof config->fault, "config: not JSON");
        free(config->json);
        config->json = swi_duplicate("{}");
    }
    return config;
}

static void free_list(char **list, size_t count) {
    while (count > 0) free(list[--count]);
    free(list);
}

void swi_config_free(sw_config *config) {
    free_list(config->asked, config->asked_count);
    free_list(config->strings, config->string_count);
    free(config->json);
    free(config);
}

static void wrong(sw_config *config, const char *path, const char *format, ...) SW_PRINTF(3, 4);

static void wrong(sw_config *config, const char *path, const char *format, ...) {
    char text[512];
    va_list list;
    if (config->fault[0] != 0) return; /* the first one is the cause */
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    snprintf(config->fault, sizeof config->fault, "config%s%s: %s", *path ? "." : "", path, text);
}

void sw_config_wrong(sw_config *config, const char *path, const char *format, ...) {
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    wrong(config, path, "%s", text);
}

static void remember(char ***list, size_t *count, char *text) {
    *list = swi_reallocate(*list, (*count + 1) * sizeof **list);
    (*list)[(*count)++] = text;
}

static bool was_asked(const sw_config *config, const char *name, size_t size) {
    for (size_t i = 0; i < config->asked_count; i++) {
        if (strlen(config->asked[i]) == size && memcmp(config->asked[i], name, size) == 0) return true;
    }
    return false;
}

/* The value at a path; false when it is absent or null. */
static bool find(sw_config *config, const char *path, sw_bytes *found) {
    size_t size = strcspn(path, ".[");
    if (!was_asked(config, path, size)) {
        char *name = swi_allocate(size + 1);
        memcpy(name, path, size);
        name[size] = 0;
        remember(&config->asked, &config->asked_count, name);
    }
    return swi_json_find(sw_text(config->json), path, found) && swi_json_kind_of(*found) != SWI_JSON_NULL;
}

/* Finds a value of a kind; says so when it has another one. */
static bool find_kind(sw_config *config, const char *path, swi_json_kind kind, sw_bytes *found) {
    if (!find(config, path, found)) return false;
    swi_json_kind is = swi_json_kind_of(*found);
    if (is == kind) return true;
    wrong(config, path, "expected %s, got %s", swi_json_kind_name(kind), swi_json_kind_name(is));
    return false;
}

sw_bytes sw_config_json(sw_config *config) {
    config->is_read_whole = true;
    return sw_text(config->json);
}

double sw_config_number(sw_config *config, const char *path, double otherwise) {
    sw_bytes found;
    double number;
    if (!find_kind(config, path, SWI_JSON_NUMBER, &found)) return otherwise;
    if (swi_json_to_number(found, &number)) return number;
    wrong(config, path, "the number is too large");
    return otherwise;
}

int64_t sw_config_integer(sw_config *config, const char *path, int64_t otherwise) {
    sw_bytes found;
    int64_t integer;
    if (!find_kind(config, path, SWI_JSON_NUMBER, &found)) return otherwise;
    if (swi_json_to_integer(found, &integer)) return integer;
    wrong(config, path, "expected a whole number of 64 bits, got %.*s", (int)(found.size < 64 ? found.size : 64), found.data);
    return otherwise;
}

bool sw_config_flag(sw_config *config, const char *path, bool otherwise) {
    sw_bytes found;
    return find_kind(config, path, SWI_JSON_FLAG, &found) ? *found.data == 't' : otherwise;
}

const char *sw_config_string(sw_config *config, const char *path, const char *otherwise) {
    sw_bytes found;
    swi_buffer text = {0};
    if (!find_kind(config, path, SWI_JSON_TEXT, &found)) return otherwise;
    swi_json_unescape(&text, found);
    swi_buffer_add(&text, "", 1);
    remember(&config->strings, &config->string_count, (char *)text.data);
    return (const char *)text.data;
}

size_t sw_config_count(sw_config *config, const char *path) {
    sw_bytes found, name, each;
    size_t count = 0;
    if (!find_kind(config, path, SWI_JSON_LIST, &found)) return 0;
    swi_json json = swi_json_enter(found);
    while (swi_json_next(&json, &name, &each)) count++;
    return count;
}

bool sw_config_has(sw_config *config, const char *path) {
    sw_bytes found;
    return find(config, path, &found);
}

void sw_config_require(sw_config *config, const char *path) {
    sw_bytes found;
    if (!find(config, path, &found)) wrong(config, path, "is missing");
}

/* A name that nobody asked for is most likely a misspelt one. */
static void check_names(sw_config *config) {
    sw_bytes root = sw_text(config->json), name, each;
    if (config->is_read_whole || swi_json_kind_of(root) == SWI_JSON_NULL) return;
    if (swi_json_kind_of(root) != SWI_JSON_OBJECT) {
        wrong(config, "", "expected an object, got %s", swi_json_kind_name(swi_json_kind_of(root)));
        return;
    }
    swi_json json = swi_json_enter(root);
    while (swi_json_next(&json, &name, &each)) {
        swi_buffer plain = {0};
        swi_json_unescape(&plain, name);
        swi_buffer_add(&plain, "", 1);
        if (!was_asked(config, (char *)plain.data, plain.size - 1)) wrong(config, (char *)plain.data, "is not known here");
        swi_buffer_free(&plain);
    }
}

const char *swi_config_fault(sw_config *config) {
    if (config->fault[0] == 0) check_names(config);
    return config->fault[0] != 0 ? config->fault : NULL;
}

void *swi_set_up(const sw_stage *stage, sw_config *config, bool *is_wrong) {
    if (stage->setup == NULL) return stage->user; /* a stage that takes no configuration ignores what is there */
    void *user = stage->setup(config);
    const char *fault = swi_config_fault(config);
    *is_wrong = fault != NULL;
    if (fault != NULL) swi_say("%s", fault);
    return user;
}
