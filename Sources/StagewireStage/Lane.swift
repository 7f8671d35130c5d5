import StagewireModel
import StagewireWire
import Synchronization

/// What a session's handlers and the code around them share: the queue in, outcomes out.
///
/// `@unchecked Sendable`: one task at a time runs it. A new task takes over only when the one before has returned,
/// because its handler was cancelled for lack of time.
final class Lane: @unchecked Sendable {
    enum Handler {
        case single(SingleHandler)
        case group(GroupRule, GroupHandler)
    }

    let hub: Hub
    let outbox: Outbox
    let welcome: Welcome
    let handler: Handler
    private let timeout: Duration
    /// What has left the queue and is not yet in anybody's hands.
    private var batch: Batch?
    private var index = 0
    private var closed = ClosedLanes()
    /// Between two tasks of the session.
    private var step: Step
    /// As `Task.isCancelled`, for the loop over records.
    private let isCancelled = Atomic<Bool>(false)
    var sorter: WindowSorter?

    init(_ hub: Hub, _ outbox: Outbox, _ welcome: Welcome, _ handler: Handler, timeout: Duration) {
        self.hub = hub
        self.outbox = outbox
        self.welcome = welcome
        self.handler = handler
        self.timeout = timeout
        step = Step(welcome)
        if case .group(.window(let bounds, let byKey), _) = handler { sorter = WindowSorter(bounds, byKey: byKey) }
    }

    /// Handles what arrives until the session ends, or until the task is cancelled.
    func run() async {
        isCancelled.store(false, ordering: .relaxed)
        // Handed on, not used as a member, whose accesses would be checked for each record.
        var step = step
        await withTaskCancellationHandler {
            switch handler {
            case .single(.synchronous(let body)): await runSynchronous(body, &step)
            case .single(.asynchronous(let body)): await runAsynchronous(body, &step)
            case .group(.arrived(let most), let handler): await runBatches(most, handler, &step)
            case .group(.window, let handler): await runWindows(handler, &step)
            }
        } onCancel: {
            isCancelled.store(true, ordering: .relaxed)
        }
        self.step = step
        outbox.flush()
    }

    /// Where nothing has to be waited for, no asynchronous function is called: each costs as much as the rest of a record.
    private func runSynchronous(_ body: Stage.Transform, _ step: inout Step) async {
        while await refill() {
            switch handleBatch(body, &step) {
            case .done: break
            case .waits(let delivery): guard await acceptLater(delivery, &step) else { return }
            case .cancelled: return
            }
            guard !Task.isCancelled else { return }
        }
    }

    private func runAsynchronous(_ body: Stage.AsyncTransform, _ step: inout Step) async {
        while true {
            if !hasNext {
                guard await refill() else { return }
            }
            guard let record = take() else { continue }
            step.emitter.reset()
            begin()
            do {
                try await body(record, &step.emitter)
                end()
                if !accept(record, &step) {
                    guard await acceptLater(record.delivery, &step) else { return }
                }
            } catch {
                let outcome = judge(error)
                end()
                settle(record, outcome)
            }
            guard !Task.isCancelled else { return }
        }
    }

    /// Why `handleBatch` has returned.
    private enum Pause {
        case done
        /// A delivery has been handled, and there is no credit for what was emitted.
        case waits(UInt64)
        case cancelled
    }

    /// Handles what is at hand.
    private func handleBatch(_ body: Stage.Transform, _ step: inout Step) -> Pause {
        guard let batch else { return .done }
        while let record = next(of: batch) {
            step.emitter.reset()
            begin()
            do {
                try body(record, &step.emitter)
                end()
                guard accept(record, &step) else { return .waits(record.delivery) }
            } catch {
                let outcome = judge(error)
                end()
                settle(record, outcome)
            }
            guard !isCancelled.load(ordering: .relaxed) else { return .cancelled }
        }
        return .done
    }

    private func runBatches(_ most: Int, _ handler: GroupHandler, _ step: inout Step) async {
        while await refill() {
            var records: [Record] = []
            while records.count < most, let record = take() { records.append(record) }
            guard !records.isEmpty else { continue }
            guard await handle(Window(records: records), handler, &step), !Task.isCancelled else { return }
        }
    }

    // MARK: Records in

    /// Makes sure that there is a record to take; waits for one, having written what is gathered: the broker may
    /// wait for just that. False: the session has ended.
    private func refill() async -> Bool {
        if hasNext { return true }
        if let next = hub.look({ state in Self.pop(&state) }) { return adopt(next) }
        outbox.flush()
        return adopt(await hub.wait { state in Self.pop(&state) })
    }

    /// A batch, `.some(nil)` at the end, nil when there is none yet.
    static func pop(_ state: inout Hub.State) -> Hub.Arrival?? {
        if state.ended != nil || state.isLeaving { return .some(nil) }
        if Task.isCancelled { return .some(nil) }
        guard !state.queue.isEmpty else { return nil }
        return state.queue.removeFirst()
    }

