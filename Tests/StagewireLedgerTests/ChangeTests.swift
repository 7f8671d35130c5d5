import StagewireModel
import StagewireTestSupport
import Testing

@testable import StagewireLedger

struct ChangeTests {
    private func changes(_ payload: [UInt8]) throws -> [Change] {
        var changes: [Change] = []
        try StepsEntry.read(payload.span.bytes) { _ in
        } change: {
            changes.append($0)
        }
        return changes
    }

    private static let numbers: [UInt64] = [0, 1, 127, 128, 16383, 16384, 1 << 35, 1 << 43]

    /// Every kind of change, with numbers of every length, comes back as it was.
    @Test func everyChange() throws {
        for number in Self.numbers {
            let trial = Trial(attempt: 1 << 31, crashes: 3, age: number, delay: number / 2)
            let verdict = Verdict(
                number: number, attempts: .max, reason: .max, time: .max - number,
                error: DeliveryError(code: .max, message: "é\0 \(number)", indefinite: number % 2 == 1))
            let position = SourcePosition(epoch: number, lastEmitID: number, checkpoint: [0, 255, 128])
            let run = Run(number: 9, stage: "s", version: "", instance: "ü", language: "x")
            let payload = Sample.steps { log in
                log.done(300, number)
                log.tried(1, number, trial)
                log.buried(2, number, verdict)
                log.discarded(3, number: number)
                log.asked(4, number: number)
                log.revived(5, number: number, as: .max)
                log.moved(stage: 6, partition: "p/\(number)", to: position)
                log.began(run)
            }
            #expect(
                try changes(payload) == [
                    .done(subscription: 300, sequences: number..<number + 1),
                    .tried(subscription: 1, sequence: number, trial),
                    .buried(subscription: 2, sequence: number, verdict),
                    .discarded(subscription: 3, number: number),
                    .asked(subscription: 4, number: number),
                    .revived(subscription: 5, number: number, arrival: .max),
                    .moved(stage: 6, partition: "p/\(number)", position),
                    .began(run),
                ])
        }
    }

    /// Neighbours of one subscription become a range, and only they.
    @Test func ranges() throws {
        let payload = Sample.steps { log in
            for sequence in 5..<9 as Range<UInt64> { log.done(0, sequence) }
            log.done(1, 9)
            log.done(0, 9)
            log.done(0, 11)
            log.discarded(0, number: 1)
            log.done(0, 12)
        }
        #expect(
            try changes(payload) == [
                .done(subscription: 0, sequences: 5..<9), .done(subscription: 1, sequences: 9..<10),
                .done(subscription: 0, sequences: 9..<10), .done(subscription: 0, sequences: 11..<12),
                .discarded(subscription: 0, number: 1), .done(subscription: 0, sequences: 12..<13),
            ])
    }

    @Test func emptiness() {
        var log = ChangeLog()
        #expect(log.isEmpty && log.byteCount == 0)
        log.done(0, 1)
        #expect(!log.isEmpty)
        log.close()
        #expect(log.byteCount == 4)
        log.close()
        #expect(log.byteCount == 4)
        log.done(0, 2)
        log.removeAll()
        #expect(log.isEmpty)
        log.close()
        #expect(log.isEmpty)
    }

    @Test func appends() throws {
        let records = [Sample.record("one"), Sample.record(String(repeating: "x", count: 500))]
        let payload = Sample.steps([(2, 1000, records), (0, 0, [records[0]])])
        var appends: [Append] = []
        try StepsEntry.read(payload.span.bytes) {
            appends.append($0)
        } change: { _ in
        }
        #expect(appends.map(\.stream) == [2, 0] && appends.map(\.first) == [1000, 0])
        #expect(appends.map(\.count) == [2, 1])
        #expect(appends.map { Array(payload[$0.bytes]) } == [records[0] + records[1], records[0]])
    }
}

struct LayoutTests {
    @Test func ofAPipeline() {
        let layout = Layout(Sample.pipeline())
        let (source, left) = (StreamName(stage: "source", port: "out"), StreamName(stage: "left", port: "out"))
        #expect(layout.stages == ["source", "left", "sink"])
        #expect(
            layout.streams == [
                source, left, StreamName(stage: "left", port: "odd"), StreamName(stage: "sink", port: "out"),
            ])
        #expect(layout.streams.map(\.description) == ["source", "left", "left.odd", "sink"])
        #expect(
            layout.subscriptions == [
                SubscriptionName(stage: "left", stream: source, ordinal: 0),
                SubscriptionName(stage: "sink", stream: left, ordinal: 0),
                SubscriptionName(stage: "sink", stream: source, ordinal: 0),
            ])
    }

    /// One that reads the same stream twice tells its subscriptions apart by their order.
    @Test func twiceTheSame() {
        var pipeline = Sample.pipeline()
        pipeline.stages[2].inputs.append(InputDefinition(stage: 0))
        let layout = Layout(pipeline)
        #expect(layout.subscriptions.map(\.ordinal) == [0, 0, 0, 1])
        #expect(layout.subscriptions[3].description == "sink from source (2)")
    }

    @Test func roundTrip() throws {
        for layout in [Layout(), Layout(Sample.pipeline())] {
            let bytes = layout.encoded()
            #expect(try Layout(bytes.span.bytes) == layout)
            for count in 0..<bytes.count {
                #expect(throws: LedgerFlaw.self) { _ = try Layout(bytes.span.bytes.extracting(0..<count)) }
            }
            #expect(throws: LedgerFlaw.self) { _ = try Layout((bytes + [0]).span.bytes) }
        }
    }

    @Test func names() {
        for change in [
            { $0.stages.append("left") }, { $0.streams.append($0.streams[0]) },
            { $0.subscriptions.append($0.subscriptions[0]) }, { $0.streams.removeFirst() },
        ] as [(inout Layout) -> Void] {
            var layout = Layout(Sample.pipeline())
            change(&layout)
            let bytes = layout.encoded()
            #expect(throws: LedgerFlaw.self) { _ = try Layout(bytes.span.bytes) }
        }
    }
}
