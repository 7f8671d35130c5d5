package dev.stagewire;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.stagewire.v1.Drain;
import dev.stagewire.v1.DrainReason;
import dev.stagewire.v1.Envelope;
import dev.stagewire.v1.Extend;
import dev.stagewire.v1.Hello;
import dev.stagewire.v1.Pong;
import dev.stagewire.v1.Refusal;
import dev.stagewire.v1.Welcome;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.LockSupport;

/** One connection from Hello to its end. The caller's thread handles; one thread reads, and one looks at the time. */
final class Session {
    /** How a session ended. `code` is that of Close, unsigned; GONE: the stream ended without one; LEFT: the worker left. */
    record End(long code, String message) {
        static final long GONE = -1;
        static final long LEFT = -2;
    }

    private static final int DELIVER = 8;
    /** How long a side reads behind a Close (EN-1), and how long a handler may take when its session is over. */
    static final long PATIENCE_MILLIS = 5000;

    private final Worker worker;
    private final Stage stage;
    private final Connection connection;
    private final List<Hand> hands = new CopyOnWriteArrayList<>();
    final Runs runs = new Runs();
    final Confirmations confirmations = new Confirmations(this::report);
    Welcome welcome;
    Edge[] edges = {};
    Ports ports;
    Settler settler;
    private Driver driver;
    private Thread reader;
    private Thread clock;
    private volatile End end;
    private volatile boolean releasing;
    private volatile boolean leaving;
    /** We have written Close. */
    private volatile boolean closing;
    private volatile boolean late;
    /** Whether everything has been delivered once, so that windows have to end. */
    volatile boolean inputEnded;
    /** Whether the driver has returned: no handler runs any more. */
    private volatile boolean finished;
    private volatile long received;
    private long epoch;

    Session(Worker worker, Stage stage, Connection connection) {
        this.worker = worker;
        this.stage = stage;
        this.connection = connection;
    }

    /** From Hello to the end. */
    End run() {
        try {
            End refused = greet();
            if (refused != null) {
                return refused;
            }
            begin();
            try {
                driver.run();
            } catch (SessionOver over) {
                driver.end();
            }
            return finish();
        } finally {
            end = end == null ? new End(End.LEFT, "") : end;
            linger();
            connection.close();
            LockSupport.unpark(clock);
            confirmations.finish();
        }
    }

    // ---- Handshake ----

    private End greet() {
        Environment environment = worker.environment;
        Hello.Builder hello = Hello.newBuilder().setMinVersion(1000).setMaxVersion(1000).setStage(worker.stageName())
                .setInstance(environment.instance()).setStageVersion(stage.version).addAllRequired(stage.features()).addAllOffered(stage.wishes())
                .setMaxFrame(Limits.CEILING_FRAME).setSdk("stagewire-java/0.1.0").setLanguage("java");
        if (environment.spawned()) {
            hello.setToken(ByteString.copyFrom(environment.token()));
        }
        connection.send(Envelope.newBuilder().setHello(hello));
        try {
            while (true) {
                byte[] bytes = connection.read(Limits.CEILING_FRAME);
                if (bytes == null) {
                    return new End(End.GONE, "the broker went away during the handshake");
                }
                Envelope envelope = Envelope.parseFrom(bytes);
                if (envelope.hasClose()) {
                    return closed(envelope);
                }
                int version = envelope.getVersion();
                if (version / 1000 != 1 || envelope.hasWelcome() && envelope.getWelcome().getVersion() != 1000) {
                    return refuse(Codes.UNSUPPORTED_VERSION, "this library speaks protocol 1.0; the broker answered with version "
                            + (envelope.hasWelcome() ? envelope.getWelcome().getVersion() : version) + ": update the older side");
                }
                if (envelope.hasWelcome()) {
                    welcome = envelope.getWelcome();
                    return missing();
                }
                if (envelope.getMessageCase() != Envelope.MessageCase.MESSAGE_NOT_SET) {
                    return refuse(Codes.UNEXPECTED_MESSAGE, "a " + envelope.getMessageCase() + " where Welcome was to be");
                }
            }
        } catch (InvalidProtocolBufferException malformed) {
            return refuse(Codes.MALFORMED_FRAME, "a frame that is no protobuf: " + malformed.getMessage());
        } catch (Connection.TooLarge tooLarge) {
            return refuse(Codes.FRAME_TOO_LARGE, tooLarge.getMessage());
        } catch (IOException gone) {
            return new End(End.GONE, "the broker went away during the handshake");
        }
    }

    private End missing() {
        for (String feature : stage.features()) {
            if (!welcome.getFeaturesList().contains(feature)) {
                return refuse(Codes.UNEXPECTED_MESSAGE, "the broker did not grant the feature " + feature);
            }
        }
        return null;
    }

