package dev.stagewire;

import static dev.stagewire.FakeBroker.record;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import com.google.protobuf.ByteString;
import dev.stagewire.v1.Envelope;
import dev.stagewire.v1.Ordering;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.Test;

/** How sessions and workers end, and what they say then. */
public class EndingTest {
    record Config(double threshold, @Default("[\"a\"]") List<String> names) {}

    private static final Stage NOTHING = Stage.sink(record -> { });

    private static FakeBroker broker() throws Exception {
        return new FakeBroker().transform(Ordering.ORDERING_KEY);
    }

    @Test
    public void aRefusalEndsWithItsSentence() throws Exception {
        try (FakeBroker broker = broker().start(NOTHING, null)) {
            FakeBroker.Peer peer = broker.accept();
            peer.next(Envelope::hasHello);
            peer.sayClose(200, "no stage stage; did you mean \u001b[31mstages?");
            peer.channel.close();
            assertEquals(2, broker.exitCode());
            assertEquals("stagewire: no stage stage; did you mean \\u001b[31mstages?\n", broker.errors());
        }
    }

    @Test
    public void aSpawnedWorkerEndsWithItsBroker() throws Exception {
        try (FakeBroker broker = broker().start(NOTHING)) {
            broker.attach().channel.close();
            assertEquals(1, broker.exitCode());
            assertTrue(broker.errors(), broker.errors().contains("the broker went away"));
        }
    }

    @Test
    public void anExternalWorkerAttachesAgain() throws Exception {
        try (FakeBroker broker = broker().start(NOTHING, null)) {
            broker.attach().channel.close();
            FakeBroker.Peer second = broker.attach();
            assertEquals(ByteString.EMPTY, second.hello.getToken());
            second.sayClose(211, "the broker stops");
            second.channel.close();
            FakeBroker.Peer third = broker.attach();
            third.deliver(record("k", "1")); // a new session: ids from 1, credit from zero
            assertEquals("1 ACCEPTED", FakeBroker.shown(third.outcomes(1)));
            third.finish();
            assertEquals(0, broker.exitCode());
            assertEquals("one sentence a minute", 1, broker.errors().lines().count());
        }
    }

    @Test
    public void aSignalEndsTheWaitForABroker() throws Exception {
        FakeBroker broker = broker();
        broker.close(); // nobody listens any more
        broker.start(NOTHING, null);
        broker.worker.stop();
        assertEquals(0, broker.exitCode());
    }

