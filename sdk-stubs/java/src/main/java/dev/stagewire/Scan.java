package dev.stagewire;

/** Reads the fields of one protobuf message in place. Bytes that are no protobuf throw {@link Malformed}. */
final class Scan {
    /** What came is no valid frame (FR-2). */
    static final class Malformed extends RuntimeException {
        private static final long serialVersionUID = 1;

        Malformed(String message) {
            super(message, null, false, false);
        }
    }

    final byte[] bytes;
    private int at;
    private final int end;

    /** The field that {@link #next} stopped at: its number, and its wire type. */
    int field;
    int wireType;
    /** The value of a varint or fixed field. */
    long value;
    /** Where the bytes of a length-delimited field are. */
    int start;
    int length;

    Scan(byte[] bytes, int offset, int length) {
        this.bytes = bytes;
        this.at = offset;
        this.end = offset + length;
    }

    boolean next() {
        if (at == end) {
            return false;
        }
        long tag = varint();
        field = (int) (tag >>> 3);
        wireType = (int) tag & 7;
        if (tag >>> 32 != 0 || field == 0) {
            throw new Malformed("a field without a number");
        }
        switch (wireType) {
            case Buffer.VARINT -> value = varint();
            case Buffer.FIXED64 -> value = fixed(8);
            case Buffer.LENGTH -> {
                long size = varint();
                if (size < 0 || size > end - at) {
                    throw new Malformed("a field that is longer than its message");
                }
                start = at;
                length = (int) size;
                at += length;
            }
            case 5 -> value = fixed(4);
            default -> throw new Malformed("a field of wire type " + wireType);
        }
        return true;
    }

    /** The varints of a packed field, which is the one that `next` stopped at. */
    Scan packed() {
        return new Scan(bytes, start, length);
    }

    boolean more() {
        return at < end;
    }

    long varint() {
        long result = 0;
        for (int shift = 0; shift < 70; shift += 7) {
            if (at == end) {
                throw new Malformed("a number that is cut off");
            }
            byte each = bytes[at++];
            result |= (long) (each & 0x7F) << shift;
            if (each >= 0) {
                return result;
            }
        }
        throw new Malformed("a number of more than ten bytes");
    }

    private long fixed(int size) {
        if (end - at < size) {
            throw new Malformed("a number that is cut off");
        }
        long result = 0;
        for (int i = 0; i < size; i++) {
            result |= (bytes[at++] & 0xFFL) << (8 * i);
        }
        return result;
    }
}
