package dev.stagewire;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** A stage without a broker: records as JSON in, emissions as JSON out, verdicts in words. */
final class Trial {
    private final Stage stage;
    private final Arguments options;
    private final InputStream in;
    private final PrintStream out;
    private final PrintStream err;
    private final TrialStep step = new TrialStep();
    private final Map<StageRecord, Long> numbers = new IdentityHashMap<>();
    private Panes panes;
    private long read;
    private long accepted;
    private long filtered;
    private long rejected;
    private long retried;
    private long released;
    private long emitted;

    Trial(Stage stage, Arguments options, InputStream in, PrintStream out, PrintStream err) {
        this.stage = stage;
        this.options = options;
        this.in = in;
        this.out = new PrintStream(new java.io.BufferedOutputStream(out, 1 << 16), false, StandardCharsets.UTF_8);
        this.err = err;
    }

    /** Runs it, and gives the exit code: 0 when all was accepted, 1 when not. Throws Unusable for 2. */
    int run() {
        Object configuration = stage.configuration(options.config());
        Object handler = stage.handler.apply(configuration);
        try {
            if (stage.kind == Stage.Kind.SOURCE) {
                return new TrialSource(options.limit(), step, this::print, err).run((SourceHandler) handler);
            }
            if (stage.kind == Stage.Kind.WINDOW) {
                panes = new Panes(stage.boundsOf(configuration), new Windows((WindowHandler) handler));
            }
            records(handler);
        } finally {
            out.flush();
        }
        err.printf("%d records: %d accepted (%d filtered), %d rejected, %d to be retried, %d released; %d emitted%n",
                read, accepted, filtered, rejected, retried, released, emitted);
        return accepted == read ? 0 : 1;
    }

    private void records(Object handler) {
        List<StageRecord> batch = new ArrayList<>();
        try (BufferedReader lines = open()) {
            long line = 0;
            for (String text = lines.readLine(); text != null; text = lines.readLine()) {
                line++;
                if (text.isBlank()) {
                    continue;
                }
                StageRecord record = parse(text, line);
                numbers.put(record, ++read);
                switch (stage.kind) {
                    case WINDOW -> panes.add(record, 0);
                    case BATCH_SINK -> {
                        batch.add(record);
                        if (batch.size() == Serial.BATCH_RECORDS) {
                            batch(batch, (BatchSink) handler);
                        }
                    }
                    case SINK -> one(record, Stage.asTransform((Sink) handler));
                    default -> one(record, (Transform) handler);
                }
                if (!lines.ready()) {
                    out.flush(); // somebody may be typing
                }
            }
        } catch (IOException unreadable) {
            throw new Unusable(options.file() + ": cannot be read (" + unreadable.getMessage() + ")");
        }
        if (panes != null) {
            panes.finish();
        }
        if (!batch.isEmpty()) {
            batch(batch, (BatchSink) handler);
        }
    }

    private void batch(List<StageRecord> records, BatchSink handler) {
        settle(records, attempt(records, () -> handler.handle(List.copyOf(records))));
        records.forEach(numbers::remove);
        records.clear();
    }

    private BufferedReader open() throws IOException {
        InputStream from = options.file().equals("-") ? in : Files.newInputStream(Path.of(options.file()));
        return new BufferedReader(new InputStreamReader(from, StandardCharsets.UTF_8.newDecoder()));
    }

    private StageRecord parse(String text, long line) {
        try {
            return RecordJson.read(text, line);
        } catch (Json.Invalid invalid) {
            throw new Unusable(options.file() + ":" + line + ": " + invalid.getMessage());
        }
    }

    private void one(StageRecord record, Transform handler) {
        List<StageRecord> alone = List.of(record);
        settle(alone, attempt(alone, () -> handler.handle(record, step)));
        numbers.remove(record);
    }

    private interface Call {
        void run() throws Exception;
    }

    /** Runs a handler; what it gives is the verdict, null for accepted. */
    private Verdict attempt(List<StageRecord> members, Call call) {
        step.begin(members);
        try {
            call.run();
            return step.refusal;
        } catch (Throwable thrown) {
            if (step.refusal != null) {
                return step.refusal;
            }
            if (!Verdict.isExpected(thrown)) {
                thrown.printStackTrace(err);
            }
            return Verdict.of(thrown);
        }
    }

