import Foundation
import StagewireModel
import Testing

@testable import StagewireConfig

/// Programs of a pipeline in a directory of files made for it.
@Suite struct CommandCheckTests {
    /// A directory with an executable `tool`, a file `plain`, scripts and a directory `work`.
    private static func inDirectory(_ body: (String) throws -> Void) throws {
        let manager = FileManager.default
        let url = manager.temporaryDirectory.appendingPathComponent("stagewire-\(UUID().uuidString)")
        defer { try? manager.removeItem(at: url) }
        try manager.createDirectory(at: url.appendingPathComponent("work"), withIntermediateDirectories: true)
        let files: [(name: String, text: String, mode: Int)] = [
            ("tool", "\u{7F}ELF", 0o755), ("plain", "text", 0o644), ("work/inner", "", 0o755),
            ("good.sh", "#!/bin/sh -e\n", 0o755), ("gone.py", "#! /no/such/python -u\n", 0o755),
            ("env.py", "#!/usr/bin/env no-such-python\n", 0o755), ("env.sh", "#!/usr/bin/env -S sh -e\n", 0o755),
            ("dos.sh", "#!/bin/sh\r\n", 0o755), ("none.sh", "#!\n", 0o755), ("off.sh", "#!/bin/sh\n", 0o644),
        ]
        for file in files {
            let path = url.appendingPathComponent(file.name).path
            _ = manager.createFile(
                atPath: path, contents: Data(file.text.utf8), attributes: [.posixPermissions: file.mode])
        }
        try body(url.path)
    }

    /// The sentences about a stage's lines in the pipeline, without the directory's own name.
    private static func complaints(_ lines: String, in directory: String, path: String = "/usr/bin:/bin") -> [String] {
        let text = "pipeline: p\nstages:\n  a: {source: true, \(lines)}\n"
        do {
            let check = CommandCheck(environment: ["PATH": path])
            _ = try PipelineFile.parse(text, name: "p.yaml", directory: directory, commands: check)
            return []
        } catch {
            return error.errors.map { $0.description.replacing(directory, with: "DIR") }
        }
    }

