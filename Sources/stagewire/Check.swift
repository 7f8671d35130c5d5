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

            EXAMPLES:
              stagewire check pipeline.yaml
              stagewire check pipeline.yaml --no-commands --json
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
        let pipeline = try PipelineArgument.load(file, checkingCommands: !withoutCommands)
        if json { return Output.json("check", CheckReport(pipeline.definition)) }
        Output.text(CheckReport.text(pipeline.definition, file: file))
    }
}

/// Reading the file that a command names.
enum PipelineArgument {
    /// - Parameter checkingCommands: looks whether the stages' programs are there.
    /// - Throws: `Failure` with everything that is wrong with the file.
    static func load(_ file: String, checkingCommands: Bool = true) throws -> LoadedPipeline {
        let environment = ProcessInfo.processInfo.environment
        do {
            return try PipelineFile.load(
                path: file, commands: checkingCommands ? CommandCheck(environment: environment) : nil)
        } catch {
            throw Failure(error)
        }
    }
}

extension Failure {
    init(_ errors: ConfigurationErrors) {
        let problems = errors.errors.map {
            Problem(
                code: "configuration", message: $0.message, file: $0.file, line: $0.line, column: $0.column,
                hint: $0.hint)
        }
        self.init(.usage, problems)
    }
}
