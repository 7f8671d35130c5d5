import Foundation
import StagewireModel
import Testing

@testable import StagewireBroker

/// Nothing of a broker outlives it, whatever ends it.
@Suite struct HostGuardianTests {
    /// A worker that ignores SIGTERM and the end of its input, with a child that does the same.
    private static let stubborn = """
        pipeline: test
        limits: {drain: 300ms}
        stages:
          source:
            run: [sh, -c, "trap '' TERM HUP; (while :; do sleep 0.1; done) & echo pids $$ $!; while :; do sleep 0.1; done"]
            source: true
          sink: {attach: external, from: source}
        """

    private func pids(_ program: Program) async throws -> [pid_t] {
        try await program.says("source/1 | pids ")
        let line = try #require(program.error.split(separator: "\n").first { $0.contains("source/1 | pids ") })
        let pids = line.split(separator: " ").suffix(2).compactMap { pid_t($0) }
        try #require(pids.count == 2 && pids.allSatisfy(Processes.isAlive))
        return pids
    }

    /// It gives itself its name, which on a busy machine may come later than the first words of a worker.
    private func guardian(of program: Program) async throws -> pid_t {
        var found: [pid_t] = []
        for _ in 0..<500 where found.isEmpty {
            found = Processes.children(of: program.process.processIdentifier, named: "stagewire-guard")
            if found.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        }
        #expect(found.count == 1)
        return try #require(found.first)
    }

    @Test func killedBrokerLeavesNothing() async throws {
        try await Program.inDirectory(Self.stubborn) { directory in
            let program = try Program(["run", "p.yaml", "--socket", "s"], in: directory)
            let left = try await pids(program) + [guardian(of: program)]
            program.signal(SIGKILL)
            #expect(try await program.wait().code == -SIGKILL)
            try await Processes.end(left)
            #expect(access(directory + "/s", F_OK) != 0)
        }
    }

    /// One that is started at once on the same path keeps its socket and its workers.
    @Test func successorIsNotDisturbed() async throws {
        try await Program.inDirectory(Self.stubborn) { directory in
            let first = try Program(["run", "p.yaml", "--socket", "s"], in: directory)
            let left = try await pids(first) + [guardian(of: first)]
            first.signal(SIGKILL)
            _ = try await first.wait()
            try FileManager.default.createDirectory(atPath: directory + "/2", withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: directory + "/p.yaml", toPath: directory + "/2/p.yaml")
            let second = try Program(["run", "p.yaml", "--socket", "../s"], in: directory + "/2")
            let own = try await pids(second)
            try await Processes.end(left)
            let worker = try Peer(directory + "/s")
            _ = try worker.attach("sink")
            #expect(own.allSatisfy(Processes.isAlive))
            let guardian = try await guardian(of: second)
            second.signal(SIGKILL)
            _ = try await second.wait()
            try await Processes.end(own + [guardian])
        }
    }

    /// A guardian that dies is replaced, and the new one knows everything.
    @Test func guardianIsReplaced() async throws {
        try await Program.inDirectory(Self.stubborn) { directory in
            let program = try Program(["run", "p.yaml", "--socket", "s"], in: directory)
            let left = try await pids(program)
            kill(try await guardian(of: program), SIGKILL)
            try await program.says("the guardian of this broker was killed by SIGKILL; another one takes its place")
            let next = try await guardian(of: program)
            program.signal(SIGKILL)
            _ = try await program.wait()
            try await Processes.end(left + [next])
            #expect(access(directory + "/s", F_OK) != 0)
        }
    }

    /// Without a guardian the kernel still sends SIGTERM to the workers.
    @Test func kernelTellsTheWorkers() async throws {
        let pipeline = Self.stubborn.replacing("trap '' TERM HUP; ", with: "")
        try await Program.inDirectory(pipeline) { directory in
            let program = try Program(["run", "p.yaml", "--socket", "s"], in: directory)
            let workers = try await pids(program)
            let guardian = try await guardian(of: program)
            kill(guardian, SIGSTOP)
            defer { kill(guardian, SIGCONT) }
            program.signal(SIGKILL)
            _ = try await program.wait()
            try await Processes.end([workers[0]])
            kill(guardian, SIGCONT)
            try await Processes.end([workers[1], guardian])
        }
    }

