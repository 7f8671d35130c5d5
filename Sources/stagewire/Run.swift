import ArgumentParser
import Foundation
import Logging
import StagewireBroker
import StagewireConfig
import StagewireModel

/// `stagewire run`: a broker from the file to its end. What it says goes to standard error, through `RunReporter` and the
/// log; standard output belongs to the summary that `--json` asks for.
struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a pipeline until its sources have finished and everything is settled.",
        discussion: """
            Unless the pipeline says `durability: memory`, its state lies in a directory, by default .stagewire beside the \
            file, and the next run goes on where this one stopped, whatever ended it. Remove the directory to begin \
            anew.

            SIGINT and SIGTERM stop: workers finish what they hold, within the pipeline's drain limit, and what waits stays \
            for the next run; in memory mode it is finished, too. A second signal ends the run at once.

            Exits 0 when the pipeline is complete, stopped or drained, 1 when the run failed, 2 for a wrong command line or \
            pipeline file, 3 when the machine lacks something (the socket cannot be bound, a command cannot be \
            started), 128 + the signal's number when a signal cut the run short.

            EXAMPLES:
              stagewire run pipeline.yaml
              stagewire run pipeline.yaml --json --quiet > summary.json
              stagewire run pipeline.yaml --log-format json 2>> pipeline.log
            """)

    @Argument(
        help: ArgumentHelp("The pipeline, such as pipeline.yaml.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml"]))
    var file: String

    @Option(
        help: ArgumentHelp("Listen here instead of the pipeline's own place.", valueName: "path"), completion: .file())
    var socket: String?

    @Option(
        help: ArgumentHelp(
            "Keep the durable state in this directory instead of the pipeline's own place.", valueName: "directory"),
        completion: .directory)
    var state: String?

    @Flag(
        help: "Give up what the state still has to do for stages that the pipeline does not have any more.")
    var discardRemoved = false

    @Flag(help: "Do not end when all sources have finished.")
    var keepRunning = false

    @OptionGroup var log: LogOptions

    @Flag(help: "Print the summary as one JSON object to standard output.")
    var json = false

    func run() async throws {
        let pipeline = try PipelineArgument.load(file)
        let console = Console(
            log, labelWidth: Self.labelWidth(pipeline.definition), environment: ProcessInfo.processInfo.environment)
        let reporter = RunReporter(pipeline: pipeline.definition, console: console, quiet: log.quiet)
        let signals = SignalThread()
        let broker = try open(pipeline, reporter)
        reporter.started(broker)
        signals.start { signal, count in react(to: signal, count: count, broker, reporter) }
        let started = ContinuousClock.now
        broker.start()
        let progress = reporter.startProgress(broker)
        let report = try await broker.finished()
        progress?.cancel()
        let summary = RunSummary(pipeline.definition, report, duration: ContinuousClock.now - started)
        let failure = Self.failure(report.end, signal: signals.last)
        reporter.ended(summary, problem: failure?.problems.first?.message)
        if json { Output.json("run", summary, failure?.problems ?? []) }
        if let failure { throw failure.status }
    }

    /// Columns of the longest label, within reason, so that what workers say stands below one another.
    static func labelWidth(_ pipeline: PipelineDefinition) -> Int {
        min(24, pipeline.stages.map { "\($0.name)/\($0.workers)".count }.max() ?? 0)
    }

    private func open(_ pipeline: LoadedPipeline, _ reporter: RunReporter) throws -> Broker {
        var settings = Broker.Settings(
            directory: pipeline.directory, environment: ProcessInfo.processInfo.environment)
        settings.socketPath = socket ?? pipeline.socketPath
        settings.stateDirectory = state ?? pipeline.stateDirectory
        settings.discardsRemoved = discardRemoved
        settings.keepRunning = keepRunning
        // Quiet: what a signal brought about is still said.
        let logger = Logger(label: "stagewire") { [log] _ in
            ConsoleLogHandler(console: reporter.console, logLevel: log.quiet ? .notice : .info)
        }
        do {
            return try Broker(pipeline.definition, settings, logger: logger)
        } catch {
            reporter.failed("\(error)")
            if json { Output.json("run", Failure(.environment, "\(error)").problems) }
            throw ExitStatus.environment
        }
    }

    private func react(to signal: Int32, count: Int, _ broker: Broker, _ reporter: RunReporter) {
        switch count {
        case 1:
            reporter.stopping(at: false)
            broker.stop()
        case 2:
            reporter.stopping(at: true)
            broker.abandon()
        default:
            // Whatever hangs is not waited for; the kernel closes what is open.
            _exit(ExitStatus.signal(signal).code)
        }
    }

    private static func failure(_ end: RunEnd, signal: Int32?) -> Failure? {
        switch end {
        case .completed, .drained, .stopped: nil
        case .abandoned:
            Failure(.signal(signal ?? SIGTERM), "the run was cut short before everything was settled")
        case .failed(let why): Failure(.runtime, why)
        case .unavailable(let why): Failure(.environment, why)
        }
    }
}
