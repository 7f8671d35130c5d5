package dev.stagewire;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import com.google.protobuf.ByteString;
import dev.stagewire.v1.Claimed;
import dev.stagewire.v1.Committed;
import dev.stagewire.v1.DrainReason;
import dev.stagewire.v1.Emit;
import dev.stagewire.v1.Envelope;
import dev.stagewire.v1.Refusal;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.Test;

public class SourceTest {
    /** Counts to `end`, two numbers in each step, and then waits to be stopped if it is to. */
    private static Stage count(int end, boolean stay) {
        return Stage.source(source -> {
            Partition partition = source.claim("p");
            int next = partition.checkpointText().isEmpty() ? 0 : Integer.parseInt(partition.checkpointText());
            while (next < end) {
                List<Output> step = List.of(Output.of("" + next++), Output.of("" + next++));
                partition.emit(step, "" + next);
            }
            while (stay) {
                source.sleep(Duration.ofHours(1));
            }
        });
    }

    private static FakeBroker broker(Stage stage, String token) throws Exception {
        return new FakeBroker().source().start(stage, token);
    }

    private static void claimed(FakeBroker.Peer peer, long last, String checkpoint) throws IOException {
        assertEquals("p", peer.next(Envelope::hasClaim).getClaim().getPartition());
        peer.send(Envelope.newBuilder().setClaimed(Claimed.newBuilder().setPartition("p").setEpoch(1).setLastEmitId(last)
                .setCheckpoint(ByteString.copyFromUtf8(checkpoint))));
    }

    private static void committed(FakeBroker.Peer peer, long through) throws IOException {
        peer.send(Envelope.newBuilder().setCommitted(Committed.newBuilder().setPartition("p").setThrough(through)));
    }

    /** `3: 4 5 @6`: an Emit in short. */
    private static String emit(FakeBroker.Peer peer) throws IOException {
        Emit emit = peer.next(Envelope::hasEmit).getEmit();
        List<String> all = new ArrayList<>();
        emit.getEmissionsList().forEach(each -> all.add(each.getOutput().getPayload().toStringUtf8()));
        return emit.getEmitId() + ": " + String.join(" ", all) + " @" + emit.getCheckpoint().toStringUtf8();
    }

    @Test
    public void goesOnAtItsCheckpointAndFinishes() throws Exception {
        try (FakeBroker broker = broker(count(8, false), "00")) {
            FakeBroker.Peer peer = broker.attach();
            claimed(peer, 2, "4");
            assertEquals("3: 4 5 @6", emit(peer));
            assertEquals("4: 6 7 @8", emit(peer));
            assertEquals("p", peer.next(Envelope::hasFinished).getFinished().getPartition());
            committed(peer, 4);
            peer.finish();
            assertEquals(0, broker.exitCode());
        }
    }

    @Test
    public void anInstanceWithoutWorkFinishesAPartitionOfItsName() throws Exception {
        try (FakeBroker broker = broker(Stage.source(source -> { }), "00")) {
            FakeBroker.Peer peer = broker.attach();
            assertEquals("one", peer.next(Envelope::hasClaim).getClaim().getPartition());
            peer.send(Envelope.newBuilder().setClaimed(Claimed.newBuilder().setPartition("one").setEpoch(1)));
            assertEquals("one", peer.next(Envelope::hasFinished).getFinished().getPartition());
            peer.finish();
            assertEquals(0, broker.exitCode());
        }
    }

    @Test
    public void sendsAgainWhatIsNotCommitted() throws Exception {
        try (FakeBroker broker = broker(count(6, true), null)) {
            FakeBroker.Peer peer = broker.attach();
            claimed(peer, 0, "");
            assertEquals("1: 0 1 @2", emit(peer));
            assertEquals("2: 2 3 @4", emit(peer));
            assertEquals("3: 4 5 @6", emit(peer));
            committed(peer, 1);
            peer.channel.close();
            peer = broker.attach();
            claimed(peer, 2, "4"); // the second was committed, although the worker was never told
            assertEquals("3: 4 5 @6", emit(peer));
            peer.drain(DrainReason.DRAIN_REASON_SHUTDOWN);
            committed(peer, 3);
            assertEquals(0, peer.next(Envelope::hasClose).getClose().getCode());
            peer.channel.close();
            assertEquals(0, broker.exitCode());
        }
    }

