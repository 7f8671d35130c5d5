package dev.stagewire;

import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;

/** What one handler call has emitted, encoded as it was emitted, with what it costs on each output. */
final class Step implements Emitter {
    private final Ports ports;
    /** Emission fields, as they stand in an Outcome or, with another tag, in an Emit. */
    final Buffer emissions = new Buffer(4096);
    final long[] records;
    final long[] bytes;
    int count;
    private long charge;
    /** Why the pipeline cannot take this step; null when it can. */
    Verdict refusal;
    private List<StageRecord> members = List.of();
    private final Set<StageRecord> memberSet = Collections.newSetFromMap(new IdentityHashMap<>());
    private final Set<StageRecord> named = Collections.newSetFromMap(new IdentityHashMap<>());
    private final int field;
    private final Buffer header = new Buffer(256);
    private final Buffer trace = new Buffer(64);
    private final Buffer parents = new Buffer(64);
    private final String[] wrong = {null};

    /** `field` is the number of the emissions: 4 in an Outcome, 3 in an Emit. */
    Step(Ports ports, int field) {
        this.ports = ports;
        this.field = field;
        records = new long[ports.numbers.length];
        bytes = new long[ports.numbers.length];
    }

    void clear() {
        if (count > 0) {
            emissions.clear();
            java.util.Arrays.fill(records, 0);
            java.util.Arrays.fill(bytes, 0);
            count = 0;
            charge = 0;
        }
        refusal = null;
        if (!named.isEmpty()) {
            named.clear();
        }
    }

    /** What the encoding has beyond what is charged for, such as long lists of parents. */
    long overhead() {
        return emissions.size - charge;
    }

    @Override
    public void emit(Output output) {
        int port = ports.index(output.port);
        int size = output.prepare(header, wrong);
        if (size < 0) {
            throw refuse(Codes.INVALID_OUTPUT, wrong[0]);
        }
        long cost = size + ports.stamp;
        if (cost > ports.maxRecord) {
            throw refuse(Codes.OUTPUT_TOO_LARGE, "an output of " + size + " bytes; with what the broker adds (" + ports.stamp
                    + ") it may have " + ports.maxRecord);
        }
        if (count + 1 > ports.maxStepRecords || charge + cost > ports.maxStepBytes) {
            throw refuse(Codes.STEP_TOO_LARGE, "a step of more than " + ports.maxStepRecords + " emissions or "
                    + ports.maxStepBytes + " bytes (each output and " + ports.stamp + " bytes more)");
        }
        encodeTrace(output);
        encodeParents(output);
        long number = Integer.toUnsignedLong(ports.numbers[port]);
        emissions.head(field, (number == 0 ? 0 : 1 + Buffer.varintSize(number))
                + (parents.size == 0 ? 0 : Buffer.fieldSize(parents.size))
                + (size == 0 ? 0 : Buffer.fieldSize(size)) + (trace.size == 0 ? 0 : Buffer.fieldSize(trace.size)));
        emissions.number(1, number);
        if (parents.size > 0) {
            emissions.head(2, parents.size);
            emissions.raw(parents.bytes, 0, parents.size);
        }
        if (size > 0) {
            emissions.head(3, size);
            output.write(emissions, header);
        }
        if (trace.size > 0) {
            emissions.head(4, trace.size);
            emissions.raw(trace.bytes, 0, trace.size);
        }
        count++;
        charge += cost;
        records[port]++;
        bytes[port] += cost;
    }

    private void encodeTrace(Output output) {
        trace.clear();
        if (output.traceparent == null) {
            return;
        }
        boolean valid = trace.text(1, output.traceparent) && trace.size <= Limits.TRACEPARENT + 2;
        int before = trace.size;
        if (output.tracestate != null && !output.tracestate.isEmpty()) {
            valid &= trace.text(2, output.tracestate) && trace.size - before <= Limits.TRACESTATE + 3;
        }
        if (!valid) {
            throw refuse(Codes.INVALID_OUTPUT, "a trace of more than " + Limits.TRACEPARENT + " and " + Limits.TRACESTATE
                    + " bytes, or not UTF-8");
        }
    }

    private void encodeParents(Output output) {
        parents.clear();
        for (StageRecord each : output.parents) {
            if (!isMember(each)) {
                throw new IllegalArgumentException("a parent that is not of what is being handled");
            }
            parents.varint(each.delivery);
            named.add(each);
        }
    }

    /** Whether an emission descends from this record by name. */
    boolean names(StageRecord record) {
        return named.contains(record);
    }

    /** Before a handler runs: what may be a parent. */
    void begin(List<StageRecord> records) {
        clear();
        members = records;
        if (!memberSet.isEmpty()) {
            memberSet.clear();
        }
    }

    /** Parents are rare: nothing is prepared for them. */
    private boolean isMember(StageRecord record) {
        if (memberSet.isEmpty()) {
            memberSet.addAll(members);
        }
        return memberSet.contains(record);
    }

    /** Remembers why, for the case that the handler catches what is thrown. */
    private Verdict refuse(int code, String message) {
        refusal = Verdict.reject(code, message);
        return refusal;
    }
}
