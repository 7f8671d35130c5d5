import Foundation
import StagewireControl
import StagewireModel
import Testing

@testable import StagewireBroker

/// What the endpoints say and do, with workers at work.
@Suite struct ControlEndpointTests {
    /// A source that has emitted `count` records of one partition.
    private static func source(_ path: String, _ count: UInt64) throws -> TestWorker {
        let source = try TestWorker(path, stage: "source", instance: "s")
        _ = try source.claim("p")
        try source.emit("p", id: 1, (0..<count).map(Flow.record))
        try source.awaitCommitted(through: 1)
        return source
    }

    /// Settles what is delivered, until `count` records are.
    private static func settle(_ worker: TestWorker, _ count: Int, _ kind: OutcomeKind) throws -> [TestRecord] {
        var records: [TestRecord] = []
        while records.count < count {
            let delivery = try worker.next()
            records += delivery.records
            let last = delivery.first + UInt64(delivery.records.count) - 1
            try worker.settle(first: delivery.first, last: last, kind: kind)
        }
        return records
    }

    /// Waits until `count` records are delivered; returns the last one's number.
    private static func lastDelivered(_ worker: TestWorker, _ count: UInt64) throws -> UInt64 {
        var last: UInt64 = 0
        while last < count {
            guard let message = try worker.peer.receive() else { throw Peer.Failure(description: "the stream ended") }
            if case .deliver(let delivery) = message { last = delivery.first + UInt64(delivery.records.count) - 1 }
        }
        return last
    }

    @Test func statusOfStagesAndWorkers() async throws {
        let pipeline = PipelineDefinition.chain { pipeline in
            pipeline.stages[0].ports = ["out", "odd"]
            pipeline.stages[1].inputs[0].when = .compare("level", .equal, .text("high"))
            pipeline.stages[2].inputs = [InputDefinition(stage: 0), InputDefinition(stage: 1)]
        }
        try await BrokerFixture.with(pipeline) { fixture in
            let (path, control) = (fixture.path, fixture.broker.controlPath)
            try await onThread {
                let source = try Self.source(path, 10)
                let sink = try TestWorker(path, stage: "sink", instance: "left")
                try sink.allow(records: 7, bytes: 100_000)
                let peer = try ControlPeer(control)
                let status = try peer.status { $0.stages[2].inFlight == 7 }
                #expect(status.pipeline == "test" && status.state == .running && status.durability == "memory")
                #expect(status.socket == path && status.controlSocket == control && status.pid == getpid())
                #expect(status.drainSeconds == nil && status.bytes > 0 && status.uptimeSeconds >= 0)
                #expect(status.stages.map(\.name) == ["source", "transform", "sink"])
                #expect(status.stages.map(\.kind) == [.source, .transform, .sink])
                #expect(status.stages[0].out == 10 && status.stages[0].ports == ["out", "odd"])
                #expect(status.stages[1].inputs.map(\.when) == ["level == \"high\""])
                #expect(status.stages[1].queued == 10 && status.stages[1].obstacle == .noWorker)
                let last = status.stages[2]
                #expect(last.inputs.map(\.stage) == ["source", "transform"] && last.inputs.map(\.inFlight) == [7, 0])
                #expect(last.in == 0 && last.queued == 3 && last.delivered == 7 && last.workersWanted == nil)
                let worker = try #require(last.workers.first)
                #expect(worker.instance == "left" && worker.state == .attached && worker.language == "swift")
                #expect(worker.inFlight == 7 && worker.creditRecords == 0 && worker.pid == nil)
                withExtendedLifetime(source) {}
            }
        }
    }

    /// A process that ends early shows with how it ended, and with its process id while it runs.
    @Test func statusOfProcesses() async throws {
        let pipeline = PipelineDefinition.chain {
            $0.stages[1].launch = Launch(command: ["sh", "-c", "sleep 100"])
            $0.stages[1].workers = 2
            $0.stages[2].launch = Launch(command: ["sh", "-c", "exit 3"])
        }
        try await BrokerFixture.with(pipeline) { fixture in
            let control = fixture.broker.controlPath
            try await onThread {
                let status = try ControlPeer(control).status { $0.stages[2].workers[0].lastExit != nil }
                #expect(status.stages[1].workers.map(\.state) == [.starting, .starting])
                #expect(status.stages[1].workers.allSatisfy { kill($0.pid ?? -1, 0) == 0 })
                #expect(status.stages[1].workersWanted == 2)
                #expect(status.stages[2].workers[0].lastExit == "exited with status 3")
            }
        }
    }

