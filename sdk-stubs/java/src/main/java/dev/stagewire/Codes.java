package dev.stagewire;

/** The codes of PROTOCOL.md, "Errors and codes", that a worker writes or has to tell apart. */
final class Codes {
    static final int OK = 0;
    static final int MALFORMED_FRAME = 100;
    static final int FRAME_TOO_LARGE = 101;
    static final int UNSUPPORTED_VERSION = 102;
    static final int HANDSHAKE_TIMEOUT = 104;
    static final int IDLE_TIMEOUT = 105;
    static final int UNEXPECTED_MESSAGE = 107;
    static final int TOO_MANY_CONNECTIONS = 110;
    static final int DUPLICATE_INSTANCE = 201;
    static final int STAGE_FULL = 202;
    static final int CREDIT_EXCEEDED = 203;
    static final int UNKNOWN_PORT = 204;
    static final int LEASE_EXPIRED = 207;
    static final int SHUTTING_DOWN = 211;
    static final int DRAIN_DEADLINE = 212;
    static final int OUTPUT_TOO_LARGE = 304;
    static final int STEP_TOO_LARGE = 305;
    static final int INVALID_OUTPUT = 306;
    /** What a handler's own failure has, and where the application's codes begin. */
    static final int APPLICATION = 1000;

    private Codes() {}

    /** Whether connecting again unchanged can help. A code that is not known cannot (ER-3). */
    static boolean retryable(long code) {
        return switch ((int) Math.min(code, Integer.MAX_VALUE)) {
            case HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, TOO_MANY_CONNECTIONS, DUPLICATE_INSTANCE, STAGE_FULL, LEASE_EXPIRED,
                    SHUTTING_DOWN, DRAIN_DEADLINE -> true;
            default -> false;
        };
    }
}