    private void begin() {
        connection.speak(welcome.getVersion());
        edges = welcome.getInputsList().stream().map(input -> new Edge(input, welcome.getMaxRecord())).toArray(Edge[]::new);
        ports = new Ports(welcome);
        settler = new Settler(connection, ports, (int) Math.min(Integer.MAX_VALUE, welcome.getMaxFrame()), confirmations);
        try {
            driver = worker.driver(this);
        } catch (RuntimeException unusable) {
            closing = true;
            connection.sendClose(Codes.OK, "");
            throw unusable;
        }
        for (Edge edge : edges) {
            edge.grant(connection);
        }
        reader = daemon(this::readFrames, "stagewire-reader");
        clock = daemon(new Clock(this, welcome.getLeaseMs(), stage.timeout.toNanos(), stage.kind),
                "stagewire-clock");
        reader.start();
        clock.start();
        if (worker.stopping()) {
            leave();
        }
    }

    static Thread daemon(Runnable body, String name) {
        Thread thread = new Thread(body, name);
        thread.setDaemon(true);
        return thread;
    }

    // ---- Reading ----

    private void readFrames() {
        int limit = (int) Math.min(Integer.MAX_VALUE, welcome.getMaxFrame());
        End reason;
        try {
            while (true) {
                byte[] bytes = connection.read(limit);
                if (bytes == null) {
                    reason = new End(End.GONE, "the broker went away");
                    break;
                }
                if (end == null) { // else it is read only in order to be discarded (EN-1)
                    receive(bytes);
                }
            }
        } catch (Scan.Malformed | InvalidProtocolBufferException malformed) {
            reason = refuse(Codes.MALFORMED_FRAME, "the broker sent " + malformed.getMessage());
        } catch (Connection.TooLarge tooLarge) {
            reason = refuse(Codes.FRAME_TOO_LARGE, tooLarge.getMessage());
        } catch (IOException gone) {
            reason = new End(End.GONE, "the broker went away");
        }
        over(reason);
        if (closing) {
            connection.discard();
        }
    }

    private void receive(byte[] bytes) throws InvalidProtocolBufferException {
        Scan scan = new Scan(bytes, 0, bytes.length);
        long version = 0;
        int deliver = -1;
        int length = 0;
        while (scan.next()) {
            if (scan.field == 1 && scan.wireType == Buffer.VARINT) {
                version = scan.value;
            } else if (scan.field == DELIVER && scan.wireType == Buffer.LENGTH) {
                deliver = scan.start;
                length = scan.length;
            }
        }
        if (deliver >= 0 && version / 1000 == 1) {
            deliver(Incoming.scan(bytes, deliver, length, edges, epoch));
            return;
        }
        Envelope envelope = Envelope.parseFrom(bytes);
        if (version / 1000 != 1 && !envelope.hasClose()) {
            over(refuse(Codes.UNSUPPORTED_VERSION, "a frame of version " + version + "; this session has 1000"));
            return;
        }
        control(envelope);
    }

    private void deliver(Incoming frame) {
        if (frame == null) {
            over(refuse(Codes.UNKNOWN_PORT, "a Deliver for an input that is not in Welcome"));
        } else if (!frame.edge.received(frame)) {
            over(refuse(Codes.CREDIT_EXCEEDED, "more records than input " + frame.edge.name + " has credit for"));
        } else {
            boolean idle = quiet();
            received += frame.count;
            if (idle) {
                LockSupport.unpark(clock);
            }
            driver.deliver(frame);
        }
    }

    private void control(Envelope envelope) {
        switch (envelope.getMessageCase()) {
            case CLOSE -> over(closed(envelope));
            case PING -> connection.send(Envelope.newBuilder().setPong(
                    Pong.newBuilder().setNonce(envelope.getPing().getNonce())));
            case PONG -> {
                long nonce = envelope.getPong().getNonce();
                if (nonce > epoch && settler.hasPinged(nonce)) {
                    epoch = nonce;
                    driver.pong(epoch);
                }
            }
            case CREDIT -> {
                var credit = envelope.getCredit();
                if (!driver.credit(credit.getNumber(), credit.getRecords(), credit.getBytes())) {
                    over(refuse(Codes.UNKNOWN_PORT, "a Credit for output " + credit.getNumber() + ", which is not in Welcome"));
                }
            }
            case RUNS -> runs.add(envelope.getRuns());
            case DRAIN -> drain(envelope.getDrain());
            case CLAIMED -> driver.claimed(envelope.getClaimed());
            case COMMITTED -> driver.committed(envelope.getCommitted());
            case WELCOME, HELLO, SETTLE, EMIT, EXTEND, CLAIM, FINISHED -> over(refuse(Codes.UNEXPECTED_MESSAGE,
                    "a " + envelope.getMessageCase() + ", which the broker does not send here"));
            case SETTLED -> {
                envelope.getSettled().getRefusedList().forEach(this::sayRefusal);
                confirmations.confirm(envelope.getSettled());
            }
            default -> { } // kinds that we do not know
        }
    }

