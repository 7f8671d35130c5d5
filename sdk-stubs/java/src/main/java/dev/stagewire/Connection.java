package dev.stagewire;

import dev.stagewire.v1.Close;
import dev.stagewire.v1.Envelope;
import java.io.IOException;
import java.net.StandardSocketOptions;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;

/**
 * Frames over one Unix socket. One thread reads; any may write. What is written is collected, and one system call sends
 * it at {@link #flush}, or when there is much of it. A failed write is silent: the reader then finds the end, and perhaps
 * the Close that says why.
 */
final class Connection implements AutoCloseable {
    /** A length above the limit in force, which is refused before anything is allocated for it (FR-4). */
    static final class TooLarge extends IOException {
        private static final long serialVersionUID = 1;

        TooLarge(long length, int limit) {
            super("a frame of " + length + " bytes; " + limit + " are allowed. Is this a Stagewire socket?");
        }
    }

    private static final int VERSION = 1000;
    private final SocketChannel channel;
    private final ByteBuffer in = ByteBuffer.allocateDirect(256 * 1024).flip();
    private final Buffer out = new Buffer(2 * Limits.BATCH);
    private int version = VERSION;
    /** Nothing more may be written: a Close was, or the peer is gone. */
    private boolean silent;

    private Connection(SocketChannel channel) {
        this.channel = channel;
    }

    static Connection open(Path socket) throws IOException {
        SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(socket));
        try {
            channel.setOption(StandardSocketOptions.SO_SNDBUF, Limits.SEND_BUFFER);
        } catch (IOException | UnsupportedOperationException refused) {
            // Without it everything is as right, only slower.
        }
        return new Connection(channel);
    }

    /** The next frame's Envelope; null at the end of the stream. For one thread only. */
    byte[] read(int limit) throws IOException {
        while (in.remaining() < Limits.PREFIX) {
            if (!more()) {
                return null;
            }
        }
        int length = in.getInt();
        if (Integer.compareUnsigned(length, limit) > 0) {
            throw new TooLarge(Integer.toUnsignedLong(length), limit);
        }
        byte[] frame = new byte[length];
        int have = Math.min(length, in.remaining());
        in.get(frame, 0, have);
        ByteBuffer rest = ByteBuffer.wrap(frame, have, length - have);
        while (rest.remaining() > in.capacity() / 2) { // a large frame needs no copy
            if (channel.read(rest) < 0) {
                return null;
            }
        }
        while (rest.hasRemaining()) {
            if (!in.hasRemaining() && !more()) {
                return null;
            }
            int part = Math.min(rest.remaining(), in.remaining());
            in.get(frame, rest.position(), part);
            rest.position(rest.position() + part);
        }
        return frame;
    }

    private boolean more() throws IOException {
        in.compact();
        int read = channel.read(in);
        in.flip();
        return read >= 0;
    }

    /** From now on the version that Welcome has chosen stands in every Envelope (VR-1). */
    synchronized void speak(int chosen) {
        version = chosen;
    }

    /** Writes a small message at once. */
    synchronized void send(Envelope.Builder message) {
        byte[] body = message.setVersion(version).build().toByteArray();
        out.int32BigEndian(body.length);
        out.raw(body);
        flush();
    }

    synchronized void credit(int number, long records, long bytes) {
        send(Envelope.newBuilder().setCredit(dev.stagewire.v1.Credit.newBuilder()
                .setNumber(number).setRecords(records).setBytes(bytes)));
    }

    /** Appends a frame whose message is field `kind` with the bytes of the given parts; sent with the next flush. */
    synchronized void append(int kind, Buffer... parts) {
        int length = 0;
        for (Buffer part : parts) {
            length = Math.addExact(length, part.size);
        }
        int body = Buffer.fieldSize(length);
        out.int32BigEndian(1 + Buffer.varintSize(version) + body + (kind > 15 ? 1 : 0));
        out.number(1, version);
        out.head(kind, length);
        for (Buffer part : parts) {
            out.raw(part.bytes, 0, part.size);
        }
        if (out.size > Limits.BATCH) {
            flush();
        }
    }

    synchronized void flush() {
        // An interrupted thread would close the channel by writing to it; the interrupt is the handler's affair.
        boolean interrupted = Thread.interrupted();
        try {
            ByteBuffer bytes = ByteBuffer.wrap(out.bytes, 0, out.size);
            while (!silent && bytes.hasRemaining()) {
                channel.write(bytes);
            }
        } catch (IOException gone) {
            silent = true;
        } finally {
            out.clear();
            if (out.bytes.length > 4 * 1024 * 1024) {
                out.bytes = new byte[2 * Limits.BATCH]; // one large step need not be paid for ever
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Writes Close, behind which nothing is written any more (EN-1). */
    synchronized void sendClose(int code, String message) {
        if (!silent) {
            send(Envelope.newBuilder().setClose(Close.newBuilder().setCode(code).setMessage(Limits.cut(message))));
            silent = true;
        }
    }

    /** Reads what comes behind our Close until the end of the stream, or until somebody closes this. */
    void discard() {
        try {
            do {
                in.clear();
            } while (channel.read(in) >= 0);
        } catch (IOException gone) {
            // That is an end, too.
        }
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException ignored) {
            // There is nothing left to lose.
        }
    }
}
