package dev.stagewire;

import dev.stagewire.v1.Refusal;
import dev.stagewire.v1.Settled;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Consumer;

/**
 * What is to be done once deliveries are confirmed (ST-8), of one session. It is done one after the other, on a thread
 * that begins with the first.
 */
final class Confirmations {
    private static final Confirmed LAST = () -> { };

    private final Consumer<Throwable> failed;
    private final TreeMap<Long, Entry> asked = new TreeMap<>(Long::compareUnsigned);
    private final LinkedBlockingQueue<Confirmed> due = new LinkedBlockingQueue<>();
    private Thread thread;
    /** Read without the lock, for most settlements have nothing to do with any of this. */
    private volatile boolean used;

    private static final class Entry {
        /** The first delivery of its outcome, by which the broker names a refusal. */
        long outcome;
        final List<Confirmed> actions = new ArrayList<>();
    }

    Confirmations(Consumer<Throwable> failed) {
        this.failed = failed;
    }

    synchronized void ask(long delivery, Confirmed action) {
        used = true;
        Entry entry = asked.computeIfAbsent(delivery, none -> new Entry());
        entry.outcome = delivery;
        entry.actions.add(action);
    }

    /** These deliveries are settled with one outcome. */
    void settled(Ids ids, boolean accepted) {
        for (int i = 0; used && i < ids.count; i++) {
            settled(ids.first(0), ids.first(i), ids.last(i), accepted);
        }
    }

    /** The same for a range of them, in an outcome that begins with `outcome`. */
    void settled(long outcome, long first, long last, boolean accepted) {
        if (!used) {
            return;
        }
        synchronized (this) {
            Map<Long, Entry> these = asked.subMap(first, true, last, true);
            if (accepted) {
                these.values().forEach(each -> each.outcome = outcome);
            } else {
                these.clear();
            }
        }
    }

    /** Has done what this confirms, in the order of the deliveries. */
    synchronized void confirm(Settled settled) {
        if (asked.isEmpty()) {
            return;
        }
        Set<Long> refused = new HashSet<>();
        for (Refusal refusal : settled.getRefusedList()) {
            refused.add(refusal.getId());
        }
        asked.values().removeIf(each -> refused.contains(each.outcome));
        Map<Long, Entry> confirmed = asked.headMap(settled.getThrough(), true);
        confirmed.values().forEach(each -> due.addAll(each.actions));
        confirmed.clear();
        if (thread == null && !due.isEmpty()) {
            thread = Session.daemon(this::work, "stagewire-confirmed");
            thread.start();
        }
    }

    private void work() {
        try {
            for (Confirmed action = due.take(); action != LAST; action = due.take()) {
                try {
                    action.run();
                } catch (Exception | Error failure) {
                    failed.accept(failure);
                }
            }
        } catch (InterruptedException never) {
            Thread.currentThread().interrupt();
        }
    }

    /** The session is over: returns when what was confirmed is done. */
    void finish() {
        Thread working;
        synchronized (this) {
            asked.clear();
            working = thread;
        }
        if (working == null) {
            return;
        }
        due.add(LAST);
        try {
            working.join();
        } catch (InterruptedException hurry) {
            Thread.currentThread().interrupt();
        }
    }
}
