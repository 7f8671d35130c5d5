package dev.stagewire;

import java.util.ArrayList;
import java.util.List;

/** A transform or sink with one handler at a time, or a batch sink. */
final class Serial implements Driver {
    static final int BATCH_RECORDS = 4096;
    private final Session session;
    private final Inbox inbox = new Inbox();
    private final Lanes lanes = new Lanes();
    private final Transform handler;
    private final BatchSink batch;

    /** One of `handler` and `batch` is null. */
    Serial(Session session, Transform handler, BatchSink batch) {
        this.session = session;
        this.handler = handler;
        this.batch = batch;
    }

    @Override
    public void deliver(Incoming frame) {
        inbox.put(frame);
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
    public boolean credit(int number, long records, long bytes) {
        return session.settler.credit(number, records, bytes);
    }

    @Override
    public void run() {
        Handling handling = batch == null ? new Handling(session, lanes, handler) : null;
        Batching batching = batch == null ? null : new Batching(session, lanes, batch);
        while (!inbox.ended()) {
            Incoming frame = inbox.poll();
            if (frame == null) {
                session.settler.flush();
                inbox.await(Long.MAX_VALUE);
            } else if (session.releasing()) {
                session.taken(frame);
                lanes.closeAll(session.settler.release(frame.untaken(), frame.last()));
            } else if (batching == null) {
                session.taken(frame);
                lanes.forget(frame.epoch);
                each(frame, handling);
            } else {
                batching.handle(gather(frame));
            }
        }
        session.settler.flush();
    }

    private void each(Incoming frame, Handling handling) {
        while (!frame.isEmpty() && !inbox.ended()) {
            if (session.releasing()) {
                lanes.closeAll(session.settler.release(frame.untaken(), frame.last()));
                return;
            }
            handling.handle(frame.take());
        }
    }

    /** What has arrived, without what is void. */
    private List<StageRecord> gather(Incoming frame) {
        List<StageRecord> records = new ArrayList<>(frame.count);
        lanes.forget(frame.epoch);
        while (frame != null) {
            session.taken(frame);
            while (!frame.isEmpty()) {
                StageRecord record = frame.take();
                if (lanes.isVoid(record)) {
                    lanes.close(record.lane(), session.settler.releaseVoid(record.delivery));
                } else {
                    record.runs = session.runs;
                    record.confirmations = session.confirmations;
                    records.add(record);
                }
            }
            frame = inbox.poll(BATCH_RECORDS - records.size());
        }
        return records;
    }
}
