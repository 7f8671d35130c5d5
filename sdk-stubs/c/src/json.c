#include "json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Validating ---- */

static void skip_space(swi_json *json) {
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r'))
        json->at++;
}

static bool take(swi_json *json, char c) {
    if (json->at >= json->end || *json->at != c) return false;
    json->at++;
    return true;
}

static bool is_digit(const swi_json *json) { return json->at < json->end && *json->at >= '0' && *json->at <= '9'; }

static bool digits(swi_json *json) {
    if (!is_digit(json)) return false;
    while (is_digit(json)) json->at++;
    return true;
}

static bool number(swi_json *json) {
    take(json, '-');
    if (!take(json, '0') && !digits(json)) return false;
    if (take(json, '.') && !digits(json)) return false;
    if (take(json, 'e') || take(json, 'E')) {
        if (!take(json, '+')) take(json, '-');
        return digits(json);
    }
    return true;
}

static int hex(const char *at) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static bool string(swi_json *json) {
    if (!take(json, '"')) return false;
    while (json->at < json->end) {
        unsigned char c = (unsigned char)*json->at++;
        if (c == '"') return true;
        if (c < 0x20) return false;
        if (c != '\\') continue;
        if (json->at == json->end) return false;
        c = (unsigned char)*json->at++;
        if (c == 'u') {
            if (json->end - json->at < 4 || hex(json->at) < 0) return false;
            json->at += 4;
        } else if (strchr("\"\\/bfnrt", c) == NULL || c == 0) {
            return false;
        }
    }
    return false;
}

static bool word(swi_json *json, const char *text) {
    size_t size = strlen(text);
    if ((size_t)(json->end - json->at) < size || memcmp(json->at, text, size) != 0) return false;
    json->at += size;
    return true;
}

static bool value(swi_json *json, int depth);

static bool members(swi_json *json, bool is_object, int depth) {
    char close = is_object ? '}' : ']';
    json->at++;
    skip_space(json);
    if (take(json, close)) return true;
    for (;;) {
        skip_space(json);
        if (is_object) {
            if (!string(json)) return false;
            skip_space(json);
            if (!take(json, ':')) return false;
        }
        if (!value(json, depth - 1)) return false;
        if (take(json, close)) return true;
        if (!take(json, ',')) return false;
    }
}

/* A value with the white space around it. */
static bool value(swi_json *json, int depth) {
    bool is_valid = false;
    skip_space(json);
    if (json->at == json->end || depth == 0) return false;
    switch (*json->at) {
    case '{':
    case '[': is_valid = members(json, *json->at == '{', depth); break;
    case '"': is_valid = string(json); break;
    case 't': is_valid = word(json, "true"); break;
    case 'f': is_valid = word(json, "false"); break;
    case 'n': is_valid = word(json, "null"); break;
    default: is_valid = number(json);
    }
    skip_space(json);
    return is_valid;
}

bool swi_json_is_valid(sw_bytes text) {
    swi_json json = {text.data, text.data + text.size};
    return text.size > 0 && swi_is_utf8(text.data, text.size) && value(&json, SWI_JSON_DEPTH) && json.at == json.end;
}

/* ---- Reading what is valid ---- */

static sw_bytes trimmed(sw_bytes text) {
    swi_json json = {text.data, text.data + text.size};
    skip_space(&json);
    while (json.end > json.at && strchr(" \t\r\n", json.end[-1]) != NULL) json.end--;
    return (sw_bytes){json.at, (size_t)(json.end - json.at)};
}

swi_json_kind swi_json_kind_of(sw_bytes text) {
    switch (*trimmed(text).data) {
    case '{': return SWI_JSON_OBJECT;
    case '[': return SWI_JSON_LIST;
    case '"': return SWI_JSON_TEXT;
    case 't':
    case 'f': return SWI_JSON_FLAG;
    case 'n': return SWI_JSON_NULL;
    default: return SWI_JSON_NUMBER;
    }
}

const char *swi_json_kind_name(swi_json_kind kind) {
    static const char *const names[] = {"null", "true or false", "a number", "a string", "a list", "an object"};
    return names[kind];
}

swi_json swi_json_enter(sw_bytes text) {
    text = trimmed(text);
    return (swi_json){text.data + 1, text.data + text.size - 1};
}

bool swi_json_next(swi_json *json, sw_bytes *name, sw_bytes *text) {
    skip_space(json);
    take(json, ',');
    skip_space(json);
    if (json->at == json->end) return false;
    const char *start = json->at;
    string(json);
    *name = (sw_bytes){start, (size_t)(json->at - start)};
    skip_space(json);
    if (!take(json, ':')) json->at = start; /* a list's element, which may be a string */
    start = json->at;
    value(json, SWI_JSON_DEPTH);
    *text = trimmed((sw_bytes){start, (size_t)(json->at - start)});
    return true;
}

