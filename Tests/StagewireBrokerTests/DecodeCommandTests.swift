import Foundation
import StagewireModel
import Testing

@testable import StagewireBroker

/// `stagewire decode` on recordings: what it prints, and how it ends.
@Suite struct DecodeCommandTests {
    private static let vectors =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path + "/conformance/vectors/worked"

    /// The worked frames behind one another, as on a wire.
    private static func recording() throws -> [UInt8] {
        try names("hex").flatMap { name in
            let text = String(decoding: try Data(contentsOf: URL(filePath: "\(vectors)/\(name)")), as: UTF8.self)
            let digits = text.split(separator: "\n").map { $0.prefix { $0 != ";" } }.joined().filter {
                !$0.isWhitespace
            }
            return stride(from: 0, to: digits.count, by: 2).compactMap {
                UInt8(digits.dropFirst($0).prefix(2), radix: 16)
            }
        }
    }

    private static func names(_ kind: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: vectors).filter { $0.hasSuffix("." + kind) }.sorted()
    }

    private func decode(_ bytes: [UInt8], _ arguments: String...) async throws -> Program.Result {
        var result: Program.Result?
        try await Program.inDirectory("") { directory in
            try Data(bytes).write(to: URL(fileURLWithPath: directory + "/frames"))
            result = try await Program(["decode", "frames"] + arguments, in: directory).wait()
        }
        return try #require(result)
    }

    /// Each vector says in JSON what its frame means. Zeros may be left out there and are not on the wire.
    @Test func vectorsAsJSON() async throws {
        let result = try await decode(try Self.recording(), "--json")
        #expect(result.code == 0 && result.error == "")
        let envelope = try PrintedEnvelope(result.output)
        #expect(envelope.isOK && envelope.command == "decode")
        let expected = try Self.names("json").map { name in
            withoutZeros(
                try JSONSerialization.jsonObject(with: try Data(contentsOf: URL(filePath: "\(Self.vectors)/\(name)"))))
        }
        #expect(expected.count >= 8 && envelope.list.count == expected.count)
        for (frame, expected) in zip(envelope.list, expected) {
            let printed = withoutZeros(frame["envelope"] ?? [:])
            #expect(printed as? NSObject == expected as? NSObject, "\(printed) is not \(expected)")
        }
    }

    private func withoutZeros(_ value: Any) -> Any {
        if let list = value as? [Any] { return list.map(withoutZeros) }
        guard let members = value as? [String: Any] else { return value }
        return members.filter { ($0.value as? NSNumber) != 0 }.mapValues(withoutZeros)
    }

    @Test func text() async throws {
        let result = try await decode(try Self.recording())
        #expect(result.code == 0 && result.error == "")
        #expect(
            result.output.hasPrefix("frame 1 at byte 0: Hello, 68 bytes, protocol 1.0\n  min_version: 1000 (1.0)\n"))
        #expect(result.output.contains("\n    lineage:\n      id: ad0463b0d8404c62c36d38447d3c52ab\n"))
        #expect(result.output.contains("      ingest_time: 1767225600000000 (2026-01-01T00:00:00Z)\n"))
        #expect(result.output.contains("\n  token: 00ff10ef\n"))
        #expect(result.output.contains("\n  code: 200 (UNKNOWN_STAGE)\n"))
        #expect(result.output.contains("\n    kind: OUTCOME_KIND_ACCEPTED\n"))
    }

    @Test func limitAndLines() async throws {
        let result = try await decode(try Self.recording(), "--json-lines", "--limit", "3")
        let lines = try result.output.split(separator: "\n").map { line in
            try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        }
        #expect(lines.map { $0?["kind"] as? String } == ["Hello", "Welcome", "Credit"])
        #expect(lines.map { $0?["offset"] as? Int } == [0, 72, 192])
        #expect(result.code == 0)
    }

    /// The frames before the damage are shown, and the damage has its place in the file.
    @Test func damage() async throws {
        let recording = try Self.recording()
        let truncated = try await decode(Array(recording.prefix(300)))
        #expect(truncated.code == 1)
        #expect(truncated.output.contains("frame 4 at byte 209: Deliver, 106 bytes, truncated"))
        #expect(truncated.output.contains("      schema: \"sensor.raw\"\n"), "what there is of it")
        #expect(truncated.error.contains("byte 300: frame 4: the input ends here, with 87 of the frame's 106 bytes"))

        let inPrefix = try await decode(Array(recording.prefix(74)), "--json")
        #expect(inPrefix.code == 1)
        let envelope = try PrintedEnvelope(inPrefix.output)
        #expect(envelope.codes == ["malformed"] && envelope.list.count == 1)
        #expect((envelope.errors[0]["message"] as? String)?.contains("byte 72") == true)

        // A frame that is broken inside does not hide the next.
        var flipped = recording
        flipped[72 + 4 + 3] = 0x1f
        let inside = try await decode(flipped)
        #expect(inside.code == 1)
        #expect(inside.output.contains("MALFORMED at byte 79:"))
        #expect(inside.output.contains("frame 8 at byte 512: Close"))

        let stranger = try await decode(Array("GET / HTTP/1.1\r\n\r\n".utf8), "--json-lines")
        #expect(stranger.code == 1)
        #expect(stranger.output.contains("This looks like HTTP"))
    }

    /// What a worker put into a record does not reach the terminal as it is.
    @Test func controlCharacters() async throws {
        let message = Array("\u{1b}[2J\u{9b}31m\u{202e}".utf8)
        let close = [0x12, UInt8(message.count)] + message
        let content = [0x08, 0xe8, 0x07, 0x22, UInt8(close.count)] + close
        for arguments in [[], ["--json"], ["--json-lines"]] {
            var result: Program.Result?
            try await Program.inDirectory("") { directory in
                let frame = [0, 0, 0, UInt8(content.count)] + content
                try Data(frame).write(to: URL(fileURLWithPath: directory + "/frames"))
                result = try await Program(["decode", "frames"] + arguments, in: directory).wait()
            }
            let output = try #require(result).output
            #expect(output.contains("31m"))
            let isSafe = output.unicodeScalars.allSatisfy {
                $0 == "\n" || ![.control, .format].contains($0.properties.generalCategory)
            }
            #expect(isSafe, "\(arguments)")
        }
    }

    @Test func empty() async throws {
        let result = try await decode([])
        #expect(result.code == 0 && result.output == "" && result.error == "")
        #expect(try PrintedEnvelope(try await decode([], "--json").output).isOK)
    }

    @Test func wrongUse() async throws {
        let missing = try await Program.run(["decode", "missing", "--json"])
        #expect(missing.code == 2)
        #expect(try PrintedEnvelope(missing.output).codes == ["usage"])
        #expect(try await Program.run(["decode", "--json", "--json-lines"]).code == 2)
        #expect(try await Program.run(["decode", "--limit", "-1"]).code == 2)
    }
}
