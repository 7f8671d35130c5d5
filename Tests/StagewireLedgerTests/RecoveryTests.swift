import StagewireModel
import StagewireTestSupport
import Testing

@testable import StagewireLedger

struct RecoveryTests {
    /// A pipeline of a source and a sink, whose stream has room for so much.
    private func pipeline(bytes: Int = 1 << 30, records: Int = 1 << 30) -> PipelineDefinition {
        var source = StageDefinition(name: "source", isSource: true)
        source.maxWorkers = 0
        var pipeline = PipelineDefinition(
            name: "sample", stages: [source, StageDefinition(name: "sink", inputs: [InputDefinition(stage: 0)])])
        pipeline.limits.windowBytes = bytes
        pipeline.limits.windowRecords = records
        return pipeline
    }

    /// Ten records in five entries; the subscription is done with `done`.
    private func ledger(_ pipeline: PipelineDefinition, done: [UInt64]) throws -> (Ledger, [[UInt8]]) {
        var ledger = Sample.ledger(pipeline)
        var entries: [[UInt8]] = [[]]
        for entry in 0..<5 as Range<UInt64> {
            let payload = Sample.steps(
                [(0, entry * 2, (0..<2 as Range<UInt64>).map { Sample.record("\(entry * 2 + $0)") })])
            try ledger.fold(payload)
            entries.append(payload)
        }
        let payload = Sample.steps { log in for sequence in done { log.done(0, sequence) } }
        try ledger.fold(payload)
        return (ledger, entries)
    }

    private func recover(_ pipeline: PipelineDefinition, done: [UInt64]) throws -> (
        stream: [UInt64], held: [UInt64], first: UInt64, end: UInt64, fetched: [UInt64]
    ) {
        let (ledger, entries) = try ledger(pipeline, done: done)
        var fetched: [UInt64] = []
        let fetch = each { place in
            fetched.append(place.sequence)
            return entries[Int(place.sequence) - 1]
        }
        let recovered = try ledger.recover(pipeline, strays: [], fetch: fetch)
        let stream = recovered.streams[0]
        return (
            stream.records.map(\.sequence), recovered.subscriptions[0].held.map(\.sequence), stream.first, stream.end,
            fetched
        )
    }

    @Test func allInTheStream() throws {
        let found = try recover(pipeline(), done: [0, 1, 2, 5])
        #expect(found.stream == [3, 4, 6, 7, 8, 9] && found.held == [])
        #expect(found.first == 3 && found.end == 10)
        // The latest first; what nobody needs is not read.
        #expect(found.fetched == [6, 5, 4, 3])
    }

    @Test func nothing() throws {
        let found = try recover(pipeline(), done: Array(0..<10))
        #expect(found.stream == [] && found.held == [] && found.first == 10 && found.end == 10 && found.fetched == [])
    }

    /// The stream takes the latest; older ones that may have been delivered get memory of their own. Record 9 never was: without
    /// room in the stream it stays on the disk.
    @Test(arguments: 0...9) func byRecords(limit: Int) throws {
        let found = try recover(pipeline(records: limit), done: [1, 8])
        let open: [UInt64] = [0, 2, 3, 4, 5, 6, 7, 9]
        #expect(found.stream == open.filter { $0 >= 10 - UInt64(limit) })
        #expect(found.held == open.filter { $0 < 10 - UInt64(limit) && $0 < 9 })
        #expect(found.first == found.stream.first ?? 10)
    }

    @Test func byBytes() throws {
        let size = Sample.record("0").count
        for limit in 0...(size * 9) {
            let found = try recover(pipeline(bytes: limit), done: [1, 8])
            #expect(found.stream.count == min(8, limit / size))
            #expect(found.held + found.stream == [0, 2, 3, 4, 5, 6, 7] + (limit < size ? [] : [9]))
        }
    }

