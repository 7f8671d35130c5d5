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
        for arguments in [["version"], ["--version"]] {
            let result = try await Program.run(arguments)
            #expect(result.code == 0)
            #expect(result.output.contains("protocol 1.0"))
        }
        let envelope = try PrintedEnvelope(try await Program.run(["version", "--json"]).output)
        #expect(envelope.command == "version" && envelope.isOK)
        #expect(envelope.result["protocol"] as? String == "1.0")
    }

    @Test func help() async throws {
        let result = try await Program.run(["run", "--help"])
        #expect(result.code == 0)
        #expect(result.output.contains("USAGE: stagewire run"))
    }

    @Test func helpWithoutArguments() async throws {
        let result = try await Program.run([])
        #expect(result.code == 0)
        #expect(result.output.contains("SUBCOMMANDS:") && result.error == "")
    }

    /// Whatever the command: its help shows how it is called.
    @Test func everyHelpHasAnExample() async throws {
        let dump = try await Program.run(["--experimental-dump-help"])
        let root = try #require(try JSONSerialization.jsonObject(with: Data(dump.output.utf8)) as? [String: Any])
        var commands: [[String]] = []
        func collect(_ command: [String: Any], _ path: [String]) {
            let children = command["subcommands"] as? [[String: Any]] ?? []
            if children.isEmpty { commands.append(path) }
            for child in children { collect(child, path + [child["commandName"] as? String ?? ""]) }
        }
        collect(try #require(root["command"] as? [String: Any]), [])
        #expect(commands.contains(["run"]) && commands.contains(["decode"]))
        for command in commands where command != ["help"] {
            let help = try await Program.run(command + ["--help"])
            let name = command.joined(separator: " ")
            #expect(help.output.contains("EXAMPLE") && help.output.contains("stagewire \(name)"), "\(name)")
        }
    }

    @Test(arguments: [["run"], ["nonsense"], ["run", "p.yaml", "--nonsense"]])
    func wrongUsage(_ arguments: [String]) async throws {
        let result = try await Program.run(arguments, Self.external)
        #expect(result.code == 2)
        #expect(result.error.contains("sage: stagewire") && result.output == "")
    }

    /// A program that asked for JSON gets the envelope for a wrong command line as well.
    @Test(arguments: [
        (["run", "--json"], "run"), (["nonsense", "--json"], "stagewire"),
        (["run", "p.yaml", "--json", "--nonsense"], "run"),
    ])
    func wrongUsageAsJSON(_ arguments: [String], _ command: String) async throws {
        let result = try await Program.run(arguments, Self.external)
        #expect(result.code == 2)
        #expect(result.error.contains("sage: stagewire"))
        let envelope = try PrintedEnvelope(result.output)
        #expect(envelope.command == command)
        #expect(envelope.codes == ["usage"])
    }

    /// What bash completes, asked in the way in which it asks.
    @Test(arguments: [
        (["dec"], ["decode"]), (["run", ""], ["p.yaml"]), (["run", "--color", "a"], ["auto", "always"]),
        (["run", "--log-format", ""], ["text", "json"]), (["decode", "--js"], ["--json", "--json-lines"]),
        (["journal", "v"], ["verify"]), (["journal", "repair", "--y"], ["--yes"]),
    ])
    func completion(_ words: [String], _ expected: [String]) async throws {
        try await Program.inDirectory(Self.external) { directory in
            let script = try await Program(["--generate-completion-script", "bash"], in: directory).wait()
            #expect(script.code == 0)
            let line = (["stagewire"] + words).map { "'\($0)'" }.joined(separator: " ")
            let ask = """
                \(script.output)
                COMP_WORDS=(\(line)); COMP_CWORD=\(words.count); COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}
                _stagewire stagewire "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
                printf '%s\\n' "${COMPREPLY[@]}"
                """
            let bash = Process()
            let output = Pipe()
            bash.executableURL = URL(fileURLWithPath: "/bin/bash")
            bash.arguments = ["-c", ask]
            bash.currentDirectoryURL = URL(fileURLWithPath: directory)
            bash.standardOutput = output
            try bash.run()
            let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
            bash.waitUntilExit()
            #expect(Set(text.split(separator: "\n").map(String.init)) == Set(expected))
        }
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
