package dev.stagewire;

import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.List;

/** A part of a source's input that one worker has at a time, with its position in it. For the handler's thread. */
public final class Partition {
    /** An Emit, kept until it is committed, with what it costs on each output. */
    static final class Sent {
        final long id;
        final Buffer body;
        final long[] records;
        final long[] bytes;

        Sent(long id, Buffer body, long[] records, long[] bytes) {
            this.id = id;
            this.body = body;
            this.records = records;
            this.bytes = bytes;
        }
    }

    private final SourceOutlet runner;
    final String name;
    // Everything below is guarded by the runner.
    final ArrayDeque<Sent> unconfirmed = new ArrayDeque<>();
    byte[] checkpoint = {};
    boolean known;
    boolean claimed;
    boolean finishing;
    boolean finished;
    long last;
    long committed;
    long written;

    Partition(SourceOutlet runner, String name) {
        this.runner = runner;
        this.name = name;
    }

    /** Where to go on: the checkpoint of the last step that was committed before it was claimed; empty at first. */
    public byte[] checkpoint() {
        return runner.checkpoint(this);
    }

    /** The same as UTF-8. */
    public String checkpointText() {
        return new String(checkpoint(), StandardCharsets.UTF_8);
    }

    /**
     * Emits a step: records, none perhaps, and the position behind them, which take effect together. Waits while the
     * pipeline has no room for it; what is not confirmed is sent again after a reconnect.
     *
     * @param checkpoint at most 64 KiB
     * @throws Verdict when the pipeline cannot take it: too large, or not UTF-8
     * @throws Stopped when the source is to stop; the step is not emitted then
     */
    public void emit(List<Output> outputs, byte[] checkpoint) {
        runner.emit(this, outputs, checkpoint);
    }

    /** The same with a checkpoint in UTF-8. */
    public void emit(List<Output> outputs, String checkpoint) {
        emit(outputs, checkpoint.getBytes(StandardCharsets.UTF_8));
    }

    /** A step of one record. Steps of many cost far less for each. */
    public void emit(Output output, String checkpoint) {
        emit(List.of(output), checkpoint);
    }

    /** No more will come of it. */
    public void finish() {
        runner.finish(this);
    }
}
