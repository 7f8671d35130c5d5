import Foundation
import StagewireControl
import Testing

/// What others read must not change its shape: `Golden/*.json` holds one of each message. Within version 1 fields may be
/// added; then `STAGEWIRE_GOLDEN=write swift test --filter ShapeTests` writes the files anew. Read the difference.
@Suite struct ShapeTests {
    private static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Golden")

    private func check<Value: Codable & Equatable>(_ name: String, _ value: Value) throws {
        let file = Self.directory.appendingPathComponent("\(name).json")
        let bytes = ControlJSON.encode(value)
        if ProcessInfo.processInfo.environment["STAGEWIRE_GOLDEN"] == "write" { try Data(bytes).write(to: file) }
        let golden = try Data(contentsOf: file)
        #expect(String(decoding: bytes, as: UTF8.self) == String(decoding: golden, as: UTF8.self))
        #expect(try ControlJSON.decode(Value.self, from: golden) == value)
        // A later version's fields are passed over.
        let more = String(decoding: golden, as: UTF8.self).replacing("{", with: "{\"a_later_field\": [1], ")
            // Names of attributes are not fields.
            .replacing("\"attributes\" : {\"a_later_field\": [1], ", with: "\"attributes\" : {")
        #expect(try ControlJSON.decode(Value.self, from: Data(more.utf8)) == value)
    }

    @Test func information() throws {
        try check("information", BrokerInformation(stagewire: "0.1.0", protocol: "1.0", pipeline: "sensors", pid: 4242))
    }

