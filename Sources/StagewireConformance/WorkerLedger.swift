import StagewireWire

/// What the suite, as a broker, knows of a session with the worker under test: what it granted and delivered, and what
/// the worker did with it. `take` judges every frame.
struct WorkerLedger {
    struct Delivery {
        var id: UInt64
        var input: UInt64
        var key: [UInt8]
        var size: UInt64
        var outcome: Outcome?
    }

    /// The verdict that a delivery got. The emissions stand with each delivery of the outcome.
    struct Outcome {
        var kind: String
        var literal: FrameLiteral
        var emissions: [FrameLiteral]
        var first: UInt64
        /// Monotonic nanoseconds.
        var arrival: UInt64
        /// Which Settle of the session.
        var frame: Int
    }

    var hello: FrameLiteral?
    var welcome: FrameLiteral?
    var features: Set<String> = []
    var inputs: [UInt64: Account] = [:]
    var orderings: [UInt64: String] = [:]
    var outputs: [UInt64: Account] = [:]
    var ports: [String: UInt64] = [:]
    var deliveries: [Delivery] = []
    var settles = 0
    var claimed: [String: UInt64] = [:]
    var finished: Set<String> = []
    /// Every emission of a source, in order.
    var emitted: [FrameLiteral] = []
    var hasClosed = false

    var version: UInt64 { welcome?["version"]?.number ?? 1000 }
    private var reserve: UInt64 { welcome?["stamp_reserve"]?.number ?? 0 }

    mutating func open(_ welcome: FrameLiteral) {
        self.welcome = welcome
        features = Set(welcome["features"]?.elements.compactMap(\.text) ?? [])
        for input in welcome["inputs"]?.elements ?? [] {
            let number = input["number"]?.number ?? 0
            inputs[number] = Account()
            orderings[number] = input["ordering"]?.text ?? "TOTAL"
        }
        for output in welcome["outputs"]?.elements ?? [] {
            let number = output["number"]?.number ?? 0
            outputs[number] = Account()
            ports[output["port"]?.text ?? ""] = number
        }
    }

    /// Bytes that the frame limit in force allows.
    var frameLimit: Int { welcome == nil ? 16_384 : Int(welcome?["max_frame"]?.number ?? 4_194_304) }

    // MARK: What came

    mutating func take(_ frame: Received, checks: Bool) throws(Stop) {
        if checks {
            guard !hasClosed else { throw .fail("a frame came behind Close", rules: ["EN-1"]) }
            let expected = welcome == nil ? nil : version
            let own = frame.kind == "hello" ? frame.message["max_version"]?.number : expected
            try FrameRules.check(frame, from: .worker, version: own ?? 1000)
            try checkOrderOfKinds(frame)
            try checkSizes(frame)
        }
        switch frame.kind {
        case "hello": hello = frame.message
        case "credit": try takeCredit(frame.message)
        case "settle": try takeSettle(frame, checks: checks)
        case "emit": try takeEmit(frame, checks: checks)
        case "finished": finished.insert(frame.message["partition"]?.text ?? "")
        case "close": hasClosed = true
        case _: break
        }
    }

    private func checkOrderOfKinds(_ frame: Received) throws(Stop) {
        if hello == nil, frame.kind != "hello", frame.kind != "close" {
            throw .fail("the first frame is \(frame.kind ?? "unknown"), not Hello", rules: ["HS-2"])
        }
        if hello != nil, frame.kind == "hello" { throw .fail("a second Hello came", rules: ["HS-2", "HS-8"]) }
        if hello != nil, welcome == nil, frame.kind != "close" {
            throw .fail("\(frame.kind ?? "a frame") came before Welcome was sent", rules: ["HS-2"])
        }
        if ["emit", "claim", "finished"].contains(frame.kind), !inputs.isEmpty {
            throw .fail("\(frame.kind ?? "") came from a stage with inputs", rules: ["HS-8"])
        }
    }

