import StagewireDiskSimulation
import StagewireJournal
import StagewireLedger
import StagewireModel

/// The journal, the ledger and the snapshot of one life of a broker, on a simulated disk: what the broker's own store does
/// with a real one.
final class SimulatedStore {
    enum Outcome {
        case durable
        case full
        /// Nothing is confirmed any more.
        case lost(String)
        /// Somebody is wrong: what the disk gave back is not what was written.
        case flawed(LedgerFlaw)
    }

    /// A snapshot on its way: it is made beside the flushes, so they may come between any two parts.
    private enum SnapshotPhase {
        case none
        case captured(Ledger, cut: UInt64)
        case written(Ledger, cut: UInt64)
        /// Segments that nobody needs; with the outcome, the file of the first one is gone, or has another name, which is not durable yet.
        case retiring([UInt64], done: (Retirement, Result<Void, DiskError>)?)
    }

    static let identity = JournalIdentity(high: 0x5353, low: 0x696d)

    let disk: MemoryDisk
    private var writer: JournalWriter<MemoryDisk>
    private var ledger: Ledger
    private var phase = SnapshotPhase.none
    private let retention: RetentionPolicy?
    /// A snapshot is being made that does not have what is in entries below it.
    private var pending: UInt64 = 0

    private init(
        _ disk: MemoryDisk, _ writer: consuming JournalWriter<MemoryDisk>, _ ledger: Ledger,
        _ retention: RetentionPolicy?
    ) {
        self.retention = retention
        self.disk = disk
        self.writer = writer
        self.ledger = ledger
    }

    var next: UInt64 { writer.next }
    var isSnapshotting: Bool { if case .none = phase { false } else { true } }
    var snapshotsTaken = 0
    var segmentsRetired = 0

    // MARK: Opening

    /// What a start finds.
    struct Opened {
        var store: SimulatedStore
        var strays: [UInt8]
        /// Entries that were read behind the snapshot.
        var entries: [(sequence: UInt64, kind: UInt8, payload: [UInt8])]
        var unfinished: Int
    }

    static func open(_ disk: MemoryDisk, segmentBytes: Int, retention: RetentionPolicy?, nonce: UInt64) throws -> Opened
    {
        var snapshot = Snapshot(ledger: Ledger(), records: [])
        if let content = try SnapshotFile.read(of: identity, on: disk) { snapshot = try Snapshot(content.span.bytes) }
        snapshot.ledger.retain(retention != nil)
        var options = JournalOptions(
            identity: identity, nonce: nonce, segmentBytes: segmentBytes, firstSegmentBytes: segmentBytes / 2,
            reusableBytes: Int(nonce % 3) * segmentBytes)
        options.request.from = snapshot.ledger.next
        options.request.confirmed = snapshot.ledger.next
        var ledger = snapshot.ledger
        var flaw: LedgerFlaw?
        var entries: [(UInt64, UInt8, [UInt8])] = []
        let writer = try JournalWriter.open(disk, options) { header, position, payload in
            guard flaw == nil else { return }
            entries.append((header.sequence, header.kind, payload.withUnsafeBytes { Array($0) }))
            do throws(LedgerFlaw) {
                guard header.sequence == ledger.next else {
                    throw LedgerFlaw(what: "\(header.sequence) follows \(ledger.next - 1)", offset: 0)
                }
                try ledger.apply(kind: header.kind, payload, at: EntryPlace(position))
            } catch { flaw = error }
        }
        if let flaw { throw flaw }
        guard writer.next == ledger.next else {
            throw LedgerFlaw(what: "ends before \(writer.next), the snapshot before \(ledger.next)", offset: 0)
        }
        let unfinished = writer.found.findings.count { $0.kind == .unfinished }
        return Opened(
            store: SimulatedStore(disk, writer, ledger, retention), strays: snapshot.records, entries: entries,
            unfinished: unfinished)
    }

    func recover(_ pipeline: PipelineDefinition, strays: [UInt8]) throws -> Recovered {
        try ledger.recover(pipeline, strays: strays) { try fetch($0, $1, $2) }
    }

    // MARK: Groups

    func flush(_ group: inout EntryGroup) -> Outcome {
        var flaw: LedgerFlaw?
        do throws(JournalError) {
            _ = try writer.flush(&group) { header, position, payload in
                guard flaw == nil else { return }
                do throws(LedgerFlaw) {
                    try ledger.apply(kind: header.kind, payload, at: EntryPlace(position))
                } catch { flaw = error }
            }
        } catch {
            if case .full = error { return .full }
            return .lost(error.message)
        }
        if let flaw { return .flawed(flaw) }
        // The broker's store leaves that out when there is much to do.
        guard !writer.next.isMultiple(of: 3) else { return .durable }
        do throws(JournalError) { try writer.mark() } catch { return .lost(error.message) }
        return .durable
    }

    func prepare(zeros: Int) -> Outcome {
        guard writer.wantsPreparation else { return .durable }
        do throws(JournalError) { try writer.prepareAhead(zeros: zeros) } catch {
            if case .full = error { return .durable }
            return .lost(error.message)
        }
        return .durable
    }

