package dev.stagewire;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import com.google.protobuf.UnknownFieldSet;
import dev.stagewire.v1.Envelope;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/** The golden vectors of conformance/vectors; the README there explains their form. */
final class Vectors {
    /** One of them: its members, and its bytes. */
    record Vector(Map<?, ?> members, byte[] bytes) {
        String name() {
            return (String) members.get("name");
        }

        boolean says(String member) {
            return Boolean.TRUE.equals(members.get(member));
        }

        Map<?, ?> mapping(String member) {
            return members.get(member) instanceof Map<?, ?> map ? map : Map.of();
        }

        /** What the JSON of a frame means. */
        Envelope envelope() {
            Envelope.Builder meant = Envelope.newBuilder();
            fill(meant, mapping("json"));
            return meant.build();
        }

        dev.stagewire.v1.Record record() {
            dev.stagewire.v1.Record.Builder meant = dev.stagewire.v1.Record.newBuilder();
            fill(meant, mapping("json"));
            return meant.build();
        }
    }

    private Vectors() {}

    static List<Vector> of(String file) throws IOException {
        Object all = Json.parse(Files.readString(Path.of("../../conformance/vectors", file + ".json")));
        List<Vector> result = new ArrayList<>();
        for (Object each : (List<?>) all) {
            Map<?, ?> members = (Map<?, ?>) each;
            result.add(new Vector(members, hex(members.get("hex"))));
        }
        return result;
    }

    private static byte[] hex(Object value) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (Object piece : value instanceof List<?> list ? list : List.of(value)) {
            byte[] unit = HexFormat.of().parseHex((String) unit(piece));
            for (long i = times(piece); i > 0; i--) {
                bytes.writeBytes(unit);
            }
        }
        return bytes.toByteArray();
    }

    private static boolean isRepetition(Object value) {
        return value instanceof Map<?, ?> map && map.size() == 2 && map.containsKey("repeat") && map.containsKey("times");
    }

    private static Object unit(Object value) {
        return isRepetition(value) ? ((Map<?, ?>) value).get("repeat") : value;
    }

    private static long times(Object value) {
        return isRepetition(value) ? (Long) ((Map<?, ?>) value).get("times") : 1;
    }

    /** Bytes as text or, behind `0x`, as hexadecimal digits; repeated perhaps. */
    static byte[] bytes(Object value) {
        String text = (String) unit(value);
        byte[] once = text.startsWith("0x") ? HexFormat.of().parseHex(text.substring(2)) : text.getBytes(StandardCharsets.UTF_8);
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (long i = times(value); i > 0; i--) {
            all.writeBytes(once);
        }
        return all.toByteArray();
    }

    /** Makes `message` what JSON means. */
    static void fill(Message.Builder message, Map<?, ?> values) {
        values.forEach((name, value) -> {
            FieldDescriptor field = message.getDescriptorForType().findFieldByName((String) name);
            for (Object item : value instanceof List<?> list ? list : List.of(value)) {
                boolean repeats = field.isRepeated() && field.getJavaType() == FieldDescriptor.JavaType.MESSAGE;
                Object typed = typed(message, field, repeats ? unit(item) : item);
                if (!field.isRepeated()) {
                    message.setField(field, typed);
                }
                for (long i = repeats ? times(item) : 1; field.isRepeated() && i > 0; i--) {
                    message.addRepeatedField(field, typed);
                }
            }
            if (value instanceof Map<?, ?> map && map.isEmpty() && !field.isRepeated()) {
                message.setField(field, message.newBuilderForField(field).build()); // there, and empty
            }
        });
    }

    private static Object typed(Message.Builder message, FieldDescriptor field, Object value) {
        return switch (field.getJavaType()) {
            case MESSAGE -> {
                Message.Builder inner = message.newBuilderForField(field);
                fill(inner, (Map<?, ?>) value);
                yield inner.build();
            }
            case BYTE_STRING -> ByteString.copyFrom(bytes(value));
            case STRING -> ((String) unit(value)).repeat((int) times(value));
            case ENUM -> value instanceof String name ? field.getEnumType().findValueByName(name)
                    : field.getEnumType().findValueByNumberCreatingIfUnknown(((Number) value).intValue());
            case DOUBLE -> value instanceof String special ? Double.valueOf(special) : ((Number) value).doubleValue();
            case INT -> ((Number) value).intValue();
            case LONG -> value instanceof BigInteger large ? large.longValue() : (Long) value;
            case BOOLEAN -> value;
            case FLOAT -> throw new IllegalStateException("there is no float in the protocol");
        };
    }

    /** The same without unknown fields, which a vector's JSON does not have. */
    static <T extends Message> T known(T message) {
        Message.Builder result = message.toBuilder().setUnknownFields(UnknownFieldSet.getDefaultInstance());
        message.getAllFields().forEach((field, value) -> {
            if (field.getJavaType() == FieldDescriptor.JavaType.MESSAGE) {
                if (field.isRepeated()) {
                    for (int i = 0; i < message.getRepeatedFieldCount(field); i++) {
                        result.setRepeatedField(field, i, known((Message) message.getRepeatedField(field, i)));
                    }
                } else {
                    result.setField(field, known((Message) value));
                }
            }
        });
        @SuppressWarnings("unchecked") // a builder builds what it was made of
        T built = (T) result.build();
        return built;
    }
}
