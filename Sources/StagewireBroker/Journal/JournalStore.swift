import StagewireJournal
import StagewireLedger
import StagewireModel
import Synchronization

/// The journal and the state that its entries add up to, for the threads that block on the disk. Flushes come one at a
/// time; a snapshot may be made beside them.
final class JournalStore: Sendable {
    enum Outcome {
        case durable
        /// No room; the group may be tried again.
        case full(String)
        /// Nothing is confirmed any more.
        case lost(String)
    }

    struct State: ~Copyable {
        var writer: JournalWriter<FileDisk>
        var ledger: Ledger
        /// Bytes written since the last snapshot, and what that was made of.
        var written = 0
        var snapshotBytes = 0
        /// A snapshot is being made that does not have what is in entries below it; 0: none.
        var pending: UInt64 = 0

        /// Bytes of segments that something in them is needed of, and of the one prepared ahead.
        var usedBytes: Int { writer.byteCount - writer.reusableBytes }
    }

    let disk: FileDisk
    private let identity: JournalIdentity
    private let byteLimit: Int
    private let retention: RetentionPolicy?
    private let archive: Archive?
    /// For this type's extensions.
    let state: Mutex<State>
    /// What one flush writes: filled on the loop, written here.
    private let group = Mutex(EntryGroup())
    private let facts = Mutex(Facts())

    /// For a status, and for the loop, which must not wait for the state: whoever has that may be at the disk.
    struct Facts {
        /// Of segments and snapshot, and what of that is needed.
        var bytes = 0
        var usedBytes = 0
        var segments = 0
        var entries: UInt64 = 0
        var wantsPreparation = false
        var wantsSnapshot = false
    }

    init(
        _ opened: consuming StateDirectory.Opened, identity: JournalIdentity, limits: PipelineLimits,
        retention: RetentionPolicy?, archive: Archive?
    ) {
        disk = opened.disk
        byteLimit = limits.journalBytes
        self.retention = retention
        self.archive = archive
        self.identity = identity
        let copied = opened.strays.count
        state = Mutex(State(writer: opened.writer, ledger: opened.ledger, snapshotBytes: copied))
        noteFacts()
    }

    // MARK: Groups

    /// Gives a filled group for the emptied one before it.
    func exchange(_ other: inout EntryGroup) {
        group.withLock { swap(&$0, &other) }
    }

    /// Makes the group that was handed over durable. Blocks.
    func flush() -> Outcome {
        let outcome = group.withLock { group in
            state.withLock { state in Self.flush(&group, &state) }
        }
        noteFacts()
        return outcome
    }

    private static func flush(_ group: inout EntryGroup, _ state: inout State) -> Outcome {
        let bytes = group.byteCount
        var flaw: LedgerFlaw?
        var ledger = Ledger()
        swap(&ledger, &state.ledger)
        defer { swap(&ledger, &state.ledger) }
        do {
            _ = try state.writer.flush(&group) { header, position, payload in
                guard flaw == nil else { return }
                do throws(LedgerFlaw) {
                    try ledger.apply(kind: header.kind, payload, at: EntryPlace(position))
                } catch { flaw = error }
            }
        } catch {
            if case .full = error { return .full(error.message) }
            return .lost(error.message)
        }
        if let flaw { return .lost("The journal's entry cannot be understood by the one who wrote it: \(flaw)") }
        state.written += bytes
        return .durable
    }

    // MARK: Quiet times

    /// Writes down that what was flushed is durable. Does not wait for the disk.
    func mark() -> Outcome {
        state.withLock { state in
            do throws(JournalError) { try state.writer.mark() } catch { return .lost(error.message) }
            return .durable
        }
    }

    var wantsPreparation: Bool { facts.withLock { $0.wantsPreparation } }

