package dev.stagewire;

import com.google.protobuf.ByteString;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.time.format.DateTimeParseException;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/** Records as JSON, one on a line: docs/RECORD_JSON.md. */
final class RecordJson {
    private final Output output = new Output();
    private String payloadField;
    private String keyField;
    private String contentType;
    private boolean json;
    private String schema = "";
    private int schemaVersion;
    private int attempt = 1;
    private Map<?, ?> lineage = Map.of();

    private RecordJson() {}

    // ---- Reading ----

    /** A record as a handler gets it, of one line. */
    static StageRecord read(String line, long number) {
        RecordJson reader = new RecordJson();
        JsonParser parser = new JsonParser(line);
        parser.expect('{');
        if (!parser.take('}')) {
            do {
                String name = reader.name(parser);
                parser.expect(':');
                int start = parser.position();
                Object value = parser.value();
                reader.field(name, value, line.substring(start, parser.position()));
            } while (parser.take(','));
            parser.expect('}');
        }
        parser.end();
        return reader.record(number);
    }

    private String name(JsonParser parser) {
        if (parser.value() instanceof String name) {
            return name;
        }
        throw parser.wrong("expected a name");
    }

    private void field(String name, Object value, String raw) {
        switch (name) {
            case "json" -> {
                payload(name).text(JsonParser.compact(raw));
                json = true;
            }
            case "text" -> payload(name).text(text(name, value));
            case "base64" -> payload(name).payload(base64(name, value));
            case "key" -> key(name, text(name, value).getBytes(StandardCharsets.UTF_8));
            case "key_base64" -> key(name, base64(name, value));
            case "schema" -> schema = text(name, value);
            case "schema_version" -> schemaVersion = (int) integer(name, value, 0xFFFF_FFFFL);
            case "content_type" -> contentType = text(name, value);
            case "event_time" -> output.eventMicros(time(name, value));
            case "attributes" -> mapping(name, value).forEach((each, of) -> output.attribute((String) each,
                    attribute("attributes." + each, of)));
            case "attempt" -> attempt = (int) integer(name, value, Integer.MAX_VALUE);
            case "lineage" -> lineage = mapping(name, value);
            case "port", "input" -> text(name, value); // of no meaning for what a handler is given
            default -> throw new Json.Invalid(name + ": unknown; a record has json, text or base64, key or key_base64, schema, "
                    + "schema_version, content_type, event_time and attributes");
        }
    }

    private StageRecord record(long number) {
        if (!schema.isEmpty() || schemaVersion != 0) {
            output.schema(schema, schemaVersion);
        }
        if (contentType != null || json) {
            output.contentType(contentType != null ? contentType : "application/json");
        }
        Buffer whole = new Buffer(256);
        Runs runs = new Runs();
        if (!lineage.isEmpty()) {
            whole.field(1, lineage(runs));
        }
        try {
            whole.raw(output.encode());
        } catch (IllegalArgumentException invalid) {
            throw new Json.Invalid(invalid.getMessage());
        }
        StageRecord record = new StageRecord(whole.copy(), 0, whole.size, number, attempt, null, 0);
        record.runs = runs;
        return record;
    }

    private Output payload(String name) {
        if (payloadField != null) {
            throw new Json.Invalid("both " + payloadField + " and " + name + ": a record has one payload");
        }
        payloadField = name;
        return output;
    }

    private void key(String name, byte[] key) {
        if (keyField != null) {
            throw new Json.Invalid("both " + keyField + " and " + name + ": a record has one key");
        }
        keyField = name;
        output.key(key);
    }

    private static String text(String name, Object value) {
        if (value instanceof String text) {
            return text;
        }
        throw new Json.Invalid(name + ": expected a string");
    }

    private static byte[] base64(String name, Object value) {
        try {
            return Base64.getDecoder().decode(text(name, value));
        } catch (IllegalArgumentException invalid) {
            throw new Json.Invalid(name + ": not base64: " + invalid.getMessage());
        }
    }

    private static long integer(String name, Object value, long max) {
        if (value instanceof Long number && number >= 0 && number <= max) {
            return number;
        }
        throw new Json.Invalid(name + ": expected an integer from 0 to " + max);
    }

    private static Map<?, ?> mapping(String name, Object value) {
        if (value instanceof Map<?, ?> map) {
            return map;
        }
        throw new Json.Invalid(name + ": expected an object");
    }

    private static Object attribute(String name, Object value) {
        if (value instanceof BigInteger large) {
            return large.doubleValue();
        }
        if (value == null || value instanceof Map || value instanceof List) {
            throw new Json.Invalid(name + ": expected a text, a number or a boolean");
        }
        return value;
    }

    private static long time(String name, Object value) {
        if (value instanceof Long micros) {
            return micros;
        }
        try {
            return Times.micros(OffsetDateTime.parse(text(name, value)).toInstant());
        } catch (DateTimeParseException | ArithmeticException invalid) {
            throw new Json.Invalid(name + ": expected a time such as 2026-01-05T10:30:00.000000Z");
        }
    }

