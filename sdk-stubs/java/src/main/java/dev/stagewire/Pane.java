package dev.stagewire;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** A window that is being collected. */
final class Pane {
    /** Which window: its start, and its key within all inputs; 0 and null where there is only one. */
    record Name(long start, LaneKey key) {}

    final Name name;
    /** Microseconds of event time; Long.MAX_VALUE when it does not end by event time. */
    final long end;
    final List<StageRecord> records = new ArrayList<>();
    /** The lanes of its records, where it matters that they catch up: its end had passed when it began. */
    final Set<Object> lanes = new HashSet<>();
    final boolean past;
    /** When the wall clock ends it, by System.nanoTime; Long.MAX_VALUE: never. */
    long deadline = Long.MAX_VALUE;
    /** When its last record came. */
    long touched;
    /** It is only a part of a window. */
    boolean partial;
    /** Records and payload bytes of the parts before it. */
    long countedRecords;
    long countedBytes;
    long bytes;
    boolean ended;

    Pane(Name name, long end, boolean past) {
        this.name = name;
        this.end = end;
        this.past = past;
    }
}
