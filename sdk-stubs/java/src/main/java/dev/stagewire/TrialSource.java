package dev.stagewire;

import java.io.PrintStream;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;

/** A source without a broker: from an empty checkpoint to its end, or to so many records. */
final class TrialSource implements SourceOutlet {
    private final long limit;
    private final Trial.TrialStep step;
    private final Consumer<Trial.TrialStep.Emission> printer;
    private final PrintStream err;
    private final Set<String> claimed = new HashSet<>();
    private long emitted;

    TrialSource(long limit, Trial.TrialStep step, Consumer<Trial.TrialStep.Emission> printer, PrintStream err) {
        this.limit = limit;
        this.step = step;
        this.printer = printer;
        this.err = err;
    }

    /** The exit code: 1 when the handler fails. */
    int run(SourceHandler handler) {
        int code = 0;
        try {
            handler.run(new Source(this));
        } catch (Stopped enough) {
            // That is how the limit ends it.
        } catch (Throwable failure) {
            failure.printStackTrace(err);
            code = 1;
        }
        err.printf("%d emitted%n", emitted);
        return code;
    }

    @Override
    public Partition claim(String name) {
        int size = Buffer.utf8Size(name);
        if (size < 1 || size > Limits.PARTITION) {
            throw new IllegalArgumentException("a partition's name has 1 to " + Limits.PARTITION + " bytes");
        }
        if (!claimed.add(name)) {
            throw new IllegalStateException("partition " + name + " is claimed already");
        }
        return new Partition(this, name);
    }

    @Override
    public byte[] checkpoint(Partition partition) {
        return new byte[0];
    }

    @Override
    public void emit(Partition partition, List<Output> outputs, byte[] checkpoint) {
        if (stopped()) {
            throw new Stopped();
        }
        step.begin(Set.of());
        outputs.forEach(step::emit);
        for (Trial.TrialStep.Emission each : step.emissions) {
            if (emitted == limit) {
                throw new Stopped();
            }
            emitted++;
            printer.accept(each);
        }
    }

    @Override
    public void finish(Partition partition) {
        claimed.remove(partition.name);
    }

    @Override
    public boolean stopped() {
        return emitted >= limit;
    }

    @Override
    public void sleep(Duration time) {
        if (stopped()) {
            throw new Stopped();
        }
        try {
            Thread.sleep(time.toMillis());
        } catch (InterruptedException hurry) {
            throw new Stopped();
        }
    }

    @Override
    public String instance() {
        return "test";
    }
}
