package dev.stagewire;

/** Thrown into a source's handler when the pipeline or a signal stops it. Let it pass: stopping is no failure. */
public final class Stopped extends RuntimeException {
    private static final long serialVersionUID = 1;

    Stopped() {
        super("the source is to stop", null, false, false);
    }
}
