package dev.stagewire;

import java.util.Collections;
import java.util.List;

/** Runs the handler of a batch sink. */
final class Batching {
    private final Session session;
    private final Lanes lanes;
    private final BatchSink handler;
    private final Hand hand;
    private final Step nothing;

    Batching(Session session, Lanes lanes, BatchSink handler) {
        this.session = session;
        this.lanes = lanes;
        this.handler = handler;
        this.hand = session.hand();
        this.nothing = new Step(session.ports, 4);
    }

    void handle(List<StageRecord> records) {
        if (records.isEmpty()) {
            return;
        }
        Throwable thrown = null;
        hand.begin(System.nanoTime());
        try {
            handler.handle(Collections.unmodifiableList(records));
        } catch (Throwable failure) {
            thrown = failure;
        }
        hand.end();
        session.check();
        Ids ids = Ids.of(records);
        if (thrown == null) {
            session.settler.accept(ids, nothing, System.nanoTime());
        } else {
            Handling.giveUp(session, session.settler, lanes, ids, records, thrown, System.nanoTime());
        }
        session.settler.flush();
    }
}
