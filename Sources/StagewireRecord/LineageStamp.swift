import StagewireModel

/// The lineage field of the record that is being made, encoded: scratch memory that one router reuses for
/// record after record.
///
/// A class, because it is a buffer of some kilobytes with an address: as a struct it would be copied, or
/// its memory allocated anew, wherever it is passed along.
///
/// Stages that derive one record from one do not decode its lineage: the parent's trace, ingest time and hops
/// are copied as they are, one hop is added.
public final class LineageStamp {
    /// Bytes of an encoded `TraceContext`, which the scanner enforces: two tags, lengths of one and two bytes, texts.
    public static let traceLimit = 2 + Limits.traceparent + 3 + Limits.tracestate

    /// The longest lineage field with `hops` hops, bytes, tag and length included. `PipelineDefinition.stampReserve`
    /// is never less. Each term is the field at its largest, tag and length included.
    public static func bound(hops: Int) -> Int {
        let ids = 18 + Limits.parents * 18 + 18
        let flags = 2
        let trace = 3 + traceLimit
        let ingest = 9
        let hop = 2 + 6 + 11 + 6
        return Self.prefix + ids + flags + trace + ingest + hops * hop
    }

    /// Room for the lineage's own tag and length. Content begins behind it, and the two are written last, right
    /// before the content, when its length is known.
    private static let prefix = 4

    private let slab = Slab.allocate(LineageStamp.bound(hops: Limits.depth))
    private var start = LineageStamp.prefix
    private var end = LineageStamp.prefix

    public init() {}

    deinit { slab.free() }

    /// Bytes of the lineage field: tag, length and content.
    public var length: Int { end - start }

    /// A source's record: it is its own root, with one hop at no distance.
    /// - Parameters:
    ///   - trace: an encoded `TraceContext` that the scanner accepted; may be empty.
    ///   - ingestTime: microseconds since 1970.
    ///   - run: the source's number in the run table.
    public func source(id: RecordID, trace: RawSpan, ingestTime: UInt64, run: UInt32) {
        precondition(trace.byteCount <= Self.traceLimit, "the scanner bounds trace contexts")
        begin(id)
        if trace.byteCount > 0 {
            append(byte: LineageTag.trace)
            append(varint: UInt64(trace.byteCount))
            append(trace)
        }
        if ingestTime != 0 {
            append(byte: LineageTag.ingest)
            append(word: ingestTime)
        }
        appendHop(run: run, delta: 0, attempt: 1)
        finish()
    }

    /// A record with one parent.
    /// - Parameters:
    ///   - run: the emitting worker's number in the run table.
    ///   - attempt: of the delivery that led to it, from 1.
    ///   - wall: microseconds since 1970; a clock behind the ingest time counts as no distance.
    public func derived(id: RecordID, parent: RecordRef, run: UInt32, attempt: UInt32, wall: UInt64) {
        begin(id)
        parent.withWire { bytes in
            let lineage = LineageView(bytes)
            append(LineageTag.parent, bytes.id(lineage.id))
            carry(lineage, bytes, run: run, attempt: attempt, wall: wall)
        }
        finish()
    }

    /// A record with several parents; root, trace, ingest time and hops are those of the first.
    /// - Parameters:
    ///   - parents: what lineage names, the first one's id included; at most `Limits.parents`.
    ///   - truncated: there were more.
    public func derived(
        id: RecordID, parent first: RecordRef, parents: [RecordID], truncated: Bool, run: UInt32, attempt: UInt32,
        wall: UInt64
    ) {
        precondition(parents.count <= Limits.parents, "the caller cuts the parents off")
        begin(id)
        for parent in parents { append(LineageTag.parent, parent) }
        if truncated {
            append(byte: LineageTag.truncated)
            append(byte: 1)
        }
        first.withWire { bytes in
            carry(LineageView(bytes), bytes, run: run, attempt: attempt, wall: wall)
        }
        finish()
    }

    /// The field as it stands.
    func withField<Result>(_ body: (Slab, Range<Int>) -> Result) -> Result { body(slab, start..<end) }

    private func carry(_ lineage: LineageView, _ bytes: RawSpan, run: UInt32, attempt: UInt32, wall: UInt64) {
        append(LineageTag.root, bytes.id(lineage.root))
        append(bytes.extracting(lineage.carried))
        let ingestTime = lineage.ingestTime(bytes)
        appendHop(run: run, delta: wall > ingestTime ? wall - ingestTime : 0, attempt: attempt)
    }

    /// Zeros are left out, as proto3 does; so is an attempt of 1.
    private func appendHop(run: UInt32, delta: UInt64, attempt: UInt32) {
        let head = end
        append(byte: LineageTag.hop)
        append(byte: 0)
        if run != 0 {
            append(byte: LineageTag.run)
            append(varint: UInt64(run))
        }
        if delta != 0 {
            append(byte: LineageTag.delta)
            append(varint: delta)
        }
        if attempt > 1 {
            append(byte: LineageTag.attempt)
            append(varint: UInt64(attempt))
        }
        slab.write(UInt8(end - head - 2), at: head + 1)
    }

    private func begin(_ id: RecordID) {
        end = Self.prefix
        append(LineageTag.id, id)
    }

    private func finish() {
        let content = end - Self.prefix
        start = Self.prefix - 1 - Varint.size(UInt64(content))
        slab.write(UInt8(Field.lineage), at: start)
        _ = slab.write(varint: UInt64(content), at: start + 1)
    }

    @inline(__always)
    private func append(_ tag: UInt8, _ id: RecordID) {
        append(byte: tag)
        append(byte: 16)
        append(word: id.low)
        append(word: id.high)
    }

    @inline(__always)
    private func append(byte: UInt8) {
        slab.write(byte, at: end)
        end += 1
    }

    @inline(__always)
    private func append(word: UInt64) {
        slab.write(word, at: end)
        end += 8
    }

    @inline(__always)
    private func append(varint value: UInt64) { end = slab.write(varint: value, at: end) }

    @inline(__always)
    private func append(_ bytes: RawSpan) {
        slab.write(bytes, at: end)
        end += bytes.byteCount
    }
}
