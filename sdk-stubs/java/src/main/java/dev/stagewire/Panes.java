package dev.stagewire;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Set;
import java.util.TreeMap;

/**
 * Which record belongs to which window, and when each ends. Knows neither a socket nor the clock: times are given to it.
 * A pane that ends is given to the owner in the same call.
 */
final class Panes {
    /** What becomes of panes and of records without one. */
    interface Owner {
        void ended(Pane pane);

        /** The record came when its window had ended, at `end` µs. */
        void late(StageRecord record, long end);

        void withoutTime(StageRecord record);

        /** Whether a record has become void by what a pane that ended meanwhile gave back; it is dealt with then. */
        boolean isVoid(StageRecord record);
    }

    /** The progress of windows by count that were ended early; beyond this many the oldest begin anew. */
    private static final int CARRIED = 65_536;
    static final Verdict WITHOUT_TIME = Verdict.reject(Codes.APPLICATION, "a record without event time, which this window needs");
    private static final long QUIET = 10_000_000_000L;

    private final Bounds bounds;
    private final Owner owner;
    private final long size;
    private final long lateness;
    private final long duration;
    private final long idle;
    final GivenBack givenBack = new GivenBack();
    private final Map<Pane.Name, Pane> open = new HashMap<>();
    /** The same in the order of their first records. */
    private final Set<Pane> byAge = new LinkedHashSet<>();
    private final TreeMap<Long, List<Pane>> byEnd = new TreeMap<>();
    private final PriorityQueue<Pane> byDeadline = new PriorityQueue<>(Comparator.comparingLong(pane -> pane.deadline));
    /** Panes whose end has passed, and that wait for what was given back. */
    private final Set<Pane> waiting = new LinkedHashSet<>();
    private final Map<Pane.Name, Pane> carried = new LinkedHashMap<>();
    private final Set<Pane.Name> cut = new HashSet<>();
    private long watermark = Long.MIN_VALUE;
    private long lastRecord;

    Panes(Bounds bounds, Owner owner) {
        this.bounds = bounds;
        this.owner = owner;
        size = Times.micros(bounds.size());
        lateness = Times.micros(bounds.lateness());
        duration = bounds.duration().toNanos();
        idle = bounds.idle().toNanos();
    }

    boolean byEventTime() {
        return bounds.byEventTime();
    }

    /** What a late record gets; null: it is accepted, without being handled. */
    Verdict lateVerdict(long end) {
        String when = Times.text(end);
        return bounds.acceptLate() ? null
                : Verdict.reject(Codes.APPLICATION, "late: its window ended at " + (when == null ? end + " µs" : when));
    }

    boolean isEmpty() {
        return byAge.isEmpty();
    }

    Iterable<Pane> all() {
        return byAge;
    }

    /** Takes a record that came at `now` (System.nanoTime). */
    void add(StageRecord record, long now) {
        if (bounds.byEventTime()) {
            addByTime(record, now);
        } else {
            addByCount(record, now);
        }
    }

    private void addByTime(StageRecord record, long now) {
        long time = record.eventMicros();
        if (time == 0) {
            owner.withoutTime(record);
            return;
        }
        Pane.Name name = new Pane.Name(Math.floorDiv(time, size) * size, bounds.byKey() ? record.key(null) : null);
        long end = name.start() + size;
        boolean past = end <= watermark;
        if (end <= givenBack.came(record, time - lateness, watermark)) {
            owner.late(record, end);
            return;
        }
        lastRecord = now;
        watermark = Math.max(watermark, time - lateness);
        Pane pane = open.get(name);
        if (pane == null) {
            pane = begin(new Pane(own(name), end, past));
            pane.partial = cut.contains(name);
            if (past) {
                waiting.add(pane);
            } else {
                byEnd.computeIfAbsent(end, none -> new ArrayList<>()).add(pane);
            }
        }
        put(pane, record, now);
        if (pane.past && record.lane() != null) {
            pane.lanes.add(record.lane());
        }
        endPassed(now);
    }

