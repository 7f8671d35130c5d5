/* Writing a record as JSON. */
#include "json.h"
#include "recordjson.h"
#include "worker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void name(swi_buffer *to, const char *text) {
    swi_buffer_text(to, to->size > 0 && to->data[to->size - 1] == '{' ? "\"" : ", \"");
    swi_buffer_text(to, text);
    swi_buffer_text(to, "\": ");
}

static void put_base64(swi_buffer *to, swi_slice bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    swi_buffer_text(to, "\"");
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16 | (left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0) |
                         (left > 2 ? bytes.data[i + 2] : 0);
        char four[4] = {digits[group >> 18], digits[group >> 12 & 63], left > 1 ? digits[group >> 6 & 63] : '=',
                        left > 2 ? digits[group & 63] : '='};
        swi_buffer_add(to, four, 4);
    }
    swi_buffer_text(to, "\"");
}

static bool says_json(swi_slice type) {
    static const char json[] = "application/json", suffix[] = "+json";
    if (swi_equal(type, (swi_slice){(const uint8_t *)json, sizeof json - 1})) return true;
    return type.size >= 5 && memcmp(type.data + type.size - 5, suffix, 5) == 0;
}

/* A valid text has no raw line break inside of strings, so any that is there stands outside. */
static bool is_one_line(swi_slice text) {
    return memchr(text.data, '\n', text.size) == NULL && memchr(text.data, '\r', text.size) == NULL;
}

static void put_payload(swi_buffer *to, const sw_record *record) {
    swi_slice payload = record->payload;
    if (payload.size == 0) return;
    if (says_json(record->content_type) && is_one_line(payload) && swi_json_is_valid(swi_bytes_of(payload))) {
        name(to, "json");
        swi_buffer_add(to, payload.data, payload.size);
    } else if (swi_is_utf8(payload.data, payload.size)) {
        name(to, "text");
        swi_json_escape(to, payload.data, payload.size);
    } else {
        name(to, "base64");
        put_base64(to, payload);
    }
}

static void put_key(swi_buffer *to, swi_slice key) {
    if (key.size == 0) return;
    if (swi_is_utf8(key.data, key.size)) {
        name(to, "key");
        swi_json_escape(to, key.data, key.size);
    } else {
        name(to, "key_base64");
        put_base64(to, key);
    }
}

static void put_text(swi_buffer *to, const char *field, swi_slice text) {
    if (text.size == 0) return;
    name(to, field);
    swi_json_escape(to, text.data, text.size);
}

/* The shortest text that reads back as the same number; with ".0" it stays a number. */
static void put_number(swi_buffer *to, double number) {
    char text[40];
    if (isnan(number)) swi_buffer_text(to, "\"NaN\"");
    else if (isinf(number)) swi_buffer_text(to, number > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    if (!isfinite(number)) return;
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number) break;
    }
    swi_buffer_text(to, text);
    if (strpbrk(text, ".e") == NULL) swi_buffer_text(to, ".0");
}

static void put_attribute(swi_buffer *to, const sw_attribute *attribute) {
    char text[24];
    if (to->data[to->size - 1] != '{') swi_buffer_text(to, ", ");
    swi_json_escape(to, attribute->name.data, attribute->name.size);
    swi_buffer_text(to, ": ");
    switch (attribute->kind) {
    case SW_TEXT: swi_json_escape(to, attribute->text.data, attribute->text.size); break;
    case SW_INTEGER:
        snprintf(text, sizeof text, "%lld", (long long)attribute->integer);
        swi_buffer_text(to, text);
        break;
    case SW_NUMBER: put_number(to, attribute->number); break;
    case SW_FLAG: swi_buffer_text(to, attribute->flag ? "true" : "false"); break;
    }
}

static void put_attributes(swi_buffer *to, const sw_record *record) {
    sw_attribute attribute, first;
    for (size_t i = 0; sw_attribute_at(record, i, &attribute); i++) {
        if (i == 0) {
            name(to, "attributes");
            swi_buffer_text(to, "{");
        }
        swi_buffer plain = {0}; /* of two with one name the first counts (RE-2) */
        swi_buffer_add(&plain, attribute.name.data, attribute.name.size);
        swi_buffer_add(&plain, "", 1);
        bool is_first = !sw_find_attribute(record, (char *)plain.data, &first) || first.name.data == attribute.name.data;
        swi_buffer_free(&plain);
        if (is_first) put_attribute(to, &attribute);
    }
    if (sw_attribute_at(record, 0, &attribute)) swi_buffer_text(to, "}");
}

void swi_record_to_json(swi_buffer *to, sw_record *record, const char *port) {
    char text[48];
    swi_record_parse(record);
    swi_buffer_text(to, "{");
    if (port != NULL) put_text(to, "port", (swi_slice){(const uint8_t *)port, strlen(port)});
    put_key(to, record->key);
    put_payload(to, record);
    put_text(to, "schema", record->schema);
    if (record->schema_version > 0) {
        name(to, "schema_version");
        snprintf(text, sizeof text, "%u", record->schema_version);
        swi_buffer_text(to, text);
    }
    put_text(to, "content_type", record->content_type);
    if (record->event_time != 0) {
        char time[32];
        swi_format_time(record->event_time, time);
        name(to, "event_time");
        snprintf(text, sizeof text, strchr(time, 'T') ? "\"%s\"" : "%s", time);
        swi_buffer_text(to, text);
    }
    put_attributes(to, record);
    swi_buffer_text(to, "}");
}
