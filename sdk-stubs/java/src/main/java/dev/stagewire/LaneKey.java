package dev.stagewire;

import java.util.Arrays;

/** The lane of a record under ordering KEY: records of one input and one key are related. */
final class LaneKey {
    private final Edge edge;
    private final byte[] bytes;
    private final int start;
    private final int length;
    private final int hash;

    LaneKey(Edge edge, byte[] bytes, int start, int length) {
        this.edge = edge;
        this.bytes = bytes;
        this.start = start;
        this.length = length;
        int hash = edge == null ? 0 : edge.number;
        for (int i = start; i < start + length; i++) {
            hash = 31 * hash + bytes[i];
        }
        this.hash = hash ^ hash >>> 15;
    }

    /** The same with bytes of its own, so that a table of lanes does not keep whole frames. */
    LaneKey owned() {
        return new LaneKey(edge, Arrays.copyOfRange(bytes, start, start + length), 0, length);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof LaneKey that && hash == that.hash && edge == that.edge
                && Arrays.equals(bytes, start, start + length, that.bytes, that.start, that.start + that.length);
    }

    @Override
    public int hashCode() {
        return hash;
    }
}
