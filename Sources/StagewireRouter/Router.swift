import DequeModule
import StagewireLedger
import StagewireModel
import StagewireRecord

/// The core of the broker: who gets which record, who may send how much, what becomes of every delivery.
///
/// A pure value: events and the time go in, effects come out, nothing else is read or touched. One turn of the
/// shell is: any number of `handle`, `settle` and `emit`; `seal`; `commit` of what is durable; `pump`; then perform
/// `effects` in order and `clearEffects`. With a journal, `forEachPart` lends what a group has to leave on the disk, and
/// its `commit` may come many turns after its `seal`.
///
/// Durable before visible: what a step emitted becomes deliverable, and its confirmation becomes an effect, in
/// `commit` and nowhere else; `commit` takes the ticket that `seal` gave out.
public struct Router {
    public struct Options: Sendable {
        /// Sources that finish do not end the pipeline.
        public var keepRunning = false
        /// The user whose processes may attach, beside root's; `nil`: everybody's.
        public var owner: UInt32?
        /// Groups of steps tell what changes by them, for a journal.
        public var isRecording = false
        /// A subscription that needs longer than this for half of what its stream's memory holds, while that is nearly full,
        /// falls behind: its stream goes on without it, and it reads from the disk. One that is faster is waited for.
        public var patience: Duration = .seconds(1)
        /// A stream that is not filled to its window holds so many records for each worker of its reader, or more. Fewer are not
        /// worth waking a worker for.
        public var leastRecords = 1024
        public init() {}
    }

    let pipeline: PipelineDefinition
    let options: Options
    /// Most that one source or derived record grows by; `PipelineDefinition.stampReserve`.
    let stampReserve: Int
    var stages: [Stage] = []
    var streams: [Stream] = []
    var subscriptions: [Subscription] = []

    var connections: [ConnectionID: Connection] = [:]
    var handshaking = 0
    /// Slots, used again. A free one holds `Session.vacant`: an optional would be copied at every look into it, with
    /// all its references counted.
    var sessions: [Session] = []
    var freeSlots: [Int] = []
    var nextSession: UInt64 = 1
    /// Tokens that the host gave out.
    var tokens: [(token: [UInt8], stage: Int, instance: String)] = []
    var runs: [Run] = []
    var runNumbers: [Run: UInt32] = [:]
    /// Numbers what may give up on many records at once: outcomes, ends of sessions.
    var occasion: UInt64 = 0

    var timers = Timers()
    /// When it is looked again whether a subscription is too slow for its stream; 0: no look is due.
    var nextLook: UInt64 = 0
    /// Subscriptions that are to go back.
    var replays = 0
    /// Of the last call, and of the last time that was written down; microseconds since 1970.
    var wall: UInt64 = 0
    var lastNoted: UInt64 = 0
    /// The disk is nearly full: nobody falls behind any more, and streams wait for those who have.
    public var isDiskTight = false
    /// So much waits for the disk that nothing more is handed out, nor sources granted more, until that is less.
    public var isJournalBehind = false {
        didSet {
            guard oldValue && !isJournalBehind else { return }
            for stream in streams.indices { streams[stream].needsGrant = true }
        }
    }
    var isShuttingDown = false
    /// What is not delivered yet stays for the next run.
    var isSuspending = false
    var shutdownDeadline: UInt64 = .max
    var hasEnded = false

    var open = CommitGroup()
    var sealed: Deque<(ticket: CommitTicket, group: CommitGroup)> = []
    var nextTicket: UInt64 = 1
    /// The last ticket that was committed.
    var committed: UInt64 = 0

    /// What the shell has to do, in order; valid until the next call.
    public internal(set) var effects: [Effect] = []
    /// What `Delivery.segments` refers to.
    public internal(set) var segments: [UnsafeRawBufferPointer] = []
    /// What `Delivery.attempts` refers to.
    public internal(set) var attempts: [UInt32] = []

    var stamp = LineageStamp()
    var scratch = Scratch()
    public internal(set) var counters = RouterCounters()

    /// Buffers that are reused from call to call.
    struct Scratch {
        var deliveries: [UInt64] = []
        var parents: [RecordID] = []
        var ordinals: [OrdinalKey: UInt64] = [:]
        var portOrdinals: [UInt64] = []
        var portRecords: [Int] = []
        var portBytes: [Int] = []
    }

