import StagewireModel

@testable import StagewireRecord
@testable import StagewireRouter

/// Random workers over a pipeline of a source, a transform and two sinks: they accept, fail, release, reject and
/// die at random moments; afterwards a naive oracle says what must have arrived.
///
///     source (2 partitions) -> transform (0 to 2 outputs a record) -> sink
///                           -> audit (another ordering)
final class Chaos {
    let rig: Rig
    var random: SeededGenerator
    let options: Options
    private var workers: [RigWorker] = []
    private var nextEmit: [String: UInt64] = [:]
    private var emitted: [String] = []
    private var unconfirmed: [String: [(id: UInt64, payloads: [String])]] = [:]
    /// When each record was last accepted, by stage and payload.
    private var lastAccepted: [[String: Int]]
    private var seen: [[String: Set<String>]]
    private var clock = 0
    private var breakers: [Int: (state: Breaker.State, delivered: UInt64, inFlight: Int)] = [:]
    private var isRestarted = false
    /// What was dropped out of the dead letters, and what was retried at least once, by stage.
    private var dropped: [Set<String>] = Array(repeating: [], count: 4)
    private var revived: [Set<String>] = Array(repeating: [], count: 4)

    /// When each record was last accepted, in tickets of the journal.
    private var acceptedIn: [[String: UInt64]]

    struct Options {
        var records = 300
        /// Chance of the broker's end, in a thousand. 0: there is no journal.
        var crashPermille = 0
        var keys = 4
        var workers = 2
        var deathPercent = 2
        var retryPercent = 5
        var releasePercent = 3
        var rejectPercent = 1
        /// Chance of a look at the dead letters, in which some are retried and some dropped.
        var revivePercent = 0
        var deadLetters = 10_000
        /// Of all stages.
        var breaker: BreakerPolicy? = BreakerPolicy()
        /// Chance of a person who has paused stages go on, in percent.
        var resumePercent = 0
        var transformOrdering = Ordering.key
        var auditOrdering = Ordering.total
        var auditOverflow = Overflow.block
        var holds = false
        /// The audit reads what the transform emits, too: a stage with two inputs.
        var auditReadsBoth = false
    }

    static let source = 0
    static let transform = 1
    static let sink = 2
    static let audit = 3

    init(seed: UInt64, _ options: Options = Options()) {
        random = SeededGenerator(seed: seed)
        self.options = options
        let pipeline = Self.pipeline(options)
        rig = Rig(pipeline, journal: options.crashPermille > 0 ? RigJournal(pipeline, seed: seed) : nil)
        lastAccepted = Array(repeating: [:], count: 4)
        acceptedIn = Array(repeating: [:], count: 4)
        seen = Array(repeating: [:], count: 4)
    }

    static func pipeline(_ options: Options) -> PipelineDefinition {
        var source = StageDefinition(name: "source", isSource: true)
        source.maxWorkers = 2
        var transform = StageDefinition(name: "transform", inputs: [InputDefinition(stage: 0)])
        transform.ordering = options.transformOrdering
        transform.maxWorkers = 4
        var sink = StageDefinition(name: "sink", inputs: [InputDefinition(stage: 1)])
        sink.ordering = options.transformOrdering
        sink.maxWorkers = 4
        var audit = StageDefinition(name: "audit", inputs: [InputDefinition(stage: 0, overflow: options.auditOverflow)])
        if options.auditReadsBoth { audit.inputs.append(InputDefinition(stage: 1)) }
        audit.ordering = options.auditOrdering
        audit.maxWorkers = 4
        var stages = [source, transform, sink, audit]
        for index in stages.indices {
            stages[index].retry.attempts = 1000
            stages[index].retry.maxAge = nil
            stages[index].crashLimit = 1000
            stages[index].breaker = options.breaker
        }
        var pipeline = PipelineDefinition(name: "chaos", stages: stages)
        pipeline.limits.maxRecord = 4096
        pipeline.limits.maxStepBytes = 12_000
        pipeline.limits.maxStepRecords = 16
        pipeline.limits.windowBytes = 24_000
        pipeline.limits.windowRecords = 64
        pipeline.limits.unsettledRecords = 12
        pipeline.limits.unsettledBytes = 4096
        pipeline.limits.deadLetterRecords = options.deadLetters
        return pipeline
    }

    // MARK: The run

    /// Returns what went wrong; empty: nothing.
    func run() -> [String] {
        for stage in ["source", "transform", "sink", "audit"] { ensureWorkers(stage) }
        var rounds = 0
        while emitted.count < options.records {
            if options.crashPermille > 0, Int.random(in: 0..<1000, using: &random) < options.crashPermille { crash() }
            act()
            rounds += 1
            if rounds > 200_000 {
                return ["no progress while emitting: \(emitted.count) of \(options.records): \(rig.router.summary())"]
            }
        }
        rounds = 0
        rig.journal?.isCalm = true
        while !rig.hasEnded {
            calmDown()
            rounds += 1
            if rounds > 20_000 { return ["the pipeline does not end: \(rig.router.summary())"] }
        }
        return verdicts()
    }