    private void addByCount(StageRecord record, long now) {
        Pane.Name name = new Pane.Name(0, bounds.byKey() ? record.key(null) : null);
        givenBack.came(record, Long.MAX_VALUE, watermark);
        lastRecord = now;
        Pane pane = open.get(name);
        if (pane != null && bounds.bytes() > 0 && pane.countedBytes + pane.bytes + record.payloadSize() > bounds.bytes()) {
            end(pane);
            if (owner.isVoid(record)) {
                return;
            }
            pane = null;
        }
        if (pane == null) {
            pane = begin(carry(name, record, now));
            if (pane.deadline == Long.MAX_VALUE && duration > 0) {
                pane.deadline = now + duration;
            }
            if (pane.deadline != Long.MAX_VALUE) {
                byDeadline.add(pane);
            }
        }
        put(pane, record, now);
        if (bounds.records() > 0 && pane.countedRecords + pane.records.size() >= bounds.records()) {
            end(pane);
        }
    }

    /** A new pane, which goes on where one that was ended early has stopped. */
    private Pane carry(Pane.Name name, StageRecord record, long now) {
        Pane before = carried.remove(name);
        boolean over = before == null || before.deadline - now <= 0 && before.deadline != Long.MAX_VALUE
                || bounds.bytes() > 0 && before.countedBytes + record.payloadSize() > bounds.bytes();
        return over ? new Pane(own(name), Long.MAX_VALUE, false) : before;
    }

    private static Pane.Name own(Pane.Name name) {
        return name.key() == null ? name : new Pane.Name(name.start(), name.key().owned());
    }

    private Pane begin(Pane pane) {
        open.put(pane.name, pane);
        byAge.add(pane);
        return pane;
    }

    private static void put(Pane pane, StageRecord record, long now) {
        pane.records.add(record);
        pane.bytes += record.payloadSize();
        pane.touched = now;
    }

    private void end(Pane pane) {
        if (pane.ended) {
            return; // what another one gave back has emptied it meanwhile
        }
        remove(pane);
        if (!pane.records.isEmpty()) {
            owner.ended(pane);
        }
    }

    private void remove(Pane pane) {
        withdraw(pane);
        if (bounds.byEventTime()) {
            givenBack.forget(pane.name);
        }
    }

    /** Ends what the watermark has passed, but for what waits for records that were given back. */
    private void endPassed(long now) {
        while (!byEnd.isEmpty() && byEnd.firstKey() <= watermark) {
            for (Pane pane : byEnd.pollFirstEntry().getValue()) {
                waiting.add(pane);
            }
        }
        if (!waiting.isEmpty()) {
            for (Pane pane : List.copyOf(waiting)) {
                if (!pane.ended && (isComplete(pane) || now - pane.touched >= quiet())) {
                    end(pane);
                }
            }
            if (!cut.isEmpty()) {
                cut.removeIf(name -> name.start() + size <= watermark && !open.containsKey(name));
            }
        }
    }

    private boolean isComplete(Pane pane) {
        return !givenBack.awaits(pane.name) && givenBack.passed(pane.lanes, pane.end);
    }

    private long quiet() {
        return idle > 0 ? idle : QUIET;
    }

    /** Ends what is due at `now`. */
    void tick(long now) {
        for (Pane first = byDeadline.peek(); first != null && (first.ended || first.deadline - now <= 0); first = byDeadline.peek()) {
            byDeadline.poll();
            if (!first.ended) {
                end(first);
            }
        }
        if (bounds.byEventTime()) {
            if (idle > 0 && !isEmpty() && now - lastRecord >= idle) {
                for (Pane pane : byAge) {
                    watermark = Math.max(watermark, pane.end);
                }
            }
            endPassed(now);
        }
    }