    /** What a handler had accepted is a dead letter now, and nobody else here learns of it. */
    private void sayRefusal(Refusal refusal) {
        say("the broker refused what delivery " + refusal.getId() + " emitted, which is a dead letter now: "
                + Limits.cut(refusal.getError().getMessage()) + " (" + refusal.getError().getCode() + ")");
    }

    private void drain(Drain drain) {
        boolean ended = drain.getReason() == DrainReason.DRAIN_REASON_INPUT_ENDED;
        releasing = !ended;
        inputEnded = ended;
        if (releasing) {
            interruptLater(drain.getDeadlineMs() == 0 ? PATIENCE_MILLIS : Math.min(PATIENCE_MILLIS, drain.getDeadlineMs() / 2));
        }
        driver.drain();
    }

    // ---- What handlers and the clock use ----

    /** A Hand for the thread that calls this. */
    Hand hand() {
        Hand hand = new Hand();
        hands.add(hand);
        return hand;
    }

    List<Hand> hands() {
        return hands;
    }

    /** Counts a frame as having left the queue, and grants more when it is time. */
    void taken(Incoming frame) {
        if (frame.edge.taken(frame.count, frame.size)) {
            frame.edge.grant(connection);
        }
    }

    /** The same for one record. False when it is to be released instead of handled. */
    boolean taken(StageRecord record) {
        if (record.edge.taken(1, record.size)) {
            record.edge.grant(connection);
        }
        return !releasing;
    }

    /** Whether what comes is to be released: Drain SHUTDOWN. */
    boolean releasing() {
        return releasing;
    }

    boolean isOver() {
        return end != null;
    }

    /** Throws when nothing that is done for this session has an effect any more. */
    void check() {
        if (end != null) {
            throw new SessionOver();
        }
    }

    boolean holds() {
        return received > settler.settled();
    }

    /** Whether the clock has nothing to look after. */
    boolean quiet() {
        return !holds() && !driver.pending();
    }

    boolean late() {
        return late;
    }

    void extend() {
        connection.send(Envelope.newBuilder().setExtend(Extend.getDefaultInstance()));
    }

    void report(Throwable thrown) {
        worker.report(thrown);
    }

    void say(String sentence) {
        worker.say(sentence);
    }

    void tick() {
        driver.tick();
    }

    void wakeClock() {
        LockSupport.unpark(clock);
    }

    Connection connection() {
        return connection;
    }

    /** Handlers have taken longer than they may: they are interrupted, once, and the lease is left to run out. */
    void overdue(long now, long timeout) {
        if (!late) {
            late = true;
            worker.say("a handler has taken longer than " + timeout / 1_000_000 + " ms; the broker takes its record back");
            for (Hand hand : hands) {
                if (hand.busy(now) > timeout) {
                    hand.interrupt();
                }
            }
        }
    }

    // ---- Ending ----

    /** No handler is overdue any more. */
    void punctual() {
        if (late) {
            late = false;
            driver.drain(); // who waits may look again
        }
    }

    /** The worker is to leave: what is at hand is finished, the rest goes back to the broker with Close (RT-4). */
    void leave() {
        leaving = true;
        if (driver != null) {
            interruptLater(PATIENCE_MILLIS);
            driver.end();
        }
    }

    private void interruptLater(long millis) {
        if (hands.isEmpty()) {
            return;
        }
        daemon(() -> {
            try {
                Thread.sleep(millis);
            } catch (InterruptedException never) {
                return;
            }
            if (end == null && (releasing || leaving)) {
                hands.forEach(Hand::interrupt);
            }
        }, "stagewire-grace").start();
    }

    private End closed(Envelope envelope) {
        return new End(Integer.toUnsignedLong(envelope.getClose().getCode()), Limits.cut(envelope.getClose().getMessage()));
    }

    /** Closes with a code of ours; what went wrong is the broker's doing. */
    private End refuse(int code, String message) {
        closing = true;
        connection.sendClose(code, message);
        return new End(code, message);
    }

    /** Takes note of how it ends, once, and stops everybody. */
    private synchronized void over(End reason) {
        if (end != null) {
            return;
        }
        end = reason;
        settler.end();
        driver.end();
        hands.forEach(Hand::interrupt);
        LockSupport.unpark(clock);
        worker.watch(this, reason);
    }

    /** The driver is done: says so if nobody has closed yet. */
    private End finish() {
        finished = true;
        synchronized (this) {
            if (end == null) {
                settler.flush();
                closing = true;
                connection.sendClose(Codes.OK, "");
                end = new End(End.LEFT, "");
                LockSupport.unpark(clock);
            }
        }
        return end;
    }

    /** Who has written Close reads on until the other side has closed, too, but not for ever (EN-1). */
    private void linger() {
        if (!closing) {
            return;
        }
        if (reader == null) {
            reader = daemon(connection::discard, "stagewire-reader");
            reader.start();
        }
        try {
            reader.join(PATIENCE_MILLIS);
        } catch (InterruptedException hurry) {
            Thread.currentThread().interrupt();
        }
    }

    boolean finished() {
        return finished;
    }
}
