import Foundation
import StagewireControl
import StagewireModel
import Testing

@testable import StagewireBroker

/// `replay` and `dead-letters edit` as a user meets them.
@Suite struct ReplayCommandTests {
    private static let retaining = LivePipeline.yaml.replacing("durability: memory", with: "retention: {time: 1h}")

    /// Has `score` accept what comes, until it is `count` records.
    private static func take(_ score: TestWorker, _ count: Int) throws -> [String] {
        var payloads: [String] = []
        while payloads.count < count {
            let delivery = try score.next()
            payloads += delivery.records.map { String(decoding: $0.payload, as: UTF8.self) }
            try score.settle(first: delivery.first, last: delivery.first + UInt64(delivery.records.count) - 1)
        }
        try score.peer.barrier()
        return payloads
    }

    @Test func recordsComeAgain() async throws {
        try await LivePipeline.with(Self.retaining) { pipeline in
            let (source, score) = try await pipeline.reject(3)
            let drop = try await pipeline.run("dead-letters", "drop", "--stage", "score", "--all", "--yes")
            #expect(drop.code == 0, "\(drop.error)")
            let dry = try await pipeline.run("replay", "score", "--from", "beginning", "--dry-run", "--limit", "2")
            #expect(dry.code == 0 && dry.output.split(separator: "\n").count == 2, "\(dry.error)")
            #expect(dry.output.contains(#""text": "0""#) || dry.output.contains(#""json": 0"#), "\(dry.output)")
            let replay = try await pipeline.run("replay", "score", "--from", "1", "--json")
            let answer = try ControlJSON.decode(
                Envelope<ReplayAnswer>.self, from: Data(replay.output.utf8)
            ).result
            #expect(answer == ReplayAnswer(stage: "score", input: "ingest", from: 1, records: 2, waitsFor: 0))
            struct Handed: @unchecked Sendable { var worker: TestWorker }  // waited for: one thread at a time
            let handed = Handed(worker: score)
            #expect(try await onThread { try Self.take(handed.worker, 2) } == ["1", "2"])
            let words = try await pipeline.run("replay", "score", "--from", "10m", "--input", "ingest")
            #expect(words.output == "score gets 3 records of ingest again, from number 0 on.\n", "\(words.error)")
            #expect(try await onThread { try Self.take(handed.worker, 3) } == ["0", "1", "2"])
            withExtendedLifetime(source) {}
        }
    }

    @Test func refusals() async throws {
        try await LivePipeline.with(Self.retaining) { pipeline in
            for (arguments, code, words) in [
                (["score", "--from", "beginning"], 1, "nothing of ingest is kept that score has settled"),
                (["ingest", "--from", "0"], 1, "stage ingest is a source"),
                (["x", "--from", "0"], 2, "there is no stage x"),
                (["score", "--from", "0", "--input", "x"], 2, "score does not read x"),
                (["score", "--from", "yesterday"], 2, "yesterday"),
                (["score", "--from", "0", "--limit", "3"], 2, "--limit is for --dry-run"),
            ] as [([String], Int32, String)] {
                let result = try await pipeline.run(["replay"] + arguments)
                #expect(
                    result.code == code && result.error.contains(words), "\(arguments): \(result.code) \(result.error)")
            }
        }
        try await LivePipeline.with { pipeline in
            let result = try await pipeline.run("replay", "score", "--from", "0")
            #expect(result.code == 1 && result.error.contains("durability: memory keeps nothing"), "\(result.error)")
        }
    }

    @Test func anEditedLetterIsRetried() async throws {
        for yaml in [LivePipeline.yaml, Self.retaining] {
            try await LivePipeline.with(yaml) { pipeline in
                let (source, score) = try await pipeline.reject(1)
                let file = pipeline.directory + "/fixed.json"
                try #"{"key": "k0", "text": "fixed"}"#.write(toFile: file, atomically: true, encoding: .utf8)
                let before = try await pipeline.run("dead-letters", "show", "score/1", "--json")
                let edit = try await pipeline.run("dead-letters", "edit", "score/1", "--record", file, "--json")
                #expect(edit.code == 0, "\(edit.error)")
                let edited = try ControlJSON.decode(Envelope<DeadLetterEdited>.self, from: Data(edit.output.utf8))
                    .result
                let after = try await pipeline.run("dead-letters", "show", "score/1", "--json")
                let old = try ControlJSON.decode(Envelope<DeadLetterDetail>.self, from: Data(before.output.utf8)).result
                let new = try ControlJSON.decode(Envelope<DeadLetterDetail>.self, from: Data(after.output.utf8)).result
                #expect(new.letter.id == edited.id && new.payloadText == "fixed" && new.parents == [old.letter.id])
                #expect(new.root == old.root && new.hops == old.hops && new.ingestTime == old.ingestTime)
                #expect(try await pipeline.run("dead-letters", "retry", "score/1").code == 0)
                struct Handed: @unchecked Sendable { var worker: TestWorker }  // waited for: one thread at a time
                let handed = Handed(worker: score)
                #expect(try await onThread { try Self.take(handed.worker, 1) } == ["fixed"])
                for (letter, content, code, words) in [
                    ("score/1", #"{"text": "x"}"#, 2, "no dead letter 1"), ("x/1", #"{"text": "x"}"#, 2, "no stage x"),
                    ("score/1", "{", 2, "is no record"),
                    ("score/1", #"{"text": "\#(String(repeating: "x", count: 900_000))"}"#, 2, "is longer than"),
                ] as [(String, String, Int32, String)] {
                    try content.write(toFile: file, atomically: true, encoding: .utf8)
                    let result = try await pipeline.run("dead-letters", "edit", letter, "--record", file)
                    #expect(
                        result.code == code && result.error.contains(words), "\(letter): \(result.code) \(result.error)"
                    )
                }
                withExtendedLifetime(source) {}
            }
        }
    }

    private struct Envelope<Result: Decodable>: Decodable { var result: Result }
}
