package dev.stagewire;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.stagewire.v1.Run;
import java.time.Instant;
import java.util.HexFormat;
import java.util.List;

/**
 * Where a record comes from, as the broker writes it. Ids are 32 hexadecimal digits.
 *
 * @param parents at most 16; none for a source's record
 * @param parentsTruncated there were more parents than {@code parents} has
 * @param root the source's record that it comes from, itself perhaps
 * @param traceparent W3C Trace Context as the source gave it; empty without one
 * @param ingestTime when the root entered the broker
 * @param hops one for each stage that emitted, oldest first
 */
public record Lineage(String id, List<String> parents, boolean parentsTruncated, String root, String traceparent,
        String tracestate, Instant ingestTime, List<Hop> hops) {

    /** One stage's part in a record: who emitted it, when, and at which attempt. */
    public record Hop(String stage, String version, String instance, String language, Instant time, int attempt) {}

    static Lineage decode(byte[] bytes, int offset, int length, Runs runs) {
        dev.stagewire.v1.Lineage lineage;
        try {
            lineage = dev.stagewire.v1.Lineage.parser().parseFrom(bytes, offset, length);
        } catch (InvalidProtocolBufferException invalid) {
            throw new Scan.Malformed("a lineage that is no protobuf: " + invalid.getMessage());
        }
        String id = hex(lineage.getId());
        List<Hop> hops = lineage.getHopsList().stream().map(hop -> {
            Run run = runs == null ? Run.getDefaultInstance() : runs.get(hop.getRun());
            return new Hop(run.getStage(), run.getVersion(), run.getInstance(), run.getLanguage(),
                    Times.instant(lineage.getIngestTime() + hop.getDelta()), Math.max(1, hop.getAttempt()));
        }).toList();
        return new Lineage(id, lineage.getParentsList().stream().map(Lineage::hex).toList(), lineage.getParentsTruncated(),
                lineage.getRoot().isEmpty() ? id : hex(lineage.getRoot()), lineage.getTrace().getTraceparent(),
                lineage.getTrace().getTracestate(), Times.instant(lineage.getIngestTime()), hops);
    }

    private static String hex(ByteString id) {
        return HexFormat.of().formatHex(id.toByteArray());
    }
}
