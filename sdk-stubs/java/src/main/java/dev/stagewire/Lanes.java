package dev.stagewire;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The lanes that something was given back on. Each is closed by the number of the Ping behind that verdict: a delivery
 * that was read before its Pong is void.
 */
final class Lanes {
    private final Map<Object, Long> closed = new ConcurrentHashMap<>();
    /** The Ping behind a release of everything, which closes every lane. */
    private volatile long everything;

    boolean isEmpty() {
        return closed.isEmpty();
    }

    void closeAll(long ping) {
        everything = ping;
    }

    void close(Object lane, long ping) {
        if (lane != null) {
            closed.merge(lane instanceof LaneKey key ? key.owned() : lane, ping, Math::max);
        }
    }

    boolean isVoid(StageRecord record) {
        if (closed.isEmpty() && everything <= record.epoch) {
            return false;
        }
        Object lane = record.lane();
        if (lane != null && everything > record.epoch) {
            return true;
        }
        Long ping = lane == null ? null : closed.get(lane);
        return ping != null && ping > record.epoch;
    }

    /** Opens what is open for everything that was read after the Pong of `epoch`, when nothing older is left. */
    void forget(long epoch) {
        if (!closed.isEmpty()) {
            closed.values().removeIf(ping -> ping <= epoch);
        }
    }
}
