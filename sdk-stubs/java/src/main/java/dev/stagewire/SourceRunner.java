package dev.stagewire;

import dev.stagewire.v1.Claim;
import dev.stagewire.v1.Claimed;
import dev.stagewire.v1.Committed;
import dev.stagewire.v1.Envelope;
import dev.stagewire.v1.Finished;
import dev.stagewire.v1.Refusal;
import java.time.Duration;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;

/**
 * A source's handler with what it has claimed and emitted. It outlives sessions: after a reconnect the partitions are
 * claimed again, and what is not committed is sent again with the same ids (SO-6). When the broker does not know what we
 * had from an earlier one, the handler begins anew from the checkpoints that it is given.
 */
final class SourceRunner implements SourceOutlet {
    /** Thrown into the handler: its partitions are not what they were. */
    private static final class Anew extends RuntimeException {
        private static final long serialVersionUID = 1;

        Anew() {
            super("the broker has another position", null, false, false);
        }
    }

    private static final int EMIT = 10;
    private static final int FIELD_OF_EMISSIONS = 3;
    private static final long AT_ONCE = 2_000_000;
    private static final long COMMIT_PATIENCE = 10_000_000_000L;

    private final Worker worker;
    private final Map<String, Partition> partitions = new LinkedHashMap<>();
    private Session session;
    private Ports ports;
    private Step step;
    private Hand hand;
    private Thread thread;
    private String instance = "";
    private boolean stopping;
    private boolean anew;
    private boolean done;
    private SourceHandler handler;
    private boolean failed;
    private boolean pending;
    private long flushed;

    SourceRunner(Worker worker) {
        this.worker = worker;
    }

    // ---- What the handler calls ----

    @Override
    public synchronized Partition claim(String name) {
        int size = Buffer.utf8Size(name);
        if (size < 1 || size > Limits.PARTITION) {
            throw new IllegalArgumentException("a partition's name has 1 to " + Limits.PARTITION + " bytes");
        }
        Partition partition = partitions.get(name);
        if (partition == null || partition.finishing) {
            partition = new Partition(this, name);
            partitions.put(name, partition);
            if (session != null) {
                sendClaim(partition);
            }
        }
        Partition claimed = partition;
        await(() -> claimed.claimed);
        return claimed;
    }

    @Override
    public synchronized byte[] checkpoint(Partition partition) {
        return partition.checkpoint.clone();
    }

    @Override
    public synchronized void emit(Partition partition, List<Output> outputs, byte[] checkpoint) {
        if (checkpoint.length > Limits.CHECKPOINT) {
            throw new IllegalArgumentException("a checkpoint of " + checkpoint.length + " bytes; " + Limits.CHECKPOINT + " are allowed");
        }
        if (partition.finishing) {
            throw new IllegalStateException("partition " + partition.name + " is finished");
        }
        await(() -> session != null && partition.unconfirmed.size() < Limits.UNCONFIRMED);
        step.clear();
        for (Output each : outputs) {
            if (!each.parents.isEmpty()) {
                throw new IllegalArgumentException("a source's emissions have no parents");
            }
            step.emit(each);
        }
        Buffer body = new Buffer(step.emissions.size + checkpoint.length + 8);
        body.raw(step.emissions.bytes, 0, step.emissions.size);
        if (checkpoint.length > 0) {
            body.field(4, checkpoint);
        }
        Partition.Sent sent = new Partition.Sent(++partition.last, body, step.records.clone(), step.bytes.clone());
        partition.unconfirmed.add(sent);
        pump();
        if (partition.written < sent.id) {
            session.connection().flush();
            await(() -> partition.written >= sent.id);
        }
        flushSoon();
    }

    @Override
    public synchronized void finish(Partition partition) {
        partition.finishing = true;
        pump();
    }

    @Override
    public synchronized boolean stopped() {
        return stopping || anew;
    }

