package dev.stagewire;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import com.google.protobuf.ByteString;
import dev.stagewire.Vectors.Vector;
import dev.stagewire.v1.Attribute;
import dev.stagewire.v1.Deliver;
import dev.stagewire.v1.Emission;
import dev.stagewire.v1.Envelope;
import dev.stagewire.v1.Error;
import dev.stagewire.v1.Header;
import dev.stagewire.v1.Outcome;
import dev.stagewire.v1.OutcomeKind;
import dev.stagewire.v1.Range;
import dev.stagewire.v1.Run;
import dev.stagewire.v1.Welcome;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.LongStream;
import org.junit.Test;

/** What the library reads and writes against the golden vectors: bytes, and what they mean. */
public class GoldenTest {
    private static final int LIMIT = Limits.CEILING_FRAME;

    // ---- Reading ----

    @Test
    public void readsWhatABrokerSends() throws Exception {
        for (Vector each : Vectors.of("frames-to-worker")) {
            List<byte[]> frames = new ArrayList<>();
            assertEquals(each.name(), "", read(each.bytes(), LIMIT, each.bytes().length, frames));
            assertEquals(each.name(), 1, frames.size());
            expectFrame(each.name(), each.envelope(), frames.get(0));
        }
    }

    private static void expectFrame(String name, Envelope meant, byte[] frame) throws IOException {
        if (!meant.hasDeliver()) {
            assertEquals(name, meant, Vectors.known(Envelope.parseFrom(frame)));
            return;
        }
        Deliver deliver = meant.getDeliver();
        Edge[] edges = {new Edge(FakeBroker.input(dev.stagewire.v1.Ordering.ORDERING_KEY).setNumber(deliver.getInput()).build(), 1)};
        Scan scan = new Scan(frame, 0, frame.length);
        while (scan.next() && scan.field != 8) {
            // Up to the Deliver.
        }
        Incoming incoming = Incoming.scan(frame, scan.start, scan.length, edges, 0);
        assertEquals(name, deliver.getRecordsCount(), incoming.count);
        long size = 0;
        for (int i = 0; i < incoming.count; i++) {
            StageRecord record = incoming.take();
            assertEquals(name, deliver.getFirstDelivery() + i, record.delivery);
            assertEquals(name, deliver.getAttemptsCount() == 0 ? 1 : deliver.getAttempts(i), record.attempt());
            expectRecord(name, deliver.getRecords(i), record);
            size += record.size;
        }
        assertEquals(name, size, incoming.size);
    }

    /** Compares what a handler sees with what was delivered. */
    private static void expectRecord(String name, dev.stagewire.v1.Record meant, StageRecord record) {
        Header header = meant.getHeader();
        assertArrayEquals(name, meant.getPayload().toByteArray(), record.payload());
        assertArrayEquals(name, header.getKey().toByteArray(), record.keyBytes());
        assertEquals(name, header.getSchema(), record.schema());
        assertEquals(name, header.getSchemaVersion(), record.schemaVersion());
        assertEquals(name, header.getContentType(), record.contentType());
        assertEquals(name, header.getEventTime(), record.eventMicros());
        assertEquals(name, header.getEventTime() == 0, record.eventTime() == null);
        assertEquals(name, values(header), record.attributes());
        expectLineage(name, meant.getLineage(), record);
    }

    /** Attributes by name: the first of two counts, one without a value is absent (RE-2). */
    private static Map<String, Object> values(Header header) {
        Map<String, Object> result = new LinkedHashMap<>();
        for (Attribute each : header.getAttributesList()) {
            if (each.getValueCase() != Attribute.ValueCase.VALUE_NOT_SET) {
                result.putIfAbsent(each.getName(), each.getField(
                        Attribute.getDescriptor().findFieldByNumber(each.getValueCase().getNumber())));
            }
        }
        return result;
    }

