package dev.stagewire;

import java.time.Instant;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/** The records of one window, in the order of their coming. Valid until the handler returns. */
public final class Window implements Iterable<StageRecord> {
    private final Pane pane;
    private final boolean byEventTime;
    final Map<StageRecord, Verdict> rejected = new IdentityHashMap<>();

    Window(Pane pane, boolean byEventTime) {
        this.pane = pane;
        this.byEventTime = byEventTime;
    }

    public List<StageRecord> records() {
        return Collections.unmodifiableList(pane.records);
    }

    @Override
    public Iterator<StageRecord> iterator() {
        return records().iterator();
    }

    public int size() {
        return pane.records.size();
    }

    /** The key of a window for each key, as UTF-8; empty otherwise. */
    public String key() {
        return pane.name.key() == null ? "" : pane.records.get(0).key();
    }

    /** The same in bytes. */
    public byte[] keyBytes() {
        return pane.name.key() == null ? new byte[0] : pane.records.get(0).keyBytes();
    }

    /** When a window by event time begins; null for others. */
    public Instant start() {
        return byEventTime ? Times.instant(pane.name.start()) : null;
    }

    /** When a window by event time ends, itself not included; null for others. */
    public Instant end() {
        return byEventTime ? Times.instant(pane.end) : null;
    }

    /** False when these are only a part of the window's records, because the broker lets a worker hold no more. */
    public boolean complete() {
        return !pane.partial;
    }

    /** Makes one of these records a dead letter, whatever becomes of the others. Your codes begin at 1000. */
    public void reject(StageRecord record, int code, String message) {
        if (!pane.records.contains(record)) {
            throw new IllegalArgumentException("the record is not of this window");
        }
        rejected.put(record, Verdict.reject(code, message));
    }

    /** An emission needs something accepted to descend from. `named`: what emissions have as their parents. */
    void check(int emissions, Predicate<StageRecord> named) {
        if (emissions > 0 && accepted().isEmpty()) {
            throw new IllegalStateException("the window has emitted although all of its records were rejected");
        }
        if (rejected.keySet().stream().anyMatch(named)) {
            throw new IllegalStateException("an emission descends from a record that was rejected");
        }
    }

    /** Records that were not rejected. */
    List<StageRecord> accepted() {
        return rejected.isEmpty() ? pane.records : pane.records.stream().filter(each -> !rejected.containsKey(each)).toList();
    }
}
