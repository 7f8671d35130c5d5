package dev.stagewire;

import java.time.Duration;

/** What a source's handler works with. For the handler's thread. */
public final class Source {
    private final SourceOutlet runner;

    Source(SourceOutlet runner) {
        this.runner = runner;
    }

    /**
     * Claims a partition, and waits until it is ours. It is finished when the handler returns, or by
     * {@link Partition#finish}.
     *
     * @param name 1 to 255 bytes
     * @throws Stopped when the source is to stop
     */
    public Partition claim(String name) {
        return runner.claim(name);
    }

    /** Whether the source is to stop: what waits for input may ask, and is interrupted, too. */
    public boolean stopped() {
        return runner.stopped();
    }

    /**
     * Waits, for input perhaps.
     *
     * @throws Stopped when the source is to stop
     */
    public void sleep(Duration time) {
        runner.sleep(time);
    }

    /** The name of this worker among those of its stage. */
    public String instance() {
        return runner.instance();
    }
}