    private static void expectLineage(String name, dev.stagewire.v1.Lineage meant, StageRecord record) {
        if (meant.getSerializedSize() == 0) {
            return;
        }
        record.runs = new Runs();
        meant.getHopsList().forEach(hop -> record.runs.add(dev.stagewire.v1.Runs.newBuilder()
                .addRuns(Run.newBuilder().setNumber(hop.getRun()).setStage("stage " + hop.getRun())).build()));
        Lineage got = record.lineage();
        assertEquals(name, hex(meant.getId()), got.id());
        assertEquals(name, got.id(), record.id());
        assertEquals(name, hex(meant.getRoot().isEmpty() ? meant.getId() : meant.getRoot()), got.root());
        assertEquals(name, meant.getParentsList().stream().map(GoldenTest::hex).toList(), got.parents());
        assertEquals(name, meant.getParentsTruncated(), got.parentsTruncated());
        assertEquals(name, Times.instant(meant.getIngestTime()), got.ingestTime());
        assertEquals(name, meant.getTrace().getTraceparent() + " " + meant.getTrace().getTracestate(),
                got.traceparent() + " " + got.tracestate());
        assertEquals(name, meant.getHopsList().stream().map(hop -> new Lineage.Hop("stage " + hop.getRun(), "", "", "",
                Times.instant(meant.getIngestTime() + hop.getDelta()), Math.max(1, hop.getAttempt()))).toList(), got.hops());
    }

    private static String hex(ByteString id) {
        return java.util.HexFormat.of().formatHex(id.toByteArray());
    }

    // ---- Streams ----

    @Test
    public void readsStreamsInWhateverPieces() throws Exception {
        for (Vector each : Vectors.of("splits")) {
            int limit = ((Long) each.members().get("limit")).intValue();
            List<?> expected = (List<?>) each.members().get("frames");
            for (int piece : new int[] {1, 3, 1000, 1 << 20}) {
                String what = each.name() + " by " + piece;
                List<byte[]> frames = new ArrayList<>();
                String end = read(each.bytes(), limit, piece, frames);
                Object code = each.mapping("invalid").get("code");
                // A frame of length 0 is read as one without anything in it; a session refuses its version.
                boolean empty = "MALFORMED_FRAME".equals(code);
                assertEquals(what, empty || code == null ? "" : code, end);
                assertTrue(what, empty ? frames.get(expected.size()).length == 0 : frames.size() == expected.size());
                for (int i = 0; i < expected.size(); i++) {
                    Envelope.Builder meant = Envelope.newBuilder();
                    Vectors.fill(meant, (Map<?, ?>) ((Map<?, ?>) expected.get(i)).get("json"));
                    expectFrame(what, meant.build(), frames.get(i));
                }
            }
        }
    }

    /** Reads all frames of a stream that comes in pieces; the code with which it is refused, or nothing. */
    private static String read(byte[] bytes, int limit, int piece, List<byte[]> frames) throws Exception {
        return piped((connection, peer) -> {
            Thread writer = Session.daemon(() -> {
                try (peer) {
                    for (int at = 0; at < bytes.length; at += piece) {
                        ByteBuffer part = ByteBuffer.wrap(bytes, at, Math.min(piece, bytes.length - at));
                        while (part.hasRemaining()) {
                            peer.write(part);
                        }
                    }
                } catch (IOException refused) {
                    // The reader has seen enough.
                }
            }, "test-writer");
            writer.start();
            try {
                for (byte[] frame = connection.read(limit); frame != null; frame = connection.read(limit)) {
                    frames.add(frame);
                }
                return "";
            } catch (Connection.TooLarge tooLarge) {
                return "FRAME_TOO_LARGE";
            } finally {
                connection.close();
                writer.join();
            }
        });
    }

    private interface Piped<T> {
        T run(Connection connection, SocketChannel peer) throws Exception;
    }

    private static <T> T piped(Piped<T> body) throws Exception {
        Path directory = Files.createTempDirectory("stagewire");
        Path socket = directory.resolve("s");
        try (ServerSocketChannel server = ServerSocketChannel.open(java.net.StandardProtocolFamily.UNIX)) {
            server.bind(java.net.UnixDomainSocketAddress.of(socket));
            try (Connection connection = Connection.open(socket); SocketChannel peer = server.accept()) {
                return body.run(connection, peer);
            }
        } finally {
            Files.deleteIfExists(socket);
            Files.deleteIfExists(directory);
        }
    }

    // ---- Writing ----

    private interface Writer {
        void write(Connection connection) throws Exception;
    }

    private static byte[] written(Writer writer) throws Exception {
        return piped((connection, peer) -> {
            java.io.ByteArrayOutputStream all = new java.io.ByteArrayOutputStream();
            Thread reader = Session.daemon(() -> {
                ByteBuffer part = ByteBuffer.allocate(1 << 16);
                try {
                    while (peer.read(part) >= 0) {
                        all.write(part.array(), 0, part.position());
                        part.clear();
                    }
                } catch (IOException gone) {
                    // That is an end, too.
                }
            }, "test-reader");
            reader.start();
            writer.write(connection);
            connection.close();
            reader.join();
            return all.toByteArray();
        });
    }