    enum Connection: Equatable {
        /// Connected, no Hello yet.
        case handshaking
        /// Attached: slot in `sessions`.
        case attached(Int)
        /// Close is written; frames are ignored until it is gone.
        case closing
    }

    /// - Parameter recovered: what an earlier run has left, numbered as in this pipeline.
    public init(
        _ pipeline: PipelineDefinition, options: Options = Options(), recovered: Recovered? = nil,
        at now: Moment = Moment(uptime: 0, wall: 0)
    ) {
        self.pipeline = pipeline
        self.options = options
        open.changes.isRecording = options.isRecording
        stampReserve = pipeline.stampReserve
        precondition(
            pipeline.limits.maxStepBytes >= pipeline.limits.maxRecord,
            "a step has room for one record of the largest size")
        for index in pipeline.stages.indices { addStage(index) }
        if let recovered { restore(recovered, at: now) }
    }

    private mutating func addStage(_ index: Int) {
        let definition = pipeline.stages[index]
        var own: [Int] = []
        for (number, input) in definition.inputs.enumerated() {
            precondition(input.stage < index, "stages stand in topological order")
            let stream = stages[input.stage].streams[input.port]
            let workers = pipeline.stages[input.stage].maxWorkers
            streams[stream].subscribers.append(subscriptions.count)
            // Who drops is to do so when the window is full, not sooner.
            if input.overflow != .block { streams[stream].turnover = nil }
            stages[input.stage].isRead = true
            own.append(subscriptions.count)
            subscriptions.append(
                Subscription(
                    input, stage: index, input: number, stream: stream, ordering: definition.ordering,
                    parking: Parking(
                        records: pipeline.limits.parkingRecords(workers: workers),
                        bytes: pipeline.limits.parkingBytes(workers: workers)),
                    dead: DeadLetters(
                        records: pipeline.limits.deadLetterRecords, bytes: pipeline.limits.deadLetterBytes)))
        }
        let ports = definition.ports.indices.map { port -> Int in
            streams.append(
                Stream(
                    stage: index, port: port,
                    origin: OriginID(pipeline: pipeline.name, stage: definition.name, port: definition.ports[port]),
                    limits: pipeline.limits, maxWorkers: definition.maxWorkers,
                    turnover: Turnover(pipeline.limits, options)))
            return streams.count - 1
        }
        stages.append(Stage(definition: definition, subscriptions: own, streams: ports))
    }

    // MARK: Events

    public mutating func handle(_ event: Event, at now: Moment) {
        wall = now.wall
        switch event {
        case .connected(let connection, let uid): connect(connection, uid: uid, at: now)
        case .received(let connection, let message): receive(message, from: connection, at: now)
        case .receivedUnknown(let connection):
            counters.unknownMessages += 1
            if let slot = slot(of: connection) { heard(slot, at: now) }
        case .violated(let connection, let reason): close(connection, reason, at: now)
        case .disconnected(let connection): disconnect(connection, at: now)
        case .wrote(let connection, let bytes):
            guard let slot = slot(of: connection) else { return }
            sessions[slot].unwritten -= bytes
            precondition(sessions[slot].unwritten >= 0, "only what was delivered is reported as written")
        case .expectWorker(let stage, let instance, let token):
            tokens.append((token, stage, instance))
        case .forgetWorker(let token):
            tokens.removeAll { $0.token == token }
        case .drain(let deadline): shutDown(within: deadline, at: now)
        case .suspend(let deadline): suspend(within: deadline, at: now)
        case .tick: fireTimers(at: now)
        }
    }

    private mutating func receive(_ message: ControlMessage, from connection: ConnectionID, at now: Moment) {
        switch connections[connection] {
        case .handshaking?:
            guard case .hello(let hello) = message else {
                return close(connection, CloseReason(.unexpectedMessage, "The first frame has to be Hello."), at: now)
            }
            attach(connection, hello, at: now)
        case .attached(let slot)?:
            heard(slot, at: now)
            receive(message, from: connection, slot: slot, at: now)
        case .closing?, nil: return
        }
    }

    private mutating func receive(_ message: ControlMessage, from connection: ConnectionID, slot: Int, at now: Moment) {
        switch message {
        case .credit(let limit): raiseCredit(slot, limit, at: now)
        case .ping(let nonce): effects.append(.send(connection, .pong(nonce: nonce)))
        case .pong: sessions[slot].pinged = false
        case .extend: sessions[slot].lastProgress = now.uptime
        case .claim(let partition): claim(partition, slot: slot, at: now)
        case .finished(let partition): finish(partition, slot: slot, at: now)
        case .close(let reason): leave(connection, slot: slot, reason, at: now)
        case .hello, .welcome, .committed, .settled, .drain, .runs, .claimed:
            close(
                connection,
                CloseReason(.unexpectedMessage, "A worker sends no such message after its handshake."), at: now)
        }
    }

