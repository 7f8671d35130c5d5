package dev.stagewire;

/** The handler of a window: its records in, any number of emissions out, all of it one atomic step. */
@FunctionalInterface
public interface WindowHandler {
    /**
     * Handles one window. Returning accepts its records, but for those given to {@link Window#reject}.
     *
     * @throws Exception a {@link Verdict} is what it says, for the whole window; anything else is a retry of it
     */
    void handle(Window window, Emitter out) throws Exception;
}
