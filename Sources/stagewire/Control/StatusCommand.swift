import ArgumentParser
import Glibc
import StagewireConfig
import StagewireControl

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what a running pipeline does.",
        discussion: """
            One line per stage: workers attached and wanted; records in and out since the start; filtered (accepted \
            without an output), retried and given up on; in flight, the credit that workers have left, and the queue.

            EXAMPLES:
              stagewire status sensors --watch

            Exits 0 when the pipeline has answered, 1 when none runs there, 2 for a wrong command line, 3 when it \
            belongs to somebody else.
            """)

    @OptionGroup var choice: PipelineChoice

    @Flag(help: "Go on showing it, with rates, until the pipeline ends or you press Ctrl-C.")
    var watch = false

    @Option(help: ArgumentHelp("Time between two looks, with --watch.", valueName: "duration"))
    var interval = Interval(.seconds(1))

    @Flag(help: "Print the answer as JSON to standard output.")
    var json = false

    func validate() throws {
        if json, watch { throw ValidationError("--json prints one answer; ask again instead of --watch.") }
    }

    func run() async throws {
        try await reporting {
            let client = try await choice.client()
            if watch { return try await StatusWatch(client: client, interval: interval.duration).run() }
            let status = try await client.status()
            if json { return Output.json("status", status) }
            let width = Terminal.isTerminal(STDOUT_FILENO) ? Terminal.width(STDOUT_FILENO) : .max
            let lines = StatusView(status: status).lines(width: width, style: .of(STDOUT_FILENO))
            Output.text(lines.joined(separator: "\n"))
        }
    }
}

/// A time on the command line, written as in the pipeline file: `500ms`, `2s`.
struct Interval: ExpressibleByArgument, CustomStringConvertible {
    static let shortest = Duration.milliseconds(100)

    var duration: Duration
    private var text: String

    init(_ duration: Duration) {
        self.duration = duration
        text = "\(duration.components.seconds)s"
    }

    init?(argument: String) {
        guard let duration = Quantity.duration(argument), duration >= Self.shortest else { return nil }
        self.duration = duration
        text = argument
    }

    var description: String { text }
    var defaultValueDescription: String { text }
}
