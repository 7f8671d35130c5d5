package dev.stagewire;

/** The handler of a source: it claims partitions and emits steps. Returning finishes every partition it has claimed. */
@FunctionalInterface
public interface SourceHandler {
    /**
     * Reads the source from its checkpoints to its end.
     *
     * @throws Exception anything but {@link Stopped} fails the source: the worker ends with exit code 1
     */
    void run(Source source) throws Exception;
}
