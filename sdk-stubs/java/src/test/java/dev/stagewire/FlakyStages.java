package dev.stagewire;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;

/** Stages for PipelineTest: a source of `count` ticks in event time, and windows that fail now and then. */
public final class FlakyStages {
    private FlakyStages() {}

    record Ticks(int count) {}

    public static void main(String[] arguments) {
        Random random = new Random(7);
        if (Stage.assigned().equals("ticks")) {
            Stage.source(Ticks.class, config -> source -> ticks(config, source)).run(arguments);
        }
        Stage.window(Bounds.ofEventTime(Duration.ofSeconds(10), Duration.ofSeconds(3)).eachKey(), (window, out) -> {
            int chance = random.nextInt(10);
            if (chance == 0) {
                throw Verdict.retry(Duration.ofMillis(random.nextInt(50)), "not now");
            }
            if (chance == 1) {
                throw Verdict.release();
            }
            String all = window.records().stream().map(StageRecord::text).collect(Collectors.joining("+"));
            out.emit(Output.of(window.key() + " " + window.start() + " " + all).key(window.key()));
        }).run(arguments);
    }

    private static void ticks(Ticks config, Source source) {
        Partition partition = source.claim("ticks");
        int next = partition.checkpointText().isEmpty() ? 0 : Integer.parseInt(partition.checkpointText());
        while (next < config.count()) {
            List<Output> step = new ArrayList<>();
            for (; step.size() < 50 && next < config.count(); next++) {
                // Up to two seconds out of order, twelve keys, 25 ticks a second.
                long micros = 1_000_000_000_000L + next * 40_000L - (next * 7919L % 2_000_000L);
                step.add(Output.of("" + next).key("k" + next % 12).eventMicros(micros));
            }
            partition.emit(step, "" + next);
        }
    }
}
