import Foundation
import StagewireModel
import Testing

@testable import StagewireBroker

/// What a worker's process is given: limits, directory, program, standard streams.
@Suite struct HostLimitsTests {
    private func pipeline(
        _ command: [String], directory: String? = nil, _ change: (inout Launch) -> Void = { _ in }
    ) -> PipelineDefinition {
        PipelineDefinition.chain {
            var launch = Launch(command: command, directory: directory)
            change(&launch)
            $0.stages[1].launch = launch
        }
    }

    /// Why the run could not begin.
    private func refusal(_ pipeline: PipelineDefinition) async throws -> String {
        let end = try await BrokerFixture(pipeline).finished().end
        guard case .unavailable(let why) = end else { throw Peer.Failure(description: "it began: \(end)") }
        return why
    }

    // MARK: Limits

    @Test func shellSeesItsLimits() async throws {
        let script = "echo limits $(ulimit -v) $(ulimit -n) $(ulimit -t) $(ulimit -f) $(ulimit -c) $(nice); sleep 99"
        let definition = pipeline(["sh", "-c", script]) {
            $0.limits.addressSpace = 512 << 20
            $0.limits.openFiles = 77
            $0.limits.cpuTime = .seconds(60)
            $0.limits.fileSize = 1 << 20
            $0.limits.coreSize = 0
            $0.limits.niceness = 3
        }
        try await BrokerFixture.with(definition) { fixture in
            // Kilobytes, descriptors, seconds, blocks of 512 bytes.
            _ = try await fixture.log.first(containing: "[transform/1] limits 524288 77 60 2048 0 3")
        }
    }

    /// The broker raises its own limit of open files, and workers do not notice.
    @Test func workersGetTheOriginalLimitOfFiles() async throws {
        try await BrokerFixture.with(pipeline(["sh", "-c", "echo files $(ulimit -Sn) $(ulimit -Hn); sleep 99"])) {
            let original = FileLimit.original
            let name = { (limit: rlim_t) in limit == rlim_t.max ? "unlimited" : "\(limit)" }
            _ = try await $0.log.first(containing: "files \(name(original.rlim_cur)) \(name(original.rlim_max))")
            var own = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &own)
            #expect(own.rlim_cur == max(original.rlim_cur, min(original.rlim_max, FileLimit.ceiling)))
        }
    }

    @Test func fileSizeIsKept() async throws {
        let definition = pipeline(["sh", "-c", "exec head -c 100000 /dev/zero >big"]) { $0.limits.fileSize = 4096 }
        try await BrokerFixture.with(definition) { fixture in
            _ = try await fixture.log.first(containing: "was killed by SIGXFSZ (its limit of file size)")
            let attributes = try FileManager.default.attributesOfItem(atPath: fixture.directory + "/big")
            #expect(attributes[.size] as? Int == 4096)
        }
    }

    @Test func processorTimeIsKept() async throws {
        let definition = pipeline(["sh", "-c", "while :; do :; done"]) { $0.limits.cpuTime = .seconds(1) }
        try await BrokerFixture.with(definition) { fixture in
            _ = try await fixture.log.first(containing: "was killed by SIGXCPU (its limit of processor time)")
        }
    }

    @Test func addressSpaceIsKept() async throws {
        let command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=300M", "count=1"]
        try await BrokerFixture.with(pipeline(command) { $0.limits.addressSpace = 64 << 20 }) { fixture in
            _ = try await fixture.log.first(containing: "memory exhausted")
            _ = try await fixture.log.first(containing: "exited with status 1")
        }
    }

    // MARK: Program and directory

    @Test func missingDirectory() async throws {
        let why = try await refusal(pipeline(["sh"], directory: "/no/such/place"))
        #expect(why.contains("stage transform: cannot start sh in /no/such/place: no such directory"))
        #expect(try await refusal(pipeline(["sh"], directory: "/etc/passwd")).contains("that is not a directory"))
    }

    /// A directory that goes away counts like an exit, and so its return is noticed.
    @Test func removedDirectory() async throws {
        let directory = try BrokerFixture.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let script = "echo ready; while [ -d '\(directory)' ]; do sleep 0.02; done; exit 1"
        try await BrokerFixture.with(pipeline(["sh", "-c", script], directory: directory)) { fixture in
            _ = try await fixture.log.first(containing: "ready")
            try FileManager.default.removeItem(atPath: directory)
            let line = try await fixture.log.first(containing: "no such directory")
            #expect(line.contains("[transform/1] cannot start sh") && line.contains("tried again in"))
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
            for _ in 0..<500 where fixture.log.lines.count(where: { $0.contains("ready") }) < 2 {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(fixture.log.lines.count { $0.contains("ready") } >= 2)
        }
    }

    @Test(arguments: [
        ("#!/no/such/interpreter -x\n", "its interpreter /no/such/interpreter (first line) does not exist"),
        ("#!/bin/sh\r\necho\r\n", "(first line) is followed by a carriage return"),
        ("\u{7f}ELF", "A script needs a first line"), ("echo no first line\n", "A script needs a first line"),
    ])
    func brokenScripts(_ text: String, _ words: String) async throws {
        let directory = try BrokerFixture.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try Data(text.utf8).write(to: URL(fileURLWithPath: directory + "/script"))
        chmod(directory + "/script", 0o755)
        let why = try await refusal(pipeline(["./script"], directory: directory))
        #expect(why.contains("stage transform: cannot start ./script in \(directory): ") && why.contains(words))
    }

    /// The PATH of the worker's own environment counts, for a stage's `env` may set it.
    @Test func pathIsThatOfTheWorker() async throws {
        let directory = try BrokerFixture.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try Data("#!/bin/sh\necho found as $0; sleep 99\n".utf8).write(to: URL(fileURLWithPath: directory + "/tool-x"))
        chmod(directory + "/tool-x", 0o644)
        let definition = pipeline(["tool-x"]) { $0.environment = ["PATH": "/nowhere:\(directory):/usr/bin:/bin"] }
        #expect(try await refusal(definition).contains("Is it executable (chmod +x \(directory)/tool-x)?"))
        chmod(directory + "/tool-x", 0o755)
        try await BrokerFixture.with(definition) { fixture in
            _ = try await fixture.log.first(containing: "[transform/1] found as \(directory)/tool-x")
        }
    }

    // MARK: Standard streams

    /// The broker's own, or an empty input and the log; standard error goes into the log either way.
    @Test(arguments: StandardStreams.allCases) func standardStreams(_ streams: StandardStreams) async throws {
        let script = "for n in 0 1; do echo $n is $(readlink /proc/$$/fd/$n) >&2; done; sleep 99"
        let definition = pipeline(["sh", "-c", script]) { $0.standardStreams = streams }
        try await BrokerFixture.with(definition) { fixture in
            let own = try [0, 1].map {
                try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
            }
            let input = streams.hasInput ? own[0] : "/dev/null"
            _ = try await fixture.log.first(containing: "[transform/1] 0 is \(input)")
            let output = try await fixture.log.first(containing: "[transform/1] 1 is ")
            #expect(output.contains(own[1]) == streams.hasOutput, "\(output)")
            #expect(streams.hasOutput || output.contains("1 is pipe:["))
        }
    }
}