    /// A rejected record is seen, asked for again, delivered with its lineage, and accepted.
    @Test func retriedLetterArrivesAgain() async throws {
        try await BrokerFixture.with(.chain()) { fixture in
            let (path, control) = (fixture.path, fixture.broker.controlPath)
            try await onThread {
                let source = try Self.source(path, 1)
                let transform = try TestWorker(path, stage: "transform", instance: "t")
                try transform.allow()
                _ = try Self.settle(transform, 1, .rejected)
                let peer = try ControlPeer(control)
                _ = try peer.status { $0.stages[1].deadLetters == 1 }
                let letter = try #require(try peer.letters().letters.first)
                #expect(letter.stage == "transform" && letter.number == 1 && letter.reason == "REJECTED")
                #expect(letter.input == "source" && letter.port == "out" && letter.key == "key0")
                #expect(letter.payloadBytes == 1 && letter.attempts == 1 && !letter.isRetrying)
                let detail = try peer.get("/v1/dead-letters/transform/1").decode(DeadLetterDetail.self)
                #expect(detail.letter == letter && detail.payloadText == "0" && detail.payloadBase64 == "MA==")
                #expect(detail.keyBase64 == "a2V5MA==" && detail.root == letter.id && detail.parents == [])
                #expect(detail.hops.map(\.stage) == ["source"] && detail.hops.map(\.instance) == ["s"])
                #expect(detail.hops.map(\.language) == ["swift"] && detail.hops.map(\.time) == [detail.ingestTime])
                let answer = try peer.post(
                    "/v1/dead-letters/retry", DeadLetterSelection(stage: "transform", numbers: [1, 9, 9]))
                #expect(try answer.decode(DeadLetterAnswer.self) == DeadLetterAnswer(changed: 1, missing: [9]))
                #expect(try Self.settle(transform, 1, .accepted).map(\.payload) == [Array("0".utf8)])
                let status = try peer.status { $0.stages[1].in == 1 && $0.stages[1].inFlight == 0 }
                #expect(status.stages[1].deadLetters == 0 && status.stages[1].dead == 1)
                #expect(try peer.letters().total == 0)
                withExtendedLifetime(source) {}
            }
            let line = try await fixture.log.first(containing: "retried")
            #expect(line.hasPrefix("info: ") && line.contains("1 dead letter is retried: asked by"))
            #expect(line.contains("(uid \(geteuid())), process \(getpid()) ("))
        }
    }

    /// Dropping makes room: a stage that full dead letters have stopped goes on.
    @Test func droppingFreesAPausedStage() async throws {
        let pipeline = PipelineDefinition.chain { $0.limits.deadLetterRecords = 2 }
        try await BrokerFixture.with(pipeline) { fixture in
            let (path, control) = (fixture.path, fixture.broker.controlPath)
            try await onThread {
                let source = try Self.source(path, 5)
                let transform = try TestWorker(path, stage: "transform", instance: "t")
                try transform.allow(records: 2, bytes: 100_000)
                // Without granting anew, as `next` does: a third one must not be delivered before these are rejected.
                try transform.settle(first: 1, last: try Self.lastDelivered(transform, 2), kind: .rejected)
                let peer = try ControlPeer(control)
                let paused = try peer.status { $0.stages[1].obstacle == .deadLettersFull }
                #expect(paused.stages[1].queued == 3 && paused.stages[1].inFlight == 0)
                let selection = DeadLetterSelection(stage: "transform", reason: "rejected")
                try transform.allow(records: 2, bytes: 100_000)
                try transform.peer.barrier()
                #expect(try peer.status().stages[1].inFlight == 0)
                let answer = try peer.post("/v1/dead-letters/drop", selection)
                #expect(try answer.decode(DeadLetterAnswer.self) == DeadLetterAnswer(changed: 2))
                let numbers = try Self.settle(transform, 2, .accepted).compactMap(Flow.number)
                #expect(numbers == [2, 3])
                #expect(try peer.status().stages[1].obstacle == nil)
                withExtendedLifetime(source) {}
            }
            #expect(try await fixture.log.first(containing: "dropped").contains("2 dead letters are dropped"))
        }
    }

