package dev.stagewire;

import java.util.Arrays;

/** Bytes that grow at their end, with protobuf's way of writing numbers: always minimal, as FR-5 asks for. */
final class Buffer {
    static final int VARINT = 0;
    static final int FIXED64 = 1;
    static final int LENGTH = 2;

    byte[] bytes;
    int size;

    Buffer(int capacity) {
        bytes = new byte[capacity];
    }

    void clear() {
        size = 0;
    }

    byte[] copy() {
        return Arrays.copyOf(bytes, size);
    }

    private void room(int more) {
        if (bytes.length - size < more) {
            bytes = Arrays.copyOf(bytes, Math.max(Math.addExact(size, more), bytes.length * 2));
        }
    }

    void raw(byte[] from, int offset, int length) {
        room(length);
        System.arraycopy(from, offset, bytes, size, length);
        size += length;
    }

    void raw(byte[] from) {
        raw(from, 0, from.length);
    }

    void varint(long value) {
        room(10);
        while ((value & ~0x7FL) != 0) {
            bytes[size++] = (byte) (value | 0x80);
            value >>>= 7;
        }
        bytes[size++] = (byte) value;
    }

    void tag(int field, int wireType) {
        varint((long) field << 3 | wireType);
    }

    /** A varint field; zero is left out, as proto3 has it. */
    void number(int field, long value) {
        if (value != 0) {
            tag(field, VARINT);
            varint(value);
        }
    }

    /** The tag and length of a field whose bytes follow. */
    void head(int field, int length) {
        tag(field, LENGTH);
        varint(length);
    }

    void field(int field, byte[] value) {
        head(field, value.length);
        raw(value);
    }

    void fixed64(long value) {
        room(8);
        for (int shift = 0; shift < 64; shift += 8) {
            bytes[size++] = (byte) (value >>> shift);
        }
    }

    void int32BigEndian(int value) {
        room(4);
        for (int shift = 24; shift >= 0; shift -= 8) {
            bytes[size++] = (byte) (value >>> shift);
        }
    }

    /** A string field. False, with nothing written, when the text has half a surrogate pair and so no UTF-8. */
    boolean text(int field, String value) {
        int length = utf8Size(value);
        if (length < 0) {
            return false;
        }
        head(field, length);
        room(length);
        if (length == value.length()) {
            for (int i = 0; i < length; i++) {
                bytes[size++] = (byte) value.charAt(i);
            }
        } else {
            raw(value.getBytes(java.nio.charset.StandardCharsets.UTF_8));
        }
        return true;
    }

    /** The bytes of `value` in UTF-8; -1 when it has half a surrogate pair. */
    static int utf8Size(String value) {
        int size = 0;
        for (int i = 0; i < value.length(); i++) {
            char unit = value.charAt(i);
            if (unit < 0x80) {
                size += 1;
            } else if (unit < 0x800) {
                size += 2;
            } else if (!Character.isSurrogate(unit)) {
                size += 3;
            } else if (Character.isHighSurrogate(unit) && i + 1 < value.length()
                    && Character.isLowSurrogate(value.charAt(i + 1))) {
                size += 4;
                i++;
            } else {
                return -1;
            }
        }
        return size;
    }

    static int varintSize(long value) {
        return (70 - Long.numberOfLeadingZeros(value | 1)) / 7;
    }

    /** The bytes of a length-delimited field with a field number up to 15: its tag, its length, and what it holds. */
    static int fieldSize(int length) {
        return 1 + varintSize(length) + length;
    }
}
