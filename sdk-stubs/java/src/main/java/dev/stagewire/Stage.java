package dev.stagewire;

import java.time.Duration;
import java.util.List;
import java.util.function.Function;

/**
 * A stage of a pipeline: what it does, and how it is run. A program makes one and calls {@link #run}.
 *
 * <pre>{@code
 * public static void main(String[] arguments) {
 *     Stage.transform((record, out) -> out.emit(record.output().text(record.text().toUpperCase()))).run(arguments);
 * }
 * }</pre>
 *
 * The variants with a class take the stage's configuration: JSON, decoded into that class (see {@link Json#read}), with
 * names that it does not have refused. The handler is made from it once, so that what it needs can be set up there.
 */
public final class Stage {
    enum Kind { TRANSFORM, SINK, BATCH_SINK, WINDOW, SOURCE }

    final Kind kind;
    final Function<Object, Object> handler;
    final Function<Object, Bounds> bounds;
    private final Class<?> type;
    String name = "";
    String version = "";
    int workers = 1;
    Duration timeout = Duration.ofSeconds(300);

    private Stage(Kind kind, Class<?> type, Function<Object, Object> handler, Function<Object, Bounds> bounds) {
        this.kind = kind;
        this.type = type;
        this.handler = handler;
        this.bounds = bounds;
    }

    private static <C> Stage of(Kind kind, Class<C> type, Function<C, ?> handler, Function<C, Bounds> bounds) {
        return new Stage(kind, type, value -> handler.apply(cast(value)), bounds == null ? null : value -> bounds.apply(cast(value)));
    }

    @SuppressWarnings("unchecked") // Json.read has made it of the class that stands beside it
    private static <C> C cast(Object value) {
        return (C) value;
    }

    /**
     * Which stage the broker has started this worker for, for programs that are several; empty without a broker. A program
     * that asks for other variables calls this before {@link System#getenv}: the token of the session is taken out of the
     * environment then, so that Java's own copy of it, made at the first question, does not have it.
     */
    public static String assigned() {
        String stage = Environment.variable("STAGEWIRE_STAGE");
        return stage == null ? "" : stage;
    }

    /** One record in, any number of emissions out. */
    public static Stage transform(Transform handler) {
        return of(Kind.TRANSFORM, null, none -> handler, null);
    }

    /** The same with a configuration. */
    public static <C> Stage transform(Class<C> configuration, Function<C, Transform> handler) {
        return of(Kind.TRANSFORM, configuration, handler, null);
    }

    /** One record in, nothing out. */
    public static Stage sink(Sink handler) {
        return of(Kind.SINK, null, none -> handler, null);
    }

    /** The same with a configuration. */
    public static <C> Stage sink(Class<C> configuration, Function<C, Sink> handler) {
        return of(Kind.SINK, configuration, handler, null);
    }

    /** What has arrived in, nothing out. */
    public static Stage batchSink(BatchSink handler) {
        return of(Kind.BATCH_SINK, null, none -> handler, null);
    }

    /** The same with a configuration. */
    public static <C> Stage batchSink(Class<C> configuration, Function<C, BatchSink> handler) {
        return of(Kind.BATCH_SINK, configuration, handler, null);
    }

    /** The records of a window in, any number of emissions out, all of it one step. */
    public static Stage window(Bounds bounds, WindowHandler handler) {
        return of(Kind.WINDOW, null, none -> handler, none -> bounds);
    }

    /** The same with a configuration. */
    public static <C> Stage window(Class<C> configuration, Function<C, Bounds> bounds, Function<C, WindowHandler> handler) {
        return of(Kind.WINDOW, configuration, handler, bounds);
    }

    /** A source: it emits by partition, and gets nothing. */
    public static Stage source(SourceHandler handler) {
        return of(Kind.SOURCE, null, none -> handler, null);
    }

    /** The same with a configuration. */
    public static <C> Stage source(Class<C> configuration, Function<C, SourceHandler> handler) {
        return of(Kind.SOURCE, configuration, handler, null);
    }

    /**
     * Handles so many records at once (1 by default), for handlers that wait. Records of one key still go one after
     * another, in order. For transforms and sinks.
     */
    public Stage workers(int count) {
        if (count < 1 || count > 1 && kind != Kind.TRANSFORM && kind != Kind.SINK) {
            throw new IllegalArgumentException("workers: 1 or more, and more than one for transforms and sinks only");
        }
        workers = count;
        return this;
    }

    /**
     * How long a handler may take, 300 s by default; zero: as long as it likes. Then its thread is interrupted, and the
     * broker takes the record back when the lease runs out.
     */
    public Stage timeout(Duration limit) {
        if (limit.isNegative()) {
            throw new IllegalArgumentException("timeout: not below zero");
        }
        timeout = limit;
        return this;
    }

    /** The version of your program, shown in lineage: at most 128 bytes. */
    public Stage version(String text) {
        version = text;
        return this;
    }

    /** Which stage this is, where {@code STAGEWIRE_STAGE} does not say so. */
    public Stage name(String stage) {
        name = stage;
        return this;
    }

    /** Runs the stage and ends the process with its exit code: see the README. Does not return. */
    public void run(String... arguments) {
        System.exit(execute(arguments));
    }

    /** The same, but gives back the exit code: 0, 1 or 2. Signals are handled from here on. */
    public int execute(String... arguments) {
        try {
            Environment environment = Environment.take();
            Arguments options = Arguments.parse(arguments, kind);
            if (options.test()) {
                return new Trial(this, options, System.in, System.out, System.err).run();
            }
            Worker worker = new Worker(this, environment, System.err, System::exit);
            Signals.handle(worker::stop);
            return worker.run();
        } catch (Unusable unusable) {
            System.err.println("stagewire: " + unusable.getMessage());
            return 2;
        }
    }

    // ---- What the rest of the library asks ----

    /** The features that it cannot work without. */
    List<String> features() {
        return kind == Kind.WINDOW ? List.of("holds") : List.of();
    }

    /** Those that it can do without: a sink or transform hears what has become durable, and what was refused. */
    List<String> wishes() {
        return kind == Kind.SOURCE ? List.of() : List.of("settle-confirm");
    }

    /** The stage's configuration from JSON; null for a stage without one. */
    Object configuration(String text) {
        if (type == null) {
            return null;
        }
        try {
            return Json.strict(Json.parse(text.isBlank() ? "{}" : text), type, "config");
        } catch (Json.Invalid invalid) {
            throw new Unusable(invalid.getMessage());
        }
    }

    /** The bounds of a window, null for other kinds. Bounds that make no sense come from the configuration. */
    Bounds boundsOf(Object configuration) {
        try {
            return bounds == null ? null : bounds.apply(configuration);
        } catch (IllegalArgumentException senseless) {
            throw new Unusable("config: " + senseless.getMessage());
        }
    }

    static Transform asTransform(Sink sink) {
        return (record, out) -> sink.handle(record);
    }
}
