import StagewireWire

/// `random: {deliveries: 200, keys: 4}`: a seeded conversation with a worker. Records of every directive in frames of
/// random size, written in random pieces, with little credit now and then, pings, unknown fields and kinds between
/// them. What each delivery's verdict must be follows from its directive alone; behind a record that was given back the
/// later ones of its key may be released as well (OR-3).
struct RandomWorkerCase {
    private let run: CaseRun
    private let step: Step
    private var random: Seeded
    private let seed: UInt64

    init(_ run: CaseRun, _ step: Step) {
        self.run = run
        self.step = step
        seed = run.options.seed &+ (step.argument["seed"]?.number ?? 0)
        random = Seeded(seed)
    }

    mutating func play() throws(Stop) {
        do throws(Stop) {
            try converse()
        } catch {
            var stop = error
            stop.message += " (seed \(run.options.seed))"
            throw stop
        }
    }

    private mutating func converse() throws(Stop) {
        let link = try run.link(step.link)
        let total = Int(step.argument["deliveries"]?.number ?? 200)
        let keys = Int(step.argument["keys"]?.number ?? 4)
        var directives: [(text: String, key: String)] = []
        while directives.count < total {
            link.fragment = random.chance(30) ? 1 + random.below(40) : 0
            var records: [FrameLiteral] = []
            for _ in 0..<(1 + random.below(12)) where directives.count < total {
                let directive = pick()
                let key = keys > 0 ? "k\(random.below(keys))" : ""
                directives.append((directive, key))
                records.append(["do": .text(directive), "key": .text(key), "header": header()])
            }
            let argument = FrameLiteral.object([
                .init("records", .list(records)), .init("together", .flag(random.chance(70))),
            ])
            try run.deliver(Step(verb: .deliver, argument: argument, like: step), link)
            try disturb(link)
        }
        link.fragment = 0
        try run.settled(Step(verb: .settled, argument: "all", like: step), link)
        for (index, directive) in directives.enumerated() {
            try check(UInt64(index) + 1, directive.text, among: directives, link)
        }
    }

    private mutating func pick() -> String {
        switch random.below(12) {
        case 0: ""
        case 1...4: "echo"
        case 5: "emit \(random.below(20))"
        case 6: "emit \(1 + random.below(4)) \(random.below(3000)) side"
        case 7: "reject \(1000 + random.below(100)) no"
        case 8: "retry \(random.below(50))"
        case 9: "release"
        case 10: "attempt;id"
        default: "throw it"
        }
    }

    private mutating func header() -> FrameLiteral {
        guard random.chance(30) else { return .object([]) }
        return [
            "event_time": .integer(Int64(bitPattern: random.next())), "content_type": "text/plain",
            "attributes": [
                ["name": "a", "integer": .integer(Int64(bitPattern: random.next()))],
                ["name": "b", "flag": .flag(true)],
            ],
            "#1999": ["varint": FrameLiteral(random.next())],
        ]
    }

    /// What may come between deliveries without changing anything.
    private mutating func disturb(_ link: Link) throws(Stop) {
        switch random.below(8) {
        case 0: try run.barrier(link, step)
        case 1: try run.send(["version": 1000, "#31": ["bytes": "what is this"]], to: link)
        case 2: try run.send(["credit": ["number": 7, "records": 1, "bytes": 1]], to: link)
        case 3:
            try run.send(["runs": ["runs": [["number": 1, "stage": "upstream", "#1001": ["varint": 5]]]]], to: link)
        case 4: _ = try run.serve(1 + random.below(5)) { false }
        case _: break
        }
    }

    private func check(
        _ id: UInt64, _ directive: String, among all: [(text: String, key: String)], _ link: Link
    ) throws(Stop) {
        guard let outcome = link.worker.deliveries[Int(id) - 1].outcome else { return }
        let own = all[Int(id) - 1]
        let isBehind = all[..<(Int(id) - 1)].contains {
            $0.key == own.key && ($0.text.hasPrefix("retry") || $0.text == "release" || $0.text.hasPrefix("throw"))
        }
        if isBehind, outcome.kind.hasSuffix("RELEASED"), outcome.emissions.isEmpty { return }
        let expected =
            switch directive.split(separator: " ").first ?? "" {
            case "reject": "REJECTED"
            case "retry", "throw": "RETRY"
            case "release": "RELEASED"
            case _: "ACCEPTED"
            }
        guard outcome.kind.hasSuffix(expected) else {
            throw .fail("delivery \(id) (`\(directive)`) got \(outcome.kind), \(expected) is right", rules: ["ST-2"])
        }
        let payloads = Self.payloads(directive, link.worker.deliveries[Int(id) - 1])
        let emitted = outcome.emissions.compactMap { $0["output"]?["payload"]?.asBytes ?? [] }
        if expected == "ACCEPTED", let payloads, outcome.literal["last"] == nil, emitted != payloads {
            throw .fail(
                "delivery \(id) (`\(directive)`) emitted \(emitted.count) records, not these: "
                    + Pattern.shown(.list(payloads.map(FrameLiteral.bytes))), rules: ["ST-3"])
        }
    }

    /// Nil where they depend on more than the directive.
    private static func payloads(_ directive: String, _ delivery: WorkerLedger.Delivery) -> [[UInt8]]? {
        let words = directive.split(separator: " ")
        switch words.first {
        case nil: return []
        case "echo": return [Array("echo".utf8)]
        case "emit":
            let size = words.count > 2 ? Int(words[2]) ?? 0 : 0
            return (0..<(Int(words[1]) ?? 0)).map { number in
                let text = Array(String(number).utf8)
                return text + [UInt8](repeating: 0x20, count: max(0, size - text.count))
            }
        case _: return nil
        }
    }
}