static void add_character(swi_buffer *to, uint32_t code) {
    uint8_t bytes[4];
    size_t size = 0;
    if (code < 0x80) {
        bytes[size++] = (uint8_t)code;
    } else if (code < 0x800) {
        bytes[size++] = (uint8_t)(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        bytes[size++] = (uint8_t)(0xe0 | code >> 12);
        bytes[size++] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    } else {
        bytes[size++] = (uint8_t)(0xf0 | code >> 18);
        bytes[size++] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
        bytes[size++] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    }
    if (code >= 0x80) bytes[size++] = (uint8_t)(0x80 | (code & 0x3f));
    swi_buffer_add(to, bytes, size);
}

/* What stands behind "\u"; goes on behind it, and behind the second of a pair. */
static uint32_t escaped_character(const char **at, const char *end) {
    uint32_t code = (uint32_t)hex(*at);
    *at += 4;
    if (code >= 0xd800 && code < 0xdc00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        int low = hex(*at + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            *at += 6;
            return 0x10000 + ((code - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
        }
    }
    return code >= 0xd800 && code < 0xe000 ? 0xfffd : code;
}

void swi_json_unescape(swi_buffer *to, sw_bytes text) {
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const char *at = text.data + 1, *end = text.data + text.size - 1;
    while (at < end) {
        const char *plain = at;
        while (at < end && *at != '\\') at++;
        swi_buffer_add(to, plain, (size_t)(at - plain));
        if (at == end) return;
        char c = at[1];
        at += 2;
        if (c == 'u') add_character(to, escaped_character(&at, end));
        else add_character(to, (uint8_t)into[strchr(from, c) - from]);
    }
}

bool swi_json_is(sw_bytes text, const char *plain, size_t size) {
    swi_buffer unescaped = {0};
    if (memchr(text.data, '\\', text.size) == NULL)
        return text.size == size + 2 && memcmp(text.data + 1, plain, size) == 0;
    swi_json_unescape(&unescaped, text);
    bool is_same = unescaped.size == size && memcmp(unescaped.data, plain, size) == 0;
    swi_buffer_free(&unescaped);
    return is_same;
}

void swi_json_compact(swi_buffer *to, sw_bytes text) {
    swi_json json = {text.data, text.data + text.size};
    while (json.at < json.end) {
        const char *start = json.at;
        if (*json.at == '"') string(&json);
        else json.at++;
        if (strchr(" \t\r\n", *start) == NULL) swi_buffer_add(to, start, (size_t)(json.at - start));
    }
}

void swi_json_escape(swi_buffer *to, const void *text, size_t size) {
    const uint8_t *at = text, *end = at + size;
    char escape[8];
    swi_buffer_add(to, "\"", 1);
    for (; at < end; at++) {
        static const char from[] = "\"\\\b\f\n\r\t", into[] = "\"\\bfnrt";
        const char *known = *at ? strchr(from, *at) : NULL;
        int count = 0;
        if (known != NULL) count = snprintf(escape, sizeof escape, "\\%c", into[known - from]);
        else if (*at < 0x20) count = snprintf(escape, sizeof escape, "\\u%04x", *at);
        if (count > 0) swi_buffer_add(to, escape, (size_t)count);
        else swi_buffer_add(to, at, 1);
    }
    swi_buffer_add(to, "\"", 1);
}

static bool find_member(sw_bytes object, const char *name, size_t size, sw_bytes *found) {
    sw_bytes each, text;
    bool is_found = false;
    if (swi_json_kind_of(object) != SWI_JSON_OBJECT) return false;
    swi_json json = swi_json_enter(object);
    while (swi_json_next(&json, &each, &text)) {
        if (!swi_json_is(each, name, size)) continue;
        *found = text; /* of two with one name the last counts */
        is_found = true;
    }
    return is_found;
}

static bool find_element(sw_bytes list, size_t index, sw_bytes *found) {
    sw_bytes each;
    if (swi_json_kind_of(list) != SWI_JSON_LIST) return false;
    swi_json json = swi_json_enter(list);
    while (swi_json_next(&json, &each, found)) {
        if (index-- == 0) return true;
    }
    return false;
}

bool swi_json_find(sw_bytes root, const char *path, sw_bytes *found) {
    *found = trimmed(root);
    while (*path != 0) {
        if (*path == '[') {
            char *end;
            size_t index = strtoul(path + 1, &end, 10);
            if (*end != ']' || !find_element(*found, index, found)) return false;
            path = end + 1;
        } else {
            if (*path == '.') path++;
            size_t size = strcspn(path, ".[");
            if (!find_member(*found, path, size, found)) return false;
            path += size;
        }
    }
    return true;
}

/* Copies a number's text, so that it ends with a NUL. */
static bool number_text(sw_bytes text, char *copy, size_t capacity) {
    if (swi_json_kind_of(text) != SWI_JSON_NUMBER || text.size >= capacity) return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    return true;
}

bool swi_json_to_number(sw_bytes text, double *result) {
    char copy[512];
    if (!number_text(text, copy, sizeof copy)) return false;
    *result = strtod(copy, NULL);
    return isfinite(*result);
}

bool swi_json_to_integer(sw_bytes text, int64_t *result) {
    char copy[32];
    if (!number_text(text, copy, sizeof copy) || strpbrk(copy, ".eE") != NULL) return false;
    errno = 0;
    *result = strtoll(copy, NULL, 10);
    return errno == 0;
}

/* ---- For handlers ---- */

static bool look_up(sw_bytes json, const char *path, sw_bytes *found) {
    return json.data != NULL && swi_json_is_valid(json) && swi_json_find(json, path, found);
}

bool sw_json_number(sw_bytes json, const char *path, double *result) {
    sw_bytes found;
    return look_up(json, path, &found) && swi_json_to_number(found, result);
}

bool sw_json_integer(sw_bytes json, const char *path, int64_t *result) {
    sw_bytes found;
    return look_up(json, path, &found) && swi_json_to_integer(found, result);
}

bool sw_json_string(sw_bytes json, const char *path, sw_emitter *memory, sw_bytes *result) {
    sw_bytes found;
    swi_buffer text = {0};
    if (!look_up(json, path, &found) || swi_json_kind_of(found) != SWI_JSON_TEXT) return false;
    swi_json_unescape(&text, found);
    char *copy = sw_alloc(memory, text.size + 1);
    if (text.size > 0) memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    *result = (sw_bytes){copy, text.size};
    swi_buffer_free(&text);
    return true;
}
