import Foundation
import StagewireConformance
import Testing

/// Workers that are no workers: the runner gives a verdict with a reason, and ends.
struct RunnerTests {
    /// - Parameter worker: a shell command.
    private func run(_ worker: String, _ text: String, features: [String: Set<String>]? = nil) throws -> CaseResult {
        let item = try #require(try CaseReader.read(text, file: "test.yaml").first)
        let directory = "/tmp/stagewire-runner-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var options = RunOptions(directory: directory)
        // A second is long enough for a shell, and ten would be a long test.
        options.timeScale = 0.1
        options.features = features
        let target = Target.worker(command: ["sh", "-c", worker], directory: nil)
        let results = Suite.run([item], target, options) { _ in }
        return try #require(results.first)
    }

    private static let simple = """
        case: simple
        title: a worker says hello
        role: worker
        rules: [HS-2]
        begin: greeted
        steps: [barrier]
        """

    /// Perl is part of every Debian; it connects and does what it is told.
    private static func perl(_ script: String) -> String {
        "exec perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Peer => $ENV{STAGEWIRE_SOCKET}); $| = 1; \(script)'"
    }

    @Test("One that never connects fails, and is ended")
    func neverConnects() throws {
        let result = try run("exec sleep 1000", Self.simple)
        #expect(result.verdict == .fail && result.message.contains("a connection of the worker"))
        #expect(result.seconds < 60)
    }

    @Test("One that exits with 0 at once is a crash, for nothing had asked it to")
    func exitsEarly() throws {
        let result = try run("exit 0", Self.simple)
        #expect(result.verdict == .crash && result.message.contains("exited with 0"))
    }

    @Test("One that is not there says so")
    func isNotThere() throws {
        let result = try run("exec ./no-such-worker", Self.simple)
        #expect(result.verdict == .crash && result.standardError.contains("no-such-worker"))
    }

    @Test("One that dies by a signal is a crash")
    func diesBySignal() throws {
        let result = try run("kill -SEGV $$", Self.simple)
        #expect(result.verdict == .crash && result.message.contains("signal 11"))
    }

    @Test("Its output is kept, the end of it, however much there is")
    func printsALot() throws {
        let result = try run("yes garbage | head -c 30000000 >&2; echo the end >&2; exit 3", Self.simple)
        #expect(result.verdict == .crash || result.verdict == .fail)
        #expect(result.standardError.utf8.count <= 128 * 1024)
    }

    @Test("One that connects and says nothing fails in time")
    func saysNothing() throws {
        let result = try run(Self.perl("sleep 1000"), Self.simple)
        #expect(result.verdict == .fail && result.message.contains("Hello"))
    }

    @Test("Garbage on the socket fails with the rule that it breaks")
    func sendsGarbage() throws {
        let result = try run(
            Self.perl("print $s \"GET / HTTP/1.1\\r\\n\\r\\n\" x 100; $s->flush; sleep 1000"), Self.simple)
        #expect(result.verdict == .fail && result.rules == ["LM-1"])
    }

    @Test("A flood of frames ends the case, not the runner")
    func floods() throws {
        let hello = "\\0\\0\\0\\x0a\\x08\\xe8\\x07\\x12\\x05\\x08\\xe8\\x07\\x1a\\x00"
        let ping = "\\0\\0\\0\\x05\\x08\\xe8\\x07\\x2a\\x00"
        let text = Self.simple.replacing("begin: greeted", with: "begin: open\nchecks: false")
        let script = "print $s \"\(hello)\"; while (1) { print $s \"\(ping)\" x 1000 or exit 9 }"
        let result = try run(Self.perl(script), text)
        #expect(result.verdict != .pass)
        #expect(result.seconds < 120)
    }

    @Test("One that forks and leaves its child behind leaves nobody behind")
    func forks() throws {
        let result = try run("sleep 987654 & echo $! >&2; sleep 0.1; exit 0", Self.simple)
        #expect(result.verdict == .crash)
        let child = try #require(pid_t(result.standardError.split(separator: "\n").first ?? ""))
        let command = try? String(contentsOfFile: "/proc/\(child)/cmdline", encoding: .utf8)
        #expect(command?.contains("987654") != true, "the child of the worker still runs")
    }

    @Test("Features that Hello has and the declaration has not, or the other way round, are a failure")
    func liesAboutFeatures() throws {
        let hello = "\\0\\0\\0\\x0a\\x08\\xe8\\x07\\x12\\x05\\x08\\xe8\\x07\\x1a\\x00"
        let result = try run(
            Self.perl("print $s \"\(hello)\"; $s->flush; sleep 1000"), Self.simple, features: ["transform": ["holds"]])
        #expect(result.verdict == .fail && result.rules == ["HS-7"] && result.message.contains("holds"))
    }

    @Test("A fault that could not be injected shows nothing")
    func inconclusive() throws {
        let text = Self.simple.replacing(
            "begin: greeted\nsteps: [barrier]", with: "begin: nothing\nsteps:\n  - start\n  - exit: 0\n  - kill: KILL\n"
        )
        #expect(try run("exit 0", text).verdict == .inconclusive)
    }

    @Test("A feature that is not declared skips the case")
    func skips() throws {
        let text = Self.simple.replacing("begin: greeted", with: "requires: [holds]\nbegin: greeted")
        let result = try run("exit 0", text, features: ["transform": []])
        #expect(result.verdict == .skip && result.message == "feature holds is not declared")
    }

    @Test("A case that is known to fail is as expected, and one that passes in spite of it is not")
    func knownFailures() throws {
        var result = try run("exit 0", Self.simple)
        #expect(!result.isAsExpected)
        result.isKnownFailing = true
        #expect(result.isAsExpected)
        result.verdict = .pass
        #expect(!result.isAsExpected)
    }
}
