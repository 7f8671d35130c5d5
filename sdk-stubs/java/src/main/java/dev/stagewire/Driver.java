package dev.stagewire;

import dev.stagewire.v1.Claimed;
import dev.stagewire.v1.Committed;

/** What one kind of stage does within a session. `run` is called by the session's own thread, the rest by others. */
interface Driver {
    /** Takes a Deliver frame; called by the thread that reads, which must not be held up. */
    void deliver(Incoming frame);

    /** Handles until the session is over or the worker is to leave. */
    void run();

    /** Drain has come, or another one. */
    void drain();

    /** Makes `run` return, with what is at hand finished. */
    void end();

    /** Takes a Credit for an output. False when there is no such output. */
    boolean credit(int number, long records, long bytes);

    /** A Pong has come; everything that is read from now on is of this epoch. */
    default void pong(long epoch) {}

    default void claimed(Claimed claimed) {}

    default void committed(Committed committed) {}

    /** Whether something waits for the next tick. */
    default boolean pending() {
        return false;
    }

    /** Called by the clock every few ms while something is pending or held. */
    default void tick() {}
}
