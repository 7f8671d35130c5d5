import StagewireModel
import Testing

/// What `exec` becomes: a built-in stage that is told what to run.
@Suite struct ExecTests {
    private func launch(_ exec: String, _ more: String = "") throws -> StageDefinition {
        try stages("in: {run: [./in], source: true}\nout:\n  exec: \(exec)\n  from: in\n\(more)")[1]
    }

    private func config(_ stage: StageDefinition) -> String { String(decoding: stage.config, as: UTF8.self) }

    @Test func onlyACommand() throws {
        let stage = try launch("{command: [./plain, -x]}")
        #expect(stage.launch?.builtIn == "exec" && stage.launch?.command == ["./plain", "-x"])
        #expect(config(stage) == #"{"command":["./plain", "-x"]}"#)
    }

    @Test func everything() throws {
        let stage = try launch(
            """
            {command: [sh, "a \\"b\\""], input: json-lines, output: none, batch: {records: 5000, bytes: 1MiB, every: 1500ms},
                timeout: 2m, grace: 50ms, exit_codes: {2: reject, 0: accept, 100: retry}}
            """, "  workers: 3\n  env: {A: b}\n  directory: d\n")
        #expect(
            config(stage) == #"{"command":["sh", "a \"b\""],"input":"json-lines","output":"none","#
                + #""batch":{"records":5000,"bytes":1048576,"every":1.500},"timeout":120,"grace":0.050,"#
                + #""exit_codes":{"2": "reject", "0": "accept", "100": "retry"}}"#)
        #expect(stage.workers == 3 && stage.launch?.environment == ["A": "b"] && stage.launch?.directory == "/srv/p/d")
    }
}
