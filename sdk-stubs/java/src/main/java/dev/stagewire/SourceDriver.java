package dev.stagewire;

import dev.stagewire.v1.Claimed;
import dev.stagewire.v1.Committed;

/** A source within one session. */
final class SourceDriver implements Driver {
    private final SourceRunner runner;
    private final Session session;
    private final SourceHandler handler;
    private volatile boolean leaving;

    SourceDriver(SourceRunner runner, Session session, SourceHandler handler) {
        this.runner = runner;
        this.session = session;
        this.handler = handler;
    }

    @Override
    public void run() {
        runner.attach(session, handler);
        if (leaving) {
            runner.stop();
        }
        runner.attend(session, session::isOver);
        runner.flushNow();
        runner.detach();
    }

    @Override
    public void deliver(Incoming frame) {
        // A stage without inputs is delivered nothing: an unknown input has closed the session already.
    }

    @Override
    public void drain() {
        if (session.releasing()) {
            runner.stop();
        }
    }

    @Override
    public void end() {
        leaving = !session.isOver();
        if (leaving) {
            runner.stop();
        } else {
            runner.wake();
        }
    }

    @Override
    public boolean credit(int number, long records, long bytes) {
        return runner.credit(session, number, records, bytes);
    }

    @Override
    public void claimed(Claimed claimed) {
        runner.claimed(claimed);
    }

    @Override
    public void committed(Committed committed) {
        runner.committed(committed);
    }

    @Override
    public boolean pending() {
        return runner.pending();
    }

    @Override
    public void tick() {
        runner.flushNow();
    }
}
