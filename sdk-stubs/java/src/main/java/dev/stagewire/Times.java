package dev.stagewire;

import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;

/** Microseconds since 1970-01-01T00:00:00Z and what people read. */
final class Times {
    private static final DateTimeFormatter FORM = DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSSSS'Z'")
            .withZone(ZoneOffset.UTC);
    private static final long FIRST = Instant.parse("0001-01-01T00:00:00Z").getEpochSecond();
    private static final long END = Instant.parse("9999-12-31T23:59:59Z").getEpochSecond();

    private Times() {}

    static Instant instant(long micros) {
        return Instant.ofEpochSecond(Math.floorDiv(micros, 1_000_000L), Math.floorMod(micros, 1_000_000L) * 1000L);
    }

    /** Microseconds; what lies beneath them is cut off. */
    static long micros(Instant instant) {
        return Math.addExact(Math.multiplyExact(instant.getEpochSecond(), 1_000_000L), instant.getNano() / 1000);
    }

    static long micros(Duration duration) {
        return Math.addExact(Math.multiplyExact(duration.getSeconds(), 1_000_000L), duration.getNano() / 1000);
    }

    /** RFC 3339 with six digits; null outside of the years 1 to 9999, which RFC 3339 does not have. */
    static String text(long micros) {
        long seconds = Math.floorDiv(micros, 1_000_000L);
        return seconds < FIRST || seconds > END ? null : FORM.format(instant(micros));
    }
}
