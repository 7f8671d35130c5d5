import Foundation
import StagewireModel
import Testing

@testable import StagewireBroker

/// Workers that do everything wrong, as real processes: each is named, replaced or ended, and the broker goes on.
@Suite struct HostBadWorkerTests {
    /// The transform of the chain is `sh -c script`.
    private func shell(_ script: String, _ change: (inout Launch) -> Void = { _ in }) -> PipelineDefinition {
        PipelineDefinition.chain {
            var launch = Launch(command: ["sh", "-c", script])
            change(&launch)
            $0.stages[1].launch = launch
        }
    }

    private func with(
        _ pipeline: PipelineDefinition, timing: (inout HostTiming) -> Void = { _ in },
        _ body: (BrokerFixture) async throws -> Void
    ) async throws {
        let fixture = try BrokerFixture(pipeline, timing: timing)
        do {
            try await body(fixture)
        } catch {
            _ = try await fixture.end()
            throw error
        }
        _ = try await fixture.end()
    }

    private func pid(in line: String) throws -> pid_t {
        try #require(pid_t(line.split(separator: " ").last ?? ""))
    }

    // MARK: Ends

    @Test func exitsAtOnce() async throws {
        // However late somebody looks, it has not been started again.
        try await with(shell("exit 0"), timing: { $0.firstRestart = .seconds(3600) }) { fixture in
            let line = try await fixture.log.first(containing: "starts again")
            #expect(line.contains("[transform/1] exited with status 0 before it attached; it starts again in "))
            let worker = try await fixture.workers(1)[0]
            #expect(worker.lastExit == "exited with status 0" && worker.instance == "1")
            #expect(worker.phase == .waiting && worker.pid == nil)
            #expect(try await fixture.workers(0) == [])
        }
    }

