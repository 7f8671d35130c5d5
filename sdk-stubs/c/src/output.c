/* Encoding outputs: Record without lineage, straight into the frame. */
#include "emitter.h"

static size_t attribute_size(const sw_attribute *attribute) {
    size_t size = attribute->name.size > 0 ? swi_len_size(attribute->name.size) : 0;
    switch (attribute->kind) {
    case SW_TEXT: return size + swi_len_size(attribute->text.size);
    case SW_INTEGER: return size + 1 + swi_varint_size((uint64_t)attribute->integer << 1 ^ (0 - (attribute->integer < 0)));
    case SW_NUMBER: return size + 9;
    case SW_FLAG: return size + 2;
    }
    return size;
}

static uint8_t *put_attribute(uint8_t *at, const sw_attribute *attribute) {
    uint64_t bits;
    at = swi_put_varint(swi_put_tag(at, 6, SWI_LEN), attribute_size(attribute));
    if (attribute->name.size > 0) at = swi_put_bytes(at, 1, attribute->name.data, attribute->name.size);
    switch (attribute->kind) {
    case SW_TEXT: return swi_put_bytes(at, 2, attribute->text.data, attribute->text.size);
    case SW_INTEGER:
        bits = (uint64_t)attribute->integer << 1 ^ (0 - (uint64_t)(attribute->integer < 0));
        return swi_put_varint(swi_put_tag(at, 3, SWI_VARINT), bits);
    case SW_NUMBER:
        memcpy(&bits, &attribute->number, sizeof bits);
        return swi_put_fixed64(swi_put_tag(at, 4, SWI_FIXED64), bits);
    case SW_FLAG:
        at = swi_put_tag(at, 5, SWI_VARINT);
        *at++ = attribute->flag ? 1 : 0;
        return at;
    }
    return at;
}

static bool is_named(const sw_output *output, sw_bytes name) {
    for (size_t i = 0; i < output->attribute_count; i++) {
        if (swi_equal(swi_slice_of(output->attributes[i].name), swi_slice_of(name))) return true;
    }
    return false;
}

/* Goes on to the next attribute of the base that is not named anew. */
static bool next_kept(const sw_output *output, const uint8_t **at, sw_attribute *attribute) {
    if (output->base == NULL || output->base->header.data == NULL) return false;
    const uint8_t *end = output->base->header.data + output->base->header.size;
    if (*at == NULL) *at = output->base->header.data;
    while (swi_next_attribute(at, end, attribute)) {
        if (!is_named(output, attribute->name)) return true;
    }
    return false;
}

/* The size of the attributes, or 0 and a sentence. */
static size_t attributes_size(const sw_output *output, const char **wrong) {
    size_t size = 0, count = output->attribute_count;
    const uint8_t *at = NULL;
    sw_attribute kept;
    for (size_t i = 0; i < output->attribute_count; i++) {
        const sw_attribute *each = &output->attributes[i];
        if (each->kind < SW_TEXT || each->kind > SW_FLAG) *wrong = "an attribute has no kind";
        if (!swi_is_utf8(each->name.data, each->name.size)) *wrong = "an attribute's name is not UTF-8";
        if (each->kind == SW_TEXT && !swi_is_utf8(each->text.data, each->text.size)) *wrong = "an attribute's text is not UTF-8";
        size += swi_len_size(attribute_size(each));
    }
    for (; next_kept(output, &at, &kept); count++) size += swi_len_size(attribute_size(&kept));
    if (count > SWI_ATTRIBUTES) *wrong = "it has more than 64 attributes";
    return size;
}

static size_t text_size(sw_bytes text) { return text.size > 0 ? swi_len_size(text.size) : 0; }

static size_t header_size(const sw_output *output, const char **wrong) {
    size_t size = text_size(output->schema) + text_size(output->key) + text_size(output->content_type);
    if (!swi_is_utf8(output->schema.data, output->schema.size)) *wrong = "its schema is not UTF-8";
    if (!swi_is_utf8(output->content_type.data, output->content_type.size)) *wrong = "its content type is not UTF-8";
    if (output->key.size > SWI_KEY) *wrong = "its key is longer than 1,024 bytes";
    if (output->schema_version > 0) size += 1 + swi_varint_size(output->schema_version);
    if (output->event_time != 0) size += 9;
    size += attributes_size(output, wrong);
    if (size > SWI_HEADER) *wrong = "its header is larger than 16 KiB";
    return size;
}

static void inherit(sw_bytes *value, sw_bytes of_base) {
    if (value->data == NULL) *value = of_base;
}

const char *swi_resolve(const sw_output *output, swi_resolved *resolved) {
    const char *wrong = NULL;
    const sw_record *base = output->base;
    bool is_new = output->key.data || output->schema.data || output->content_type.data || output->schema_version ||
                  output->event_time || output->attribute_count > 0;
    resolved->output = *output;
    resolved->header = 0;
    resolved->raw_header = (swi_slice){0};
    resolved->payload = swi_slice_of(output->payload);
    if (base != NULL && output->payload.data == NULL) resolved->payload = base->payload;
    if (is_new && base != NULL) {
        sw_output *whole = &resolved->output;
        inherit(&whole->key, sw_key(base));
        inherit(&whole->schema, sw_schema(base));
        inherit(&whole->content_type, sw_content_type(base));
        if (whole->schema_version == 0) whole->schema_version = sw_schema_version(base);
        if (whole->event_time == 0) whole->event_time = sw_event_time(base);
    }
    if (is_new) resolved->header = header_size(&resolved->output, &wrong);
    else if (base != NULL) resolved->raw_header = base->header;
    size_t header = resolved->header > 0 ? resolved->header : resolved->raw_header.size;
    resolved->size = (header > 0 ? swi_len_size(header) : 0) +
                     (resolved->payload.size > 0 ? swi_len_size(resolved->payload.size) : 0);
    return wrong;
}

static uint8_t *put_text(uint8_t *at, unsigned number, sw_bytes text) {
    return text.size > 0 ? swi_put_bytes(at, number, text.data, text.size) : at;
}

static uint8_t *put_header(uint8_t *at, const swi_resolved *resolved) {
    const sw_output *output = &resolved->output;
    const uint8_t *kept_at = NULL;
    sw_attribute kept;
    at = swi_put_varint(swi_put_tag(at, 2, SWI_LEN), resolved->header);
    at = put_text(at, 1, output->schema);
    if (output->schema_version > 0) at = swi_put_varint(swi_put_tag(at, 2, SWI_VARINT), output->schema_version);
    at = put_text(at, 3, output->key);
    if (output->event_time != 0) at = swi_put_fixed64(swi_put_tag(at, 4, SWI_FIXED64), (uint64_t)output->event_time);
    at = put_text(at, 5, output->content_type);
    for (size_t i = 0; i < output->attribute_count; i++) at = put_attribute(at, &output->attributes[i]);
    while (next_kept(output, &kept_at, &kept)) at = put_attribute(at, &kept);
    return at;
}

uint8_t *swi_put_output(uint8_t *at, const swi_resolved *resolved) {
    if (resolved->header > 0) at = put_header(at, resolved);
    else if (resolved->raw_header.size > 0) at = swi_put_bytes(at, 2, resolved->raw_header.data, resolved->raw_header.size);
    if (resolved->payload.size > 0) at = swi_put_bytes(at, 3, resolved->payload.data, resolved->payload.size);
    return at;
}