    @Test func lettersComeInPages() async throws {
        try await BrokerFixture.with(.chain()) { fixture in
            let (path, control) = (fixture.path, fixture.broker.controlPath)
            try await onThread {
                let source = try Self.source(path, 5)
                let transform = try TestWorker(path, stage: "transform", instance: "t")
                try transform.allow()
                _ = try Self.settle(transform, 5, .rejected)
                let peer = try ControlPeer(control)
                _ = try peer.status { $0.stages[1].deadLetters == 5 }
                var numbers: [[UInt64]] = []
                var after: UInt64?
                repeat {
                    let query = "?stage=transform&limit=2" + (after.map { "&after=\($0)" } ?? "")
                    let page = try peer.letters(query)
                    #expect(page.total == 5)
                    numbers.append(page.letters.map(\.number))
                    after = page.next
                } while after != nil
                #expect(numbers == [[1, 2], [3, 4], [5]])
                #expect(try peer.letters("?limit=3").letters.count == 3)
                #expect(try peer.letters("?limit=3").next == nil)
                #expect(try peer.letters("?stage=sink").total == 0)
                #expect(try peer.letters("?reason=EXPIRED").total == 0 && peer.letters("?reason=REJECTED").total == 5)
                let both = DeadLetterSelection(stage: "transform", numbers: [2, 3], reason: "EXPIRED")
                let none = try peer.post("/v1/dead-letters/drop", both).decode(DeadLetterAnswer.self)
                #expect(none == DeadLetterAnswer(changed: 0))
                _ = try peer.post("/v1/dead-letters/drop", DeadLetterSelection(stage: "transform", numbers: [2, 4]))
                #expect(try peer.letters().letters.map(\.number) == [1, 3, 5])
                let all = try peer.post("/v1/dead-letters/drop", DeadLetterSelection(stage: "transform", all: true))
                #expect(try all.decode(DeadLetterAnswer.self).changed == 3)
                withExtendedLifetime(source) {}
            }
        }
    }

    // MARK: The end

    @Test func drainTellsWhoWaits() async throws {
        let fixture = try BrokerFixture(.chain())
        let (path, control) = (fixture.path, fixture.broker.controlPath)
        async let sunk = onThread {
            var numbers: [UInt64] = []
            _ = try Flow.sink(TestWorker(path, stage: "transform"), into: &numbers)
            return numbers.count
        }
        try await onThread {
            let source = try Self.source(path, 50)
            let peer = try ControlPeer(control)
            let waiting = try ControlPeer(control)
            try waiting.send("GET /v1/end HTTP/1.1\r\n\r\n")
            let stopped = try peer.post("/v1/stop", StopRequest(mode: .drain))
            let answer = try stopped.decode(StopAnswer.self)
            #expect(stopped.status == 202 && answer.state == .draining)
            #expect(answer.deadlineSeconds > 20 && answer.deadlineSeconds <= 30)
            // The source is asked to go, and goes.
            try source.peer.send(.finished(partition: "p"))
            try source.peer.send(.close(CloseReason(code: 0, message: "")))
            _ = try source.awaitClose()
            let end = try #require(try waiting.answer()).decode(EndAnswer.self)
            #expect(end == EndAnswer(outcome: .drained, unsettled: 0))
            // By then a successor may take the place.
            #expect(access(path, F_OK) != 0 && access(control, F_OK) != 0)
        }
        #expect(try await sunk == 50)
        #expect(try await fixture.finished().end == .drained)
        #expect(try await fixture.log.first(containing: "stopping: asked by").hasPrefix("info: "))
    }

    /// Nobody who asks for the end misses it, although it may come in the same moment.
    @Test(arguments: [StopRequest.Mode.drain, .now]) func stopAndWait(_ mode: StopRequest.Mode) async throws {
        let fixture = try BrokerFixture(.chain())
        let control = fixture.broker.controlPath
        try await onThread {
            let peer = try ControlPeer(control)
            let answer = try peer.post("/v1/stop", StopRequest(mode: mode, wait: true))
            #expect(answer.status == 200 && answer.fields["connection"] == "close")
            #expect(try answer.decode(EndAnswer.self).outcome == (mode == .now ? .abandoned : .drained))
            #expect(try peer.hasEnded())
        }
        _ = try await fixture.finished()
    }

    @Test func whileItDrains() async throws {
        let pipeline = PipelineDefinition.chain { $0.limits.drain = .milliseconds(500) }
        let fixture = try BrokerFixture(pipeline)
        let (path, control) = (fixture.path, fixture.broker.controlPath)
        try await onThread {
            let source = try Self.source(path, 3)
            let transform = try TestWorker(path, stage: "transform", instance: "t")
            try transform.allow()
            let delivery = try transform.next()
            try transform.settle(first: delivery.first, last: delivery.first, kind: .rejected)
            let peer = try ControlPeer(control)
            _ = try peer.status { $0.stages[1].deadLetters == 1 }
            try peer.send("POST /v1/stop HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
            #expect(try peer.answer()?.status == 202)
            let draining = try peer.status()
            #expect(draining.state == .draining && (draining.drainSeconds ?? 9) <= 0.5)
            let refused = try peer.post("/v1/dead-letters/retry", DeadLetterSelection(stage: "transform", all: true))
            #expect(refused.status == 409 && refused.problem?.message.contains("takes no records any more") == true)
            // Nobody settles the rest, so the deadline cuts it short.
            try peer.send("GET /v1/end HTTP/1.1\r\n\r\n")
            let end = try #require(try peer.answer()).decode(EndAnswer.self)
            #expect(end == EndAnswer(outcome: .abandoned, unsettled: 2))
            withExtendedLifetime(source) {}
        }
        #expect(try await fixture.finished().end == .abandoned)
    }
}