    @Override
    public synchronized void sleep(Duration time) {
        long until = System.nanoTime() + time.toNanos();
        if (pending) {
            flushNow();
        }
        try {
            long left = until - System.nanoTime();
            while (left > 0 && !stopping && !anew) {
                wait(left / 1_000_000, (int) (left % 1_000_000));
                left = until - System.nanoTime();
            }
        } catch (InterruptedException stray) {
            // Interrupts are how this library says that the source is to stop: see below.
        }
        check();
    }

    @Override
    public synchronized String instance() {
        return instance;
    }

    /** Waits for something of the broker, through reconnects. */
    private void await(BooleanSupplier condition) {
        hand.end(); // in here nobody interrupts: it would close the socket
        try {
            check();
            while (!condition.getAsBoolean()) {
                try {
                    wait();
                } catch (InterruptedException stray) {
                    // The author's own affair: asked again.
                }
                check();
            }
        } finally {
            hand.begin(System.nanoTime());
        }
    }

    private void check() {
        if (stopping) {
            throw new Stopped();
        }
        if (anew) {
            throw new Anew();
        }
    }

    // ---- The handler's thread ----

    private void handle() {
        synchronized (this) {
            hand = new Hand();
        }
        boolean again = true;
        while (again) {
            Throwable thrown = null;
            hand.begin(System.nanoTime());
            try {
                handler.run(new Source(this));
                synchronized (this) {
                    if (partitions.isEmpty()) {
                        claim(instance); // SO-7: that the stage can end
                    }
                }
            } catch (Throwable failure) {
                thrown = failure;
            }
            hand.end();
            again = ended(thrown);
        }
    }

    /** Takes note of how the handler has ended. True when it is to begin anew. */
    private synchronized boolean ended(Throwable thrown) {
        if (anew && !stopping) {
            anew = false;
            partitions.clear();
            return true;
        }
        done = true;
        if (thrown == null) {
            partitions.values().forEach(each -> each.finishing = true);
            pump();
            flushNow();
        } else if (!(thrown instanceof Stopped) && !stopping) {
            failed = true;
            worker.report(thrown);
            worker.say("the source has failed: " + thrown);
        }
        notifyAll();
        return false;
    }

    // ---- Sessions ----

    Driver driver(Session within, SourceHandler handler) {
        return new SourceDriver(this, within, handler);
    }

    /** A new session: it knows nothing of what was claimed (EN-6). */
    synchronized void attach(Session within, SourceHandler handler) {
        session = within;
        this.handler = handler;
        instance = within.welcome.getInstance();
        if (ports != null && !ports.alike(within.ports)) {
            beginAnew(); // what is encoded has the numbers of other outputs
        }
        ports = within.ports;
        step = new Step(ports, FIELD_OF_EMISSIONS);
        for (Partition each : partitions.values()) {
            each.claimed = false;
            each.finished = false;
            sendClaim(each);
        }
        notifyAll();
        if (thread == null) {
            begin();
        }
    }

    private void begin() {
        thread = Session.daemon(this::handle, "stagewire-source");
        thread.start();
    }

    synchronized void detach() {
        session = null;
        partitions.values().forEach(each -> each.claimed = false);
        notifyAll();
    }

    /** Waits until the session is over, the source has failed, or it has stopped and all that it emitted is committed. */
    synchronized void attend(Session within, BooleanSupplier over) {
        long patience = Long.MAX_VALUE;
        try {
            while (!over.getAsBoolean()) {
                boolean leaving = stopping || failed;
                if (leaving && patience == Long.MAX_VALUE) {
                    patience = System.nanoTime() + COMMIT_PATIENCE;
                    flushNow();
                }
                if (leaving && done && allCommitted() || leaving && System.nanoTime() > patience) {
                    return;
                }
                wait(leaving ? 100 : 0);
            }
        } catch (InterruptedException hurry) {
            Thread.currentThread().interrupt();
        }
    }

    private boolean allCommitted() {
        return partitions.values().stream().allMatch(each -> each.committed >= each.written);
    }

    /** Drain or a signal: no more is emitted. */
    synchronized void stop() {
        stopping = true;
        if (hand != null) {
            hand.interrupt();
        }
        notifyAll();
    }

