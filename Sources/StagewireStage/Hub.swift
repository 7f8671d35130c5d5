import Glibc
import StagewireModel
import StagewireWire
import Synchronization

/// What the connection's thread, the handler's task and `Worker` share. One value behind one lock; who waits for
/// a change suspends, and is woken by every change.
final class Hub: Sendable {
    /// All but the last two belong to the session at hand.
    struct State: Sendable {
        /// Counts sessions from 1.
        var session = 0
        var outbox: Outbox?
        var queue: [Arrival] = []
        /// Pongs behind the last batch of the queue.
        var pongs: [UInt64] = []
        var inputs: [InputWindow] = []
        /// A source uses credit here. A lane has its own account and looks here for limits alone.
        var outputs: [OutputCredit] = []
        /// Deliveries that have arrived.
        var received: UInt64 = 0
        var drain: DrainReason?
        var ended: Fault?
        /// When the handler's task wants to be woken, nanoseconds of uptime.
        var wakeAt: UInt64?
        /// The task that runs handlers.
        var lane: Task<Void, Never>?
        var isLaneOver = false
        /// The handler has had its time.
        var isOverdue = false
        /// A signal asked for the end.
        var isLeaving = false
        var source = SourceState()

        fileprivate var version: UInt64 = 0
        fileprivate var waiters: [CheckedContinuation<Void, Never>] = []

        mutating func append(_ batch: Batch) {
            queue.append(Arrival(batch: batch, pongs: pongs))
            pongs = []
        }

        /// Gives back what has not been begun: a shutdown, or the end.
        var isReleasing: Bool { drain == .shutdown || isLeaving || ended != nil }
    }

    /// A batch with the nonces of the Pongs that came before it, behind the batch before.
    struct Arrival: Sendable {
        var batch: Batch
        var pongs: [UInt64]
    }

    let waker = Waker()
    /// Odd while a handler runs, one more at each beginning and end. One lane at a time writes it.
    let progress = Atomic<UInt64>(0)
    /// As `State.isReleasing`, for the loop over records.
    let isReleasing = Atomic<Bool>(false)
    private let state = Mutex(State())

    deinit {
        close(waker.reading)
        close(waker.writing)
    }

    /// Changes the state and wakes who waits for it.
    @discardableResult
    func change<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        let (result, waiters) = state.withLock { state in
            let result = body(&state)
            state.version += 1
            isReleasing.store(state.isReleasing, ordering: .relaxed)
            let waiters = state.waiters
            state.waiters = []
            return (result, waiters)
        }
        for waiter in waiters { waiter.resume() }
        return result
    }

    /// Looks at the state, or changes what nobody waits for.
    func look<Result: Sendable>(_ body: (inout State) -> Result) -> Result { state.withLock { body(&$0) } }

    /// Waits until `ready` has a result. Cancellation of the task calls it again, so that it can look for it.
    func wait<Result: Sendable>(for ready: (inout State) -> Result?) async -> Result {
        await withTaskCancellationHandler {
            while true {
                let (result, seen) = state.withLock { (ready(&$0), $0.version) }
                if let result { return result }
                await withCheckedContinuation { continuation in
                    let hasChanged = state.withLock { state in
                        // A cancelled task waits for other changes only: its own cancellation is old news.
                        guard state.version == seen else { return true }
                        state.waiters.append(continuation)
                        return false
                    }
                    if hasChanged { continuation.resume() }
                }
            }
        } onCancel: {
            change { _ in }
        }
    }

    /// Takes over a connection whose Welcome has been read.
    func begin(_ welcome: Welcome, _ outbox: Outbox) {
        change { state in
            let leaving = state.isLeaving
            let source = state.source
            let (version, waiters, session) = (state.version, state.waiters, state.session)
            state = State()
            (state.version, state.waiters, state.session) = (version, waiters, session + 1)
            state.isLeaving = leaving
            state.source = source
            state.outbox = outbox
            state.inputs = welcome.inputs.map { InputWindow(number: $0.number, maxRecord: welcome.maxRecord) }
            state.outputs = welcome.outputs.map { OutputCredit(number: $0.number) }
            for index in state.inputs.indices { outbox.send(.credit(state.inputs[index].grant())) }
        }
    }

    /// A signal: finish what is at hand and go.
    func leave() {
        change { $0.isLeaving = true }
        waker.wake()
    }
}

extension Hub.State {
    func fits(_ charges: [Charge]) -> Bool { outputs.fit(charges) }

    mutating func use(_ charges: [Charge]) { outputs.use(charges) }
}

/// What is used at once, by index in `Welcome.outputs`.
extension [OutputCredit] {
    func fit(_ charges: [Charge]) -> Bool {
        // By index, like `use`: iterating would count references for each record.
        for index in charges.indices where !self[index].fits(charges[index]) { return false }
        return true
    }

    mutating func use(_ charges: [Charge]) {
        for index in charges.indices { self[index].use(charges[index]) }
    }
}