    private func checkSizes(_ frame: Received) throws(Stop) {
        guard welcome != nil, let kind = frame.kind else { return }
        if kind != "settle", kind != "emit", frame.content.count > 65_536 {
            throw .fail("\(kind) has \(frame.content.count) bytes, at most 65,536 are allowed", rules: ["LM-4"])
        }
        let credit = outputs.values.reduce(UInt64(0)) { $0 &+ $1.remaining.bytes }
        guard UInt64(frame.content.count) <= credit &+ 262_144 else {
            throw .fail(
                "\(kind) has \(frame.content.count) bytes, but \(credit) bytes of credit are left, plus 262,144",
                rules: ["LM-4"])
        }
    }

    private mutating func takeCredit(_ credit: FrameLiteral) throws(Stop) {
        let number = credit["number"]?.number ?? 0
        guard inputs[number] != nil else {
            throw .fail("Credit names input \(number), which Welcome does not have", rules: ["CR-2", "HS-6"])
        }
        inputs[number]?.raise(records: credit["records"]?.number ?? 0, bytes: credit["bytes"]?.number ?? 0)
    }

    // MARK: Settle

    private mutating func takeSettle(_ frame: Received, checks: Bool) throws(Stop) {
        settles += 1
        let outcomes = frame.fields.all("outcomes")
        for field in outcomes {
            let literal = FrameLiteral(field.inner)
            let ids = try checks ? Self.ids(of: literal) : ((try? Self.ids(of: literal)) ?? [])
            let emissions = field.inner.all("emissions")
            if checks { try check(literal, ids, emissions) }
            try charge(emissions, checks: checks)
            let outcome = Outcome(
                kind: literal["kind"]?.text ?? "", literal: literal, emissions: literal["emissions"]?.elements ?? [],
                first: ids.first ?? 0, arrival: frame.arrival, frame: settles)
            for id in ids { try settle(id, outcome, checks: checks) }
            if checks { try checkOrder(of: ids) }
        }
    }

    private mutating func settle(_ id: UInt64, _ outcome: Outcome, checks: Bool) throws(Stop) {
        guard id >= 1, id <= deliveries.count else {
            guard checks else { return }
            throw .fail("delivery \(id) is settled, which was never made", rules: ["ST-1"])
        }
        guard deliveries[Int(id) - 1].outcome == nil else {
            guard checks else { return }
            throw .fail("delivery \(id) is settled twice", rules: ["DE-4"])
        }
        deliveries[Int(id) - 1].outcome = outcome
    }

    /// All deliveries that an outcome covers, ascending.
    private static func ids(of outcome: FrameLiteral) throws(Stop) -> [UInt64] {
        var ids: [UInt64] = []
        for range in [outcome] + (outcome["more"]?.elements ?? []) {
            let first = range["first"]?.number ?? 0
            let last = range["last"]?.number ?? first
            let floor = ids.last ?? 0
            guard first > floor, last >= first, last - first < 1_000_000 else {
                throw .fail(
                    "the ranges of an outcome do not ascend: \(first) to \(last) behind \(floor)", rules: ["ST-1"])
            }
            ids += first...last
        }
        return ids
    }

    private func check(
        _ outcome: FrameLiteral, _ ids: [UInt64], _ emissions: [FrameDump.Field]
    ) throws(Stop) {
        let kind = outcome["kind"]?.text ?? "OUTCOME_KIND_UNSPECIFIED"
        let known = ["ACCEPTED", "REJECTED", "RETRY", "RELEASED"].map { "OUTCOME_KIND_\($0)" }
        guard known.contains(kind) else { throw .fail("an outcome has kind \(kind)", rules: ["ST-2"]) }
        guard emissions.isEmpty || kind == known[0] else {
            throw .fail("an outcome with kind \(kind) has emissions", rules: ["ST-2"])
        }
        try checkStep(emissions)
        for emission in emissions {
            let literal = FrameLiteral(emission.inner)
            let parents = literal["parents"]?.elements.compactMap(\.number) ?? []
            guard Set(parents).count == parents.count, parents.allSatisfy(ids.contains) else {
                throw .fail(
                    "an emission's parents \(parents) are not distinct deliveries of its outcome", rules: ["ST-4"])
            }
            try OutputRules.check(emission)
        }
        if let code = outcome["error"]?["code"]?.number, code != 0 {
            guard code >= 1000 || (304...306).contains(code) else {
                throw .fail("an outcome's error has code \(code): a worker's begin at 1000", rules: ["ER-1"])
            }
        }
    }

