package dev.stagewire;

/** Nothing that is done for this session has an effect any more. */
final class SessionOver extends RuntimeException {
    private static final long serialVersionUID = 1;

    SessionOver() {
        super("the session is over", null, false, false);
    }
}
