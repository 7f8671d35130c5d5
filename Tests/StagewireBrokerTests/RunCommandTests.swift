import Foundation
import StagewireModel
import Testing

@testable import StagewireBroker

/// What `stagewire run` prints, and how it ends.
@Suite struct RunCommandTests {
    static let external = """
        pipeline: test
        durability: memory
        limits: {drain: 300ms}
        stages:
          source: {attach: external, source: true}
          sink: {attach: external, from: source}
        """

    /// A source that fails at once and is started again.
    private static let failing = """
        pipeline: test
        stages:
          source: {run: [sh, -c, exit 1], source: true}
          a-stage-with-a-rather-long-name: {attach: external, from: source}
        """

    static var complete: String {
        let source = WorkerEntry.launch("source", count: 1000)
        return """
            pipeline: test
            stages:
              source:
                run: \(source.command)
                source: true
                env: {TEST_WORKER_ROLE: source, TEST_WORKER_COUNT: "1000"}
              transform:
                run: \(source.command)
                from: source
                env: {TEST_WORKER_ROLE: transform}
            """
    }

    /// A finite pipeline of real processes, from the file to the summary.
    @Test func completeRun() async throws {
        let result = try await Program.run(["run", "p.yaml", "--socket", "s", "--json"], Self.complete)
        #expect(result.code == 0)
        #expect(result.error.contains("test: completed after"))
        #expect(result.error.contains(" transform/1 | worker 1 of transform is at work\n"))
        #expect(result.error.contains(" source/1    : attached ("), "labels are aligned")
        #expect(!result.error.contains("\u{1b}"), "no colour and no status line in a file")
        let envelope = try PrintedEnvelope(result.output)
        #expect(envelope.command == "run" && envelope.isOK)
        #expect(envelope.result["end"] as? String == "completed")
        #expect(envelope.stage("source")["out"] as? Int == 1000)
        #expect(envelope.stage("transform")["in"] as? Int == 1000)
        #expect(envelope.stage("transform")["kind"] as? String == "sink")
    }

    /// With `--log-format json` a log collector gets everything: every line is an object with time and level.
    @Test func structuredLog() async throws {
        let result = try await Program.run(["run", "p.yaml", "--socket", "s", "--log-format", "json"], Self.complete)
        #expect(result.code == 0 && result.output == "")
        let lines = try result.error.split(separator: "\n").map { line in
            try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
        let form = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/
        #expect(lines.allSatisfy { ($0["time"] as? String)?.wholeMatch(of: form) != nil && $0["level"] is String })
        #expect(lines.allSatisfy { $0["message"] is String })
        #expect(lines.compactMap { $0["event"] as? String }.filter { $0 != "progress" } == ["started", "ended"])
        let origins = lines.map { [$0["stage"], $0["instance"], $0["stream"]].map { $0 as? String } }
        #expect(origins.contains(["transform", "1", "stdout"]) && origins.contains(["transform", "1", nil]))
        let started = try #require(lines.first?["details"] as? [String: Any])
        #expect((started["control_socket"] as? String)?.hasSuffix("/s.control") == true)
        let ended = try #require(lines.last?["details"] as? [String: Any])
        let out = (ended["stages"] as? [[String: Any]])?.map { $0["out"] as? Int }
        #expect(out == [1000, 1000])
    }

    @Test func banner() async throws {
        try await Program.inDirectory(Self.external) { directory in
            let program = try Program(["run", "p.yaml", "--socket", "s"], in: directory)
            try await program.says("sink < source  (started by somebody else)")
            program.signal(SIGTERM)
            let result = try await program.wait()
            #expect(result.error.contains("  control     \(directory)/s.control\n"))
            #expect(result.error.contains("  durability  memory: what is in flight does not survive the broker\n"))
            #expect(result.error.contains("  state       none: durability is memory\n"))
        }
    }

    @Test func bannerOfADurablePipeline() async throws {
        let pipeline = Self.external.replacing("durability: memory", with: "durability: disk")
        try await Program.inDirectory(pipeline) { directory in
            let program = try Program(["run", "p.yaml", "--socket", "s"], in: directory)
            try await program.says("sink < source  (started by somebody else)")
            program.signal(SIGTERM)
            let result = try await program.wait()
            #expect(result.code == 0)
            #expect(
                result.error.contains("  durability  disk: what is confirmed survives the broker and the machine\n"))
            #expect(result.error.contains("  state       \(directory)/.stagewire/test\n"))
            #expect(result.error.contains("test: stopped after"))
        }
    }

    @Test func quiet() async throws {
        let result = try await Program.run(["run", "p.yaml", "--socket", "s", "--quiet"], Self.complete)
        #expect(result.code == 0)
        #expect(result.error == "" && result.output == "")
    }