    /// A piece of the next segment. Blocks for about a millisecond.
    func prepare() -> Outcome {
        defer { noteFacts() }
        return state.withLock { state in
            do throws(JournalError) { try state.writer.prepareAhead(zeros: 256 * 1024) } catch {
                // The rotation will say so if it still holds then.
                if case .full = error { return .durable }
                return .lost(error.message)
            }
            return .durable
        }
    }

    // MARK: Snapshots

    /// Whether enough was written for a new snapshot to be worth its cost: as much as the last one, and as a segment.
    var wantsSnapshot: Bool { facts.withLock { $0.wantsSnapshot } }

    /// Writes a snapshot and removes the segments that nobody needs any more. Blocks; flushes go on meanwhile.
    /// - Parameter freesAll: all segments but the active one go, whatever it costs to copy what is needed of them. Settlements
    ///   have to be written, too: a journal that is full of unsettled records would never have room again.
    /// - Throws: what the disk or the journal has against it. `.poisoned` is final, everything else leaves all as it was.
    func takeSnapshot(freesAll: Bool = false) throws {
        let now = Clock.now().wall
        if freesAll { try state.withLock { try $0.writer.dropAllReusable() } }
        let (ledger, cut, active) = state.withLock { state -> (Ledger, UInt64, Int) in
            let segments = state.writer.segments.map { (first: $0.first, bytes: $0.bytes) }
            var ledger = state.ledger
            let bound = ledger.bound(policy(freesAll: freesAll), segments: segments, now: now)
            ledger.retain(from: bound)
            let spared = !freesAll && state.usedBytes < byteLimit / 2 ? byteLimit / 8 : 0
            let cut = min(bound, SnapshotPlan.cut(ledger, segments, freesAll: freesAll, sparing: spared))
            state.pending = bound == .max ? cut : bound
            ledger.close(below: cut)
            state.ledger.close(below: cut)
            return (ledger, cut, state.written)
        }
        defer { state.withLock { $0.pending = 0 } }
        var strays: [UInt8] = []
        if let content = try SnapshotFile.read(of: identity, on: disk) {
            strays = try Snapshot(content.span.bytes).records
        }
        var fetcher = EntryFetcher(disk)
        let snapshot = try ledger.snapshot(cutting: cut, strays: strays) { try fetcher.fetch($0, $1, $2) }
        let content = snapshot.encoded()
        try SnapshotFile.write(content, of: identity, on: disk)
        let retired = state.withLock { state in
            state.ledger.adopt(snapshot.ledger, cutting: cut)
            state.written -= active
            state.snapshotBytes = content.count
            return state.writer.retirable(below: min(snapshot.ledger.next, state.ledger.firstNeeded))
        }
        try retire(retired, reusing: !freesAll)
    }

    /// Removes segments that nobody needs any more, or has them used again, unless an archive has the same file. One of 64 MiB takes
    /// longer to remove than a group to be written, and longer still to be copied into an archive: flushes go on meanwhile.
    private func retire(_ segments: [UInt64], reusing: Bool) throws {
        try archive?.keep(segments)
        for first in segments {
            let isShared = disk.isShared(JournalFormat.segmentName(first))
            let retirement = state.withLock { $0.writer.retirement(of: first, reusing: reusing && !isShared) }
            let done = retirement.carryOut(on: disk)
            try state.withLock { try $0.writer.retire(retirement, done: done) }
            noteFacts()
        }
        noteFacts()
    }

    /// Nothing is retained at the cost of what is needed.
    private func policy(freesAll: Bool) -> RetentionPolicy {
        guard !freesAll, var policy = retention else { return RetentionPolicy(bytes: 0) }
        policy.bytes = min(policy.bytes ?? .max, byteLimit / 2)
        return policy
    }

    // MARK: Reading back

    /// Records of a subscription's stream from a sequence on, about so many bytes. None: they are not written yet. Blocks.
    func read(_ subscription: Int, from sequence: UInt64, bytes: Int) throws -> [StoredRecord] {
        do { return try readOnce(subscription, from: sequence, bytes: bytes) } catch {
            // A snapshot may have moved them meanwhile.
            return try readOnce(subscription, from: sequence, bytes: bytes)
        }
    }

