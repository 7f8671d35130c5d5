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

    private let slab = Slab.allocate(LineageStamp.bound(hops: Limits.depth) + 10)
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
        var writer = SlabWriter(slab, at: Self.prefix)
        writer.put(LineageTag.id, id)
        writer.put(trace: trace, ingestTime: ingestTime)
        writer.putHop(run: run, delta: 0, attempt: 1)
        finish(at: writer.offset)
    }

    /// A record with one parent.
    /// - Parameters:
    ///   - run: the emitting worker's number in the run table.
    ///   - attempt: of the delivery that led to it, from 1.
    ///   - wall: microseconds since 1970; a clock behind the ingest time counts as no distance.
    public func derived(id: RecordID, parent: RecordRef, run: UInt32, attempt: UInt32, wall: UInt64) {
        var writer = SlabWriter(slab, at: Self.prefix)
        writer.put(LineageTag.id, id)
        parent.withWire { bytes in
            let lineage = LineageView(bytes)
            writer.put(LineageTag.parent, bytes.id(lineage.id))
            writer.carry(lineage, bytes, run: run, attempt: attempt, wall: wall)
        }
        finish(at: writer.offset)
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
        var writer = SlabWriter(slab, at: Self.prefix)
        writer.put(LineageTag.id, id)
        for parent in parents { writer.put(LineageTag.parent, parent) }
        if truncated {
            writer.put(byte: LineageTag.truncated)
            writer.put(byte: 1)
        }
        first.withWire { bytes in
            writer.carry(LineageView(bytes), bytes, run: run, attempt: attempt, wall: wall)
        }
        finish(at: writer.offset)
    }

    /// A record that a person has made of another one: everything is the parent's but the id.
    public func edited(id: RecordID, parent: RecordRef) {
        var writer = SlabWriter(slab, at: Self.prefix)
        writer.put(LineageTag.id, id)
        parent.withWire { bytes in
            let lineage = LineageView(bytes)
            writer.put(LineageTag.parent, bytes.id(lineage.id))
            writer.put(LineageTag.root, bytes.id(lineage.root))
            writer.put(bytes.extracting(lineage.carried))
        }
        finish(at: writer.offset)
    }

    /// The field as it stands.
    @inline(__always)
    func put(into writer: inout SlabWriter) { writer.put(slab, start..<end) }

    /// Writes tag and length, now that the length is known.
    @inline(__always)
    private func finish(at end: Int) {
        let content = UInt64(end - Self.prefix)
        self.end = end
        start = Self.prefix - 1 - Varint.size(content)
        var writer = SlabWriter(slab, at: start)
        writer.put(byte: UInt8(Field.lineage))
        writer.put(varint: content)
    }
}

extension SlabWriter {
    @inline(__always)
    fileprivate mutating func put(_ tag: UInt8, _ id: RecordID) {
        put(tag: tag, low: id.low, high: id.high)
    }

    /// What a source's record begins with; zeros are left out.
    @inline(__always)
    fileprivate mutating func put(trace: RawSpan, ingestTime: UInt64) {
        if trace.byteCount > 0 {
            put(byte: LineageTag.trace)
            put(varint: UInt64(trace.byteCount))
            put(trace)
        }
        if ingestTime != 0 {
            put(byte: LineageTag.ingest)
            put(word: ingestTime)
        }
    }

    /// Root, trace, ingest time and hops of a parent, and one hop more.
    @inline(__always)
    fileprivate mutating func carry(
        _ lineage: LineageView, _ bytes: RawSpan, run: UInt32, attempt: UInt32, wall: UInt64
    ) {
        put(LineageTag.root, bytes.id(lineage.root))
        put(bytes.extracting(lineage.carried))
        let ingestTime = lineage.ingestTime(bytes)
        putHop(run: run, delta: wall > ingestTime ? wall - ingestTime : 0, attempt: attempt)
    }

    /// Zeros are left out, as proto3 does; so is an attempt of 1.
    @inline(__always)
    fileprivate mutating func putHop(run: UInt32, delta: UInt64, attempt: UInt32) {
        let head = offset
        put(byte: LineageTag.hop)
        put(byte: 0)
        if run != 0 {
            put(byte: LineageTag.run)
            put(varint: UInt64(run))
        }
        if delta != 0 {
            put(byte: LineageTag.delta)
            put(varint: delta)
        }
        if attempt > 1 {
            put(byte: LineageTag.attempt)
            put(varint: UInt64(attempt))
        }
        patch(UInt8(offset - head - 2), at: head + 1)
    }
}

