import ArgumentParser
import Glibc

/// The entry point: prepares the process, then lets the chosen command run.
@main
enum Main {
    static func main() async {
        // A terminal that went away is an error of `write`, not the end.
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try Stagewire.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            exit(report(error))
        }
    }

    /// Says what is wrong, unless a command has already done so, and returns the exit code.
    private static func report(_ error: any Error) -> Int32 {
        if let status = error as? ExitStatus { return status.code }
        if let failure = error as? Failure { return report(failure) }
        switch Stagewire.exitCode(for: error) {
        case .success:
            // Help that was asked for.
            Output.text(Stagewire.fullMessage(for: error))
            return 0
        case .validationFailure: return report(usage: error)
        case _: return report(Failure(.runtime, Stagewire.message(for: error)))
        }
    }

    private static func report(_ failure: Failure) -> Int32 {
        for problem in failure.problems.prefix(Failure.shown) { Output.error(problem.text) }
        let hidden = failure.problems.count - Failure.shown
        if hidden > 0 { Output.error("and \(hidden) more") }
        if Invocation.wantsJSON() { Output.json(Invocation.command(), failure.problems) }
        return failure.status.code
    }

    private static func report(usage error: any Error) -> Int32 {
        Output.error(Stagewire.fullMessage(for: error))
        if Invocation.wantsJSON() {
            let help = "`\(Invocation.helpCommand())` shows what it takes"
            Output.json(
                Invocation.command(), [Problem(code: "usage", message: Stagewire.message(for: error), hint: help)])
        }
        return ExitStatus.usage.code
    }
}

struct Stagewire: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stagewire",
        abstract: "Run streaming pipelines whose stages are written in any language.",
        discussion: """
            EXAMPLES:
              stagewire check pipeline.yaml    name every mistake in it
              stagewire run pipeline.yaml      start it, end when all is settled
              stagewire run --help             say what a command takes
            """,
        version: Version.text,
        subcommands: [
            Run.self, Check.self, Graph.self, Schema.self, Status.self, DeadLetters.self, Resume.self,
            ReplayCommand.self, Stop.self,
            JournalCommand.self,
            Decode.self, ConformanceCommand.self, Version.self, StageCommand.self,
        ])
}
