package dev.stagewire;

import java.time.Duration;

/**
 * When a window ends. Either any of {@code records}, {@code bytes} and {@code duration} (the first to be reached ends
 * it), or {@code eventTime}. Each method gives a new value.
 *
 * @param records with that many; 0: no such bound
 * @param bytes before its payloads are more than that; 0: no such bound
 * @param duration that long after its first record arrived; zero: no such bound
 * @param size of windows by event time, aligned to 1970; zero: not by event time
 * @param lateness how far the watermark stays behind the latest event time
 * @param idle how long without a record until everything held ends; zero: never
 * @param acceptLate late records are filtered instead of rejected
 * @param byKey a window for each key
 */
public record Bounds(long records, long bytes, Duration duration, Duration size, Duration lateness, Duration idle,
        boolean acceptLate, boolean byKey) {
    private static final Bounds NONE = new Bounds(0, 0, Duration.ZERO, Duration.ZERO, Duration.ZERO, Duration.ofSeconds(10),
            false, false);

    public Bounds {
        if (records < 0 || bytes < 0 || duration.isNegative() || size.isNegative() || lateness.isNegative() || idle.isNegative()) {
            throw new IllegalArgumentException("a bound below zero");
        }
        if (!size.isZero() && (records > 0 || bytes > 0 || !duration.isZero())) {
            throw new IllegalArgumentException("a window by event time has no other bounds");
        }
        if (!size.isZero() && Times.micros(size) == 0) {
            throw new IllegalArgumentException("a window by event time of less than a microsecond");
        }
    }

    /** Windows of so many records. */
    public static Bounds ofRecords(long count) {
        return NONE.records(count);
    }

    /** Windows of so many bytes of payloads. */
    public static Bounds ofBytes(long count) {
        return NONE.bytes(count);
    }

    /** Windows that end so long after their first record arrived. */
    public static Bounds ofDuration(Duration duration) {
        return NONE.duration(duration);
    }

    /** Windows by event time: a record belongs to {@code [n * size, (n + 1) * size)}. */
    public static Bounds ofEventTime(Duration size, Duration lateness) {
        return new Bounds(0, 0, Duration.ZERO, size, lateness, NONE.idle, false, false);
    }

    public Bounds records(long count) {
        return new Bounds(count, bytes, duration, size, lateness, idle, acceptLate, byKey);
    }

    public Bounds bytes(long count) {
        return new Bounds(records, count, duration, size, lateness, idle, acceptLate, byKey);
    }

    public Bounds duration(Duration bound) {
        return new Bounds(records, bytes, bound, size, lateness, idle, acceptLate, byKey);
    }

    /** So long without a record, by this worker's clock, ends everything that is held; 10 s by default, zero: never. */
    public Bounds idle(Duration time) {
        return new Bounds(records, bytes, duration, size, lateness, time, acceptLate, byKey);
    }

    /** Late records are filtered, where they are rejected otherwise. */
    public Bounds acceptingLate() {
        return new Bounds(records, bytes, duration, size, lateness, idle, true, byKey);
    }

    /** A window for each key instead of one for all. */
    public Bounds eachKey() {
        return new Bounds(records, bytes, duration, size, lateness, idle, acceptLate, true);
    }

    boolean byEventTime() {
        return !size.isZero();
    }
}
