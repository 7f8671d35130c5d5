import Foundation
import StagewireModel
import StagewireTestSupport
import Testing

@testable import StagewireStage

@Suite struct RecordJSONTests {
    private static func text(_ output: Output) -> String { String(decoding: RecordJSON.write(output), as: UTF8.self) }
    private static func read(_ text: String) throws -> Output { try RecordJSON.read(Array(text.utf8)) }

    @Test func payloadsTakeTheFirstFormThatFits() throws {
        var json = Output(text: #"{"a": 1.50, "b": 12345678901234567890}"#)
        json.contentType = "application/json"
        #expect(
            Self.text(json)
                == #"{"json": {"a": 1.50, "b": 12345678901234567890}, "content_type": "application/json"}"#,
            "no digit changes")
        json.contentType = "application/vnd.x+json"
        #expect(Self.text(json).hasPrefix(#"{"json": "#))
        json.payload = Array("{\n}".utf8)
        #expect(Self.text(json).hasPrefix(#"{"text": "{\n}""#), "a line break cannot stand on one line")
        #expect(Self.text(Output(text: "21.5")) == #"{"text": "21.5"}"#)
        #expect(Self.text(Output(payload: [0xff, 0])) == #"{"base64": "/wA="}"#)
        #expect(Self.text(Output()) == "{}")
    }

    @Test func everyFieldGoesRound() throws {
        var output = Output(payload: [1, 2, 0xff])
        output.key = [0xc0]
        output.schema = "s\u{7f}\u{1}é\"\\"
        output.schemaVersion = .max
        output.contentType = "x/y"
        output.eventTime = 1_767_609_000_000_001
        output.attributes = ["a": "t", "i": .integer(.min), "n": 2.0, "f": true]
        output.port = "errors"
        #expect(try Self.read(Self.text(output)) == output)
        #expect(Self.text(output).contains(#""n": 2.0"#))
        #expect(Self.text(output).contains(#""event_time": "2026-01-05T10:30:00.000001Z""#))
    }

    @Test func randomRecordsGoRound() throws {
        var random = SplitMix64(seed: 20_261)
        for _ in 0..<2000 {
            var output = Output(
                payload: (0..<Int.random(in: 0...8, using: &random)).map { _ in .random(in: 0...255, using: &random) })
            output.key = (0..<Int.random(in: 0...3, using: &random)).map { _ in .random(in: 0...255, using: &random) }
            output.eventTime = .random(in: .min ... .max, using: &random)
            output.attributes["n"] = .number(Double(bitPattern: .random(in: 0...(.max), using: &random)))
            output.attributes["i"] = .integer(.random(in: .min ... .max, using: &random))
            guard case .number(let number)? = output.attributes["n"], number.isFinite else { continue }
            #expect(try Self.read(Self.text(output)) == output)
        }
    }

