package dev.stagewire;

/**
 * One Deliver frame, scanned in place: where its records are, with what belongs to all of them. The frame's bytes are
 * its own, so records stay valid for as long as somebody has them.
 */
final class Incoming {
    final byte[] bytes;
    final Edge edge;
    final long first;
    final int count;
    /** The sum of the records' sizes, which is what the frame costs (CR-3). */
    final long size;
    /** The last Ping that was answered when this was read: what tells a void delivery from a new one. */
    final long epoch;
    private final int[] spans;
    private final int[] attempts;
    /** The next record that nobody has taken yet. */
    private int next;

    private Incoming(byte[] bytes, Edge edge, long first, int count, long size, long epoch, int[] spans, int[] attempts) {
        this.bytes = bytes;
        this.edge = edge;
        this.first = first;
        this.count = count;
        this.size = size;
        this.epoch = epoch;
        this.spans = spans;
        this.attempts = attempts;
    }

    /** Scans the Deliver at `offset`; null when it is for an input that the stage does not have. */
    static Incoming scan(byte[] bytes, int offset, int length, Edge[] edges, long epoch) {
        Scan scan = new Scan(bytes, offset, length);
        long number = 0;
        long first = 0;
        int[] spans = new int[16];
        int[] attempts = null;
        int count = 0;
        int attempted = 0;
        long size = 0;
        while (scan.next()) {
            if (scan.field == 4 && scan.wireType == Buffer.LENGTH) {
                if (2 * count == spans.length) {
                    spans = java.util.Arrays.copyOf(spans, 4 * count);
                }
                spans[2 * count] = scan.start;
                spans[2 * count + 1] = scan.length;
                count++;
                size += scan.length;
            } else if (scan.field == 1 && scan.wireType == Buffer.VARINT) {
                number = scan.value;
            } else if (scan.field == 2 && scan.wireType == Buffer.VARINT) {
                first = scan.value;
            } else if (scan.field == 3) {
                attempts = attempts == null ? new int[16] : attempts;
                Scan packed = scan.wireType == Buffer.LENGTH ? scan.packed() : null;
                while (packed == null || packed.more()) {
                    if (attempted == attempts.length) {
                        attempts = java.util.Arrays.copyOf(attempts, 2 * attempted);
                    }
                    attempts[attempted++] = (int) (packed == null ? scan.value : packed.varint());
                    if (packed == null) {
                        break;
                    }
                }
            }
        }
        if (count == 0 || first == 0 || (attempted != 0 && attempted != count)) {
            throw new Scan.Malformed("a Deliver without records, or with other than one attempt for each");
        }
        for (Edge edge : edges) {
            if (edge.number == (int) number) {
                return new Incoming(bytes, edge, first, count, size, epoch, spans, attempts);
            }
        }
        return null;
    }

    boolean isEmpty() {
        return next == count;
    }

    /** The next record, which leaves this queue of them. */
    StageRecord take() {
        int i = next++;
        return new StageRecord(this, spans[2 * i], spans[2 * i + 1], first + i, attempts == null ? 1 : attempts[i]);
    }

    /** The ids of what nobody has taken: from here to `last()`. */
    long untaken() {
        return first + next;
    }

    long last() {
        return first + count - 1;
    }
}