    /** When `tick` has something to do next, by System.nanoTime; Long.MAX_VALUE: never. */
    long nextTick() {
        long next = byDeadline.isEmpty() ? Long.MAX_VALUE : byDeadline.peek().deadline;
        if (bounds.byEventTime() && idle > 0 && !isEmpty()) {
            next = Math.min(next, lastRecord + idle);
        }
        for (Pane pane : waiting) {
            next = Math.min(next, pane.touched + quiet());
        }
        return next;
    }

    /** Ends the oldest before its time, and remembers that later parts are only parts, too. */
    void cutOldest() {
        Pane oldest = byAge.iterator().next();
        oldest.partial = true;
        if (bounds.byEventTime()) {
            cut.add(oldest.name);
        } else {
            Pane rest = new Pane(oldest.name, oldest.end, false);
            rest.partial = true;
            rest.deadline = oldest.deadline;
            rest.countedRecords = oldest.countedRecords + oldest.records.size();
            rest.countedBytes = oldest.countedBytes + oldest.bytes;
            carried.put(rest.name, rest);
            if (carried.size() > CARRIED) {
                Iterator<Pane.Name> all = carried.keySet().iterator();
                all.next();
                all.remove();
            }
        }
        end(oldest);
    }

    /**
     * All input has come: ends everything, but for a window by event time that waits for some of its own records to come
     * again. What it returns is when to ask again, by System.nanoTime; Long.MAX_VALUE: nothing is left.
     */
    long endAll(long now) {
        long next = Long.MAX_VALUE;
        for (Pane pane : List.copyOf(byAge)) {
            boolean waits = bounds.byEventTime() && givenBack.awaits(pane.name);
            if (!waits || now - pane.touched >= quiet()) {
                end(pane);
            } else {
                next = Math.min(next, pane.touched + quiet());
            }
        }
        return next;
    }

    /** There will be no more records at all. */
    void finish() {
        List.copyOf(byAge).forEach(this::end);
    }

    /** Takes out and gives what is void: records of these lanes with ids above the one beside each. */
    List<StageRecord> takeVoid(Map<Object, Long> lanes) {
        List<StageRecord> taken = new ArrayList<>();
        for (Pane pane : List.copyOf(byAge)) {
            List<StageRecord> kept = new ArrayList<>(pane.records.size());
            for (StageRecord each : pane.records) {
                Object lane = each.lane();
                Long since = lane == null ? null : lanes.get(lane);
                if (since == null || each.delivery < since) {
                    kept.add(each);
                } else {
                    pane.bytes -= each.payloadSize();
                    taken.add(each);
                    givenBack.add(each, pane.name);
                }
            }
            if (kept.size() < pane.records.size()) {
                pane.records.clear();
                pane.records.addAll(kept);
            }
            if (pane.records.isEmpty()) {
                withdraw(pane);
            }
        }
        return taken;
    }

    /** Forgets all that is held. */
    void clear() {
        List.copyOf(byAge).forEach(this::withdraw);
    }

    /** Nothing is left of it; what comes again begins it anew. */
    private void withdraw(Pane pane) {
        pane.ended = true;
        open.remove(pane.name);
        byAge.remove(pane);
        waiting.remove(pane);
        byEnd.computeIfPresent(pane.end, (end, panes) -> panes.remove(pane) && panes.isEmpty() ? null : panes);
    }

    /** Remembers a record that was void when it came. */
    void voided(StageRecord record) {
        long time = record.eventMicros();
        givenBack.add(record, bounds.byEventTime()
                ? own(new Pane.Name(Math.floorDiv(time, size) * size, bounds.byKey() ? record.key(null) : null))
                : new Pane.Name(0, bounds.byKey() && record.key(null) != null ? record.key(null).owned() : null));
    }

    /** Remembers a pane that was given back. */
    void gaveBack(Pane pane) {
        pane.records.forEach(each -> givenBack.add(each, pane.name));
    }
}
