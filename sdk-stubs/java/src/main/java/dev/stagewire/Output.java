package dev.stagewire;

import dev.stagewire.v1.Header;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A record to be emitted. It is changed in place and returns itself; emitting encodes it, so one may be used again.
 * What an output may have is limited: 16 KiB of header, a key of 1 KiB, 64 attributes, and the pipeline's
 * {@code max_record}.
 */
public final class Output {
    /** The header of a record that is passed on, as long as nothing of it is changed. */
    private StageRecord original;
    private byte[] payload;
    private int payloadStart;
    private int payloadLength;
    private String schema = "";
    private int schemaVersion;
    private byte[] key = NONE;
    private long eventTime;
    private String contentType = "";
    private Map<String, Object> attributes = Map.of();
    String port;
    List<StageRecord> parents = List.of();
    String traceparent;
    String tracestate;

    private static final byte[] NONE = {};

    /** An empty record. */
    public Output() {
        payload = NONE;
    }

    Output(StageRecord record) {
        original = record;
        payload = record.frame;
        payloadStart = record.payloadStart();
        payloadLength = record.payloadSize();
    }

    /** A record with these bytes, which are not copied until it is emitted. */
    public static Output of(byte[] payload) {
        return new Output().payload(payload);
    }

    /** A record with this text as UTF-8. */
    public static Output of(String text) {
        return new Output().text(text);
    }

    /** A record with this value as JSON (see {@link Json#write}), and the content type for it. */
    public static Output ofJson(Object value) {
        return new Output().json(value);
    }

    public Output payload(byte[] bytes) {
        payload = bytes;
        payloadStart = 0;
        payloadLength = bytes.length;
        return this;
    }

    /** The payload as UTF-8; the content type stays what it is. */
    public Output text(String text) {
        return payload(text.getBytes(StandardCharsets.UTF_8));
    }

    /** The payload as JSON: a record class, Map, Iterable, String, number, boolean or null; application/json. */
    public Output json(Object value) {
        return text(Json.write(value)).contentType("application/json");
    }

    /** The key; records of one key keep their order. Empty: none. */
    public Output key(String key) {
        return key(key.getBytes(StandardCharsets.UTF_8));
    }

    public Output key(byte[] key) {
        own();
        this.key = key;
        return this;
    }

    public Output schema(String name, int version) {
        own();
        schema = name;
        schemaVersion = version;
        return this;
    }

    public Output contentType(String contentType) {
        if (original != null && original.contentType().equals(contentType)) {
            return this; // as it is already: the header's bytes can be passed on
        }
        own();
        this.contentType = contentType;
        return this;
    }

    /** When it happened; null: not known. */
    public Output eventTime(Instant time) {
        return eventMicros(time == null ? 0 : Times.micros(time));
    }

    /** When it happened, in microseconds since 1970-01-01T00:00:00Z; 0: not known. */
    public Output eventMicros(long micros) {
        own();
        eventTime = micros;
        return this;
    }

    /** Sets an attribute: a String, Boolean, Long (or a smaller integer), Double or Float; null removes it. */
    public Output attribute(String name, Object value) {
        own();
        if (!(attributes instanceof LinkedHashMap)) {
            attributes = new LinkedHashMap<>(attributes);
        }
        if (value == null) {
            attributes.remove(name);
        } else {
            attributes.put(name, scalar(name, value));
        }
        return this;
    }

    /** The output (port) to emit to, by its name; without one it is the stage's first. */
    public Output port(String name) {
        port = name;
        return this;
    }

    /** In a window: the records that this descends from, accepted ones of it; none stands for all of them. */
    public Output parents(List<StageRecord> records) {
        parents = records.stream().distinct().toList(); // ST-4
        return this;
    }

    /** In a source: the W3C Trace Context of what comes in, at most 64 and 512 bytes; null for none. */
    public Output trace(String traceparent, String tracestate) {
        this.traceparent = traceparent;
        this.tracestate = tracestate;
        return this;
    }

    private static Object scalar(String name, Object value) {
        if (value instanceof String || value instanceof Boolean || value instanceof Long || value instanceof Double) {
            return value;
        }
        if (value instanceof Integer || value instanceof Short || value instanceof Byte) {
            return ((Number) value).longValue();
        }
        if (value instanceof Float) {
            return ((Number) value).doubleValue();
        }
        throw new IllegalArgumentException("attribute " + name + ": " + value.getClass().getName()
                + " is none of text, integer, number and boolean");
    }

