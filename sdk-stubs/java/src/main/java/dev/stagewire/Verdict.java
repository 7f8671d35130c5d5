package dev.stagewire;

import dev.stagewire.v1.OutcomeKind;
import java.time.Duration;

/**
 * What a handler throws in order not to accept what it was given. It may be wrapped in other exceptions; it has no
 * stack trace, so throwing one is cheap.
 */
public final class Verdict extends RuntimeException {
    private static final long serialVersionUID = 1;
    private static final long UINT32 = 0xFFFF_FFFFL;

    final OutcomeKind kind;
    final int code;
    final int delayMillis;
    final boolean indefinite;

    private Verdict(OutcomeKind kind, int code, int delayMillis, boolean indefinite, String message) {
        super(message == null ? "" : message, null, false, false);
        this.kind = kind;
        this.code = code;
        this.delayMillis = delayMillis;
        this.indefinite = indefinite;
    }

    /** It will never work: the record becomes a dead letter with this code (yours begin at 1000) and message. */
    public static Verdict reject(int code, String message) {
        return new Verdict(OutcomeKind.OUTCOME_KIND_REJECTED, code, 0, false, message);
    }

    /** Again after {@code delay} at the earliest, as one more attempt; zero stands for the pipeline's backoff. */
    public static Verdict retry(Duration delay, String message) {
        return retry(delay, Codes.APPLICATION, message);
    }

    /** The same with an error code of your own, from 1000. */
    public static Verdict retry(Duration delay, int code, String message) {
        long millis = Math.min(UINT32, Math.max(0, delay.toMillis()));
        return new Verdict(OutcomeKind.OUTCOME_KIND_RETRY, code, (int) millis, false, message);
    }

    /** Untouched: it comes again at the same attempt, elsewhere or a little later. */
    public static Verdict release() {
        return new Verdict(OutcomeKind.OUTCOME_KIND_RELEASED, 0, 0, false, "");
    }

    /** The same verdict, saying that the effect may have happened although this failed. */
    public Verdict indefinite() {
        return new Verdict(kind, code, delayMillis, true, getMessage());
    }

    /** Whether the broker voids what follows on the lane (OR-3). */
    boolean givesBack() {
        return kind != OutcomeKind.OUTCOME_KIND_REJECTED;
    }

    /** The verdict that `thrown` is, or that caused it; otherwise a retry with its text. */
    static Verdict of(Throwable thrown) {
        int depth = 0;
        for (Throwable each = thrown; each != null && depth < 16; each = each.getCause(), depth++) {
            if (each instanceof Verdict verdict) {
                return verdict;
            }
        }
        String text = thrown.getMessage();
        return retry(Duration.ZERO, text == null || text.isBlank() ? thrown.getClass().getName() : text);
    }

    static boolean isExpected(Throwable thrown) {
        int depth = 0;
        for (Throwable each = thrown; each != null && depth < 16; each = each.getCause(), depth++) {
            if (each instanceof Verdict) {
                return true;
            }
        }
        return false;
    }
}