    @Test
    public void writesWhatIsRare() throws Exception {
        Map<Envelope.MessageCase, Integer> met = new TreeMap<>();
        for (Vector each : Vectors.of("frames-to-broker")) {
            Envelope meant = each.envelope();
            if (!each.says("canonical") || meant.getVersion() != 1000 || meant.hasSettle() || meant.hasEmit()
                    || meant.getMessageCase() == Envelope.MessageCase.MESSAGE_NOT_SET) {
                continue;
            }
            met.merge(meant.getMessageCase(), 1, Integer::sum);
            assertArrayEquals(each.name(), each.bytes(), written(connection -> {
                switch (meant.getMessageCase()) {
                    case CREDIT -> connection.credit(meant.getCredit().getNumber(), meant.getCredit().getRecords(), meant.getCredit().getBytes());
                    case CLOSE -> connection.sendClose(meant.getClose().getCode(), meant.getClose().getMessage());
                    default -> connection.send(meant.toBuilder().clearVersion());
                }
            }));
        }
        assertEquals(met.toString(), 8, met.size());
    }

    private static Ports ports() {
        Welcome.Builder welcome = Welcome.newBuilder().setMaxRecord(1 << 20).setStampReserve(1005).setMaxStepRecords(4096)
                .setMaxStepBytes(1 << 20);
        for (int i = 0; i < 4; i++) {
            welcome.addOutputs(dev.stagewire.v1.Output.newBuilder().setNumber(i).setPort("" + i));
        }
        Ports ports = new Ports(welcome.build());
        for (int i = 0; i < 4; i++) {
            ports.raise(i, 1 << 20, 1 << 30);
        }
        return ports;
    }

    @Test
    public void writesSettles() throws Exception {
        int met = 0;
        for (Vector each : Vectors.of("frames-to-broker")) {
            Envelope meant = each.envelope();
            if (meant.getSettle().getOutcomesCount() == 0 || !meant.getSettle().getOutcomesList().stream().allMatch(GoldenTest::isSayable)) {
                continue;
            }
            met++;
            byte[] frame = written(connection -> {
                Ports ports = ports();
                Settler settler = new Settler(connection, ports, 1 << 22, new Confirmations(failure -> { }));
                meant.getSettle().getOutcomesList().forEach(outcome -> settle(settler, new Step(ports, 4), outcome));
                settler.flush();
            });
            int length = ByteBuffer.wrap(frame).getInt();
            Envelope got = Envelope.parser().parseFrom(frame, 4, length);
            assertEquals(each.name(), 1000, got.getVersion());
            assertEquals(each.name(), meaning(meant.getSettle().getOutcomesList()), meaning(got.getSettle().getOutcomesList()));
        }
        assertTrue("" + met, met > 20);
    }

    /** Whether a handler can have said it: outputs are always written, errors only with their verdicts. */
    private static boolean isSayable(Outcome outcome) {
        boolean failed = outcome.getKind() == OutcomeKind.OUTCOME_KIND_REJECTED || outcome.getKind() == OutcomeKind.OUTCOME_KIND_RETRY;
        return outcome.hasError() == failed && (failed || outcome.getDelayMs() == 0)
                && outcome.getError().getMessage().length() <= Limits.TEXT / 2
                && outcome.getEmissionsList().stream().allMatch(Emission::hasOutput);
    }

    private static void settle(Settler settler, Step step, Outcome outcome) {
        List<StageRecord> records = new ArrayList<>();
        for (long id : ids(outcome)) {
            records.add(new StageRecord(new byte[0], 0, 0, id, 1, null, 0));
        }
        step.begin(records);
        outcome.getEmissionsList().forEach(emission -> step.emit(output(emission, records)));
        Error error = outcome.getError();
        Verdict verdict = switch (outcome.getKind()) {
            case OUTCOME_KIND_REJECTED -> Verdict.reject(error.getCode(), error.getMessage());
            case OUTCOME_KIND_RETRY -> Verdict.retry(Duration.ofMillis(Integer.toUnsignedLong(outcome.getDelayMs())), error.getCode(), error.getMessage());
            case OUTCOME_KIND_RELEASED -> Verdict.release();
            default -> null;
        };
        if (verdict == null) {
            settler.accept(Ids.of(records), step, 1);
        } else {
            settler.refuse(Ids.of(records), error.getIndefinite() ? verdict.indefinite() : verdict, 1);
        }
    }

