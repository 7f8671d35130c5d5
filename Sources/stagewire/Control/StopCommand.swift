import ArgumentParser
import Foundation
import StagewireControl

struct Stop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "End a running pipeline.",
        discussion: """
            Workers finish what they hold, within the pipeline's drain limit, and what waits for them stays for the next \
            run; the command waits for it. With --drain, and in memory mode, what waits is finished, too, and windows are \
            closed. With --now workers are killed (in memory mode what is in flight is lost).

            EXAMPLES:
              stagewire stop sensors --timeout 2m
              stagewire stop sensors --drain

            Exits 0 when the pipeline has ended as asked, 1 when it was cut short, has failed, does not run or was not \
            waited for to its end, 2 for a wrong command line, 3 when it belongs to somebody else.
            """)

    @OptionGroup var choice: PipelineChoice

    @Flag(help: "Kill the workers instead of finishing what is in flight.")
    var now = false

    @Flag(help: "Finish everything that the sources have emitted so far, however long it waits already.")
    var drain = false

    @Flag(inversion: .prefixedNo, help: "Wait until the pipeline has ended.")
    var wait = true

    @Option(help: ArgumentHelp("Wait no longer than this; the pipeline goes on draining.", valueName: "duration"))
    var timeout: Interval?

    @Flag(help: "Print the outcome as JSON to standard output.")
    var json = false

    private struct Outcome: Encodable {
        var pipeline: String
        var outcome: EndAnswer.Outcome
        var unsettled: Int
    }

    func validate() throws {
        guard !now || !drain else { throw ValidationError("--now and --drain exclude each other") }
    }

    func run() async throws {
        try await reporting {
            let client = try await choice.client()
            let name = try await client.information().pipeline
            let mode: StopRequest.Mode = now ? .now : drain ? .drain : .stop
            guard wait else {
                let answer = try await client.stop(mode)
                return json ? Output.json("stop", answer) : Output.text("\(name) is asked to end.")
            }
            try conclude(name, try await follow(client, name, mode))
        }
    }

    /// Shows what is still to be done until the end has come, or patience is at its end.
    private func follow(
        _ client: ControlClient, _ name: String, _ mode: StopRequest.Mode
    ) async throws -> EndAnswer? {
        let console = Console(environment: ProcessInfo.processInfo.environment)
        let progress = Task {
            while console.isRewriting, !Task.isCancelled {
                try await Task.sleep(for: .milliseconds(500))
                if let status = try? await client.status(), !Task.isCancelled { console.status(Self.line(status)) }
            }
        }
        defer {
            progress.cancel()
            console.clearStatus()
            console.finish()
        }
        return try await withThrowingTaskGroup(of: EndAnswer?.self) { group in
            defer { group.cancelAll() }
            group.addTask { try await client.stopAndWait(mode) }
            if let timeout {
                group.addTask {
                    try await Task.sleep(for: timeout.duration)
                    throw ControlFailure(
                        "\(name) has not ended within \(timeout)",
                        hint: "it goes on draining; `stagewire stop \(name) --now` cuts it short")
                }
            }
            return try await group.next() ?? nil
        }
    }

    /// "sensors drains, 12 s left: score 3 in flight, 120 queued"
    static func line(_ status: PipelineStatus) -> String {
        let left = status.drainSeconds.map { ", \(Figures.spell(.milliseconds(Int64($0 * 1000)))) left" } ?? ""
        let stages = status.stages.filter { $0.inFlight + $0.queued > 0 }.map { stage in
            "\(stage.name) \(Figures.grouped(UInt64(stage.inFlight))) in flight, "
                + "\(Figures.grouped(UInt64(stage.queued))) queued"
        }
        return "\(status.pipeline) drains\(left): " + (stages.isEmpty ? "workers end" : stages.joined(separator: "; "))
    }

    private static func kept(_ unsettled: Int) -> String {
        switch unsettled {
        case 0: ": nothing waits for its next run."
        case 1: "; 1 record waits for its next run."
        case _: "; \(Figures.count(unsettled, "record")) wait for its next run."
        }
    }

    private func conclude(_ name: String, _ end: EndAnswer?) throws {
        guard let end else {
            throw ControlFailure(
                "\(name) ended without saying how", hint: "was its broker killed? Its own output tells")
        }
        let lost = end.unsettled > 0 ? "; \(Figures.count(end.unsettled, "record")) were not settled" : ""
        let text: String
        switch end.outcome {
        case .completed: text = "\(name) is complete: every stage had ended by itself."
        case .stopped: text = "\(name) has stopped" + Self.kept(end.unsettled)
        case .drained: text = "\(name) has ended: everything in flight was finished."
        case .abandoned where now: text = "\(name) has ended at once\(lost)."
        case .abandoned:
            throw ControlFailure(
                Problem(
                    code: "abandoned", message: "\(name) was cut short\(lost)",
                    hint: "its drain limit was reached, or somebody ended it at once"), .runtime)
        case .failed, .unavailable:
            throw ControlFailure(
                Problem(code: end.outcome.rawValue, message: "\(name) failed: \(end.message ?? "")\(lost)"), .runtime)
        }
        if json { return Output.json("stop", Outcome(pipeline: name, outcome: end.outcome, unsettled: end.unsettled)) }
        Output.text(text)
    }
}
