package dev.stagewire;

/**
 * A thread that runs a handler, as others see it: since when it has been in the handler, and how to interrupt it there
 * and only there.
 */
final class Hand {
    private final Thread thread = Thread.currentThread();
    private volatile long since;
    private volatile boolean interrupting;

    /** The handler begins; `now` is a time of System.nanoTime. */
    void begin(long now) {
        since = now == 0 ? 1 : now;
    }

    /** The handler has ended; an interrupt that was meant for it does not outlive it. */
    void end() {
        since = 0;
        if (interrupting) {
            synchronized (this) { // whoever interrupts has done so
                interrupting = false;
            }
        }
        Thread.interrupted();
    }

    /** How long the handler has been running, in ns; 0 when it is not. */
    long busy(long now) {
        long begun = since;
        return begun == 0 ? 0 : Math.max(1, now - begun);
    }

    synchronized void interrupt() {
        interrupting = true;
        if (since != 0) {
            thread.interrupt();
        }
    }
}
