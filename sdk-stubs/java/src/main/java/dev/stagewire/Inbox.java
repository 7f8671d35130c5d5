package dev.stagewire;

import java.util.ArrayDeque;

/** Deliver frames between the thread that reads and the one that handles. What the broker was granted bounds it. */
final class Inbox {
    private final ArrayDeque<Incoming> frames = new ArrayDeque<>();
    private boolean waiting;
    private boolean woken;
    private boolean ended;

    synchronized void put(Incoming frame) {
        frames.add(frame);
        if (waiting) {
            notifyAll();
        }
    }

    /** The next frame, or null when there is none now. */
    synchronized Incoming poll() {
        return ended ? null : frames.poll();
    }

    /** The next frame if it has at most so many records. */
    synchronized Incoming poll(int most) {
        return ended || frames.isEmpty() || frames.peek().count > most ? null : frames.poll();
    }

    /** Waits for a frame until `deadline` (System.nanoTime; Long.MAX_VALUE: for ever), for a wake, or for the end. */
    synchronized void await(long deadline) {
        waiting = true;
        boolean interrupted = false;
        try {
            while (frames.isEmpty() && !ended && !woken) {
                if (deadline == Long.MAX_VALUE) {
                    wait();
                } else {
                    long left = deadline - System.nanoTime();
                    if (left <= 0) {
                        return;
                    }
                    wait(left / 1_000_000 + 1);
                }
            }
        } catch (InterruptedException stray) {
            interrupted = true; // nobody interrupts us here; whoever did will be asked again
        } finally {
            waiting = false;
            woken = false;
        }
        if (interrupted) {
            Thread.interrupted();
        }
    }

    /** Lets `await` return although nothing came, the next one if nobody waits now. */
    synchronized void wake() {
        woken = true;
        notifyAll();
    }

    /** The session is over or the worker leaves: nothing is given out any more. */
    synchronized void end() {
        ended = true;
        notifyAll();
    }

    synchronized boolean ended() {
        return ended;
    }
}
