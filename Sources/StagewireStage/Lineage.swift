import StagewireModel
import StagewireWire
import Synchronization

/// Where a record comes from, as the broker wrote it.
public struct Lineage: Equatable, Sendable {
    /// 32 hexadecimal digits, as all ids here.
    public var id = ""
    /// The record of a source from which this one descends; itself when it is one.
    public var root = ""
    /// At most 16; empty for a source's record.
    public var parents: [String] = []
    /// There were more parents than `parents` holds.
    public var isTruncated = false
    public var trace: TraceContext?
    /// Microseconds since 1970 at which the root entered the broker.
    public var ingestTime: Int64 = 0
    /// One for each stage that emitted, oldest first.
    public var hops: [Hop] = []

    package init() {}

    public struct Hop: Equatable, Sendable {
        /// Who emitted it; nil when the broker has not announced the run.
        public var run: Run?
        /// Microseconds since 1970.
        public var time: Int64
        /// Of the delivery that led to it, from 1.
        public var attempt: Int

        package init(run: Run?, time: Int64, attempt: Int) {
            self.run = run
            self.time = time
            self.attempt = attempt
        }
    }
}

/// A worker's identity in lineage.
public typealias Run = StagewireModel.Run

extension Record {
    public var lineage: Lineage {
        var lineage = Lineage()
        var hops: [Range<Int>] = []
        FieldWalk.each(batch.bytes, lineageRange) { field, bytes in
            switch field.number {
            case 1: lineage.id = hexadecimal(field.value)
            case 2: lineage.parents.append(hexadecimal(field.value))
            case 3: lineage.isTruncated = field.varint != 0
            case 4: lineage.root = hexadecimal(field.value)
            case 5: lineage.trace = trace(field.value)
            case 6: lineage.ingestTime = Int64(bitPattern: FieldWalk.number(field, bytes))
            case 7: hops.append(field.value)
            default: break
            }
        }
        if lineage.root.isEmpty { lineage.root = lineage.id }
        lineage.hops = hops.map { hop($0, since: lineage.ingestTime) }
        return lineage
    }

    private func hop(_ range: Range<Int>, since ingest: Int64) -> Lineage.Hop {
        var number: UInt32 = 0
        var hop = Lineage.Hop(run: nil, time: ingest, attempt: 1)
        FieldWalk.each(batch.bytes, range) { field, _ in
            switch field.number {
            case 1: number = UInt32(truncatingIfNeeded: field.varint)
            case 2: hop.time = ingest &+ Int64(bitPattern: field.varint)
            case 3: hop.attempt = Int(truncatingIfNeeded: max(1, field.varint))
            default: break
            }
        }
        hop.run = batch.runs[number]
        return hop
    }

    private func trace(_ range: Range<Int>) -> TraceContext {
        var trace = TraceContext(traceparent: "")
        FieldWalk.each(batch.bytes, range) { field, _ in
            if field.number == 1 { trace.traceparent = string(field.value) }
            if field.number == 2 { trace.tracestate = string(field.value) }
        }
        return trace
    }

    private func hexadecimal(_ range: Range<Int>) -> String { Hexadecimal.text(batch.bytes[range]) }
}

/// The runs that the broker has announced; they outlive sessions.
final class RunTable: Sendable {
    private let runs = Mutex<[UInt32: Run]>([:])

    subscript(number: UInt32) -> Run? { runs.withLock { $0[number] } }

    func learn(_ announced: [Run]) {
        runs.withLock { known in
            for run in announced { known[run.number] = run }
        }
    }
}

enum Hexadecimal {
    static func text(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Two digits for each byte, in either case; nil for anything else.
    static func bytes(_ text: String) -> [UInt8]? {
        let digits = text.utf8.map { Character(UnicodeScalar($0)).hexDigitValue }
        guard digits.count.isMultiple(of: 2), !digits.contains(nil) else { return nil }
        let values = digits.compactMap { $0 }
        return stride(from: 0, to: values.count, by: 2).map { UInt8(values[$0] << 4 | values[$0 + 1]) }
    }
}