    @Test
    public void beginsAnewAtABrokerThatKnowsNothing() throws Exception {
        try (FakeBroker broker = broker(count(4, true), null)) {
            FakeBroker.Peer peer = broker.attach();
            claimed(peer, 0, "");
            emit(peer);
            emit(peer);
            committed(peer, 2);
            peer.ping(1);
            peer.next(Envelope::hasPong); // it has read that
            peer.channel.close();
            peer = broker.attach();
            claimed(peer, 0, "");
            claimed(peer, 0, ""); // the handler's own, from the beginning
            assertEquals("1: 0 1 @2", emit(peer));
            assertEquals("2: 2 3 @4", emit(peer));
        }
    }

    @Test
    public void beginsAnewEvenWhenItHadFinished() throws Exception {
        try (FakeBroker broker = broker(count(2, false), null)) {
            FakeBroker.Peer peer = broker.attach();
            claimed(peer, 0, "");
            emit(peer);
            peer.next(Envelope::hasFinished);
            committed(peer, 1);
            peer.ping(1);
            peer.next(Envelope::hasPong);
            peer.channel.close();
            peer = broker.attach();
            claimed(peer, 0, "");
            claimed(peer, 0, "");
            assertEquals("1: 0 1 @2", emit(peer));
            peer.next(Envelope::hasFinished);
        }
    }

    @Test
    public void aPartitionIsFinishedAgainAfterAReconnect() throws Exception {
        try (FakeBroker broker = broker(count(2, false), null)) {
            FakeBroker.Peer peer = broker.attach();
            claimed(peer, 0, "");
            emit(peer);
            peer.next(Envelope::hasFinished);
            peer.channel.close();
            peer = broker.attach();
            claimed(peer, 0, ""); // the Emit was lost, too
            assertEquals("1: 0 1 @2", emit(peer));
            peer.next(Envelope::hasFinished);
            peer.finish();
            assertEquals(0, broker.exitCode());
        }
    }

    @Test
    public void waitsForCreditAndAnswersMeanwhile() throws Exception {
        Stage stage = Stage.source(source -> {
            Partition partition = source.claim("p");
            for (int i = 0; i < 3; i++) {
                partition.emit(Output.of(new byte[500_000]), "" + i);
            }
        });
        try (FakeBroker broker = broker(stage, "00")) {
            FakeBroker.Peer peer = broker.attach();
            claimed(peer, 0, "");
            peer.next(Envelope::hasEmit);
            peer.next(Envelope::hasEmit);
            peer.ping(5);
            assertEquals(5, peer.next(Envelope::hasPong).getPong().getNonce());
            peer.grant(0, 1, 500_000);
            assertEquals(3, peer.next(Envelope::hasEmit).getEmit().getEmitId());
            peer.next(Envelope::hasFinished);
        }
    }

    @Test
    public void aSignalWaitsForWhatIsNotCommitted() throws Exception {
        try (FakeBroker broker = broker(count(2, true), "00")) {
            FakeBroker.Peer peer = broker.attach();
            claimed(peer, 0, "");
            emit(peer);
            broker.worker.stop();
            peer.ping(1);
            peer.next(Envelope::hasPong); // no Close before it is committed
            committed(peer, 1);
            assertEquals(0, peer.next(Envelope::hasClose).getClose().getCode());
            peer.channel.close();
            assertEquals(0, broker.exitCode());
        }
    }

    @Test
    public void aHandlerThatFailsEndsTheWorker() throws Exception {
        Stage stage = Stage.source(source -> {
            source.claim("p").emit(Output.of("1"), "1");
            throw new IOException("no such file");
        });
        try (FakeBroker broker = broker(stage, null)) {
            FakeBroker.Peer peer = broker.attach();
            claimed(peer, 0, "");
            assertEquals("1: 1 @1", emit(peer));
            committed(peer, 1);
            assertEquals(0, peer.next(Envelope::hasClose).getClose().getCode());
            peer.channel.close();
            assertEquals(1, broker.exitCode());
            assertTrue(broker.errors(), broker.errors().contains("no such file"));
        }
    }

    @Test
    public void reportsWhatTheBrokerRefuses() throws Exception {
        try (FakeBroker broker = broker(count(2, false), "00")) {
            FakeBroker.Peer peer = broker.attach();
            claimed(peer, 0, "");
            emit(peer);
            peer.send(Envelope.newBuilder().setCommitted(Committed.newBuilder().setPartition("p").setThrough(1).addRefused(
                    Refusal.newBuilder().setId(1).setError(dev.stagewire.v1.Error.newBuilder().setCode(304).setMessage("too large")))));
            peer.next(Envelope::hasFinished);
            peer.finish();
            assertEquals(0, broker.exitCode());
            assertTrue(broker.errors(), broker.errors().contains("emission 1 of partition p was refused with code 304: too large"));
        }
    }
}
