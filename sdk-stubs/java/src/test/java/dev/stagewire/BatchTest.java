package dev.stagewire;

import static dev.stagewire.FakeBroker.record;
import static dev.stagewire.FakeBroker.shown;
import static org.junit.Assert.assertEquals;

import dev.stagewire.v1.Ordering;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.Test;

public class BatchTest {
    @Test
    public void takesWhatHasArrivedAndSettlesItAsOne() throws Exception {
        CountDownLatch first = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        List<Integer> sizes = Collections.synchronizedList(new ArrayList<>());
        Stage stage = Stage.batchSink(records -> {
            sizes.add(records.size());
            first.countDown();
            go.await();
        });
        try (FakeBroker broker = new FakeBroker().transform(Ordering.ORDERING_KEY).start(stage)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "1"));
            first.await();
            peer.deliver(record("a", "2"), record("b", "3"));
            peer.deliver(record("a", "4"));
            peer.ping(1);
            peer.next(dev.stagewire.v1.Envelope::hasPong); // all of it has been read
            go.countDown();
            assertEquals("1-4 ACCEPTED", shown(peer.outcomes(4)));
            assertEquals(List.of(1, 3), sizes);
        }
    }

    @Test
    public void givesBackAsOneAndReleasesWhatIsVoid() throws Exception {
        Stage stage = Stage.batchSink(records -> {
            if (records.get(0).attempt() == 1 && records.get(0).key().equals("a")) {
                throw Verdict.retry(Duration.ofMillis(10), "later");
            }
        });
        try (FakeBroker broker = new FakeBroker().transform(Ordering.ORDERING_KEY).start(stage)) {
            FakeBroker.Peer peer = broker.attach();
            peer.deliver(record("a", "1"), record("b", "2"), record("a", "3"));
            dev.stagewire.v1.Envelope settle = peer.next(dev.stagewire.v1.Envelope::hasSettle);
            assertEquals("1-3 RETRY", shown(settle.getSettle().getOutcomesList()));
            dev.stagewire.v1.Envelope ping = peer.next(dev.stagewire.v1.Envelope::hasPing);
            peer.deliver(record("a", "5"), record("c", "6"), record("b", "7"));
            assertEquals("4 RELEASED, 5 ACCEPTED, 6 RELEASED", FakeBroker.shownById(peer.outcomes(3)));
            peer.pong(ping);
            peer.answer();
            peer.deliver(2, record("a", "1"), record("b", "2"), record("a", "3"));
            assertEquals("7-9 ACCEPTED", shown(peer.outcomes(3)));
        }
    }
}
