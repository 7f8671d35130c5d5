package dev.stagewire;

import dev.stagewire.v1.OutcomeKind;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Collects outcomes and sends them in Settle frames: when there are 64 KiB of them, when the oldest is 2 ms old, and
 * whenever somebody has nothing else to do. Neighbouring deliveries that are accepted without emissions, or released,
 * share one outcome. An outcome waits here for the credit that it needs; those that wait go in the order of their coming.
 */
final class Settler {
    private static final int SETTLE = 9;
    private static final int PING = 5;
    private static final long AGE = 2_000_000;
    /** Ranges in one outcome without emissions: with at most 20 bytes each they stay within OUTCOME_OVERHEAD. */
    private static final int RANGES = 4096;

    private final Connection connection;
    private final Ports ports;
    private final int maxFrame;
    private final Confirmations confirmations;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final Buffer batch = new Buffer(2 * Limits.BATCH);
    private final Buffer head = new Buffer(64);
    private final Buffer tail = new Buffer(256);
    private final Buffer ping = new Buffer(16);
    private boolean open;
    private OutcomeKind openKind;
    private long openFirst;
    private long openLast;
    private long since;
    private long sent = System.nanoTime();
    private long nonce;
    private boolean gaveBack;
    private long tickets;
    private long serving;
    private volatile long settled;
    private volatile boolean over;

    Settler(Connection connection, Ports ports, int maxFrame, Confirmations confirmations) {
        this.connection = connection;
        this.ports = ports;
        this.maxFrame = maxFrame;
        this.confirmations = confirmations;
    }

    /** How many deliveries have been settled. */
    long settled() {
        return settled;
    }

    /** Accepts deliveries with what was emitted for them, or rejects them when the pipeline cannot take that. */
    void accept(Ids ids, Step step, long now) {
        settle(ids, OutcomeKind.OUTCOME_KIND_ACCEPTED, null, step, now);
    }

    /** The same for one delivery. */
    void accept(long id, Step step, long now) {
        if (step.refusal != null || step.count > 0) {
            Ids ids = new Ids();
            ids.add(id);
            settle(ids, OutcomeKind.OUTCOME_KIND_ACCEPTED, null, step, now);
            return;
        }
        lock.lock();
        try {
            extend(OutcomeKind.OUTCOME_KIND_ACCEPTED, id, id);
            added(now);
        } finally {
            lock.unlock();
        }
    }

    /** Settles with a verdict. What it returns is the Ping that stands behind the frame when it gives back, else 0. */
    long refuse(Ids ids, Verdict verdict, long now) {
        return settle(ids, verdict.kind, verdict, null, now);
    }

    /**
     * Settles as RELEASED what this worker will not come to. What it returns is the Ping that stands behind the frame.
     */
    long release(long first, long last) {
        lock.lock();
        try {
            confirmations.settled(first, first, last, false);
            extend(OutcomeKind.OUTCOME_KIND_RELEASED, first, last);
            return gaveBack();
        } finally {
            lock.unlock();
        }
    }

    /**
     * Settles as RELEASED what is void, in an outcome of its own: when nothing is void after all (the retry was the last
     * attempt), this release is a real one and makes those behind it void, which in one range would count as released,
     * too. What it returns is the Ping that stands behind the frame.
     */
    long releaseVoid(long id) {
        lock.lock();
        try {
            closeRange();
            confirmations.settled(id, id, id, false);
            extend(OutcomeKind.OUTCOME_KIND_RELEASED, id, id);
            closeRange();
            return gaveBack();
        } finally {
            lock.unlock();
        }
    }

    /** The Ping behind what is collected, with something in it that gives back. */
    private long gaveBack() {
        gaveBack = true;
        long behind = nonce + 1;
        added(System.nanoTime());
        return behind;
    }

    private long settle(Ids ids, OutcomeKind kind, Verdict verdict, Step step, long now) {
        lock.lock();
        try {
            if (step != null && (step.refusal != null || step.count > 0)) {
                Verdict refusal = step.refusal != null ? step.refusal : reserve(ids, step);
                if (refusal == null) {
                    confirmations.settled(ids, true);
                    append(ids, 0, ids.count, kind, null, step);
                    added(now);
                    return 0;
                }
                kind = refusal.kind;
                verdict = refusal;
            }
            if (kind != OutcomeKind.OUTCOME_KIND_ACCEPTED) {
                confirmations.settled(ids, false);
            }
            for (int from = 0; from < ids.count; from += RANGES) {
                append(ids, from, Math.min(ids.count, from + RANGES), kind, verdict, null);
            }
            boolean givesBack = verdict != null && verdict.givesBack();
            gaveBack |= givesBack;
            long behind = givesBack ? nonce + 1 : 0;
            added(now);
            return behind;
        } finally {
            lock.unlock();
        }
    }