    /// Credit is granted for the whole batch as it leaves the queue.
    func adopt(_ arrival: Hub.Arrival?) -> Bool {
        guard let arrival else { return false }
        let next = arrival.batch
        for nonce in arrival.pongs { closed.open(nonce) }
        let charge = Charge(records: UInt64(next.records.count), bytes: UInt64(next.size))
        let grant: CreditLimit? = hub.look { state in
            guard let index = state.inputs.firstIndex(where: { $0.number == next.input.number }) else { return nil }
            return state.inputs[index].take(charge)
        }
        if let grant { outbox.send(.credit(grant)) }
        batch = next
        index = 0
        return true
    }

    var hasNext: Bool { batch.map { index < $0.records.count } ?? false }

    func take() -> Record? { batch.flatMap { next(of: $0) } }

    /// The next record of the batch at hand that is for a handler. While a shutdown gives records back, it gives back
    /// all of them.
    private func next(of batch: Batch) -> Record? {
        while index < batch.records.count {
            guard !hub.isReleasing.load(ordering: .relaxed) else {
                let first = batch.firstDelivery + UInt64(index)
                let last = batch.firstDelivery + UInt64(batch.records.count) - 1
                outbox.settle([first...last], Outcome(kind: .released))
                index = batch.records.count
                return nil
            }
            index += 1
            let record = Record(batch, index - 1)
            // Nearly always there is nothing to look up, and the question alone would cost a twentieth of a record.
            guard !closed.isEmpty, closed.contain(record) else { return record }
            giveBack([record], Outcome(kind: .released))
            sorter?.expect(record)
        }
        return nil
    }

    // MARK: Outcomes

    func begin() { countProgress() }
    func end() { countProgress() }

    /// No addition in one instruction: nobody else writes it.
    private func countProgress() {
        hub.progress.store(hub.progress.load(ordering: .relaxed) &+ 1, ordering: .releasing)
    }

    /// What an error of a handler means. A cancelled handler has had its time, or works for a session that is over.
    func judge(_ error: any Error) -> Outcome {
        if error is CancellationError, hub.look({ $0.isOverdue }) {
            return Outcome(.retry("the handler was cancelled after its limit of \(timeout)", indefinite: true))
        }
        let verdict = Verdict.of(error)
        let isStopped = error is CancellationError && hub.isReleasing.load(ordering: .relaxed)
        if !(error is Verdict), !isStopped { Complaint.write("the handler failed: \(error)") }
        return Outcome(verdict)
    }

    /// Settles what comes again, as one outcome. Its lanes are closed from here on.
    ///
    /// Void records go one by one. If they are not void after all, for what they follow has used up its attempts and
    /// is a dead letter, the first is released and voids the rest; in one outcome each would count as released, and
    /// enough of that makes a dead letter too (RT-2).
    func giveBack(_ records: [Record], _ outcome: Outcome) {
        let ranges = Self.ranges(records)
        let lanes = Set(records.compactMap(OrderLane.init))
        guard !lanes.isEmpty else { return outbox.settle(ranges, outcome) }
        let nonce = outbox.giveBack(ranges, outcome)
        for lane in lanes { closed.close(lane, until: nonce) }
    }

    /// Settles one record that is not accepted.
    private func settle(_ record: Record, _ outcome: Outcome) {
        switch outcome.kind {
        case .accepted, .rejected: outbox.settle([record.delivery...record.delivery], outcome)
        case .retry, .released: giveBack([record], outcome)
        }
    }

    /// Settles one record whose handler has returned. False: the credit for what was emitted has to be waited for first.
    private func accept(_ record: Record, _ step: inout Step) -> Bool {
        if !step.emitter.isSound, let error = step.emitter.rejectedDeliveries[record.delivery] ?? step.emitter.refusal {
            settle(record, Outcome(.reject(error.code, error.message)))
            return true
        }
        guard step.emitter.body.bytes.isEmpty || reserveNow(&step) == true else { return false }
        outbox.accept(record.delivery, emissions: step.emitter.body.bytes)
        return true
    }

    /// As `accept`, once there is credit. False: the session has ended.
    private func acceptLater(_ delivery: UInt64, _ step: inout Step) async -> Bool {
        guard await reserveLater(&step) else { return false }
        outbox.accept(delivery, emissions: step.emitter.body.bytes)
        return true
    }

    /// Waits until the broker's credit covers what was emitted, and uses it. Cancellation does not end this wait:
    /// the handler has done its work. False: the session has ended.
    func reserve(_ step: inout Step) async -> Bool {
        guard !step.emitter.body.bytes.isEmpty else { return true }
        if let result = reserveNow(&step) { return result }
        return await reserveLater(&step)
    }

    /// nil: there is not enough credit now. False: the session has ended.
    private func reserveNow(_ step: inout Step) -> Bool? {
        step.useCredit() ? true : hub.look { step.reserve(&$0) }
    }

    private func reserveLater(_ step: inout Step) async -> Bool {
        outbox.flush()
        return await hub.wait { step.reserve(&$0) }
    }
}

/// Sentences for whoever reads the worker's standard error.
enum Complaint {
    static func write(_ text: String) {
        let line = "stagewire: " + Text.escaped(text) + "\n"
        _ = Socket.writeFile(Array(line.utf8), to: 2)
    }
}
