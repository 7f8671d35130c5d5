import StagewireLedger
import StagewireModel
import StagewireRecord

/// What is on the disk for good: the oracle of everything that is told or shown. It has every entry ever written, and folds
/// them from the first one on, without a snapshot and without a disk.
package struct DurableAccount {
    struct Key: Hashable {
        var stream: Int
        var id: RecordID
    }

    let pipeline: PipelineDefinition
    private(set) var entries: [(kind: UInt8, payload: [UInt8])] = []
    private var ledger = Ledger()
    /// How often each record was appended to its stream.
    private(set) var counts: [Key: Int] = [:]
    /// By stream, in order.
    package private(set) var payloads: [[String]]
    /// By stream, in order, wire-ready.
    private var records: [[[UInt8]]]
    /// Where sources are, by stage and partition.
    private(set) var positions: [Int: [String: SourcePosition]] = [:]
    /// What is wrong with what was written.
    private(set) var faults: [String] = []

    init(_ pipeline: PipelineDefinition) {
        self.pipeline = pipeline
        // Everything: so it can fold any replay.
        ledger.retain(true)
        payloads = Array(repeating: [], count: Layout(pipeline).streams.count)
        records = payloads.map { _ in [] }
    }

    func record(_ sequence: UInt64, of stream: Int) -> [UInt8] { records[stream][Int(sequence)] }

    func stream(of subscription: Int) -> Int {
        let layout = Layout(pipeline)
        return layout.streams.firstIndex(of: layout.subscriptions[subscription].stream)!
    }

    /// The sequence that the next entry gets.
    var next: UInt64 { UInt64(entries.count) + 1 }

    mutating func add(_ kind: UInt8, _ payload: [UInt8]) {
        // So that some dozens of entries are one extent.
        let place = EntryPlace(segment: 1, offset: Int(next) * 10_000, sequence: next)
        entries.append((kind, payload))
        do throws(LedgerFlaw) {
            try ledger.apply(kind: kind, payload.span.bytes, at: place)
            guard kind == EntryKind.steps else { return }
            var appends: [Append] = []
            var moves: [(Int, String, SourcePosition)] = []
            try StepsEntry.read(payload.span.bytes) {
                appends.append($0)
            } change: { change in
                if case .moved(let stage, let partition, let position) = change {
                    moves.append((stage, partition, position))
                }
            }
            for append in appends { count(append, payload) }
            for (stage, partition, position) in moves { positions[stage, default: [:]][partition] = position }
        } catch {
            faults.append("entry \(place.sequence) cannot be read: \(error)")
        }
    }

    private mutating func count(_ append: Append, _ payload: [UInt8]) {
        for record in Wire.split(payload[append.bytes]) {
            let block = RecordBlock(wire: record.span.bytes)
            let key = Key(stream: append.stream, id: block.ref.id)
            counts[key, default: 0] += 1
            if counts[key]! > 1 { faults.append("\(key) was appended \(counts[key]!) times") }
            records[append.stream].append(Array(record))
            payloads[append.stream].append(String(decoding: block.ref.payload, as: UTF8.self))
        }
    }

    /// What a start has to find.
    func recovered() throws -> Recovered {
        try ledger.recover(pipeline, strays: []) { first, last, body in
            for entry in entries[Int(first.sequence) - 1..<Int(last)] where entry.kind == EntryKind.steps {
                try body(entry.payload)
            }
        }
    }
}

/// Wire-ready records, one behind the other.
enum Wire {
    static func split(_ bytes: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
        var records: [ArraySlice<UInt8>] = []
        var offset = bytes.startIndex
        while offset < bytes.endIndex {
            precondition(bytes[offset] == 0x22, "each record has its tag")
            var length = 0
            var shift = 0
            var at = offset + 1
            repeat {
                length |= Int(bytes[at] & 0x7f) << shift
                shift += 7
                at += 1
            } while bytes[at - 1] >= 0x80
            records.append(bytes[offset..<at + length])
            offset = at + length
        }
        precondition(offset == bytes.endIndex, "bytes end with a record")
        return records
    }
}

/// Most of a simulation's time would go into the array's own description.
private func hex(_ bytes: some Collection<UInt8>) -> String {
    String(unsafeUninitializedCapacity: 2 * bytes.count) { text in
        var index = 0
        for byte in bytes {
            for digit in [byte >> 4, byte & 15] {
                text[index] = digit < 10 ? digit + 48 : digit + 87
                index += 1
            }
        }
        return index
    }
}

extension Recovered {
    /// All that it says, in one order, for comparing.
    var lines: [String] {
        var lines: [String] = []
        for (index, stream) in streams.enumerated() {
            lines.append("stream \(index): \(stream.first)..<\(stream.end)")
            for record in stream.records { lines.append("\(record.sequence) \(hex(record.bytes))") }
        }
        for (index, subscription) in subscriptions.enumerated() {
            lines.append(
                "subscription \(index): \(subscription.done.low) \(Array(subscription.done.ranges)), from "
                    + "\(subscription.cursor) on, \(subscription.arrivalCount) arrivals")
            for (sequence, trial) in subscription.trials.sorted(by: { $0.key < $1.key }) {
                lines.append("tried \(sequence) \(trial)")
            }
            for held in subscription.held {
                lines.append("held \(held.sequence) \(hex(held.record.ref.copyRecordBytes()))")
            }
            for letter in subscription.letters {
                lines.append("letter \(letter.verdict) \(letter.isAsked) \(hex(letter.record.ref.copyRecordBytes()))")
            }
        }
        for (stage, partitions) in positions.enumerated() {
            for (partition, position) in partitions { lines.append("\(stage) \(partition) \(position)") }
        }
        lines += runs.map { "\($0)" }
        lines.append("\(lastLetters)")
        return lines
    }
}
