import Foundation
import StagewireControl
import StagewireModel
import Testing

@testable import StagewireBroker

/// Choosing dead letters by conditions, over the control API and by the commands.
@Suite struct LetterFilterTests {
    /// Eight letters of `score`; what each is like, by number from 1.
    private static let letters: [(key: String, schema: String, site: String, level: UInt64, error: String)] = [
        ("a", "raw", "lab", 1, "no such table: readings"), ("a", "raw", "lab", 2, "no such table: alerts"),
        ("b", "raw", "roof", 1, "no such table: readings"), ("b", "clean", "roof", 2, "connection refused"),
        ("", "clean", "roof", 3, "connection refused"), ("c", "", "lab", 3, "Connection refused"),
        ("c", "", "", 1, "100% wrong & more"), ("c", "raw", "roof", 1, "no such table: \u{e4}\u{1f600}"),
    ]

    private static func record(_ letter: (key: String, schema: String, site: String, level: UInt64, error: String))
        -> TestRecord
    {
        var header = ProtoWriter()
        if !letter.schema.isEmpty {
            // In front of the key's field, which is why it goes with it.
            header.bytes(1, Array(letter.schema.utf8))
            header.varint(2, 1)
        }
        if !letter.site.isEmpty {
            header.message(6) { attribute in
                attribute.bytes(1, Array("site".utf8))
                attribute.bytes(2, Array(letter.site.utf8))
            }
        }
        header.message(6) { attribute in
            attribute.bytes(1, Array("level".utf8))
            attribute.varint(3, letter.level * 2)
        }
        var record = TestRecord(key: Array(letter.key.utf8), payload: [0x78])
        record.header = header.bytes
        return record
    }

    /// All of them given up on, each for its own reason.
    private static func give(_ pipeline: LivePipeline) async throws -> [TestWorker] {
        let path = pipeline.path
        struct Workers: @unchecked Sendable {  // handed over whole: nobody uses it on two threads
            var all: [TestWorker]
        }
        return try await onThread {
            let source = try TestWorker(path, stage: "ingest")
            _ = try source.claim("p")
            try source.emit("p", id: 1, letters.map(record))
            try source.awaitCommitted(through: 1)
            let score = try TestWorker(path, stage: "score")
            try score.allow()
            var delivered = 0
            while delivered < letters.count { delivered += try score.next().records.count }
            for (index, letter) in letters.enumerated() {
                let id = UInt64(index + 1)
                try score.settle(first: id, last: id, kind: .rejected, error: letter.error)
            }
            try score.peer.barrier()
            return Workers(all: [source, score])
        }.all
    }

