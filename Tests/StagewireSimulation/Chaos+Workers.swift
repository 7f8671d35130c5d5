import StagewireModel
import StagewireRecord
import StagewireRouter

/// What workers do, at random.
extension Chaos {
    // MARK: The source

    func claim(_ worker: RigWorker, _ partition: String) {
        let answers = worker.claimed.count
        rig.send(worker, .claim(partition: partition))
        while worker.claimed.count == answers {
            if rig.isDown { return }
            rig.turn()
        }
        let last = worker.claimed.last!.lastEmitID
        // What was not applied before the crash is sent again, under the same id.
        unconfirmed[partition] = (unconfirmed[partition] ?? []).filter { $0.id > last }
        nextEmit[partition] = last + 1
    }

    func emitSome() {
        guard let worker = workers.first(where: { $0.stage == Self.source }), worker.closed == nil, !rig.isDown else {
            return
        }
        let partition = Bool.random(using: &random) ? "p" : "q"
        let id = nextEmit[partition]!
        if let again = unconfirmed[partition]?.first(where: { $0.id == id }) {
            return send(worker, partition, id, again.payloads, isNew: false)
        }
        let payloads = (0..<Int.random(in: 1...3, using: &random)).map { "\(partition)\(id).\($0)" }
        send(worker, partition, id, payloads, isNew: true)
    }

    private func send(_ worker: RigWorker, _ partition: String, _ id: UInt64, _ payloads: [String], isNew: Bool) {
        let emissions = payloads.map { payload in
            TestEmission(output: output(payload))
        }
        guard worker.affords(emissions) else { return }
        if isNew {
            emitted += payloads
            unconfirmed[partition, default: []].append((id, payloads))
        }
        nextEmit[partition] = id + 1
        rig.emit(worker, partition, id, emissions, checkpoint: "after \(id)")
    }

    func finishPartitions(_ worker: RigWorker) {
        for partition in ["p", "q"] {
            while let next = unconfirmed[partition]?.first(where: { $0.id >= nextEmit[partition]! }) {
                let before = nextEmit[partition]!
                send(worker, partition, next.id, next.payloads, isNew: false)
                if nextEmit[partition]! == before { return }
            }
        }
        for partition in ["p", "q"] where worker.closed == nil { rig.send(worker, .finished(partition: partition)) }
    }

    /// What a worker sends for a payload.
    func output(_ payload: String) -> [UInt8] {
        let isMarked = options.auditHasCondition && isWanted(payload)
        return StepBytes.output(
            key: key(of: payload), payload: payload, attributes: isMarked ? [(Self.wanted, "")] : [])
    }

    /// The attribute for which the audit looks, if it has a condition.
    static let wanted = "wanted"

    /// Nothing of every other ten emits is wanted, so that the audit passes over many records at once.
    func isWanted(_ payload: String) -> Bool {
        let number = Int(payload.dropFirst().prefix { $0.isNumber })!
        return number / 10 % 2 == 0
    }

