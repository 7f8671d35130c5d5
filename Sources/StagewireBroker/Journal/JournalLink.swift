import NIOCore
import NIOPosix
import StagewireJournal
import StagewireLedger
import StagewireModel
import StagewireRouter

/// What the link tells the switchboard, on the event loop.
protocol JournalLinkObserver: AnyObject {
    /// Groups are durable.
    func durable(_ tickets: [CommitTicket])
    /// Records that were asked for.
    func read(_ subscription: Int, from sequence: UInt64, _ records: [StoredRecord])
    func noticed(_ notice: Notice)
    /// Nothing is confirmed any more.
    func journalLost(_ reason: String)
}

/// Between the router and the journal's thread: gathers groups of steps while a flush is under way, hands them over
/// together, and brings the answer back. So the groups are as large as the disk is slow, up to what the smallest journal has
/// room for at once. Confined to the event loop.
final class JournalLink {
    /// Groups that one flush writes, with what waits for it.
    private final class Batch {
        var group = EntryGroup()
        /// What is confirmed when they are durable.
        var tickets: [CommitTicket] = []
    }

    /// Bytes of an open group that are not worth waiting for; nor does a flush write more, unless a single group has more.
    private static let largeGroup = 4 * 1024 * 1024
    /// While so much waits already, groups go on growing; what comes is bounded by the streams' windows.
    private static let mostWaiting = 16 * 1024 * 1024
    /// While so much waits for a flush, beside the one that is under way, nothing more is handed out: it would come back and wait.
    private static let enoughWaiting = 2 * largeGroup
    /// As many large groups as may wait.
    private static let mostSpares = mostWaiting / largeGroup
    /// `relaxed`: what may be lost is at most what came in such a time, and in such an amount.
    static let relaxedDelay = TimeAmount.milliseconds(100)
    private static let relaxedBytes = 4 * 1024 * 1024
    /// A flush of more says that there is much to do: what can be prepared ahead is left for quieter times, for it makes the next
    /// one wait, and the disk write more.
    private static let busyFlush = 256 * 1024
    /// How long after the last flush it is written down that it is durable. Each that follows another says so of that one anyhow.
    private static let markDelay = TimeAmount.milliseconds(100)
    /// How long after a full disk it is tried again.
    private static let patience = TimeAmount.milliseconds(500)
    /// How long after a record that is not written yet it is looked for again.
    private static let readPatience = TimeAmount.milliseconds(10)
    /// How long after a snapshot that could not be made the next one is due.
    private static let snapshotPatience = TimeAmount.seconds(5)

    let store: JournalStore
    private let loop: any EventLoop
    /// One for the journal, the others read and make snapshots.
    private let pool = NIOThreadPool(numberOfThreads: 3)
    /// What is confirmed before it is durable.
    private let isRelaxed: Bool
    weak var observer: (any JournalLinkObserver)?

    /// They wait for their flushes; the last one takes the next group.
    private var batches: CircularBuffer<Batch> = []
    /// Those that were written, for their memory.
    private var spares: [Batch] = []
    private var queuedBytes = 0
    /// Of the batch that is being written.
    private var flying: [CommitTicket] = []
    /// All tickets that wait.
    private var unconfirmed = 0
    /// Bytes of the last batch that was handed over.
    private var lastFlush = 0
    /// It was written down that what was flushed is durable.
    private var isMarked = true
    private var isMarkTimerSet = false
    private var isBusy = false
    /// When the flush that is under way began, uptime in nanoseconds.
    private var flushBegan: UInt64 = 0
    /// How long flushes take of late, nanoseconds.
    private(set) var flushTime: UInt64 = 0
    private var isTimerSet = false
    private var isSnapshotting = false
    /// The last snapshot failed, which has been said once; until its time has passed the next one is not due.
    private var isSnapshotFailing = false
    private var isSnapshotResting = false
    private(set) var isFull = false
    private(set) var isLost = false
    private var closing: EventLoopPromise<Void>?

    init(_ store: JournalStore, isRelaxed: Bool, loop: any EventLoop) {
        self.store = store
        self.isRelaxed = isRelaxed
        self.loop = loop
        pool.start()
    }

    // MARK: Groups

    /// Closes the router's open group if the time has come, and sends it on its way.
    func turn(_ router: inout Router) {
        guard !isLost else { return }
        router.isDiskTight = store.isTight
        if wantsGroup(router.openBytes) { close(groupOf: &router) }
        submit()
        router.isJournalBehind = router.openBytes + queuedBytes >= Self.enoughWaiting
    }

    /// A group that has become large in the middle of a turn.
    func relieve(_ router: inout Router) {
        guard !isLost, router.openBytes >= Self.largeGroup else { return }
        close(groupOf: &router)
    }

    /// The next turn closes a group of any size.
    var closesGroups: Bool { !isLost && (mayConfirmAhead || !isBusy) }

    private func wantsGroup(_ openBytes: Int) -> Bool {
        mayConfirmAhead || !isBusy || openBytes >= Self.largeGroup && queuedBytes < Self.mostWaiting
    }

