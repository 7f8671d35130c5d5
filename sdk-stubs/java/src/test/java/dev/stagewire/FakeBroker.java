package dev.stagewire;

import com.google.protobuf.ByteString;
import dev.stagewire.v1.Close;
import dev.stagewire.v1.Credit;
import dev.stagewire.v1.Deliver;
import dev.stagewire.v1.Drain;
import dev.stagewire.v1.DrainReason;
import dev.stagewire.v1.Emission;
import dev.stagewire.v1.Envelope;
import dev.stagewire.v1.Header;
import dev.stagewire.v1.Hello;
import dev.stagewire.v1.Input;
import dev.stagewire.v1.Ordering;
import dev.stagewire.v1.Outcome;
import dev.stagewire.v1.Ping;
import dev.stagewire.v1.Pong;
import dev.stagewire.v1.Welcome;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.PrintStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/** The broker's side, played by a test, with a worker in this process. It holds the worker to its credit at every frame. */
final class FakeBroker implements AutoCloseable {
    /** So long a test waits for what must come; only a failing one needs it. */
    static final int SECONDS = 30;

    private final Path directory;
    private final ServerSocketChannel server;
    private final ByteArrayOutputStream errors = new ByteArrayOutputStream();
    private final List<Peer> peers = new ArrayList<>();
    final CompletableFuture<Integer> exit = new CompletableFuture<>();
    Worker worker;
    Welcome.Builder welcome = Welcome.newBuilder().setVersion(1000).setSession(1).setMaxFrame(4 << 20).setMaxRecord(1 << 20)
            .setStampReserve(1005).setMaxStepRecords(4096).setMaxStepBytes(1 << 20).setHeartbeatMs(10_000).setIdleMs(30_000)
            .setLeaseMs(30_000).setConfig(ByteString.copyFromUtf8("{}")).setPipeline("test").setInstance("one");

    FakeBroker() throws IOException {
        directory = Files.createTempDirectory("stagewire");
        server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        server.bind(UnixDomainSocketAddress.of(directory.resolve("s")));
    }

    static Input.Builder input(Ordering ordering) {
        return Input.newBuilder().setStage("before").setPort("out").setOrdering(ordering)
                .setMaxUnsettledRecords(4096).setMaxUnsettledBytes(4 << 20);
    }

    /** With one input, and the outputs `out` and `side`. */
    FakeBroker transform(Ordering ordering) {
        welcome.addInputs(input(ordering));
        return source();
    }

    /** With the outputs alone. */
    FakeBroker source() {
        welcome.addOutputs(dev.stagewire.v1.Output.newBuilder().setPort("out"));
        welcome.addOutputs(dev.stagewire.v1.Output.newBuilder().setNumber(1).setPort("side"));
        return this;
    }

    /** Starts the worker; `token`: as if the broker had. */
    FakeBroker start(Stage stage, String token) {
        Map<String, String> variables = new HashMap<>();
        variables.put("STAGEWIRE_SOCKET", directory.resolve("s").toString());
        variables.put("STAGEWIRE_STAGE", "stage");
        variables.put("STAGEWIRE_TOKEN", token);
        PrintStream err = new PrintStream(errors, true, StandardCharsets.UTF_8);
        worker = new Worker(stage, Environment.of(variables::get), err, exit::complete);
        Session.daemon(() -> {
            try {
                exit.complete(worker.run());
            } catch (Throwable failure) {
                exit.completeExceptionally(failure);
            }
        }, "test-worker").start();
        return this;
    }

    FakeBroker start(Stage stage) {
        return start(stage, "00ff");
    }

    Peer accept() throws IOException {
        Peer peer = new Peer(server.accept());
        peers.add(peer);
        return peer;
    }

    /** Accepts, answers Hello, and grants one step on each output. */
    Peer attach() throws IOException {
        Peer peer = accept();
        peer.hello = peer.next(Envelope::hasHello).getHello();
        List<String> features = new ArrayList<>(peer.hello.getOfferedList());
        features.addAll(peer.hello.getRequiredList());
        peer.send(Envelope.newBuilder().setWelcome(welcome.clone().addAllFeatures(features)));
        for (int i = 0; i < welcome.getOutputsCount(); i++) {
            peer.grant(welcome.getOutputs(i).getNumber(), welcome.getMaxStepRecords(), welcome.getMaxStepBytes());
        }
        return peer;
    }

    int exitCode() throws Exception {
        return exit.get(SECONDS, TimeUnit.SECONDS);
    }

    String errors() {
        return errors.toString(StandardCharsets.UTF_8);
    }

    @Override
    public void close() throws IOException {
        for (Peer peer : peers) {
            peer.channel.close();
        }
        server.close();
        if (worker != null) {
            worker.stop();
        }
        Files.deleteIfExists(directory.resolve("s"));
        Files.deleteIfExists(directory);
    }

