package dev.stagewire;

import java.util.List;

/** Runs a handler on records, one after another, and settles what it says: what serial and parallel stages share. */
final class Handling {
    private static final long SLOW = 1_000_000;
    private final Session session;
    private final Settler settler;
    private final Lanes lanes;
    private final Transform handler;
    private final Hand hand;
    private final Step step;

    /** For the thread that makes it. */
    Handling(Session session, Lanes lanes, Transform handler) {
        this.session = session;
        this.settler = session.settler;
        this.lanes = lanes;
        this.handler = handler;
        this.hand = session.hand();
        this.step = new Step(session.ports, 4);
    }

    /** Handles one delivery, or releases it when it is void. */
    void handle(StageRecord record) {
        if (lanes.isVoid(record)) {
            lanes.close(record.lane(), settler.releaseVoid(record.delivery));
            return;
        }
        record.runs = session.runs;
        record.confirmations = session.confirmations;
        step.begin(List.of(record));
        Throwable thrown = null;
        long begun = System.nanoTime();
        hand.begin(begun);
        try {
            handler.handle(record, step);
        } catch (Throwable failure) {
            thrown = failure;
        }
        hand.end();
        session.check();
        long now = System.nanoTime();
        if (thrown == null || step.refusal != null) {
            settler.accept(record.delivery, step, now);
        } else {
            Ids ids = new Ids();
            ids.add(record.delivery);
            giveUp(session, settler, lanes, ids, List.of(record), thrown, now);
        }
        if (now - begun > SLOW) {
            settler.flush(); // nobody should wait for the next one as well
        }
    }

    /** Settles with the verdict that `thrown` is, and closes the lanes of the records when it gives them back. */
    static void giveUp(Session session, Settler settler, Lanes lanes, Ids ids, List<StageRecord> records,
            Throwable thrown, long now) {
        if (!Verdict.isExpected(thrown)) {
            session.report(thrown);
        }
        long ping = settler.refuse(ids, Verdict.of(thrown), now);
        if (ping != 0) {
            for (StageRecord each : records) {
                lanes.close(each.lane(), ping);
            }
        }
    }
}
