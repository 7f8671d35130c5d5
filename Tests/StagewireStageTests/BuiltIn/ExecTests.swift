import Foundation
import StagewireModel
import Testing

@testable import StagewireStage
@testable import StagewireStages

/// Real commands of a Debian system, against the fake broker.
@Suite struct ExecTests {
    /// Delivers `texts` at once to an `exec` with that configuration, and returns what became of them.
    private static func run(
        _ configuration: String, _ texts: [String], keys: [String] = []
    ) async throws -> [SeenOutcome] {
        let box = OutcomeBox()
        let exit = try await FakeBroker.play(BuiltInStage.exec.stage) { broker, _ in
            let session = try broker.attach { $0.config = Array(configuration.utf8) }
            let records = texts.enumerated().map { index, text in
                FakeSession.record(text, key: keys.isEmpty ? "" : keys[index])
            }
            try session.deliver(records: records)
            box.outcomes = try session.outcomes(texts.count)
            try session.end()
        }
        #expect(exit == Exit(code: 0))
        return box.outcomes
    }

    private static func refusal(_ configuration: String) async throws -> Exit {
        try await FakeBroker.play(BuiltInStage.exec.stage) { broker, _ in
            _ = try? broker.attach { $0.config = Array(configuration.utf8) }
        }
    }

    private static func texts(_ outcomes: [SeenOutcome]) -> [String] { outcomes.flatMap(\.emissions).map(\.text) }

    @Test func aFilterGetsABatchAndItsLinesAreOneStep() async throws {
        let seen = try await Self.run(
            #"{"command": ["awk", "$1 > 1 { print $1 * 2; print \"and\" }"]}"#, ["1", "2", "3"])
        #expect(seen.map(\.deliveries) == [[1, 2, 3]])
        #expect(Self.texts(seen) == ["4", "and", "6", "and"])
    }

    @Test func aCommandPerRecord() async throws {
        let configuration = #"{"command": ["sh", "-c", "read x; echo $STAGEWIRE_RECORDS:$x"], "batch": {"records": 1}}"#
        let seen = try await Self.run(configuration, ["a", "b"], keys: ["k", "l"])
        #expect(seen.map(\.deliveries) == [[1], [2]])
        #expect(Self.texts(seen) == ["1:a", "1:b"])
        #expect(
            try seen.flatMap(\.emissions).map { try MiniFields($0.header).content(3) } == [
                Array("k".utf8), Array("l".utf8),
            ])
    }