    /// A large one that does not fit leaves no smaller, older one in the stream: its memory is one piece.
    @Test func largeOnes() throws {
        let pipeline = pipeline(bytes: 400)
        var ledger = Sample.ledger(pipeline)
        let payload = Sample.steps([
            (0, 0, [Sample.record("a"), Sample.record(String(repeating: "b", count: 400)), Sample.record("c")])
        ])
        try ledger.fold(payload)
        let recovered = try ledger.recover(pipeline, strays: [], fetch: each { _ in payload })
        #expect(recovered.streams[0].records.map(\.sequence) == [2])
        // Nothing was delivered, so it goes on from the disk.
        #expect(recovered.subscriptions[0].held.isEmpty && recovered.subscriptions[0].cursor == 0)
        #expect(recovered.subscriptions[0].bytesOnDisk > 400)
        let plan = ledger.plan(subscription: 0, from: 0, bytes: 1)
        #expect(try plan.read(snapshot: [], fetch: each { _ in payload }).map(\.sequence) == [0, 1, 2])
    }

    /// Dead letters, arrivals and trials come back, whether their records are in entries or in a snapshot.
    @Test func deadLettersArrivalsTrials() throws {
        let pipeline = pipeline()
        var (ledger, entries) = try ledger(pipeline, done: [0, 1])
        let (arrival, trial) = (LedgerLimit.firstArrival + 77, Trial(attempt: 4, crashes: 1, age: 20, delay: 10))
        let payload = Sample.steps { log in
            log.buried(0, 2, Sample.verdict(1))
            log.buried(0, 4, Sample.verdict(2))
            log.buried(0, 5, Sample.verdict(3))
            log.asked(0, number: 2)
            log.asked(0, number: 3)
            log.revived(0, number: 3, as: arrival)
            log.tried(0, arrival, trial)
            log.tried(0, 7, trial)
        }
        try ledger.fold(payload)
        entries += [[], payload]
        for cut in [0, 4, ledger.next] {
            let made = try ledger.snapshot(cutting: cut, strays: [], fetch: each { entries[Int($0.sequence) - 1] })
            let recovered = try made.ledger.recover(
                pipeline, strays: made.records, fetch: each { entries[Int($0.sequence) - 1] })
            let sink = recovered.subscriptions[0]
            #expect(sink.letters.map(\.verdict.number) == [1, 2] && sink.letters.map(\.isAsked) == [false, true])
            #expect(sink.letters.map { String(decoding: $0.record.ref.payload, as: UTF8.self) } == ["2", "4"])
            #expect(sink.held.map(\.sequence) == [arrival])
            #expect(sink.held.map { String(decoding: $0.record.ref.payload, as: UTF8.self) } == ["5"])
            #expect(sink.trials == [arrival: trial, 7: trial] && sink.arrivalCount == 1)
            #expect(recovered.lastLetters == [0, 3])
            #expect(recovered.streams[0].records.map(\.sequence) == [3, 6, 7, 8, 9])
        }
        // Settled, the arrival is gone with its trial.
        try ledger.fold(Sample.steps { $0.done(0, arrival) })
        #expect(ledger.subscriptions[0].arrivals.isEmpty && ledger.subscriptions[0].trials.keys.sorted() == [7])
    }
}

/// A pipeline that is not what it was.
struct ChangedPipelineTests {
    /// Two records in every stream, one of them settled by each subscription; a dead letter of `sink` from `left`.
    private func some() throws -> (Ledger, [[UInt8]]) {
        var ledger = Sample.ledger()
        let payload = Sample.steps(
            (0..<4).map { stream in (stream, 0, (0..<2).map { Sample.record("\(stream).\($0)") }) }
        ) { log in
            for subscription in 0..<3 { log.done(subscription, 0) }
            log.buried(1, 1, Sample.verdict(1))
        }
        try ledger.fold(payload)
        return (ledger, [[], payload])
    }

    private func take(_ pipeline: PipelineDefinition, _ ledger: inout Ledger) throws {
        try ledger.apply(
            kind: EntryKind.layout, Layout(pipeline).encoded().span.bytes, at: Sample.place(ledger.next))
    }

    @Test func theSame() throws {
        var (ledger, _) = try some()
        let before = ledger.described()
        #expect(ledger.orphans(in: Layout(Sample.pipeline())) == [])
        #expect(ledger.newcomers(in: Layout(Sample.pipeline())) == [])
        try take(Sample.pipeline(), &ledger)
        // But that an entry more has been read, which names the same.
        ledger.next -= 1
        ledger.border = 1
        #expect(ledger.described() == before)
    }

