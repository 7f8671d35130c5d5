import Foundation
import StagewireControl
import StagewireModel
import Testing

@testable import StagewireBroker

/// A stage whose every record fails, in real processes: `stagewire run`, a command that misses its model, and a person.
@Suite struct BreakerTests {
    /// Of which it tries five at most in a second, so that a slow machine has half a minute for the repair.
    private static let lineCount = 200

    /// Lines, four at a time, through a command that rejects them as long as `model` is missing, one by one.
    private static func yaml(pause: String) -> String {
        """
        pipeline: sensors
        durability: memory
        limits: {drain: 1s, unsettled_records: 4}
        stages:
          ingest: {run: ["\(Program.path)", stage, file-source], source: true, config: {path: lines.txt}}
          score:
            exec:
              command: [sh, -c, 'cat >line; test -f model || { echo no model >&2; exit 65; }; cat line >>scored.txt']
              output: none
              batch: {records: 1}
            from: ingest
            breaker: {failures: 5, of: 8, pause: \(pause)}
        """
    }

    private static func with(pause: String, _ body: (LivePipeline) async throws -> Void) async throws {
        try await Program.inDirectory(yaml(pause: pause)) { directory in
            let lines = (1...Self.lineCount).map { "line \($0)\n" }.joined()
            try Data(lines.utf8).write(to: URL(fileURLWithPath: directory + "/lines.txt"))
            let pipeline = try await LivePipeline(in: directory)
            defer { if pipeline.program.process.isRunning { pipeline.program.signal(SIGKILL) } }
            try await body(pipeline)
        }
    }

    private static func repair(_ pipeline: LivePipeline) throws {
        try Data().write(to: URL(fileURLWithPath: pipeline.directory + "/model"))
    }

    private static func scored(_ pipeline: LivePipeline) -> Int {
        let bytes = FileManager.default.contents(atPath: pipeline.directory + "/scored.txt") ?? Data()
        return bytes.count { $0 == 0x0a }
    }

    @Test func aPersonRepairsItAndResumes() async throws {
        try await Self.with(pause: "1h") { pipeline in
            try await pipeline.program.says("paused for 1h")
            let error = pipeline.program.error
            #expect(error.contains("5 of its last 5 records were given up on, all of them REJECTED; the last error: "))
            #expect(error.contains("`stagewire resume score` has it go on at once"))
            // What was on its way at that moment may still be given up on.
            let control = pipeline.control
            let paused = try await onThread {
                try ControlPeer(control).status { $0.stages[1].inFlight == 0 && $0.stages[1].queued > 0 }
            }
            #expect(paused.stages[1].obstacle == .breakerOpen && paused.stages[1].queued < Self.lineCount)
            let breaker = try #require(paused.stages[1].breaker)
            #expect(breaker.state == .open && breaker.reason == "REJECTED" && breaker.most == breaker.dead)
            #expect((3500...3600).contains(breaker.seconds ?? 0) && breaker.error.code == 1065)
            let letters = paused.stages[1].deadLetters
            let status = try await pipeline.run("status")
            let sentence = try #require(status.output.split(separator: "\n").first { $0.contains("is paused") })
            #expect(
                sentence.hasPrefix("score is paused with \(paused.stages[1].queued) records waiting: "), "\(sentence)")
            #expect(
                sentence.contains(" of them REJECTED (the last one: ")
                    && sentence.contains("or at once: stagewire resume score"))

            try Self.repair(pipeline)
            #expect(try await pipeline.run("resume", "score").output == "score goes on.\n")
            let run = try await pipeline.program.wait()
            #expect(run.code == 0 && run.error.contains("goes on: asked by"), "\(run.error)")
            #expect(Self.scored(pipeline) == Self.lineCount - letters)
        }
    }

    @Test func itFindsOutByItself() async throws {
        try await Self.with(pause: "100ms..1s") { pipeline in
            try await pipeline.program.says("what it tried was given up on again (REJECTED)")
            try Self.repair(pipeline)
            let run = try await pipeline.program.wait()
            #expect(run.code == 0 && run.error.contains("goes on: what it tried was accepted"), "\(run.error)")
            #expect(Self.scored(pipeline) > 0)
        }
    }

    @Test func aDrainEndsAtItsDeadline() async throws {
        try await Self.with(pause: "1h") { pipeline in
            try await pipeline.program.says("paused for 1h")
            let stop = try await pipeline.run("stop")
            #expect(stop.code == 1 && stop.error.contains("sensors was cut short; "), "\(stop)")
            let run = try await pipeline.program.wait()
            #expect(
                run.error.contains("not settled when the run ended; with durability: memory what is unsettled is gone"))
            #expect(run.error.contains("stage score: was paused by its breaker when the run ended; the last error: "))
        }
    }

    @Test func aDurableStopEndsAtOnce() async throws {
        let yaml = Self.yaml(pause: "1h").replacing("durability: memory", with: "durability: disk")
            .replacing("drain: 1s", with: "drain: 1h")
        try await Program.inDirectory(yaml) { directory in
            let lines = (1...Self.lineCount).map { "line \($0)\n" }.joined()
            try Data(lines.utf8).write(to: URL(fileURLWithPath: directory + "/lines.txt"))
            let pipeline = try await LivePipeline(in: directory)
            try await pipeline.program.says("paused for 1h")
            let stop = try await pipeline.run("stop")
            #expect(stop.code == 0 && stop.output.contains("sensors has stopped; "), "\(stop)")
            let first = try await pipeline.program.wait()
            #expect(first.code == 0)
            // The next run tries anew.
            try Self.repair(pipeline)
            let second = try Program(["run", "p.yaml"], in: directory, environment: ["XDG_RUNTIME_DIR": directory])
            let result = try await second.wait()
            #expect(result.code == 0 && !result.error.contains("paused"), "\(result.error)")
            #expect(Self.scored(pipeline) > 0)
        }
    }
}
