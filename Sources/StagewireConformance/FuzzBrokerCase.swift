import StagewireWire

/// `fuzz: {rounds: 50, through: [s, k], stage: transform}`: seeded damage to a broker. In every round a worker attaches
/// that sends one frame of its own with bytes changed, cut or doubled. The broker may take it or close with a code; it
/// must not end. After each round a record goes from the source `s` to the sink `k`, which are not to notice.
struct FuzzBrokerCase {
    private let run: CaseRun
    private let step: Step
    private var random: Seeded

    init(_ run: CaseRun, _ step: Step) {
        self.run = run
        self.step = step
        random = Seeded(run.options.seed &+ (step.argument["seed"]?.number ?? 0))
    }

    mutating func play() throws(Stop) {
        for round in 0..<(step.argument["rounds"]?.number ?? 50) {
            do throws(Stop) {
                try strike("fuzz-\(round)")
                try probe(round)
            } catch {
                var stop = error
                stop.message += " (round \(round), seed \(run.options.seed))"
                throw stop
            }
        }
    }

    private mutating func strike(_ name: String) throws(Stop) {
        let link = try run.connect(name)
        let isGreeting = random.chance(25)
        if !isGreeting {
            let hello: FrameLiteral = ["stage": step.argument["stage"] ?? "transform", "instance": .text(name)]
            try run.hello(hello, link, step)
        }
        let content: [UInt8]
        do { content = try FrameForge.envelope(isGreeting ? Self.hello : frame()) } catch { return }
        run.write(damaged(FrameForge.framed(content)), "a damaged frame", to: link)
        // The broker answers within a barrier, or closes; either is right, and so is waiting for bytes that are missing.
        if random.chance(50) { try run.send("ping", [.init("nonce", 1)], to: link) }
        _ = try run.serve(5) { link.isDone }
        link.drop()
    }

    private static let hello: FrameLiteral = [
        "version": 1000,
        "hello": ["min_version": 1000, "max_version": 1000, "stage": "transform", "offered": ["holds"]],
    ]

    private mutating func frame() -> FrameLiteral {
        switch random.below(6) {
        case 0: ["version": 1000, "credit": ["number": 0, "records": 5, "bytes": 5000]]
        case 1:
            [
                "version": 1000,
                "settle": ["outcomes": [["first": 1, "kind": "ACCEPTED", "emissions": [Self.emission]]]],
            ]
        case 2: ["version": 1000, "extend": .object([])]
        case 3: ["version": 1000, "ping": ["nonce": FrameLiteral(random.next())]]
        case 4:
            [
                "version": 1000,
                "settle": [
                    "outcomes": [["first": 1, "last": 3, "kind": "RETRY", "error": ["code": 1000, "message": "m"]]]
                ],
            ]
        case _: ["version": 1000, "close": ["code": 100, "message": "I give up"]]
        }
    }

    private static let emission: FrameLiteral = [
        "output": [
            "header": ["schema": "s", "key": "k", "attributes": [["name": "a", "text": "b"]]], "payload": "some bytes",
        ]
    ]

    private mutating func damaged(_ frame: [UInt8]) -> [UInt8] {
        var bytes = frame
        for _ in 0..<(1 + random.below(3)) {
            guard !bytes.isEmpty else { break }
            let place = random.below(bytes.count)
            switch random.below(5) {
            case 0: bytes[place] ^= 1 << UInt8(random.below(8))
            case 1: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 2: bytes.removeLast(random.below(bytes.count))
            case 3: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
            case _: bytes += bytes[place...]
            }
        }
        return bytes
    }

    private func probe(_ round: UInt64) throws(Stop) {
        let names = step.argument["through"]?.elements.compactMap(\.text) ?? ["s", "k"]
        let payload = FrameLiteral.text("probe \(round)")
        let emit = Step(verb: .emit, argument: .object([.init("records", [payload])]), like: step)
        try run.performAsWorkers(emit, on: try run.link(names[0]))
        let sink = try run.link(names[names.count - 1])
        let deliver = Step(verb: .delivered, argument: .list([payload]), like: step)
        try run.performAsWorkers(deliver, on: sink)
        let id = FrameLiteral(sink.broker.deliveries.count)
        try run.settle(Step(verb: .settle, argument: id, like: step), sink)
    }
}

extension CaseRun {
    func performAsWorkers(_ step: Step, on link: Link) throws(Stop) {
        var named = step
        named.link = link.name
        try performAsWorkers(named)
    }
}