    @Test func numbersKeepTheirKind() throws {
        let output = try Self.read(
            #"{"attributes": {"a": 1, "b": 1.0, "c": 1e0, "d": -9223372036854775808, "e": 9223372036854775808}}"#)
        #expect(output.attributes["a"] == .integer(1))
        #expect(output.attributes["b"] == .number(1))
        #expect(output.attributes["c"] == .number(1))
        #expect(output.attributes["d"] == .integer(.min))
        #expect(output.attributes["e"] == .number(9_223_372_036_854_775_808))
        var infinite = Output()
        infinite.attributes = ["a": .number(.nan), "b": .number(-.infinity), "c": .number(.infinity)]
        #expect(Self.text(infinite) == #"{"attributes": {"a": "NaN", "b": "-Infinity", "c": "Infinity"}}"#)
    }

    @Test func jsonIsTakenWithoutItsWhiteSpace() throws {
        let output = try Self.read(#" { "json" : { "a b" : [ 1.0 , "\ud800 x" ] } } "#)
        #expect(output.payload == Array(#"{"a b":[1.0,"\ud800 x"]}"#.utf8))
        #expect(output.contentType == "application/json")
    }

    @Test(arguments: [
        (#"{"atributes": {}}"#, "no field `atributes` is known"), (#"{"text": "a", "json": 1}"#, "a payload is one of"),
        (#"{"text": "a", "text": "b"}"#, "`text` stands there twice"), (#"{"text": "\udc00"}"#, "half of a surrogate"),
        (#"{"key": 3}"#, "`key` has to be a text"), (#"{"base64": "a"}"#, "`base64` has to be base64"),
        (#"{"event_time": "yesterday"}"#, "`event_time` has to be a time"),
        (#"{"schema_version": -1}"#, "`schema_version` has to be"), (#"[1]"#, "no JSON object"),
        (#"{"attributes": {"a": null}}"#, "`attributes.a` has to be"), (#"{"text": "a"} x"#, "something follows"),
        (#"{"attributes": {"a": 1e999}}"#, "that a double can hold"), ("", "the text ends where"),
    ])
    func whatIsNoRecordIsNamed(_ line: String, _ words: String) {
        do {
            _ = try Self.read(line)
            Issue.record("\(line) was read")
        } catch {
            #expect("\(error)".contains(words), "\(error)")
        }
    }

    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("1969-12-31T23:59:59.999999Z", -1),
            ("2026-01-05T11:30:00.5+01:00", 1_767_609_000_500_000),
            ("2024-02-29T00:00:00.123456789-00:00", 1_709_164_800_123_456),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
            ("2023-02-29T00:00:00Z", nil), ("2026-01-05", nil), ("2026-01-05T10:30:00", nil),
            ("2026-13-05T10:30:00Z", nil),
            ("2026-01-05T10:30:00.1234567890Z", nil), ("2026-01-05T24:00:00Z", nil),
        ] as [(String, Int64?)])
    func timesAreRead(_ text: String, _ microseconds: Int64?) { #expect(Timestamp.parse(text) == microseconds) }

    @Test func timesGoRoundOverTheWholeRange() {
        var random = SplitMix64(seed: 8)
        for _ in 0..<10_000 {
            let time = Int64.random(in: Timestamp.range, using: &random)
            #expect(Timestamp.parse(Timestamp.text(time)) == time)
        }
        #expect(Timestamp.text(Timestamp.range.upperBound) == "9999-12-31T23:59:59.999999Z")
        #expect(Timestamp.text(Timestamp.range.upperBound + 1) == "253402300800000000")
    }
}

/// Held against Python's parser, which everybody's scripts use.
@Suite struct JSONDifferentialTests {
    private static let seeds = [
        #"{"a": [1, -2.5e+10, true, null, "x\u00e9\ud83d\ude00"], "b": {}}"#, #"[[], [0.1e-5], "\"\\\/\b\f\n\r\t"]"#,
        "-0", "1E5",
        #""\ud800""#, "  [1 , 2 ]\n",
    ]

    @Test func thesameTextsAreJSON() throws {
        var random = SplitMix64(seed: 41)
        var texts = Self.seeds.map { Array($0.utf8) }
        let alphabet = Array(#"{}[]",:0123456789.eE+-truefalsn\u "#.utf8)
        for _ in 0..<4000 {
            var text = Array(Self.seeds.randomElement(using: &random)!.utf8)
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let at = Int.random(in: 0...text.count, using: &random)
                let byte = alphabet.randomElement(using: &random)!
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text.insert(byte, at: at)
                case 1: if at < text.count { text[at] = byte }
                default: if at < text.count { text.remove(at: at) }
                }
            }
            texts.append(text)
        }
        let verdicts = try Self.python(texts)
        #expect(verdicts.count == texts.count)
        #expect(verdicts.contains(true) && verdicts.contains(false))
        for (text, isJSON) in zip(texts, verdicts) {
            let ours = (try? JSONScanner.read(text, texts: false)) != nil
            #expect(ours == isJSON, "\(String(decoding: text, as: UTF8.self))")
        }
    }

    /// One base64 line in, one digit out.
    private static func python(_ texts: [[UInt8]]) throws -> [Bool] {
        let program = """
            import base64, json, sys
            def refuse(word): raise ValueError(word)
            for line in sys.stdin:
                try:
                    json.loads(base64.b64decode(line), parse_constant=refuse)
                    print(1)
                except ValueError:
                    print(0)
            """
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", "-c", program]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        let lines = texts.map { Data($0).base64EncodedString() + "\n" }.joined()
        Thread.detachNewThread {
            input.fileHandleForWriting.write(Data(lines.utf8))
            try? input.fileHandleForWriting.close()
        }
        let answer = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return answer.split(separator: 0x0a).map { $0 == Data("1".utf8) }
    }
}
