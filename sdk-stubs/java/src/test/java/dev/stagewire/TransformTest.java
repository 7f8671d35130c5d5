package dev.stagewire;

import static dev.stagewire.FakeBroker.record;
import static dev.stagewire.FakeBroker.shown;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import com.google.protobuf.ByteString;
import dev.stagewire.v1.DrainReason;
import dev.stagewire.v1.Envelope;
import dev.stagewire.v1.Ordering;
import dev.stagewire.v1.Outcome;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import org.junit.Test;

public class TransformTest {
    /** What the record's payload says is done. */
    private static final Stage OBEY = obey();

    private static Stage obey() {
        return Stage.transform((record, out) -> {
            switch (record.text()) {
                case "echo" -> out.emit(record.output());
                case "reject" -> throw Verdict.reject(1001, "no such unit");
                case "retry" -> throw Verdict.retry(Duration.ofMillis(1500), 1002, "busy").indefinite();
                case "wrapped" -> throw new CompletionException(Verdict.reject(1003, "within"));
                case "release" -> throw Verdict.release();
                case "throw" -> throw new IllegalStateException("boom");
                default -> { }
            }
        });
    }

    private static FakeBroker broker(Ordering ordering) throws Exception {
        return new FakeBroker().transform(ordering);
    }

    @Test
    public void saysWhoItIsAndPassesARecordOn() throws Exception {
        try (FakeBroker broker = broker(Ordering.ORDERING_KEY).start(Stage.transform((record, out) -> out.emit(record.output())).version("1.4"))) {
            FakeBroker.Peer peer = broker.attach();
            assertEquals("stage", peer.hello.getStage());
            assertEquals("1.4", peer.hello.getStageVersion());
            assertEquals(ByteString.copyFrom(new byte[] {0, -1}), peer.hello.getToken());
            assertEquals(List.of(), peer.hello.getRequiredList());
            peer.deliver(record("k", "echo", 3));
            Outcome outcome = peer.outcome();
            assertEquals("1 ACCEPTED*1", shown(List.of(outcome)));
            assertEquals(record("k", "echo", 3).toBuilder().clearLineage().build(), outcome.getEmissions(0).getOutput());
            peer.finish();
            assertEquals(0, broker.exitCode());
            assertEquals("", broker.errors());
        }
    }

