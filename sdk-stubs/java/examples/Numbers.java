import dev.stagewire.Default;
import dev.stagewire.Output;
import dev.stagewire.Partition;
import dev.stagewire.Source;
import dev.stagewire.Stage;
import java.util.ArrayList;
import java.util.List;

/** Numbers is a source: it counts from where it stopped, ten numbers in each step. */
public class Numbers {
    record Config(@Default("1000") int count, @Default("10") int step) {}

    public static void main(String[] arguments) {
        Stage.source(Config.class, config -> source -> count(config, source)).run(arguments);
    }

    static void count(Config config, Source source) {
        Partition numbers = source.claim("numbers");
        int next = numbers.checkpointText().isEmpty() ? 0 : Integer.parseInt(numbers.checkpointText());
        while (next < config.count()) {
            List<Output> step = new ArrayList<>();
            for (; step.size() < config.step() && next < config.count(); next++) {
                step.add(Output.of(String.valueOf(next)));
            }
            // The numbers and where to go on after them are kept together, or neither is.
            numbers.emit(step, String.valueOf(next));
        }
        // Returning finishes every partition.
    }
}