    private func readOnce(_ subscription: Int, from sequence: UInt64, bytes: Int) throws -> [StoredRecord] {
        let plan = state.withLock { $0.ledger.plan(subscription: subscription, from: sequence, bytes: bytes) }
        var strays: [UInt8] = []
        if plan.needsSnapshot, let content = try SnapshotFile.read(of: identity, on: disk) {
            strays = try Snapshot(content.span.bytes).records
        }
        var fetcher = EntryFetcher(disk)
        return try plan.read(snapshot: strays) { try fetcher.fetch($0, $1, $2) }
    }

    // MARK: Status

    var status: Facts { facts.withLock { $0 } }

    /// Three quarters of the limit are used: what is left is for what streams hold in memory, and for settlements.
    var isTight: Bool { facts.withLock { $0.usedBytes > byteLimit / 4 * 3 } }

    private func noteFacts() {
        // Under the state's lock, so that what was seen later is said later.
        state.withLock { state in
            let now = Facts(
                bytes: state.writer.byteCount + state.snapshotBytes,
                usedBytes: state.usedBytes + state.snapshotBytes, segments: state.writer.segmentCount,
                entries: state.writer.next - 1,
                wantsPreparation: state.writer.isHalfFull && state.writer.wantsPreparation,
                wantsSnapshot: state.written >= max(state.writer.activeBytes, 2 * state.snapshotBytes))
            facts.withLock { $0 = now }
        }
    }
}

/// What a snapshot copies so that old segments may go.
enum SnapshotPlan {
    /// Bytes of records that a snapshot copies at most when everything has to go: they pass through memory.
    static let mostCopied = 256 * 1024 * 1024
    /// The same of an ordinary one, beside what the one before it had copied. More of what old segments are kept for is the next one's.
    static let mostCopiedAnew = 64 * 1024 * 1024

    /// The first entry that is kept: the latest beginning of a segment below which so little is needed that copying it
    /// costs an eighth of what is freed: what is on its way will not be needed for long, and what stays is worth a copy as soon
    /// as enough came after it. So the disk has at most about eight times what is needed. 0: nothing is worth a copy.
    ///
    /// With `sparing` nothing is copied out of the latest full segments: as many as four times what is needed would fill, one at least,
    /// and at most so many bytes. Under load that is what is on its way, and when later snapshots come nobody needs it any more. It
    /// costs the disk those segments.
    ///
    /// With `freesAll` it is the active segment, unless that were too much for memory.
    static func cut(
        _ ledger: Ledger, _ segments: [(first: UInt64, bytes: Int)], freesAll: Bool, sparing: Int,
        anew: Int = mostCopiedAnew
    ) -> UInt64 {
        if freesAll, let last = segments.last, ledger.liveBytes(below: last.first) <= mostCopied {
            return min(last.first, ledger.next)
        }
        let copied = ledger.strayBytes
        var freed = segments.dropLast().reduce(0) { $0 + $1.bytes }
        // From the latest on, each time half as many segments: a few looks are enough.
        var count = segments.count - 1
        var spared = min(sparing, max(1, 4 * (ledger.liveBytes(below: ledger.next) - copied)))
        while spared > 0, count > 0, ledger.liveBytes(below: segments[count].first) > copied {
            count -= 1
            freed -= segments[count].bytes
            spared -= segments[count].bytes
        }
        while count > 0 {
            let cut = segments[count].first
            let live = ledger.liveBytes(below: cut)
            if live <= freed / 8, live - copied <= anew { return min(cut, ledger.next) }
            let fewer = count / 2
            freed -= segments[fewer..<count].reduce(0) { $0 + $1.bytes }
            count = fewer
        }
        return 0
    }
}