    @Test func problem() throws {
        try check(
            "problem",
            ControlProblem.Body(ControlProblem(.notFound, "there is no stage x", hint: "there are ingest, score")))
        for code in ControlProblem.Code.allCases { #expect((400..<500).contains(code.status)) }
    }

    @Test func stopAndEnd() throws {
        try check("stop-request", StopRequest(mode: .now, wait: true))
        try check("stop-answer", StopAnswer(state: .draining, deadlineSeconds: 29.5))
        try check("end", EndAnswer(outcome: .failed, message: "stage score: worker 1 ended 5 times", unsettled: 7))
    }

    @Test func resume() throws {
        try check("resume-request", ResumeRequest(stage: "score"))
        try check("resume", ResumeAnswer(stage: "score", resumed: true))
    }

    @Test func replay() throws {
        try check("replay-request", ReplayRequest(stage: "score", input: "clean", time: "2026-11-28T09:30:00Z"))
        try check("replay", ReplayAnswer(stage: "score", input: "clean", from: 1500, records: 500, waitsFor: 3))
    }

    @Test func edit() throws {
        try check("edit-request", DeadLetterEdit(recordBase64: "GgF4"))
        try check(
            "edit", DeadLetterEdited(stage: "score", number: 17, id: "37842b57d6e06ceab2c7b2dec91ef6eb"))
    }

    /// Every condition has a name as a parameter and one in JSON, and comes back from both.
    @Test func conditions() {
        let filter = DeadLetterFilter(
            reason: "REJECTED", key: "", schema: "s", error: "e", givenUpAfter: "a", givenUpBefore: "b",
            attributes: ["x": "1=2", "y": ""])
        let parameters = Dictionary(
            filter.query.filter { $0.name != DeadLetterFilter.attributeParameter }.map { ($0.name, $0.value) }
        ) { first, _ in first }
        let names = Set(parameters.keys).union([DeadLetterFilter.attributeParameter])
        #expect(names == Set(DeadLetterFilter.parameters))
        #expect(filter.query.filter { $0.name == "attribute" }.map(\.value) == ["x=1=2", "y="])
        #expect(DeadLetterFilter(query: { parameters[$0] }, attributes: ["x": "1=2", "y": ""]) == filter)
        #expect(DeadLetterFilter().isEmpty && DeadLetterFilter(attributes: [:]).isEmpty)
        #expect(!DeadLetterFilter(key: "").isEmpty && !filter.isEmpty)
        #expect(DeadLetterSelection.keys.count == 3 + DeadLetterFilter.keys.count)
    }

    @Test func status() throws {
        let input = StageStatus.Input(
            stage: "ingest", port: "out", when: "level == \"high\"", queued: 5, inFlight: 6, deadLetters: 7)
        let workers = [
            WorkerStatus(
                instance: "1", state: .attached, pid: 4243, version: "1.2", language: "python", inFlight: 6,
                creditRecords: 90, creditBytes: .max, attachedSeconds: 12.25, restarts: 1,
                lastExit: "was killed by SIGSEGV"),
            WorkerStatus(instance: "2", state: .waiting),
        ]
        let stage = StageStatus(
            name: "score", kind: .transform, state: .running, obstacle: .deadLettersFull,
            breaker: .init(
                state: .open, seconds: 29.5, dead: 50, of: 62, reason: "REJECTED", most: 48,
                error: .init(code: 300, name: "REJECTED", message: "no model")),
            inputs: [input], ports: ["out", "odd"], workers: workers, workersWanted: 2, in: 11, out: 12, filtered: 13,
            retried: 14,
            dead: 15, dropped: 16, unmatched: 17, crashes: 18, delivered: 19, inFlight: 6, queued: 5, deadLetters: 7,
            creditRecords: 90, creditBytes: .max)
        try check(
            "status",
            PipelineStatus(
                pipeline: "sensors", state: .draining, durability: "memory", pid: 4242, stagewire: "0.1.0",
                socket: "/run/sensors.sock", controlSocket: "/run/sensors.control.sock", stateDirectory: "/var/lib/x",
                startedAt: "2026-11-21T04:05:06.000007Z", uptimeSeconds: 20.5, drainSeconds: 29.5, bytes: 4096,
                stages: [stage]))
    }

    private let letter = DeadLetterSummary(
        stage: "score", number: 17, input: "ingest", port: "out", id: "00112233445566778899aabbccddeeff",
        reason: "REJECTED", attempts: 3, error: .init(code: 1001, name: nil, message: "not a number"),
        time: "2026-11-21T04:05:06.000007Z", key: "sensor-3", schema: "sensor.raw", schemaVersion: 1, payloadBytes: 2,
        isRetrying: true)

    @Test func deadLetters() throws {
        try check("dead-letters", DeadLetterPage(letters: [letter], total: 2, next: 17))
        let filter = DeadLetterFilter(
            reason: "REJECTED", key: "sensor-3", schema: "sensor.raw", error: "no such table",
            givenUpAfter: "2026-11-21T04:05:06.000007Z", givenUpBefore: "2026-11-21T05:00:00Z",
            attributes: ["level": "high", "n": "7"])
        try check(
            "selection", DeadLetterSelection(stage: "score", numbers: [17, 18], filter: filter, all: false))
        try check("change", DeadLetterAnswer(changed: 1, waiting: 2, missing: [18]))
    }

    @Test func deadLetter() throws {
        let attributes: [DeadLetterDetail.Attribute] = [
            .init(name: "level", value: .text("high")), .init(name: "n", value: .integer(.min)),
            .init(name: "x", value: .number(0.5)), .init(name: "ok", value: .flag(true)),
        ]
        try check(
            "dead-letter",
            DeadLetterDetail(
                letter: letter, contentType: "text/plain", eventTime: "2026-11-21T04:05:05.000000Z",
                eventMicroseconds: 1_795_233_905_000_000,
                keyBase64: "c2Vuc29yLTM=", attributes: attributes, payloadBase64: "aGk=", payloadText: "hi",
                parents: ["ffeeddccbbaa99887766554433221100"], hasMoreParents: false,
                root: "ffeeddccbbaa99887766554433221100",
                trace: .init(traceparent: "00-4bf9-00f0-01", tracestate: "v=1"),
                ingestTime: "2026-11-21T04:05:05.500000Z",
                hops: [
                    .init(
                        stage: "ingest", version: "1.2", instance: "1", language: "rust",
                        time: "2026-11-21T04:05:05.500000Z", attempt: 1)
                ]))
    }

    /// JSON has no numbers for them; an attribute may hold them all the same.
    @Test func numbersThatJSONDoesNotHave() throws {
        let bytes = ControlJSON.encode([
            DeadLetterDetail.Value.number(.nan), .number(.infinity), .number(-.infinity),
        ])
        let values = try ControlJSON.decode([DeadLetterDetail.Value].self, from: bytes)
        #expect(values == [.text("NaN"), .text("Infinity"), .text("-Infinity")])
    }

    @Test func pathBesides() {
        #expect(ControlAPI.socketPath(besides: "/run/x.sock") == "/run/x.control.sock")
        #expect(ControlAPI.socketPath(besides: "/run/x") == "/run/x.control")
        for path in ["x", "x.sock", ".sock"] {
            #expect(ControlAPI.socketPath(besides: path).utf8.count == path.utf8.count + ControlAPI.extraPathBytes)
        }
    }
}