    @Test func conditionsInTheAPI() async throws {
        try await LivePipeline.with { pipeline in
            let workers = try await Self.give(pipeline)
            let control = pipeline.control
            try await onThread {
                let peer = try ControlPeer(control)
                let all = try peer.status { $0.stages[1].deadLetters == 8 }
                #expect(all.stages[1].dead == 8)
                func numbers(_ query: String) throws -> [UInt64] { try peer.letters("?" + query).letters.map(\.number) }
                #expect(try numbers("key=a") == [1, 2] && numbers("key=") == [5])
                #expect(try numbers("schema=clean") == [4, 5] && numbers("schema=") == [6, 7])
                #expect(try numbers("error=table") == [1, 2, 3, 8] && numbers("error=%F0%9F%98%80") == [8])
                #expect(try numbers("error=100%25%20wrong%20%26") == [7] && numbers("error=connection") == [4, 5])
                #expect(try numbers("attribute=site%3Dlab") == [1, 2, 6] && numbers("attribute=level=3") == [5, 6])
                #expect(try numbers("attribute=level%3D1&attribute=site%3Droof") == [3, 8])
                #expect(
                    try numbers("attribute=level%3D1.0&key=b&schema=raw&error=read&reason=rejected&stage=score") == [3])
                #expect(try numbers("key=b&schema=none") == [] && numbers("attribute=none%3D") == [])
                // Pages of what matches.
                let page = try peer.letters("?stage=score&error=table&limit=2&after=1")
                #expect(page.letters.map(\.number) == [2, 3] && page.total == 4 && page.next == 3)
                let time = try peer.letters("?stage=score").letters.map(\.time)
                let middle = time[4]
                let late = try numbers("given_up_after=\(middle)")
                let early = try numbers("given_up_before=\(middle)")
                #expect(early + late == Array(1...8) && late.contains(5))
                #expect(try numbers("given_up_before=2001-01-01T00:00:00Z") == [])
                #expect(
                    try numbers("given_up_after=2001-01-01T00:00:00Z&given_up_before=9999-12-31T23:59:59.9Z").count == 8
                )
                for (query, words) in [
                    ("reasn=REJECTED", "there is no parameter reasn"), ("reason=BAD", "there is no reason BAD"),
                    ("error=", "error is empty"), ("attribute=site", "has no name and value"),
                    ("attribute=%3Dx", "has no name and value"), ("key=a&key=b", "the parameter key stands twice"),
                    ("attribute=a%3D1&attribute=a%3D2", "the attribute a stands twice"),
                    ("given_up_after=yesterday", "given_up_after is no time"),
                    ("given_up_before=2026-02-30T00:00:00Z", "given_up_before is no time"),
                    (
                        "given_up_after=2002-01-01T00:00:00Z&given_up_before=2001-01-01T00:00:00Z",
                        "so no letter is meant"
                    ),
                ] {
                    let answer = try peer.get("/v1/dead-letters?" + query)
                    #expect(answer.status == 400 && answer.problem?.message.contains(words) == true, "\(query)")
                }
            }
            withExtendedLifetime(workers) {}
        }
    }

    @Test func selectionsInTheAPI() async throws {
        try await LivePipeline.with { pipeline in
            let workers = try await Self.give(pipeline)
            let control = pipeline.control
            try await onThread {
                let peer = try ControlPeer(control)
                _ = try peer.status { $0.stages[1].deadLetters == 8 }
                for (body, words) in [
                    (#"{"stage": "score"}"#, "nothing says which"),
                    (#"{"stage": "score", "attributes": {}}"#, "nothing says which"),
                    (#"{"stage": "score", "error": ""}"#, "error is empty"),
                    (#"{"stage": "score", "key": "a", "all": true}"#, "all stands beside"),
                    (#"{"stage": "score", "attribute": {"site": "lab"}}"#, "there is no key attribute"),
                    (#"{"stage": "score", "attributes": {"level": 2}}"#, "attributes"),
                ] {
                    try peer.send(
                        "POST /v1/dead-letters/drop HTTP/1.1\r\nContent-Type: application/json\r\n"
                            + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
                    let answer = try #require(try peer.answer())
                    #expect(
                        answer.status == 400 && answer.problem?.message.contains(words) == true,
                        "\(answer.problem as Any)")
                }
                #expect(try peer.letters().total == 8, "nothing was dropped")
                let filter = DeadLetterFilter(error: "table", attributes: ["site": "lab"])
                let answer = try peer.post(
                    "/v1/dead-letters/drop", DeadLetterSelection(stage: "score", numbers: [2, 3, 9], filter: filter))
                #expect(try answer.decode(DeadLetterAnswer.self) == DeadLetterAnswer(changed: 1, missing: [9]))
                #expect(try peer.letters().letters.map(\.number) == [1, 3, 4, 5, 6, 7, 8])
                let retry = try peer.post(
                    "/v1/dead-letters/retry",
                    DeadLetterSelection(stage: "score", filter: DeadLetterFilter(key: "c", schema: "")))
                #expect(try retry.decode(DeadLetterAnswer.self).changed == 2)
                _ = try peer.status { $0.stages[1].deadLetters == 5 }
            }
            withExtendedLifetime(workers) {}
        }
    }

    @Test func conditionsOnTheCommandLine() async throws {
        try await LivePipeline.with { pipeline in
            let workers = try await Self.give(pipeline)
            func named(_ output: String) -> [String] {
                output.split(separator: "\n").map { String($0.split(separator: " ").first ?? "") }
                    .filter { $0.hasPrefix("score/") }
            }
            let list = try await pipeline.run(
                "dead-letters", "list", "--error", "no such table", "--attribute", "site=lab", "--after", "1h")
            #expect(named(list.output) == ["score/1", "score/2"], "\(list)")
            let none = try await pipeline.run("dead-letters", "list", "--stage", "score", "--before", "1h")
            #expect(none.code == 0 && none.output == "score has no such dead letters.\n")

            let rehearsal = try await pipeline.run(
                "dead-letters", "drop", "--stage", "score", "--key", "b", "--dry-run")
            #expect(rehearsal.code == 0 && named(rehearsal.output) == ["score/3", "score/4"])
            #expect(rehearsal.output.hasSuffix("2 dead letters would be dropped; nothing was changed.\n"))
            let byName = try await pipeline.run("dead-letters", "retry", "score/8", "score/9", "score/1", "--dry-run")
            #expect(named(byName.output) == ["score/1", "score/8"] && byName.code == 0, "\(byName)")
            #expect(byName.output.contains("score has no dead letter 9 (any more)\n2 dead letters would be retried"))
            let json = try await pipeline.run(
                "dead-letters", "retry", "--stage", "score", "--schema", "clean", "--dry-run", "--json")
            #expect(json.output.contains("\"total\" : 2") && json.output.contains("\"number\" : 5"))
            let nothing = try await pipeline.run("dead-letters", "retry", "--stage", "score", "--key", "z", "--dry-run")
            #expect(nothing.output == "No dead letter would be retried; nothing was changed.\n")
            #expect(named(try await pipeline.run("dead-letters", "list").output).count == 8)

            let drop = try await pipeline.run(
                "dead-letters", "drop", "--stage", "score", "--key", "b", "--error", "refused", "--yes")
            #expect(drop.output == "1 dead letter of score is dropped\n")
            let retry = try await pipeline.run(
                "dead-letters", "retry", "--stage", "score", "--schema", "", "--after", "1h")
            #expect(retry.output == "2 dead letters of score are retried\n")
            #expect(named(try await pipeline.run("dead-letters", "list").output).count == 5)
            withExtendedLifetime(workers) {}
        }
    }

    @Test func resuming() async throws {
        try await LivePipeline.with { pipeline in
            let idle = try await pipeline.run("resume", "score", "ingest")
            #expect(idle.code == 0 && idle.output.hasPrefix("score was not paused by its breaker; "))
            let unknown = try await pipeline.run("resume", "scroe", "--json")
            #expect(unknown.code == 2 && unknown.error.contains("there is no stage scroe"))
            let json = try await pipeline.run("resume", "score", "--pipeline", "sensors", "--json")
            #expect(json.code == 0 && json.output.contains("\"resumed\" : false"))
            let control = pipeline.control
            try await onThread {
                let peer = try ControlPeer(control)
                let answer = try peer.post("/v1/resume", ResumeRequest(stage: "score"))
                #expect(try answer.decode(ResumeAnswer.self) == ResumeAnswer(stage: "score", resumed: false))
                #expect(try peer.get("/v1/resume").status == 405)
                #expect(try peer.post("/v1/resume", DeadLetterSelection(stage: "score", all: true)).status == 400)
            }
        }
    }

    // MARK: Small values

    @Test(arguments: [
        (AttributeValue.text("7"), "7", true), (.text("7"), "7.0", false), (.text(""), "", true),
        (.integer(7), "7", true), (.integer(7), "7.0", true), (.integer(7), "8", false), (.integer(7), "seven", false),
        (.integer(.max), "9223372036854775807", true), (.integer(.max), "9223372036854775806", false),
        (.number(0.5), "0.5", true), (.number(0.5), "5e-1", true), (.number(2), "2", true),
        (.number(.nan), "nan", true),
        (.number(0.5), "", false), (.flag(true), "true", true), (.flag(false), "true", false),
        (.flag(true), "1", false),
    ]) func valuesAsText(_ value: AttributeValue, _ text: String, _ reads: Bool) {
        #expect(LetterFilter.reads(value, text) == reads)
    }

    /// Every short text over three bytes in every other, against a look at every place.
    @Test func partsOfMessages() {
        var texts = [""]
        for length in 1...5 {
            for text in texts where text.count == length - 1 { texts += ["a", "b", "\0"].map { text + $0 } }
        }
        for text in texts {
            for part in texts where !part.isEmpty && part.count <= 3 {
                let isThere = (0...text.utf8.count).contains { text.utf8.dropFirst($0).starts(with: part.utf8) }
                let names = "\(text.debugDescription) \(part.debugDescription)"
                #expect(LetterFilter.contains(text, Array(part.utf8)) == isThere, "\(names)")
            }
        }
    }
}
