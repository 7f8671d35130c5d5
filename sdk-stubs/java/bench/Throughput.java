package dev.stagewire;

import dev.stagewire.v1.Credit;
import dev.stagewire.v1.Envelope;
import dev.stagewire.v1.Input;
import dev.stagewire.v1.Ordering;
import dev.stagewire.v1.Welcome;
import java.io.IOException;
import java.io.InputStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** Records of 100 bytes through a worker in a process of its own, against a broker that does nothing. See bench.sh. */
public final class Throughput {
    private static final int FRAME = 1000;
    private static final int WARM = 2_000_000;

    private Throughput() {}

    /** What the worker does: `copy`, `upper`, `json`, `sink`, `ordered`. */
    static Stage stage(String name) {
        return switch (name) {
            case "copy" -> Stage.transform((record, out) -> out.emit(record.output()));
            case "ordered" -> Stage.transform((record, out) -> out.emit(record.output())).workers(4);
            case "upper" -> Stage.transform((record, out) -> out.emit(record.output()
                    .text(record.text().toUpperCase(Locale.ROOT)).attribute("seen", true)));
            case "json" -> Stage.transform((record, out) -> out.emit(record.output().json(record.json())));
            default -> Stage.sink(record -> record.payloadSize());
        };
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("worker")) {
            stage(arguments[1]).run();
        }
        for (String name : new String[] {"copy", "ordered", "upper", "json", "sink"}) {
            measure(name, Integer.parseInt(arguments[0]));
        }
    }

    private static void measure(String name, int records) throws Exception {
        Path directory = Files.createTempDirectory("stagewire");
        Path socket = directory.resolve("s");
        try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            server.bind(UnixDomainSocketAddress.of(socket));
            ProcessBuilder builder = new ProcessBuilder(ProcessHandle.current().info().command().orElse("java"), "-XX:+UseSerialGC",
                    "-Xmx256m", "-cp", System.getProperty("java.class.path"), "dev.stagewire.Throughput", "worker", name).inheritIO();
            builder.environment().put("STAGEWIRE_SOCKET", socket.toString());
            builder.environment().put("STAGEWIRE_STAGE", "bench");
            builder.environment().put("STAGEWIRE_TOKEN", "00");
            Process worker = builder.start();
            try (SocketChannel channel = server.accept()) {
                new Broker(channel, records).run(name, worker);
            }
            worker.waitFor();
        } finally {
            Files.deleteIfExists(socket);
            Files.deleteIfExists(directory);
        }
    }

    private static final class Broker {
        private final SocketChannel channel;
        private final InputStream in;
        private final int records;
        private long granted;
        private long sent;
        private long settled;

        Broker(SocketChannel channel, int records) {
            this.channel = channel;
            this.in = new java.io.BufferedInputStream(Channels.newInputStream(channel), 1 << 18);
            this.records = records;
        }

        private byte[] read() throws IOException {
            return in.readNBytes(ByteBuffer.wrap(in.readNBytes(4)).getInt());
        }

        private void write(Envelope.Builder envelope) throws IOException {
            byte[] body = envelope.setVersion(1000).build().toByteArray();
            channel.write(ByteBuffer.allocate(4 + body.length).putInt(body.length).put(body).flip());
        }

        void run(String name, Process worker) throws Exception {
            read();
            write(Envelope.newBuilder().setWelcome(Welcome.newBuilder().setVersion(1000).setMaxFrame(4 << 20).setMaxRecord(1 << 20)
                    .setStampReserve(1005).setMaxStepRecords(4096).setMaxStepBytes(1 << 20).setLeaseMs(30_000)
                    .addInputs(Input.newBuilder().setStage("in").setPort("out").setOrdering(Ordering.ORDERING_KEY)
                            .setMaxUnsettledRecords(4096).setMaxUnsettledBytes(4 << 20))
                    .addOutputs(dev.stagewire.v1.Output.newBuilder().setPort("out"))));
            write(Envelope.newBuilder().setCredit(Credit.newBuilder().setRecords(1L << 50).setBytes(1L << 60)));
            byte[] payloads = payloads();
            Session.daemon(() -> deliver(payloads), "deliver").start();
            until(WARM);
            long begun = System.nanoTime();
            long cpu = cpu(worker);
            until(WARM + records);
            double seconds = (System.nanoTime() - begun) / 1e9;
            System.out.printf("%-8s %,12.0f records/s  %6.2f us CPU each%n", name, records / seconds, (cpu(worker) - cpu) / 1e3 / records);
            write(Envelope.newBuilder().setClose(dev.stagewire.v1.Close.getDefaultInstance()));
        }

        private static long cpu(Process worker) {
            return worker.info().totalCpuDuration().orElseThrow().toNanos();
        }

        /** A frame's records: ten keys, and JSON of 100 bytes. */
        private static byte[] payloads() {
            Buffer all = new Buffer(1 << 17);
            for (int i = 0; i < FRAME; i++) {
                String text = String.format("{\"sensor\":\"sensor-%d\",\"celsius\":%d.5,\"at\":\"2026-01-05T10:30:00Z\",\"note\":\"", i % 10, i % 40);
                text += "x".repeat(98 - text.length()) + "\"}";
                Buffer record = new Buffer(256);
                record.field(1, new byte[48]); // about what a lineage has; nobody looks into it here
                record.raw(new Output().key("sensor-" + i % 10).contentType("application/json").text(text).encode());
                all.field(4, record.copy());
            }
            return all.copy();
        }

        private void deliver(byte[] payloads) {
            try {
                while (sent < WARM + records) {
                    synchronized (this) {
                        while (granted < sent + FRAME) {
                            wait();
                        }
                    }
                    Buffer head = new Buffer(16);
                    head.number(2, sent + 1);
                    Buffer frame = new Buffer(payloads.length + 64);
                    int body = head.size + payloads.length;
                    frame.int32BigEndian(3 + Buffer.fieldSize(body));
                    frame.number(1, 1000);
                    frame.head(8, body);
                    frame.raw(head.bytes, 0, head.size);
                    frame.raw(payloads);
                    ByteBuffer bytes = ByteBuffer.wrap(frame.bytes, 0, frame.size);
                    while (bytes.hasRemaining()) {
                        channel.write(bytes);
                    }
                    sent += FRAME;
                }
            } catch (IOException | InterruptedException over) {
                System.err.println("deliver: " + over);
            }
        }

        private void until(long count) throws IOException {
            while (settled < count) {
                byte[] bytes = read();
                Scan envelope = new Scan(bytes, 0, bytes.length);
                while (envelope.next()) {
                    if (envelope.field == 7) {
                        synchronized (this) {
                            granted = Envelope.parseFrom(bytes).getCredit().getRecords();
                            notifyAll();
                        }
                    } else if (envelope.field == 9) {
                        outcomes(new Scan(bytes, envelope.start, envelope.length), bytes);
                    }
                }
            }
        }

        private void outcomes(Scan settle, byte[] bytes) {
            while (settle.next()) {
                Scan outcome = new Scan(bytes, settle.start, settle.length);
                long first = 0;
                long last = 0;
                while (outcome.field < 3 && outcome.next()) {
                    first = outcome.field == 1 ? outcome.value : first;
                    last = outcome.field == 2 ? outcome.value : last;
                }
                settled += Math.max(first, last) - first + 1;
            }
        }
    }
}
