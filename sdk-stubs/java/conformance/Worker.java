import dev.stagewire.Bounds;
import dev.stagewire.Default;
import dev.stagewire.Emitter;
import dev.stagewire.Output;
import dev.stagewire.Partition;
import dev.stagewire.Source;
import dev.stagewire.Stage;
import dev.stagewire.StageRecord;
import dev.stagewire.Verdict;
import dev.stagewire.Window;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/** The stage that conformance/README.md describes: STAGEWIRE_STAGE says which of its four it is to be. */
public class Worker {
    record Counting(@Default("\"p\"") String partition, @Default("10") long records, @Default("2") int perEmit,
            @Default("0") int size, @Default("3") int keys, @Default("0") long pauseMs, @Default("false") boolean stay) {}

    record Collecting(@Default("3") long records, @Default("0") double seconds, @Default("false") boolean byKey) {}

    public static void main(String[] arguments) {
        String name = Stage.assigned();
        Stage stage = switch (name) {
            case "", "transform" -> Stage.transform(Object.class, config -> (record, out) -> obey(record, out, config));
            case "ordered" -> Stage.transform(Object.class, config -> (record, out) -> obey(record, out, config)).workers(8);
            case "source" -> Stage.source(Counting.class, config -> source -> count(source, config));
            case "window" -> Stage.window(Collecting.class, Worker::bounds, config -> Worker::collect);
            default -> null;
        };
        if (stage == null) {
            System.err.println("there is no stage " + name + " here, only transform, ordered, source and window");
            System.exit(2);
        }
        stage.version("conformance").run(arguments);
    }

    // ---- transform, ordered ----

    static void obey(StageRecord record, Emitter out, Object config) throws Exception {
        if (record.payloadSize() == 0) {
            return;
        }
        for (String directive : record.text().split(";")) {
            String[] words = directive.split(" ");
            switch (words[0]) {
                case "echo" -> out.emit(record.output());
                case "emit" -> emit(record, out, words);
                case "attempt" -> out.emit(record.output().text(String.valueOf(record.attempt())));
                case "id" -> out.emit(record.output().text(record.id()));
                case "config" -> out.emit(record.output().text(dev.stagewire.Json.write(config)));
                case "env" -> {
                    String value = System.getenv(words[1]);
                    if (value != null) {
                        out.emit(record.output().text(value));
                    }
                }
                case "throw" -> throw new IllegalStateException(rest(directive, 1));
                case "exit" -> Runtime.getRuntime().halt(Integer.parseInt(words[1]));
                default -> verdict(directive);
            }
        }
    }

    static void emit(StageRecord record, Emitter out, String[] words) {
        int size = words.length > 2 ? Integer.parseInt(words[2]) : 0;
        for (int i = 0; i < Integer.parseInt(words[1]); i++) {
            out.emit(record.output().payload(padded(i, size)).port(words.length > 3 ? words[3] : "out"));
        }
    }

    /** What windows obey, too. */
    static void verdict(String directive) throws InterruptedException {
        String[] words = directive.split(" ");
        switch (words[0]) {
            case "wait" -> Thread.sleep(Long.parseLong(words[1]));
            case "reject" -> throw Verdict.reject(code(words, 1), rest(directive, 2));
            case "retry" -> throw Verdict.retry(Duration.ofMillis(words.length > 1 ? Long.parseLong(words[1]) : 0),
                    code(words, 2), rest(directive, 3));
            case "release" -> throw Verdict.release();
            default -> throw Verdict.reject(1999, "no such directive: " + directive);
        }
    }

    static int code(String[] words, int at) {
        return words.length > at ? Integer.parseUnsignedInt(words[at]) : 1000;
    }

    /** What stands behind so many words. */
    static String rest(String directive, int words) {
        String[] parts = directive.split(" ", words + 1);
        return parts.length > words ? parts[words] : "";
    }

    static byte[] padded(long number, int size) {
        StringBuilder text = new StringBuilder().append(number);
        while (text.length() < size) {
            text.append(' ');
        }
        return text.toString().getBytes();
    }

    // ---- source ----

    static void count(Source source, Counting config) {
        Partition partition = source.claim(config.partition());
        long next = partition.checkpointText().isEmpty() ? 1 : Long.parseLong(partition.checkpointText()) + 1;
        while (next <= config.records()) {
            List<Output> step = new ArrayList<>();
            for (; step.size() < config.perEmit() && next <= config.records(); next++) {
                step.add(Output.of(padded(next, config.size())).key("k" + next % config.keys()));
            }
            partition.emit(step, String.valueOf(next - 1));
            if (config.pauseMs() > 0 && next <= config.records()) {
                source.sleep(Duration.ofMillis(config.pauseMs()));
            }
        }
        while (config.stay()) {
            source.sleep(Duration.ofHours(1));
        }
    }

    // ---- window ----

    static Bounds bounds(Collecting config) {
        Bounds bounds = Bounds.ofRecords(config.records()).duration(Duration.ofMillis((long) (config.seconds() * 1000)));
        return config.byKey() ? bounds.eachKey() : bounds;
    }

    static void collect(Window window, Emitter out) throws InterruptedException {
        for (StageRecord record : window) {
            String directive = record.text().split(";", 2)[0];
            if (directive.matches("(reject|retry|release|wait)( .*)?")) {
                verdict(directive);
                break;
            }
        }
        String payload = window.records().stream().map(StageRecord::text).collect(Collectors.joining(","));
        out.emit(Output.of(payload).key(window.keyBytes()));
    }
}
