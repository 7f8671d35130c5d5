import ArgumentParser
import Glibc
import StagewireConfig
import StagewireModel

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a pipeline file, and print how much memory the broker may take for it.",
        discussion: "Nothing is started. Exits 0 when the file is right, 2 when it is not.")

    @Argument(help: ArgumentHelp("The pipeline, such as pipeline.yaml.", valueName: "file"))
    var file: String

    func run() throws {
        let pipeline = try PipelineArgument.load(file).definition
        let stages = pipeline.stages.count
        Terminal.write(
            """
            \(file): pipeline \(pipeline.name) is right: \(stages) \(stages == 1 ? "stage" : "stages"), \
            durability \(pipeline.durability.rawValue)

            \(Budget(pipeline).table)

            """, to: STDOUT_FILENO)
    }
}

/// Reading the file that `run` and `check` name.
enum PipelineArgument {
    static func load(_ file: String) throws -> LoadedPipeline {
        do {
            return try PipelineFile.load(path: file)
        } catch {
            Terminal.write(error.description + "\n", to: STDERR_FILENO)
            throw ExitStatus.usage
        }
    }
}
