import ArgumentParser
import Foundation
import StagewireConfig
import StagewireModel

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a pipeline file, and print how much memory the broker may take for it.",
        discussion: """
            Everything that is wrong is said at once: YAML, keys, values, the graph, conditions, and programs that \
            are not there. Nothing is started. Exits 0 when the file is right, 2 when it is not.
            """)

    @Argument(help: ArgumentHelp("The pipeline, such as pipeline.yaml.", valueName: "file"))
    var file: String

    @Flag(
        name: .customLong("no-commands"),
        help: "Do not look for the stages' programs: for a machine where they are not installed.")
    var withoutCommands = false

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let pipeline = try PipelineArgument.load(
            file, command: "check", checkingCommands: !withoutCommands, json: json)
        if json { return Output.json("check", CheckReport(pipeline.definition)) }
        Output.text(CheckReport.text(pipeline.definition, file: file))
    }
}

/// Reading the file that a command names.
enum PipelineArgument {
    /// Says everything that is wrong with the file, on standard error and, with `json`, as the envelope of
    /// `command`; `checkingCommands` looks whether the stages' programs are there.
    static func load(
        _ file: String, command: String = "run", checkingCommands: Bool = true, json: Bool = false
    ) throws -> LoadedPipeline {
        let environment = ProcessInfo.processInfo.environment
        do {
            return try PipelineFile.load(
                path: file, commands: checkingCommands ? CommandCheck(environment: environment) : nil)
        } catch {
            Output.error(error.description)
            if json { Output.json(command, error.errors.map(Problem.init)) }
            throw ExitStatus.usage
        }
    }
}

extension Problem {
    fileprivate init(_ error: ConfigurationError) {
        self.init(
            code: "configuration", message: error.message, file: error.file, line: error.line, column: error.column,
            hint: error.hint)
    }
}