    synchronized void wake() {
        notifyAll();
    }

    synchronized boolean failed() {
        return failed;
    }

    synchronized boolean pending() {
        return pending;
    }

    private void sendClaim(Partition partition) {
        session.connection().send(Envelope.newBuilder().setClaim(Claim.newBuilder().setPartition(partition.name)));
    }

    synchronized void claimed(Claimed claimed) {
        Partition partition = partitions.get(claimed.getPartition());
        if (partition == null) {
            return;
        }
        long at = claimed.getLastEmitId();
        if (partition.known && (at < partition.committed || at > partition.last)) {
            beginAnew();
            return;
        }
        if (!partition.known) {
            partition.known = true;
            partition.last = at;
            partition.checkpoint = claimed.getCheckpoint().toByteArray();
        }
        partition.claimed = true;
        partition.written = at; // what is behind it was not applied, and goes out again
        confirm(partition, at);
        pump();
        flushNow();
        notifyAll();
    }

    private void beginAnew() {
        if (!partitions.isEmpty() && !anew) {
            anew = true;
            worker.say("the broker has another position than this source: it begins again from its checkpoint");
            if (hand != null) {
                hand.interrupt();
            }
            if (done && !failed && !stopping) {
                done = false; // it had come to its end with the broker that was
                anew = false;
                partitions.clear();
                begin();
            }
            notifyAll();
        }
    }

    synchronized void committed(Committed committed) {
        Partition partition = partitions.get(committed.getPartition());
        for (Refusal each : committed.getRefusedList()) {
            worker.say("emission " + each.getId() + " of partition " + committed.getPartition() + " was refused with code "
                    + each.getError().getCode() + ": " + each.getError().getMessage());
        }
        if (partition != null) {
            confirm(partition, committed.getThrough());
            notifyAll();
        }
    }

    private static void confirm(Partition partition, long through) {
        partition.committed = Math.max(partition.committed, through);
        while (!partition.unconfirmed.isEmpty() && partition.unconfirmed.peek().id <= through) {
            partition.unconfirmed.poll();
        }
    }

    synchronized boolean credit(Session within, int number, long records, long bytes) {
        boolean known = within.ports.raise(number, records, bytes);
        pump();
        flushNow();
        notifyAll();
        return known;
    }

    /** Writes what there is credit for, in order within each partition. */
    private void pump() {
        if (session == null) {
            return;
        }
        for (Partition each : partitions.values()) {
            if (!each.claimed) {
                continue;
            }
            if (each.written < each.last) {
                for (Iterator<Partition.Sent> all = each.unconfirmed.iterator(); all.hasNext(); ) {
                    Partition.Sent sent = all.next();
                    if (sent.id > each.written && !write(each, sent)) {
                        break;
                    }
                }
            }
            if (each.finishing && !each.finished && each.written == each.last) {
                each.finished = true;
                flushNow();
                session.connection().send(Envelope.newBuilder().setFinished(Finished.newBuilder().setPartition(each.name)));
            }
        }
    }

    private boolean write(Partition partition, Partition.Sent sent) {
        if (stopping || !ports.fits(sent.records, sent.bytes)) {
            return false;
        }
        ports.use(sent.records, sent.bytes);
        Buffer head = new Buffer(partition.name.length() + 16);
        head.text(1, partition.name);
        head.number(2, sent.id);
        session.connection().append(EMIT, head, sent.body);
        partition.written = sent.id;
        pending = true;
        return true;
    }

    /** Sends at once what comes rarely; what comes often is collected for the clock. */
    private void flushSoon() {
        if (!pending || session == null) {
            return;
        }
        if (System.nanoTime() - flushed > AT_ONCE) {
            flushNow();
        } else {
            session.wakeClock();
        }
    }

    synchronized void flushNow() {
        if (session != null && pending) {
            session.connection().flush();
            flushed = System.nanoTime();
            pending = false;
        }
    }
}