    /// Other numbers for the same names: every subscription keeps what it had.
    @Test func anotherOrder() throws {
        var (ledger, entries) = try some()
        var pipeline = Sample.pipeline()
        pipeline.stages[2].inputs.reverse()
        #expect(ledger.orphans(in: Layout(pipeline)) == [])
        try take(pipeline, &ledger)
        let recovered = try ledger.recover(pipeline, strays: [], fetch: each { entries[Int($0.sequence) - 1] })
        // left from source, sink from source, sink from left.
        #expect(recovered.subscriptions.map(\.letters.count) == [0, 0, 1])
        #expect(recovered.subscriptions.map(\.done.low) == [1, 1, 2])
        // Changes that come are about the new numbers.
        try ledger.fold(Sample.steps { $0.discarded(2, number: 1) })
        #expect(ledger.subscriptions.allSatisfy { $0.letters.isEmpty })
    }

    @Test func removed() throws {
        var (ledger, entries) = try some()
        var pipeline = Sample.pipeline()
        pipeline.stages[2].inputs.removeFirst()
        let layout = Layout(pipeline)
        let left = StreamName(stage: "left", port: "out")
        #expect(
            ledger.orphans(in: layout) == [
                Orphan(name: SubscriptionName(stage: "sink", stream: left, ordinal: 0), records: 0, letters: 1)
            ])
        try take(pipeline, &ledger)
        #expect(ledger.orphans(in: layout) == [])
        let recovered = try ledger.recover(pipeline, strays: [], fetch: each { entries[Int($0.sequence) - 1] })
        #expect(recovered.subscriptions.count == 2 && recovered.subscriptions.allSatisfy { $0.letters.isEmpty })
        // Whoever comes back begins anew.
        try take(Sample.pipeline(), &ledger)
        #expect(ledger.subscriptions.map(\.done.low) == [1, 2, 1])
        #expect(ledger.subscriptions.allSatisfy { $0.letters.isEmpty })
    }

    @Test func renamed() throws {
        var (ledger, _) = try some()
        var pipeline = Sample.pipeline()
        pipeline.stages[2].name = "drain"
        let orphans = ledger.orphans(in: Layout(pipeline))
        #expect(orphans.map(\.name.description) == ["sink from left", "sink from source"])
        #expect(orphans.map(\.records) == [0, 1] && orphans.map(\.letters) == [1, 0])
        #expect(ledger.newcomers(in: Layout(pipeline)).map(\.description) == ["drain from left", "drain from source"])
        try take(pipeline, &ledger)
        // What only the old one needed is not kept.
        #expect(ledger.needed(1).ranges.isEmpty && ledger.needed(0).ranges == [1..<2])
    }

    @Test func added() throws {
        var (ledger, entries) = try some()
        var pipeline = Sample.pipeline()
        pipeline.stages.append(
            StageDefinition(name: "audit", inputs: [InputDefinition(stage: 1, port: 1), InputDefinition(stage: 2)]))
        #expect(ledger.orphans(in: Layout(pipeline)) == [])
        #expect(
            ledger.newcomers(in: Layout(pipeline)).map(\.description) == ["audit from left.odd", "audit from sink"])
        try take(pipeline, &ledger)
        let recovered = try ledger.recover(pipeline, strays: [], fetch: each { entries[Int($0.sequence) - 1] })
        #expect(recovered.subscriptions.map(\.done.low) == [1, 2, 1, 2, 2])
        // Nothing has come to a stream yet: nobody misses anything, so nobody is a newcomer.
        #expect(Sample.ledger().newcomers(in: Layout(pipeline)) == [])
    }

    /// Without the entry that said so: a start with a changed pipeline recovers by names.
    @Test func recoveredByNames() throws {
        let (ledger, entries) = try some()
        var pipeline = Sample.pipeline()
        pipeline.stages[2].name = "drain"
        let recovered = try ledger.recover(pipeline, strays: [], fetch: each { entries[Int($0.sequence) - 1] })
        #expect(recovered.subscriptions.map(\.done.low) == [1, 2, 2])
        #expect(recovered.lastLetters == [0, 0, 0])
    }
}
