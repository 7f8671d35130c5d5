import StagewireWire

/// What the suite, as a worker, knows of a session with the broker under test.
struct BrokerLedger {
    struct Delivery {
        var id: UInt64
        var input: UInt64
        var attempt: UInt64
        var size: UInt64
        var record: FrameLiteral
        /// Monotonic nanoseconds.
        var arrival: UInt64
        var isSettled = false
        /// A step has looked at it.
        var isSeen = false

        var key: [UInt8] { record["header"]?["key"]?.asBytes ?? [] }
        var recordID: [UInt8] { record["lineage"]?["id"]?.asBytes ?? [] }
    }

    var stage = ""
    var welcome: FrameLiteral?
    var features: Set<String> = []
    /// What we granted, and what came.
    var inputs: [UInt64: Account] = [:]
    private var bounds: [UInt64: Account.Amount] = [:]
    /// What the broker granted, and what we sent.
    var outputs: [UInt64: Account] = [:]
    var ports: [UInt64: String] = [:]
    var deliveries: [Delivery] = []
    var runs: [UInt64: FrameLiteral] = [:]
    /// By partition: epoch and the next emit id.
    var claims: [String: (epoch: UInt64, next: UInt64, checkpoint: [UInt8])] = [:]
    var committed: [String: UInt64] = [:]
    var settledThrough: UInt64 = 0
    var hasClosed = false

    var reserve: UInt64 { welcome?["stamp_reserve"]?.number ?? 0 }
    var pipeline: String { welcome?["pipeline"]?.text ?? "" }
    var instance: String { welcome?["instance"]?.text ?? "" }
    var version: UInt64 { welcome?["version"]?.number ?? 1000 }
    var frameLimit: Int { welcome.map { Int($0["max_frame"]?.number ?? 0) } ?? 4_194_304 }

    // MARK: What came

    mutating func take(_ frame: Received, checks: Bool, genealogy: Genealogy) throws(Stop) {
        if checks {
            guard !hasClosed else { throw .fail("a frame came behind Close", rules: ["EN-1"]) }
            if welcome == nil, frame.kind != "welcome", frame.kind != "close" {
                throw .fail("\(frame.kind ?? "a frame") came before Welcome", rules: ["HS-2"])
            }
            let chosen = frame.kind == "welcome" ? frame.message["version"]?.number ?? 0 : frame.version
            try FrameRules.check(frame, from: .broker, version: welcome == nil ? chosen : version)
            guard frame.version / 1000 == 1 else {
                throw .fail("the frame's version is \(frame.version), of another major", rules: ["VR-1"])
            }
        }
        switch frame.kind {
        case "welcome": open(frame.message)
        case "credit": try takeCredit(frame.message)
        case "deliver": try takeDeliver(frame, checks: checks, genealogy: genealogy)
        case "runs": try takeRuns(frame.message, checks: checks)
        case "claimed": takeClaimed(frame.message)
        case "committed": try takeCommitted(frame.message, checks: checks)
        case "settled": try takeSettled(frame.message, checks: checks)
        case "close": hasClosed = true
        case _: break
        }
    }

    private mutating func open(_ welcome: FrameLiteral) {
        self.welcome = welcome
        features = Set(welcome["features"]?.elements.compactMap(\.text) ?? [])
        for input in welcome["inputs"]?.elements ?? [] {
            let number = input["number"]?.number ?? 0
            inputs[number] = Account()
            bounds[number] = Account.Amount(
                records: input["max_unsettled_records"]?.number ?? 0, bytes: input["max_unsettled_bytes"]?.number ?? 0)
        }
        for output in welcome["outputs"]?.elements ?? [] {
            let number = output["number"]?.number ?? 0
            outputs[number] = Account()
            ports[number] = output["port"]?.text ?? ""
        }
    }

    private mutating func takeCredit(_ credit: FrameLiteral) throws(Stop) {
        let number = credit["number"]?.number ?? 0
        guard outputs[number] != nil else {
            throw .fail("Credit names output \(number), which Welcome does not have", rules: ["CR-2", "HS-6"])
        }
        outputs[number]?.raise(records: credit["records"]?.number ?? 0, bytes: credit["bytes"]?.number ?? 0)
    }

