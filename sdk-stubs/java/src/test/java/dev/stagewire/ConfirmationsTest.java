package dev.stagewire;

import static dev.stagewire.FakeBroker.record;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import dev.stagewire.v1.Envelope;
import dev.stagewire.v1.Error;
import dev.stagewire.v1.Ordering;
import dev.stagewire.v1.Refusal;
import dev.stagewire.v1.Settled;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.Test;

/** {@link StageRecord#onConfirmed}: the worker's side of settle-confirm. */
public class ConfirmationsTest {
    private final List<String> done = Collections.synchronizedList(new ArrayList<>());

    private void note(StageRecord record) {
        String text = record.text();
        record.onConfirmed(() -> done.add(text));
    }

    private static void settled(FakeBroker.Peer peer, long through, long... refused) throws Exception {
        Settled.Builder settled = Settled.newBuilder().setThrough(through);
        for (long each : refused) {
            settled.addRefused(Refusal.newBuilder().setId(each).setError(Error.newBuilder().setCode(306).setMessage("no\u001b output")));
        }
        peer.send(Envelope.newBuilder().setSettled(settled));
    }

    private interface Confirming {
        void confirm(FakeBroker.Peer peer) throws Exception;
    }

    /** Delivers, waits for the outcomes, has them confirmed; what the worker said. */
    private String play(Stage stage, List<String> payloads, Confirming confirming) throws Exception {
        try (FakeBroker broker = new FakeBroker().transform(Ordering.ORDERING_KEY).start(stage)) {
            FakeBroker.Peer peer = broker.attach();
            assertEquals(List.of("settle-confirm"), peer.hello.getOfferedList());
            for (String each : payloads) {
                peer.deliver(record("", each));
            }
            peer.outcomes(payloads.size());
            confirming.confirm(peer);
            peer.finish();
            assertEquals(0, broker.exitCode());
            return broker.errors();
        }
    }

    @Test
    public void doesOnlyWhatIsConfirmedAndInOrder() throws Exception {
        for (int workers : new int[] {1, 4}) {
            done.clear();
            Stage stage = Stage.sink(record -> {
                note(record);
                record.onConfirmed(() -> done.add("again"));
            }).workers(workers);
            play(stage, List.of("a", "b", "c", "d"), peer -> {
                settled(peer, 1);
                settled(peer, 3);
                settled(peer, 3);
            });
            assertEquals(List.of("a", "again", "b", "again", "c", "again"), done);
        }
    }

    @Test
    public void doesNotWhatIsNotAccepted() throws Exception {
        Stage stage = Stage.sink(record -> {
            note(record);
            switch (record.text()) {
                case "reject" -> throw Verdict.reject(1001, "no");
                case "retry" -> throw Verdict.retry(Duration.ZERO, "later");
                case "release" -> throw Verdict.release();
                case "throw" -> throw new IllegalStateException("boom");
                default -> { }
            }
        });
        play(stage, List.of("reject", "retry", "release", "throw", "good"), peer -> settled(peer, 5));
        assertEquals(List.of("good"), done);
    }

    @Test
    public void doesWhatABatchAsksFor() throws Exception {
        play(Stage.batchSink(records -> records.forEach(this::note)), List.of("a", "b"), peer -> settled(peer, 2));
        assertEquals(List.of("a", "b"), done);
    }

    @Test
    public void saysAndDoesNotWhatTheBrokerRefuses() throws Exception {
        Stage stage = Stage.transform((record, out) -> {
            note(record);
            out.emit(record.output());
        });
        String said = play(stage, List.of("a", "b", "c"), peer -> {
            settled(peer, 1, 2); // a refusal may come before its outcome is confirmed
            settled(peer, 3);
        });
        assertEquals(List.of("a", "c"), done);
        assertTrue(said, said.contains("refused what delivery 2 emitted, which is a dead letter now: no\\u001b output (306)"));
    }

    @Test
    public void knowsARefusedWindowByItsFirstRecord() throws Exception {
        Stage stage = Stage.window(Bounds.ofRecords(2), (window, out) -> {
            window.forEach(this::note);
            out.emit(Output.of("window"));
        });
        play(stage, List.of("a", "b", "c", "d"), peer -> settled(peer, 4, 1));
        assertEquals(List.of("c", "d"), done);
    }

    @Test
    public void showsWhatFailsAndGoesOn() throws Exception {
        Stage stage = Stage.sink(record -> {
            String text = record.text();
            record.onConfirmed(() -> {
                if (text.equals("bad")) {
                    throw new IllegalStateException("the file is gone");
                }
                done.add(text);
            });
        });
        String said = play(stage, List.of("bad", "good"), peer -> settled(peer, 2));
        assertEquals(List.of("good"), done);
        assertTrue(said, said.contains("the file is gone"));
    }

    @Test
    public void hasNothingConfirmedWithoutABroker() {
        StageRecord.of(Output.of("x")).onConfirmed(() -> done.add("it is not durable"));
        assertEquals(List.of(), done);
    }
}
