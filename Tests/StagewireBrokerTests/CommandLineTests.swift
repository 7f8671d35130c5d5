import Foundation
import StagewireModel
import Testing

@testable import StagewireBroker

/// The `stagewire` program as a user meets it: exit codes and what it prints.
@Suite struct CommandLineTests {
    private static let external = """
        pipeline: test
        limits: {drain: 300ms}
        stages:
          source: {attach: external, source: true}
          sink: {attach: external, from: source}
        """

    @Test func version() async throws {
        let result = try await Program.run(["version"])
        #expect(result.code == 0)
        #expect(result.output.contains("protocol 1.0"))
    }

    @Test func help() async throws {
        let result = try await Program.run(["run", "--help"])
        #expect(result.code == 0)
        #expect(result.output.contains("USAGE: stagewire run"))
    }

    @Test(arguments: [["run"], ["nonsense"], ["run", "p.yaml", "--nonsense"]])
    func wrongUsage(_ arguments: [String]) async throws {
        let result = try await Program.run(arguments, Self.external)
        #expect(result.code == 2)
        #expect(result.error.contains("sage: stagewire") && result.output == "")
    }

    @Test func check() async throws {
        let result = try await Program.run(["check", "p.yaml"], Self.external)
        #expect(result.code == 0)
        #expect(result.output.contains("pipeline test is right: 2 stages"))
        #expect(result.output.contains("\nsum "))
    }

    @Test func wrongPipeline() async throws {
        for command in ["check", "run"] {
            let wrong = try await Program.run([command, "p.yaml"], "pipeline: test\nstages:\n  a: {from: b}\n")
            #expect(wrong.code == 2)
            #expect(wrong.error.contains("p.yaml:3:"))
            #expect(try await Program.run([command, "missing.yaml"]).code == 2)
        }
    }

    @Test func commandThatCannotBeStarted() async throws {
        let result = try await Program.run(
            ["run", "p.yaml", "--socket", "s"], "pipeline: test\nstages:\n  a: {run: [./missing], source: true}\n")
        #expect(result.code == 2)
        #expect(result.error.hasPrefix("p.yaml:3:13: stage `a`: `run`: there is no program `./missing`\n"))
    }

    @Test func socketInUse() async throws {
        try await Program.inDirectory(Self.external) { directory in
            let first = try Program(["run", "p.yaml", "--socket", "s"], in: directory)
            try await first.says("stages")
            try FileManager.default.createDirectory(atPath: directory + "/2", withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: directory + "/p.yaml", toPath: directory + "/2/p.yaml")
            let second = try await Program(["run", "p.yaml", "--socket", "../s"], in: directory + "/2").wait()
            #expect(second.code == 3)
            #expect(second.error.contains("in use"))
            first.signal(SIGTERM)
            #expect(try await first.wait().code == 0)
            #expect(access(directory + "/s", F_OK) != 0)
        }
    }

    /// A finite pipeline of real processes, from the file to the summary.
    @Test func completeRun() async throws {
        let source = WorkerEntry.launch("source", count: 1000)
        let pipeline = """
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
        let result = try await Program.run(["run", "p.yaml", "--socket", "s", "--json"], pipeline)
        #expect(result.code == 0)
        #expect(result.error.contains("test: completed after"))
        #expect(result.error.contains("[transform/1] worker 1 of transform is at work"))
        let summary = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
        let stages = summary?["stages"] as? [[String: Any]]
        #expect(stages?.map { $0["emitted"] as? Int } == [1000, 1000])
        #expect(summary?["end"] as? String == "completed")
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
            try await program.says("[source/")
            program.signal(SIGTERM)
            #expect(try await sink == 50)
            let result = try await program.wait()
            #expect(result.code == 0)
            #expect(result.error.contains("test: drained after"))
        }
    }

    @Test(arguments: [false, true]) func cutShort(bySecondSignal: Bool) async throws {
        let pipeline = bySecondSignal ? Self.external.replacing("300ms", with: "1h") : Self.external
        try await Program.inDirectory(pipeline) { directory in
            let program = try Program(["run", "p.yaml", "--socket", "s"], in: directory)
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
            #expect(result.error.contains("WARNING: 50 records were not settled"))
            withExtendedLifetime(source) {}
        }
    }

    /// With descriptors used up, nobody spins and nobody falls over: who waits is served when some are free again.
    @Test func descriptorsRunOut() async throws {
        try await Program.inDirectory(Self.external) { directory in
            let program = try Program(["run", "p.yaml", "--socket", "s"], in: directory)
            try await program.says("stages")
            program.limitFiles(40)
            var peers = try (0..<60).map { _ in try Peer(directory + "/s") }
            try await program.says("cannot accept a connection")
            peers.removeAll()
            let worker = try Peer(directory + "/s")
            _ = try worker.attach("sink")
            try worker.barrier()
            program.signal(SIGTERM)
            #expect(try await program.wait().code == 0)
        }
    }
}
