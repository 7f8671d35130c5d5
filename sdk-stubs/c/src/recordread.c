/* Reading a record from JSON. */
#include "emitter.h"
#include "json.h"
#include "recordjson.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What a line says, until it is encoded. */
typedef struct draft_record {
    sw_output output;
    sw_attribute *attributes;
    size_t count;
    bool has_payload;
    uint32_t attempt;
    sw_bytes lineage, input;
    void **owned; /* freed at the end */
    size_t owned_count;
    char *wrong;
} draft_record;

static bool fail(draft_record *draft, const char *field, const char *what) {
    snprintf(draft->wrong, 256, "%.64s: %s", field, what);
    return false;
}

static void *own(draft_record *draft, void *memory) {
    draft->owned = swi_reallocate(draft->owned, (draft->owned_count + 1) * sizeof *draft->owned);
    return draft->owned[draft->owned_count++] = memory;
}

static sw_bytes take_buffer(draft_record *draft, swi_buffer buffer) {
    if (buffer.data == NULL) return (sw_bytes){"", 0};
    return (sw_bytes){own(draft, buffer.data), buffer.size};
}

static bool read_text(draft_record *draft, const char *field, sw_bytes value, sw_bytes *text) {
    swi_buffer plain = {0};
    if (swi_json_kind_of(value) != SWI_JSON_TEXT) return fail(draft, field, "expected a string");
    swi_json_unescape(&plain, value);
    *text = take_buffer(draft, plain);
    return true;
}

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool read_base64(draft_record *draft, const char *field, sw_bytes value, sw_bytes *bytes) {
    sw_bytes text;
    swi_buffer out = {0};
    if (!read_text(draft, field, value, &text)) return false;
    size_t padding = text.size > 0 && text.data[text.size - 1] == '=' ? (text.size > 1 && text.data[text.size - 2] == '=' ? 2 : 1) : 0;
    if (text.size % 4 != 0) return fail(draft, field, "is not base64 with padding");
    for (size_t i = 0; i < text.size; i += 4) {
        uint32_t group = 0;
        for (size_t j = i; j < i + 4; j++) {
            int digit = j >= text.size - padding ? 0 : base64_digit(text.data[j]);
            if (digit < 0) {
                swi_buffer_free(&out);
                return fail(draft, field, "is not base64 with padding");
            }
            group = group << 6 | (uint32_t)digit;
        }
        uint8_t three[3] = {(uint8_t)(group >> 16), (uint8_t)(group >> 8), (uint8_t)group};
        swi_buffer_add(&out, three, i + 4 == text.size ? 3 - padding : 3);
    }
    *bytes = take_buffer(draft, out);
    return true;
}

/* ---- Times ---- */

/* Reads `count` digits. */
static bool digits(const char **at, const char *end, int count, int *value) {
    *value = 0;
    for (; count > 0; count--, (*at)++) {
        if (*at == end || **at < '0' || **at > '9') return false;
        *value = *value * 10 + (**at - '0');
    }
    return true;
}

