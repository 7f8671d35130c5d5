package dev.stagewire;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A window stage: holds its deliveries in panes until they end, and settles each pane as one step. */
final class WindowDriver implements Driver, Panes.Owner {
    private final Session session;
    private final Settler settler;
    private final WindowHandler handler;
    private final Inbox inbox = new Inbox();
    private final Lanes lanes = new Lanes();
    private final Panes panes;
    private final long[] heldRecords;
    private final long[] heldBytes;
    private Hand hand;
    private Step step;

    WindowDriver(Session session, Bounds bounds, WindowHandler handler) {
        this.session = session;
        this.settler = session.settler;
        this.handler = handler;
        this.panes = new Panes(bounds, this);
        this.heldRecords = new long[session.edges.length];
        this.heldBytes = new long[session.edges.length];
    }

    @Override
    public void deliver(Incoming frame) {
        inbox.put(frame);
    }

    @Override
    public boolean credit(int number, long records, long bytes) {
        return settler.credit(number, records, bytes);
    }

    @Override
    public void drain() {
        inbox.wake();
    }

    @Override
    public void end() {
        inbox.end();
    }

    @Override
    public void run() {
        hand = session.hand();
        step = new Step(session.ports, 4);
        while (!inbox.ended()) {
            Incoming frame = inbox.poll();
            if (session.releasing()) {
                releaseHeld();
            }
            if (frame != null) {
                session.taken(frame);
                take(frame);
            } else {
                idle();
            }
        }
        settler.flush();
    }

    private void take(Incoming frame) {
        lanes.forget(frame.epoch);
        while (!frame.isEmpty() && !inbox.ended()) {
            if (session.releasing()) {
                lanes.closeAll(settler.release(frame.untaken(), frame.last()));
                return;
            }
            StageRecord record = frame.take();
            hold(record, 1);
            if (isVoid(record)) {
                continue;
            }
            record.runs = session.runs;
            record.confirmations = session.confirmations;
            panes.add(record, System.nanoTime());
            while (full(record.edge) && !panes.isEmpty()) {
                panes.cutOldest();
            }
        }
        panes.tick(System.nanoTime());
    }

    /** Nothing has come: what is due, or sleep until something is. */
    private void idle() {
        long now = System.nanoTime();
        panes.tick(now);
        long until = panes.nextTick();
        if (session.inputEnded) {
            until = Math.min(until, panes.endAll(now));
        }
        settler.flush();
        inbox.await(until);
    }

    /** DE-4: whether the broker may have nothing more to give before something is settled. */
    private boolean full(Edge edge) {
        int at = place(edge);
        return heldRecords[at] >= edge.maxRecords || heldBytes[at] > edge.maxBytes - session.welcome.getMaxRecord();
    }

    private int place(Edge edge) {
        for (int i = 0; i < session.edges.length; i++) {
            if (session.edges[i] == edge) {
                return i;
            }
        }
        throw new IllegalStateException("an input of another session");
    }

    private void hold(StageRecord record, int sign) {
        int at = place(record.edge);
        heldRecords[at] += sign;
        heldBytes[at] += (long) sign * record.size;
    }

    private void releaseHeld() {
        if (panes.isEmpty()) {
            return;
        }
        List<StageRecord> held = new ArrayList<>();
        panes.all().forEach(pane -> held.addAll(pane.records));
        held.forEach(each -> hold(each, -1));
        panes.clear();
        Ids ids = Ids.of(held);
        for (int i = 0; i < ids.count; i++) {
            lanes.closeAll(settler.release(ids.first(i), ids.last(i)));
        }
    }

    // ---- What becomes of panes and records ----

    @Override
    public void late(StageRecord record, long end) {
        single(record, panes.lateVerdict(end));
    }

    @Override
    public void withoutTime(StageRecord record) {
        single(record, Panes.WITHOUT_TIME);
    }

    @Override
    public boolean isVoid(StageRecord record) {
        if (!lanes.isVoid(record)) {
            return false;
        }
        hold(record, -1);
        panes.voided(record);
        lanes.close(record.lane(), settler.releaseVoid(record.delivery));
        return true;
    }

    /** Settles one record by itself; accepted without a verdict. */
    private void single(StageRecord record, Verdict verdict) {
        hold(record, -1);
        Ids ids = Ids.of(List.of(record));
        if (verdict == null) {
            step.clear();
            settler.accept(ids, step, System.nanoTime());
        } else {
            settler.refuse(ids, verdict, System.nanoTime());
        }
    }

    @Override
    public void ended(Pane pane) {
        Window window = new Window(pane, panes.byEventTime());
        step.begin(pane.records);
        Throwable thrown = null;
        hand.begin(System.nanoTime());
        try {
            handler.handle(window, step);
            window.check(step.count, step::names);
        } catch (Throwable failure) {
            thrown = failure;
        }
        hand.end();
        session.check();
        pane.records.forEach(each -> hold(each, -1));
        if (thrown == null || step.refusal != null) {
            accept(window);
        } else {
            giveUp(pane, thrown);
        }
    }

    private void accept(Window window) {
        long now = System.nanoTime();
        window.rejected.forEach((record, verdict) -> settler.refuse(Ids.of(List.of(record)), verdict, now));
        List<StageRecord> accepted = window.accepted();
        if (!accepted.isEmpty()) {
            settler.accept(Ids.of(accepted), step, now);
        }
    }

    private void giveUp(Pane pane, Throwable thrown) {
        boolean givesBack = Verdict.of(thrown).givesBack();
        if (givesBack) {
            panes.gaveBack(pane);
        }
        Handling.giveUp(session, settler, lanes, Ids.of(pane.records), pane.records, thrown, System.nanoTime());
        if (!givesBack) {
            return;
        }
        // What else is held of these lanes, behind what was given back, is void now.
        Map<Object, Long> since = new HashMap<>();
        for (StageRecord each : pane.records) {
            if (each.lane() != null) {
                since.merge(each.lane(), each.delivery, Math::min);
            }
        }
        List<StageRecord> taken = panes.takeVoid(since);
        taken.sort(Comparator.comparingLong(each -> each.delivery));
        for (StageRecord each : taken) {
            hold(each, -1);
            lanes.close(each.lane(), settler.releaseVoid(each.delivery));
        }
    }
}