    @Test func failureIsInTheEnvelope() async throws {
        // Executable, and in no format that the system knows: found out when it is started.
        let broken = "pipeline: test\nstages:\n  a: {run: [./p.yaml], source: true}\n"
        let result = try await Program.run(["run", "p.yaml", "--socket", "s", "--json"], broken) { directory in
            chmod(directory + "/p.yaml", 0o700)
        }
        #expect(result.code == 3)
        #expect(result.error.contains("error: stage a: cannot start ./p.yaml"))
        let envelope = try PrintedEnvelope(result.output)
        #expect(envelope.codes == ["environment"])
        #expect(envelope.result["end"] as? String == "unavailable", "what there is of a summary")
        let unbound = try await Program.run(["run", "p.yaml", "--socket", "/proc/x/s", "--json"], Self.external)
        #expect(unbound.code == 3)
        #expect(try PrintedEnvelope(unbound.output).codes == ["environment"])
    }

    /// SIGTERM drains: what is in flight is finished, and the exit is a clean one.
    @Test func drainBySignal() async throws {
        try await Program.inDirectory(Self.external) { directory in
            let program = try Program(["run", "p.yaml", "--socket", "s"], in: directory)
            try await program.says("stages")
            let path = directory + "/s"
            async let sink = onThread {
                var numbers: [UInt64] = []
                _ = try Flow.sink(TestWorker(path, stage: "sink"), into: &numbers)
                return numbers.count
            }
            try await onThread {
                let source = try TestWorker(path, stage: "source")
                _ = try source.claim("p")
                try source.emit("p", id: 1, (0..<50).map(Flow.record))
                try source.awaitCommitted(through: 1)
            }
            try await program.says("source/")
            program.signal(SIGTERM)
            #expect(try await sink == 50)
            let result = try await program.wait()
            #expect(result.code == 0)
            #expect(result.error.contains("test: drained after"))
            #expect(result.error.contains("stopping: sources stop, what is in flight is finished, at most 0.3 s"))
        }
    }

    @Test(arguments: [false, true]) func cutShort(bySecondSignal: Bool) async throws {
        let pipeline = bySecondSignal ? Self.external.replacing("300ms", with: "1h") : Self.external
        try await Program.inDirectory(pipeline) { directory in
            let program = try Program(["run", "p.yaml", "--socket", "s", "--json"], in: directory)
            try await program.says("stages")
            let source = try TestWorker(directory + "/s", stage: "source")
            _ = try source.claim("p")
            try source.emit("p", id: 1, (0..<50).map(Flow.record))
            try source.awaitCommitted(through: 1)
            // Nobody reads them, and the source does not leave.
            program.signal(SIGINT)
            try await program.says("stopping")
            if bySecondSignal { program.signal(SIGINT) }
            let result = try await program.wait()
            #expect(result.code == 128 + SIGINT)
            #expect(result.error.contains("warning: 50 records were not settled"))
            let envelope = try PrintedEnvelope(result.output)
            #expect(envelope.codes == ["runtime"])
            #expect(envelope.result["unsettled"] as? Int == 50)
            withExtendedLifetime(source) {}
        }
    }

    // MARK: On a terminal

    /// What a terminal of 60 columns gets, from the start to a drain after the first progress line.
    private func onTerminal(_ arguments: [String], _ environment: [String: String]) async throws -> String {
        let terminal = try PseudoTerminal(columns: 60)
        var text = ""
        try await Program.inDirectory(Self.failing) { directory in
            let program = try Program(
                ["run", "p.yaml", "--socket", "s"] + arguments, in: directory, terminal: terminal,
                environment: ["TERM": "xterm", "NO_COLOR": ""].merging(environment) { $1 })
            try await program.says("starts again")
            if environment["TERM"] != "dumb" { try await program.says("records/s in") }
            program.signal(SIGTERM)
            text = try await program.wait().error
        }
        return text
    }

    @Test func terminal() async throws {
        let text = try await onTerminal([], [:])
        #expect(text.contains("\u{1b}[33mwarning:\u{1b}[0m"), "warnings are yellow")
        #expect(text.contains(#/\u{1b}\[\d\dmsource/1\u{1b}\[0m/#), "and labels have their stage's colour")
        // It stands behind the sequence that clears its line, or behind a log line that it was drawn again under.
        let all = text.replacing("\r\u{1b}[K", with: "\r\n").split(separator: "\r\n")
        let lines = all.filter { $0.contains("records/s in") }
        #expect(!lines.isEmpty && lines.allSatisfy { $0.count < 60 }, "\(lines)")
        #expect(text.hasSuffix("\r\n") && text.contains("test: stopped after"))
        let table = try #require(text.range(of: "test: stopped"))
        #expect(text[..<table.lowerBound].hasSuffix("\r\u{1b}[K"), "the progress line is gone before the table")
    }

    @Test func terminalWithoutColor() async throws {
        for (arguments, environment) in [([], ["NO_COLOR": "1"]), (["--color", "never"], [:])] {
            let text = try await onTerminal(arguments, environment)
            #expect(!text.contains("\u{1b}[3") && text.contains("warning: "))
            #expect(text.contains("\r\u{1b}[K"), "the progress line is no colour")
        }
        let dumb = try await onTerminal([], ["TERM": "dumb"])
        #expect(!dumb.contains("\u{1b}"), "a dumb terminal gets lines")
        let structured = try await onTerminal(["--log-format", "json"], ["TERM": "dumb"])
        #expect(structured.split(separator: "\r\n").allSatisfy { $0.hasPrefix("{") && $0.hasSuffix("}") })
    }
}