    private void settle(List<StageRecord> records, Verdict verdict) {
        if (verdict != null) {
            records.forEach(each -> refuse(each, verdict));
            return;
        }
        accepted += records.size();
        if (step.emissions.isEmpty() && (stage.kind == Stage.Kind.TRANSFORM || stage.kind == Stage.Kind.WINDOW)) {
            filtered += records.size();
        }
        step.emissions.forEach(this::print);
    }

    private void print(TrialStep.Emission emission) {
        out.print(RecordJson.write(emission.record(), emission.port()));
        out.print('\n');
        emitted++;
    }

    private void refuse(StageRecord record, Verdict verdict) {
        String what;
        switch (verdict.kind) {
            case OUTCOME_KIND_REJECTED -> {
                rejected++;
                what = "REJECTED " + Integer.toUnsignedString(verdict.code) + ": " + verdict.getMessage();
            }
            case OUTCOME_KIND_RETRY -> {
                retried++;
                what = "RETRY " + Integer.toUnsignedString(verdict.code) + ": " + verdict.getMessage();
            }
            default -> {
                released++;
                what = "RELEASED";
            }
        }
        err.printf("record %d: %s%n", numbers.get(record), what);
    }

    /** What becomes of windows. Nothing that is given back comes again here. */
    private final class Windows implements Panes.Owner {
        private final WindowHandler handler;

        Windows(WindowHandler handler) {
            this.handler = handler;
        }

        @Override
        public void ended(Pane pane) {
            Window window = new Window(pane, panes.byEventTime());
            Verdict verdict = attempt(pane.records, () -> {
                handler.handle(window, step);
                window.check(step.emissions.size(), step::names);
            });
            if (verdict == null) {
                window.rejected.forEach(Trial.this::refuse);
            }
            settle(verdict == null ? window.accepted() : pane.records, verdict);
            pane.records.forEach(numbers::remove);
        }

        @Override
        public void late(StageRecord record, long end) {
            Verdict verdict = panes.lateVerdict(end);
            step.begin(Set.of());
            settle(List.of(record), verdict);
        }

        @Override
        public void withoutTime(StageRecord record) {
            refuse(record, Panes.WITHOUT_TIME);
        }

        @Override
        public boolean isVoid(StageRecord record) {
            return false;
        }
    }

    /** The emissions of one call, held to the limits that a pipeline has by default. */
    static final class TrialStep implements Emitter {
        record Emission(StageRecord record, String port) {}

        final List<Emission> emissions = new ArrayList<>();
        Verdict refusal;
        private long charge;
        private Set<StageRecord> members = Set.of();
        private final Set<StageRecord> named = new HashSet<>();
        private final Buffer header = new Buffer(256);
        private final String[] wrong = {null};

        void begin(java.util.Collection<StageRecord> records) {
            emissions.clear();
            named.clear();
            members = new HashSet<>(records);
            charge = 0;
            refusal = null;
        }

        boolean names(StageRecord record) {
            return named.contains(record);
        }

        @Override
        public void emit(Output output) {
            int size = output.prepare(header, wrong);
            if (size < 0) {
                throw refuse(Codes.INVALID_OUTPUT, wrong[0]);
            }
            long cost = size + Limits.DEFAULT_STAMP;
            if (cost > Limits.DEFAULT_RECORD) {
                throw refuse(Codes.OUTPUT_TOO_LARGE, "an output of " + size + " bytes; with what a broker adds it may have "
                        + Limits.DEFAULT_RECORD + " unless the pipeline says otherwise");
            }
            charge += cost;
            if (emissions.size() + 1 > Limits.DEFAULT_STEP_RECORDS || charge > Limits.DEFAULT_STEP_BYTES) {
                throw refuse(Codes.STEP_TOO_LARGE, "a step of more than " + Limits.DEFAULT_STEP_RECORDS + " emissions or "
                        + Limits.DEFAULT_STEP_BYTES + " bytes, unless the pipeline says otherwise");
            }
            if (!members.containsAll(output.parents)) {
                throw new IllegalArgumentException("a parent that is not of what is being handled");
            }
            named.addAll(output.parents);
            emissions.add(new Emission(StageRecord.of(output), output.port));
        }

        private Verdict refuse(int code, String message) {
            refusal = Verdict.reject(code, message);
            return refusal;
        }
    }
}
