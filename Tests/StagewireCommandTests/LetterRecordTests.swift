import Foundation
import StagewireControl
import StagewireStage
import Testing

@testable import stagewire

/// A dead letter as a record in JSON, from what the control API says of it.
@Suite struct LetterRecordTests {
    private static let attributes: [DeadLetterDetail.Attribute] = [
        .init(name: "whole", value: .number(2)), .init(name: "n", value: .integer(.max)),
        .init(name: "zero", value: .number(-0.0)), .init(name: "large", value: .number(1e300)),
        .init(name: "none", value: .number(.nan)), .init(name: "NaN", value: .text("NaN")),
        .init(name: "ok", value: .flag(true)), .init(name: "n", value: .text("the second of a name does not count")),
    ]

    private static func letter(
        payload: [UInt8], contentType: String = "", key: [UInt8] = [], eventMicroseconds: Int64? = nil,
        attributes: [DeadLetterDetail.Attribute] = [], trace: DeadLetterDetail.Trace? = nil
    ) -> DeadLetterDetail {
        let id = "0123456789abcdef0123456789abcdef"
        let summary = DeadLetterSummary(
            stage: "score", number: 17, input: "ingest", port: "out", id: id, reason: "REJECTED", attempts: 3,
            error: .init(code: 1001, name: nil, message: "no number"), time: "2026-11-21T04:05:06.000000Z", key: nil,
            schema: "sensor.raw", schemaVersion: 2, payloadBytes: payload.count, isRetrying: false)
        return DeadLetterDetail(
            letter: summary, contentType: contentType, eventTime: eventMicroseconds.map { _ in "for people" },
            eventMicroseconds: eventMicroseconds, keyBase64: key.isEmpty ? nil : Data(key).base64EncodedString(),
            attributes: attributes, payloadBase64: Data(payload).base64EncodedString(), payloadText: nil, parents: [id],
            hasMoreParents: true, root: id, trace: trace, ingestTime: "2026-11-21T04:05:05.500000Z",
            hops: [
                .init(
                    stage: "ingest", version: "", instance: "1", language: "go", time: "2026-11-21T04:05:05.500001Z",
                    attempt: 2)
            ])
    }

    /// Through the API's own JSON, as the command gets it.
    private static func line(_ letter: DeadLetterDetail) throws -> [UInt8] {
        let answer = ControlJSON.encode(letter)
        return LetterRecord(letter: try ControlJSON.decode(DeadLetterDetail.self, from: answer)).line
    }

    private static func text(_ letter: DeadLetterDetail) throws -> String {
        String(decoding: try line(letter), as: UTF8.self)
    }

    private static let rest =
        #""lineage": {"id": "0123456789abcdef0123456789abcdef", "root": "0123456789abcdef0123456789abcdef", "#
        + #""parents": ["0123456789abcdef0123456789abcdef"], "parents_truncated": true, "#
        + #""ingest_time": "2026-11-21T04:05:05.500000Z", "hops": [{"stage": "ingest", "instance": "1", "#
        + #""language": "go", "time": "2026-11-21T04:05:05.500001Z", "attempt": 2}]}, "attempt": 3}"#

    @Test func everythingIsThere() throws {
        let letter = Self.letter(
            payload: Array(#"{"a": 1.50}"#.utf8), contentType: "application/json", key: Array("k".utf8),
            eventMicroseconds: 1_795_233_905_000_000, attributes: [.init(name: "unit", value: .text("C"))])
        let authored =
            #"{"key": "k", "json": {"a": 1.50}, "schema": "sensor.raw", "schema_version": 2, "#
            + #""content_type": "application/json", "event_time": "2026-11-21T04:05:05.000000Z", "#
            + #""attributes": {"unit": "C"}, "#
        #expect(try Self.text(letter) == authored + Self.rest)
        let traced = Self.letter(payload: [], trace: .init(traceparent: "00-4b-00-01", tracestate: "v=1"))
        #expect(try Self.text(traced).contains(#""trace": {"traceparent": "00-4b-00-01", "tracestate": "v=1"}"#))
    }

    /// A stage that reads it gets what the record had.
    @Test func kindsAndBytesStay() throws {
        let key: [UInt8] = [0xff, 0x00]
        let payload = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let letter = Self.letter(payload: payload, key: key, eventMicroseconds: .min, attributes: Self.attributes)
        let output = try RecordJSON.read(try Self.line(letter))
        #expect(output.payload == payload && output.key == key && output.eventTime == .min)
        #expect(output.attributes["whole"] == .number(2) && output.attributes["n"] == .integer(.max))
        #expect(output.attributes["zero"] == .number(-0.0) && output.attributes["large"] == .number(1e300))
        // JSON has no such number: docs/RECORD_JSON.md.
        #expect(output.attributes["none"] == .text("NaN") && output.attributes["NaN"] == .text("NaN"))
        #expect(output.attributes["ok"] == .flag(true) && output.attributes.count == 7)
    }

    /// A broker of before says neither kinds nor microseconds.
    @Test func anOlderBrokerIsUnderstood() throws {
        let answer = String(
            decoding: ControlJSON.encode(
                Self.letter(payload: [], eventMicroseconds: 1, attributes: [.init(name: "n", value: .integer(3))])),
            as: UTF8.self)
        let older = answer.replacing("\"for people\"", with: "\"2026-11-21T04:05:05.000000Z\"")
            .replacing("  \"event_microseconds\" : 1,\n", with: "").replacing("\"kind\" : \"integer\",", with: "")
        #expect(older.count < answer.count)
        let letter = try ControlJSON.decode(DeadLetterDetail.self, from: Data(older.utf8))
        let output = try RecordJSON.read(LetterRecord(letter: letter).line)
        #expect(output.eventTime == 1_795_233_905_000_000 && output.attributes["n"] == .integer(3))
    }
}