    /** One connection. Reads time out, so that no test hangs. */
    final class Peer {
        final SocketChannel channel;
        Hello hello;
        long delivered;
        /** Credit for inputs: records, then bytes. */
        final Map<Integer, long[]> granted = new HashMap<>();
        private final Map<Integer, long[]> limit = new HashMap<>();
        private final Map<Integer, long[]> used = new HashMap<>();
        private final List<Envelope> others = new ArrayList<>();

        Peer(SocketChannel channel) {
            this.channel = channel;
            Thread watchdog = Session.daemon(() -> {
                try {
                    Thread.sleep(SECONDS * 1000L);
                    channel.close();
                } catch (InterruptedException | IOException done) {
                    // The test is over.
                }
            }, "test-watchdog");
            watchdog.start();
        }

        void send(Envelope.Builder message) throws IOException {
            byte[] body = message.setVersion(1000).build().toByteArray();
            raw(ByteBuffer.allocate(4 + body.length).putInt(body.length).put(body).array());
        }

        void raw(byte[] bytes) throws IOException {
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            while (buffer.hasRemaining()) {
                channel.write(buffer);
            }
        }

        private byte[] exactly(int count) throws IOException {
            ByteBuffer buffer = ByteBuffer.allocate(count);
            while (buffer.hasRemaining()) {
                if (channel.read(buffer) < 0) {
                    throw new EOFException("the worker has closed");
                }
            }
            return buffer.array();
        }

        /** The next frame, whatever it is. */
        Envelope receive() throws IOException {
            if (!others.isEmpty()) {
                return others.remove(0);
            }
            Envelope envelope = Envelope.parseFrom(exactly(ByteBuffer.wrap(exactly(4)).getInt()));
            if (envelope.getVersion() != 1000) {
                throw new AssertionError("version " + envelope.getVersion());
            }
            charge(envelope);
            return envelope;
        }

        /** The next frame of a kind; Credits before it are taken, Extends passed over, all else is an error. */
        Envelope next(Predicate<Envelope> wanted) throws IOException {
            while (true) {
                Envelope envelope = receive();
                if (wanted.test(envelope)) {
                    return envelope;
                }
                if (!envelope.hasCredit() && !envelope.hasExtend()) {
                    throw new AssertionError("not expected now: " + envelope);
                }
            }
        }

        /** So many outcomes' worth of Settle frames, Pings answered. */
        List<Outcome> outcomes(int deliveries) throws IOException {
            List<Outcome> result = new ArrayList<>();
            int settled = 0;
            while (settled < deliveries) {
                Envelope envelope = next(each -> each.hasSettle() || each.hasPing());
                if (envelope.hasPing()) {
                    pong(envelope);
                    continue;
                }
                for (Outcome each : envelope.getSettle().getOutcomesList()) {
                    result.add(each);
                    settled += ids(each).size();
                }
            }
            return result;
        }

        Outcome outcome() throws IOException {
            List<Outcome> all = outcomes(1);
            if (all.size() != 1) {
                throw new AssertionError("several outcomes: " + all);
            }
            return all.get(0);
        }

        void pong(Envelope ping) throws IOException {
            send(Envelope.newBuilder().setPong(Pong.newBuilder().setNonce(ping.getPing().getNonce())));
        }

        /** Answers the Pings behind all verdicts that were read and gave back. */
        void answer() throws IOException {
            ping(77);
            while (true) {
                Envelope envelope = next(each -> each.hasPing() || each.hasPong());
                if (envelope.hasPong()) {
                    return;
                }
                pong(envelope);
            }
        }

        /** The next Settle's outcomes and the Ping behind them, which is not answered. */
        Envelope settledAndPing(List<Outcome> outcomes) throws IOException {
            outcomes.addAll(next(Envelope::hasSettle).getSettle().getOutcomesList());
            return receive();
        }

        void ping(long nonce) throws IOException {
            send(Envelope.newBuilder().setPing(Ping.newBuilder().setNonce(nonce)));
        }

        void grant(int output, long records, long bytes) throws IOException {
            long[] now = limit.computeIfAbsent(output, none -> new long[2]);
            now[0] += records;
            now[1] += bytes;
            send(Envelope.newBuilder().setCredit(Credit.newBuilder().setNumber(output).setRecords(now[0]).setBytes(now[1])));
        }

        /** Holds the worker to its credit (CR-3, CR-4), and takes note of ours. */
        private void charge(Envelope envelope) {
            if (envelope.hasCredit()) {
                long[] now = granted.computeIfAbsent(envelope.getCredit().getNumber(), none -> new long[2]);
                if (envelope.getCredit().getRecords() < now[0] || envelope.getCredit().getBytes() < now[1]) {
                    throw new AssertionError("credit shrinks: " + envelope);
                }
                now[0] = envelope.getCredit().getRecords();
                now[1] = envelope.getCredit().getBytes();
            }
            List<Emission> emissions = new ArrayList<>(envelope.getEmit().getEmissionsList());
            envelope.getSettle().getOutcomesList().forEach(each -> emissions.addAll(each.getEmissionsList()));
            for (Emission each : emissions) {
                long[] spent = used.computeIfAbsent(each.getPort(), none -> new long[2]);
                spent[0] += 1;
                spent[1] += each.getOutput().getSerializedSize() + welcome.getStampReserve();
                long[] most = limit.getOrDefault(each.getPort(), new long[2]);
                if (spent[0] > most[0] || spent[1] > most[1]) {
                    throw new AssertionError("the worker has overdrawn its credit on output " + each.getPort());
                }
            }
        }