    private mutating func takeRuns(_ runs: FrameLiteral, checks: Bool) throws(Stop) {
        for run in runs["runs"]?.elements ?? [] {
            let number = run["number"]?.number ?? 0
            if checks, let before = self.runs[number], before != run {
                throw .fail("run \(number) was announced as something else before", rules: ["LI-3"])
            }
            self.runs[number] = run
        }
    }

    // MARK: Deliver

    private mutating func takeDeliver(
        _ frame: Received, checks: Bool, genealogy: Genealogy
    ) throws(Stop) {
        let message = frame.message
        let input = message["input"]?.number ?? 0
        let records = frame.fields.all("records")
        let attempts = message["attempts"]?.elements.compactMap(\.number) ?? []
        let first = message["first_delivery"]?.number ?? 0
        if checks {
            guard inputs[input] != nil else {
                throw .fail("Deliver names input \(input), which Welcome does not have", rules: ["HS-6"])
            }
            guard !records.isEmpty else { throw .fail("a Deliver has no records", rules: ["DE-1"]) }
            guard first == UInt64(deliveries.count) + 1 else {
                throw .fail("first_delivery is \(first), \(deliveries.count + 1) is next", rules: ["DE-1"])
            }
            guard attempts.isEmpty || attempts.count == records.count, !attempts.contains(0) else {
                throw .fail("\(records.count) records have the attempts \(attempts)", rules: ["DE-2"])
            }
        }
        for (index, record) in records.enumerated() {
            let size = UInt64(record.range.count)
            inputs[input, default: Account()].spend(records: 1, bytes: size)
            deliveries.append(
                Delivery(
                    id: first + UInt64(index), input: input, attempt: index < attempts.count ? attempts[index] : 1,
                    size: size, record: FrameLiteral(record.inner), arrival: frame.arrival))
            if checks { try genealogy.check(record, frame.content, runs: runs) }
        }
        if checks { try checkBounds(input) }
    }

    private func checkBounds(_ input: UInt64) throws(Stop) {
        if let account = inputs[input], account.isOverdrawn {
            throw .fail(
                "input \(input): \(account.used.records) records and \(account.used.bytes) bytes were delivered, "
                    + "\(account.limit.records) and \(account.limit.bytes) were granted", rules: ["CR-4"])
        }
        let held = deliveries.filter { $0.input == input && !$0.isSettled }
        let bytes = held.reduce(0) { $0 + $1.size }
        guard let bound = bounds[input], UInt64(held.count) <= bound.records, bytes <= bound.bytes else {
            throw .fail(
                "input \(input): \(held.count) deliveries of \(bytes) bytes are held, above its bounds", rules: ["DE-3"]
            )
        }
    }

    // MARK: Confirmations

    private mutating func takeClaimed(_ claimed: FrameLiteral) {
        let partition = claimed["partition"]?.text ?? ""
        claims[partition] = (
            claimed["epoch"]?.number ?? 0, (claimed["last_emit_id"]?.number ?? 0) + 1,
            claimed["checkpoint"]?.asBytes ?? []
        )
        committed[partition] = claimed["last_emit_id"]?.number ?? 0
    }

    private mutating func takeCommitted(_ message: FrameLiteral, checks: Bool) throws(Stop) {
        let partition = message["partition"]?.text ?? ""
        let through = message["through"]?.number ?? 0
        if checks {
            guard let claim = claims[partition] else {
                throw .fail("Committed for partition \(partition), which this session has not claimed", rules: ["SO-6"])
            }
            guard through < claim.next, through >= committed[partition] ?? 0 else {
                throw .fail(
                    "Committed through \(through), but \(claim.next - 1) was sent last and \(committed[partition] ?? 0) "
                        + "was committed before", rules: ["SO-6"])
            }
        }
        committed[partition] = through
    }

    private mutating func takeSettled(_ message: FrameLiteral, checks: Bool) throws(Stop) {
        let through = message["through"]?.number ?? 0
        if checks {
            guard features.contains("settle-confirm") else {
                throw .fail("Settled came, and settle-confirm is not in force", rules: ["HS-7", "EX-2"])
            }
            let isSettled = deliveries.prefix(Int(through)).allSatisfy(\.isSettled)
            guard through <= deliveries.count, isSettled, through >= settledThrough else {
                throw .fail("Settled through \(through), which is not settled", rules: ["ST-8"])
            }
        }
        settledThrough = through
    }
}
