package dev.stagewire;

import java.util.List;

/** The handler of a batch sink: what has arrived, at least one record and at most 4,096. */
@FunctionalInterface
public interface BatchSink {
    /**
     * Handles a batch. Returning accepts all of it, and a verdict is for all of it.
     *
     * @throws Exception a {@link Verdict} is what it says; anything else is a retry with the exception's text
     */
    void handle(List<StageRecord> records) throws Exception;
}
