package dev.stagewire;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.function.IntConsumer;

/** A process that serves one stage: it attaches, works, attaches again where that makes sense, and knows its exit code. */
final class Worker {
    private static final long FIRST_BACKOFF = 100;
    private static final long LAST_BACKOFF = 10_000;
    private static final long SAY_EVERY = 60_000_000_000L;
    private static final int AGAIN = -1;

    final Environment environment;
    private final Stage stage;
    private final PrintStream err;
    private final IntConsumer exit;
    private final SourceRunner source;
    private Object handler;
    private Bounds bounds;
    private String configuration;
    private Session session;
    private boolean stopping;
    private long said;

    /** `exit` ends the process when a handler does not end by itself. */
    Worker(Stage stage, Environment environment, PrintStream err, IntConsumer exit) {
        this.stage = stage;
        this.environment = environment;
        this.err = err;
        this.exit = exit;
        this.source = stage.kind == Stage.Kind.SOURCE ? new SourceRunner(this) : null;
    }

    /** Serves until the end, and gives the exit code. */
    int run() {
        try {
            return serve();
        } catch (Unusable unusable) {
            say(unusable.getMessage());
            return 2;
        } catch (SetUpFailed failed) {
            say(failed.getMessage());
            return 1;
        }
    }

    /** What the handler needs is not there now; it may be at the next attempt. */
    private static final class SetUpFailed extends RuntimeException {
        private static final long serialVersionUID = 1;

        SetUpFailed(String message) {
            super(message);
        }
    }

    private int serve() {
        Path socket = socket();
        if (stageName().isEmpty()) {
            throw new Unusable("STAGEWIRE_STAGE is not set, so it is not known which stage this is to be");
        }
        long backoff = FIRST_BACKOFF;
        while (true) {
            Session.End end;
            long begun = System.nanoTime();
            try {
                end = attach(Connection.open(socket));
            } catch (IOException unreachable) {
                end = new Session.End(Session.End.GONE, "no broker at " + socket + ": " + unreachable.getMessage());
            }
            if (end.code() == Session.End.LEFT || stopping()) {
                return source != null && source.failed() ? 1 : end.code() > 0 && !Codes.retryable(end.code()) ? 2 : 0;
            }
            int code = exitCode(end);
            if (code != AGAIN) {
                if (code != 0) {
                    say(end.message());
                }
                return code;
            }
            if (System.nanoTime() - begun > LAST_BACKOFF * 1_000_000) {
                backoff = FIRST_BACKOFF;
            }
            sayNowAndThen(end.message() + "; attaching again");
            if (pause(backoff)) {
                return 0;
            }
            backoff = Math.min(LAST_BACKOFF, 2 * backoff);
        }
    }

    private Session.End attach(Connection connection) {
        Session attached = new Session(this, stage, connection);
        synchronized (this) {
            session = attached;
        }
        return attached.run();
    }

    private Path socket() {
        if (environment.socket() == null || environment.socket().isEmpty()) {
            throw new Unusable("STAGEWIRE_SOCKET is not set: let the broker start this worker, say where its socket is, "
                    + "or try the stage with --test FILE");
        }
        try {
            return Path.of(environment.socket());
        } catch (InvalidPathException invalid) {
            throw new Unusable("STAGEWIRE_SOCKET: " + invalid.getMessage());
        }
    }

    /** EN-5. */
    private int exitCode(Session.End end) {
        if (end.code() == Codes.OK || end.code() == Session.End.LEFT) {
            return 0;
        }
        // Nobody starts this broker again with this worker in it.
        if (end.code() == Session.End.GONE || end.code() == Codes.SHUTTING_DOWN || end.code() == Codes.DRAIN_DEADLINE) {
            return environment.spawned() ? 1 : AGAIN;
        }
        return Codes.retryable(end.code()) ? AGAIN : 2;
    }

    /** Ends the process when the session's handlers do not end within five seconds. */
    void watch(Session ended, Session.End end) {
        Session.daemon(() -> {
            try {
                Thread.sleep(Session.PATIENCE_MILLIS);
            } catch (InterruptedException never) {
                return;
            }
            if (!ended.finished()) {
                int code = exitCode(end);
                say("a handler does not end although its session is over: " + end.message());
                exit.accept(code == AGAIN ? 1 : code);
            }
        }, "stagewire-watch").start();
    }

    String stageName() {
        return environment.stage().isEmpty() ? stage.name : environment.stage();
    }

    /** What handles in this session. Throws Unusable when the configuration does not fit the stage's type. */
    Driver driver(Session within) {
        String text = within.welcome.getConfig().toStringUtf8();
        if (handler == null || stage.kind != Stage.Kind.SOURCE && !text.equals(configuration)) {
            setUp(stage.configuration(text));
            configuration = text;
        }
        return switch (stage.kind) {
            case TRANSFORM -> plain(within, (Transform) handler);
            case SINK -> plain(within, Stage.asTransform((Sink) handler));
            case BATCH_SINK -> new Serial(within, null, (BatchSink) handler);
            case WINDOW -> new WindowDriver(within, bounds, (WindowHandler) handler);
            case SOURCE -> source.driver(within, (SourceHandler) handler);
        };
    }

    private void setUp(Object value) {
        bounds = stage.boundsOf(value);
        try {
            handler = stage.handler.apply(value);
        } catch (RuntimeException failure) {
            report(failure);
            throw new SetUpFailed("the stage could not be set up: " + failure);
        }
    }

    private Driver plain(Session within, Transform transform) {
        return stage.workers == 1 ? new Serial(within, transform, null) : new Parallel(within, transform, stage.workers);
    }

    // ---- Leaving ----

    /** A signal: finish what is at hand, give back the rest, end with 0. */
    void stop() {
        Session current;
        synchronized (this) {
            stopping = true;
            current = session;
            notifyAll();
        }
        if (current != null) {
            current.leave();
        }
    }

    synchronized boolean stopping() {
        return stopping;
    }

    /** Waits; true when the worker is to stop. */
    private synchronized boolean pause(long millis) {
        long until = System.nanoTime() + millis * 1_000_000;
        try {
            for (long left = millis; left > 0 && !stopping; left = (until - System.nanoTime()) / 1_000_000) {
                wait(left);
            }
        } catch (InterruptedException hurry) {
            return true;
        }
        return stopping;
    }

    // ---- Talking ----

    /** One line on standard error, with nothing in it that steers a terminal (LM-5). */
    void say(String sentence) {
        StringBuilder shown = new StringBuilder("stagewire: ");
        sentence.codePoints().forEach(point -> {
            if (Character.isISOControl(point)) {
                shown.append(String.format("\\u%04x", point));
            } else {
                shown.appendCodePoint(point);
            }
        });
        byte[] line = shown.append('\n').toString().getBytes(StandardCharsets.UTF_8);
        err.write(line, 0, line.length);
        err.flush();
    }

    private void sayNowAndThen(String sentence) {
        long now = System.nanoTime();
        if (said == 0 || now - said > SAY_EVERY) {
            said = now;
            say(sentence);
        }
    }

    /** A handler's own failure: the trace, for its author. */
    void report(Throwable thrown) {
        synchronized (err) {
            thrown.printStackTrace(err);
            err.flush();
        }
    }
}
