package dev.stagewire;

import static dev.stagewire.FakeBroker.payload;
import static dev.stagewire.FakeBroker.record;
import static dev.stagewire.FakeBroker.shown;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import dev.stagewire.v1.DrainReason;
import dev.stagewire.v1.Envelope;
import dev.stagewire.v1.Ordering;
import dev.stagewire.v1.Outcome;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.Test;

public class WindowTest {
    /** Emits the payloads joined; `retry`, at the first attempt, `bad` and `release` are obeyed. */
    private static void join(Window window, Emitter out) {
        for (StageRecord each : window) {
            switch (each.text()) {
                case "retry" -> {
                    if (each.attempt() == 1) {
                        throw Verdict.retry(Duration.ZERO, "again");
                    }
                }
                case "release" -> throw Verdict.release();
                case "bad" -> window.reject(each, 1001, "bad");
                default -> { }
            }
        }
        if (window.accepted().isEmpty()) {
            return;
        }
        String text = window.accepted().stream().map(StageRecord::text).collect(Collectors.joining(","));
        out.emit(Output.of(text + (window.complete() ? "" : " part")).key(window.key()));
    }

    private static FakeBroker broker(Bounds bounds) throws Exception {
        return new FakeBroker().transform(Ordering.ORDERING_KEY).start(Stage.window(bounds, WindowTest::join));
    }

    @Test
    public void endsByCountAsOneStep() throws Exception {
        try (FakeBroker broker = broker(Bounds.ofRecords(2).eachKey())) {
            FakeBroker.Peer peer = broker.attach();
            assertEquals(List.of("holds"), peer.hello.getRequiredList());
            peer.deliver(record("a", "1"), record("b", "2"), record("b", "3"), record("a", "4"));
            List<Outcome> outcomes = peer.outcomes(4);
            assertEquals("2-3 ACCEPTED*1, 1+4 ACCEPTED*1", shown(outcomes));
            assertEquals("1,4", payload(outcomes.get(1), 0));
            assertEquals("a", outcomes.get(1).getEmissions(0).getOutput().getHeader().getKey().toStringUtf8());
        }
    }

