import NIOCore
import StagewireLedger
import StagewireModel
import StagewireRecord
import StagewireRouter
import StagewireWire

/// What the switchboard tells the rest of the shell, on the event loop and never within a router call.
protocol SwitchboardObserver: AnyObject {
    /// A worker has a session now.
    func attached(stage: Int, instance: String)
    /// Its session ends with `reason`. `byWorker`: it said goodbye first.
    func closing(stage: Int, instance: String, reason: CloseReason, byWorker: Bool)
    func lost(stage: Int, instance: String, shrinking: Bool)
    func ended(stage: Int)
    func pipelineEnded()
    func noticed(_ notice: Notice)
    /// The journal failed: nothing can be confirmed any more.
    func journalLost(_ reason: String)
}

/// The router's shell: brings it what connections, the host and the clock have to say, and does what it says.
/// Confined to one event loop. `Switchboard+Turn.swift` has the second half of a turn.
final class Switchboard {
    let loop: any EventLoop
    private let stages: [String: Int]
    private let names: [String]
    weak var observer: (any SwitchboardObserver)?

    var router: Router
    /// `nil`: durable is what is in memory.
    let journal: JournalLink?
    private var batch = StepBatch()
    var connections: [ConnectionID: Connection] = [:]
    /// Connections without a Welcome, oldest first.
    var strangers: [Connection] = []
    private var nextConnection: UInt64 = 1

    /// Connections with something in their outbox, with departed bytes to report, and that ended in this turn.
    var touched: [Connection] = []
    var departing: [Connection] = []
    var retired: [Connection] = []

    /// Who waits for what the router has done to be durable, in order.
    var waiting: CircularBuffer<(ticket: UInt64, body: () -> Void)> = []

    private var isTurnScheduled = false
    private var turnMoment: Moment?
    var load = LoadMeter()
    var timer: (due: UInt64, task: Scheduled<Void>)?
    var isStopped = false

    init(
        _ pipeline: PipelineDefinition, options: Router.Options, recovered: Recovered?, journal: JournalLink?,
        loop: any EventLoop
    ) {
        self.loop = loop
        self.journal = journal
        router = Router(pipeline, options: options, recovered: recovered, at: Clock.now())
        names = pipeline.stages.map(\.name)
        stages = Dictionary(uniqueKeysWithValues: pipeline.stages.enumerated().map { ($1.name, $0) })
        journal?.observer = self
    }

    func name(of stage: Int) -> String { names[stage] }

    // MARK: The moment

    /// One reading of the clocks serves everything that happens in a turn.
    func moment() -> Moment {
        if let turnMoment { return turnMoment }
        let now = Clock.now()
        turnMoment = now
        return now
    }

    func forgetMoment() { turnMoment = nil }

    // MARK: Events

    func report(_ event: Event) {
        guard !isStopped else { return }
        router.handle(event, at: moment())
        scheduleTurn()
    }

    /// A new peer. Half-sent handshakes must not lock others out, so it is the oldest stranger that has to go.
    func connected(_ channel: any Channel, uid: UInt32) -> Connection {
        let connection = Connection(id: ConnectionID(nextConnection), channel: channel)
        nextConnection += 1
        if strangers.count >= Limits.unauthenticated {
            let oldest = strangers.removeFirst()
            violated(
                oldest,
                CloseReason(
                    .tooManyConnections,
                    "More than \(Limits.unauthenticated) connections wait for their Hello, and this one has waited "
                        + "longest. Send Hello at once after connecting."))
        }
        connections[connection.id] = connection
        strangers.append(connection)
        report(.connected(connection.id, uid: uid))
        return connection
    }

    func frameLimit(of connection: Connection) -> Int { router.frameLimit(of: connection.id) }

    func receive(_ frame: RawSpan, from connection: Connection) throws(CloseReason) {
        guard connection.state == .open, !isStopped else { return }
        switch try FrameCodec.decode(frame) {
        case .control(let message):
            note(message, from: connection)
            report(.received(connection.id, message))
        case .settle(let message):
            try batch.scanSettle(frame, at: message)
            router.settle(connection.id, batch, frame: frame, at: moment())
            journal?.relieve(&router)
            scheduleTurn()
        case .emit(let message):
            try batch.scanEmit(frame, at: message)
            router.emit(connection.id, batch, frame: frame, at: moment())
            journal?.relieve(&router)
            scheduleTurn()
        case .deliver:
            throw CloseReason(.unexpectedMessage, "Deliver goes from the broker to a worker, never the other way.")
        case .unknown:
            report(.receivedUnknown(connection.id))
        }
    }

    /// What the shell has to know by itself: who a connection is, and who ended it.
    private func note(_ message: ControlMessage, from connection: Connection) {
        if case .hello(let hello) = message, !connection.isAttached { connection.stage = stages[hello.stage] }
        if case .close(let reason) = message, reason.code == Code.ok.rawValue { connection.saidGoodbye = true }
    }

    func violated(_ connection: Connection, _ reason: CloseReason) {
        connection.condemn()
        report(.violated(connection.id, reason))
    }

    /// The end of a peer's stream, or of its connection: whichever comes first.
    func disconnected(_ connection: Connection) {
        guard connection.end() else { return }
        strangers.removeAll { $0 === connection }
        retired.append(connection)
        report(.disconnected(connection.id))
    }

    // MARK: Turns

    /// Everything that is read in one go of the event loop becomes one group of steps: the turn's second half
    /// runs after it, once.
    func scheduleTurn() {
        guard !isTurnScheduled, !isStopped else { return }
        isTurnScheduled = true
        loop.assumeIsolated().execute { [self] in
            isTurnScheduled = false
            if !isStopped { finishTurn() }
        }
    }
}