    /// Bounds of one outcome or Emit (LM-2, LM-3).
    private func checkStep(_ emissions: [FrameDump.Field]) throws(Stop) {
        let most = welcome?["max_step_records"]?.number ?? .max
        let mostBytes = welcome?["max_step_bytes"]?.number ?? .max
        let mostRecord = welcome?["max_record"]?.number ?? .max
        let charges = emissions.map { UInt64($0.inner.first("output")?.range.count ?? 0) + reserve }
        guard UInt64(charges.count) <= most, charges.reduce(0, +) <= mostBytes else {
            throw .fail(
                "a step has \(charges.count) emissions charged \(charges.reduce(0, +)) bytes, at most \(most) and "
                    + "\(mostBytes) are allowed", rules: ["LM-3"])
        }
        if let largest = charges.max(), largest > mostRecord {
            throw .fail(
                "an output is charged \(largest) bytes, at most \(mostRecord) are allowed", rules: ["LM-2", "CR-8"])
        }
    }

    /// Takes emissions off the credit of their ports.
    private mutating func charge(_ emissions: [FrameDump.Field], checks: Bool) throws(Stop) {
        for emission in emissions {
            let port = FrameLiteral(emission.inner)["port"]?.number ?? 0
            guard var account = outputs[port] else {
                guard checks else { continue }
                throw .fail("an emission names port \(port), which Welcome does not have", rules: ["ST-4"])
            }
            account.spend(records: 1, bytes: UInt64(emission.inner.first("output")?.range.count ?? 0) + reserve)
            outputs[port] = account
            if checks, account.isOverdrawn {
                throw .fail(
                    "port \(port): \(account.used.records) records and \(account.used.bytes) bytes were emitted, "
                        + "\(account.limit.records) and \(account.limit.bytes) were granted", rules: ["CR-4", "CR-3"])
            }
        }
    }

    /// Related deliveries are settled in the order of their ids, unless `holds` is in force (OR-2).
    private func checkOrder(of ids: [UInt64]) throws(Stop) {
        guard !features.contains("holds") else { return }
        guard let oldest = deliveries.firstIndex(where: { $0.outcome == nil }) else { return }
        for id in ids where oldest < Int(id) - 1 {
            guard let lane = lane(of: deliveries[Int(id) - 1]) else { continue }
            let earlier = deliveries[oldest..<Int(id) - 1].first { $0.outcome == nil && self.lane(of: $0) == lane }
            if let earlier {
                throw .fail("delivery \(id) is settled before the related delivery \(earlier.id)", rules: ["OR-2"])
            }
        }
    }

    func lane(of delivery: Delivery) -> String? {
        let ordering = orderings[delivery.input] ?? "TOTAL"
        if ordering.hasSuffix("NONE") { return nil }
        if ordering.hasSuffix("KEY") {
            return delivery.key.isEmpty ? nil : "\(delivery.input) \(delivery.key)"
        }
        return "\(delivery.input)"
    }

    // MARK: Sources

    private mutating func takeEmit(_ frame: Received, checks: Bool) throws(Stop) {
        let emit = frame.message
        let partition = emit["partition"]?.text ?? ""
        let id = emit["emit_id"]?.number ?? 0
        let emissions = frame.fields.all("emissions")
        if checks {
            guard let last = claimed[partition], !finished.contains(partition) else {
                throw .fail("Emit for partition \(partition), which is not claimed", rules: ["SO-4"])
            }
            guard id == last + 1 else {
                throw .fail("Emit \(id) follows \(last) of partition \(partition)", rules: ["SO-4"])
            }
            try checkStep(emissions)
            for emission in emissions {
                guard emission.inner.first("parents") == nil else {
                    throw .fail("an emission of a source names parents", rules: ["SO-4"])
                }
                try OutputRules.check(emission)
            }
            if (emit["checkpoint"]?.asBytes?.count ?? 0) > 65_536 {
                throw .fail("the checkpoint has more than 65,536 bytes", rules: ["LM-3"])
            }
        }
        claimed[partition] = id
        try charge(emissions, checks: checks)
        emitted += emissions.map { FrameLiteral($0.inner) }
    }
}
