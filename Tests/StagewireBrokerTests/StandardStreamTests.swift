import Testing

@testable import StagewireBroker

/// A pipeline in a shell's pipe.
@Suite struct StandardStreamTests {
    /// `noise` is what the first worker prints, which is no data.
    private static func filter(_ stdin: String, _ stdout: String) -> String {
        """
        pipeline: upper
        stages:
          lines: {run: [sh, -c, "echo noise; exec $0 stage stdin", "\(Program.path)"], source: true, stdio: \(stdin)}
          upper: {exec: {command: [tr, a-z, A-Z]}, from: lines, ordering: total}
          print: {run: ["\(Program.path)", stage, stdout], from: upper, ordering: total, stdio: \(stdout)}
        """
    }

    @Test func aFilter() async throws {
        try await Program.inDirectory(Self.filter("stdin", "stdout")) { directory in
            let program = try Program(["run", "p.yaml", "--socket", "s"], in: directory, input: "a\nb\n")
            let result = try await program.wait()
            #expect(result.code == 0)
            #expect(result.output == "A\nB\n", "data, and nothing else")
            #expect(result.error.contains("lines/1 | noise"))
            #expect(result.error.contains("upper: completed after"))
        }
    }

    /// An empty input ends the run, as it ends any filter.
    @Test func nothingIn() async throws {
        try await Program.inDirectory(Self.filter("stdin", "stdout")) { directory in
            let program = try Program(["run", "p.yaml", "--socket", "s", "--quiet"], in: directory, input: "")
            let result = try await program.wait()
            #expect(result.code == 0 && result.output == "" && result.error.contains("noise") == false)
        }
    }

    @Test func oneStreamForTwoStages() async throws {
        let result = try await Program.run(["run", "p.yaml", "--socket", "s"], Self.filter("inherit", "stdout"))
        #expect(result.code == 2)
        #expect(result.error.contains("the broker's standard output, and `lines` has it already (3:"))
    }
}