    @Test func wholeRecordsAsJSON() async throws {
        let program =
            "import json, sys\nfor line in sys.stdin:\n    r = json.loads(line)\n    r['attributes'] = {'n': len(r['text']), 'by': r['input']}\n    print(json.dumps(r))"
        let command = String(decoding: try JSONEncoder().encode(["python3", "-c", program]), as: UTF8.self)
        let seen = try await Self.run(#"{"command": \#(command), "input": "json-lines"}"#, ["abc"], keys: ["k"])
        #expect(Self.texts(seen) == ["abc"])
        let header = try MiniFields(try #require(seen[0].emissions.first).header)
        #expect(header.content(3) == Array("k".utf8))
        #expect(
            try header.contents(6).map { String(decoding: try MiniFields($0).content(1) ?? [], as: UTF8.self) } == [
                "n", "by",
            ])
    }

    @Test func bytesBehindTheirLength() async throws {
        let seen = try await Self.run(#"{"command": ["cat"], "input": "length-prefixed"}"#, ["a\nb", "", "c\u{0}"])
        #expect(Self.texts(seen) == ["a\nb", "", "c\u{0}"])
    }

    @Test func anArchiveGetsAFile() async throws {
        let directory = NSTemporaryDirectory() + "/stagewire-exec-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let configuration =
            #"{"command": ["sh", "-c", "gzip < \"$STAGEWIRE_FILE\" > \#(directory)/b.gz; echo archived"], "input": "file"}"#
        let seen = try await Self.run(configuration, ["a", "b"])
        #expect(seen == [SeenOutcome(deliveries: [1, 2], kind: 1)], "what it prints is no data")
        let unpacked = Process()
        unpacked.executableURL = URL(fileURLWithPath: "/bin/sh")
        unpacked.arguments = ["-c", "gunzip < \(directory)/b.gz | wc -l"]
        let pipe = Pipe()
        unpacked.standardOutput = pipe
        try unpacked.run()
        let count = try pipe.fileHandleForReading.readToEnd() ?? Data()
        #expect(String(decoding: count, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines) == "2")
    }

    @Test func silenceFilters() async throws {
        #expect(
            try await Self.run(#"{"command": ["true"]}"#, ["a", "b"]) == [SeenOutcome(deliveries: [1, 2], kind: 1)])
    }

    @Test func halfALineAtTheEndIsALine() async throws {
        #expect(Self.texts(try await Self.run(#"{"command": ["printf", "a\n\nb"]}"#, ["x"])) == ["a", "", "b"])
    }

    @Test func nulBytesAndLinesOfAMebibytePass() async throws {
        let long = String(repeating: "x", count: 900_000)
        #expect(Self.texts(try await Self.run(#"{"command": ["cat"]}"#, ["a\u{0}b", long])) == ["a\u{0}b", long])
    }

    @Test func aLineThatIsTooLongIsARejection() async throws {
        let configuration = #"{"command": ["sh", "-c", "head -c 1100000 /dev/zero"]}"#
        let seen = try await Self.run(configuration, ["x"])
        #expect(seen.map(\.kind) == [2])
        #expect(seen.map(\.code) == [304])
    }

    @Test func endlessOutputIsStopped() async throws {
        let seen = try await Self.run(#"{"command": ["yes"], "grace": 0.1}"#, ["x"])
        #expect(seen.map(\.code) == [1002])
        #expect(seen[0].message.contains("printed more than one step"))
    }

    @Test func aLineBreakInAPayloadIsThatRecordsFault() async throws {
        let seen = try await Self.run(#"{"command": ["cat"]}"#, ["a", "b\nc", "d"])
        #expect(seen.map(\.deliveries) == [[2], [1, 3]])
        #expect(seen[0].code == 1001)
        #expect(Self.texts(seen) == ["a", "d"])
        #expect(seen[1].emissions.map(\.parents) == [[1, 3], [1, 3]])
    }

    @Test func exitCodesAreVerdicts() async throws {
        let retry = try await Self.run(#"{"command": ["sh", "-c", "exit 3"]}"#, ["a", "b"])
        #expect(retry.map(\.kind) == [3])
        #expect(retry[0].message == "sh exited with 3")
        let mapped = try await Self.run(#"{"command": ["sh", "-c", "exit 3"], "exit_codes": {"3": "accept"}}"#, ["a"])
        #expect(mapped.map(\.kind) == [1])
    }

    @Test func aRejectedBatchIsTakenApart() async throws {
        let configuration = #"{"command": ["sh", "-c", "while read x; do [ $x != bad ] || exit 65; echo $x; done"]}"#
        let seen = try await Self.run(configuration, ["a", "bad", "c"])
        #expect(seen.map(\.deliveries) == [[2], [1, 3]])
        #expect(seen[0].code == 1065)
        #expect(Self.texts(seen) == ["a", "c"])
        #expect(seen[1].emissions.map(\.parents) == [[1], [3]])
    }

    @Test func aCommandThatHangsIsEndedWithItsChildren() async throws {
        let script = "trap '' TERM; sleep 3600 & sleep 3600"
        let seen = try await Self.run(
            #"{"command": ["sh", "-c", "\#(script)"], "timeout": 0.1, "grace": 0.1}"#, ["a"])
        #expect(seen.map(\.kind) == [3])
        #expect(seen[0].message.contains("took longer than 0.1 s"))
        #expect(seen[0].indefinite)
    }

    @Test func aCommandThatIsKilledIsTriedAgain() async throws {
        let seen = try await Self.run(#"{"command": ["sh", "-c", "kill -9 $$"]}"#, ["a"])
        #expect(seen[0].message == "sh was killed by signal 9")
    }

    @Test func aCommandThatReadsNothingMayStillAccept() async throws {
        let long = [String](repeating: String(repeating: "x", count: 1000), count: 400)
        #expect(try await Self.run(#"{"command": ["true"]}"#, long).map(\.kind).allSatisfy { $0 == 1 })
    }

    @Test func whatItLeavesRunningDoesNotHoldTheBatch() async throws {
        #expect(
            Self.texts(try await Self.run(#"{"command": ["sh", "-c", "sleep 3600 & echo done"]}"#, ["a"])) == ["done"])
    }

    @Test func badJSONFromACommandIsARejection() async throws {
        let seen = try await Self.run(#"{"command": ["echo", "{\"tex\": 1}"], "input": "json-lines"}"#, ["a"])
        #expect(seen[0].code == 1002)
        #expect(seen[0].message.contains("line 1 of its output is no record: no field `tex` is known"))
    }

    @Test(arguments: [
        (#"{"command": ["no-such-program"]}"#, "`command`: there is no no-such-program in PATH. Is it installed?"),
        (#"{"command": ["/etc/passwd"]}"#, "`command`: /etc/passwd is not executable (chmod +x /etc/passwd)"),
        (#"{"command": ["./nowhere"]}"#, "`command`: there is no ./nowhere in"), (#"{}"#, "`command` is missing"),
        (#"{"command": ["cat"], "inputs": "lines"}"#, "`inputs`: no such key; there are command, input"),
        (#"{"command": ["cat"], "batch": {"records": 0}}"#, "`batch.records`: it has to be a number above zero"),
        (#"{"command": ["cat"], "input": "xml"}"#, "`input`"),
    ])
    func aWrongConfigurationIsSaid(_ configuration: String, _ words: String) async throws {
        let exit = try await Self.refusal(configuration)
        #expect(exit.code == 2)
        #expect(exit.message.contains(words), "\(exit.message)")
    }
}

/// Carries what the script's thread saw to the test.
private final class OutcomeBox: @unchecked Sendable {  // read when the thread has ended
    var outcomes: [SeenOutcome] = []
}