    private static List<Long> ids(Outcome outcome) {
        List<Range> ranges = new ArrayList<>();
        ranges.add(Range.newBuilder().setFirst(outcome.getFirst()).setLast(outcome.getLast()).build());
        ranges.addAll(outcome.getMoreList());
        return ranges.stream().flatMap(each -> LongStream.rangeClosed(0, Math.max(0, each.getLast() == 0 ? 0 : each.getLast() - each.getFirst()))
                .mapToObj(i -> each.getFirst() + i)).toList();
    }

    /** What is settled, however neighbours without emissions are put into outcomes; steps and verdicts stay what they are. */
    private static List<Object> meaning(List<Outcome> outcomes) {
        List<Object> result = new ArrayList<>();
        for (Outcome each : outcomes) {
            Outcome.Builder said = Vectors.known(each).toBuilder().clearFirst().clearLast().clearMore();
            said.getEmissionsBuilderList().forEach(emission -> emission.setOutput(emission.getOutput())); // absent: empty (ST-4)
            if (each.getKind() == OutcomeKind.OUTCOME_KIND_ACCEPTED && each.getEmissionsCount() == 0) {
                ids(each).forEach(id -> result.add(List.of(List.of(id), said.build())));
            } else {
                result.add(List.of(ids(each), said.build()));
            }
        }
        return result;
    }

    private static Output output(Emission emission, List<StageRecord> records) {
        Output output = output(emission.getOutput()).port("" + emission.getPort());
        if (emission.hasTrace()) {
            output.trace(emission.getTrace().getTraceparent(), emission.getTrace().getTracestate());
        }
        return output.parents(emission.getParentsList().stream()
                .map(id -> records.stream().filter(each -> each.delivery == id).findFirst().orElseThrow()).toList());
    }

    private static Output output(dev.stagewire.v1.Record record) {
        Header header = record.getHeader();
        Output output = Output.of(record.getPayload().toByteArray()).schema(header.getSchema(), header.getSchemaVersion())
                .key(header.getKey().toByteArray()).eventMicros(header.getEventTime()).contentType(header.getContentType());
        values(header).forEach(output::attribute);
        return output;
    }

    @Test
    public void writesEmits() throws Exception {
        int met = 0;
        for (Vector each : Vectors.of("frames-to-broker")) {
            dev.stagewire.v1.Emit meant = each.envelope().getEmit();
            if (!each.envelope().hasEmit() || !meant.getEmissionsList().stream().allMatch(Emission::hasOutput)) {
                continue;
            }
            met++;
            List<String> ports = List.of("out", "side");
            List<Output> outputs = meant.getEmissionsList().stream()
                    .map(emission -> output(emission, List.of()).port(ports.get(emission.getPort()))).toList();
            Stage stage = Stage.source(source -> source.claim(meant.getPartition()).emit(outputs, meant.getCheckpoint().toByteArray()));
            try (FakeBroker broker = new FakeBroker().source().start(stage)) {
                FakeBroker.Peer peer = broker.attach();
                assertEquals(each.name(), meant.getPartition(), peer.next(Envelope::hasClaim).getClaim().getPartition());
                peer.send(Envelope.newBuilder().setClaimed(dev.stagewire.v1.Claimed.newBuilder()
                        .setPartition(meant.getPartition()).setEpoch(1).setLastEmitId(meant.getEmitId() - 1)));
                byte[] got = peer.next(Envelope::hasEmit).toByteArray();
                assertArrayEquals(each.name(), Arrays.copyOfRange(each.bytes(), 4, each.bytes().length), got);
                assertEquals(each.name(), meant.getPartition(), peer.next(Envelope::hasFinished).getFinished().getPartition());
            }
        }
        assertTrue("" + met, met > 4);
    }