    /// `relaxed`, unless the disk is behind by more than moments: then it is as with `disk`. Confirmations keep their order.
    private var mayConfirmAhead: Bool {
        isRelaxed && !isFull && unconfirmed == 0 && queuedBytes < Self.mostWaiting
    }

    private func close(groupOf router: inout Router, withRest: Bool = false) {
        let bytes = router.openBytes
        guard let ticket = router.seal(withRest: withRest) else { return }
        let batch = batch(for: bytes)
        let before = batch.group.byteCount
        batch.group.begin(kind: EntryKind.steps)
        router.forEachPart(of: ticket) { batch.group.put($0) }
        batch.group.end()
        queuedBytes += batch.group.byteCount - before
        if mayConfirmAhead {
            router.commit(ticket)
        } else {
            batch.tickets.append(ticket)
            unconfirmed += 1
        }
    }

    /// The one with room for so many bytes more.
    private func batch(for bytes: Int) -> Batch {
        if let last = batches.last, last.group.byteCount + bytes <= Self.largeGroup { return last }
        let batch = spares.popLast() ?? Batch()
        batches.append(batch)
        return batch
    }

    private func submit() {
        guard !isBusy, !batches.isEmpty else { return }
        if isRelaxed, queuedBytes < Self.relaxedBytes, unconfirmed == 0, closing == nil { return setTimer() }
        launch()
    }

    private func launch() {
        isBusy = true
        let batch = batches.removeFirst()
        lastFlush = batch.group.byteCount
        isMarked = false
        queuedBytes -= lastFlush
        flying = batch.tickets
        batch.tickets.removeAll(keepingCapacity: true)
        store.exchange(&batch.group)
        // What a few very large records have grown is not kept for good.
        if spares.count < Self.mostSpares, batch.group.reservedBytes <= Self.mostWaiting { spares.append(batch) }
        flush()
    }

    private func flush() {
        flushBegan = Clock.uptime()
        run {
            $0.flush()
        } then: {
            $0.flushed($1)
        }
    }

    private func setTimer() {
        guard !isTimerSet else { return }
        isTimerSet = true
        loop.assumeIsolated().scheduleTask(in: Self.relaxedDelay) { [weak self] in
            guard let self else { return }
            isTimerSet = false
            guard !isBusy, !batches.isEmpty, !isLost else { return }
            launch()
        }
    }

    private func flushed(_ outcome: JournalStore.Outcome) {
        switch outcome {
        case .durable:
            if isFull {
                isFull = false
                observer?.noticed(Notice(.info, "the journal has room again"))
            }
            flushTime = (3 * flushTime + Clock.uptime() - flushBegan) / 4
            let tickets = flying
            flying = []
            unconfirmed -= tickets.count
            isBusy = false
            // Without tickets, too: a group may have waited for room.
            observer?.durable(tickets)
            goOn()
        case .full(let reason):
            guard closing == nil else { return end() }
            if !isFull {
                isFull = true
                observer?.noticed(Notice(.error, "nothing is confirmed until there is room. \(reason)"))
            }
            if !isSnapshotResting { snapshot(freesAll: true) }
            loop.assumeIsolated().scheduleTask(in: Self.patience) { [weak self] in self?.flush() }
        case .lost(let reason): lose(reason)
        }
    }

    /// A flush is done: the next one, or what is for quiet times.
    private func goOn() {
        guard !isLost else { return }
        if !isSnapshotResting, store.wantsSnapshot { snapshot() }
        submit()
        guard !isBusy else { return }
        if closing != nil { return isMarked ? finish() : mark() }
        if !isMarked { setMarkTimer() }
        guard lastFlush <= Self.busyFlush, store.wantsPreparation else { return }
        work { $0.prepare() }
    }

    private func setMarkTimer() {
        guard !isMarkTimerSet else { return }
        isMarkTimerSet = true
        loop.assumeIsolated().scheduleTask(deadline: .uptimeNanoseconds(markDue)) { [weak self] in
            guard let self else { return }
            isMarkTimerSet = false
            // If something is under way, its end comes back here.
            guard !isMarked, !isBusy, batches.isEmpty, !isLost, closing == nil else { return }
            if Clock.uptime() >= markDue { mark() } else { setMarkTimer() }
        }
    }

    /// Uptime in nanoseconds.
    private var markDue: UInt64 { flushBegan + UInt64(Self.markDelay.nanoseconds) }

    private func mark() {
        isMarked = true
        work { $0.mark() }
    }

    /// Does something for quiet times, between flushes.
    private func work(_ work: @escaping @Sendable (JournalStore) -> JournalStore.Outcome) {
        isBusy = true
        run(work) { link, outcome in
            link.isBusy = false
            if case .lost(let reason) = outcome { return link.lose(reason) }
            // A group may have waited for this, and nothing else may happen.
            link.observer?.durable([])
            link.goOn()
        }
    }

