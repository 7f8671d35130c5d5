package dev.stagewire;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What windows gave back and what was void behind it: it comes again, and is not late then. What the broker has kept of the
 * same lane behind it is measured by the lane's own progress, until that is where the watermark is.
 */
final class GivenBack {
    /** Beyond this the oldest is forgotten: it has gone to another worker, or has become a dead letter. */
    private static final int REMEMBERED = 65_536;

    /** Stands for a window that waits no longer for a record which may still come. */
    private static final Pane.Name GONE = new Pane.Name(Long.MIN_VALUE, null);

    /** Ids of records to the windows that they belong to. */
    private final Map<LaneKey, Pane.Name> awaited = new LinkedHashMap<>();
    private final Map<Pane.Name, Integer> counts = new HashMap<>();
    /** Lanes that are behind, to how far each has come: a watermark of its own. */
    private final Map<Object, Long> behind = new LinkedHashMap<>();

    boolean isEmpty() {
        return awaited.isEmpty() && behind.isEmpty();
    }

    void add(StageRecord record, Pane.Name window) {
        byte[] id = record.idBytes();
        if (id != null) {
            Pane.Name before = awaited.put(new LaneKey(null, id, 0, id.length), window);
            if (before == null || before == GONE) {
                counts.merge(window, 1, Integer::sum);
            }
        }
        Object lane = record.lane();
        if (lane != null) {
            behind.merge(lane instanceof LaneKey view ? view.owned() : lane, window.start(), Math::min);
        }
        if (awaited.size() > REMEMBERED) {
            uncount(awaited.remove(awaited.keySet().iterator().next()));
        }
        if (behind.size() > REMEMBERED) {
            behind.remove(behind.keySet().iterator().next());
        }
    }

    /**
     * Takes note of a record that has come. What it returns is the watermark that counts for it: the stream's, its lane's
     * if that is behind, or none if it was given back itself.
     *
     * @param reach the record's event time less lateness
     */
    long came(StageRecord record, long reach, long watermark) {
        if (isEmpty()) {
            return watermark;
        }
        byte[] id = record.idBytes();
        Pane.Name window = id == null ? null : awaited.remove(new LaneKey(null, id, 0, id.length));
        if (window != null) {
            uncount(window);
        }
        Object lane = record.lane();
        long counts = watermark;
        if (lane != null && behind.containsKey(lane)) {
            long reached = behind.merge(lane, reach, Math::max);
            if (reached >= watermark) {
                behind.remove(lane);
            }
            counts = Math.min(reached, watermark);
        }
        return window != null ? Long.MIN_VALUE : counts;
    }

    private void uncount(Pane.Name window) {
        counts.computeIfPresent(window, (name, count) -> count == 1 ? null : count - 1);
    }

    /** Whether records of this window are still to come again. */
    boolean awaits(Pane.Name window) {
        return counts.containsKey(window);
    }

    /** Whether each of these lanes has gone past `time`, or has caught up. */
    boolean passed(Set<Object> lanes, long time) {
        for (Object lane : lanes) {
            Long reached = behind.get(lane);
            if (reached != null && reached < time) {
                return false;
            }
        }
        return true;
    }

    /** Nothing of this window is waited for any longer. */
    void forget(Pane.Name window) {
        if (counts.remove(window) == null) {
            return;
        }
        List<LaneKey> gone = new ArrayList<>();
        for (Iterator<Map.Entry<LaneKey, Pane.Name>> all = awaited.entrySet().iterator(); all.hasNext(); ) {
            Map.Entry<LaneKey, Pane.Name> each = all.next();
            if (each.getValue().equals(window)) {
                gone.add(each.getKey());
            }
        }
        // They are still not late if they do come.
        gone.forEach(id -> awaited.put(id, GONE));
    }
}