    private func act() {
        let roll = Int.random(in: 0..<100, using: &random)
        if roll < options.deathPercent, let victim = workers.randomElement(using: &random) {
            remove(victim)
        } else if roll < options.deathPercent + options.revivePercent {
            sortDeadLetters(dropPercent: 20)
        } else if roll < 10 + options.revivePercent {
            rig.advance(milliseconds: UInt64.random(in: 1...400, using: &random))
        } else if roll < 35 {
            emitSome()
        } else if let worker = workers.randomElement(using: &random) {
            work(worker, isCalm: false)
        }
        if options.resumePercent > 0, Int.random(in: 0..<100, using: &random) < options.resumePercent {
            _ = rig.router.resume(stage: [Self.transform, Self.sink, Self.audit].randomElement(using: &random)!)
            rig.turn()
        }
        for stage in ["source", "transform", "sink", "audit"] where Int.random(in: 0..<20, using: &random) == 0 {
            ensureWorkers(stage)
        }
        check()
    }

    /// No more faults: everything has to come to its end.
    private func calmDown() {
        for stage in ["source", "transform", "sink", "audit"] { ensureWorkers(stage) }
        for worker in workers where worker.closed == nil {
            if worker.stage == Self.source { finishPartitions(worker) } else { work(worker, isCalm: true) }
        }
        if options.revivePercent > 0 { sortDeadLetters(dropPercent: 0) }
        rig.advance(milliseconds: 200)
        check()
    }

    private func ensureWorkers(_ stage: String) {
        workers.removeAll { $0.closed != nil }
        let index = rig.pipeline.stages.firstIndex { $0.name == stage }!
        guard rig.router.stages[index].phase != .ended else { return }
        let wanted = index == Self.source ? 1 : options.workers
        while workers.filter({ $0.stage == index }).count < wanted {
            let worker = rig.attach(stage, features: options.holds ? [Feature.holds] : [])
            workers.append(worker)
            if worker.closed != nil { return }
            if index == Self.source { for partition in ["p", "q"] { claim(worker, partition) } } else { topUp(worker) }
        }
    }

    /// What the broker had accepted and not written down has not happened.
    private func crash() {
        guard let journal = rig.journal else { return }
        rig.crash()
        isRestarted = true
        workers = []
        for stage in acceptedIn.indices {
            for (payload, ticket) in acceptedIn[stage] where ticket > journal.durableTicket {
                lastAccepted[stage][payload] = nil
                acceptedIn[stage][payload] = nil
            }
        }
        for stage in ["source", "transform", "sink", "audit"] { ensureWorkers(stage) }
    }

    private func remove(_ worker: RigWorker) {
        workers.removeAll { $0 === worker }
        rig.kill(worker)
    }

    private func topUp(_ worker: RigWorker) {
        guard worker.closed == nil else { return }
        for input in rig.pipeline.stages[worker.stage].inputs.indices.map(UInt32.init) {
            let limit = worker.grantedIn[input]?.records ?? 0
            if limit < (worker.receivedRecords[input] ?? 0) + 20 {
                rig.grant(worker, records: UInt64.random(in: 1...30, using: &random), input: input)
            }
        }
    }

    /// A person looks at the dead letters: some are dropped, some retried, some stay.
    private func sortDeadLetters(dropPercent: Int) {
        for stage in [Self.transform, Self.sink, Self.audit] {
            var again: [UInt64] = []
            var away: [UInt64] = []
            for letter in rig.router.deadLetters(stage: stage) {
                let payload = String(decoding: letter.record.ref.payload, as: UTF8.self)
                if Int.random(in: 0..<100, using: &random) < dropPercent {
                    away.append(letter.number)
                    dropped[stage].insert(payload)
                } else if Bool.random(using: &random), rig.router.takesDeadLetters(stage: stage) {
                    again.append(letter.number)
                    revived[stage].insert(payload)
                }
            }
            precondition(rig.router.dropDeadLetters(stage: stage, away) == away.count, "each is dropped once")
            if !again.isEmpty { _ = rig.router.retryDeadLetters(stage: stage, again.shuffled(using: &random)) }
        }
        // What a person was told stays so.
        let wasCalm = rig.journal?.isCalm
        rig.journal?.isCalm = true
        rig.turn()
        if let wasCalm { rig.journal?.isCalm = wasCalm }
    }

    // MARK: Source