    @Test
    public void settlesWhatIsFiltered() throws Exception {
        try (FakeBroker broker = broker(Ordering.ORDERING_KEY).start(OBEY)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("k", ""), record("k", ""), record("k", "echo"), record("", ""), record("k", ""));
            assertEquals("1-2 ACCEPTED, 3 ACCEPTED*1, 4-5 ACCEPTED", shown(peer.outcomes(5)));
        }
    }

    @Test
    public void carriesOutVerdicts() throws Exception {
        try (FakeBroker broker = broker(Ordering.ORDERING_NONE).start(OBEY)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("", "reject"), record("", "retry"), record("", "release"), record("", "throw"), record("", "wrapped"));
            List<Outcome> outcomes = peer.outcomes(5);
            assertEquals("1 REJECTED, 2 RETRY, 3 RELEASED, 4 RETRY, 5 REJECTED", shown(outcomes));
            assertEquals(1001, outcomes.get(0).getError().getCode());
            assertEquals("no such unit", outcomes.get(0).getError().getMessage());
            assertEquals(1500, outcomes.get(1).getDelayMs());
            assertEquals(1002, outcomes.get(1).getError().getCode());
            assertTrue(outcomes.get(1).getError().getIndefinite());
            assertEquals(1000, outcomes.get(3).getError().getCode());
            assertEquals("boom", outcomes.get(3).getError().getMessage());
            assertEquals(1003, outcomes.get(4).getError().getCode());
            assertTrue(broker.errors(), broker.errors().contains("IllegalStateException: boom"));
            assertFalse(broker.errors(), broker.errors().contains("no such unit"));
        }
    }

    @Test
    public void releasesWhatIsVoidUntilThePong() throws Exception {
        List<String> handled = Collections.synchronizedList(new ArrayList<>());
        Stage stage = Stage.transform((record, out) -> {
            handled.add(record.key() + record.text());
            if (record.text().equals("1") && record.attempt() == 1) {
                throw Verdict.retry(Duration.ZERO, "again");
            }
        });
        try (FakeBroker broker = broker(Ordering.ORDERING_KEY).start(stage)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "1"), record("b", "1x"), record("a", "2"), record("", "3"), record("a", "4"));
            List<Outcome> first = new ArrayList<>();
            Envelope ping = Envelope.getDefaultInstance();
            while (first.stream().mapToInt(each -> FakeBroker.ids(each).size()).sum() < 5) {
                Envelope each = peer.next(any -> any.hasSettle() || any.hasPing());
                if (each.hasPing()) {
                    assertTrue("the Ping stands behind the Settle", shown(first).contains("1 RETRY"));
                }
                first.addAll(each.getSettle().getOutcomesList());
            }
            assertEquals("1 RETRY, 2 ACCEPTED, 3 RELEASED, 4 ACCEPTED, 5 RELEASED", shown(first));
            ping = peer.next(Envelope::hasPing); // the last one: 5 gives back, too
            List<Outcome> second = new ArrayList<>();
            peer.deliver(record("a", "5")); // still before the Pong
            Envelope later = peer.settledAndPing(second);
            assertEquals("6 RELEASED", shown(second));
            assertTrue(later.hasPing());
            peer.pong(ping);
            peer.deliver(record("a", "2")); // the broker may not know of that release yet
            List<Outcome> third = new ArrayList<>();
            Envelope last = peer.settledAndPing(third);
            assertEquals("7 RELEASED", shown(third));
            peer.pong(last);
            peer.deliver(2, record("a", "1"));
            peer.deliver(record("a", "2"), record("a", "4"), record("a", "5"));
            peer.outcomes(4);
            assertEquals(List.of("a1", "b1x", "3", "a1", "a2", "a4", "a5"), handled);
        }
    }

    /** If the retry was the last attempt nothing is void, and only the first release is a real one. */
    @Test
    public void releasesEachThatIsVoidByItself() throws Exception {
        for (Stage stage : List.of(obey(), obey().workers(3))) {
            try (FakeBroker broker = broker(Ordering.ORDERING_KEY).start(stage)) {
                FakeBroker.Peer peer = broker.attach();
                peer.deliver(record("a", "retry"), record("a", "echo"), record("a", "echo"), record("a", "echo"));
                assertEquals(List.of("1-0 RETRY", "2-0 RELEASED", "3-0 RELEASED", "4-0 RELEASED"), peer.outcomes(4).stream()
                        .map(each -> each.getFirst() + "-" + each.getLast() + " " + each.getKind().name().substring(13)).toList());
            }
        }
    }

    @Test
    public void aLaneIsTheWholeInputUnderTotalOrder() throws Exception {
        try (FakeBroker broker = broker(Ordering.ORDERING_TOTAL).start(OBEY)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "release"), record("b", "echo"), record("", "echo"));
            assertEquals("1-3 RELEASED", shown(peer.outcomes(3)));
        }
    }

    @Test
    public void rejectsWhatThePipelineCannotTake() throws Exception {
        Stage stage = Stage.transform((record, out) -> {
            switch (record.text()) {
                case "large" -> out.emit(Output.of(new byte[1 << 20]));
                case "swallowed" -> {
                    try {
                        out.emit(Output.of(new byte[1 << 20]));
                    } catch (RuntimeException hidden) {
                        out.emit(Output.of("instead"));
                    }
                }
                case "many" -> {
                    for (int i = 0; i < 5000; i++) {
                        out.emit(Output.of(""));
                    }
                }
                case "surrogate" -> out.emit(new Output().schema("\ud800", 1));
                case "key" -> out.emit(new Output().key(new byte[1025]));
                default -> out.emit(new Output().port("nowhere"));
            }
        });
        try (FakeBroker broker = broker(Ordering.ORDERING_NONE).start(stage)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("", "large"), record("", "swallowed"), record("", "many"), record("", "surrogate"),
                    record("", "key"), record("", "port"));
            List<Outcome> outcomes = peer.outcomes(6);
            assertEquals("1 REJECTED, 2 REJECTED, 3 REJECTED, 4 REJECTED, 5 REJECTED, 6 RETRY", shown(outcomes));
            assertEquals(List.of(304, 304, 305, 306, 306, 1000), outcomes.stream().map(each -> each.getError().getCode()).toList());
            assertEquals("no output 'nowhere'; this stage has out, side", outcomes.get(5).getError().getMessage());
        }
    }

    @Test
    public void waitsForCreditAndReadsMeanwhile() throws Exception {
        Stage stage = Stage.transform((record, out) -> out.emit(Output.of(new byte[400_000])));
        try (FakeBroker broker = broker(Ordering.ORDERING_KEY).start(stage)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "1"), record("b", "2"), record("c", "3"));
            assertEquals("1 ACCEPTED*1, 2 ACCEPTED*1", shown(peer.outcomes(2)));
            peer.ping(7);
            assertEquals(7, peer.next(Envelope::hasPong).getPong().getNonce());
            peer.grant(0, 1, 401_005);
            assertEquals("3 ACCEPTED*1", shown(peer.outcomes(1)));
        }
    }

    @Test
    public void grantsWhatItHasTaken() throws Exception {
        try (FakeBroker broker = broker(Ordering.ORDERING_KEY).start(OBEY)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("k", "x".repeat(900_000)));
            peer.deliver(record("k", "x".repeat(900_000)));
            peer.outcomes(2);
            assertTrue("half of the window is free: " + peer.granted.get(0)[1], peer.granted.get(0)[1] > 2 << 20);
        }
    }

    @Test
    public void answersAndExtendsWhileAHandlerRuns() throws Exception {
        CountDownLatch go = new CountDownLatch(1);
        try (FakeBroker broker = broker(Ordering.ORDERING_KEY)) {
            broker.welcome.setLeaseMs(150);
            broker.start(Stage.transform((record, out) -> go.await()));
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("k", "1"));
            peer.next(Envelope::hasExtend);
            peer.ping(9);
            assertEquals(9, peer.next(Envelope::hasPong).getPong().getNonce());
            peer.next(Envelope::hasExtend);
            go.countDown();
            assertEquals("1 ACCEPTED", shown(peer.outcomes(1)));
        }
    }

    @Test
    public void aHandlerThatTakesTooLongGetsNoExtend() throws Exception {
        CountDownLatch interrupted = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        Stage stage = Stage.transform((record, out) -> {
            while (go.getCount() > 0) {
                try {
                    go.await();
                } catch (InterruptedException stop) {
                    interrupted.countDown();
                }
            }
        }).timeout(Duration.ofMillis(200));
        try (FakeBroker broker = broker(Ordering.ORDERING_KEY)) {
            broker.welcome.setLeaseMs(150);
            broker.start(stage);
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("k", "1"));
            interrupted.await();
            long until = System.nanoTime() + 400_000_000L; // two leases and more
            int extended = 0;
            peer.ping(1);
            while (System.nanoTime() < until) {
                Envelope each = peer.next(any -> any.hasPong() || any.hasExtend());
                extended += each.hasExtend() ? 1 : 0;
                if (each.hasPong()) {
                    Thread.sleep(20);
                    peer.ping(1);
                }
            }
            assertTrue("extended " + extended + " times", extended <= 8); // those of the first 200 ms
            go.countDown();
            peer.sayClose(207, "lease expired");
            peer.channel.close();
            broker.attach(); // 207 may be tried again
        }
    }

    @Test
    public void releasesAtShutdownAndStaysUntilClose() throws Exception {
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        Stage stage = Stage.transform((record, out) -> {
            begun.countDown();
            go.await();
        });
        try (FakeBroker broker = broker(Ordering.ORDERING_KEY).start(stage)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("k", "1"), record("k", "2"), record("l", "3"));
            begun.await();
            peer.drain(DrainReason.DRAIN_REASON_SHUTDOWN);
            peer.ping(1);
            peer.next(Envelope::hasPong); // it has read the Drain
            go.countDown();
            assertEquals("1 ACCEPTED, 2-3 RELEASED", shown(peer.outcomes(3)));
            peer.deliver(record("k", "4"));
            assertEquals("4 RELEASED", shown(peer.outcomes(1)));
            peer.finish();
            assertEquals(0, broker.exitCode());
        }
    }

    @Test
    public void aSignalFinishesWhatIsAtHand() throws Exception {
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        Stage stage = Stage.transform((record, out) -> {
            begun.countDown();
            go.await();
        });
        try (FakeBroker broker = broker(Ordering.ORDERING_KEY).start(stage)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("k", "1"), record("k", "2"));
            begun.await();
            broker.worker.stop();
            go.countDown();
            assertEquals("1 ACCEPTED", shown(peer.outcomes(1)));
            assertEquals(0, peer.next(Envelope::hasClose).getClose().getCode()); // which releases the second (RT-4)
            peer.channel.close();
            assertEquals(0, broker.exitCode());
        }
    }
}