    @Test func nothingStaysAfterAnOrderlyEnd() async throws {
        let fixture = try BrokerFixture(.chain())
        let other = try BrokerFixture(.chain())
        let pid = try await guardianPid(fixture.broker)
        #expect(Processes.isAlive(pid))
        // The other one's guardian was forked later, with everything of the first broker still open.
        _ = try await fixture.end()
        #expect(!Processes.isAlive(pid))
        #expect(!fixture.log.lines.contains { $0.contains("guardian") })
        _ = try await other.end()
    }

    private func guardianPid(_ broker: Broker) async throws -> pid_t {
        let lifecycle = broker.lifecycle
        return try #require(try await broker.group.next().submit { lifecycle.value.guardian.pid }.get())
    }

    // MARK: What it knows

    /// Makes the guardian of a broker of its own believe that the broker is gone, and waits for it.
    private func afterTheEnd(_ prepare: @escaping @Sendable (Guardian) throws -> Void) async throws {
        let fixture = try BrokerFixture(.chain())
        let lifecycle = fixture.broker.lifecycle
        try await fixture.broker.group.next().submit { try prepare(lifecycle.value.guardian) }.get()
        _ = try await fixture.end()
    }

    /// A process in a group of its own that nobody but the guardian knows.
    private func sleeper() throws -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Threads of the test's own pool block all signals.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
        let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("1000"), nil]
        var pid = pid_t()
        try #require(posix_spawn(&pid, "/bin/sleep", nil, &attributes, arguments, environ) == 0)
        return pid
    }

    @Test func endsWhatWasNotRemoved() async throws {
        let (group, process, removed) = (try sleeper(), try sleeper(), try sleeper())
        try await afterTheEnd { guardian in
            guardian.add(.group(group))
            guardian.add(.process(process))
            guardian.add(.group(removed))
            guardian.remove(.group(removed))
        }
        try await Processes.end([group, process])
        #expect(Processes.isAlive(removed))
        kill(removed, SIGKILL)
        for pid in [group, process, removed] { waitpid(pid, nil, 0) }
    }

    /// More at once than the kernel keeps, to a guardian that takes them and to one that stands still.
    @Test(arguments: [false, true]) func manyTargets(isStopped: Bool) async throws {
        let fixture = try BrokerFixture(.chain())
        let pid = try await guardianPid(fixture.broker)
        if isStopped { kill(pid, SIGSTOP) }
        let lifecycle = fixture.broker.lifecycle
        // Numbers that no process can have.
        let targets = (0..<1024).map { Guardian.Target.group(8_000_000 + $0) }
        try await fixture.broker.group.next().submit {
            targets.forEach { lifecycle.value.guardian.add($0) }
            targets.forEach { lifecycle.value.guardian.remove($0) }
        }.get()
        if isStopped { _ = try await fixture.log.first(containing: "another one takes its place") }
        #expect((try await guardianPid(fixture.broker) == pid) == !isStopped)
        _ = try await fixture.end()
    }

    @Test(arguments: [("dead", false), ("listening", true), ("succeeded", true), ("unrelated", true)])
    func socketIsRemovedOnlyWhenDead(_ fate: String, _ stays: Bool) async throws {
        let directory = try BrokerFixture.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = try SocketPath(directory + "/s")
        let (descriptor, bound) = try path.claim()
        let identity = try #require(bound)
        var open: [Int32] = []
        switch fate {
        case "listening": open = [descriptor]
        case "succeeded":
            close(descriptor)
            open = [try path.claim().descriptor]
        case "unrelated":
            close(descriptor)
            unlink(path.path)
            _ = FileManager.default.createFile(atPath: path.path, contents: Data())
        default: close(descriptor)
        }
        try await afterTheEnd { $0.add(socket: path, identity) }
        #expect((access(path.path, F_OK) == 0) == stays)
        for descriptor in open { close(descriptor) }
    }
}