    @Test
    public void aHandlerThatNeverEndsDoesNotKeepTheProcess() throws Exception {
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch never = new CountDownLatch(1);
        Stage stage = Stage.sink(record -> {
            begun.countDown();
            while (never.getCount() > 0) {
                try {
                    never.await();
                } catch (InterruptedException deaf) {
                    // As if nothing had happened.
                }
            }
        });
        try (FakeBroker broker = broker().start(stage)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("k", "1"));
            begun.await();
            peer.channel.close();
            assertEquals(1, broker.exitCode()); // after Session.PATIENCE_MILLIS
            never.countDown();
        }
    }

    @Test
    public void aConfigurationThatDoesNotFitIsNamed() throws Exception {
        String[][] cases = {
            {"{\"threshold\": \"high\"}", "config.threshold: expected a number, got a string"},
            {"{}", "config.threshold: missing"},
            {"{\"threshold\": 1, \"treshold\": 2}", "config.treshold: unknown; there are threshold, names"},
            {"{\"threshold\": 1, \"names\": [\"a\", 2]}", "config.names[1]: expected a string, got the number 2"},
            {"[]", "config: expected a mapping, got a list"},
        };
        for (String[] each : cases) {
            try (FakeBroker broker = broker()) {
                broker.welcome.setConfig(ByteString.copyFromUtf8(each[0]));
                broker.start(Stage.sink(Config.class, config -> record -> { }));
                FakeBroker.Peer peer = broker.attach();
                assertEquals(0, peer.next(Envelope::hasClose).getClose().getCode());
                peer.channel.close();
                assertEquals(2, broker.exitCode());
                assertEquals("stagewire: " + each[1] + "\n", broker.errors());
            }
        }
    }

    @Test
    public void aStageThatCannotBeSetUpMayBeTriedAgain() throws Exception {
        try (FakeBroker broker = broker().start(Stage.sink(Object.class, config -> {
            throw new IllegalStateException("no database");
        }))) {
            FakeBroker.Peer peer = broker.attach();
            assertEquals(0, peer.next(Envelope::hasClose).getClose().getCode());
            peer.channel.close();
            assertEquals(1, broker.exitCode());
            assertTrue(broker.errors(), broker.errors().contains("no database"));
        }
    }

    @Test
    public void boundsThatMakeNoSenseAreTheConfigurations() throws Exception {
        try (FakeBroker broker = broker().start(Stage.window(Object.class, config -> Bounds.ofRecords(-1), config -> (window, out) -> { }))) {
            FakeBroker.Peer peer = broker.attach();
            peer.next(Envelope::hasClose);
            peer.channel.close();
            assertEquals(2, broker.exitCode());
            assertEquals("stagewire: config: a bound below zero\n", broker.errors());
        }
    }

    @Test
    public void aConfigurationReachesItsHandler() throws Exception {
        try (FakeBroker broker = broker()) {
            broker.welcome.setConfig(ByteString.copyFromUtf8("{\"threshold\": 2}"));
            broker.start(Stage.transform(Config.class, config -> (record, out) -> out.emit(Output.ofJson(config))));
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("k", ""));
            assertEquals("{\"threshold\":2.0,\"names\":[\"a\"]}", FakeBroker.payload(peer.outcome(), 0));
        }
    }

    @Test
    public void refusesWhatIsNoFrame() throws Exception {
        byte[][] frames = {
            {0, 0, 0, 2, 0x42, 0x7f}, // a Deliver that is longer than its frame
            {0x7f, 0, 0, 0}, // two gigabytes
            {0, 0, 0, 3, 8, (byte) 0xd0, 0x0f}, // version 2000
            {0, 0, 0, 7, 8, (byte) 0xe8, 7, 0x42, 2, 8, 1}, // a Deliver without records
        };
        int[] codes = {100, 101, 102, 100};
        for (int i = 0; i < frames.length; i++) {
            try (FakeBroker broker = broker().start(NOTHING)) {
                FakeBroker.Peer peer = broker.attach();
                peer.raw(frames[i]);
                assertEquals("frame " + i, codes[i], peer.next(Envelope::hasClose).getClose().getCode());
                peer.channel.close();
                assertEquals("frame " + i, 2, broker.exitCode());
            }
        }
    }

    @Test
    public void refusesMoreThanItHasGranted() throws Exception {
        CountDownLatch go = new CountDownLatch(1);
        try (FakeBroker broker = broker().start(Stage.sink(record -> go.await()))) {
            FakeBroker.Peer peer = broker.attach();
            peer.next(Envelope::hasCredit);
            dev.stagewire.v1.Record[] records = new dev.stagewire.v1.Record[Limits.WINDOW_RECORDS + 1];
            java.util.Arrays.fill(records, record("k", ""));
            peer.deliver(records);
            assertEquals(203, peer.next(Envelope::hasClose).getClose().getCode());
            peer.channel.close();
            assertEquals(2, broker.exitCode());
            go.countDown();
        }
    }

    @Test
    public void ignoresWhatItDoesNotKnow() throws Exception {
        try (FakeBroker broker = broker().start(NOTHING)) {
            FakeBroker.Peer peer = broker.attach();
            peer.raw(new byte[] {0, 0, 0, 6, 8, (byte) 0xe8, 7, (byte) 0xfa, 1, 0}); // field 31, a kind of tomorrow
            peer.deliver(record("k", "1"));
            assertEquals("1 ACCEPTED", FakeBroker.shown(peer.outcomes(1)));
            peer.finish();
            assertEquals(0, broker.exitCode());
            assertFalse(broker.errors(), broker.errors().contains("\tat"));
        }
    }

    @Test
    public void saysWhatIsMissingInItsEnvironment() {
        java.io.ByteArrayOutputStream errors = new java.io.ByteArrayOutputStream();
        Worker worker = new Worker(NOTHING, Environment.of(name -> null), new java.io.PrintStream(errors), code -> { });
        assertEquals(2, worker.run());
        assertTrue(errors.toString(), errors.toString().contains("STAGEWIRE_SOCKET is not set"));
    }
}
