package dev.stagewire;

import java.util.concurrent.locks.LockSupport;

/**
 * The thread of a session that looks at the time: it extends the lease while there is work, sends what has waited long
 * enough, and interrupts handlers that take longer than they may. It sleeps while nothing is held.
 */
final class Clock implements Runnable {
    private static final long TICK = 25_000_000;
    private final Session session;
    private final long every;
    private final long timeout;
    private final long tick;
    private long extended;

    /** `timeout` in ns, 0 for none; `lease` in ms. */
    Clock(Session session, long lease, long timeout, Stage.Kind kind) {
        this.session = session;
        this.every = lease * 1_000_000 / 3;
        this.timeout = timeout;
        this.tick = switch (kind) {
            case WINDOW -> Math.max(1_000_000, Math.min(every / 2, 500_000_000)); // it waits on purpose
            case SOURCE -> TICK / 5;
            default -> TICK;
        };
    }

    @Override
    public void run() {
        extended = System.nanoTime();
        while (!session.isOver()) {
            if (session.quiet()) {
                LockSupport.park(this); // whoever brings work unparks
            } else {
                LockSupport.parkNanos(this, tick);
            }
            look(System.nanoTime());
        }
    }

    private void look(long now) {
        long sent = session.settler.flushOlderThan(TICK / 2, now);
        boolean late = false;
        for (Hand hand : session.hands()) {
            late |= timeout > 0 && hand.busy(now) > timeout;
        }
        session.tick();
        if (late) {
            session.overdue(now, timeout);
            return;
        }
        session.punctual();
        if (every > 0 && session.holds() && now - Math.max(sent, extended) >= every) {
            extended = now;
            session.extend();
        }
    }
}
