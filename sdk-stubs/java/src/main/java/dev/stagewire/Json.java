package dev.stagewire;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.RecordComponent;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Map;

/** JSON as RFC 8259 has it, and what is needed of it here. */
public final class Json {
    private Json() {}

    /** A text that is no JSON, or a value that does not fit a type. The message says where. */
    public static final class Invalid extends RuntimeException {
        private static final long serialVersionUID = 1;

        Invalid(String message) {
            super(message);
        }
    }

    /**
     * The value of a text: Map (in the text's order), List, String, Long, BigInteger (beyond 64 bits), Double, Boolean or
     * null.
     *
     * @throws Invalid when the text is not one value, or has more than 512 levels
     */
    public static Object parse(String text) {
        return new JsonParser(text).whole();
    }

    /**
     * A parsed value as a type: a record class, String, a number (boxed or not), boolean, an enum, List, Map with String
     * as its keys, Optional, or Object for the value itself. A component {@code perHour} of a record class is
     * {@code perHour} or {@code per_hour} in JSON. One that is missing has its {@link Default}, is empty if it is an
     * Optional, or is an error. Names that the class does not have are passed over.
     *
     * @throws Invalid when it does not fit; the message names the field
     */
    public static <T> T read(Object value, Class<T> type) {
        Object bound = new Binder(false).bind(value, type, "");
        @SuppressWarnings("unchecked") // a primitive class's cast() would refuse its boxed value
        T result = (T) bound;
        return result;
    }

    /** The same, but names that the class does not have are refused. `path` stands before those of fields. */
    static Object strict(Object value, Class<?> type, String path) {
        return new Binder(true).bind(value, type, path);
    }

    /**
     * JSON without white space, of what {@link #parse} gives, records, any Map, Iterable or array of objects, numbers,
     * enums and Optionals. Whole Doubles end in {@code .0}.
     *
     * @throws IllegalArgumentException for another type, and for numbers that are not finite
     */
    public static String write(Object value) {
        StringBuilder out = new StringBuilder();
        write(out, value);
        return out.toString();
    }

    private static void write(StringBuilder out, Object value) {
        if (value == null || value instanceof Boolean || value instanceof Integer || value instanceof Long
                || value instanceof Short || value instanceof Byte || value instanceof BigInteger || value instanceof BigDecimal) {
            out.append(value);
        } else if (value instanceof Double || value instanceof Float) {
            double number = ((Number) value).doubleValue();
            if (Double.isNaN(number) || Double.isInfinite(number)) {
                throw new IllegalArgumentException(number + " has no JSON");
            }
            out.append(value); // Java's form is JSON's, a whole number's ".0" included
        } else if (value instanceof CharSequence || value instanceof Character) {
            quote(out, value.toString());
        } else if (value instanceof Enum<?> constant) {
            quote(out, constant.name());
        } else if (value instanceof Map<?, ?> map) {
            char before = '{';
            for (Map.Entry<?, ?> each : map.entrySet()) {
                member(out, before, String.valueOf(each.getKey()), each.getValue());
                before = ',';
            }
            out.append(before == '{' ? "{}" : "}");
        } else if (value instanceof Iterable<?> items) {
            list(out, items);
        } else if (value instanceof Object[] items) {
            list(out, java.util.Arrays.asList(items));
        } else if (value instanceof java.util.Optional<?> optional) {
            write(out, optional.orElse(null));
        } else if (value instanceof Record) {
            record(out, value);
        } else {
            throw new IllegalArgumentException(value.getClass().getName() + " has no JSON");
        }
    }

    private static void list(StringBuilder out, Iterable<?> items) {
        char before = '[';
        for (Object each : items) {
            out.append(before);
            write(out, each);
            before = ',';
        }
        out.append(before == '[' ? "[]" : "]");
    }

    private static void record(StringBuilder out, Object value) {
        char before = '{';
        for (RecordComponent each : value.getClass().getRecordComponents()) {
            try {
                each.getAccessor().setAccessible(true);
                member(out, before, each.getName(), each.getAccessor().invoke(value));
            } catch (IllegalAccessException | InvocationTargetException failure) {
                throw new IllegalArgumentException(each + ": " + failure, failure);
            }
            before = ',';
        }
        out.append(before == '{' ? "{}" : "}");
    }

    private static void member(StringBuilder out, char before, String name, Object value) {
        out.append(before);
        quote(out, name);
        out.append(':');
        write(out, value);
    }

    static void quote(StringBuilder out, String text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char each = text.charAt(i);
            switch (each) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                default -> {
                    if (each < ' ' || lone(text, i)) {
                        out.append(String.format("\\u%04x", (int) each));
                    } else {
                        out.append(each);
                    }
                }
            }
        }
        out.append('"');
    }

    /** Half a surrogate pair has no UTF-8, but JSON has an escape for it. */
    private static boolean lone(String text, int at) {
        char each = text.charAt(at);
        return Character.isHighSurrogate(each) && (at + 1 == text.length() || !Character.isLowSurrogate(text.charAt(at + 1)))
                || Character.isLowSurrogate(each) && (at == 0 || !Character.isHighSurrogate(text.charAt(at - 1)));
    }
}