        /** Delivers records in one frame; the id of the first. */
        long deliver(dev.stagewire.v1.Record... records) throws IOException {
            return deliver(1, records);
        }

        long deliver(int attempt, dev.stagewire.v1.Record... records) throws IOException {
            long first = delivered + 1;
            Deliver.Builder frame = Deliver.newBuilder().setFirstDelivery(first);
            for (dev.stagewire.v1.Record each : records) {
                frame.addRecords(each);
                if (attempt != 1) {
                    frame.addAttempts(attempt);
                }
            }
            delivered += records.length;
            send(Envelope.newBuilder().setDeliver(frame));
            return first;
        }

        void drain(DrainReason reason) throws IOException {
            send(Envelope.newBuilder().setDrain(Drain.newBuilder().setReason(reason)));
        }

        void sayClose(int code, String message) throws IOException {
            send(Envelope.newBuilder().setClose(Close.newBuilder().setCode(code).setMessage(message)));
        }

        /** Ends the session in order. */
        void finish() throws IOException {
            sayClose(0, "");
            channel.close();
        }
    }

    /** All deliveries that an outcome covers. */
    static List<Long> ids(Outcome outcome) {
        List<Long> result = new ArrayList<>();
        range(result, outcome.getFirst(), outcome.getLast());
        outcome.getMoreList().forEach(each -> range(result, each.getFirst(), each.getLast()));
        return result;
    }

    private static void range(List<Long> to, long first, long last) {
        for (long id = first; id <= Math.max(first, last); id++) {
            to.add(id);
        }
    }

    /**
     * `1 ACCEPTED, 2-4 RELEASED`: outcomes in short. Neighbours that could have been one outcome are shown as one, for how
     * much of them a frame has is a matter of time.
     */
    static String shown(List<Outcome> outcomes) {
        List<Outcome> joined = new ArrayList<>();
        for (Outcome each : outcomes) {
            Outcome last = joined.isEmpty() ? null : joined.get(joined.size() - 1);
            boolean plain = each.getEmissionsCount() == 0 && each.getMoreCount() == 0 && !each.hasError();
            if (last != null && plain && last.getKind() == each.getKind() && last.getEmissionsCount() == 0
                    && last.getMoreCount() == 0 && !last.hasError()
                    && Math.max(last.getFirst(), last.getLast()) + 1 == each.getFirst()) {
                long end = Math.max(each.getFirst(), each.getLast());
                joined.set(joined.size() - 1, last.toBuilder().setLast(end).build());
            } else {
                joined.add(each);
            }
        }
        return String.join(", ", joined.stream().map(FakeBroker::shown).toList());
    }

    private static String shown(Outcome each) {
        StringBuilder text = new StringBuilder().append(each.getFirst());
        text.append(each.getLast() > each.getFirst() ? "-" + each.getLast() : "");
        each.getMoreList().forEach(more -> text.append('+').append(more.getFirst())
                .append(more.getLast() > more.getFirst() ? "-" + more.getLast() : ""));
        text.append(' ').append(each.getKind().name().replace("OUTCOME_KIND_", ""));
        return text.append(each.getEmissionsCount() > 0 ? "*" + each.getEmissionsCount() : "").toString();
    }

    /** The same in the order of the deliveries, for handlers that run at once. */
    static String shownById(List<Outcome> outcomes) {
        List<Outcome> sorted = new ArrayList<>(outcomes);
        sorted.sort(java.util.Comparator.comparingLong(Outcome::getFirst));
        return shown(sorted);
    }

    static dev.stagewire.v1.Record record(String key, String payload) {
        return record(key, payload, 0);
    }

    /** With an event time in seconds; 0: none. Its id is made of key and payload. */
    static dev.stagewire.v1.Record record(String key, String payload, double seconds) {
        byte[] id = new byte[16];
        byte[] text = (key + "/" + payload + "/" + seconds).getBytes(StandardCharsets.UTF_8);
        for (int i = 0; i < text.length; i++) {
            id[i % 16] = (byte) (31 * id[i % 16] + text[i]);
        }
        return dev.stagewire.v1.Record.newBuilder()
                .setLineage(dev.stagewire.v1.Lineage.newBuilder().setId(ByteString.copyFrom(id)))
                .setHeader(Header.newBuilder().setKey(ByteString.copyFromUtf8(key)).setEventTime((long) (seconds * 1e6)))
                .setPayload(ByteString.copyFromUtf8(payload)).build();
    }

    static String payload(Outcome outcome, int emission) {
        return outcome.getEmissions(emission).getOutput().getPayload().toStringUtf8();
    }
}
