package dev.stagewire;

/** Takes what a handler emits. It is valid until the handler returns, and belongs to the handler's thread. */
@FunctionalInterface
public interface Emitter {
    /**
     * Emits one record. The output is encoded at once: it may be changed and emitted again.
     *
     * @throws Verdict when the pipeline cannot take it (too large, not UTF-8); the record is rejected then, even if
     *     the handler catches this
     * @throws IllegalArgumentException when the stage has no output with that name
     */
    void emit(Output output);
}
