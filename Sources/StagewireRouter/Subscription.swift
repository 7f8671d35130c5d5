import StagewireModel
import StagewireRecord

/// A stage's position in one stream: what it still needs of it, what waits, what was given up on.
struct Subscription {
    let stage: Int
    /// Index among the stage's inputs.
    let input: Int
    /// Index into `Router.streams`.
    let stream: Int
    let when: Predicate?
    /// `when != nil`, where looking at that would count a reference.
    let isConditional: Bool
    let overflow: Overflow
    let ordering: Ordering

    var progress: Progress
    /// Set while it is too far behind for its stream's memory.
    var backlog: Backlog?
    /// `backlog != nil`, where looking at that would cost.
    var hasBacklog = false
    var pace = Pace()
    var lanes = KeyLanes()
    var parking: Parking
    var dead: DeadLetters
    /// Deliveries that sessions owe a verdict on, voided ones included.
    var inFlight = 0
    var counters = Counters()
    /// Dead letters that came back.
    var arrivals: UInt64 = 0
    /// A person wants everything from this record on delivered again. Nothing is delivered before what workers have is
    /// settled; then it begins.
    var replay: UInt64?
    /// A person was told that this subscription is blocked; not again until it moves.
    var saidBlocked = false

    struct Counters {
        var delivered: UInt64 = 0
        var accepted: UInt64 = 0
        var filtered: UInt64 = 0
        var retried: UInt64 = 0
        var voided: UInt64 = 0
        var released: UInt64 = 0
        var dropped: UInt64 = 0
        var unmatched: UInt64 = 0
    }

    init(
        _ definition: InputDefinition, stage: Int, input: Int, stream: Int, ordering: Ordering, parking: Parking,
        dead: DeadLetters
    ) {
        self.stage = stage
        self.input = input
        self.stream = stream
        self.when = definition.when
        isConditional = definition.when != nil
        self.overflow = definition.overflow
        self.ordering = ordering
        self.progress = Progress(at: 0)
        self.parking = parking
        self.dead = dead
    }

    /// The key by which this subscription orders a record: 0 when nothing orders it.
    func orderingKey(_ keyHash: UInt64) -> UInt64 { ordering.key(keyHash) }

    /// Nothing is in flight, waiting or undelivered before `end`.
    func isIdle(at end: UInt64) -> Bool {
        progress.cursor == end && inFlight == 0 && parking.isEmpty && dead.retrying == 0 && replay == nil
    }

    /// Everything before `end` has been handed out at least once and nothing waits to go again.
    func isHandedOut(at end: UInt64) -> Bool { isHandedOutButForReplay(at: end) && replay == nil }

    /// The same, whether or not a person wants some of it again.
    func isHandedOutButForReplay(at end: UInt64) -> Bool {
        progress.cursor == end && parking.waiting == 0 && dead.retrying == 0
    }
}

extension Ordering {
    /// The key that orders a record: 0 when nothing does.
    @inline(__always)
    func key(_ keyHash: UInt64) -> UInt64 {
        switch self {
        case .key: keyHash
        case .none: 0
        case .total: 1
        }
    }
}

/// What one output port of a stage produces.
struct Stream {
    let stage: Int
    let port: Int
    let origin: OriginID
    var log = StreamLog()
    /// Records before this sequence are durable and may be delivered.
    var visibleEnd: UInt64 = 0
    /// Records before this sequence belong to a group that is closed.
    var sealedEnd: UInt64 = 0
    /// From here on the log has every record; before it, only those that were needed when the run began.
    var wholeFrom: UInt64 = 0
    /// Indices into `Router.subscriptions`.
    var subscribers: [Int] = []
    let bytes: GrantPolicy
    let records: GrantPolicy
    /// nil: it is filled up to its window always.
    var turnover: Turnover?
    /// Something was released or appended: sessions may be granted more.
    var needsGrant = true

    init(
        stage: Int, port: Int, origin: OriginID, limits: PipelineLimits, maxWorkers: Int, turnover: Turnover?
    ) {
        self.stage = stage
        self.port = port
        self.origin = origin
        bytes = GrantPolicy(window: limits.windowBytes, step: limits.maxStepBytes, sessions: maxWorkers)
        records = GrantPolicy(window: limits.windowRecords, step: limits.maxStepRecords, sessions: maxWorkers)
        self.turnover = turnover
    }

    /// The first record that may be read from the log, whoever asks.
    var memoryStart: UInt64 { max(log.tail, wholeFrom) }

    /// It is filled less than its window.
    var isShort: Bool { turnover?.isShort == true }

    /// How far it is filled.
    var filled: (bytes: Int, records: Int) {
        guard let turnover, turnover.isShort else { return (bytes.window, records.window) }
        return (min(bytes.window, turnover.bytes), min(records.window, turnover.records))
    }

    /// Over what it is filled to: deliveries to the stage that feeds it pause.
    var isOverWindow: Bool {
        let filled = filled
        return log.bytes >= filled.bytes || log.count >= filled.records
    }

    /// It is as full as it is filled while it is short.
    var isFullThoughShort: Bool { isShort && isOverWindow }

    /// Gives back what is before a record, and says how many bytes that were.
    /// - Parameter workers: of the reader that has most of them.
    mutating func release(before sequence: UInt64, workers: Int, at now: Moment) -> Int {
        let (count, size) = (log.count, log.bytes)
        log.release(before: sequence)
        needsGrant = true
        turnover?.released(records: count - log.count, bytes: size - log.bytes, workers: workers, at: now.uptime)
        return size - log.bytes
    }

    /// Has its whole window again if it is short and stands still. Until then it is to be looked at again at the time that is returned:
    /// when everything stands still nothing else says that the broker is idle.
    mutating func lengthenIfStuck(at now: Moment) -> UInt64? {
        guard isFullThoughShort else { return nil }
        guard now.uptime >= turnover!.deadline else { return min(turnover!.deadline, now.uptime + Turnover.look) }
        turnover!.stood(at: now.uptime)
        needsGrant = true
        return nil
    }
}