    private func lose(_ reason: String) {
        guard !isLost else { return }
        isLost = true
        observer?.journalLost(reason)
        if closing != nil { end() }
    }

    // MARK: Reading back

    /// Reads records of a subscription's stream and gives them to the observer.
    func read(_ subscription: Int, from sequence: UInt64, bytes: Int) {
        guard !isLost else { return }
        let link = NIOLoopBound(self, eventLoop: loop)
        let (store, loop) = (store, loop)
        pool.submit { state in
            guard state == .active else { return }
            let result = Result { try store.read(subscription, from: sequence, bytes: bytes) }
            loop.execute {
                switch result {
                case .success(let records): link.value.answer(records, subscription, from: sequence, bytes: bytes)
                case .failure(let error): link.value.lose("What waits on the disk cannot be read: \(Self.text(error))")
                }
            }
        }
    }

    /// With `relaxed`, what a stream's memory has let go may not be written yet.
    private func answer(_ records: [StoredRecord], _ subscription: Int, from sequence: UInt64, bytes: Int) {
        guard records.isEmpty else { return observer?.read(subscription, from: sequence, records) ?? () }
        guard isRelaxed else { return lose("Record \(sequence) is needed and is not on the disk.") }
        if !isBusy, !batches.isEmpty, !isLost { launch() }
        loop.assumeIsolated().scheduleTask(in: Self.readPatience) { [weak self] in
            self?.read(subscription, from: sequence, bytes: bytes)
        }
    }

    /// Finds where a replay begins, and keeps what it needs.
    func prepareReplay(
        _ subscription: Int, from start: ReplayStart, then done: @escaping (Result<ReplayRange, any Error>) -> Void
    ) {
        let link = NIOLoopBound(done, eventLoop: loop)
        let (store, loop) = (store, loop)
        pool.submit { state in
            guard state == .active else { return loop.execute { link.value(.failure(CancellationError())) } }
            let result = Result { try store.prepareReplay(subscription, from: start) }
            loop.execute { link.value(result) }
        }
    }

    func dropReplay(_ subscription: Int, from sequence: UInt64) {
        let store = store
        pool.submit { state in if state == .active { store.dropReplay(subscription, from: sequence) } }
    }

    static func text(_ error: any Error) -> String {
        (error as? JournalError)?.message ?? (error as? DiskError)?.message ?? "\(error)"
    }

    // MARK: Snapshots

    private func snapshot(freesAll: Bool = false) {
        guard !isSnapshotting, !isLost else { return }
        isSnapshotting = true
        let link = NIOLoopBound(self, eventLoop: loop)
        let (store, loop) = (store, loop)
        pool.submit { state in
            guard state == .active else { return }
            let result = Result { try store.takeSnapshot(freesAll: freesAll) }
            loop.execute { link.value.snapshotted(result) }
        }
    }

    private func snapshotted(_ result: Result<Void, any Error>) {
        isSnapshotting = false
        switch result {
        case .success:
            isSnapshotFailing = false
            // There may be room now for what waits.
            observer?.durable([])
        case .failure(JournalError.poisoned(let error)): lose(JournalError.poisoned(error).message)
        case .failure(let error): snapshotFailed(error)
        }
        if closing != nil, !isBusy { finish() }
    }

    private func snapshotFailed(_ error: any Error) {
        isSnapshotResting = true
        loop.assumeIsolated().scheduleTask(in: Self.snapshotPatience) { [weak self] in self?.isSnapshotResting = false }
        guard !isSnapshotFailing else { return }
        isSnapshotFailing = true
        observer?.noticed(
            Notice(.warning, "no snapshot could be made, so old segments stay: \(Self.text(error))"))
    }

    // MARK: The end

    /// Writes down everything that is left, and a snapshot; the future succeeds when that is done or cannot be done.
    func close(_ router: inout Router) -> EventLoopFuture<Void> {
        let promise = loop.makePromise(of: Void.self)
        closing = promise
        guard !isLost else {
            end()
            return promise.futureResult
        }
        close(groupOf: &router, withRest: true)
        if !isBusy { goOn() }
        return promise.futureResult
    }

    private var hasLastSnapshot = false

    private func finish() {
        guard !isSnapshotting else { return }
        guard hasLastSnapshot else {
            hasLastSnapshot = true
            return snapshot()
        }
        end()
    }

    private func end() {
        guard let promise = closing else { return }
        closing = nil
        isLost = true
        pool.shutdownGracefully { _ in }
        promise.succeed()
    }

    /// Has the journal's thread do something.
    private func run(
        _ work: @escaping @Sendable (JournalStore) -> JournalStore.Outcome,
        then done: @escaping (JournalLink, JournalStore.Outcome) -> Void
    ) {
        let link = NIOLoopBound((self, done), eventLoop: loop)
        let (store, loop) = (store, loop)
        pool.submit { state in
            guard state == .active else { return }
            let outcome = work(store)
            loop.execute { link.value.1(link.value.0, outcome) }
        }
    }
}