    @Test(arguments: [
        "run: [./tool]", "run: [tool], env: {PATH: .}", "run: [./good.sh]", "run: [./env.sh]", "run: [sh, missing.sh]",
        "run: [./inner], directory: work", "run: [../tool], directory: work", "run: [/bin/sh]", "run: [work/inner]",
        "run: [inner], directory: work, env: {PATH: ''}",
    ]) func whatIsThere(_ lines: String) throws {
        try Self.inDirectory { #expect(Self.complaints(lines, in: $0) == []) }
    }

    @Test(arguments: [
        (
            "run: [./toll, x]",
            "p.yaml:3:27: stage `a`: `run`: there is no program `./toll`\n    did you mean `./tool`?"
        ),
        (
            "run: [./zebra]",
            "p.yaml:3:27: stage `a`: `run`: there is no program `./zebra`\n    is it built? The path begins at the directory of this file"
        ),
        (
            "run: [./tool/x]",
            "p.yaml:3:27: stage `a`: `run`: there is no program `./tool/x`\n    is it built? The path begins at the directory of this file"
        ),
        ("run: [./plain]", "p.yaml:3:27: stage `a`: `run`: `./plain` is not executable\n    chmod +x DIR/./plain"),
        ("run: [./off.sh]", "p.yaml:3:27: stage `a`: `run`: `./off.sh` is not executable\n    chmod +x DIR/./off.sh"),
        (
            "run: [./zebra], directory: work",
            "p.yaml:3:27: stage `a`: `run`: there is no program `./zebra`\n    is it built? The path begins at `DIR/work`"
        ),
        (
            "run: [/no/such/tool]",
            "p.yaml:3:27: stage `a`: `run`: there is no program `/no/such/tool`\n    is it installed?"
        ),
        ("run: [./work]", "p.yaml:3:27: stage `a`: `run`: `./work` is a directory\n    name the program inside it"),
        (
            "run: [no-such-tool]",
            "p.yaml:3:27: stage `a`: `run`: there is no program `no-such-tool` in PATH\n    is it installed?"
        ),
        (
            "run: [sh], env: {PATH: /no/such}",
            "p.yaml:3:27: stage `a`: `run`: there is no program `sh` in PATH\n"
                + "    only PATH of the stage's `env` counts: is it complete?"
        ),
        (
            "run: [tool]",
            "p.yaml:3:27: stage `a`: `run`: there is no program `tool` in PATH\n    write `./tool` for the one in `DIR`"
        ),
        (
            "run: [plain], env: {PATH: .}",
            "p.yaml:3:27: stage `a`: `run`: `plain` is not executable\n    chmod +x DIR/./plain"
        ),
        (
            "run: [./gone.py]",
            "p.yaml:3:27: stage `a`: `run`: `./gone.py` is a script for `/no/such/python`, which is not there\n"
                + "    install it, or correct the script's first line"
        ),
        (
            "run: [./env.py]",
            "p.yaml:3:27: stage `a`: `run`: `./env.py` is a script for `no-such-python`, which is not in PATH\n"
                + "    install it, or correct the script's first line"
        ),
        (
            "run: [./dos.sh]",
            "p.yaml:3:27: stage `a`: `run`: the first line of `./dos.sh` ends in a carriage return\n"
                + "    save the script with Unix line ends: the system looks for an interpreter of that very name"
        ),
        (
            "run: [./none.sh]",
            "p.yaml:3:27: stage `a`: `run`: the first line of `./none.sh` names no interpreter\n"
                + "    write one behind `#!`, such as `#!/bin/sh`"
        ),
        (
            "run: [./inner], directory: wrk",
            "p.yaml:3:48: stage `a`: `directory`: there is no directory `DIR/wrk`\n    did you mean `DIR/work`?"
        ),
        (
            "run: [./inner], directory: tool",
            "p.yaml:3:48: stage `a`: `directory`: `DIR/tool` is a file, not a directory"
        ),
    ]) func whatIsNot(_ lines: String, _ expected: String) throws {
        // Paths of a temporary directory may be longer than what a sentence quotes.
        try Self.inDirectory { directory in
            let complaints = Self.complaints(lines, in: directory)
            #expect(complaints == [expected])
        }
    }

    /// Both are said where `directory` has nothing to do with the program.
    @Test func directoryAndProgram() throws {
        try Self.inDirectory { directory in
            let complaints = Self.complaints("run: [no-such-tool], directory: nowhere", in: directory)
            #expect(complaints.count == 2)
            #expect(complaints[0].hasPrefix("p.yaml:3:27") && complaints[1].hasPrefix("p.yaml:3:53"))
        }
    }

    /// One list, in the order of the file, with everything else that is wrong.
    @Test func togetherWithOtherErrors() throws {
        try Self.inDirectory { directory in
            let complaints = Self.complaints(
                "run: [./toll], lease: 3}\n  b: {run: [./zebra], from: c, wokers: 2", in: directory)
            #expect(
                complaints.map { $0.prefix { $0 != "\n" } } == [
                    "p.yaml:3:27: stage `a`: `run`: there is no program `./toll`",
                    "p.yaml:3:36: stage `a` is a source: nothing is delivered to it, so `lease` means nothing",
                    "p.yaml:3:43: `lease`: expected a duration such as `200ms`, `10m` or `1h30m`, found the number `3`",
                    "p.yaml:4:13: stage `b`: `run`: there is no program `./zebra`",
                    "p.yaml:4:29: `from`: there is no stage `c`",
                    "p.yaml:4:32: unknown key `wokers` in stage `b`",
                ])
        }
    }

    @Test func withoutPath() throws {
        try Self.inDirectory { directory in
            let check = CommandCheck(environment: [:])
            #expect(check.problems(of: Launch(command: ["sh"]), directory: directory) == [])
        }
    }
}