    private func claim(_ worker: RigWorker, _ partition: String) {
        let answers = worker.claimed.count
        rig.send(worker, .claim(partition: partition))
        while worker.claimed.count == answers { rig.turn() }
        let last = worker.claimed.last!.lastEmitID
        // What was not applied before the crash is sent again, under the same id.
        let again = (unconfirmed[partition] ?? []).filter { $0.id > last }
        unconfirmed[partition] = again
        nextEmit[partition] = last + 1
    }

    private func emitSome() {
        guard let worker = workers.first(where: { $0.stage == Self.source }), worker.closed == nil else { return }
        let partition = Bool.random(using: &random) ? "p" : "q"
        let id = nextEmit[partition]!
        if let again = unconfirmed[partition]?.first(where: { $0.id == id }) {
            return send(worker, partition, id, again.payloads, isNew: false)
        }
        let count = Int.random(in: 1...3, using: &random)
        let payloads = (0..<count).map { "\(partition)\(id).\($0)" }
        send(worker, partition, id, payloads, isNew: true)
    }

    private func send(_ worker: RigWorker, _ partition: String, _ id: UInt64, _ payloads: [String], isNew: Bool) {
        let emissions = payloads.map { payload in
            TestEmission(output: StepBytes.output(key: key(of: payload), payload: payload))
        }
        guard worker.affords(emissions) else { return }
        if isNew {
            emitted += payloads
            unconfirmed[partition, default: []].append((id, payloads))
        }
        nextEmit[partition] = id + 1
        rig.emit(worker, partition, id, emissions)
    }

    private func finishPartitions(_ worker: RigWorker) {
        for partition in ["p", "q"] {
            while let next = unconfirmed[partition]?.first(where: { $0.id >= nextEmit[partition]! }) {
                let before = nextEmit[partition]!
                send(worker, partition, next.id, next.payloads, isNew: false)
                if nextEmit[partition]! == before { return }
            }
        }
        for partition in ["p", "q"] where worker.closed == nil { rig.send(worker, .finished(partition: partition)) }
    }

