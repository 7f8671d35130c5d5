import Foundation
import StagewireModel
import Testing

@testable import StagewireBroker

/// Workers as real processes: started, watched, replaced, ended.
@Suite struct HostTests {
    private func sink(_ path: String) async throws -> [UInt64] {
        try await onThread {
            var numbers: [UInt64] = []
            _ = try Flow.sink(TestWorker(path, stage: "sink"), into: &numbers)
            return numbers
        }
    }

    private func processes(_ fixture: BrokerFixture, of label: String) -> [pid_t] {
        fixture.log.lines.compactMap { line in
            guard line.contains("[\(label)"), let range = line.range(of: "started as process ") else { return nil }
            return pid_t(line[range.upperBound...])
        }
    }

    @Test func processesDoTheWorkAndEnd() async throws {
        let pipeline = PipelineDefinition.chain {
            $0.stages[0].launch = WorkerEntry.launch("source", count: 5000)
            $0.stages[1].launch = WorkerEntry.launch("transform")
            $0.stages[1].workers = 2
        }
        let fixture = try BrokerFixture(pipeline)
        let complaint = Flow.judge(try await sink(fixture.path), count: 5000)
        #expect(complaint == nil)
        let report = try await fixture.finished()
        #expect(report.end == .completed)
        #expect(report.summary.stages.map(\.crashes) == [0, 0, 0])
        #expect(fixture.log.lines.contains { $0.contains("[transform/2] worker 2 of transform is at work") })
        for pid in processes(fixture, of: "") { #expect(kill(pid, 0) == -1 && errno == ESRCH) }
    }

    /// SIGKILL at random moments, to source and transforms alike: nothing lost, nothing doubled, keys in order.
    /// Four kills for each worker, for the fifth exit within two minutes would end the run.
    @Test func killedWorkers() async throws {
        let seed: UInt64 = 20_260_001
        let pipeline = PipelineDefinition.chain {
            $0.stages[0].launch = WorkerEntry.launch("source", count: 100_000)
            $0.stages[1].launch = WorkerEntry.launch("transform")
            $0.stages[1].workers = 3
            $0.stages[1].crashLimit = 1000
        }
        let fixture = try BrokerFixture(pipeline)
        let killer = Task {
            var random = TestRandom(seed: seed)
            var killed: [String: Set<pid_t>] = [:]
            while !Task.isCancelled {
                try await Task.sleep(for: .milliseconds(Int64(20 + random.next(below: 150))))
                let victim = ["source/1", "transform/1", "transform/2", "transform/3"][Int(random.next(below: 4))]
                guard let pid = processes(fixture, of: victim + "]").last, killed[victim, default: []].count < 4,
                    killed[victim, default: []].insert(pid).inserted
                else { continue }
                // The process group is the worker's own.
                kill(pid, SIGKILL)
            }
        }
        // Nothing ends before there is a sink, so at least one is killed in the middle of it.
        _ = try await fixture.log.first(containing: "was killed by SIGKILL")
        let complaint = Flow.judge(try await sink(fixture.path), count: 100_000)
        killer.cancel()
        #expect(complaint == nil, "seed \(seed)")
        let report = try await fixture.finished()
        #expect(report.end == .completed)
        #expect(report.summary.stages.map(\.dead) == [0, 0, 0])
    }

    /// A record that kills whoever gets it is found by halving, and the rest goes through; the exits that bring
    /// it closer do not trip the breaker.
    @Test func poisonRecordIsFound() async throws {
        let pipeline = PipelineDefinition.chain {
            $0.stages[0].launch = WorkerEntry.launch("source", count: 200)
            $0.stages[1].launch = WorkerEntry.launch("poisoned")
            $0.stages[1].crashLimit = 1
        }
        let fixture = try BrokerFixture(pipeline)
        let numbers = try await sink(fixture.path)
        #expect(Set(numbers) == Set(0..<200).subtracting([77]))
        #expect(numbers.count == 199)
        let report = try await fixture.finished()
        #expect(report.end == .completed)
        #expect(report.summary.stages[1].dead == 1)
    }

    @Test func crashLoopEndsTheRunWithItsFirstCause() async throws {
        let pipeline = PipelineDefinition.chain {
            $0.stages[1].launch = Launch(command: ["sh", "-c", "echo no model >&2; printf 'at \\033[31m' ; exit 3"])
        }
        let fixture = try BrokerFixture(pipeline)
        guard case .failed(let why) = try await fixture.finished().end else {
            Issue.record("the run went on")
            return
        }
        #expect(why.contains("stage transform: worker 1 ended 5 times within 120 s"))
        #expect(why.contains("exited with status 3"))
        #expect(why.contains("no model"))
        // What a worker prints is never a command to the terminal.
        #expect(why.contains("at \\u{1b}[31m"))
    }

    @Test func commandsThatCannotBeStarted() async throws {
        for (command, words) in [
            ("./missing", "Is it built"), ("no-such-command", "Is it installed"), ("/etc/passwd", "Is it executable"),
        ] {
            let pipeline = PipelineDefinition.chain { $0.stages[1].launch = Launch(command: [command]) }
            let fixture = try BrokerFixture(pipeline)
            guard case .unavailable(let why) = try await fixture.finished().end else {
                Issue.record("\(command) was started")
                return
            }
            #expect(why.contains("stage transform: cannot start \(command)"))
            #expect(why.contains(words))
        }
    }

    @Test func theWholeGroupEnds() async throws {
        let pipeline = PipelineDefinition.chain {
            $0.stages[1].launch = Launch(command: ["sh", "-c", "trap '' TERM; sleep 1000 & echo child $!; sleep 1000"])
        }
        let fixture = try BrokerFixture(pipeline)
        let child = try await fixture.log.first(containing: "child ")
        let pid = try #require(pid_t(child.split(separator: " ").last ?? ""))
        #expect(kill(pid, 0) == 0)
        #expect(try await fixture.end().end == .abandoned)
        try await Processes.end([pid])
        #expect(!Processes.isAlive(pid))
    }

    @Test func environmentIsCleaned() async throws {
        let pipeline = PipelineDefinition.chain {
            $0.stages[1].launch = Launch(
                command: [
                    "sh", "-c", "env | grep -E 'STAGEWIRE|KEPT|OWN' | sort; pwd; ls /proc/self/fd | wc -l; sleep 100",
                ],
                directory: "/usr", environment: ["OWN": "yes"])
        }
        let environment = [
            "PATH": "/usr/bin:/bin", "KEPT": "yes", "STAGEWIRE_TOKEN": "another broker's", "STAGEWIRE_OTHER": "x",
        ]
        let fixture = try BrokerFixture(pipeline, environment: environment)
        _ = try await fixture.log.first(containing: "/usr")
        // Standard input, output and error, and the one that `ls` reads the directory with.
        #expect(try await fixture.log.first(containing: "[transform/1] 4").hasSuffix("4"))
        let lines = fixture.log.lines.filter { $0.contains("[transform/1] ") }.joined(separator: "\n")
        #expect(lines.contains("KEPT=yes") && lines.contains("OWN=yes"))
        #expect(lines.contains("STAGEWIRE_SOCKET=\(fixture.path)"))
        #expect(lines.contains("STAGEWIRE_STAGE=transform") && lines.contains("STAGEWIRE_INSTANCE=1"))
        #expect(!lines.contains("STAGEWIRE_OTHER") && !lines.contains("another"))
        _ = try await fixture.end()
    }

    @Test func noisyWorkerIsDrainedAndCut() async throws {
        let pipeline = PipelineDefinition.chain {
            $0.stages[1].launch = Launch(command: [
                "sh", "-c", "yes | head -n 300000; echo at last; sleep 1; echo; sleep 100",
            ])
        }
        let fixture = try BrokerFixture(pipeline)
        let line = try await fixture.log.first(containing: "lines dropped")
        #expect(line.contains("[transform/1]"))
        #expect(fixture.log.lines.count < 10_000)
        _ = try await fixture.end()
    }
}
