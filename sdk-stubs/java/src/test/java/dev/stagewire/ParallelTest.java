package dev.stagewire;

import static dev.stagewire.FakeBroker.record;
import static dev.stagewire.FakeBroker.shown;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import dev.stagewire.v1.Ordering;
import dev.stagewire.v1.Outcome;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import org.junit.Test;

public class ParallelTest {
    @Test
    public void handlesDifferentKeysAtOnce() throws Exception {
        CyclicBarrier all = new CyclicBarrier(4);
        try (FakeBroker broker = new FakeBroker().transform(Ordering.ORDERING_KEY)
                .start(Stage.sink(record -> all.await()).workers(4))) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "1"), record("b", "2"), record("c", "3"), record("d", "4"));
            assertEquals(4, peer.outcomes(4).stream().mapToInt(each -> FakeBroker.ids(each).size()).sum());
        }
    }

    @Test
    public void keepsTheOrderOfEachKey() throws Exception {
        Map<String, List<Integer>> seen = new HashMap<>();
        Stage stage = Stage.transform((record, out) -> {
            synchronized (seen) {
                seen.computeIfAbsent(record.key(), none -> new ArrayList<>()).add(Integer.parseInt(record.text()));
            }
            Thread.yield();
            out.emit(record.output());
        }).workers(4);
        try (FakeBroker broker = new FakeBroker().transform(Ordering.ORDERING_KEY).start(stage)) {
            FakeBroker.Peer peer = broker.attach();
            dev.stagewire.v1.Record[] records = new dev.stagewire.v1.Record[900];
            for (int i = 0; i < records.length; i++) {
                records[i] = record("k" + i % 7, String.valueOf(i));
            }
            peer.deliver(records);
            Map<Long, Long> last = new HashMap<>();
            for (Outcome each : peer.outcomes(records.length)) {
                for (long id : FakeBroker.ids(each)) {
                    Long before = last.put((id - 1) % 7, id);
                    assertTrue("settled " + id + " behind " + before, before == null || before < id); // OR-2
                }
            }
            for (List<Integer> each : seen.values()) {
                List<Integer> sorted = new ArrayList<>(each);
                Collections.sort(sorted);
                assertEquals(sorted, each);
            }
        }
    }

    @Test
    public void releasesWhatIsVoidInOneLaneOnly() throws Exception {
        CountDownLatch other = new CountDownLatch(1);
        List<String> handled = Collections.synchronizedList(new ArrayList<>());
        Stage stage = Stage.sink(record -> {
            if (record.text().equals("fail")) {
                throw Verdict.retry(Duration.ZERO, "no");
            }
            if (record.key().equals("b")) {
                other.await();
            }
            handled.add(record.key() + record.text());
        }).workers(4);
        try (FakeBroker broker = new FakeBroker().transform(Ordering.ORDERING_KEY).start(stage)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("b", "1"), record("a", "fail"), record("a", "2"), record("a", "3"), record("c", "4"));
            List<Outcome> outcomes = new ArrayList<>(peer.outcomes(4));
            other.countDown();
            outcomes.addAll(peer.outcomes(1));
            assertEquals("1 ACCEPTED, 2 RETRY, 3-4 RELEASED, 5 ACCEPTED", FakeBroker.shownById(outcomes));
            handled.sort(null);
            assertEquals(List.of("b1", "c4"), handled);
            peer.deliver(2, record("a", "again")); // behind the Pong that outcomes() has sent
            assertEquals("6 ACCEPTED", shown(peer.outcomes(1)));
        }
    }

    @Test
    public void noneIsNoOrder() throws Exception {
        CyclicBarrier all = new CyclicBarrier(3);
        try (FakeBroker broker = new FakeBroker().transform(Ordering.ORDERING_NONE)
                .start(Stage.sink(record -> all.await()).workers(3))) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "1"), record("a", "2"), record("a", "3"));
            assertEquals(3, peer.outcomes(3).stream().mapToInt(each -> FakeBroker.ids(each).size()).sum());
        }
    }
}
