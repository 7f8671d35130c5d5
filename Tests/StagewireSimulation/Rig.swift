import StagewireModel
import StagewireRecord
import StagewireRouter

/// The router with its shell played by the test: a turn is seal, commit, pump, perform.
package final class Rig {
    package let pipeline: PipelineDefinition
    package var router: Router
    package var now = Moment(uptime: 1_000_000_000, wall: 1_700_000_000_000_000)
    package var workers: [ConnectionID: RigWorker] = [:]
    package private(set) var lines: [String] = []
    package private(set) var ended: [Int] = []
    package private(set) var hasEnded = false
    package private(set) var lost: [(stage: Int, instance: String, shrinking: Bool)] = []
    package private(set) var notices: [Notice] = []
    /// Told to the router as unwritten until `flushWrites`.
    package var writesAtOnce = true
    /// What the router is told of the broker's load.
    package var load = BrokerLoad(isBusy: true)
    private var unwritten: [(ConnectionID, Int)] = []
    private var nextConnection: UInt64 = 1
    private var batch = StepBatch()
    /// `nil`: what is in memory is durable.
    package let journal: SimulatedJournal?
    /// Sees a message or a record that a worker gets, before the worker has it.
    package var onMessage: (RigWorker, ControlMessage) -> Void = { _, _ in }
    package var onNotice: (Notice) -> Void = { _ in }
    package var onRecord: (RigWorker, Received) -> Void = { _, _ in }
    /// Over all lines so far: two runs that do the same have the same.
    package private(set) var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    /// Whether lines are kept; the hash is of them all.
    package var keepsLines = true
    /// The wall clock is set by an hour, forth and back in turn, whenever time passes.
    package var wallJumps = false
    private var jumps = 0

    package init(
        _ pipeline: PipelineDefinition, options: Router.Options = Router.Options(), journal: SimulatedJournal? = nil
    ) {
        self.pipeline = pipeline
        self.journal = journal
        var options = options
        options.patience = SimulatedJournal.patience
        router = journal?.start(at: now) ?? Router(pipeline, options: options)
    }

    /// Whether the broker has died, by itself or with its machine. Nothing happens any more before `start`.
    package var isDown: Bool { journal?.isDown ?? false }

    /// The broker starts again, whether it has ended already or not; no worker is attached then.
    /// - Parameter found: called when it is known what is durable, before anything is done with it.
    package func start(found: () -> Void = {}) {
        guard let journal else { preconditionFailure("without a journal nothing is left") }
        workers = [:]
        unwritten = []
        ended = []
        hasEnded = false
        now.uptime += 50_000_000
        now.wall += 50_000
        note("start \(journal.disk.calls.count)")
        router = journal.start(at: now)
        found()
        turn()
    }

    package func advance(milliseconds: UInt64) {
        now.uptime += milliseconds * 1_000_000
        now.wall += milliseconds * 1000
        if wallJumps {
            jumps += 1
            let hour: UInt64 = 3_600_000_000
            now.wall = jumps % 2 == 1 ? now.wall + hour : now.wall - hour
        }
        router.handle(.tick, at: now)
        turn()
    }

    // MARK: Workers

    /// - Parameter token: not empty: of a worker that the host has started
    package func attach(
        _ stage: String, name: String = "", features: [String] = [], maxFrame: UInt64 = 0, token: [UInt8] = []
    ) -> RigWorker {
        let connection = ConnectionID(nextConnection)
        nextConnection += 1
        let index = pipeline.stages.firstIndex { $0.name == stage } ?? -1
        let worker = RigWorker(name: name.isEmpty ? "\(connection)" : name, connection: connection, stage: index)
        workers[connection] = worker
        router.handle(.connected(connection, uid: 0), at: now)
        var hello = Hello()
        hello.stage = stage
        hello.instance = name
        hello.token = token
        if !token.isEmpty { router.handle(.expectWorker(stage: index, instance: name, token: token), at: now) }
        hello.stageVersion = "1"
        hello.language = "test"
        hello.offered = features
        hello.maxFrame = maxFrame
        router.handle(.received(connection, .hello(hello)), at: now)
        turn()
        return worker
    }

    package func grant(_ worker: RigWorker, records: UInt64, bytes: UInt64 = 1 << 40, input: UInt32 = 0) {
        let old = worker.grantedIn[input] ?? CreditLimit(records: 0, bytes: 0)
        let limit = CreditLimit(number: input, records: old.records + records, bytes: max(old.bytes, bytes))
        worker.grantedIn[input] = limit
        send(worker, .credit(limit))
    }

    package func send(_ worker: RigWorker, _ message: ControlMessage) {
        router.handle(.received(worker.connection, message), at: now)
        turn()
    }

    package func kill(_ worker: RigWorker) {
        workers[worker.connection] = nil
        router.handle(.disconnected(worker.connection), at: now)
        turn()
    }

    package func settle(_ worker: RigWorker, _ outcomes: [TestOutcome]) {
        for outcome in outcomes {
            worker.spend(outcome.emissions)
            for range in outcome.ranges { worker.held.removeAll { range.contains($0.delivery) } }
        }
        let bytes = StepBytes.build { step in for outcome in outcomes { step.nested(1, outcome.bytes) } }
        deliver(worker, bytes) { (router, batch, frame) throws(CloseReason) in
            try batch.scanSettle(frame, at: 0..<bytes.count)
            router.settle(worker.connection, batch, frame: frame, at: self.now)
        }
    }

    package func emit(
        _ worker: RigWorker, _ partition: String, _ id: UInt64, _ emissions: [TestEmission], checkpoint: String = ""
    ) {
        worker.spend(emissions)
        let bytes = StepBytes.build { step in
            step.nested(1, Array(partition.utf8))
            step.number(2, id)
            for emission in emissions { step.nested(3, emission.bytes) }
            if !checkpoint.isEmpty { step.nested(4, Array(checkpoint.utf8)) }
        }
        deliver(worker, bytes) { (router, batch, frame) throws(CloseReason) in
            try batch.scanEmit(frame, at: 0..<bytes.count)
            router.emit(worker.connection, batch, frame: frame, at: self.now)
        }
    }

    private func deliver(
        _ worker: RigWorker, _ bytes: [UInt8],
        _ body: (inout Router, inout StepBatch, RawSpan) throws(CloseReason) -> Void
    ) {
        do throws(CloseReason) {
            try body(&router, &batch, bytes.span.bytes)
        } catch {
            router.handle(.violated(worker.connection, error), at: now)
        }
        turn()
    }

    // MARK: The shell's turn

    package func turn() {
        if let journal {
            journal.turn(&router, at: now)
            // What would have been done with this turn's effects is not done.
            if journal.isDown { return router.clearEffects() }
        } else if let ticket = router.seal() {
            router.commit(ticket)
        }
        router.note(load)
        router.pump(at: now)
        perform()
        if writesAtOnce { flushWrites() }
    }

    package func flushWrites() {
        let writes = unwritten
        unwritten = []
        for (connection, bytes) in writes { router.handle(.wrote(connection, bytes: bytes), at: now) }
    }

    private func perform() {
        let effects = router.effects
        for effect in effects {
            switch effect {
            case .send(let connection, let message): receive(connection, message)
            case .deliver(let connection, let delivery): receive(connection, delivery)
            case .close(let connection, let reason):
                note("\(name(connection)) <- close \(reason.code) \(reason.message)")
                workers[connection]?.closed = reason
                workers[connection] = nil
            case .workerLost(let stage, let instance, let shrinking):
                lost.append((stage, instance, shrinking))
                note("host: lost \(instance)\(shrinking ? " (suspects shrink)" : "")")
            case .read(let subscription, let sequence, _): journal?.ask(subscription, from: sequence)
            case .replayDropped(let subscription, let sequence): journal?.dropReplay(subscription, from: sequence)
            case .stageEnded(let stage):
                ended.append(stage)
                note("stage \(pipeline.stages[stage].name) has ended")
            case .pipelineEnded:
                hasEnded = true
                note("the pipeline has ended")
            case .log(let notice):
                notices.append(notice)
                onNotice(notice)
                note("log: \(notice.text)")
            }
        }
        router.clearEffects()
    }

    private func receive(_ connection: ConnectionID, _ message: ControlMessage) {
        guard let worker = workers[connection] else { return }
        onMessage(worker, message)
        switch message {
        case .welcome(let welcome): worker.welcome = welcome
        case .credit(let limit):
            let old = worker.granted[limit.number]
            precondition(
                limit.records >= (old?.records ?? 0) && limit.bytes >= (old?.bytes ?? 0), "credit never shrinks")
            worker.granted[limit.number] = limit
        case .ping(let nonce):
            worker.pings.append(nonce)
            note("\(worker.name) <- ping")
        case .pong(let nonce): note("\(worker.name) <- pong \(nonce)")
        case .drain(let reason, _):
            worker.drain = reason
            note("\(worker.name) <- drain \(reason)")
        case .runs(let runs): worker.runs += runs
        case .claimed(let partition, let epoch, let lastEmitID, let checkpoint):
            worker.claimed.append((partition, lastEmitID, checkpoint))
            let text = String(decoding: checkpoint, as: UTF8.self)
            note("\(worker.name) <- claimed \(partition) epoch \(epoch) last \(lastEmitID) checkpoint \"\(text)\"")
        case .committed(let partition, let through, let refused):
            worker.committed = through
            worker.refused += refused
            let faults = refused.map { " refused \($0.id): \($0.error.code)" }.joined()
            note("\(worker.name) <- committed \(partition) through \(through)\(faults)")
        case .settled(let through, let refused):
            worker.settledThrough = through
            worker.refused += refused
            note("\(worker.name) <- settled through \(through)")
        case .hello, .close, .extend, .claim, .finished: preconditionFailure("the broker sends no such message")
        }
    }

    private func receive(_ connection: ConnectionID, _ delivery: Delivery) {
        unwritten.append((connection, delivery.bytes))
        guard let worker = workers[connection] else { return }
        var blocks: [RecordBlock] = []
        for index in delivery.segments { blocks += split(router.segments[index]) }
        precondition(blocks.count == delivery.count, "segments hold as many records as the delivery says")
        precondition(delivery.first == worker.nextDelivery, "delivery ids are consecutive")
        worker.nextDelivery += UInt64(delivery.count)
        let attempts = router.attempts[delivery.attempts]
        precondition(attempts.isEmpty || attempts.count == blocks.count)
        for (offset, block) in blocks.enumerated() {
            let received = Received(
                input: Int(delivery.input), delivery: delivery.first + UInt64(offset),
                attempt: attempts.isEmpty ? 1 : attempts[attempts.startIndex + offset], block: block)
            onRecord(worker, received)
            worker.held.append(received)
            worker.receivedRecords[delivery.input, default: 0] += 1
            worker.receivedBytes[delivery.input, default: 0] += UInt64(block.ref.recordLength)
            let again = received.attempt > 1 ? " attempt \(received.attempt)" : ""
            note("\(worker.name) <- #\(received.delivery) \(received.key):\(received.payload)\(again)")
        }
        let limit = worker.grantedIn[delivery.input] ?? CreditLimit(records: 0, bytes: 0)
        precondition(
            worker.receivedRecords[delivery.input]! <= limit.records
                && worker.receivedBytes[delivery.input]! <= limit.bytes,
            "sent <= granted, always")
    }

    /// The records of one segment, each copied out.
    private func split(_ segment: UnsafeRawBufferPointer) -> [RecordBlock] {
        var blocks: [RecordBlock] = []
        var offset = 0
        while offset < segment.count {
            precondition(segment[offset] == 0x22, "each record has its tag")
            var length = 0
            var shift = 0
            var at = offset + 1
            while true {
                length |= Int(segment[at] & 0x7f) << shift
                shift += 7
                at += 1
                if segment[at - 1] < 0x80 { break }
            }
            let end = at + length
            blocks.append(RecordBlock(wire: UnsafeRawBufferPointer(rebasing: segment[offset..<end]).bytes))
            offset = end
        }
        precondition(offset == segment.count, "a segment ends with a record")
        return blocks
    }

    private func name(_ connection: ConnectionID) -> String { workers[connection]?.name ?? "\(connection)" }

    package func note(_ line: String) {
        // FNV-1a.
        for byte in line.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        if keepsLines { lines.append(line) }
    }

    package func takeLines() -> [String] {
        defer { lines = [] }
        return lines
    }
}
