import Foundation
import StagewireModel
import Synchronization
import Testing

@testable import StagewireStage

@Suite struct TransformTests {
    private static let shout = Stage.transform { record, out in
        out.emit(record.output(text: try record.text().uppercased()))
    }

    @Test func recordsGoThroughInOrder() async throws {
        let exit = try await FakeBroker.play(Self.shout.version("1.4")) { broker, _ in
            let session = try broker.attach()
            #expect(session.hello.language == "swift")
            #expect(session.hello.stageVersion == "1.4")
            #expect(session.hello.instance == "shout-1")
            try session.deliver(["a", "b", "c"])
            let outcomes = try session.outcomes(3)
            #expect(outcomes.map(\.deliveries) == [[1], [2], [3]])
            #expect(outcomes.allSatisfy { $0.kind == 1 })
            #expect(outcomes.flatMap(\.emissions).map(\.text) == ["A", "B", "C"])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func acceptancesWithoutEmissionsBecomeOneRange() async throws {
        let exit = try await FakeBroker.play(.sink { _ in }) { broker, _ in
            let session = try broker.attach()
            try session.deliver((0..<1000).map { "\($0)" })
            let outcomes = try session.outcomes(1000)
            #expect(outcomes.count < 20, "ranges, not single settlements")
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func verdictsReachTheBroker() async throws {
        struct Broken: Error {}
        let stage = Stage.transform { record, out in
            switch try record.text() {
            case "reject": throw Verdict.reject(1001, "no such unit")
            case "retry": throw Verdict.retry(after: .milliseconds(1500), "later", indefinite: true)
            case "coded": throw Verdict.retry("again", code: 1007)
            case "release": throw Verdict.release
            case "broken": throw Broken()
            default: out.emit(text: "done")
            }
        }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach()
            try session.deliver(["reject", "retry", "release", "broken", "good", "coded"])
            let seen = try session.outcomes(6)
            #expect(seen[5] == SeenOutcome(deliveries: [6], kind: 3, code: 1007, message: "again"))
            #expect(seen[0] == SeenOutcome(deliveries: [1], kind: 2, code: 1001, message: "no such unit"))
            #expect(
                seen[1]
                    == SeenOutcome(
                        deliveries: [2], kind: 3, delayMS: 1500, code: 1000, message: "later", indefinite: true))
            #expect(seen[2] == SeenOutcome(deliveries: [3], kind: 4))
            #expect(seen[3] == SeenOutcome(deliveries: [4], kind: 3, code: 1000, message: "Broken()"))
            #expect(seen[4].emissions.map(\.text) == ["done"])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func anAsynchronousHandlerKeepsTheOrder() async throws {
        let stage = Stage.transform { record, out in
            // A suspension for every other record: what comes later must not overtake.
            if record.payload == Array("0".utf8) { await Task.yield() }
            out.emit(record.output())
        }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach()
            try session.deliver((0..<200).map { "\($0 % 2)" })
            #expect(try session.outcomes(200).flatMap(\.emissions).count == 200)
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func whatStandsInARecordIsRead() async throws {
        let stage = Stage.transform { record, out in
            var output = record.output()
            output.attributes["attempt"] = .integer(Int64(record.attempt))
            output.attributes["from"] = .text("\(record.input.stage).\(record.input.port)")
            output.attributes["by"] = .text(record.lineage.hops.first?.run?.stage ?? "?")
            output.attributes["root"] = .text(record.lineage.root)
            output.port = "errors"
            out.emit(output)
        }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach()
            try session.send(.runs([Run(number: 1, stage: "ingest", version: "1", instance: "i", language: "rust")]))
            let record = FakeSession.record("x", key: "k1", eventTime: 5)
            try session.deliver(records: [record], attempts: [3])
            let emission = try #require(try session.outcomes(1).first?.emissions.first)
            #expect(emission.port == 1)
            let header = try MiniFields(emission.header)
            #expect(header.content(3) == Array("k1".utf8))
            #expect(header.number(4) == 5)
            let attributes = try header.contents(6).map { try MiniFields($0) }
            #expect(attributes.map { $0.number(3) ?? 0 } == [6, 0, 0, 0], "zigzag of 3")
            let texts = attributes.dropFirst().map { String(decoding: $0.content(2) ?? [], as: UTF8.self) }
            #expect(texts == ["ingest.out", "ingest", String(repeating: "07", count: 16)])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func emissionsWaitForCredit() async throws {
        let exit = try await FakeBroker.play(Self.shout) { broker, _ in
            let session = try broker.attach {
                $0.maxStepRecords = 2
                $0.maxStepBytes = 2 * 2000
            }
            try session.deliver((0..<10).map { "\($0)" })
            var seen = 0
            while seen < 10 {
                seen += try session.outcomes(1).count
                // The fake broker throws when anything overshoots what stands granted here.
                try session.grant(0, records: 1, bytes: 2000)
            }
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func whatCanNeverFitIsRejectedAtOnce() async throws {
        let stage = Stage.transform { record, out in
            switch try record.text() {
            case "large": out.emit(Output(payload: [UInt8](repeating: 1, count: 5000)))
            case "many": for _ in 0..<5 { out.emit(text: "x") }
            case "port":
                out.emit(
                    {
                        var o = Output(text: "x"); o.port = "nowhere"; return o
                    }())
            case "key":
                out.emit(
                    {
                        var o = Output(text: "x"); o.key = [UInt8](repeating: 1, count: 1025); return o
                    }())
            default: out.emit(text: "ok")
            }
        }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach {
                $0.maxRecord = 4000
                $0.maxStepRecords = 4
                $0.maxStepBytes = 8000
            }
            try session.deliver(["large", "many", "port", "key", "fine"])
            let seen = try session.outcomes(5)
            #expect(seen.map(\.kind) == [2, 2, 2, 2, 1])
            #expect(seen.map(\.code) == [304, 305, 306, 306, 0])
            #expect(seen[0].message.contains("5003 bytes"))
            #expect(seen[2].message == "this stage has no output “nowhere”; it has out, errors")
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func creditIsGrantedAgainForWhatLeftTheQueue() async throws {
        let exit = try await FakeBroker.play(.sink { _ in }) { broker, _ in
            let session = try broker.attach()
            // Five windows of records: `deliver` waits for credit, and throws when none comes.
            for _ in 0..<40 { try session.deliver([String](repeating: "x", count: 1024)) }
            _ = try session.outcomes(40 * 1024 - Int(session.lastSettled))
            try session.end()
        }
        #expect(exit == Exit(code: 0))
    }

    @Test func aBatchSinkGetsWhatHasArrived() async throws {
        let sizes = Mutex<[Int]>([])
        let stage = Stage.sink(batch: 3) { records in sizes.withLock { $0.append(records.count) } }
        let exit = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach()
            try session.deliver(["a", "b", "c", "d", "e"])
            let seen = try session.outcomes(5)
            #expect(seen.map(\.deliveries) == [[1, 2, 3], [4, 5]])
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        #expect(sizes.withLock { $0 } == [3, 2])
    }

    @Test func aConfigurationMayBeHadAsItStands() async throws {
        let stage = Stage.transform(configuration: RawConfiguration.self) { configuration in
            { _, out in out.emit(Output(payload: configuration.json)) }
        }
        for (sent, expected) in [(#"{"b": 1.0,  "a": [null]}"#, #"{"b": 1.0,  "a": [null]}"#), ("", "{}")] {
            let exit = try await FakeBroker.play(stage) { broker, _ in
                let session = try broker.attach { $0.config = Array(sent.utf8) }
                try session.deliver([""])
                #expect(try session.outcomes(1).flatMap(\.emissions).map(\.text) == [expected])
                try session.end()
            }
            #expect(exit == Exit(code: 0))
        }
    }

    @Test func configurationIsDecoded() async throws {
        struct Settings: Decodable { var prefix: String }
        let stage = Stage.transform(configuration: Settings.self) { settings in
            var count = 0
            return { record, out in
                count += 1
                out.emit(text: "\(settings.prefix)\(count)")
            }
        }
        let good = try await FakeBroker.play(stage) { broker, _ in
            let session = try broker.attach { $0.config = Array(#"{"prefix": "n"}"#.utf8) }
            try session.deliver(["", ""])
            #expect(try session.outcomes(2).flatMap(\.emissions).map(\.text) == ["n1", "n2"])
            try session.end()
        }
        #expect(good == Exit(code: 0))
        let bad = try await FakeBroker.play(stage) { broker, _ in
            // The worker may be gone before all of the greeting is written.
            _ = try? broker.attach { $0.config = Array(#"{"prefix": 3}"#.utf8) }
        }
        #expect(
            bad
                == Exit(
                    code: 2,
                    message: "the stage's `config` in the pipeline does not fit this program: `prefix` has to be a text"
                ))
    }
}
