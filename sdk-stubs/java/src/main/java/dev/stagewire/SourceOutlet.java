package dev.stagewire;

import java.time.Duration;
import java.util.List;

/** What stands behind {@link Source} and {@link Partition}: a broker, or a trial without one. */
interface SourceOutlet {
    Partition claim(String name);

    byte[] checkpoint(Partition partition);

    void emit(Partition partition, List<Output> outputs, byte[] checkpoint);

    void finish(Partition partition);

    boolean stopped();

    void sleep(Duration time);

    String instance();
}
