package dev.stagewire;

import com.google.protobuf.InvalidProtocolBufferException;
import dev.stagewire.v1.Attribute;
import dev.stagewire.v1.Header;
import dev.stagewire.v1.Ordering;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * One delivered record: a view of the frame that it came in, decoded when asked for. It may be kept after the handler
 * has returned. It belongs to one thread at a time.
 */
public final class StageRecord {
    final byte[] frame;
    final long delivery;
    final long epoch;
    final Edge edge;
    /** What the record costs the broker and this session (CR-3). */
    final int size;
    private final int attempt;
    private int lineageStart;
    private int lineageLength;
    private int headerStart;
    private int headerLength;
    private int payloadStart;
    private int payloadLength;
    private int keyStart;
    private int keyLength = -1;
    private Header header;
    private Map<String, Object> attributes;
    /** Numbers of runs to their names; null without a session. */
    Runs runs;
    /** The same. */
    Confirmations confirmations;

    StageRecord(Incoming incoming, int start, int size, long delivery, int attempt) {
        this(incoming.bytes, start, size, delivery, attempt, incoming.edge, incoming.epoch);
    }

    StageRecord(byte[] frame, int start, int size, long delivery, int attempt, Edge edge, long epoch) {
        this.frame = frame;
        this.size = size;
        this.delivery = delivery;
        this.attempt = attempt == 0 ? 1 : attempt;
        this.edge = edge;
        this.epoch = epoch;
        Scan scan = new Scan(frame, start, size);
        while (scan.next()) {
            if (scan.wireType != Buffer.LENGTH) {
                continue;
            }
            switch (scan.field) {
                case 1 -> {
                    lineageStart = scan.start;
                    lineageLength = scan.length;
                }
                case 2 -> {
                    headerStart = scan.start;
                    headerLength = scan.length;
                }
                case 3 -> {
                    payloadStart = scan.start;
                    payloadLength = scan.length;
                }
                default -> { }
            }
        }
    }

    /** A record as a handler gets it, for tests of handlers: attempt 1, with neither lineage nor a session. */
    public static StageRecord of(Output output) {
        byte[] encoded = output.encode();
        return new StageRecord(encoded, 0, encoded.length, 0, 1, null, 0);
    }

    /**
     * Has something done once the broker has confirmed that this record's settlement is durable (in a pipeline with
     * {@code durability: memory}: applied): the record will not come again, and what it stands for may be deleted. To be
     * called by the handler.
     *
     * <p>Actions are called in the order of deliveries, one at a time, on a thread of their own; the trace of one that
     * fails goes to standard error. An action is not called when the record is not accepted, when the broker refuses
     * what was emitted, when the session ends before, and in tests without a broker.
     */
    public void onConfirmed(Confirmed action) {
        if (confirmations != null) {
            confirmations.ask(delivery, action);
        }
    }

    /** The payload, copied. */
    public byte[] payload() {
        return Arrays.copyOfRange(frame, payloadStart, payloadStart + payloadLength);
    }

    /** The payload without a copy, read-only. */
    public ByteBuffer payloadBuffer() {
        return ByteBuffer.wrap(frame, payloadStart, payloadLength).slice().asReadOnlyBuffer();
    }

    /** Bytes of the payload. */
    public int payloadSize() {
        return payloadLength;
    }

    /** The payload as UTF-8; what is none becomes U+FFFD. */
    public String text() {
        return new String(frame, payloadStart, payloadLength, StandardCharsets.UTF_8);
    }

    /**
     * The payload as JSON, in the types of {@link Json#parse}.
     *
     * @throws Json.Invalid when it is none
     */
    public Object json() {
        return Json.parse(text());
    }

    /**
     * The payload as JSON in a type of yours: a record class, or what else {@link Json#read} takes. Names that the type
     * does not have are passed over.
     *
     * @throws Json.Invalid when it does not fit; its message names the field
     */
    public <T> T json(Class<T> type) {
        return Json.read(json(), type);
    }

    /** The key as UTF-8; empty without one. */
    public String key() {
        findKey();
        return new String(frame, keyStart, keyLength, StandardCharsets.UTF_8);
    }