    @Test
    public void endsBeforeTooManyBytes() throws Exception {
        try (FakeBroker broker = broker(Bounds.ofBytes(5))) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("", "123"), record("", "45"), record("", "6"), record("", "1234567"), record("", "8"));
            List<Outcome> outcomes = peer.outcomes(4);
            assertEquals("1-2 ACCEPTED*1, 3 ACCEPTED*1, 4 ACCEPTED*1", shown(outcomes));
            peer.drain(DrainReason.DRAIN_REASON_INPUT_ENDED);
            assertEquals("5 ACCEPTED*1", shown(peer.outcomes(1)));
        }
    }

    @Test
    public void endsByTheClock() throws Exception {
        try (FakeBroker broker = broker(Bounds.ofDuration(Duration.ofMillis(100)).records(9))) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("", "1"), record("", "2"));
            assertEquals("1-2 ACCEPTED*1", shown(peer.outcomes(2)));
        }
    }

    @Test
    public void extendsWhileItHolds() throws Exception {
        try (FakeBroker broker = new FakeBroker().transform(Ordering.ORDERING_KEY)) {
            broker.welcome.setLeaseMs(100);
            broker.start(Stage.window(Bounds.ofRecords(2), WindowTest::join));
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("", "1"));
            peer.next(Envelope::hasExtend);
            peer.next(Envelope::hasExtend);
            peer.deliver(record("", "2"));
            assertEquals("1-2 ACCEPTED*1", shown(peer.outcomes(2)));
        }
    }

    @Test
    public void endsByEventTimeAndRejectsWhatIsLate() throws Exception {
        try (FakeBroker broker = broker(Bounds.ofEventTime(Duration.ofSeconds(10), Duration.ofSeconds(2)))) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "1", 3), record("b", "2", 11.9), record("a", "3", 9), record("a", "4", 12),
                    record("a", "5", 4), record("a", "6"));
            List<Outcome> outcomes = peer.outcomes(4);
            assertEquals("1+3 ACCEPTED*1, 5 REJECTED, 6 REJECTED", shown(outcomes));
            assertEquals("late: its window ended at 1970-01-01T00:00:10.000000Z", outcomes.get(1).getError().getMessage());
            peer.drain(DrainReason.DRAIN_REASON_INPUT_ENDED);
            assertEquals("2+4 ACCEPTED*1", shown(peer.outcomes(2)));
        }
    }

    @Test
    public void silenceEndsWindowsByEventTime() throws Exception {
        Bounds bounds = Bounds.ofEventTime(Duration.ofSeconds(10), Duration.ZERO).idle(Duration.ofMillis(100));
        try (FakeBroker broker = broker(bounds)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "1", 3), record("a", "2", 4));
            assertEquals("1-2 ACCEPTED*1", shown(peer.outcomes(2)));
        }
    }

    @Test
    public void givesBackAndLetsGoOfWhatIsVoid() throws Exception {
        try (FakeBroker broker = broker(Bounds.ofRecords(2).eachKey())) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "retry"), record("b", "1"), record("a", "2"), record("a", "3"), record("b", "4"));
            List<Outcome> outcomes = peer.outcomes(5);
            assertEquals("1+3 RETRY, 4 RELEASED, 2+5 ACCEPTED*1", shown(outcomes));
            peer.answer();
            peer.deliver(2, record("a", "retry"), record("a", "2"));
            peer.deliver(record("a", "3"), record("a", "4"));
            assertEquals("6-7 ACCEPTED*1, 8-9 ACCEPTED*1", shown(peer.outcomes(4)));
        }
    }

    @Test
    public void whatIsGivenBackIsNotLate() throws Exception {
        Bounds bounds = Bounds.ofEventTime(Duration.ofSeconds(10), Duration.ZERO).eachKey();
        try (FakeBroker broker = broker(bounds)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "retry", 1), record("a", "1", 2), record("a", "next", 12), record("b", "far", 99));
            List<Outcome> first = peer.outcomes(3);
            assertEquals("1-2 RETRY, 3 RELEASED", shown(first));
            peer.answer();
            peer.deliver(2, record("a", "retry", 1), record("a", "1", 2));
            // What the broker has kept behind it is measured by the key's own progress.
            peer.deliver(record("a", "kept", 9), record("a", "next", 12), record("a", "behind", 8), record("a", "more", 98));
            assertEquals("5-7 ACCEPTED*1, 9 REJECTED, 8 ACCEPTED*1", shown(peer.outcomes(5)));
            peer.deliver(record("a", "there", 99)); // where the watermark is: the key has caught up
            peer.deliver(record("b", "on", 150), record("a", "late", 120));
            List<Outcome> last = peer.outcomes(4);
            assertEquals("4 ACCEPTED*1, 10-11 ACCEPTED*1, 13 REJECTED", FakeBroker.shownById(last));
            assertEquals(1000, last.get(last.size() - 1).getError().getCode());
        }
    }

    @Test
    public void releasesWhatIsVoidInTheOrderOfIds() throws Exception {
        FakeBroker broker = new FakeBroker().transform(Ordering.ORDERING_TOTAL)
                .start(Stage.window(Bounds.ofRecords(3).eachKey(), WindowTest::join));
        try (broker) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("x", "retry"), record("y", "1"), record("z", "2"), record("y", "3"), record("x", "4"), record("x", "5"));
            assertEquals(List.of("1 RETRY", "2 RELEASED", "3 RELEASED", "4 RELEASED"), peer.outcomes(6).stream()
                    .map(each -> each.getFirst() + " " + each.getKind().name().substring(13)).toList());
        }
    }

    @Test
    public void rejectsSingleRecords() throws Exception {
        try (FakeBroker broker = broker(Bounds.ofRecords(3))) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "1"), record("b", "bad"), record("c", "3"));
            List<Outcome> outcomes = peer.outcomes(3);
            assertEquals("2 REJECTED, 1+3 ACCEPTED*1", shown(outcomes));
            assertEquals("1,3", payload(outcomes.get(1), 0));
        }
    }

    @Test
    public void endsEarlyWhenTheBrokerHasNoMoreToGive() throws Exception {
        try (FakeBroker broker = new FakeBroker().source()) {
            broker.welcome.addInputs(FakeBroker.input(Ordering.ORDERING_KEY).setMaxUnsettledRecords(2));
            broker.start(Stage.window(Bounds.ofRecords(3), WindowTest::join));
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "1"), record("b", "2"));
            Outcome part = peer.outcome();
            assertEquals("1,2 part", payload(part, 0));
            peer.deliver(record("c", "3"));
            assertEquals("3 part", payload(peer.outcome(), 0));
        }
    }

    @Test
    public void releasesAtShutdown() throws Exception {
        try (FakeBroker broker = broker(Bounds.ofRecords(9))) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "1"), record("b", "2"));
            peer.drain(DrainReason.DRAIN_REASON_SHUTDOWN);
            // The second one may still be on its way to the window: then it goes back before it.
            String released = shown(peer.outcomes(2));
            assertTrue(released, Set.of("1-2 RELEASED", "2 RELEASED, 1 RELEASED").contains(released));
            peer.deliver(record("a", "3"));
            assertEquals("3 RELEASED", shown(peer.outcomes(1)));
            peer.finish();
            assertEquals(0, broker.exitCode());
        }
    }

    @Test
    public void aSignalGivesBackWhatIsHeld() throws Exception {
        try (FakeBroker broker = broker(Bounds.ofRecords(9))) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "1"));
            broker.worker.stop();
            assertEquals(0, peer.next(Envelope::hasClose).getClose().getCode());
            peer.channel.close();
            assertEquals(0, broker.exitCode());
        }
    }

    @Test
    public void endsAtTheEndOfItsInputAndStays() throws Exception {
        try (FakeBroker broker = broker(Bounds.ofRecords(9))) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "retry"), record("b", "2"));
            peer.drain(DrainReason.DRAIN_REASON_INPUT_ENDED);
            assertEquals("1-2 RETRY", shown(peer.outcomes(2)));
            peer.answer();
            peer.deliver(2, record("a", "retry"), record("b", "2"));
            assertEquals("3-4 ACCEPTED*1", shown(peer.outcomes(2)));
            peer.finish();
            assertEquals(0, broker.exitCode());
            assertTrue(broker.errors(), broker.errors().isEmpty());
        }
    }
}
