#include "record.h"

#include <stdlib.h>

bool swi_record_read(sw_record *record, swi_slice bytes) {
    const uint8_t *at = bytes.data, *end = at + bytes.size;
    swi_field field;
    int more;
    record->lineage = record->header = record->payload = (swi_slice){0};
    record->parsed = false;
    while ((more = swi_next(&at, end, &field)) > 0) {
        if (field.number > 3) continue;
        if (field.type != SWI_LEN) return false;
        if (field.number == 1) record->lineage = field.bytes;
        if (field.number == 2) record->header = field.bytes;
        if (field.number == 3) record->payload = field.bytes;
    }
    return more == 0;
}

void swi_record_parse(sw_record *record) {
    const uint8_t *at = record->header.data, *end = record->header.data;
    swi_field field;
    record->schema = record->key = record->content_type = (swi_slice){0};
    record->schema_version = 0;
    record->event_time = 0;
    record->parsed = true;
    if (at != NULL) end += record->header.size;
    while (swi_next(&at, end, &field) > 0) {
        bool len = field.type == SWI_LEN;
        if (field.number == 1 && len) record->schema = field.bytes;
        if (field.number == 2 && field.type == SWI_VARINT) record->schema_version = (uint32_t)field.value;
        if (field.number == 3 && len) record->key = field.bytes;
        if (field.number == 4 && field.type == SWI_FIXED64) record->event_time = (int64_t)field.value;
        if (field.number == 5 && len) record->content_type = field.bytes;
    }
}

static const sw_record *parsed(const sw_record *record) {
    if (!record->parsed) swi_record_parse((sw_record *)record);
    return record;
}

sw_bytes sw_text(const char *text) { return text ? (sw_bytes){text, strlen(text)} : (sw_bytes){NULL, 0}; }
sw_bytes sw_payload(const sw_record *record) { return swi_bytes_of(record->payload); }
sw_bytes sw_key(const sw_record *record) { return swi_bytes_of(parsed(record)->key); }
sw_bytes sw_schema(const sw_record *record) { return swi_bytes_of(parsed(record)->schema); }
uint32_t sw_schema_version(const sw_record *record) { return parsed(record)->schema_version; }
sw_bytes sw_content_type(const sw_record *record) { return swi_bytes_of(parsed(record)->content_type); }
int64_t sw_event_time(const sw_record *record) { return parsed(record)->event_time; }
uint32_t sw_attempt(const sw_record *record) { return record->attempt; }
const char *sw_input(const sw_record *record) { return record->input_name ? record->input_name : ""; }

/* One value of an attribute; false when it is not a known one of the right type. */
static bool read_value(const swi_field *field, sw_attribute *attribute) {
    if (field->number == 2 && field->type == SWI_LEN) {
        attribute->kind = SW_TEXT;
        attribute->text = swi_bytes_of(field->bytes);
    } else if (field->number == 3 && field->type == SWI_VARINT) {
        attribute->kind = SW_INTEGER; /* zigzag */
        attribute->integer = (int64_t)(field->value >> 1 ^ (0 - (field->value & 1)));
    } else if (field->number == 4 && field->type == SWI_FIXED64) {
        attribute->kind = SW_NUMBER;
        memcpy(&attribute->number, &field->value, sizeof attribute->number);
    } else if (field->number == 5 && field->type == SWI_VARINT) {
        attribute->kind = SW_FLAG;
        attribute->flag = field->value != 0;
    } else {
        return false;
    }
    return true;
}

bool swi_next_attribute(const uint8_t **at, const uint8_t *end, sw_attribute *attribute) {
    swi_field field, part;
    while (swi_next(at, end, &field) > 0) {
        if (field.number != 6 || field.type != SWI_LEN) continue;
        const uint8_t *inner = field.bytes.data, *inner_end = inner + field.bytes.size;
        bool has_value = false;
        *attribute = (sw_attribute){.name = {"", 0}};
        while (swi_next(&inner, inner_end, &part) > 0) {
            if (part.number == 1 && part.type == SWI_LEN) attribute->name = swi_bytes_of(part.bytes);
            else if (read_value(&part, attribute)) has_value = true;
        }
        if (has_value) return true;
    }
    return false;
}

bool sw_attribute_at(const sw_record *record, size_t index, sw_attribute *value) {
    if (record->header.data == NULL) return false;
    const uint8_t *at = record->header.data, *end = at + record->header.size;
    sw_attribute found;
    do {
        if (!swi_next_attribute(&at, end, &found)) return false;
    } while (index-- > 0);
    *value = found;
    return true;
}

bool sw_find_attribute(const sw_record *record, const char *name, sw_attribute *value) {
    sw_attribute each;
    size_t size = strlen(name);
    if (record->header.data == NULL) return false;
    const uint8_t *at = record->header.data, *end = at + record->header.size;
    while (swi_next_attribute(&at, end, &each)) {
        if (each.name.size != size || memcmp(each.name.data, name, size) != 0) continue;
        *value = each;
        return true;
    }
    return false;
}

static void move(swi_slice *slice, const uint8_t *data, uint8_t **free_space) {
    if (data == NULL) return;
    if (slice->size > 0) memcpy(*free_space, data, slice->size);
    slice->data = *free_space;
    *free_space += slice->size;
}

sw_record *swi_record_copy(const sw_record *record) {
    size_t size = record->lineage.size + record->header.size + record->payload.size;
    sw_record *copy = swi_allocate(sizeof *copy + size);
    uint8_t *free_space = (uint8_t *)(copy + 1);
    *copy = *record;
    copy->decoded = NULL;
    copy->parsed = false;
    move(&copy->lineage, record->lineage.data, &free_space);
    move(&copy->header, record->header.data, &free_space);
    move(&copy->payload, record->payload.data, &free_space);
    return copy;
}

void swi_record_free(sw_record *record) {
    swi_record_clear(record);
    free(record);
}
