package dev.stagewire;

/** The limits of PROTOCOL.md, "Limits", that a worker keeps, and the sizes that this library has chosen itself. */
final class Limits {
    static final int PREFIX = 4;
    /** The largest frame that may be agreed on. Credit bounds memory, and a smaller one would refuse large records. */
    static final int CEILING_FRAME = 64 * 1024 * 1024;
    static final int HEADER = 16 * 1024;
    static final int KEY = 1024;
    static final int ATTRIBUTES = 64;
    static final int PARTITION = 255;
    static final int TEXT = 8 * 1024;
    static final int CHECKPOINT = 64 * 1024;
    static final int TRACEPARENT = 64;
    static final int TRACESTATE = 512;

    /** Outcomes are sent when there are this many bytes of them, or earlier. */
    static final int BATCH = 64 * 1024;
    /** What an outcome may have beside its outputs: with BATCH it stays within CONTROL_ALLOWANCE. */
    static final int OUTCOME_OVERHEAD = 128 * 1024;
    /**
     * Bytes that may wait for the broker, where Linux has 208 KiB unless told otherwise: a worker that writes more sleeps
     * until the broker has read, which then gets small pieces and wakes the worker for each of them. net.core.wmem_max
     * may make it less.
     */
    static final int SEND_BUFFER = 1024 * 1024;
    /** Records that the broker may send ahead on each input. */
    static final int WINDOW_RECORDS = 2048;
    /** Emits of one partition that may wait for their confirmation. */
    static final int UNCONFIRMED = 1024;

    // What a stage without a broker is held to: the pipeline's defaults.
    static final long DEFAULT_RECORD = 1024 * 1024;
    static final long DEFAULT_STAMP = 1005;
    static final long DEFAULT_STEP_RECORDS = 4096;
    static final long DEFAULT_STEP_BYTES = 1024 * 1024;

    private Limits() {}

    /** `text`, cut to what a text for a person may have (LM-5), not within a character. */
    static String cut(String text) {
        if (text.length() <= TEXT / 3) {
            return text;
        }
        int size = 0;
        int at = 0;
        while (at < text.length()) {
            int point = text.codePointAt(at);
            size += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
            if (size > TEXT) {
                return text.substring(0, at);
            }
            at += Character.charCount(point);
        }
        return text;
    }
}
