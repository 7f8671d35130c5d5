package dev.stagewire;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.Assume;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Pipelines under the real broker, which STAGEWIRE_BROKER names; skipped without it. */
public class PipelineTest {
    private static final int COUNT = 100_000;

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();
    private final String broker = System.getenv("STAGEWIRE_BROKER");

    @Before
    public void needsABroker() {
        Assume.assumeTrue("STAGEWIRE_BROKER is not set", broker != null && !broker.isEmpty());
    }

    private static String java(String classes, String main) {
        Path target = Path.of("target").toAbsolutePath();
        return "[" + String.join(", ", Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-XX:+UseSerialGC", "-cp",
                '"' + target.resolve("stagewire.jar").toString() + ":" + target.resolve(classes) + '"', main) + "]";
    }

    private Path start(List<Process> into, String... stages) throws IOException {
        Path file = folder.newFile("pipeline.yaml").toPath();
        Path log = folder.getRoot().toPath().resolve("log");
        Files.write(file, List.of("pipeline: java-" + ProcessHandle.current().pid(), "stages:"));
        Files.write(file, List.of(stages), java.nio.file.StandardOpenOption.APPEND);
        into.add(new ProcessBuilder(broker, "run", "--socket", folder.getRoot().toPath().resolve("s").toString(), file.toString())
                .redirectErrorStream(true).redirectOutput(log.toFile()).start());
        return log;
    }

    private String sink(Path output) {
        return "  out: {run: [" + broker + ", stage, file-sink], from: shout, config: {path: " + output + "}}";
    }

    private static void waitFor(Process process, Path log) throws Exception {
        try {
            assertTrue("no end: " + Files.readString(log), process.waitFor(180, TimeUnit.SECONDS));
            assertEquals(Files.readString(log), 0, process.exitValue());
        } finally {
            process.destroyForcibly();
        }
    }

    @Test
    public void killedWorkersLoseNothingAndRepeatNothing() throws Exception {
        Path output = folder.getRoot().toPath().resolve("out");
        List<Process> processes = new ArrayList<>();
        Path log = start(processes,
                "  numbers: {run: " + java("examples", "Numbers") + ", source: true, config: {count: " + COUNT + ", step: 20}}",
                "  shout: {run: " + java("examples", "Shout") + ", workers: 2, from: numbers}",
                sink(output));
        Process process = processes.get(0);
        int killed = 0;
        for (String victim : List.of("Shout", "Numbers", "Shout")) {
            long before = lines(output);
            while (process.isAlive() && lines(output) < before + COUNT / 10) {
                Thread.sleep(5);
            }
            killed += process.descendants()
                    .filter(each -> each.info().arguments().map(all -> List.of(all).contains(victim)).orElse(false))
                    .limit(1).filter(ProcessHandle::destroyForcibly).count();
        }
        assertTrue("nobody was killed", killed > 0);
        waitFor(process, log);
        List<Integer> numbers = Files.readAllLines(output).stream().map(Integer::valueOf).sorted().toList();
        assertEquals(IntStream.range(0, COUNT).boxed().toList(), numbers);
    }

    private static long lines(Path file) throws IOException {
        return Files.exists(file) ? Files.readString(file).lines().count() : 0;
    }

    /** Windows by event time that are given back again and again: none of their records is late, lost or handled twice. */
    @Test
    public void windowsThatAreTriedAgainLoseNothing() throws Exception {
        int count = 20_000;
        Path output = folder.getRoot().toPath().resolve("out");
        List<Process> processes = new ArrayList<>();
        Path log = start(processes,
                "  ticks: {run: " + java("tests", "dev.stagewire.FlakyStages") + ", source: true, config: {count: " + count + "}}",
                "  window: {run: " + java("tests", "dev.stagewire.FlakyStages") + ", from: ticks,"
                        + " retry: {attempts: 50, backoff: 10ms..50ms, max_age: 10m}}",
                sink(output).replace("from: shout", "from: window"));
        waitFor(processes.get(0), log);
        List<Integer> seen = new ArrayList<>();
        java.util.Set<String> windows = new java.util.HashSet<>();
        int parts = 0;
        for (String line : Files.readAllLines(output)) {
            String[] words = line.split(" ");
            parts += windows.add(words[0] + words[1]) ? 0 : 1;
            for (String each : words[2].split("\\+")) {
                seen.add(Integer.valueOf(each));
            }
        }
        seen.sort(null);
        assertEquals(Files.readString(log), IntStream.range(0, count).boxed().toList(), seen);
        assertEquals("windows that came in parts", 0, parts);
    }

    /** What the conformance stage does, under a broker that judges it. */
    @Test
    public void verdictsWindowsAndTheTokenUnderABroker() throws Exception {
        Path output = folder.getRoot().toPath().resolve("out");
        Path input = folder.newFile("in").toPath();
        Files.write(input, List.of(
                "{\"key\": \"a\", \"text\": \"echo\"}",
                "{\"key\": \"a\", \"text\": \"env STAGEWIRE_TOKEN\"}",
                "{\"key\": \"a\", \"text\": \"env STAGEWIRE_STAGE\"}",
                "{\"key\": \"b\", \"text\": \"retry 50 1001 why\"}",
                "{\"key\": \"b\", \"text\": \"attempt\"}",
                "{\"key\": \"c\", \"text\": \"emit 2 3\"}",
                "{\"text\": \"emit 5000\"}",
                "{\"key\": \"d\", \"text\": \"config\"}"));
        String stage = "  %s: {run: " + java("conformance", "Worker") + ", from: in, config: %s, retry: {attempts: 2, backoff: 50ms..1s}}";
        List<Process> processes = new ArrayList<>();
        Path log = start(processes,
                "  in: {run: [" + broker + ", stage, file-source], source: true, config: {path: " + input + ", format: json-lines}}",
                String.format(stage, "transform", "{a: 1}"),
                String.format(stage, "ordered", "{a: 1}"),
                String.format(stage, "window", "{records: 2, by_key: true}"),
                sink(output).replace("from: shout", "from: [transform, ordered, window]"));
        waitFor(processes.get(0), log);
        List<String> lines = new ArrayList<>(Files.readAllLines(output));
        lines.sort(null);
        // The window that begins with `retry` is given up with both of its records at the second attempt.
        assertEquals(List.of("0  ", "0  ", "1", "1", "1  ", "1  ", "config", "echo", "echo", "echo,env STAGEWIRE_TOKEN", "emit 2 3",
                "emit 5000", "env STAGEWIRE_STAGE", "ordered", "transform", "{\"a\":1}", "{\"a\":1}"), lines);
    }
}
