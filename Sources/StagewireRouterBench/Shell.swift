import StagewireModel
import StagewireRecord
import StagewireRouter
import StagewireWire

/// What the switchboard does around the router, without sockets: frames in, effects performed into one buffer.
struct Shell {
    static let source = ConnectionID(1)
    static let sink = ConnectionID(2)
    let transforms: [ConnectionID]

    private var router: Router
    private var batch = StepBatch()
    private let socket = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 * 1024 * 1024, alignment: 16)
    private var now = Moment(uptime: 1_000_000_000, wall: 1_800_000_000_000_000)
    private var deliveries: [(to: ConnectionID, ids: Range<UInt64>, bytes: Int)] = []
    private(set) var delivered = 0

    init(workers: Int) {
        transforms = (0..<workers).map { ConnectionID(UInt64(3 + $0)) }
        var stages = [StageDefinition(name: "producer", isSource: true)]
        for (index, name) in ["worker", "sink"].enumerated() {
            stages.append(StageDefinition(name: name, inputs: [InputDefinition(stage: index)]))
        }
        router = Router(PipelineDefinition(name: "bench", stages: stages))
        for (connection, name) in [(Self.source, "producer"), (Self.sink, "sink")] + transforms.map({ ($0, "worker") })
        {
            router.handle(.connected(connection, uid: 0), at: now)
            var hello = Hello()
            hello.stage = name
            hello.instance = "\(connection)"
            hello.offered = [Feature.singleThreaded]
            router.handle(.received(connection, .hello(hello)), at: now)
        }
        router.handle(.received(Self.source, .claim(partition: "0")), at: now)
        finishTurn()
    }

    mutating func play(_ turn: Script.Turn) {
        emit(turn)
        forward(turn)
        accept(turn)
    }

    // MARK: Turns of the event loop

    mutating func emit(_ turn: Script.Turn) {
        if !turn.credit.isEmpty { for consumer in transforms + [Self.sink] { receive(turn.credit, from: consumer) } }
        receive(turn.emit, from: Self.source)
        finishTurn()
    }

    mutating func forward(_ turn: Script.Turn) {
        for settle in turn.forwards { receive(settle.frame, from: settle.from) }
        finishTurn()
    }

    mutating func accept(_ turn: Script.Turn) {
        receive(turn.accepts, from: Self.sink)
        finishTurn()
        now.uptime += 1_000_000
        now.wall += 1000
    }

    /// Ids of what the last turn has delivered to a worker.
    func takeDelivered(to connection: ConnectionID) -> [UInt64] {
        deliveries.filter { $0.to == connection }.flatMap { Array($0.ids) }
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
        for delivery in deliveries { router.handle(.wrote(delivery.to, bytes: delivery.bytes), at: now) }
        deliveries.removeAll(keepingCapacity: true)
        if let ticket = router.seal() { router.commit(ticket) }
        router.pump(at: now)
        for index in router.effects.indices {
            switch router.effects[index] {
            case .send(_, let message): _ = FrameCodec.encode(message)
            case .deliver(let connection, let delivery): write(delivery, to: connection)
            case .close(_, let reason): fatalError(reason.message)
            case .log: break
            case .read, .replayDropped, .workerLost, .stageEnded, .pipelineEnded:
                fatalError("nothing of this happens here")
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
        deliveries.append((connection, delivery.first..<delivery.first + UInt64(delivery.count), delivery.bytes))
    }
}