    @Test func leavesWithoutAGoodbye() async throws {
        let pipeline = PipelineDefinition.chain { $0.stages[1].launch = WorkerEntry.launch("leaver") }
        try await with(pipeline) { fixture in
            let line = try await fixture.log.first(containing: "without a goodbye")
            #expect(
                line.contains("[transform/1] exited with status 0 without a goodbye (Close) although there is work"))
        }
    }

    @Test(arguments: [("SEGV", SIGSEGV), ("ABRT", SIGABRT), ("BUS", SIGBUS)])
    func crashes(_ name: String, _ signal: Int32) async throws {
        try await with(shell("kill -\(name) $$")) { fixture in
            _ = try await fixture.log.first(containing: "[transform/1] was killed by SIG\(name) before it attached")
            #expect(try await fixture.workers(1)[0].lastExit == "was killed by SIG\(name)")
            _ = signal
        }
    }

    @Test(arguments: [("no-such-command", 127, "not found"), ("/etc/passwd", 126, "not executable")])
    func statusOfTheShell(_ command: String, _ status: Int, _ hint: String) async throws {
        try await with(shell("\(command); exit $?")) { fixture in
            let line = try await fixture.log.first(containing: "starts again")
            #expect(line.contains("exited with status \(status)") && line.contains(hint))
        }
    }

    // MARK: Does not end

    /// SIGKILL comes after the deadline and not before.
    @Test func ignoresTermination() async throws {
        let pipeline = shell("trap '' TERM; echo ready $$; while :; do sleep 1; done")
        let fixture = try BrokerFixture(pipeline) { $0.killGrace = .milliseconds(300) }
        let pid = try pid(in: try await fixture.log.first(containing: "ready "))
        fixture.broker.drain()
        _ = try await fixture.finished()
        #expect(fixture.log.lines.contains { $0.contains("[transform/1] did not end by SIGTERM: it gets SIGKILL") })
        #expect(!Processes.isAlive(pid))
    }

    @Test func hasTimeToEnd() async throws {
        let fixture = try BrokerFixture(
            shell("trap 'sleep 0.2; echo going; exit 0' TERM; echo ready; sleep 1000 & wait"))
        _ = try await fixture.log.first(containing: "ready")
        fixture.broker.drain()
        _ = try await fixture.finished()
        #expect(fixture.log.lines.contains { $0.contains("[transform/1] going") })
        #expect(!fixture.log.lines.contains { $0.contains("SIGKILL") })
    }

    /// Pipes and the connection are open in a child that nobody knows.
    @Test(arguments: [false, true]) func leavesChildren(holdingTheSocket: Bool) async throws {
        let pipeline =
            holdingTheSocket
            ? PipelineDefinition.chain { $0.stages[1].launch = WorkerEntry.launch("parent") }
            : shell("sleep 1000 & echo child $!; exit 3")
        try await with(pipeline) { fixture in
            let child = try pid(in: try await fixture.log.first(containing: "child "))
            _ = try await fixture.log.first(containing: "starts again")
            try await Processes.end([child])
            for _ in 0..<500 where fixture.log.lines.count(where: { $0.contains("started as process") }) < 2 {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(try await fixture.workers(1)[0].restarts >= 1)
        }
    }

    @Test func isStopped() async throws {
        let pipeline = shell("echo ready; kill -STOP $$; sleep 1000")
        let fixture = try BrokerFixture(pipeline) { $0.attachReminder = .milliseconds(200) }
        let line = try await fixture.log.first(containing: "has not attached yet")
        #expect(line.contains("its process is stopped; `kill -CONT "))
        fixture.broker.drain()
        _ = try await fixture.finished()
        // It went on to receive its SIGTERM.
        #expect(!fixture.log.lines.contains { $0.contains("SIGKILL") })
    }

    // MARK: Does nothing

    @Test func neverConnects() async throws {
        let patience: (inout HostTiming) -> Void = {
            $0.attachReminder = .milliseconds(1100)
            $0.attachReminderInterval = .milliseconds(100)
        }
        try await with(shell("sleep 1000"), timing: patience) { fixture in
            let line = try await fixture.log.first(containing: "has not attached yet")
            #expect(line.contains("warning: [transform/1] runs for 1 s"))
            #expect(line.contains("does it connect to STAGEWIRE_SOCKET and send Hello?"))
            for _ in 0..<500 where fixture.log.lines.count(where: { $0.contains("has not attached yet") }) < 3 {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(fixture.log.lines.count { $0.contains("has not attached yet") } >= 3)
            #expect(try await fixture.workers(1)[0].phase == .starting)
        }
    }

    @Test func grantsNoCredit() async throws {
        let patience: (inout HostTiming) -> Void = {
            $0.stallLook = .milliseconds(50)
            $0.stallPatience = .milliseconds(100)
        }
        try await with(.chain(), timing: patience) { fixture in
            let path = fixture.path
            let sink = try TestWorker(path, stage: "transform", instance: "idle")
            try await onThread {
                let source = try TestWorker(path, stage: "source")
                _ = try source.claim("p")
                try source.emit("p", id: 1, [TestRecord(payload: [1])])
                try source.awaitCommitted(through: 1)
            }
            let line = try await fixture.log.first(containing: "granted no credit")
            #expect(line.contains("[transform/idle] attached for ") && line.contains("1 record waits"))
            try sink.allow()
            _ = try await fixture.log.first(containing: "[transform] goes on after ")
            #expect(fixture.log.lines.count { $0.contains("granted no credit") } == 1)
        }
    }

    // MARK: Prints

    @Test func neverEndsItsLine() async throws {
        try await with(shell("head -c 8000000 /dev/zero | tr '\\0' x >&2; echo; echo done; sleep 1000")) { fixture in
            _ = try await fixture.log.first(containing: "done")
            let long = fixture.log.lines.filter { $0.contains("xxx") }
            #expect(long.count == 1 && long[0].utf8.count < Limits.text + 100)
            #expect(long[0].hasSuffix("…"))
        }
    }

    @Test func printsBinary() async throws {
        let script =
            #"printf 'a\0b\377c\033[2J\033]0;title\007\r\342\200\256d\n'; head -c 20000 /dev/urandom; echo; echo done; sleep 99"#
        try await with(shell(script)) { fixture in
            _ = try await fixture.log.first(containing: "done")
            _ = try await fixture.log.first(
                containing: "a\\u{0}b\u{fffd}c\\u{1b}[2J\\u{1b}]0;title\\u{7}\\u{d}\\u{202e}d")
            for line in fixture.log.lines {
                #expect(!line.unicodeScalars.contains { $0.properties.generalCategory == .control })
            }
        }
    }
}