    /** The key's bytes; none without one. */
    public byte[] keyBytes() {
        findKey();
        return Arrays.copyOfRange(frame, keyStart, keyStart + keyLength);
    }

    /** When it happened, as its author says; null when that is not known. */
    public Instant eventTime() {
        long micros = eventMicros();
        return micros == 0 ? null : Times.instant(micros);
    }

    /** The event time in microseconds since 1970-01-01T00:00:00Z; 0 when it is not known. */
    public long eventMicros() {
        return header().getEventTime();
    }

    public String schema() {
        return header().getSchema();
    }

    public int schemaVersion() {
        return header().getSchemaVersion();
    }

    public String contentType() {
        return header().getContentType();
    }

    /** Attributes by name: String, Long, Double or Boolean. */
    public Map<String, Object> attributes() {
        if (attributes == null) {
            attributes = Collections.unmodifiableMap(attributesOf(header()));
        }
        return attributes;
    }

    /** Which attempt this is, from 1. */
    public int attempt() {
        return attempt;
    }

    /** What it was read from, `stage` or `stage.port`; empty in tests. */
    public String input() {
        return edge == null ? "" : edge.name;
    }

    /** The record's id: 32 hexadecimal digits, the same whenever it is delivered again; empty without a broker. */
    public String id() {
        byte[] id = idBytes();
        return id == null ? "" : java.util.HexFormat.of().formatHex(id);
    }

    /** Where it comes from; null without a broker. */
    public Lineage lineage() {
        return lineageLength == 0 ? null : Lineage.decode(frame, lineageStart, lineageLength, runs);
    }

    /** The same header and payload, to be changed where wanted and emitted. Nothing is copied until then. */
    public Output output() {
        return new Output(this);
    }

    byte[] idBytes() {
        Scan scan = new Scan(frame, lineageStart, lineageLength);
        while (scan.next()) {
            if (scan.field == 1 && scan.wireType == Buffer.LENGTH) {
                return Arrays.copyOfRange(frame, scan.start, scan.start + scan.length);
            }
        }
        return null;
    }

    int headerStart() {
        return headerStart;
    }

    int headerLength() {
        return headerLength;
    }

    int payloadStart() {
        return payloadStart;
    }

    Header header() {
        if (header == null) {
            try {
                header = Header.parser().parseFrom(frame, headerStart, headerLength);
            } catch (InvalidProtocolBufferException invalid) {
                throw new Scan.Malformed("a header that is no protobuf: " + invalid.getMessage());
            }
        }
        return header;
    }

    /** What the record is related to (OR-1): an object that is equal for related ones, or null for nothing. */
    Object lane() {
        if (edge == null || edge.ordering == Ordering.ORDERING_NONE) {
            return null;
        }
        return edge.ordering == Ordering.ORDERING_TOTAL ? edge : key(edge);
    }

    /** The key within `of` (null: within everything), without a copy; null without one. */
    LaneKey key(Edge of) {
        findKey();
        return keyLength == 0 ? null : new LaneKey(of, frame, keyStart, keyLength);
    }

    private void findKey() {
        if (keyLength >= 0) {
            return;
        }
        keyLength = 0;
        Scan scan = new Scan(frame, headerStart, headerLength);
        while (scan.next()) {
            if (scan.field == 3 && scan.wireType == Buffer.LENGTH) {
                keyStart = scan.start;
                keyLength = scan.length;
            }
        }
    }

    static Map<String, Object> attributesOf(Header header) {
        Map<String, Object> result = new LinkedHashMap<>();
        for (Attribute each : header.getAttributesList()) {
            Object value = switch (each.getValueCase()) {
                case TEXT -> each.getText();
                case INTEGER -> each.getInteger();
                case NUMBER -> each.getNumber();
                case FLAG -> each.getFlag();
                case VALUE_NOT_SET -> null;
            };
            if (value != null) {
                result.putIfAbsent(each.getName(), value); // RE-2: of two with one name the first counts
            }
        }
        return result;
    }
}
