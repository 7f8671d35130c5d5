import Glibc
import StagewireModel
import StagewireTestSupport
import Testing

@testable import StagewireBroker

/// Records from a source through a transform to a sink, over real sockets.
@Suite struct FlowTests {
    @Test func everythingArrivesInOrderAndTheRunCompletes() async throws {
        let fixture = try BrokerFixture(.chain())
        let path = fixture.path
        async let sink = onThread {
            var numbers: [UInt64] = []
            let reason = try Flow.sink(TestWorker(path, stage: "sink"), into: &numbers)
            #expect(reason?.code == 0)
            return numbers
        }
        async let transform = onThread { try Flow.transform(TestWorker(path, stage: "transform")) }
        async let source = onThread {
            let worker = try TestWorker(path, stage: "source")
            try Flow.source(worker, count: 20_000)
            return try worker.awaitClose()
        }
        #expect(try await source?.code == 0)
        #expect(try await transform?.code == 0)
        let complaint = Flow.judge(try await sink, count: 20_000)
        #expect(complaint == nil)
        let report = try await fixture.finished()
        #expect(report.end == .completed)
        #expect(report.summary.stages.map(\.emitted) == [20_000, 20_000, 0])
        #expect(report.summary.stages.map(\.accepted) == [0, 20_000, 20_000])
        #expect(report.summary.unsettled == 0)
    }

    /// A worker in the place of one that has just vanished. The broker may read of that a moment later.
    private static func transform(_ path: String) throws -> TestWorker {
        while true {
            do {
                return try TestWorker(path, stage: "transform")
            } catch let refusal as CloseReason where refusal.code == Code.stageFull.rawValue {
                sched_yield()
            }
        }
    }

    /// Workers that vanish at random points, without a word; others take their place.
    @Test(arguments: [1, 2, 3]) func sessionsThatBreak(seed: UInt64) async throws {
        let pipeline = PipelineDefinition.chain {
            $0.stages[1].maxWorkers = 3
            $0.stages[1].crashLimit = 1000
        }
        let fixture = try BrokerFixture(pipeline)
        let path = fixture.path
        async let sink = onThread {
            var numbers: [UInt64] = []
            _ = try Flow.sink(TestWorker(path, stage: "sink"), into: &numbers)
            return numbers
        }
        for worker in 0..<3 {
            Task {
                try await onThread {
                    var random = TestRandom(seed: seed * 100 + UInt64(worker))
                    // Twelve sessions break, the thirteenth stays.
                    for _ in 0..<12 {
                        let worker = try Self.transform(path)
                        try worker.allow(records: 300)
                        do {
                            for _ in 0..<random.next(below: 6) {
                                let delivery = try worker.next()
                                // A session that does not settle goes: later records of a key must wait for it.
                                guard random.next(below: 4) > 0 else { break }
                                try worker.forward(delivery)
                            }
                        } catch is TestWorker.Ended { return }
                    }
                    _ = try Flow.transform(Self.transform(path))
                }
            }
        }
        async let source = onThread {
            var broken = 0
            while true {
                let worker = try TestWorker(path, stage: "source")
                guard broken < 5 else {
                    try Flow.source(worker, count: 20_000)
                    return try worker.awaitClose()
                }
                broken += 1
                let last = try worker.claim("p")
                // The last of these is on its way when the connection ends.
                for id in (last + 1)...(last + 20) {
                    try worker.emit("p", id: id, ((id - 1) * Flow.perEmit..<id * Flow.perEmit).map(Flow.record))
                }
            }
        }
        #expect(try await source?.code == 0)
        let complaint = Flow.judge(try await sink, count: 20_000)
        #expect(complaint == nil, "seed \(seed)")
        #expect(try await fixture.finished().end == .completed)
    }

    @Test func drainFinishesWhatIsInFlight() async throws {
        let fixture = try BrokerFixture(.chain())
        let (path, broker) = (fixture.path, fixture.broker)
        async let sink = onThread {
            var numbers: [UInt64] = []
            _ = try Flow.sink(TestWorker(path, stage: "sink"), into: &numbers)
            return UInt64(numbers.count)
        }
        async let transform = onThread { try Flow.transform(TestWorker(path, stage: "transform")) }
        let emitted = try await onThread {
            let worker = try TestWorker(path, stage: "source")
            let last = try worker.claim("p")
            var id = last
            while !worker.isDraining {
                id += 1
                if id == 20 { broker.drain() }
                try worker.emit("p", id: id, ((id - 1) * Flow.perEmit..<id * Flow.perEmit).map(Flow.record))
                try worker.awaitCommitted(through: id)
            }
            try worker.peer.send(.close(CloseReason(.ok, "drained")))
            _ = try worker.awaitClose()
            return id * Flow.perEmit
        }
        #expect(try await sink == emitted)
        #expect(try await transform?.code == 0)
        let report = try await fixture.finished()
        #expect(report.end == .drained)
        #expect(report.summary.unsettled == 0)
    }

    @Test func drainDeadlineCutsTheRunShort() async throws {
        let pipeline = PipelineDefinition.chain { $0.limits.drain = .milliseconds(100) }
        let fixture = try BrokerFixture(pipeline)
        let (path, broker) = (fixture.path, fixture.broker)
        try await onThread {
            let source = try TestWorker(path, stage: "source")
            let transform = try TestWorker(path, stage: "transform")
            _ = try source.claim("p")
            try source.emit("p", id: 1, (0..<Flow.perEmit).map(Flow.record))
            try source.awaitCommitted(through: 1)
            try transform.allow()
            // Holds what it gets, and the deadline comes.
            _ = try transform.next()
            broker.drain()
            #expect(try transform.awaitClose()?.code == Code.drainDeadline.rawValue)
        }
        let report = try await fixture.finished()
        #expect(report.end == .abandoned)
        #expect(report.summary.unsettled == Int(Flow.perEmit))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers for the same seed.
typealias TestRandom = SplitMix64

extension SplitMix64 {
    mutating func next(below limit: UInt64) -> UInt64 { next() % limit }
}
