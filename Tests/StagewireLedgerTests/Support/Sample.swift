import StagewireModel
import StagewireRecord

@testable import StagewireLedger

/// Reads entries one by one, of which there are only such of kind `steps`.
func each(_ payload: @escaping (EntryPlace) throws -> [UInt8]) -> EntryFetch {
    { first, last, body in
        for sequence in first.sequence...last {
            try body(try payload(EntryPlace(segment: first.segment, offset: first.offset, sequence: sequence)))
        }
    }
}

/// Small pipelines, records and entries.
enum Sample {
    /// A wire-ready record: a lineage of an id alone, a header with a key, a payload.
    static func record(_ payload: String, key: String = "k") -> [UInt8] {
        let lineage: [UInt8] = [0x0a, 16] + [UInt8](repeating: 7, count: 16)
        let header: [UInt8] = [0x1a, UInt8(key.utf8.count)] + key.utf8
        return delimited(
            0x22, delimited(0x0a, lineage) + delimited(0x12, header) + delimited(0x1a, Array(payload.utf8)))
    }

    private static func delimited(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = [tag]
        bytes.put(content)
        return bytes
    }

    ///     source -> left (also: port "odd") -> sink
    ///            -> sink
    static func pipeline() -> PipelineDefinition {
        var left = StageDefinition(name: "left", inputs: [InputDefinition(stage: 0)])
        left.ports = ["out", "odd"]
        return PipelineDefinition(
            name: "sample",
            stages: [
                StageDefinition(name: "source", isSource: true), left,
                StageDefinition(name: "sink", inputs: [InputDefinition(stage: 1), InputDefinition(stage: 0)]),
            ])
    }

    static func verdict(_ number: UInt64, time: UInt64 = 5) -> Verdict {
        Verdict(
            number: number, attempts: 3, reason: 7, time: time,
            error: DeliveryError(code: 1000, message: "no use", indefinite: number % 2 == 0))
    }

    /// The payload of an entry of kind `steps`.
    static func steps(
        _ appends: [(stream: Int, first: UInt64, records: [[UInt8]])] = [],
        _ change: (inout ChangeLog) -> Void = { _ in }
    ) -> [UInt8] {
        var bytes = StepsEntry.head(appends: appends.count)
        for append in appends {
            let records = append.records.flatMap { $0 }
            bytes += StepsEntry.head(
                stream: append.stream, first: append.first, count: append.records.count, bytes: records.count)
            bytes += records
        }
        var log = ChangeLog()
        change(&log)
        log.close()
        return bytes + log.bytes
    }

    static func place(_ sequence: UInt64) -> EntryPlace { place(sequence, apart: Ledger.Extent.span) }

    /// With entries that begin so many bytes behind each other: those nearer than `Ledger.Extent.span` become one extent.
    static func place(_ sequence: UInt64, apart: Int) -> EntryPlace {
        EntryPlace(segment: 1, offset: 64 + Int(sequence) * apart, sequence: sequence)
    }

    /// A ledger with the layout of `pipeline`, as its first entry leaves it.
    static func ledger(_ pipeline: PipelineDefinition = pipeline()) -> Ledger {
        var ledger = Ledger()
        expectNoFlaw { () throws(LedgerFlaw) in
            try ledger.apply(kind: EntryKind.layout, Layout(pipeline).encoded().span.bytes, at: place(1))
        }
        return ledger
    }

    static func expectNoFlaw(_ body: () throws(LedgerFlaw) -> Void) {
        do throws(LedgerFlaw) { try body() } catch { preconditionFailure("\(error)") }
    }
}

extension Ledger {
    /// Applies an entry of kind `steps` at the next place.
    mutating func fold(_ payload: [UInt8], apart: Int = Ledger.Extent.span) throws(LedgerFlaw) {
        try apply(kind: EntryKind.steps, payload.span.bytes, at: Sample.place(next, apart: apart))
    }

    /// What is said when a payload is refused; nil when it is not.
    func flaw(_ payload: [UInt8], kind: UInt8 = EntryKind.steps) -> String? {
        var copy = self
        do throws(LedgerFlaw) {
            try copy.apply(kind: kind, payload.span.bytes, at: Sample.place(next))
            return nil
        } catch { return error.description }
    }

    /// All that it says, in one order.
    func described(_ strays: [UInt8] = []) -> [UInt8] {
        do {
            return try snapshot(cutting: 0, strays: strays) { _, _, _ in }.encoded()
        } catch { preconditionFailure("\(error)") }
    }
}
