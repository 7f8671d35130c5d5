import StagewireModel
import StagewireRecord
import StagewireRouter
import StagewireWire

/// What the switchboard does around the router, without sockets: frames in, effects performed into one buffer per worker.
struct Shell {
    static let source = ConnectionID(1)
    static let transform = ConnectionID(2)
    static let sink = ConnectionID(3)

    private var router: Router
    private var batch = StepBatch()
    private let socket = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 * 1024 * 1024, alignment: 16)
    private var now = Moment(uptime: 1_000_000_000, wall: 1_800_000_000_000_000)
    private var wrote: [(ConnectionID, Int)] = []
    private(set) var delivered = 0

    init() {
        var stages = [StageDefinition(name: "producer", isSource: true)]
        for (index, name) in ["worker", "sink"].enumerated() {
            stages.append(StageDefinition(name: name, inputs: [InputDefinition(stage: index)]))
        }
        router = Router(PipelineDefinition(name: "bench", stages: stages))
        for (connection, name) in [(Self.source, "producer"), (Self.transform, "worker"), (Self.sink, "sink")] {
            router.handle(.connected(connection, uid: 0), at: now)
            var hello = Hello()
            hello.stage = name
            hello.instance = name
            hello.offered = [Feature.singleThreaded]
            router.handle(.received(connection, .hello(hello)), at: now)
        }
        router.handle(.received(Self.source, .claim(partition: "0")), at: now)
        finishTurn()
    }

    /// A turn of the event loop for each worker that has written: three of them.
    mutating func play(_ turn: Script.Turn) {
        if !turn.credit.isEmpty {
            receive(turn.credit, from: Self.transform)
            receive(turn.credit, from: Self.sink)
        }
        receive(turn.emit, from: Self.source)
        finishTurn()
        receive(turn.forwards, from: Self.transform)
        finishTurn()
        receive(turn.accepts, from: Self.sink)
        finishTurn()
        now.uptime += 1_000_000
        now.wall += 1000
    }

    private mutating func receive(_ bytes: [UInt8], from connection: ConnectionID) {
        let frame = bytes.span.bytes
        do throws(CloseReason) {
            precondition(frame.byteCount <= router.frameLimit(of: connection), "within the frame limit")
            switch try FrameCodec.decode(frame) {
            case .control(let message): router.handle(.received(connection, message), at: now)
            case .settle(let message):
                try batch.scanSettle(frame, at: message)
                router.settle(connection, batch, frame: frame, at: now)
            case .emit(let message):
                try batch.scanEmit(frame, at: message)
                router.emit(connection, batch, frame: frame, at: now)
            case .deliver, .unknown: fatalError("not a worker's frame")
            }
        } catch { fatalError(error.message) }
    }

    private mutating func finishTurn() {
        for (connection, bytes) in wrote { router.handle(.wrote(connection, bytes: bytes), at: now) }
        wrote.removeAll(keepingCapacity: true)
        if let ticket = router.seal() { router.commit(ticket) }
        router.pump(at: now)
        for index in router.effects.indices {
            switch router.effects[index] {
            case .send(_, let message): _ = FrameCodec.encode(message)
            case .deliver(let connection, let delivery): write(delivery, to: connection)
            case .close(_, let reason): fatalError(reason.message)
            case .log: break
            case .read, .workerLost, .stageEnded, .pipelineEnded: fatalError("nothing of this happens here")
            }
        }
        router.clearEffects()
    }

    private mutating func write(_ delivery: Delivery, to connection: ConnectionID) {
        var offset = DeliverPrefix.write(
            input: delivery.input, first: delivery.first, attempts: router.attempts[delivery.attempts],
            recordBytes: delivery.bytes, into: socket)
        for segment in router.segments[delivery.segments] {
            UnsafeMutableRawBufferPointer(rebasing: socket[offset...]).copyMemory(from: segment)
            offset += segment.count
        }
        delivered += delivery.count
        wrote.append((connection, delivery.bytes))
    }
}
