import Foundation
import StagewireConfig
import StagewireModel
import Testing

@Suite struct LoadingTests {
    @Test func defaults() throws {
        let stage = try stages("a: {run: [./a], source: true}")[0]
        var expected = StageDefinition(name: "a", isSource: true)
        expected.launch = Launch(command: ["./a"])
        #expect(stage == expected)
        let pipeline = try parse("pipeline: p\nstages: {a: {run: [./a], source: true}}")
        #expect(pipeline.definition.limits == PipelineLimits())
        #expect(pipeline.definition.durability == .disk)
        #expect(pipeline.socketPath == nil && pipeline.stateDirectory == nil)
    }

    @Test func everyKey() throws {
        let loaded = try parse(Self.full)
        let pipeline = loaded.definition
        #expect(pipeline.name == "sensors")
        #expect(loaded.socketPath == "/srv/p/run/stagewire.sock")
        #expect(loaded.directory == "/srv/p")
        #expect(pipeline.stages.map(\.name) == ["ingest", "score", "audit"])
        let ingest = pipeline.stages[0]
        #expect(ingest.isSource && ingest.ports == ["out", "alerts"] && ingest.workers == 2 && ingest.maxWorkers == 4)
        #expect(ingest.emits == [Schema(name: "sensor.raw", version: 1), Schema(name: "sensor.alert", version: 2)])
        var launch = Launch(
            command: ["./ingest", "--rate", "5", "true"], directory: "/srv/p/work",
            environment: ["LEVEL": "3", "NAME": "a b"])
        (launch.limits.addressSpace, launch.limits.openFiles) = (1 << 30, 64)
        (launch.limits.cpuTime, launch.limits.fileSize) = (.seconds(5400), 4096)
        (launch.limits.coreSize, launch.limits.niceness) = (0, 19)
        #expect(ingest.launch == launch)
        #expect(pipeline.stages[1].launch?.standardStreams == .inherit)
        let score = pipeline.stages[1]
        #expect(score.ordering == .total && score.lease == .seconds(90) && score.crashLimit == 7)
        #expect(score.retry.attempts == 9 && score.retry.jitterPercent == 5 && score.retry.maxAge == nil)
        #expect(score.breaker?.failures == 5 && score.breaker?.window == 9)
        #expect(score.breaker?.pauseFirst == .seconds(2) && score.breaker?.pauseLimit == .seconds(60))
        #expect(score.retry.backoffFirst == .milliseconds(50) && score.retry.backoffLimit == .seconds(120))
        #expect(String(decoding: score.config, as: UTF8.self) == #"{"threshold":3.5,"names":["a",null]}"#)
        #expect(
            score.inputs == [
                InputDefinition(stage: 0, port: 0, overflow: .dropNewest),
                InputDefinition(
                    stage: 0, port: 1, when: .compare("level", .greaterOrEqual, .integer(2)), overflow: .dropOldest),
            ])
        #expect(pipeline.stages[2].launch == nil && pipeline.stages[2].inputs == [InputDefinition(stage: 1)])
        var limits = PipelineLimits()
        (limits.maxRecord, limits.windowBytes, limits.windowRecords) = (65_536, 4_000_000, 5000)
        (limits.maxStepBytes, limits.maxStepRecords) = (131_072, 100)
        (limits.unsettledBytes, limits.unsettledRecords) = (262_144, 64)
        (limits.deadLetterRecords, limits.deadLetterBytes) = (10, 1_048_576)
        (limits.handshake, limits.heartbeat) = (.seconds(1), .milliseconds(500))
        (limits.idle, limits.drain) = (.seconds(2), .zero)
        #expect(pipeline.limits == limits)
    }

    static let full = """
        pipeline: sensors
        durability: memory
        socket: run/stagewire.sock
        limits:
          {max_record: 64KiB, window_bytes: 4MB, window_records: 5000, max_step_bytes: 131072, max_step_records: 100,
           unsettled_bytes: 256 KiB, unsettled_records: 64, dead_letter_records: 10, dead_letter_bytes: 1MiB,
           handshake: 1s, heartbeat: 500ms, idle: 2s, drain: 0s}
        stages:
          audit: {attach: external, from: score}
          ingest:
            run: [./ingest, --rate, 5, true]
            source: true
            workers: 2
            max_workers: 4
            ports: [out, alerts]
            directory: work
            env: {LEVEL: 3, NAME: a b}
            resources:
              {address_space: 1GiB, open_files: 64, cpu_time: 1h30m, file_size: 4KiB, core_size: 0, niceness: 19}
            stdio: log
            emits: [{schema: sensor.raw, version: 1}, {schema: sensor.alert, version: 2}]
          score:
            run: [python3, score.py]
            overflow: drop-newest
            from: [ingest, {stage: ingest, port: alerts, when: level >= 2, overflow: drop-oldest}]
            ordering: total
            lease: 1m30s
            crash_limit: 7
            stdio: inherit
            retry: {attempts: 9, backoff: 50ms..2m, max_age: none, jitter: 5%}
            breaker: {failures: 5, of: 9, pause: 2s..1m}
            config: {threshold: 3.5, names: [a, ~]}
        """

    @Test func lineBreaksAndMarks() throws {
        let crlf = Self.full.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n")
        #expect(try parse(crlf) == parse(Self.full))
        #expect(try parse("\u{FEFF}" + Self.full) == parse(Self.full))
        #expect(complaint("pipeline: p\r\nstages:\r\n  a: {x: 1}\r\n").contains("test.yaml:3:7: unknown key `x`"))
    }

    @Test func numbersThatAreTexts() throws {
        let loaded = try parse("pipeline: 2024\nstages: {\"1\": {run: [./a], source: true}, b: {run: [./b], from: 1}}")
        #expect(loaded.definition.name == "2024")
        #expect(loaded.definition.stages[1].inputs[0].stage == 0)
    }

    @Test func starsInTexts() throws {
        let stage = try stages("a: {run: [find, -name, \"*.txt\", '2*3', a*b], source: true, config: {\"*\": \"**\"}}")[
            0]
        #expect(stage.launch?.command == ["find", "-name", "*.txt", "2*3", "a*b"])
        #expect(String(decoding: stage.config, as: UTF8.self) == #"{"*":"**"}"#)
    }

    @Test func constantBackoff() throws {
        let stage = try stages("s: {run: [x], source: true}\na: {run: [x], from: s, retry: {backoff: 1s}}")[1]
        #expect(stage.retry.backoffFirst == .seconds(1) && stage.retry.backoffLimit == .seconds(1))
        #expect(stage.breaker == BreakerPolicy(), "it has one unless told otherwise")
        let open = try stages("s: {run: [x], source: true}\na: {run: [x], from: s, breaker: none}")[1]
        #expect(open.breaker == nil)
    }

    @Test func longSocketPaths() {
        let text = "pipeline: p\nsocket: \(String(repeating: "x", count: 120))\nstages: {a: {run: [x], source: true}}"
        #expect(complaint(text).contains("test.yaml:2:9: `socket`: the path has 127 bytes"))
    }

    /// Eight bytes are left for the name of the control socket beside it.
    @Test func longestSocketPath() throws {
        func text(_ bytes: Int) -> String {
            "pipeline: p\nsocket: /\(String(repeating: "x", count: bytes - 1))\nstages: {a: {run: [x], source: true}}"
        }
        #expect(try parse(text(95)).socketPath?.utf8.count == 95)
        #expect(complaint(text(96)).contains("has 96 bytes with its directory\n    at most 95"))
    }

    @Test func manyErrorsAreCounted() {
        let keys = (0..<150).map { "k\($0): 1" }.joined(separator: "\n")
        let text = complaint("pipeline: p\nstages: {a: {run: [x], source: true}}\n" + keys)
        #expect(text.hasSuffix("\nand 50 more"))
    }

    @Test func reservedCharacters() {
        #expect(complaint("pipeline: \u{10F000}").contains("test.yaml:1:11: the character U+10F000 cannot stand"))
    }

    @Test func manyDuplicates() {
        let keys = (0..<60).map { "k\($0): 1\nk\($0): 2" }.joined(separator: "\n")
        #expect(complaint("pipeline: p\n" + keys).contains("stands more than once"))
        #expect(complaint("\"\": 1\n\"\": 2").contains("stands more than once"))
        #expect(complaint("? [a]\n: 1\n? [a]\n: 2").contains("test.yaml:3:3: a key has to be a text"))
        #expect(complaint("? []\n: 1\n? []\n: 2").contains("a list or a mapping stands as a key more than once"))
    }

    /// Keys that are no texts have no order, so the first of several duplicates was another one each time. Found by fuzzing.
    @Test func duplicatesOfAllKindsAreNamedAtOnce() {
        let text = "pipeline: p\nstages:\n  s: {[.a1]: 1, un: 1, \u{fffd}k: 1, [.a1]: 2, un: 2, \u{fffd}k: 2, run: [x]}"
        let first = complaint(text)
        #expect(first.contains("the key `un` stands more than once") && first.contains("3:7: a key has to be a text"))
        #expect(first.contains("the key `\u{fffd}k` stands more than once"))
        for _ in 0..<20 { #expect(complaint(text) == first) }
    }

    @Test func oversizeText() {
        #expect(complaint(String(repeating: "#", count: 1_048_577)).contains("larger than 1MiB"))
        #expect(complaint(String(repeating: "#", count: 1_048_576)).contains("the file is empty"))
    }

    @Test func deepNesting() {
        for depth in [33, 900, 100_000] {
            let text = complaint(
                "pipeline: p\nx: " + String(repeating: "[", count: depth) + String(repeating: "]", count: depth))
            #expect(text.contains("nest"), "\(depth)")
        }
    }
}

