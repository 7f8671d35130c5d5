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
        let code = Stagewire.exitCode(for: error)
        let text = Stagewire.fullMessage(for: error)
        // Help that was asked for goes to standard output, a complaint about the usage does not.
        Terminal.write(text + "\n", to: code == .success ? STDOUT_FILENO : STDERR_FILENO)
        return code == .success ? 0 : ExitStatus.usage.code
    }
}

struct Stagewire: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stagewire",
        abstract: "Run streaming pipelines whose stages are written in any language.",
        subcommands: [Run.self, Check.self, Version.self, StageCommand.self])
}

/// How the process ends. Thrown by a command that has said why.
enum ExitStatus: Error, Equatable {
    case runtime
    /// The command line or the pipeline file is wrong.
    case usage
    /// The machine does not offer what is needed.
    case environment
    case signal(Int32)

    var code: Int32 {
        switch self {
        case .runtime: 1
        case .usage: 2
        case .environment: 3
        case .signal(let number): 128 + number
        }
    }
}
