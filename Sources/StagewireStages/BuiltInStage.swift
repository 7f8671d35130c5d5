import StagewireStage

/// The stages that come with Stagewire. Each is an ordinary worker: what it needs, everybody's stages have.
public enum BuiltInStage: String, CaseIterable, Sendable {
    /// Any executable: docs/EXEC.md.
    case exec
    /// Standard input, a record on each line; needs `stdio: stdin`.
    case stdin
    /// Standard output, a line for each record; needs `stdio: stdout`.
    case stdout
    case fileSource = "file-source"
    case fileSink = "file-sink"

    var stage: Stage {
        switch self {
        case .exec: ExecStage.make()
        case .stdin: StandardInputStage.make()
        case .stdout: StandardOutputStage.make()
        case .fileSource: FileSourceStage.make()
        case .fileSink: FileSinkStage.make()
        }
    }

    /// Runs the stage that the first argument names, and returns the process's exit code.
    ///
    /// - Parameter arguments: the stage's name, then what any stage program takes (`--test FILE`, `--config`).
    public static func run(arguments: [String]) async -> Int32 {
        guard let name = arguments.first, let stage = BuiltInStage(rawValue: name) else {
            let names = allCases.map(\.rawValue).joined(separator: ", ")
            let problem = arguments.first.map { "there is no built-in stage \($0)" } ?? "which built-in stage?"
            Worker.complain("\(problem); there are: \(names)")
            return 2
        }
        return await Worker.serve(stage.stage, arguments: Array(arguments.dropFirst()))
    }
}