    func slot(of connection: ConnectionID) -> Int? {
        guard case .attached(let slot)? = connections[connection] else { return nil }
        return slot
    }

    /// Largest frame to accept from this connection now, bytes: never more than what its credit can account for.
    public func frameLimit(of connection: ConnectionID) -> Int {
        guard let slot = slot(of: connection) else { return Limits.handshakeFrame }
        var allowance = Limits.controlAllowance
        for port in sessions[slot].outputs.indices { allowance += sessions[slot].outputs[port].outstandingBytes }
        return min(sessions[slot].maxFrame, allowance)
    }

    public mutating func clearEffects() {
        effects.removeAll(keepingCapacity: true)
        segments.removeAll(keepingCapacity: true)
        attempts.removeAll(keepingCapacity: true)
    }

    // MARK: Groups of steps

    /// Closes the open group of steps; `nil` when nothing is in it.
    /// - Parameter withRest: changes that are worth no group of their own count, too: records that nobody wanted.
    public mutating func seal(withRest: Bool = false) -> CommitTicket? {
        guard !open.isEmpty || withRest && !open.changes.isEmpty else { return nil }
        let ticket = CommitTicket(number: nextTicket)
        nextTicket += 1
        if options.isRecording {
            recordPositions()
            noteTime()
        }
        for stream in open.streams {
            open.ends.append((stream, streams[stream].sealedEnd, streams[stream].log.end))
            streams[stream].sealedEnd = streams[stream].log.end
        }
        var group = CommitGroup()
        group.changes.isRecording = options.isRecording
        swap(&group, &open)
        sealed.append((ticket, group))
        return ticket
    }

    /// Bytes of records in the open group.
    public var openBytes: Int { open.bytes }

    private mutating func recordPositions() {
        for (stage, index) in open.partitions {
            let partition = stages[stage].partitions[index]
            open.changes.moved(
                stage: stage, partition: partition.name,
                to: SourcePosition(
                    epoch: partition.epoch, lastEmitID: partition.lastEmitID, checkpoint: partition.checkpoint))
        }
    }

    /// The group is durable: what it emitted becomes visible, what it confirms is sent.
    public mutating func commit(_ ticket: CommitTicket) {
        precondition(sealed.first?.ticket == ticket, "groups are committed in the order in which they were sealed")
        let group = sealed.removeFirst().group
        committed = ticket.number
        for (stream, _, end) in group.ends { streams[stream].visibleEnd = end }
        for confirmation in group.confirmations {
            guard let connection = confirmation.connection, slot(of: connection) != nil else { continue }
            guard let portions = confirmation.message.portions else {
                effects.append(.send(connection, confirmation.message))
                continue
            }
            for portion in portions { effects.append(.send(connection, portion)) }
        }
    }
}

/// A closed group of steps that is not durable yet.
public struct CommitTicket: Equatable, Sendable {
    package let number: UInt64
}

extension ControlMessage {
    /// Refusals of one frame: with the sentences that the broker writes, well under the least frame limit.
    private static var refusalPortion: Int { 256 }

    /// A confirmation with many refusals as several of the same reach, so that each fits a worker's frame limit (LM-1);
    /// nil when it fits as it is.
    fileprivate var portions: [ControlMessage]? {
        switch self {
        case .committed(let partition, let through, let refused) where refused.count > Self.refusalPortion:
            Self.portions(refused).map { .committed(partition: partition, through: through, refused: $0) }
        case .settled(let through, let refused) where refused.count > Self.refusalPortion:
            Self.portions(refused).map { .settled(through: through, refused: $0) }
        case _: nil
        }
    }

    private static func portions(_ refused: [Refusal]) -> [[Refusal]] {
        stride(from: 0, to: refused.count, by: refusalPortion).map {
            Array(refused[$0..<min(refused.count, $0 + refusalPortion)])
        }
    }
}

/// Emissions that share an ordinal sequence: the same port and parents.
struct OrdinalKey: Hashable {
    var port: UInt32
    var parents: [RecordID]
}
