package dev.stagewire;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import org.junit.Test;

/** The worked frames of PROTOCOL.md, byte for byte. */
public class VectorsTest {
    private static byte[] vector(String name) throws IOException {
        StringBuilder hex = new StringBuilder();
        for (String line : Files.readAllLines(Path.of("../../conformance/vectors/worked", name + ".hex"))) {
            hex.append(line.replaceAll("[#;].*", "").replaceAll("\\s", ""));
        }
        return HexFormat.of().parseHex(hex);
    }

    /** What a connection has written. */
    private static byte[] written(java.util.function.Consumer<Connection> writer) throws IOException {
        Path directory = Files.createTempDirectory("stagewire");
        Path socket = directory.resolve("s");
        try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            server.bind(UnixDomainSocketAddress.of(socket));
            Connection connection = Connection.open(socket);
            try (SocketChannel peer = server.accept()) {
                writer.accept(connection);
                connection.close();
                ByteBuffer all = ByteBuffer.allocate(1 << 16);
                while (peer.read(all) >= 0) {
                    // Until the end.
                }
                return java.util.Arrays.copyOf(all.array(), all.position());
            }
        } finally {
            Files.deleteIfExists(socket);
            Files.deleteIfExists(directory);
        }
    }

    private static Ports ports(String name) throws IOException {
        byte[] frame = vector(name);
        return new Ports(dev.stagewire.v1.Envelope.parser().parseFrom(frame, 4, frame.length - 4).getWelcome());
    }

    @Test
    public void readsADelivery() throws IOException {
        byte[] frame = vector("04-deliver");
        dev.stagewire.v1.Input input = FakeBroker.input(dev.stagewire.v1.Ordering.ORDERING_KEY).build();
        Edge[] edges = {new Edge(input, 1 << 20)};
        Incoming incoming = Incoming.scan(frame, 9, frame.length - 9, edges, 0);
        assertEquals(97, incoming.size);
        StageRecord record = incoming.take();
        assertEquals(1, record.delivery);
        assertEquals("ad0463b0d8404c62c36d38447d3c52ab", record.id());
        assertEquals("sensor.raw 1 sensor-7 text/plain 21.5 {unit=C}", record.schema() + " " + record.schemaVersion() + " "
                + record.key() + " " + record.contentType() + " " + record.text() + " " + record.attributes());
        assertEquals("2025-12-31T23:59:59Z", record.eventTime().toString());
    }

    @Test
    public void writesASettle() throws IOException {
        Ports ports = ports("02-welcome");
        ports.raise(0, 1, 1053); // exactly what the text says that it costs
        byte[] written = written(connection -> {
            Settler settler = new Settler(connection, ports, 1 << 20, new Confirmations(failure -> { }));
            Step step = new Step(ports, 4);
            step.emit(Output.of("294.65").schema("sensor.clean", 2).key("sensor-7").contentType("text/plain"));
            settler.accept(1, step, 0);
            settler.flush();
        });
        assertArrayEquals(vector("05-settle"), written);
    }

    /** Neighbours without emissions share an outcome, and all of it goes in one frame. */
    @Test
    public void settlesInRanges() throws IOException {
        Ports ports = ports("02-welcome");
        byte[] written = written(connection -> {
            Settler settler = new Settler(connection, ports, 1 << 20, new Confirmations(failure -> { }));
            Step nothing = new Step(ports, 4);
            for (long id : new long[] {1, 2, 3, 7, 8}) {
                settler.accept(id, nothing, 1);
            }
            Ids rejected = new Ids();
            rejected.add(9);
            settler.refuse(rejected, Verdict.reject(1001, "no"), 1);
            settler.accept(10, nothing, 1);
            settler.flush();
        });
        var settle = dev.stagewire.v1.Envelope.parser().parseFrom(written, 4, written.length - 4).getSettle();
        assertEquals(List.of("1-3", "7-8", "9-0", "10-0"), settle.getOutcomesList().stream()
                .map(each -> each.getFirst() + "-" + each.getLast()).toList());
    }

    @Test
    public void writesAnEmit() throws IOException {
        Ports ports = ports("02-welcome");
        Step step = new Step(ports, 3);
        step.emit(Output.of("21.5").schema("sensor.raw", 1).key("sensor-7").eventMicros(1767225599000000L)
                .contentType("text/plain").attribute("unit", "C"));
        assertEquals(1069, step.bytes[0]);
        byte[] written = written(connection -> {
            Buffer head = new Buffer(64);
            head.text(1, "readings.csv");
            head.number(2, 1);
            Buffer tail = new Buffer(64);
            tail.field(4, "line 2".getBytes());
            connection.append(10, head, step.emissions, tail);
            connection.flush();
        });
        assertArrayEquals(vector("06-emit"), written);
    }

    @Test
    public void writesACreditAndAClose() throws IOException {
        assertArrayEquals(vector("03-credit"), written(connection -> connection.credit(0, 256, 2097152)));
        assertArrayEquals(vector("08-close"),
                written(connection -> connection.sendClose(200, "no stage normalize; did you mean normalise?")));
    }

    /** Every kind and size of attribute, against protobuf's own encoding. */
    @Test
    public void writesHeadersAsProtobufDoes() throws IOException {
        for (Object value : List.of("", "ü€😀", 0L, -1L, Long.MIN_VALUE, Long.MAX_VALUE, 0.0, -0.5, Double.NaN, true, false,
                "x".repeat(5000))) {
            for (String name : List.of("", "n", "ü".repeat(70))) {
                byte[] ours = new Output().key("k").eventMicros(-1).schema("s", -1).attribute(name, value).payload(new byte[300]).encode();
                var attribute = dev.stagewire.v1.Attribute.newBuilder().setName(name);
                if (value instanceof String text) {
                    attribute.setText(text);
                } else if (value instanceof Long integer) {
                    attribute.setInteger(integer);
                } else if (value instanceof Double number) {
                    attribute.setNumber(number);
                } else {
                    attribute.setFlag((Boolean) value);
                }
                byte[] theirs = dev.stagewire.v1.Record.newBuilder().setHeader(dev.stagewire.v1.Header.newBuilder()
                        .setKey(com.google.protobuf.ByteString.copyFromUtf8("k")).setEventTime(-1).setSchema("s")
                        .setSchemaVersion(-1).addAttributes(attribute))
                        .setPayload(com.google.protobuf.ByteString.copyFrom(new byte[300])).build().toByteArray();
                assertArrayEquals(name + "=" + value, theirs, ours);
            }
        }
    }
}