    /** Before the header changes: takes over the original's fields. */
    private void own() {
        if (original == null) {
            return;
        }
        Header header = original.header();
        schema = header.getSchema();
        schemaVersion = header.getSchemaVersion();
        key = header.getKey().toByteArray();
        eventTime = header.getEventTime();
        contentType = header.getContentType();
        attributes = StageRecord.attributesOf(header);
        original = null;
    }

    /** Writes the header's fields. Null when all is well, else what is wrong with them. */
    private String header(Buffer to) {
        if (original != null) {
            to.raw(original.frame, original.headerStart(), original.headerLength());
            return null;
        }
        boolean valid = schema.isEmpty() || to.text(1, schema);
        to.number(2, schemaVersion & 0xFFFF_FFFFL);
        if (key.length > 0) {
            to.field(3, key);
        }
        if (eventTime != 0) {
            to.tag(4, Buffer.FIXED64);
            to.fixed64(eventTime);
        }
        valid &= contentType.isEmpty() || to.text(5, contentType);
        for (Map.Entry<String, Object> each : attributes.entrySet()) {
            valid &= attribute(to, each.getKey(), each.getValue());
        }
        return !valid ? "a text of the header has half a surrogate pair, which UTF-8 does not have"
                : key.length > Limits.KEY ? "a key of " + key.length + " bytes; " + Limits.KEY + " are allowed"
                : attributes.size() > Limits.ATTRIBUTES
                        ? attributes.size() + " attributes; " + Limits.ATTRIBUTES + " are allowed" : null;
    }

    private static boolean attribute(Buffer to, String name, Object value) {
        int nameSize = Buffer.utf8Size(name);
        int textSize = value instanceof String text ? Buffer.utf8Size(text) : 0;
        if (nameSize < 0 || textSize < 0) {
            return false;
        }
        long integer = value instanceof Long number ? number << 1 ^ number >> 63 : 0;
        int valueSize = value instanceof String ? Buffer.fieldSize(textSize)
                : value instanceof Long ? 1 + Buffer.varintSize(integer) : value instanceof Double ? 9 : 2;
        to.head(6, (nameSize == 0 ? 0 : Buffer.fieldSize(nameSize)) + valueSize);
        if (nameSize > 0) {
            to.text(1, name);
        }
        if (value instanceof String text) {
            to.text(2, text);
        } else if (value instanceof Long) {
            to.tag(3, Buffer.VARINT);
            to.varint(integer);
        } else if (value instanceof Double number) {
            to.tag(4, Buffer.FIXED64);
            to.fixed64(Double.doubleToRawLongBits(number));
        } else {
            to.tag(5, Buffer.VARINT);
            to.varint((Boolean) value ? 1 : 0);
        }
        return true;
    }

    /** What {@link #encode(Buffer)} puts into `header`, and how long the whole is. -1 with `wrong` set: not valid. */
    int prepare(Buffer header, String[] wrong) {
        header.clear();
        wrong[0] = header(header);
        if (wrong[0] == null && header.size > Limits.HEADER) {
            wrong[0] = "a header of " + header.size + " bytes; " + Limits.HEADER + " are allowed";
        }
        if (wrong[0] != null) {
            return -1;
        }
        return (header.size == 0 ? 0 : Buffer.fieldSize(header.size))
                + (payloadLength == 0 ? 0 : Buffer.fieldSize(payloadLength));
    }

    /** Writes the record whose header {@link #prepare} has encoded. */
    void write(Buffer to, Buffer header) {
        if (header.size > 0) {
            to.head(2, header.size);
            to.raw(header.bytes, 0, header.size);
        }
        if (payloadLength > 0) {
            to.head(3, payloadLength);
            to.raw(payload, payloadStart, payloadLength);
        }
    }

    /** The whole record in bytes of its own. */
    byte[] encode() {
        Buffer header = new Buffer(256);
        String[] wrong = {null};
        if (prepare(header, wrong) < 0) {
            throw new IllegalArgumentException(wrong[0]);
        }
        Buffer whole = new Buffer(header.size + payloadLength + 16);
        write(whole, header);
        return whole.copy();
    }
}
