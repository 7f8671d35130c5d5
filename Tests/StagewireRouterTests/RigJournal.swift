import StagewireLedger
import StagewireModel

@testable import StagewireRecord
@testable import StagewireRouter

/// The journal of a rig: groups become durable after a while, snapshots are taken in between, and a crash keeps any
/// number of those that were under way.
final class RigJournal {
    private struct Pending {
        var ticket: CommitTicket
        var payload: [UInt8]
    }

    private var random: SeededGenerator
    private let pipeline: PipelineDefinition
    private var pending: [Pending] = []
    /// Entries that are durable, by sequence; those below a snapshot's cut are gone.
    private var entries: [UInt64: [UInt8]] = [:]
    private var next: UInt64 = 1
    private(set) var ledger = Ledger()
    /// The latest snapshot, as it lies on the disk.
    private var snapshot: [UInt8]?
    /// What came after it: sequences, with kinds.
    private var kinds: [(sequence: UInt64, kind: UInt8)] = []
    /// Tickets are numbered anew by each router; these go on.
    private(set) var durableTicket: UInt64 = 0
    private var firstTicket: UInt64 = 0
    /// How often each record was appended to its stream.
    private(set) var appended: [String: Int] = [:]
    private(set) var payloads: [[String]]
    /// Everything is made durable at once.
    var isCalm = false

    init(_ pipeline: PipelineDefinition, seed: UInt64) {
        self.pipeline = pipeline
        random = SeededGenerator(seed: seed)
        payloads = Array(repeating: [], count: Layout(pipeline).streams.count)
        keep(EntryKind.layout, Layout(pipeline).encoded())
    }

    /// The ticket, over all routers so far, of what the router will do next.
    func openTicket(_ router: Router) -> UInt64 { firstTicket + router.nextTicket }

    func turn(_ router: inout Router) {
        if isCalm || Int.random(in: 0..<10, using: &random) < 7, let ticket = router.seal(withRest: isCalm) {
            var payload: [UInt8] = []
            router.forEachPart(of: ticket) { part in part.withUnsafeBytes { payload += $0 } }
            pending.append(Pending(ticket: ticket, payload: payload))
        }
        while let group = pending.first, isCalm || Int.random(in: 0..<10, using: &random) < 6 {
            pending.removeFirst()
            keep(EntryKind.steps, group.payload)
            durableTicket = firstTicket + group.ticket.number
            router.commit(group.ticket)
        }
        if Int.random(in: 0..<40, using: &random) == 0 { takeSnapshot() }
        answer(&router)
    }

    // MARK: Reading back

    private var asked: [(subscription: Int, from: UInt64)] = []
    /// How often something was read back.
    private(set) var readings = 0

    func ask(_ subscription: Int, from sequence: UInt64) { asked.append((subscription, sequence)) }

    private func answer(_ router: inout Router) {
        while let question = asked.first, isCalm || Bool.random(using: &random) {
            asked.removeFirst()
            do {
                let plan = ledger.plan(
                    subscription: question.subscription, from: question.from,
                    bytes: Int.random(in: 1...4000, using: &random))
                let records = try plan.read(snapshot: strays()) { self.entries[$0.sequence]! }
                precondition(!records.isEmpty, "what is needed is there")
                router.take(records, subscription: question.subscription)
                readings += 1
            } catch {
                preconditionFailure("what was written can be read: \(error)")
            }
        }
    }

    /// The broker dies. Groups under way are on the disk up to some point.
    func crash(at now: Moment) -> Router {
        for group in pending.prefix(Int.random(in: 0...pending.count, using: &random)) {
            keep(EntryKind.steps, group.payload)
            durableTicket = firstTicket + group.ticket.number
        }
        pending = []
        asked = []
        firstTicket = durableTicket
        var options = Router.Options()
        options.isRecording = true
        options.patience = .milliseconds(30)
        let (ledger, strays) = read()
        precondition(describe(ledger) == describe(self.ledger), "what is read back is what was folded")
        self.ledger = ledger
        keep(EntryKind.layout, Layout(pipeline).encoded())
        do {
            let recovered = try self.ledger.recover(pipeline, strays: strays) { self.entries[$0.sequence]! }
            return Router(pipeline, options: options, recovered: recovered, at: now)
        } catch {
            preconditionFailure("what was written can be read: \(error)")
        }
    }

    // MARK: The disk

    private func place(_ sequence: UInt64) -> EntryPlace { EntryPlace(segment: 1, offset: 0, sequence: sequence) }

    private func keep(_ kind: UInt8, _ payload: [UInt8]) {
        entries[next] = payload
        kinds.append((next, kind))
        do {
            try ledger.apply(kind: kind, payload.span.bytes, at: place(next))
            if kind == EntryKind.steps { try count(payload) }
        } catch {
            preconditionFailure("what the router writes can be read: \(error)")
        }
        next += 1
    }

    private func count(_ payload: [UInt8]) throws(LedgerFlaw) {
        var appends: [Append] = []
        try StepsEntry.read(payload.span.bytes) {
            appends.append($0)
        } change: { _ in
        }
        for append in appends {
            var offset = append.bytes.lowerBound
            while offset < append.bytes.upperBound {
                let (ref, end) = Self.record(payload, offset)
                appended["\(append.stream) \(ref.ref.id)", default: 0] += 1
                payloads[append.stream].append(String(decoding: ref.ref.payload, as: UTF8.self))
                offset = end
            }
        }
    }

    private static func record(_ bytes: [UInt8], _ offset: Int) -> (RecordBlock, Int) {
        var length = 0
        var shift = 0
        var at = offset + 1
        while true {
            length |= Int(bytes[at] & 0x7f) << shift
            shift += 7
            at += 1
            if bytes[at - 1] < 0x80 { break }
        }
        let record = Array(bytes[offset..<at + length])
        return (RecordBlock(wire: record.span.bytes), at + length)
    }

    private func takeSnapshot() {
        let cut = UInt64.random(in: 1...next, using: &random)
        do {
            let made = try ledger.snapshot(cutting: cut, strays: strays()) { self.entries[$0.sequence]! }
            snapshot = made.encoded()
            ledger.adopt(made.ledger, cutting: cut)
            kinds = []
            let needed = min(cut, ledger.firstNeeded)
            entries = entries.filter { $0.key >= needed }
        } catch {
            preconditionFailure("what was written can be read: \(error)")
        }
    }

    private func strays() -> [UInt8] {
        guard let snapshot else { return [] }
        do { return try Snapshot(snapshot.span.bytes).records } catch { preconditionFailure("\(error)") }
    }

    /// The state as a start finds it: a snapshot, and the entries behind it.
    private func read() -> (Ledger, [UInt8]) {
        do {
            var read = Snapshot(ledger: Ledger(), records: [])
            if let snapshot { read = try Snapshot(snapshot.span.bytes) }
            for (sequence, kind) in kinds {
                let payload = entries[sequence]!
                try read.ledger.apply(kind: kind, payload.span.bytes, at: place(sequence))
            }
            return (read.ledger, read.records)
        } catch {
            preconditionFailure("what was written can be read: \(error)")
        }
    }

    /// All that a ledger says, in one order.
    private func describe(_ ledger: Ledger) -> [UInt8] {
        do {
            return try ledger.snapshot(cutting: 0, strays: strays()) { _ in [] }.encoded()
        } catch {
            preconditionFailure("\(error)")
        }
    }
}
