import StagewireLedger
import StagewireModel
import StagewireRecord
import StagewireRouter

/// Random workers over a pipeline of a source, a transform and two sinks: they accept, fail, release, reject and
/// die at random moments, and so does the broker if it has a journal. At every moment what a worker is told or given is
/// compared with what is on the disk for good; afterwards a naive oracle says what must have arrived.
///
///     source (2 partitions) -> transform (0 to 2 outputs a record) -> sink
///                           -> audit (another ordering)
package final class Chaos {
    package struct Options {
        package var records = 300
        /// With a journal: chance of the broker's end between two actions, and of an orderly stop, in a thousand each.
        package var crashPermille = 0
        package var stopPermille = 0
        package var journal: SimulatedJournal.Options?
        package var keys = 4
        package var workers = 2
        package var deathPercent = 2
        package var retryPercent = 5
        package var releasePercent = 3
        package var rejectPercent = 1
        /// Chance of a look at the dead letters, in which some are retried and some dropped.
        package var revivePercent = 0
        package var deadLetters = 10_000
        /// Of all stages.
        package var breaker: BreakerPolicy? = BreakerPolicy()
        /// Chance of a person who has a paused stage go on, in percent.
        package var resumePercent = 0
        package var transformOrdering = Ordering.key
        package var auditOrdering = Ordering.total
        package var auditOverflow = Overflow.block
        package var holds = false
        /// Who holds on purpose settles a record with a key only once it has so many of that key, or is told that no more come.
        package var window = 1
        /// All keys are of two lanes.
        package var keysCollide = false
        /// The audit reads what the transform emits, too: a stage with two inputs.
        package var auditReadsBoth = false
        /// The audit reads only what its condition lets through: nothing of long stretches.
        package var auditHasCondition = false
        /// The audit seldom settles anything, so that its streams go on without it.
        package var auditIsSlow = false
        package var backlogBytes = 1 << 30
        /// Chance of a person who has records come again, in percent.
        package var replayPercent = 0

        package init() {}
    }

    /// A verdict that counts from a group of steps on, if that becomes durable.
    struct Dated<Value> {
        var value: Value
        var ticket: UInt64
    }

    package let rig: Rig
    let options: Options
    var random: SeededGenerator
    var workers: [RigWorker] = []
    var nextEmit: [String: UInt64] = [:]
    var emitted: [String] = []
    var unconfirmed: [String: [(id: UInt64, payloads: [String])]] = [:]
    var clock = 0
    /// When each record was accepted, by stage and payload.
    var accepted: [[String: Dated<Int>]]
    /// The attempt that comes next, by stage and payload: all that were ever said.
    var attempts: [[String: [Dated<UInt32>]]]
    /// What was dropped out of the dead letters, and what was retried at least once, by stage.
    var dropped: [[String: UInt64]]
    var revived: [Set<String>]
    var seen: [[String: Set<RecordID>]]
    /// What each worker said of its deliveries, for its confirmations.
    var said: [ConnectionID: [(delivery: UInt64, ticket: UInt64)]] = [:]
    var faults: [String] = []
    /// Replays that were asked for, by stage: one of them at a time.
    var replays: [Int: (input: Int, from: UInt64)] = [:]
    /// What was known before each replay: it has not happened if it does not become durable.
    var beforeReplays: [BeforeReplay] = []
    /// Dead letters of a time at which they came again: these may come once more as letters.
    var twofold: [Set<String>]
    /// What was edited, by stage: it comes under another id than its stream has.
    var edited: [Set<String>]

    static let source = 0
    static let transform = 1
    static let sink = 2
    static let audit = 3
    static let names = ["source", "transform", "sink", "audit"]

    package init(seed: UInt64, _ options: Options = Options()) {
        random = SeededGenerator(seed: seed)
        self.options = options
        let pipeline = Self.pipeline(options)
        var router = Router.Options()
        router.leastRecords = SimulatedJournal.leastRecords
        let journal = options.journal.map { SimulatedJournal(pipeline, seed: seed, $0) }
        rig = Rig(pipeline, options: router, journal: journal)
        accepted = Array(repeating: [:], count: 4)
        attempts = Array(repeating: [:], count: 4)
        dropped = Array(repeating: [:], count: 4)
        revived = Array(repeating: [], count: 4)
        seen = Array(repeating: [:], count: 4)
        twofold = Array(repeating: [], count: 4)
        edited = Array(repeating: [], count: 4)
        rig.onRecord = { [unowned self] worker, record in self.given(record, worker) }
        rig.onNotice = { [unowned self] notice in self.noticed(notice) }
        rig.onMessage = { [unowned self] worker, message in self.told(message, worker) }
    }

    package static func pipeline(_ options: Options) -> PipelineDefinition {
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
        if options.auditHasCondition {
            for index in audit.inputs.indices { audit.inputs[index].when = .exists(wanted) }
        }
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
        // Without a journal a stream has three steps at most while it is short.
        pipeline.limits.maxStepRecords = options.journal == nil ? 8 : 16
        pipeline.limits.windowBytes = 24_000
        pipeline.limits.windowRecords = 64
        pipeline.limits.unsettledRecords = 12
        pipeline.limits.unsettledBytes = 4096
        pipeline.limits.deadLetterRecords = options.deadLetters
        pipeline.limits.backlogBytes = options.backlogBytes
        return pipeline
    }

    // MARK: The run

    /// Returns what went wrong; empty: nothing.
    package func run() -> [String] {
        ensureWorkers()
        var rounds = 0
        while emitted.count < options.records {
            if rig.isDown || chance(options.crashPermille) { restart() }
            if chance(options.stopPermille) { stop() }
            act()
            rounds += 1
            // Streams are short for a while, and then again they are not.
            rig.load.isBusy = rounds % 160 < 120
            if hasFault { return faults }
            if rounds > 200_000 {
                return ["no progress while emitting: \(emitted.count) of \(options.records): \(rig.router.summary())"]
            }
        }
        rounds = 0
        rig.journal?.isCalm = true
        if rig.isDown { restart() }
        while !rig.hasEnded {
            calmDown()
            rounds += 1
            if hasFault { return faults }
            if rounds > 20_000 { return ["the pipeline does not end: \(rig.router.summary())"] }
        }
        return verdicts()
    }

    private var hasFault: Bool {
        faults += rig.journal?.faults ?? []
        return !faults.isEmpty
    }

    private func chance(_ permille: Int) -> Bool {
        permille > 0 && Int.random(in: 0..<1000, using: &random) < permille
    }

    private func act() {
        let roll = Int.random(in: 0..<100, using: &random)
        if roll < options.deathPercent, let victim = workers.randomElement(using: &random) {
            workers.removeAll { $0 === victim }
            rig.kill(victim)
        } else if roll < options.deathPercent + options.revivePercent {
            sortDeadLetters(dropPercent: 20)
        } else if roll < 10 + options.revivePercent {
            rig.advance(milliseconds: UInt64.random(in: 1...400, using: &random))
        } else if roll < 35 {
            emitSome()
        } else if let worker = workers.randomElement(using: &random) {
            work(worker, isCalm: false)
        }
        if options.resumePercent > 0, !rig.isDown, Int.random(in: 0..<100, using: &random) < options.resumePercent {
            _ = rig.router.resume(stage: [Self.transform, Self.sink, Self.audit].randomElement(using: &random)!)
            rig.turn()
        }
        if options.replayPercent > 0, Int.random(in: 0..<100, using: &random) < options.replayPercent { askReplay() }
        for stage in Self.names.indices where Int.random(in: 0..<20, using: &random) == 0 { ensureWorkers(stage) }
        rig.router.check()
    }

    /// No more faults: everything has to come to its end.
    private func calmDown() {
        if rig.isDown { restart() }
        ensureWorkers()
        for worker in workers where worker.closed == nil {
            if worker.stage == Self.source { finishPartitions(worker) } else { work(worker, isCalm: true) }
        }
        if options.revivePercent > 0 { sortDeadLetters(dropPercent: 0) }
        rig.advance(milliseconds: 200)
        rig.router.check()
    }

    private func ensureWorkers() { for stage in Self.names.indices { ensureWorkers(stage) } }

    private func ensureWorkers(_ stage: Int) {
        workers.removeAll { $0.closed != nil }
        guard !rig.isDown, !rig.router.hasEnded(stage: stage) else { return }
        let wanted = stage == Self.source ? 1 : options.workers
        while workers.count(where: { $0.stage == stage }) < wanted {
            var features = options.holds ? [Feature.holds] : []
            if Bool.random(using: &random) { features.append(Feature.settleConfirm) }
            let worker = rig.attach(Self.names[stage], features: features)
            workers.append(worker)
            if worker.closed != nil || rig.isDown { return }
            if stage == Self.source { for partition in ["p", "q"] { claim(worker, partition) } } else { topUp(worker) }
        }
    }

    // MARK: The end of the broker

    /// What the broker had accepted and not written down has not happened.
    private func restart() {
        guard let journal = rig.journal else { return }
        workers = []
        said = [:]
        // First what is durable is found out, then the rest is forgotten: it may come again at once.
        rig.start { [self] in
            let last = journal.durableTicket
            undoReplays(after: last)
            for stage in Self.names.indices {
                accepted[stage] = accepted[stage].filter { $0.value.ticket <= last }
                attempts[stage] = attempts[stage].mapValues { $0.filter { $0.ticket <= last } }
                dropped[stage] = dropped[stage].filter { $0.value <= last }
            }
        }
        if !rig.isDown { ensureWorkers() }
    }

    /// An orderly end: workers finish what they hold, sources leave, the rest waits for the next run.
    private func stop() {
        guard rig.journal != nil, !rig.isDown else { return }
        rig.router.handle(.suspend(deadline: .seconds(1000)), at: rig.now)
        rig.turn()
        for _ in 0..<2000 where !rig.hasEnded && !rig.isDown {
            for worker in workers where worker.closed == nil {
                if worker.stage == Self.source {
                    rig.send(worker, .close(CloseReason(.ok, "")))
                } else {
                    work(worker, isCalm: true)
                }
            }
            rig.advance(milliseconds: 100)
        }
        if !rig.hasEnded && !rig.isDown { faults.append("the pipeline does not stop: \(rig.router.summary())") }
        restart()
    }

    // MARK: Dead letters

    /// A person looks at the dead letters: some are dropped, some retried, some stay.
    private func sortDeadLetters(dropPercent: Int) {
        for stage in [Self.transform, Self.sink, Self.audit] where !rig.isDown {
            var again: [UInt64] = []
            var away: [UInt64] = []
            let ticket = openTicket
            for letter in rig.router.deadLetters(stage: stage) {
                let payload = String(decoding: letter.record.ref.payload, as: UTF8.self)
                if Int.random(in: 0..<100, using: &random) < dropPercent {
                    away.append(letter.number)
                    dropped[stage][payload] = ticket
                } else if Bool.random(using: &random), rig.router.takesDeadLetters(stage: stage) {
                    if Int.random(in: 0..<4, using: &random) == 0 { edit(letter, stage) }
                    again.append(letter.number)
                    revived[stage].insert(payload)
                }
            }
            precondition(rig.router.dropDeadLetters(stage: stage, away) == away.count, "each is dropped once")
            if !again.isEmpty { _ = rig.router.retryDeadLetters(stage: stage, again.shuffled(using: &random)) }
            rig.turn()
        }
    }

    /// A person puts another record in a letter's place: with the same payload, by which all is counted, and so another id.
    private func edit(_ letter: DeadLetter, _ stage: Int) {
        let payload = String(decoding: letter.record.ref.payload, as: UTF8.self)
        let output = output(payload)
        do throws(CloseReason) {
            let id = try rig.router.editDeadLetter(stage: stage, letter.number, output: output.span.bytes)
            precondition(letter.isRetrying == (id == nil), "what is on its way back is not edited")
            if id != nil { edited[stage].insert(payload) }
        } catch { faults.append("an edit was refused: \(error.message)") }
    }

    /// The ticket of what is done now.
    var openTicket: UInt64 { rig.journal?.openTicket(rig.router) ?? 0 }
}
