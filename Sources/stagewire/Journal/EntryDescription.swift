import StagewireJournal
import StagewireLedger
import StagewireWire

/// What an entry is.
struct EntryDescription {
    /// For people, on one line.
    var text: String
    /// For programs: members of the entry's object.
    var members: [String: JSONValue]
}

/// The one place that says what the payload of an entry means. The journal itself does not know: to it a kind is a number,
/// and a payload is bytes. Streams, subscriptions and stages are numbers here, too: an entry of kind 2 names them.
func describe(kind: UInt8, payload: RawSpan) -> EntryDescription {
    var description = EntryDescription(
        text: "kind \(kind), \(Figures.count(payload.byteCount, "byte"))",
        members: ["kind": .unsigned(UInt64(kind)), "length": .unsigned(UInt64(payload.byteCount))])
    do throws(LedgerFlaw) {
        switch kind {
        case EntryKind.layout: description.add(try Layout(payload))
        case EntryKind.steps: try description.addSteps(payload)
        case _: break
        }
    } catch {
        // Intact, and written by somebody else.
        description.text += ": " + Text.escaped("\(error)")
        description.members["error"] = .text("\(error)")
    }
    return description
}

extension EntryDescription {
    fileprivate mutating func add(_ layout: Layout) {
        let names = zip(
            ["stages", "streams", "subscriptions"],
            [layout.stages, layout.streams.map(\.description), layout.subscriptions.map(\.description)])
        for (name, values) in names { members[name] = .list(values.map { .text($0) }) }
        text += ": names " + names.map { "\($1.count) \($0)" }.joined(separator: ", ")
    }

    fileprivate mutating func addSteps(_ payload: RawSpan) throws(LedgerFlaw) {
        var appends: [JSONValue] = []
        var changes: [JSONValue] = []
        var parts: [String] = []
        var counts: [(name: String, count: Int)] = []
        try StepsEntry.read(payload) { (append) throws(LedgerFlaw) in
            parts.append("\(Figures.count(append.count, "record")) to stream \(append.stream) from \(append.first) on")
            appends.append(
                .object([
                    "stream": .unsigned(UInt64(append.stream)), "first": .unsigned(append.first),
                    "count": .unsigned(UInt64(append.count)), "bytes": .unsigned(UInt64(append.bytes.count)),
                ]))
        } change: { (change) throws(LedgerFlaw) in
            let name = change.name
            let weight = change.weight
            if let index = counts.firstIndex(where: { $0.name == name }) {
                counts[index].count += weight
            } else {
                counts.append((name, weight))
            }
            changes.append(.object(change.members.merging(["change": .text(name)]) { old, _ in old }))
        }
        members["appends"] = .list(appends)
        members["changes"] = .list(changes)
        parts += counts.map { "\($0.count) \($0.name)" }
        if !parts.isEmpty { text += ": " + parts.joined(separator: ", ") }
    }
}

extension Change {
    /// As docs/LEDGER_FORMAT.md calls it.
    fileprivate var name: String {
        switch self {
        case .done: "done"
        case .tried: "tried"
        case .buried: "given up"
        case .discarded: "dropped"
        case .asked: "asked"
        case .revived: "come back"
        case .moved: "moved"
        case .began: "run"
        case .noted: "time"
        case .rewound: "back"
        case .edited: "edited"
        }
    }

    /// How many records it is about, for counting.
    fileprivate var weight: Int {
        if case .done(_, let sequences) = self { Int(clamping: sequences.count) } else { 1 }
    }

    fileprivate var members: [String: JSONValue] {
        func of(_ subscription: Int, _ more: [String: JSONValue]) -> [String: JSONValue] {
            more.merging(["subscription": .unsigned(UInt64(subscription))]) { old, _ in old }
        }
        switch self {
        case .done(let subscription, let sequences):
            return of(
                subscription,
                ["first": .unsigned(sequences.lowerBound), "count": .unsigned(UInt64(sequences.count))])
        case .tried(let subscription, let sequence, let trial):
            return of(
                subscription,
                [
                    "sequence": .unsigned(sequence), "attempt": .unsigned(UInt64(trial.attempt)),
                    "crashes": .unsigned(UInt64(trial.crashes)), "age_ms": .unsigned(trial.age),
                    "delay_ms": .unsigned(trial.delay),
                ])
        case .buried(let subscription, let sequence, let verdict):
            return of(
                subscription,
                [
                    "sequence": .unsigned(sequence), "number": .unsigned(verdict.number),
                    "attempts": .unsigned(UInt64(verdict.attempts)), "reason": .unsigned(UInt64(verdict.reason)),
                    "error": .text(verdict.error.message),
                ])
        case .discarded(let subscription, let number), .asked(let subscription, let number):
            return of(subscription, ["number": .unsigned(number)])
        case .revived(let subscription, let number, let arrival):
            return of(subscription, ["number": .unsigned(number), "arrival": .unsigned(arrival)])
        case .moved(let stage, let partition, let position):
            return [
                "stage": .unsigned(UInt64(stage)), "partition": .text(partition), "epoch": .unsigned(position.epoch),
                "last_emit_id": .unsigned(position.lastEmitID),
                "checkpoint": .text("0x" + HexDump.digits(position.checkpoint.span.bytes)),
            ]
        case .began(let run):
            return [
                "run": .unsigned(UInt64(run.number)), "stage": .text(run.stage), "version": .text(run.version),
                "instance": .text(run.instance), "language": .text(run.language),
            ]
        case .noted(let time): return ["microseconds": .unsigned(time)]
        case .rewound(let subscription, let sequence): return of(subscription, ["sequence": .unsigned(sequence)])
        case .edited(let subscription, let number, let record):
            return of(subscription, ["number": .unsigned(number), "bytes": .unsigned(UInt64(record.count))])
        }
    }
}