@Suite struct FileTests {
    private static func withFile(_ bytes: [UInt8], _ body: (String) -> Void) throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("stagewire-\(UUID().uuidString).yaml")
        try Data(bytes).write(to: path)
        defer { try? FileManager.default.removeItem(at: path) }
        body(path.path)
    }

    private static func complaint(_ path: String) -> String {
        do {
            return "directory \(try PipelineFile.load(path: path).directory)"
        } catch {
            return error.description
        }
    }

    @Test func goodFile() throws {
        try Self.withFile(Array("pipeline: p\nstages: {a: {run: [x], source: true}}".utf8)) { path in
            let directory = path[..<path.lastIndex(of: "/")!]
            #expect(Self.complaint(path) == "directory \(directory)")
        }
    }

    @Test func missingFile() {
        #expect(Self.complaint("no/such.yaml") == "no/such.yaml:1:1: the file cannot be read: there is no such file")
    }

    @Test func directoryInsteadOfFile() {
        #expect(Self.complaint("/").hasPrefix("/:1:1: the file cannot be read"))
    }

    @Test func endlessFile() { #expect(Self.complaint("/dev/zero").contains("larger than 1MiB")) }

    @Test func invalidUTF8() throws {
        try Self.withFile(Array("pipeline: p\nname: \u{E4}".utf8) + [0xFF, 0x41]) { path in
            #expect(Self.complaint(path).hasPrefix("\(path):2:8: the file is not valid UTF-8 here"))
        }
    }
}
