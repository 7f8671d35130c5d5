package dev.stagewire;

import dev.stagewire.v1.Input;
import dev.stagewire.v1.Ordering;

/** One input of the stage in this session: its number and order, and the credit that the broker has for it. */
final class Edge {
    final int number;
    final String name;
    final Ordering ordering;
    final long maxRecords;
    final long maxBytes;
    private final long windowRecords;
    private final long windowBytes;
    private long receivedRecords;
    private long receivedBytes;
    private long takenRecords;
    private long takenBytes;
    private long grantedRecords;
    private long grantedBytes;

    Edge(Input input, long maxRecord) {
        number = input.getNumber();
        boolean only = input.getPort().isEmpty() || input.getPort().equals("out");
        name = only ? input.getStage() : input.getStage() + "." + input.getPort();
        ordering = switch (input.getOrdering()) {
            case ORDERING_KEY, ORDERING_NONE -> input.getOrdering();
            default -> Ordering.ORDERING_TOTAL; // HS-6: the strictest, for what is not known
        };
        maxRecords = input.getMaxUnsettledRecords() == 0 ? Long.MAX_VALUE : input.getMaxUnsettledRecords();
        maxBytes = input.getMaxUnsettledBytes() == 0 ? Long.MAX_VALUE : input.getMaxUnsettledBytes();
        windowRecords = Math.max(1, Math.min(Limits.WINDOW_RECORDS, maxRecords));
        windowBytes = 2 * maxRecord;
    }

    /** Counts what came. False when that was more than was granted (CR-4). */
    synchronized boolean received(Incoming frame) {
        receivedRecords += frame.count;
        receivedBytes += frame.size;
        return receivedRecords <= grantedRecords && receivedBytes <= grantedBytes;
    }

    /** Counts what has left the queue. True when half of the window is free, so that it is time for a new Credit. */
    synchronized boolean taken(long records, long bytes) {
        takenRecords += records;
        takenBytes += bytes;
        return takenRecords + windowRecords - grantedRecords >= (windowRecords + 1) / 2
                || takenBytes + windowBytes - grantedBytes >= windowBytes / 2;
    }

    /** Writes a Credit for a whole window beyond what was taken. */
    void grant(Connection connection) {
        long records;
        long bytes;
        synchronized (this) {
            records = grantedRecords = takenRecords + windowRecords;
            bytes = grantedBytes = takenBytes + windowBytes;
        }
        connection.credit(number, records, bytes);
    }
}