    /// The same for a record and for everything derived from it.
    private func key(of payload: String) -> String {
        let origin = payload.split(separator: "/")[0]
        let number = origin.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xffff }
        let key = number % (options.keys + 1)
        // One in so many has no key. A partition has keys of its own, for between partitions there is no order.
        return key == options.keys ? "" : "\(payload.prefix(1))\(key)"
    }

    private func origin(of payload: String) -> String { String(payload.prefix { $0 != "/" }) }

    static func outputs(of payload: String) -> [String] {
        let number = payload.utf8.reduce(7) { ($0 &* 33 &+ Int($1)) & 0xffff }
        return (0..<(number % 3)).map { "\(payload)/\($0)" }
    }

    // MARK: Workers

    private func work(_ worker: RigWorker, isCalm: Bool) {
        topUp(worker)
        guard worker.closed == nil, worker.stage != Self.source, !worker.held.isEmpty else { return }
        var outcomes: [TestOutcome] = []
        var planned: [TestEmission] = []
        let count = isCalm ? worker.held.count : Int.random(in: 1...4, using: &random)
        for received in pickInOrder(worker, count) {
            let outcome = verdict(received, worker, isCalm: isCalm)
            guard worker.affords(planned + outcome.emissions) else { break }
            planned += outcome.emissions
            outcomes.append(outcome)
            clock += 1
            if outcome.kind == .accepted { lastAccepted[worker.stage][received.payload] = clock }
            if let journal = rig.journal {
                acceptedIn[worker.stage][received.payload] =
                    outcome.kind == .accepted ? journal.openTicket(rig.router) : nil
            }
            if outcome.kind == .rejected { lastAccepted[worker.stage][received.payload] = nil }
            seen[worker.stage][received.payload, default: []].insert("\(received.block.ref.id)")
        }
        if !outcomes.isEmpty { rig.settle(worker, outcomes) }
    }

    /// Deliveries in an order that keeps each key's: a random start, skipping what has an earlier one of its key.
    private func pickInOrder(_ worker: RigWorker, _ count: Int) -> [Received] {
        var picked: [Received] = []
        var blocked: Set<String> = []
        let ordering = rig.pipeline.stages[worker.stage].ordering
        for received in worker.held {
            guard picked.count < count else { break }
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
            TestEmission(output: StepBytes.output(key: key(of: payload), payload: payload))
        }
        return TestOutcome(received.delivery, .accepted, emissions)
    }

    // MARK: What must hold

    private func check() {
        for stream in rig.router.streams {
            precondition(
                stream.log.bytes <= stream.bytes.capacity && stream.log.count <= stream.records.capacity, "budget")
        }
        for session in rig.router.sessions { session.deliveries.check() }
        for subscription in rig.router.subscriptions {
            // A start parks what was in flight besides.
            precondition(
                rig.journal != nil || subscription.parking.bytes <= subscription.parking.byteLimit,
                "parking stays within its budget")
            let dead = subscription.dead
            precondition(
                dead.total == dead.revived + dead.discarded + UInt64(dead.count), "every letter is accounted for")
        }
        checkBreakers()
    }

    /// What a stage's breaker keeps back is kept back, from one look to the next.
    private func checkBreakers() {
        let summary = rig.router.summary()
        for stage in [Self.transform, Self.sink, Self.audit] {
            let line = summary.stages[stage]
            let now = (
                state: rig.router.stages[stage].breaker.state, delivered: line.delivered, inFlight: line.inFlight
            )
            let before = breakers[stage]
            breakers[stage] = now
            guard let before, !isRestarted else { continue }
            switch (before.state, now.state) {
            case (.open, .open) where before.state == now.state:
                precondition(now.delivered == before.delivered, "nothing is delivered in a pause")
            case (.open, .trying), (.trying, .trying):
                precondition(
                    options.holds || now.inFlight <= max(before.inFlight, Breaker.probes), "a few records are tried")
            case (.closed, _), (.open, _), (.trying, _): break
            }
        }
        isRestarted = false
    }

    /// How often a stage was paused.
    var pauses: Int { rig.notices.count { $0.level == .error && $0.text.contains("paused for") } }

    private func verdicts() -> [String] {
        var faults: [String] = []
        let dead = (0..<4).map { stage in
            dropped[stage].union(
                rig.router.deadLetters(stage: stage).map { String(decoding: $0.record.ref.payload, as: UTF8.self) })
        }
        let expectedAtSink = emitted.filter { !dead[Self.transform].contains($0) }.flatMap(Self.outputs)
        faults += compare("transform", Self.transform, emitted, dead[Self.transform])
        faults += compare("sink", Self.sink, expectedAtSink, dead[Self.sink])
        if options.auditOverflow == .block {
            let derived = options.auditReadsBoth ? expectedAtSink : []
            faults += compare("audit", Self.audit, emitted + derived, dead[Self.audit])
        }
        let summary = rig.router.summary()
        if let journal = rig.journal {
            for (record, count) in journal.appended where count > 1 {
                faults.append("\(record) was appended \(count) times")
            }
            if journal.payloads[Self.source].sorted() != emitted.sorted() {
                faults.append("the source's stream is another")
            }
            if journal.payloads[Self.transform].sorted() != expectedAtSink.sorted() {
                faults.append("the transform's stream is another")
            }
        } else if summary.stages[Self.transform].emitted != UInt64(expectedAtSink.count) {
            faults.append(
                "transform emitted \(summary.stages[Self.transform].emitted), expected \(expectedAtSink.count)")
        }
        if summary.bytes
            != dead.indices.reduce(
                0, { $0 + rig.router.deadLetters(stage: $1).reduce(0) { $0 + $1.bytes } })
        {
            faults.append("memory is still held at the end: \(summary.bytes) bytes")
        }
        for stage in [Self.transform, Self.sink] { faults += orderFaults(stage) }
        return faults
    }

    private func compare(_ name: String, _ stage: Int, _ expected: [String], _ dead: Set<String>) -> [String] {
        var faults: [String] = []
        let accepted = Set(lastAccepted[stage].keys).subtracting(dead)
        let wanted = Set(expected).subtracting(dead)
        if accepted != wanted {
            faults.append(
                "\(name): lost \(wanted.subtracting(accepted).sorted().prefix(5)), unexpected "
                    + "\(accepted.subtracting(wanted).sorted().prefix(5))")
        }
        for (payload, ids) in seen[stage].sorted(by: { $0.key < $1.key }) where ids.count > 1 {
            faults.append("\(name): \(payload) came under \(ids.count) ids")
        }
        return faults
    }

    /// Per key, what counted was accepted in the order in which the source emitted it.
    private func orderFaults(_ stage: Int) -> [String] {
        guard rig.pipeline.stages[stage].ordering == .key else { return [] }
        let sequence = stage == Self.transform ? emitted : emitted.flatMap(Self.outputs)
        var last: [String: (time: Int, payload: String)] = [:]
        var faults: [String] = []
        for payload in sequence {
            // A retried letter is a new arrival; so is, then, what it gave rise to.
            guard let time = lastAccepted[stage][payload], case let key = key(of: payload), !key.isEmpty,
                !revived[stage].contains(payload), !revived[Self.transform].contains(origin(of: payload))
            else { continue }
            if let before = last[key], before.time > time {
                faults.append("stage \(stage): \(before.payload) after \(payload)")
            }
            last[key] = (time, payload)
        }
        return faults
    }
}
