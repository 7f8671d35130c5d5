package dev.stagewire;

/** The handler of a sink: one record in, nothing out. */
@FunctionalInterface
public interface Sink {
    /**
     * Handles one record. Returning accepts it.
     *
     * @throws Exception a {@link Verdict} is what it says; anything else is a retry with the exception's text
     */
    void handle(StageRecord record) throws Exception;
}
