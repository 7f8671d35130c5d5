package dev.stagewire;

/** The handler of a transform: one record in, any number of emissions out, all of it one atomic step. */
@FunctionalInterface
public interface Transform {
    /**
     * Handles one record. Returning accepts it; nothing emitted means that it is filtered out.
     *
     * @throws Exception a {@link Verdict} is what it says; anything else is a retry with the exception's text
     */
    void handle(StageRecord record, Emitter out) throws Exception;
}
