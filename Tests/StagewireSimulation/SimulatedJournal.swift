import StagewireDiskSimulation
import StagewireJournal
import StagewireLedger
import StagewireModel
import StagewireRouter
import StagewireTestSupport

/// The journal of a rig: groups become durable after a while, snapshots are made in between, the disk fails and fills up,
/// and the process or the machine ends between any two calls to it.
///
/// It stands for the broker's thread of the journal and for its event loop, whose parts follow each other as the seed wants:
///
///     seal -> filling | submit -> flying | flush: on the disk | told: commit
package final class SimulatedJournal {
    package struct Options {
        /// Chance of a fault of the disk in a turn, in a thousand.
        package var faultPermille = 0
        package var segmentBytes = 4096
        package var retention: RetentionPolicy?

        package init() {}
    }

    private struct Entry {
        var kind: UInt8
        var payload: [UInt8]
        /// A group's.
        var ticket: CommitTicket?
    }

    /// What is on its way, beside `filling`.
    private enum Flight { case none, submitted, durable }

    package let disk: MemoryDisk
    private let pipeline: PipelineDefinition
    private let options: Options
    private var random: SeededGenerator
    private var store: SimulatedStore?
    private var account: DurableAccount

    /// Subscriptions that are slow for so long fall behind.
    package static let patience = Duration.milliseconds(30)
    /// A short stream has fewer records than its window of 64.
    package static let leastRecords = 8
    /// What waits for the disk before deliveries wait, too, bytes.
    private static let enoughWaiting = 3000

    private var filling: [Entry] = []
    private var flying: [Entry] = []
    private var group = EntryGroup()
    private var flight = Flight.none
    private var asked: [(subscription: Int, from: UInt64)] = []
    private var isTight = false
    /// Of this turn, microseconds since 1970.
    private var wall: UInt64 = 0
    /// Turns until there is room again.
    private var turnsFull = 0

    /// Tickets are numbered anew by each router; these go on.
    package private(set) var durableTicket: UInt64 = 0
    private var firstTicket: UInt64 = 0
    /// Everything is made durable at once, and nothing fails.
    package var isCalm = false {
        didSet {
            guard isCalm else { return }
            disk.faults = [:]
            disk.nextFault = nil
            disk.capacity = .max
            turnsFull = 0
        }
    }
    package private(set) var isDown = false
    /// What should not have been.
    private var ownFaults: [String] = []
    package var faults: [String] { ownFaults + account.faults }
    package private(set) var statistics = SimulationStatistics()

    package init(_ pipeline: PipelineDefinition, seed: UInt64, _ options: Options = Options()) {
        self.pipeline = pipeline
        self.options = options
        random = SeededGenerator(seed: seed ^ 0x6a6f_7572_6e61_6c)
        disk = MemoryDisk(random: SeededGenerator(seed: seed ^ 0x6469_736b))
        account = DurableAccount(pipeline)
    }

    // MARK: What is durable

    /// The ticket, over all routers so far, of what the router does next.
    package func openTicket(_ router: Router) -> UInt64 { firstTicket + router.nextTicketNumber }

    package func isDurable(_ id: RecordID, stream: Int) -> Bool {
        account.counts[DurableAccount.Key(stream: stream, id: id)] != nil
    }

    package func position(stage: Int, partition: String) -> SourcePosition {
        account.positions[stage]?[partition] ?? SourcePosition()
    }

    /// By stream, in order: all records that were ever appended.
    package var payloads: [[String]] { account.payloads }

    // MARK: The turn

    package func turn(_ router: inout Router, at now: Moment) {
        wall = now.wall
        guard !isDown, let store else { return }
        if !isCalm {
            arrange()
            // The disk is nearly full for a while, perhaps up to the end: everything goes on nevertheless.
            if chance(1, of: 150) { isTight.toggle() }
        }
        router.isDiskTight = isTight
        defer { router.isJournalBehind = waitingBytes + router.openBytes > Self.enoughWaiting }
        if isCalm || chance(flight == .none ? 8 : 2, of: 10), let ticket = router.seal(withRest: isCalm) {
            take(ticket, &router)
        }
        repeat {
            if flight == .none, !filling.isEmpty { submit() }
            if flight == .submitted, isCalm || chance(6, of: 10) { flush(store) }
            if flight == .durable, isCalm || chance(7, of: 10) { tell(&router) }
        } while isCalm && !isDown && !(filling.isEmpty && flight == .none)
        if flight == .none, chance(1, of: 6) { note(store.prepare(zeros: 700)) }
        guard !isDown else { return }
        if store.isSnapshotting ? chance(1, of: 3) : chance(1, of: 40) {
            note(store.advanceSnapshot(&random, at: wall))
        }
        while !isDown, store.canRead, !asked.isEmpty, isCalm || chance(1, of: 2) { answer(store, &router) }
    }

    // MARK: Reading back

    package func ask(_ subscription: Int, from sequence: UInt64) { asked.append((subscription, sequence)) }

    private func answer(_ store: SimulatedStore, _ router: inout Router) {
        let question = asked.removeFirst()
        let bytes = Int.random(in: 1...4000, using: &random)
        do {
            let records = try store.read(question.subscription, from: question.from, bytes: bytes)
            let stream = account.stream(of: question.subscription)
            for record in records where Array(record.bytes) != account.record(record.sequence, of: stream) {
                ownFaults.append("record \(record.sequence) of stream \(stream) was read back as another")
            }
            router.take(records, subscription: question.subscription, from: question.from)
            statistics.readings += 1
        } catch let flaw as LedgerFlaw {
            note(.flawed(flaw))
        } catch {
            // What waits on the disk is needed: without it the broker does not go on.
            note(.lost("\(error)"))
        }
    }

    /// Where a replay begins; nil: nothing is kept of it (any more).
    package func prepareReplay(_ subscription: Int, from start: ReplayStart) -> UInt64? {
        guard !isDown, let store else { return nil }
        do {
            let range = try store.prepareReplay(subscription, from: start)
            statistics.replays += 1
            return range.from
        } catch is ReplayRefusal {
            return nil
        } catch let flaw as LedgerFlaw {
            note(.flawed(flaw))
        } catch {
            note(.lost("\(error)"))
        }
        return nil
    }

    package func dropReplay(_ subscription: Int, from sequence: UInt64) {
        store?.dropReplay(subscription, from: sequence)
    }

    private func chance(_ count: Int, of whole: Int) -> Bool { Int.random(in: 0..<whole, using: &random) < count }

    private func take(_ ticket: CommitTicket, _ router: inout Router) {
        var payload: [UInt8] = []
        router.forEachPart(of: ticket) { part in part.withUnsafeBytes { payload += $0 } }
        filling.append(Entry(kind: EntryKind.steps, payload: payload, ticket: ticket))
    }

    private var waitingBytes: Int { filling.reduce(0) { $0 + $1.payload.count } }

    private func submit() {
        swap(&flying, &filling)
        for entry in flying { group.append(kind: entry.kind, entry.payload.span.bytes) }
        flight = .submitted
    }

    private func flush(_ store: SimulatedStore) {
        let outcome = store.flush(&group)
        switch outcome {
        case .durable:
            keep(flying)
            flight = .durable
            statistics.flushes += 1
        case .full:
            // The group stays as it is.
            statistics.full += 1
            if !store.isSnapshotting { note(store.advanceSnapshot(&random, at: wall)) }
        case .lost, .flawed: break
        }
        note(outcome)
    }

    private func tell(_ router: inout Router) {
        for entry in flying { if let ticket = entry.ticket { router.commit(ticket) } }
        land()
    }

    private func land() {
        flying = []
        group.removeAll()
        flight = .none
    }

    private func keep(_ entries: some Sequence<Entry>) {
        for entry in entries {
            account.add(entry.kind, entry.payload)
            if let ticket = entry.ticket { durableTicket = firstTicket + ticket.number }
        }
    }

    private func note(_ outcome: SimulatedStore.Outcome) {
        if disk.hasCrashed {
            isDown = true
            return
        }
        switch outcome {
        case .durable, .full: return
        case .lost(let reason):
            statistics.failures += 1
            // Only a disk that failed is a reason.
            if !disk.hasFailed { ownFaults.append("the journal was lost: \(reason)") }
        case .flawed(let flaw): ownFaults.append("\(flaw)")
        }
        isDown = true
    }

    // MARK: Faults

    /// Lets something happen to the disk soon.
    private func arrange() {
        if turnsFull > 0 {
            turnsFull -= 1
            if turnsFull == 0 { disk.capacity = .max }
        }
        guard Int.random(in: 0..<1000, using: &random) < options.faultPermille else { return }
        let call = disk.calls.count + Int.random(in: 0..<8, using: &random)
        switch Int.random(in: 0..<12, using: &random) {
        case 0..<5:
            disk.faults[call] = [.crashBefore, .crashAfter, .crashHalfway].randomElement(using: &random)!
        case 5..<7:
            disk.nextFault = (.sync, Int.random(in: 0..<2, using: &random), .fails)
        case 7: disk.faults[call] = .fails
        case 8: disk.faults[call] = .short
        case 9:
            let operation = [DiskOperation.write, .create, .preallocate, .rename].randomElement(using: &random)!
            disk.nextFault = (operation, Int.random(in: 0..<3, using: &random), .full)
        case 10:
            let operation = [DiskOperation.rename, .remove, .syncDirectory].randomElement(using: &random)!
            let fault = [MemoryDisk.Fault.crashBefore, .crashAfter, .fails].randomElement(using: &random)!
            disk.nextFault = (operation, Int.random(in: 0..<2, using: &random), fault)
        default:
            disk.capacity = disk.used + Int.random(in: 0..<6000, using: &random)
            turnsFull = Int.random(in: 1...60, using: &random)
        }
    }

    // MARK: Starting

    /// A broker begins, in whatever the one before it has left. If that has not ended, it ends now, with its machine or alone.
    package func start(at now: Moment) -> Router {
        end()
        if account.next > 1 { statistics.starts += 1 }
        for attempt in 0..<30 {
            do { return try open(isLast: attempt > 20, at: now) } catch {
                store = nil
                guard disk.hasCrashed || disk.hasFailed else {
                    ownFaults.append("a start was refused: \(error)")
                    break
                }
                restartDisk()
            }
        }
        ownFaults.append("the journal cannot be opened")
        isDown = true
        return Router(pipeline)
    }

    private func end() {
        statistics.snapshots += store?.snapshotsTaken ?? 0
        statistics.retired += store?.segmentsRetired ?? 0
        store = nil
        if !disk.hasCrashed, disk.openFiles > 0 { ownFaults.append("\(disk.openFiles) files are still open") }
        restartDisk()
        // What was not handed over never reached the disk; of what was, `compare` sees how much.
        filling = []
        asked = []
        isDown = false
    }

    private func restartDisk() {
        disk.restart(chance(1, of: 4) ? .process : .power(seed: random.next()))
        disk.capacity = .max
        turnsFull = 0
    }

    private func open(isLast: Bool, at now: Moment) throws -> Router {
        if !isLast, !isCalm, chance(1, of: 4) {
            let fault = [MemoryDisk.Fault.crashBefore, .crashAfter, .crashHalfway, .fails, .short, .full]
            disk.faults[Int.random(in: 0..<40, using: &random)] = fault.randomElement(using: &random)!
        }
        let opened = try SimulatedStore.open(
            disk, segmentBytes: options.segmentBytes, retention: options.retention, nonce: random.next())
        store = opened.store
        statistics.unfinished += opened.unfinished
        compare(opened)
        try writeLayout(opened.store)
        let recovered = try opened.store.recover(pipeline, strays: opened.strays)
        let (found, expected) = (recovered.lines, try account.recovered().lines)
        if found != expected { ownFaults.append(difference(found, expected)) }
        var routerOptions = Router.Options()
        routerOptions.isRecording = true
        routerOptions.patience = Self.patience
        routerOptions.leastRecords = Self.leastRecords
        firstTicket = durableTicket
        return Router(pipeline, options: routerOptions, recovered: recovered, at: now)
    }

    /// Entries that were under way may be there up to some point, as they were given; all others have to be there.
    private func compare(_ opened: SimulatedStore.Opened) {
        let survived = Int(opened.store.next) - Int(account.next)
        if survived < 0 || survived > flying.count || survived > 0 && flight != .submitted {
            ownFaults.append("the journal goes on with \(opened.store.next) where \(account.next) was expected")
        } else {
            keep(flying.prefix(survived))
            statistics.survivors += survived
        }
        land()
        for entry in opened.entries where entry.sequence < account.next {
            let known = account.entries[Int(entry.sequence) - 1]
            if known.kind != entry.kind || known.payload != entry.payload {
                ownFaults.append("entry \(entry.sequence) is another")
            }
        }
    }

    private func writeLayout(_ store: SimulatedStore) throws {
        filling = [Entry(kind: EntryKind.layout, payload: Layout(pipeline).encoded())]
        submit()
        guard case .durable = store.flush(&group) else { throw DiskError(.write, "layout", .noSpace) }
        keep(flying)
        land()
    }

    private func difference(_ found: [String], _ expected: [String]) -> String {
        for (one, other) in zip(found, expected) where one != other { return "recovered \(one), expected \(other)" }
        return "recovered \(found.count) lines, expected \(expected.count)"
    }
}
