import dev.stagewire.Bounds;
import dev.stagewire.Default;
import dev.stagewire.Emitter;
import dev.stagewire.Json;
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
        for (String directive : record.text().split(";", -1)) {
            String[] words = directive.split(" ", -1);
            String form = words[0] + " " + (words.length - 1);
            Output output = record.output().port("out");
            switch (form) {
                case "echo 0" -> out.emit(output);
                case "attempt 0" -> out.emit(output.text(String.valueOf(record.attempt())));
                case "id 0" -> out.emit(output.text(record.id()));
                case "config 0" -> out.emit(output.text(Json.write(config)));
                case "emit 1", "emit 2", "emit 3" -> emit(output, out, words, directive);
                case "env 1" -> {
                    String value = System.getenv(words[1]);
                    if (value != null) {
                        out.emit(output.text(value));
                    }
                }
                case "exit 1" -> Runtime.getRuntime().halt((int) number(words, 1, 0, directive));
                default -> {
                    if (words[0].equals("throw") && words.length > 1) {
                        throw new IllegalStateException(rest(directive, 1));
                    }
                    verdict(directive);
                }
            }
        }
    }

    static void emit(Output output, Emitter out, String[] words, String directive) {
        long count = number(words, 1, 0, directive);
        long size = number(words, 2, 0, directive);
        String port = words.length > 3 ? words[3] : "out";
        if (!port.equals("out") && !port.equals("side")) {
            throw unknown(directive);
        }
        for (long i = 0; i < count; i++) {
            out.emit(output.payload(padded(i, (int) size)).port(port));
        }
    }

    /** What windows obey, too. */
    static void verdict(String directive) throws InterruptedException {
        String[] words = directive.split(" ", -1);
        switch (words[0]) {
            case "reject" -> throw Verdict.reject((int) number(words, 1, 1000, directive), rest(directive, 2));
            case "retry" -> throw Verdict.retry(Duration.ofMillis(number(words, 1, 0, directive)),
                    (int) number(words, 2, 1000, directive), rest(directive, 3));
            case "release" -> throw words.length == 1 ? Verdict.release() : unknown(directive);
            case "wait" -> {
                if (words.length != 2) {
                    throw unknown(directive);
                }
                Thread.sleep(number(words, 1, 0, directive));
            }
            default -> throw unknown(directive);
        }
    }

    /** A word as a number of 32 bits, in decimal. */
    static long number(String[] words, int at, long otherwise, String directive) {
        if (words.length <= at) {
            return otherwise;
        }
        if (!words[at].matches("[0-9]{1,10}") || Long.parseLong(words[at]) > 0xFFFF_FFFFL) {
            throw unknown(directive);
        }
        return Long.parseLong(words[at]);
    }

    static Verdict unknown(String directive) {
        return Verdict.reject(1999, "no such directive: " + directive);
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
            if (List.of("reject", "retry", "release", "wait").contains(record.text().split(" ", 2)[0])) {
                verdict(record.text());
                break;
            }
        }
        String payload = window.records().stream().map(StageRecord::text).collect(Collectors.joining(","));
        out.emit(Output.of(payload).key(window.keyBytes()).port("out"));
    }
}
