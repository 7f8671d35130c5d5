import ArgumentParser
import Foundation
import Logging
import StagewireBroker
import StagewireConfig
import StagewireModel

struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a pipeline until its sources have finished and everything is settled.",
        discussion: """
            SIGINT and SIGTERM drain: sources stop and everything in flight is finished, within the pipeline's \
            drain limit. A second signal ends the run at once.

            Exits 0 when the pipeline is complete or drained, 1 when the run failed, 2 for a wrong command line or \
            pipeline file, 3 when the machine lacks something (the socket cannot be bound, a command cannot be \
            started), 128 + the signal's number when a signal cut the run short.
            """)

    @Argument(help: ArgumentHelp("The pipeline, such as pipeline.yaml.", valueName: "file"))
    var file: String

    @Option(help: ArgumentHelp("Listen here instead of the pipeline's own place.", valueName: "path"))
    var socket: String?

    @Flag(help: "Do not end when all sources have finished.")
    var keepRunning = false

    @Flag(help: "Print warnings and errors only.")
    var quiet = false

    @Flag(help: "Print the summary as JSON to standard output.")
    var json = false

    func run() async throws {
        let pipeline = try PipelineArgument.load(file)
        let console = Console()
        let logger = Logger(label: "stagewire") { [quiet] _ in
            ConsoleLogHandler(console: console, logLevel: quiet ? .warning : .info)
        }
        let broker = try open(pipeline, console, logger)
        if !quiet { console.line(Banner.text(pipeline.definition, socketPath: broker.socketPath)) }
        let received = SignalThread.start { signal, count in
            react(to: signal, count: count, broker, console)
        }
        let started = ContinuousClock.now
        broker.start()
        let progress = quiet ? nil : Progress.start(pipeline.definition, broker, console)
        let report = try await broker.finished()
        progress?.cancel()
        let summary = RunSummary(pipeline.definition, report, duration: ContinuousClock.now - started)
        conclude(summary, report, console)
        try exit(report.end, signal: received.last)
    }

    private func open(_ pipeline: LoadedPipeline, _ console: Console, _ logger: Logger) throws -> Broker {
        var settings = Broker.Settings(
            directory: pipeline.directory, environment: ProcessInfo.processInfo.environment)
        settings.socketPath = socket ?? pipeline.socketPath
        settings.keepRunning = keepRunning
        do {
            return try Broker(pipeline.definition, settings, logger: logger)
        } catch {
            console.line("stagewire: \(error)")
            console.finish()
            throw ExitStatus.environment
        }
    }

    private func react(to signal: Int32, count: Int, _ broker: Broker, _ console: Console) {
        switch count {
        case 1:
            console.line("stagewire: stopping; a second signal ends the run at once")
            broker.drain()
        case 2:
            console.line("stagewire: ending at once")
            broker.abandon()
        default:
            _exit(ExitStatus.signal(signal).code)
        }
    }

    private func conclude(_ summary: RunSummary, _ report: RunReport, _ console: Console) {
        console.clearStatus()
        if !quiet { console.line(summary.table) }
        for warning in summary.warnings { console.line(warning) }
        switch report.end {
        case .completed, .drained: break
        case .abandoned: console.line("stagewire: the run was cut short")
        case .failed(let why), .unavailable(let why): console.line("stagewire: \(why)")
        }
        console.finish()
        if json { Terminal.write(summary.json + "\n", to: STDOUT_FILENO) }
    }

    private func exit(_ end: RunEnd, signal: Int32?) throws {
        switch end {
        case .completed, .drained: break
        case .abandoned: throw ExitStatus.signal(signal ?? SIGTERM)
        case .failed: throw ExitStatus.runtime
        case .unavailable: throw ExitStatus.environment
        }
    }
}