    @Test
    public void outputsAreRecords() throws Exception {
        int met = 0;
        for (Vector each : Vectors.of("outputs-valid")) {
            dev.stagewire.v1.Record meant = each.record();
            StageRecord record = new StageRecord(each.bytes(), 0, each.bytes().length, 1, 1, null, 0);
            assertArrayEquals(each.name(), Vectors.bytes(each.members().get("key")), record.keyBytes());
            expectRecord(each.name(), meant, record);
            // What is passed on has the header's very bytes, unknown fields included.
            dev.stagewire.v1.Record passedOn = dev.stagewire.v1.Record.parseFrom(record.output().encode());
            assertEquals(each.name(), dev.stagewire.v1.Record.parseFrom(each.bytes()).getHeader(), passedOn.getHeader());
            assertEquals(each.name(), meant.getPayload(), passedOn.getPayload());
            boolean whole = values(meant.getHeader()).size() == meant.getHeader().getAttributesCount()
                    && meant.hasHeader() == meant.getHeader().getSerializedSize() > 0;
            if (each.says("canonical") && whole) {
                met++;
                assertArrayEquals(each.name(), each.bytes(), output(meant).encode());
            }
        }
        assertTrue("" + met, met > 9);
    }

    // ---- Ends ----

    private static final Map<Integer, String> NAMES = names();

    private static Map<Integer, String> names() {
        try {
            Map<Integer, String> result = new HashMap<>();
            for (String line : Files.readAllLines(Path.of("../../docs/PROTOCOL.md"))) {
                if (line.matches("\\| [0-9]+ \\| [A-Z_]+ \\|.*")) {
                    result.put(Integer.parseInt(line.split(" ")[1]), line.split(" ")[3]);
                }
            }
            return result;
        } catch (IOException gone) {
            throw new java.io.UncheckedIOException(gone);
        }
    }

    /** Sends the bytes of a vector and no more; the names of the codes that the worker closes with. */
    private static String tell(FakeBroker broker, Vector each) throws IOException {
        FakeBroker.Peer peer = "greeting".equals(each.members().get("state")) ? broker.accept() : broker.attach();
        List<String> said = new ArrayList<>();
        try {
            peer.raw(each.bytes());
            peer.channel.shutdownOutput();
            while (true) {
                Envelope envelope = peer.receive();
                if (envelope.hasClose()) {
                    assertTrue(each.name(), !envelope.getClose().getMessage().isEmpty());
                    said.add(NAMES.get(envelope.getClose().getCode()));
                }
            }
        } catch (IOException over) {
            peer.channel.close();
        }
        return String.join(", ", said);
    }

    private static FakeBroker broker() throws Exception {
        return new FakeBroker().transform(dev.stagewire.v1.Ordering.ORDERING_KEY).start(Stage.sink(record -> { }));
    }

    @Test
    public void endsAsTheBrokerSays() throws Exception {
        for (Vector each : Vectors.of("exit-codes")) {
            try (FakeBroker broker = broker()) {
                String said = tell(broker, each);
                boolean retryable = each.says("retryable");
                int code = retryable ? Envelope.parser().parseFrom(each.bytes(), 4, each.bytes().length - 4).getClose().getCode() : 0;
                // Nobody starts this broker again with this worker in it.
                boolean again = retryable && code != Codes.SHUTTING_DOWN && code != Codes.DRAIN_DEADLINE;
                if (again) {
                    broker.attach().finish(); // profile reconnect: it comes again, and ends as the broker then says
                }
                long exit = again ? 0 : (Long) each.members().get("exit");
                assertEquals(each.name() + ": " + broker.errors(), exit, broker.exitCode());
                assertEquals(each.name(), each.members().containsKey("closes") ? each.members().get("closes") : "", said);
                String sentence = each.envelope().getClose().getMessage();
                if (exit == 2 && sentence.length() < 1000 && sentence.chars().noneMatch(Character::isISOControl)) {
                    assertTrue(each.name() + ": " + broker.errors(), broker.errors().contains(sentence));
                }
                assertTrue(each.name(), broker.errors().lines().allMatch(line -> line.chars().noneMatch(Character::isISOControl)));
            }
        }
    }

    @Test
    public void refusesWhatNoBrokerSends() throws Exception {
        int met = 0;
        for (Vector each : Vectors.of("frames-invalid")) {
            if (!"worker".equals(each.mapping("invalid").get("by"))) {
                continue;
            }
            met++;
            try (FakeBroker broker = broker()) {
                String said = tell(broker, each);
                int exit = broker.exitCode();
                if (each.mapping("invalid").containsKey("or")) { // refused with some code, or taken, and then the broker is gone
                    assertTrue(each.name() + ": " + exit + " " + said, exit == (said.isEmpty() ? 1 : 2));
                } else {
                    assertEquals(each.name(), each.mapping("invalid").get("code") + " 2", said + " " + exit);
                }
            }
        }
        assertTrue("" + met, met > 10);
    }
}
