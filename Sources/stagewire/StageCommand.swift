import ArgumentParser
import Foundation
import StagewireStages

/// A built-in stage as a worker: the broker starts itself with this for `exec` and its like.
struct StageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stage", abstract: "Run a built-in stage as a worker, or on a file of records.",
        discussion: """
            The broker starts itself with this for stages that have `exec`. With --test a stage runs on its own.

            EXAMPLES:
              stagewire stage exec --test records.jsonl --config '{"command": ["tr", "a-z", "A-Z"]}'
            """,
        shouldDisplay: false)

    @Argument(parsing: .captureForPassthrough, help: "The stage's name, then its own arguments.")
    var arguments: [String] = []

    func run() async throws {
        // Everything is handed on, so that this is not asked by the parser.
        if ["--help", "-h"].contains(arguments.first) { throw CleanExit.helpRequest(self) }
        Foundation.exit(await BuiltInStage.run(arguments: arguments))
    }
}