static bool one_of(const char **at, const char *end, const char *those) {
    if (*at == end || strchr(those, **at) == NULL || **at == 0) return false;
    (*at)++;
    return true;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar (the inverse of swi_format_time's). */
static int64_t days_to(int year, int month, int day) {
    int64_t shifted = month <= 2 ? year - 1 : year, era = (shifted >= 0 ? shifted : shifted - 399) / 400;
    int64_t of_era = shifted - era * 400, of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool is_date(int year, int month, int day) {
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month >= 1 && month <= 12 && day >= 1 && day <= lengths[month - 1] + (month == 2 && is_leap);
}

static bool read_offset(const char **at, const char *end, int *seconds) {
    int hours, minutes;
    *seconds = 0;
    if (one_of(at, end, "zZ")) return true;
    int sign = *at != end && **at == '-' ? -1 : 1;
    if (!one_of(at, end, "+-") || !digits(at, end, 2, &hours) || !one_of(at, end, ":") || !digits(at, end, 2, &minutes))
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return hours < 24 && minutes < 60;
}

/* RFC 3339 with any offset and at most nine fractional digits, of which six count. */
static bool parse_time(sw_bytes text, int64_t *time) {
    const char *at = text.data, *end = at + text.size;
    int year, month, day, hour, minute, second, offset, fraction = 0;
    if (!digits(&at, end, 4, &year) || !one_of(&at, end, "-") || !digits(&at, end, 2, &month) || !one_of(&at, end, "-") ||
        !digits(&at, end, 2, &day) || !one_of(&at, end, "tT ") || !digits(&at, end, 2, &hour) || !one_of(&at, end, ":") ||
        !digits(&at, end, 2, &minute) || !one_of(&at, end, ":") || !digits(&at, end, 2, &second))
        return false;
    if (one_of(&at, end, ".")) {
        int count = 0;
        for (; at != end && *at >= '0' && *at <= '9'; at++, count++) {
            if (count < 6) fraction = fraction * 10 + (*at - '0');
        }
        if (count == 0 || count > 9) return false;
        for (; count < 6; count++) fraction *= 10;
    }
    if (!read_offset(&at, end, &offset) || at != end || !is_date(year, month, day) || hour > 23 || minute > 59 || second > 60)
        return false;
    *time = ((days_to(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - offset;
    *time = *time * 1000000 + fraction;
    return true;
}

bool swi_json_to_time(sw_bytes value, int64_t *time) {
    swi_buffer text = {0};
    if (swi_json_kind_of(value) == SWI_JSON_NUMBER) return swi_json_to_integer(value, time);
    if (swi_json_kind_of(value) != SWI_JSON_TEXT) return false;
    swi_json_unescape(&text, value);
    int64_t parsed;
    bool is_time = parse_time(swi_bytes_of((swi_slice){text.data, text.size}), &parsed);
    if (is_time) *time = parsed;
    swi_buffer_free(&text);
    return is_time;
}

static bool read_time(draft_record *draft, const char *field, sw_bytes value, int64_t *time) {
    if (swi_json_to_time(value, time)) return true;
    return fail(draft, field, swi_json_kind_of(value) == SWI_JSON_TEXT ? "is not a time of RFC 3339"
                                                                       : "expected whole microseconds or a time");
}

/* ---- Fields ---- */

static bool read_attributes(draft_record *draft, sw_bytes value) {
    sw_bytes name, each;
    if (swi_json_kind_of(value) != SWI_JSON_OBJECT) return fail(draft, "attributes", "expected an object");
    swi_json json = swi_json_enter(value);
    while (swi_json_next(&json, &name, &each)) {
        draft->attributes = swi_reallocate(draft->attributes, (draft->count + 1) * sizeof *draft->attributes);
        sw_attribute *attribute = &draft->attributes[draft->count++];
        *attribute = (sw_attribute){0};
        if (!read_text(draft, "attributes", name, &attribute->name)) return false;
        switch (swi_json_kind_of(each)) {
        case SWI_JSON_TEXT:
            attribute->kind = SW_TEXT;
            read_text(draft, "attributes", each, &attribute->text);
            break;
        case SWI_JSON_FLAG:
            attribute->kind = SW_FLAG;
            attribute->flag = *each.data == 't';
            break;
        case SWI_JSON_NUMBER:
            attribute->kind = swi_json_to_integer(each, &attribute->integer) ? SW_INTEGER : SW_NUMBER;
            if (attribute->kind == SW_NUMBER && !swi_json_to_number(each, &attribute->number))
                return fail(draft, "attributes", "a number is too large");
            break;
        default: return fail(draft, "attributes", "expected texts, numbers and booleans");
        }
    }
    draft->output.attributes = draft->attributes;
    draft->output.attribute_count = draft->count;
    return true;
}

static bool read_payload(draft_record *draft, const char *field, sw_bytes value) {
    swi_buffer compact = {0};
    if (draft->has_payload) return fail(draft, field, "a record has one of json, text and base64");
    draft->has_payload = true;
    if (strcmp(field, "text") == 0) return read_text(draft, field, value, &draft->output.payload);
    if (strcmp(field, "base64") == 0) return read_base64(draft, field, value, &draft->output.payload);
    swi_json_compact(&compact, value);
    draft->output.payload = take_buffer(draft, compact);
    if (draft->output.content_type.data == NULL) draft->output.content_type = sw_text("application/json");
    return true;
}

static bool read_unsigned(draft_record *draft, const char *field, sw_bytes value, uint32_t *number) {
    int64_t integer;
    if (!swi_json_to_integer(value, &integer) || integer < 0 || integer > UINT32_MAX)
        return fail(draft, field, "expected a whole number of 32 bits");
    *number = (uint32_t)integer;
    return true;
}

static bool read_field(draft_record *draft, const char *field, sw_bytes value) {
    sw_output *output = &draft->output;
    if (strcmp(field, "json") == 0 || strcmp(field, "text") == 0 || strcmp(field, "base64") == 0)
        return read_payload(draft, field, value);
    if (strcmp(field, "key") == 0) return read_text(draft, field, value, &output->key);
    if (strcmp(field, "key_base64") == 0) return read_base64(draft, field, value, &output->key);
    if (strcmp(field, "schema") == 0) return read_text(draft, field, value, &output->schema);
    if (strcmp(field, "schema_version") == 0) return read_unsigned(draft, field, value, &output->schema_version);
    if (strcmp(field, "content_type") == 0) return read_text(draft, field, value, &output->content_type);
    if (strcmp(field, "event_time") == 0) return read_time(draft, field, value, &output->event_time);
    if (strcmp(field, "attributes") == 0) return read_attributes(draft, value);
    if (strcmp(field, "attempt") == 0) return read_unsigned(draft, field, value, &draft->attempt);
    if (strcmp(field, "input") == 0) return read_text(draft, field, value, &draft->input);
    if (strcmp(field, "port") == 0) return true; /* what was emitted may be read again */
    if (strcmp(field, "lineage") == 0) {
        draft->lineage = value;
        return swi_json_kind_of(value) == SWI_JSON_OBJECT || fail(draft, field, "expected an object");
    }
    return fail(draft, field, "is not a field of a record");
}

/* ---- A record ---- */

static sw_record *make_record(draft_record *draft, swi_runs *runs) {
    swi_resolved resolved;
    swi_buffer lineage = {0};
    sw_record record = {.attempt = draft->attempt > 0 ? draft->attempt : 1};
    const char *wrong = swi_resolve(&draft->output, &resolved);
    if (wrong != NULL) {
        snprintf(draft->wrong, 256, "%s", wrong);
        return NULL;
    }
    uint8_t *bytes = own(draft, swi_allocate(resolved.size));
    swi_put_output(bytes, &resolved);
    if (!swi_record_read(&record, (swi_slice){bytes, resolved.size})) return NULL;
    if (draft->lineage.data != NULL) swi_lineage_from_json(&lineage, draft->lineage, runs);
    record.lineage = (swi_slice){lineage.data, lineage.size};
    record.runs = runs;
    sw_record *copy = swi_record_copy(&record);
    swi_buffer_free(&lineage);
    return copy;
}

sw_record *swi_record_from_json(sw_bytes line, swi_runs *runs, char wrong[256]) {
    draft_record draft = {.wrong = wrong};
    sw_bytes name, value;
    bool is_good = true;
    sw_record *record = NULL;
    wrong[0] = 0;
    if (!swi_json_is_valid(line)) {
        snprintf(wrong, 256, "this is not one JSON text");
        return NULL;
    }
    if (swi_json_kind_of(line) != SWI_JSON_OBJECT) {
        snprintf(wrong, 256, "a record is a JSON object");
        return NULL;
    }
    swi_json json = swi_json_enter(line);
    while (is_good && swi_json_next(&json, &name, &value)) {
        swi_buffer field = {0};
        swi_json_unescape(&field, name);
        swi_buffer_add(&field, "", 1);
        is_good = read_field(&draft, (char *)field.data, value);
        swi_buffer_free(&field);
    }
    if (is_good) record = make_record(&draft, runs);
    while (draft.owned_count > 0) free(draft.owned[--draft.owned_count]);
    free(draft.owned);
    free(draft.attributes);
    return record;
}