    /** Waits for the step's credit and takes it. A verdict when the step cannot be sent whatever comes. */
    private Verdict reserve(Ids ids, Step step) {
        long around = step.overhead() + 32L + 22L * ids.count;
        if (around > Limits.OUTCOME_OVERHEAD || step.emissions.size + 32L + 22L * ids.count > maxFrame - 64L) {
            return Verdict.reject(Codes.STEP_TOO_LARGE, "a step that is larger than a frame may be: fewer emissions, "
                    + "or fewer parents of each");
        }
        if (serving == tickets && ports.fits(step.records, step.bytes)) {
            ports.use(step.records, step.bytes);
            return null;
        }
        flushLocked(); // others may wait for what we have finished
        long ticket = tickets++;
        while (serving != ticket || !ports.fits(step.records, step.bytes)) {
            if (over) {
                throw new SessionOver();
            }
            changed.awaitUninterruptibly();
        }
        ports.use(step.records, step.bytes);
        serving++;
        changed.signalAll();
        return null;
    }

    private void extend(OutcomeKind kind, long first, long last) {
        if (open && openKind == kind && openLast + 1 == first) {
            openLast = last;
        } else {
            closeRange();
            open = true;
            openKind = kind;
            openFirst = first;
            openLast = last;
        }
        settled += last - first + 1;
    }

    private void closeRange() {
        if (open) {
            open = false;
            head.clear();
            head.number(1, openFirst);
            if (openLast != openFirst) {
                head.number(2, openLast);
            }
            head.number(3, openKind.getNumber());
            batch.head(1, head.size);
            batch.raw(head.bytes, 0, head.size);
        }
    }

    private void encode(Ids ids, int from, int to, OutcomeKind kind, Verdict verdict) {
        head.clear();
        head.number(1, ids.first(from));
        if (ids.last(from) != ids.first(from)) {
            head.number(2, ids.last(from));
        }
        head.number(3, kind.getNumber());
        tail.clear();
        if (verdict != null && kind != OutcomeKind.OUTCOME_KIND_RELEASED) {
            tail.number(5, verdict.delayMillis & 0xFFFF_FFFFL);
            tail.field(6, dev.stagewire.v1.Error.newBuilder().setCode(verdict.code)
                    .setMessage(Limits.cut(clean(verdict.getMessage()))).setIndefinite(verdict.indefinite).build().toByteArray());
        }
        for (int i = from + 1; i < to; i++) {
            boolean single = ids.first(i) == ids.last(i);
            tail.head(7, 1 + Buffer.varintSize(ids.first(i)) + (single ? 0 : 1 + Buffer.varintSize(ids.last(i))));
            tail.number(1, ids.first(i));
            if (!single) {
                tail.number(2, ids.last(i));
            }
        }
    }

    /** Half a surrogate pair becomes a question mark. */
    private static String clean(String text) {
        return new String(text.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8);
    }

    private void append(Ids ids, int from, int to, OutcomeKind kind, Verdict verdict, Step step) {
        closeRange();
        encode(ids, from, to, kind, verdict);
        int emissions = step == null ? 0 : step.emissions.size;
        int length = head.size + emissions + tail.size;
        if (batch.size > 0 && batch.size + length + 64 > maxFrame) {
            flushLocked();
        }
        batch.head(1, length);
        batch.raw(head.bytes, 0, head.size);
        if (emissions > 0) {
            batch.raw(step.emissions.bytes, 0, emissions);
        }
        batch.raw(tail.bytes, 0, tail.size);
        for (int i = from; i < to; i++) {
            settled += ids.last(i) - ids.first(i) + 1;
        }
    }

    private void added(long now) {
        if (since == 0) {
            since = now;
        }
        if (batch.size > Limits.BATCH || now - since > AGE) {
            flushLocked();
        }
    }

    /** Whether a Ping with this number was sent: a Pong without is to be ignored (LV-1). */
    boolean hasPinged(long number) {
        lock.lock();
        try {
            return number > 0 && number <= nonce;
        } finally {
            lock.unlock();
        }
    }

    void flush() {
        lock.lock();
        try {
            flushLocked();
        } finally {
            lock.unlock();
        }
    }

    private void flushLocked() {
        closeRange();
        if (batch.size == 0) {
            return;
        }
        connection.append(SETTLE, batch);
        if (gaveBack) {
            // What is read before its Pong was delivered before the broker knew (OR-3): it is void.
            gaveBack = false;
            ping.clear();
            ping.number(1, ++nonce);
            connection.append(PING, ping);
        }
        connection.flush();
        batch.clear();
        since = 0;
        sent = System.nanoTime();
    }

    /** Called now and then: sends what has waited for `age` ns. What it returns is when the last Settle was sent. */
    long flushOlderThan(long age, long now) {
        lock.lock();
        try {
            if (since != 0 && now - since >= age) {
                flushLocked();
            }
            return sent;
        } finally {
            lock.unlock();
        }
    }

    /** Takes a Credit. False when there is no such output. */
    boolean credit(int number, long records, long bytes) {
        lock.lock();
        try {
            changed.signalAll();
            return ports.raise(number, records, bytes);
        } finally {
            lock.unlock();
        }
    }

    /** Wakes whoever waits for credit, with {@link SessionOver}. */
    void end() {
        over = true;
        lock.lock();
        try {
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }
}