    private func fetch(_ place: EntryPlace, _ last: UInt64, _ body: ([UInt8]) throws -> Void) throws {
        let position = JournalPosition(segment: place.segment, offset: place.offset, sequence: place.sequence)
        var reader = try JournalReader.open(disk, at: position)
        for _ in place.sequence...last {
            guard let header = try reader.advance() else { throw JournalError.notThere(position) }
            guard header.kind == EntryKind.steps else { continue }
            try body(reader.withPayload { span in span.withUnsafeBytes { Array($0) } })
        }
    }

    /// Not while a new snapshot has its name, and the ledger does not know of it yet.
    var canRead: Bool { if case .written = phase { false } else { true } }

    func read(_ subscription: Int, from sequence: UInt64, bytes: Int) throws -> [StoredRecord] {
        let plan = ledger.plan(subscription: subscription, from: sequence, bytes: bytes)
        var strays: [UInt8] = []
        if plan.needsSnapshot, let content = try SnapshotFile.read(of: Self.identity, on: disk) {
            strays = try Snapshot(content.span.bytes).records
        }
        let records = try plan.read(snapshot: strays) { try fetch($0, $1, $2) }
        guard !records.isEmpty else { throw LedgerFlaw(what: "record \(sequence) is not there", offset: 0) }
        return records
    }

    // MARK: Snapshots

    /// Does the next part of a snapshot; the first one if none is on its way. Want of space, or an error while nothing was at
    /// stake, gives it up.
    /// - Parameter now: microseconds since 1970
    func advanceSnapshot(_ random: inout some RandomNumberGenerator, at now: UInt64) -> Outcome {
        do {
            switch phase {
            case .none: capture(&random, at: now)
            case .captured(let captured, let cut):
                // If it fails, nothing has happened.
                phase = .none
                let floor = pending
                pending = 0
                var strays: [UInt8] = []
                if let content = try SnapshotFile.read(of: Self.identity, on: disk) {
                    strays = try Snapshot(content.span.bytes).records
                }
                let made = try captured.snapshot(cutting: cut, strays: strays) { try fetch($0, $1, $2) }
                try SnapshotFile.write(made.encoded(), of: Self.identity, on: disk)
                phase = .written(made.ledger, cut: cut)
                pending = floor
            case .written(let made, let cut):
                ledger.adopt(made, cutting: cut)
                phase = .retiring(writer.retirable(below: min(made.next, ledger.firstNeeded)), done: nil)
                snapshotsTaken += 1
            case .retiring(let segments, let done): try advanceRetirement(segments, done)
            }
            return .durable
        } catch JournalError.poisoned(let error) {
            return .lost(JournalError.poisoned(error).message)
        } catch let flaw as LedgerFlaw {
            return .flawed(flaw)
        } catch {
            return .full
        }
    }

    /// The file of the oldest of these segments goes; then the writer hears of it. Flushes and rotations come in between.
    private func advanceRetirement(
        _ segments: [UInt64], _ done: (Retirement, Result<Void, DiskError>)?
    ) throws(JournalError) {
        guard let first = segments.first else {
            phase = .none
            pending = 0
            return
        }
        guard let done else {
            let retirement = writer.retirement(of: first)
            phase = .retiring(segments, done: (retirement, retirement.carryOut(on: disk)))
            return
        }
        try writer.retire(done.0, done: done.1)
        segmentsRetired += 1
        phase = .retiring(Array(segments.dropFirst()), done: nil)
    }

    private func capture(_ random: inout some RandomNumberGenerator, at now: UInt64) {
        var captured = ledger
        var cut = chooseCut(&random)
        if let retention {
            let segments = writer.segments.map { (first: $0.first, bytes: $0.bytes) }
            let bound = ledger.bound(retention, segments: segments, now: now)
            captured.retain(from: bound)
            cut = min(cut, bound)
            pending = bound
        } else {
            pending = cut
        }
        captured.close(below: cut)
        ledger.close(below: cut)
        phase = .captured(captured, cut: cut)
    }

    // MARK: Replay

    /// As the broker's store does it.
    func prepareReplay(_ subscription: Int, from start: ReplayStart) throws -> ReplayRange {
        let range = try ledger.replay(subscription, from: start) { try fetch($0, $1, $2) }
        guard ledger.pin(subscription: subscription, range.from, floor: pending) else {
            throw ReplayRefusal(what: "is being removed")
        }
        return range
    }

    func dropReplay(_ subscription: Int, from sequence: UInt64) {
        ledger.unpin(subscription: subscription, sequence)
    }

    /// Where the broker would cut, or anywhere: at the beginning of a segment, in the middle of one, nowhere.
    private func chooseCut(_ random: inout some RandomNumberGenerator) -> UInt64 {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: 0
        case 1: UInt64.random(in: 1...ledger.next, using: &random)
        case 2: ledger.next
        default: min(ledger.next, writer.segments.map(\.first).randomElement(using: &random)!)
        }
    }
}

extension EntryPlace {
    fileprivate init(_ position: JournalPosition) {
        self.init(segment: position.segment, offset: position.offset, sequence: position.sequence)
    }
}
