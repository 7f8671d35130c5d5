import dev.stagewire.Stage;

/** Every record goes on as it is: the worker of the pipeline benchmark (`make bench` in the root, docs/BENCHMARKS.md). */
public class Forward {
    public static void main(String[] arguments) {
        Stage.transform((record, out) -> out.emit(record.output())).run(arguments);
    }
}