    /// The same for a record and for everything derived from it.
    func key(of payload: String) -> String {
        let number = origin(of: payload).utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xffff }
        let key = number % (options.keys + 1)
        // One in so many has no key. A partition has keys of its own, for between partitions there is no order.
        guard key != options.keys else { return "" }
        let name = "\(payload.prefix(1))\(key)"
        return options.keysCollide ? Self.colliding[name]! : name
    }

    /// Names of keys by what they are called otherwise: those of even numbers share one lane, the others another.
    private static let colliding: [String: String] = {
        var names: [String: String] = [:]
        for (partition, key) in ["p", "q"].flatMap({ partition in (0..<8).map { (partition, $0) } }) {
            let name = "\(partition)\(key)"
            var number = 0
            while RecordIdentity.keyHash(Array("\(name)-\(number)".utf8).span.bytes) % 1024 != UInt64(key % 2) {
                number += 1
            }
            names[name] = "\(name)-\(number)"
        }
        return names
    }()

    func origin(of payload: String) -> String { String(payload.prefix { $0 != "/" }) }

    static func outputs(of payload: String) -> [String] {
        let number = payload.utf8.reduce(7) { ($0 &* 33 &+ Int($1)) & 0xffff }
        return (0..<(number % 3)).map { "\(payload)/\($0)" }
    }

    // MARK: Those that settle

    func topUp(_ worker: RigWorker) {
        guard worker.closed == nil else { return }
        for input in rig.pipeline.stages[worker.stage].inputs.indices.map(UInt32.init) {
            let limit = worker.grantedIn[input]?.records ?? 0
            if limit < (worker.receivedRecords[input] ?? 0) + 20 {
                rig.grant(worker, records: UInt64.random(in: 1...30, using: &random), input: input)
            }
        }
    }

    func work(_ worker: RigWorker, isCalm: Bool) {
        topUp(worker)
        if options.auditIsSlow, !isCalm, worker.stage == Self.audit, Int.random(in: 0..<10, using: &random) > 0 {
            return
        }
        guard worker.closed == nil, worker.stage != Self.source, !worker.held.isEmpty, !rig.isDown else { return }
        var outcomes: [TestOutcome] = []
        var planned: [TestEmission] = []
        let ticket = openTicket
        let count = isCalm ? worker.held.count : Int.random(in: 1...4, using: &random)
        for received in pickInOrder(worker, count) {
            let outcome = verdict(received, worker, isCalm: isCalm)
            guard worker.affords(planned + outcome.emissions) else { break }
            planned += outcome.emissions
            outcomes.append(outcome)
            note(outcome.kind, received, worker, ticket)
        }
        if !outcomes.isEmpty { rig.settle(worker, outcomes) }
    }

    /// What a verdict means, unless it is void.
    private func note(_ kind: OutcomeKind, _ received: Received, _ worker: RigWorker, _ ticket: UInt64) {
        let (stage, payload) = (worker.stage, received.payload)
        guard !worker.voided.contains(received.delivery) else { return }
        clock += 1
        if worker.confirms { said[worker.connection, default: []].append((received.delivery, ticket)) }
        switch kind {
        case .accepted: accepted[stage][payload] = Dated(value: clock, ticket: ticket)
        case .rejected: attempts[stage][payload, default: []].append(Dated(value: 1, ticket: ticket))
        case .retry:
            attempts[stage][payload, default: []].append(Dated(value: received.attempt + 1, ticket: ticket))
            voidLater(received, worker)
        case .released: voidLater(received, worker)
        }
    }

    /// Later deliveries of the key in this session do not count: they come again.
    private func voidLater(_ received: Received, _ worker: RigWorker) {
        let ordering = rig.pipeline.stages[worker.stage].ordering
        guard ordering == .total || ordering == .key && !received.key.isEmpty else { return }
        for later in worker.held
        where later.delivery > received.delivery && later.input == received.input
            && (ordering == .total || later.key == received.key)
        { worker.voided.insert(later.delivery) }
    }

    /// Deliveries in an order that keeps each key's: a random start, skipping what has an earlier one of its key.
    private func pickInOrder(_ worker: RigWorker, _ count: Int) -> [Received] {
        var picked: [Received] = []
        var blocked: Set<String> = []
        let ordering = rig.pipeline.stages[worker.stage].ordering
        let waits = options.holds && options.window > 1 && worker.drain == nil && ordering == .key
        var held: [String: Int] = [:]
        if waits { for received in worker.held { held["\(received.input) \(received.key)", default: 0] += 1 } }
        for received in worker.held {
            guard picked.count < count else { break }
            if waits, !received.key.isEmpty, held["\(received.input) \(received.key)"]! < options.window { continue }
            let key = ordering == .total ? "all" : received.key
            let isFree = ordering == .none || key.isEmpty || !blocked.contains("\(received.input) \(key)")
            if isFree && Int.random(in: 0..<4, using: &random) > 0 {
                picked.append(received)
            } else {
                blocked.insert("\(received.input) \(key)")
            }
        }
        return picked
    }

    private func verdict(_ received: Received, _ worker: RigWorker, isCalm: Bool) -> TestOutcome {
        let roll = isCalm ? 99 : Int.random(in: 0..<100, using: &random)
        if roll < options.retryPercent { return TestOutcome(received.delivery, .retry) }
        if roll < options.retryPercent + options.releasePercent { return TestOutcome(received.delivery, .released) }
        if roll < options.retryPercent + options.releasePercent + options.rejectPercent {
            return TestOutcome(received.delivery, .rejected)
        }
        guard worker.stage == Self.transform else { return TestOutcome(received.delivery, .accepted) }
        let emissions = Self.outputs(of: received.payload).map { payload in
            TestEmission(output: output(payload))
        }
        return TestOutcome(received.delivery, .accepted, emissions)
    }
}