    /** What the broker adds, so far as it is there; for handlers that look at it. */
    private byte[] lineage(Runs runs) {
        var result = dev.stagewire.v1.Lineage.newBuilder().setId(id(lineage.get("id"))).setRoot(id(lineage.get("root")));
        if (lineage.get("parents") instanceof List<?> parents) {
            parents.forEach(each -> result.addParents(id(each)));
        }
        long ingest = lineage.get("ingest_time") == null ? 0 : time("lineage.ingest_time", lineage.get("ingest_time"));
        result.setIngestTime(ingest).setParentsTruncated(Boolean.TRUE.equals(lineage.get("parents_truncated")));
        if (lineage.get("trace") instanceof Map<?, ?> trace) {
            result.getTraceBuilder().setTraceparent(string(trace.get("traceparent"))).setTracestate(string(trace.get("tracestate")));
        }
        if (lineage.get("hops") instanceof List<?> hops) {
            for (Object each : hops) {
                Map<?, ?> hop = mapping("lineage.hops", each);
                int number = result.getHopsCount() + 1;
                runs.add(dev.stagewire.v1.Runs.newBuilder().addRuns(dev.stagewire.v1.Run.newBuilder().setNumber(number)
                        .setStage(string(hop.get("stage"))).setVersion(string(hop.get("version")))
                        .setInstance(string(hop.get("instance"))).setLanguage(string(hop.get("language")))).build());
                long at = hop.get("time") == null ? ingest : time("lineage.hops.time", hop.get("time"));
                result.addHopsBuilder().setRun(number).setDelta(Math.max(0, at - ingest))
                        .setAttempt(hop.get("attempt") instanceof Long attempt ? attempt.intValue() : 0);
            }
        }
        return result.build().toByteArray();
    }

    private static String string(Object value) {
        return value instanceof String text ? text : "";
    }

    private static ByteString id(Object value) {
        if (value == null) {
            return ByteString.EMPTY;
        }
        try {
            return ByteString.copyFrom(HexFormat.of().parseHex(text("lineage", value)));
        } catch (IllegalArgumentException invalid) {
            throw new Json.Invalid("lineage: " + value + " is not hexadecimal");
        }
    }

    // ---- Writing ----

    /** An emission on one line, without a line break. */
    static String write(StageRecord record, String port) {
        StringBuilder out = new StringBuilder("{");
        byte[] key = record.keyBytes();
        if (key.length > 0) {
            String text = utf8(key);
            member(out, text == null ? "key_base64" : "key", text == null ? Base64.getEncoder().encodeToString(key) : text);
        }
        payload(out, record);
        if (!record.schema().isEmpty()) {
            member(out, "schema", record.schema());
        }
        if (record.schemaVersion() != 0) {
            member(out, "schema_version", Integer.toUnsignedLong(record.schemaVersion()));
        }
        if (record.eventMicros() != 0) {
            String time = Times.text(record.eventMicros());
            member(out, "event_time", time == null ? (Object) record.eventMicros() : time);
        }
        if (!record.contentType().isEmpty()) {
            member(out, "content_type", record.contentType());
        }
        if (!record.attributes().isEmpty()) {
            Map<String, Object> shown = new java.util.LinkedHashMap<>(record.attributes());
            shown.replaceAll((name, value) -> value instanceof Double number && !Double.isFinite(number) ? number.toString() : value);
            member(out, "attributes", shown);
        }
        if (port != null) {
            member(out, "port", port);
        }
        return out.append('}').toString();
    }

    private static void member(StringBuilder out, String name, Object value) {
        begin(out, name).append(Json.write(value));
    }

    private static StringBuilder begin(StringBuilder out, String name) {
        if (out.length() > 1) {
            out.append(", ");
        }
        Json.quote(out, name);
        return out.append(": ");
    }

    private static void payload(StringBuilder out, StageRecord record) {
        if (record.payloadSize() == 0) {
            return;
        }
        byte[] payload = record.payload();
        String text = utf8(payload);
        if (text == null) {
            member(out, "base64", Base64.getEncoder().encodeToString(payload));
        } else if (isJson(record.contentType()) && isOneLine(text)) {
            begin(out, "json").append(text);
        } else {
            member(out, "text", text);
        }
    }

    private static boolean isJson(String contentType) {
        return contentType.equals("application/json") || contentType.endsWith("+json");
    }

    /** Whether this is one JSON text without line breaks; within strings there are none anyway. */
    private static boolean isOneLine(String text) {
        if (text.indexOf('\n') >= 0 || text.indexOf('\r') >= 0) {
            return false;
        }
        try {
            Json.parse(text);
            return true;
        } catch (Json.Invalid invalid) {
            return false;
        }
    }

    private static String utf8(byte[] bytes) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException invalid) {
            return null;
        }
    }
}