/// What a derived record's own hop says.
public struct HopStamp {
    /// The emitting worker's number in the run table.
    public var run: UInt32
    /// Of the delivery that led to it, from 1.
    public var attempt: UInt32
    /// Microseconds since 1970; a clock behind the ingest time counts as no distance.
    public var wall: UInt64

    public init(run: UInt32, attempt: UInt32, wall: UInt64) {
        self.run = run
        self.attempt = attempt
        self.wall = wall
    }
}

/// The hop that a stage adds, measured before it is written. Zeros are left out, as proto3 does; so is an attempt of 1.
private struct MeasuredHop {
    private let run: UInt32
    private let attempt: UInt32
    private let delta: UInt64
    /// Bytes of its content: 23 at most.
    private let content: Int

    @inline(__always)
    init(run: UInt32, attempt: UInt32, delta: UInt64) {
        (self.run, self.attempt, self.delta) = (run, attempt, delta)
        var content = 0
        if run != 0 { content &+= 1 &+ Varint.size(UInt64(run)) }
        if delta != 0 { content &+= 1 &+ Varint.size(delta) }
        if attempt > 1 { content &+= 1 &+ Varint.size(UInt64(attempt)) }
        self.content = content
    }

    @inline(__always)
    var fieldLength: Int { 2 &+ content }

    @inline(__always)
    func put(into writer: inout SlabWriter) {
        writer.put(byte: LineageTag.hop)
        writer.put(byte: UInt8(content))
        if run != 0 {
            writer.put(byte: LineageTag.run)
            writer.put(varint: UInt64(run))
        }
        if delta != 0 {
            writer.put(byte: LineageTag.delta)
            writer.put(varint: delta)
        }
        if attempt > 1 {
            writer.put(byte: LineageTag.attempt)
            writer.put(varint: UInt64(attempt))
        }
    }
}

/// The lineage of a source's record, measured before it is written. The bytes are those of `LineageStamp.source`.
struct SourceLineage {
    private let ingestTime: UInt64
    private let hop: MeasuredHop

    @inline(__always)
    init(ingestTime: UInt64, run: UInt32) {
        self.ingestTime = ingestTime
        hop = MeasuredHop(run: run, attempt: 1, delta: 0)
    }

    @inline(__always)
    private func content(_ trace: RawSpan) -> Int {
        let traced = trace.byteCount == 0 ? 0 : Varint.wireLength(trace.byteCount)
        return 18 &+ traced &+ (ingestTime == 0 ? 0 : 9) &+ hop.fieldLength
    }

    /// Bytes of the field: tag, length and content.
    @inline(__always)
    func fieldLength(_ trace: RawSpan) -> Int { Varint.wireLength(content(trace)) }

    @inline(__always)
    func put(into writer: inout SlabWriter, _ id: RecordID, _ trace: RawSpan) {
        precondition(trace.byteCount <= LineageStamp.traceLimit, "the scanner bounds trace contexts")
        writer.put(byte: UInt8(Field.lineage))
        writer.put(varint: UInt64(content(trace)))
        writer.put(LineageTag.id, id)
        writer.put(trace: trace, ingestTime: ingestTime)
        hop.put(into: &writer)
    }
}

/// The lineage of a record with one parent, measured before it is written, so that it can be written where it stays.
/// The bytes are those of `LineageStamp.derived`.
struct DerivedLineage {
    private let id: RecordID
    private let root: Int
    private let carried: Range<Int>
    private let hop: MeasuredHop
    /// Bytes without tag and length.
    private let content: Int

    @inline(__always)
    init(_ parent: LineageView, _ bytes: RawSpan, id: RecordID, _ hop: HopStamp) {
        self.id = id
        root = parent.root
        carried = parent.carried
        let ingestTime = parent.ingestTime(bytes)
        let delta = hop.wall > ingestTime ? hop.wall &- ingestTime : 0
        self.hop = MeasuredHop(run: hop.run, attempt: hop.attempt, delta: delta)
        content = 3 &* 18 &+ carried.count &+ self.hop.fieldLength
    }

    /// Bytes of the field: tag, length and content.
    @inline(__always)
    var fieldLength: Int { Varint.wireLength(content) }

    @inline(__always)
    func put(into writer: inout SlabWriter, _ parentID: RecordID, _ bytes: RawSpan) {
        writer.put(byte: UInt8(Field.lineage))
        writer.put(varint: UInt64(content))
        writer.put(LineageTag.id, id)
        writer.put(LineageTag.parent, parentID)
        writer.put(LineageTag.root, bytes.id(root))
        writer.put(bytes.extracting(carried))
        hop.put(into: &writer)
    }
}
