import ArgumentParser
import Foundation
import StagewireStages

/// A built-in stage as a worker: the broker starts itself with this for `exec` and its like.
struct StageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stage", abstract: "Run a built-in stage as a worker.", shouldDisplay: false)

    @Argument(parsing: .captureForPassthrough, help: "The stage's name, then its own arguments.")
    var arguments: [String] = []

    func run() async throws {
        Foundation.exit(await BuiltInStage.run(arguments: arguments))
    }
}
